package fairness

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/gridferry/gridferry/blob"
	"github.com/gridferry/gridferry/endpoints"
	"github.com/gridferry/gridferry/endpoints/memory"
	"github.com/gridferry/gridferry/integration/harness"
	"github.com/gridferry/gridferry/service"
	"github.com/gridferry/gridferry/service/store"
	"github.com/gridferry/gridferry/transfer"
	"github.com/gridferry/gridferry/workers"
)

// How much the one owner wants, in so many tasks, and the other; how often the
// other is measured.
const (
	tasks  = 20
	few    = 10
	rounds = 5
)

// perTask is how many files each of the one owner's tasks has: all are 10,000,
// and 100,000 when there is time ("make soak").
func perTask() int {
	if os.Getenv("GRIDFERRY_SOAK") != "" {
		return 100_000 / tasks
	}
	return 10_000 / tasks
}

// slow is how long a file takes: the two wait for places, and not for this
// machine's processors.
const slow = 20 * time.Millisecond

type site struct {
	t       *testing.T
	service *service.Service
	src     *memory.Disk
}

// newSite starts Temporal, with its fairness on or off, and one worker.
func newSite(t *testing.T, fair bool) *site {
	t.Helper()
	temporal := harness.NewTemporal(t, harness.TemporalOptions{Flags: []string{"-dynamic-config", fmt.Sprintf("matching.enableFairness=%v", fair)}})
	c := temporal.Client()
	kept, err := store.Open(t.Context(), filepath.Join(t.TempDir(), "state.db"), store.Options{})
	must(t, err)
	t.Cleanup(func() { kept.Close() })
	s := &site{t: t, service: service.New(c, service.Options{}), src: memory.NewDisk(memory.Options{})}
	dst := memory.NewDisk(memory.Options{})
	dst.Faults().Hook(func(ctx context.Context, op memory.Op, _ string, _ int64) error {
		if op == memory.Write {
			select {
			case <-time.After(slow):
			case <-ctx.Done():
			}
		}
		return nil
	})
	p, err := workers.Start(t.Context(), workers.Config{
		Client: c, Blobs: blob.NewMemory(), Leases: kept, Records: kept, Waiters: kept, Identity: "worker", Sweep: -1,
		Copies: 8, Steps: 4, Fair: fair,
		Endpoints: memory.NewOpener(map[string]*memory.Disk{"src": s.src, "dst": dst}),
		Log:       slog.New(slog.DiscardHandler),
	}, workers.Control, workers.Data)
	must(t, err)
	t.Cleanup(p.Stop)
	return s
}

// files puts n files of a few bytes into a directory of the source.
func (s *site) files(dir string, n int) {
	s.t.Helper()
	at := s.src.Open()
	defer at.Close()
	must(s.t, at.Mkdir(s.t.Context(), "/"+dir))
	for i := range n {
		w, err := at.Create(s.t.Context(), fmt.Sprintf("/%s/%06d", dir, i), endpoints.CreateOptions{Size: 1})
		must(s.t, err)
		_, err = w.Write([]byte("x"))
		must(s.t, err)
		must(s.t, w.Commit())
	}
}

func (s *site) submit(owner, dir, to string) transfer.TaskID {
	s.t.Helper()
	id, err := s.service.Submit(s.t.Context(), "", transfer.Request{
		Owner:  owner,
		Source: "src:/" + dir, Destination: "dst:/" + to, Recursive: true, Tuning: transfer.Policy{Concurrency: 2},
	})
	must(s.t, err)
	return id
}

// take is how long a small task of few's takes.
func (s *site) take(label string) time.Duration {
	s.t.Helper()
	begun := time.Now()
	s.ended("few", s.submit("few", "few", "few-"+label))
	return time.Since(begun)
}

func median(took []time.Duration) time.Duration {
	slices.Sort(took)
	return took[len(took)/2]
}

func (s *site) ended(owner string, id transfer.TaskID) transfer.Task {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(s.t.Context(), 30*time.Minute)
	defer cancel()
	task, err := s.service.Wait(ctx, id)
	must(s.t, err)
	if task.Status != transfer.Succeeded {
		s.t.Errorf("a task of %s is %s: %s", owner, task.Status, task.Verdict)
	}
	return task
}

// TestFewBesideMany: an owner with 10 files is done within twice the time that
// they take on an idle system, although another has queued very many before.
func TestFewBesideMany(t *testing.T) {
	for _, fair := range []bool{true, false} {
		t.Run(fmt.Sprintf("matching.enableFairness=%v", fair), func(t *testing.T) {
			// Whoever else loads this machine loads both sites at a time.
			s, quiet := newSite(t, fair), newSite(t, fair)
			for _, site := range []*site{s, quiet} {
				site.files("few", few)
				site.take("warm")
			}
			var all []transfer.TaskID
			for i := range tasks {
				s.files(fmt.Sprintf("many%d", i), perTask())
				all = append(all, s.submit("many", fmt.Sprintf("many%d", i), fmt.Sprintf("many%d", i)))
			}
			for _, id := range all { // all of them have something to wait for
				harness.Eventually(t, time.Minute, func() error {
					task, err := s.service.Task(t.Context(), id)
					if err == nil && task.Progress.Files < int64(perTask()) {
						err = fmt.Errorf("%d of its files are known: %s", task.Progress.Files, task.Verdict)
					}
					return err
				})
			}
			var alone, beside []time.Duration
			for i := range rounds {
				alone = append(alone, quiet.take(fmt.Sprint(i)))
				beside = append(beside, s.take(fmt.Sprint(i)))
			}
			idle, busy := median(alone), median(beside)
			left := 0
			for _, id := range all {
				task, err := s.service.Task(t.Context(), id)
				must(t, err)
				if task.Status == transfer.Active {
					left++
				}
			}
			t.Logf("%d files: %s idle, %s beside %d files (%d of %d tasks were still to end): %.2f times",
				few, idle.Round(time.Millisecond), busy.Round(time.Millisecond), tasks*perTask(), left, tasks, busy.Seconds()/idle.Seconds())
			if left == 0 {
				t.Fatal("the many were done before the few: nothing was shown")
			}
			if busy > 2*idle {
				t.Errorf("%s is more than twice %s", busy, idle)
			}
			if os.Getenv("GRIDFERRY_SOAK") == "" {
				return
			}
			for _, id := range all {
				s.ended("many", id)
			}
		})
	}
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
