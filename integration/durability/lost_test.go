package durability

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	enumspb "go.temporal.io/api/enums/v1"

	"github.com/gridferry/gridferry/integration/harness"
	"github.com/gridferry/gridferry/integration/tree"
	"github.com/gridferry/gridferry/service/store"
	"github.com/gridferry/gridferry/transfer"
)

// lossLimit is for what follows the loss of a worker: heartbeats of a minute
// to be missed, and a minute in which servers may still be writing.
const lossLimit = 8 * time.Minute

// heartbeat is the timeout of a copy's heartbeat.
const heartbeat = 20 * time.Second

// mixed is a tree with enough of everything that each phase lasts: folders to
// be walked and to be given their times, files that are renamed.
func mixed() tree.Spec {
	if soak() {
		return tree.Spec{Seed: 3, Files: 3000, Bytes: 2 << 30, Odd: true, Deep: 20, Empties: 1500,
			Large: append([]int64{512 * mib, 256 * mib, 96 * mib, 64 * mib}, slices.Repeat([]int64{2 * mib}, 100)...)}
	}
	return tree.Spec{Seed: 3, Files: 400, Bytes: 220 * mib, Odd: true, Deep: 10, Empties: 700,
		Large: append([]int64{96 * mib, 20 * mib}, slices.Repeat([]int64{3 * mib / 2}, 40)...)}
}

// largest is the largest file of mixed.
const largest = "large/volume-00.h5"

// A phase is a moment at which a worker is lost.
type phase struct {
	name string
	// until returns when the phase is under way.
	until func(w *watch)
	// evidence, asked while the worker stands still, is what shows that the
	// phase was hit.
	evidence func(w *watch) (string, error)
	// slowed puts the destination on a line that can be slowed.
	slowed bool
}

// A watch is on one transfer.
type watch struct {
	*site
	id       transfer.TaskID
	src, dst *sessions
	line     *harness.Host // of the destination, in phases that are slowed
	release  func()        // of the store's lock
}

func phases() []phase {
	return []phase{{
		name: "walk",
		until: func(w *watch) {
			catch(w.t, "listing commands at the source", func() bool { return w.listings() >= 3 })
		},
		evidence: func(w *watch) (string, error) {
			if len(w.pending(w.id, "WalkStep")) == 0 {
				return "", fmt.Errorf("no walk is under way")
			}
			return fmt.Sprintf("%d listing commands, and the walk is under way", w.listings()), nil
		},
	}, {
		name: "small files",
		until: func(w *watch) {
			catch(w.t, "a queue of STOR commands at the destination", func() bool {
				w.dst.update()
				return w.dst.count["STOR"] >= 50
			})
		},
		evidence: func(w *watch) (string, error) {
			w.dst.update()
			if w.dst.count["CKSM"] >= mixed().Files || len(w.pending(w.id, "Copy")) == 0 {
				return "", fmt.Errorf("the small files are there")
			}
			return fmt.Sprintf("%d STOR said of %d files", w.dst.count["STOR"], mixed().Files), nil
		},
	}, {
		name: "copy",
		until: func(w *watch) {
			catch(w.t, "a third of the largest file", func() bool {
				_, n := w.temp(largest)
				return n > mixed().Large[0]/3
			})
		},
		evidence: func(w *watch) (string, error) {
			_, n := w.temp(largest)
			if n == 0 || len(w.pending(w.id, "Copy")) == 0 {
				return "", fmt.Errorf("the largest file is not on its way")
			}
			return fmt.Sprintf("%d of %d bytes of the largest file under its temporary name", n, mixed().Large[0]), nil
		},
	}, {
		name: "verify",
		until: func(w *watch) {
			catch(w.t, "CKSM of the largest file at the destination", func() bool {
				w.dst.update()
				return w.dst.under("CKSM", filepath.Base(largest)) != ""
			})
		},
		evidence: func(w *watch) (string, error) {
			w.dst.update()
			command := w.dst.under("CKSM", filepath.Base(largest))
			if command == "" {
				return "", fmt.Errorf("the checksum was there already")
			}
			return "unanswered: " + command, nil
		},
	}, {
		name: "rename",
		until: func(w *watch) {
			catch(w.t, "RNFR at the destination", func() bool {
				w.dst.update()
				return w.dst.count["RNFR"] > 0
			})
		},
		evidence: func(w *watch) (string, error) {
			w.dst.update()
			all := w.toBeRenamed()
			if w.dst.count["RNTO"] >= all || len(w.pending(w.id, "Copy")) == 0 {
				return "", fmt.Errorf("all %d files were renamed already", all)
			}
			return fmt.Sprintf("%d RNFR and %d RNTO said, of %d files to be renamed", w.dst.count["RNFR"], w.dst.count["RNTO"], all), nil
		},
	}, {
		name:   "final record",
		slowed: true,
		until: func(w *watch) {
			// Directory times are set last, and hold no lease. On a slow line
			// that takes seconds, and when it is over the worker finds the
			// store locked.
			all := w.toBeRenamed()
			catch(w.t, "the last RNTO at the destination", func() bool {
				w.dst.update()
				return w.dst.count["RNTO"] >= all
			})
			w.line.Limit(256 << 10)
			catch(w.t, "the end of the task being seen to", func() bool { return len(w.pending(w.id, "Finish")) > 0 })
			w.release = w.lockStore()
			w.line.Limit(1 << 30)
			catch(w.t, "nothing left but the record", func() bool {
				d := w.describe(w.id)
				return len(d.GetPendingActivities()) == 0 && d.GetPendingWorkflowTask().GetState() == enumspb.PENDING_WORKFLOW_TASK_STATE_STARTED
			})
		},
		evidence: func(w *watch) (string, error) {
			d := w.describe(w.id)
			if d.GetWorkflowExecutionInfo().GetStatus() != enumspb.WORKFLOW_EXECUTION_STATUS_RUNNING || len(d.GetPendingActivities()) > 0 {
				return "", fmt.Errorf("the workflow is %v with %d activities", d.GetWorkflowExecutionInfo().GetStatus(), len(d.GetPendingActivities()))
			}
			if left := w.temps(); len(left) > 0 {
				return "", fmt.Errorf("there are temporary names: %v", left)
			}
			return "all files have their names, and the store is locked", nil
		},
	}}
}

