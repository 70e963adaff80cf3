package scale

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
)

// usage is what processes that ran one after the other took.
type usage struct {
	cpu  time.Duration // user and system, of those that are gone
	now  time.Duration // of the one that runs
	peak int64         // resident bytes, of the largest
}

// look reads /proc of a process that runs.
func (u *usage) look(pid int) {
	if status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid)); err == nil {
		for line := range strings.Lines(string(status)) {
			if rest, ok := strings.CutPrefix(line, "VmHWM:"); ok {
				n, _ := strconv.ParseInt(strings.TrimSuffix(strings.TrimSpace(rest), " kB"), 10, 64)
				u.peak = max(u.peak, n<<10)
			}
		}
	}
	if stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid)); err == nil {
		// After the name, which may hold anything: fields 14 and 15 of proc(5)
		// are ticks of 10 ms.
		_, rest, _ := strings.Cut(string(stat), ") ")
		if f := strings.Fields(rest); len(f) > 13 {
			user, _ := strconv.Atoi(f[11])
			system, _ := strconv.Atoi(f[12])
			u.now = time.Duration(user+system) * 10 * time.Millisecond
		}
	}
}

// gone notes that the process has ended.
func (u *usage) gone() { u.cpu, u.now = u.cpu+u.now, 0 }

func (u *usage) total() time.Duration { return u.cpu + u.now }

// diskUse is the number of files below a directory and the bytes they take.
func diskUse(t *testing.T, dir string) (files, bytes int64) {
	t.Helper()
	err := filepath.WalkDir(dir, func(_ string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		fi, err := e.Info()
		if err != nil {
			return err
		}
		files++
		bytes += fi.Size()
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return files, bytes
}
