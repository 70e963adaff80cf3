package service_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/gridferry/gridferry/blob"
	"github.com/gridferry/gridferry/endpoints/memory"
	"github.com/gridferry/gridferry/integration/harness"
	"github.com/gridferry/gridferry/transfer"
	"github.com/gridferry/gridferry/workers"
)

// volume is a file system of its own, of a few MiB.
type volume struct {
	t    *testing.T
	path string
}

func newVolume(t *testing.T, bytes int64) *volume {
	t.Helper()
	v := &volume{t: t, path: filepath.Join(t.TempDir(), "volume")}
	if err := os.Mkdir(v.path, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Mount("gridferry-test", v.path, "tmpfs", 0, fmt.Sprintf("size=%d", bytes)); err != nil {
		harness.Lacking(t, "the right to mount a file system of its own: "+err.Error())
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(v.path, syscall.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	return v
}

func (v *volume) ballast() string { return filepath.Join(v.path, ".ballast") }

// fill takes all that is free, but for so many bytes.
func (v *volume) fill(leave int64) {
	f, err := os.Create(v.ballast())
	if err != nil {
		v.t.Error(err)
		return
	}
	defer f.Close()
	for block := make([]byte, 4096); ; {
		var fs syscall.Statfs_t
		if err := syscall.Statfs(v.path, &fs); err != nil || int64(fs.Bavail)*fs.Bsize <= leave {
			return
		}
		if _, err := f.Write(block); err != nil {
			if !errors.Is(err, syscall.ENOSPC) {
				v.t.Error(err)
			}
			return
		}
	}
}

func (v *volume) free() {
	if err := os.Remove(v.ballast()); err != nil {
		v.t.Error(err)
	}
}

// ears are a notifier that remembers.
type ears struct {
	mu    sync.Mutex
	heard map[string]transfer.NoticeKind
}

func (e *ears) Notify(_ context.Context, n transfer.Notice) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.heard == nil {
		e.heard = map[string]transfer.NoticeKind{}
	}
	e.heard[n.ID] = n.Kind
	return nil
}

func (e *ears) count(kind transfer.NoticeKind) (n int) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, k := range e.heard {
		if k == kind {
			n++
		}
	}
	return n
}

// TestFullBlobStore fills the file system of the blob store, for real: before
// the walk, in the middle of the copy, and when that goes on. Each time the
// task waits and says so, goes on by itself when there is room again, and in
// the end every byte is there, and every file's result, once.
func TestFullBlobStore(t *testing.T) {
	for name, reserve := range map[string]int64{"with a reserve": 1 << 20, "to the last byte": 0} {
		t.Run(name, func(t *testing.T) {
			if reserve == 0 && os.Getenv("GRIDFERRY_SOAK") == "" {
				t.Skip("needs GRIDFERRY_SOAK: copies that cannot write down where they stopped are verified again a minute later")
			}
			const files = 3000
			s := newSite(t)
			s.stop()
			v := newVolume(t, 8<<20)
			dir, err := blob.NewDir(v.path)
			if err != nil {
				t.Fatal(err)
			}
			told := &ears{}
			s.config.Blobs, s.config.Notifier = blob.Bound(dir, blob.Limits{Reserve: reserve}), told
			s.start(workers.Control, workers.Data)
			for i := range files {
				s.put(fmt.Sprintf("/data/%02d/%04d", i%50, i))
			}
			var sent atomic.Int64
			var again atomic.Bool
			full := make(chan string, 2)
			s.src.Faults().Hook(func(ctx context.Context, op memory.Op, _ string, _ int64) error {
				if op != memory.Sent {
					return nil
				}
				switch n := sent.Add(1); {
				case n == files/3:
					v.fill(reserve / 2)
					full <- "in the middle of the copy"
					<-ctx.Done() // which is given up for it
					return ctx.Err()
				case n > files/3 && again.CompareAndSwap(true, false):
					v.fill(reserve / 2)
					full <- "when it goes on"
				}
				return nil
			})
			v.fill(reserve / 2)
			id := s.submit(transfer.Request{Source: "src:/data", Destination: "dst:/data", Recursive: true, FailOnFull: true, Notify: "ada@example.org"})
			s.outlasts(id, v, "before the walk", true)
			for n := range 2 {
				select {
				case when := <-full:
					// What is held back may be all that the rest takes.
					s.outlasts(id, v, when, n == 0)
					again.Store(n == 0)
				case <-time.After(time.Minute):
					t.Fatal("the copy does not get on")
				}
			}
			task := s.wait(id, transfer.Succeeded)
			s.same("/data")
			if p := task.Progress; p.FilesDone != files || p.FilesFailed > 0 {
				t.Errorf("progress: %+v", p)
			}
			lines := 0
			for q := (transfer.ResultQuery{Page: transfer.Page{Limit: 1000}}); ; {
				page, err := s.service.Results(t.Context(), id, q)
				if err != nil {
					t.Fatal(err)
				}
				lines += len(page.Results)
				if q.Page.Token = page.Next; page.Next == "" {
					break
				}
			}
			if lines != files {
				t.Errorf("%d results", lines)
			}
			harness.Eventually(t, 10*time.Second, func() error {
				if w, ok := told.count(transfer.NoticeWaiting), told.count(transfer.NoticeSucceeded); w != 1 || ok != 1 {
					return fmt.Errorf("the owner heard %d times of waiting, and %d times of success", w, ok)
				}
				return nil
			})
			t.Logf("%d files, %d sent, %d faults", files, sent.Load(), task.Progress.Faults)
		})
	}
}

// outlasts waits until the task says that it waits for room, and makes room.
// Where it need not wait, it may end instead.
func (s *site) outlasts(id transfer.TaskID, v *volume, when string, must bool) {
	s.t.Helper()
	s.until(id, "waiting for room "+when, func(t transfer.Task) bool {
		return t.Outlook.For == transfer.ForStore || !must && t.Phase == transfer.PhaseDone
	})
	v.free()
}