// listings counts the commands that list a directory.
func (w *watch) listings() int {
	w.src.update()
	return w.src.count["MLSC"] + w.src.count["MLSD"] + w.src.count["LIST"]
}

// toBeRenamed counts the files that are too large to be written under their
// own names.
func (w *watch) toBeRenamed() int {
	n := 0
	for _, path := range names(w.t, w.site.src.Root) {
		if info, err := os.Lstat(path); err == nil && info.Mode().IsRegular() && info.Size() >= mib {
			n++
		}
	}
	return n
}

// begin starts a worker and the transfer of a mixed tree, which will be changed
// or not, stops the worker in a phase and makes sure that it was that phase.
func begin(t *testing.T, p phase, changed bool) (*watch, *harness.Process) {
	t.Helper()
	var o siteOptions
	o.src.Root = original(t, mixed())
	if changed {
		o.src.Root = copyOf(t, o.src.Root)
	}
	var line *harness.Host
	if p.slowed {
		net := harness.NewNetwork(t)
		line = net.Host("to")
		o.src.Address = net.Address
		o.dst.Address, o.dst.Namespace = line.Address, line.Namespace
	}
	s := newSite(t, o)
	defer hurry()()
	worker := s.worker("first")
	w := &watch{site: s, line: line, src: follow(s.src), dst: follow(s.dst)}
	w.id = s.submit(transfer.Request{PreserveTime: true})
	p.until(w)
	if w.release == nil {
		// One that is stopped while it has the lock on the store would keep
		// everybody out until it goes on.
		w.release = s.lockStore()
	}
	worker.Freeze()
	evidence, err := p.evidence(w)
	if err != nil {
		t.Fatalf("the phase was missed: %v", err)
	}
	t.Logf("stopped while: %s", evidence)
	return w, worker
}

// ended waits for the end of the task and looks at what it has left in the store.
func (w *watch) ended() {
	w.t.Helper()
	task := w.wait(w.id, lossLimit, transfer.Succeeded)
	w.t.Logf("%d files, %d bytes, %d faults, %v after it was submitted",
		task.Progress.FilesDone, task.Progress.BytesDone, task.Progress.Faults, task.Completed.Sub(task.Requested).Round(time.Second))
	for _, e := range w.events(w.id) {
		if e.Fault != nil {
			w.t.Logf("fault at %s: %s: %s", e.Time.Format(time.TimeOnly), e.Fault.Path, e.Fault.Message)
		}
	}
	kept, err := store.Open(w.t.Context(), filepath.Join(w.dir, "store.db"), store.Options{})
	must(w.t, err)
	defer kept.Close()
	if record, err := kept.Task(w.t.Context(), w.id); err != nil || record.Status != transfer.Succeeded {
		w.t.Errorf("the store says %q of the task, error %v", record.Status, err)
	}
}

// TestKilled kills the only worker (kill -9) in each phase of a transfer;
// another one finishes.
func TestKilled(t *testing.T) {
	t.Parallel()
	for _, p := range phases() {
		t.Run(p.name, func(t *testing.T) {
			t.Parallel()
			w, worker := begin(t, p, false)
			worker.Kill()
			w.release()
			w.worker("second")
			w.ended()
			w.same()
		})
	}
}

// TestFrozen stops the only worker (SIGSTOP) in each phase. Meanwhile the
// source changes and another worker takes over; while that is at it the first
// one goes on, as if nothing had happened.
func TestFrozen(t *testing.T) {
	t.Parallel()
	for _, p := range phases() {
		t.Run(p.name, func(t *testing.T) {
			t.Parallel()
			frozen(t, p, true)
		})
	}
}

