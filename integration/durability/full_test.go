package durability

import (
	"fmt"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/gridferry/gridferry/integration/harness"
	"github.com/gridferry/gridferry/transfer"
)

// room skips the test when a directory's file system has less than so many
// bytes to give.
func room(t *testing.T, dir string, bytes int64) {
	t.Helper()
	var fs syscall.Statfs_t
	must(t, syscall.Statfs(dir, &fs))
	if free := int64(fs.Bavail) * fs.Bsize; free < bytes {
		harness.Lacking(t, fmt.Sprintf("needs %.1f GiB free in %s, which has %.1f (TMPDIR chooses another)", float64(bytes)/(1<<30), dir, float64(free)/(1<<30)))
	}
}

// whole moves the source's tree from server to server, verified, and says how
// fast it went.
func (s *site) whole(files, bytes int64) {
	s.t.Helper()
	worker := s.worker("worker")
	begun := time.Now()
	id := s.submit(transfer.Request{Route: transfer.RouteThirdParty})
	task := s.wait(id, 4*time.Hour, transfer.Succeeded)
	took := time.Since(begun)
	p := task.Progress
	if p.FilesDone != files || p.BytesDone != bytes || p.FilesUnverified > 0 || p.BytesChecksummed != bytes || task.Route.Path != transfer.RouteThirdParty {
		s.t.Errorf("the task's account: %s, %+v", task.Route.Path, p)
	}
	s.t.Logf("%d files, %d bytes in %v from submission to final report: %.0f files/s, %.1f MiB/s; %d faults; the worker is process %d",
		files, bytes, took.Round(time.Millisecond), float64(files)/took.Seconds(), float64(bytes)/took.Seconds()/mib, p.Faults, worker.PID())
	s.same()
}

// TestManyRealFiles moves files of 1 KiB: half a million of them at full size.
func TestManyRealFiles(t *testing.T) {
	const bytes, perDir = 1024, 1000
	files := size(3_000, 500_000)
	s := newSite(t, siteOptions{})
	room(t, s.src.Root, 2*files*(4096+512)) // a block and an inode each
	for i := range files {
		name := filepath.Join(s.src.Root, fmt.Sprintf("%04d", i/perDir), fmt.Sprintf("%07d", i))
		must(t, writeContent(name, uint64(i), bytes))
	}
	s.whole(files, files*bytes)
}

// TestOneRealFile moves one file: of 20 GiB at full size.
func TestOneRealFile(t *testing.T) {
	bytes := size(256*mib, 20<<30)
	s := newSite(t, siteOptions{})
	room(t, s.src.Root, 2*bytes+2<<30)
	must(t, writeContent(filepath.Join(s.src.Root, "one"), 1, bytes))
	s.whole(1, bytes)
}
