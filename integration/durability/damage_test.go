package durability

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/gridferry/gridferry/fault"
	"github.com/gridferry/gridferry/integration/tree"
	"github.com/gridferry/gridferry/transfer"
)

// TestDamage turns the bits of one byte of a large file that is on its way, in
// a part that has arrived. Verification finds it, and the file is copied again.
func TestDamage(t *testing.T) {
	t.Parallel()
	for _, route := range routes() {
		t.Run(string(route), func(t *testing.T) {
			t.Parallel()
			s, _, id := atHalf(t, route, siteOptions{})
			path, n := s.temp(large)
			const offset = 1000
			must(t, flip(path, offset))
			t.Logf("byte %d flipped when %d of %d MiB were there", offset, n/mib, largeSize()/mib)
			task := s.wait(id, lossLimit, transfer.Succeeded)
			s.same()
			s.reported(id, task, large)
		})
	}
}

// TestDamageSmall damages files of some megabytes, whose checksums are asked for
// as soon as they have arrived.
func TestDamageSmall(t *testing.T) {
	t.Parallel()
	for _, route := range routes() {
		t.Run(string(route), func(t *testing.T) {
			t.Parallel()
			const files, bytes = 16, 12 * mib
			var o siteOptions
			o.src.Root = original(t, tree.Spec{Seed: 5, Files: files, Bytes: files * bytes, Large: slices.Repeat([]int64{bytes}, files)})
			s := newSite(t, o)
			defer hurry()()
			s.worker("only")
			id := s.submit(transfer.Request{Route: route})
			damaged := make(map[string]bool)
			catch(t, "the end of the task", func() bool {
				s.damage(damaged, bytes)
				return !s.running(id)
			})
			t.Logf("damaged on their way: %d files", len(damaged))
			task := s.wait(id, lossLimit, transfer.Succeeded)
			s.same()
			if len(damaged) == 0 {
				t.Errorf("no file was caught on its way")
			}
			s.reported(id, task, "volume")
		})
	}
}

// damage flips the last byte that is there of files that have not wholly
// arrived, each once: what is copied again is left alone.
func (s *site) damage(damaged map[string]bool, bytes int64) {
	partly := func(n int64) bool { return n > mib && n < bytes }
	for path, n := range s.temps() {
		name, _ := transfer.ParseTempName(filepath.Base(path))
		if damaged[name.Name] || !partly(n) {
			continue
		}
		// While the server stands still, nothing arrives and nothing is
		// verified: the damage is done before, for certain.
		s.dst.Freeze()
		if info, err := os.Stat(path); err == nil && partly(info.Size()) {
			must(s.t, flip(path, info.Size()-1))
			damaged[name.Name] = true
		}
		s.dst.Thaw()
	}
}

// reported makes sure that a task tells of damage, and to which file.
func (s *site) reported(id transfer.TaskID, task transfer.Task, name string) {
	s.t.Helper()
	if task.Progress.Faults == 0 {
		s.t.Errorf("the task counts no fault")
	}
	for _, e := range s.events(id) {
		if e.Fault != nil && e.Fault.Kind == fault.Integrity && strings.Contains(e.Fault.Path, name) {
			s.t.Logf("reported: %s: %s", e.Fault.Path, e.Fault.Message)
			return
		}
	}
	s.t.Errorf("no event tells of the damage")
}