// TestFrozenBriefly lets the first worker go on as soon as it is taken for
// lost. The server may have given it the next attempt too, by a poll that was
// open.
func TestFrozenBriefly(t *testing.T) {
	t.Parallel()
	for _, p := range phases() {
		if p.name != "small files" && p.name != "copy" {
			continue
		}
		t.Run(p.name, func(t *testing.T) {
			t.Parallel()
			frozen(t, p, false)
		})
	}
}

// frozen stops a worker in a phase until its heartbeats have been missed, and
// perhaps until another one has taken over.
func frozen(t *testing.T, p phase, takenOver bool) {
	t.Helper()
	w, first := begin(t, p, true)
	stopped := time.Now()
	w.release()
	old := t.TempDir()
	n, err := change(w.site.src.Root, old)
	must(t, err)
	who := identity(t, w.worker("second"))
	harness.Eventually(t, 3*time.Minute, func() error {
		if since := time.Since(stopped); since < heartbeat+2*time.Second {
			return fmt.Errorf("it is only %v", since)
		}
		if !takenOver {
			return nil
		}
		return w.takenOver(who)
	})
	t.Logf("%d files changed; the first worker goes on after %v", n, time.Since(stopped).Round(time.Second))
	first.Thaw()
	w.ended()
	if err := first.Terminate(2 * time.Minute); err != nil {
		t.Errorf("the first worker ended with %v", err)
	}
	w.ofOneVersion(old)
}

// takenOver returns nil when a worker is at the task, or the task has ended.
func (w *watch) takenOver(identity string) error {
	d := w.describe(w.id)
	if d.GetWorkflowExecutionInfo().GetStatus() != enumspb.WORKFLOW_EXECUTION_STATUS_RUNNING {
		return nil
	}
	for _, a := range d.GetPendingActivities() {
		if a.GetState() == enumspb.PENDING_ACTIVITY_STATE_STARTED && a.GetLastWorkerIdentity() == identity {
			return nil
		}
	}
	return fmt.Errorf("the worker %s is at none of %d activities", identity, len(d.GetPendingActivities()))
}

// identity is what a worker calls itself.
func identity(t *testing.T, worker *harness.Process) string {
	t.Helper()
	m := regexp.MustCompile(`identity=(\S+)`).FindStringSubmatch(worker.Log())
	if m == nil {
		t.Fatal("the worker does not say who it is")
	}
	return m[1]
}

// ofOneVersion compares both trees. A file that has changed meanwhile may be
// what it was, which is below old, or what it is.
func (w *watch) ofOneVersion(old string) {
	w.t.Helper()
	_, diffs, err := tree.Compare(w.site.src.Root, w.site.dst.Root)
	must(w.t, err)
	before := 0
	for _, d := range diffs {
		if strings.Contains(d.What, "differ") {
			if equal, was, err := tree.Compare(filepath.Join(old, d.Path), w.site.dst.Path(d.Path)); err == nil && equal > 0 && len(was) == 0 {
				before++
				continue
			}
		}
		w.t.Errorf("%v", d)
	}
	w.t.Logf("%d files arrived as they were before the change", before)
}

// TestKilledAgain kills every worker that takes the task up, three times in a
// row, wherever it may be, and lets a fourth one finish.
func TestKilledAgain(t *testing.T) {
	t.Parallel()
	for _, route := range routes() {
		t.Run(string(route), func(t *testing.T) {
			t.Parallel()
			o := onSlowLine(t)
			o.src.Root = original(t, mixed())
			s := newSite(t, o)
			id := s.submit(transfer.Request{PreserveTime: true, Route: route})
			for n := range 3 {
				worker := s.worker(fmt.Sprintf("worker-%d", n))
				who := identity(t, worker)
				harness.Eventually(t, 2*time.Minute, func() error {
					for _, a := range s.pending(id, "Copy") {
						if a.GetLastWorkerIdentity() == who {
							return nil
						}
					}
					return fmt.Errorf("the worker copies nothing")
				})
				had := s.there()
				harness.Eventually(t, time.Minute, func() error {
					if now := s.there(); now < had+20*mib {
						return fmt.Errorf("%d bytes are there, after %d", now, had)
					}
					return nil
				})
				worker.Kill()
				t.Logf("killed with %d MiB at the destination", s.there()/mib)
			}
			s.worker("last")
			task := s.wait(id, lossLimit, transfer.Succeeded)
			t.Logf("%d files, %d bytes, %d faults, %v after it was submitted",
				task.Progress.FilesDone, task.Progress.BytesDone, task.Progress.Faults, task.Completed.Sub(task.Requested).Round(time.Second))
			s.same()
		})
	}
}

// there is how many bytes there are at the destination.
func (s *site) there() int64 {
	var sum int64
	_ = filepath.WalkDir(s.dst.Root, func(_ string, d fs.DirEntry, err error) error {
		if err == nil && d.Type().IsRegular() {
			if info, err := d.Info(); err == nil { // else it was just renamed
				sum += info.Size()
			}
		}
		return nil
	})
	return sum
}
