package activities

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/gridferry/gridferry/transfer"
)

// chunkOf is a chunk of n files in the source's /data.
func (w *world) chunkOf(id string, n, size int, tuning transfer.Tuning) CopyInput {
	w.t.Helper()
	var files []transfer.File
	for i := range n {
		name := fmt.Sprintf("/%s-%04d", id, i)
		put(w.t, w.src, "/data"+name, content(uint64(i), size))
		files = append(files, transfer.File{Source: "/data" + name, Dest: name, Size: int64(size)})
	}
	sheet := sheetKey(testTask, id, "1")
	if err := putLines(w.ctx(), w.blobs, sheet, files); err != nil {
		w.t.Fatal(err)
	}
	return CopyInput{
		Task: testTask, Ends: Ends{Source: "src", Destination: "dst"}, Options: CopyOptions{Route: transfer.RouteRelay, Verify: transfer.VerifyNone},
		Chunk: transfer.Chunk{ID: id, Sheet: sheet, Files: int64(n), Bytes: int64(n * size), Tuning: tuning}, Schedule: 1,
	}
}

// A copy's senders come and go at the ends of files, and every file arrives.
func TestSendersComeAndGo(t *testing.T) {
	for _, route := range []transfer.RouteRule{transfer.RouteThirdParty, transfer.RouteRelay} {
		t.Run(string(route), bubble(func(t *testing.T) {
			w := newWorld(t)
			in := w.chunkOf("0001-0001", 3000, 64, transfer.Tuning{Concurrency: 2, Parallelism: 1, Pipelining: 10, MaxConcurrency: 6})
			in.Options.Route = route
			d := w.worker("one")
			h, err := d.acquire(t.Context(), in)
			if err != nil {
				t.Fatal(err)
			}
			c := newCopier(d, in, h)
			if err := c.open(t.Context()); err != nil {
				t.Fatal(err)
			}
			if err := c.connect(t.Context(), nil); err != nil {
				t.Fatal(err)
			}
			over := make(chan struct{})
			var meddling sync.WaitGroup
			meddling.Go(func() {
				for n := 0; ; n++ {
					c.want([]int{6, 0, 3, 1, 2}[n%5], "a test wants it so")
					select {
					case <-over:
						c.want(1, "")
						return
					case <-time.After(2 * time.Millisecond):
					}
				}
			})
			time.AfterFunc(100*time.Millisecond, func() { close(over) })
			c.move(t.Context())
			meddling.Wait()
			if err := c.close(t.Context()); err != nil {
				t.Fatal(err)
			}
			res := c.result()
			if !res.Complete || res.Files != 3000 || len(res.Faults) > 0 {
				t.Errorf("%+v", res)
			}
			if len(res.Adapted) == 0 || len(res.Adapted) > maxAdapted {
				t.Errorf("%d changes are told of", len(res.Adapted))
			}
			if c.staff.alive != 0 || c.staff.leaving != 0 || c.staff.working != 0 {
				t.Errorf("at the end: %+v", c.staff)
			}
			if got := tree(t, w.dst, "/"); len(got) != 3000 {
				t.Errorf("%d files have arrived", len(got))
			}
		}))
	}
}

// The chunks of a task share its sessions, and what they find is kept.
func TestCrewSharesSessions(t *testing.T) {
	w := newWorld(t)
	d := w.worker("one")
	kept := &pairNotes{}
	d.Pairs = kept
	tuning := transfer.Tuning{Concurrency: 2, Parallelism: 1, Pipelining: 10, MaxConcurrency: 8}
	var copiers []*copier
	var leave []func(context.Context)
	for i := range 3 {
		in := w.chunkOf(fmt.Sprintf("0001-%04d", i+1), 100, 10, tuning)
		c := newCopier(d, in, newHold(w.leases, Lease{Epoch: 1}, time.Now(), time.Minute))
		if err := c.open(t.Context()); err != nil {
			t.Fatal(err)
		}
		copiers = append(copiers, c)
		leave = append(leave, d.join(c))
	}
	wants := func() (n []int) {
		for _, c := range copiers {
			c.mu.Lock()
			n = append(n, c.staff.want)
			c.mu.Unlock()
		}
		return n
	}
	if got := wants(); !slices.Equal(got, []int{1, 1, 0}) {
		t.Errorf("three chunks and two sessions: %v", got)
	}
	leave[0](t.Context())
	if got := wants(); !slices.Equal(got[1:], []int{1, 1}) {
		t.Errorf("two chunks and two sessions: %v", got)
	}
	leave[1](t.Context())
	if got := wants(); got[2] != 2 {
		t.Errorf("one chunk and two sessions: %v", got)
	}
	if len(d.crews.of) != 1 {
		t.Fatalf("%d crews", len(d.crews.of))
	}
	// As if it had been at it for a while.
	for key, crew := range d.crews.of {
		crew.mu.Lock()
		crew.since = crew.since.Add(-2 * measuredFor)
		for at := range 100 {
			crew.gov.Observe(transfer.Sample{At: time.Duration(at) * crewTick, Work: float64(at), Streams: crew.gov.Streams()})
		}
		crew.files, crew.bytes = 1000, 1_000_000
		crew.mu.Unlock()
		leave[2](t.Context())
		d.disband(key, crew)
	}
	if len(d.crews.of) != 0 {
		t.Error("a crew without chunks is remembered")
	}
	if len(kept.known) != 1 || kept.known[0].Grain != transfer.GrainTiny || kept.known[0].Concurrency < 1 || kept.known[0].Files <= 0 {
		t.Errorf("kept %+v", kept.known)
	}
}

// What is fixed by the request stays as it is.
func TestFixedTuningHasNoCrew(t *testing.T) {
	w := newWorld(t)
	d := w.worker("one")
	in := w.chunkOf("0001-0001", 10, 10, transfer.Tuning{Concurrency: 5, Parallelism: 1, Pipelining: 10})
	c := newCopier(d, in, newHold(w.leases, Lease{Epoch: 1}, time.Now(), time.Minute))
	d.join(c)(t.Context())
	if c.staff.want != 5 || c.staff.most != 5 || d.crews.of != nil {
		t.Errorf("%+v, %d crews", c.staff, len(d.crews.of))
	}
}

func TestMostSessions(t *testing.T) {
	for _, tc := range []struct {
		tuning   transfer.Tuning
		src, dst int // limits
		want     int
	}{
		{transfer.Tuning{Concurrency: 2}, 0, 0, 2},
		{transfer.Tuning{Concurrency: 2, MaxConcurrency: 8}, 0, 0, 8},
		{transfer.Tuning{Concurrency: 2, MaxConcurrency: 4}, 4, 0, 2},
		{transfer.Tuning{Concurrency: 2, MaxConcurrency: 8}, 12, 10, 5},
		{transfer.Tuning{Concurrency: 2, MaxConcurrency: 2}, 2, 0, 2},
		{transfer.Tuning{Concurrency: 8}, 4, 0, 8},
	} {
		in := CopyInput{Chunk: transfer.Chunk{Tuning: tc.tuning}, Probe: ProbeResult{Source: End{Sessions: tc.src}, Destination: End{Sessions: tc.dst}}}
		if got := most(in); got != tc.want {
			t.Errorf("%+v with limits %d and %d: %d, want %d", tc.tuning, tc.src, tc.dst, got, tc.want)
		}
	}
}

// The next task starts from what the last one has found.
func TestProbeTellsWhatWorked(t *testing.T) {
	w := newWorld(t)
	d := w.worker("one")
	d.Pairs = &pairNotes{known: []transfer.Known{{Grain: transfer.GrainTiny, Concurrency: 3}}}
	probe, err := d.Probe(t.Context(), ProbeInput{Ends: Ends{Source: "src", Destination: "dst"}})
	if err != nil {
		t.Fatal(err)
	}
	if n, known := probe.Setting().Start(1000); n != 3 || !known {
		t.Errorf("a start with %d, %v", n, known)
	}
}

// pairNotes remembers one pair.
type pairNotes struct {
	mu    sync.Mutex
	known []transfer.Known
}

func (p *pairNotes) Known(context.Context, string, string) ([]transfer.Known, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.known), nil
}

func (p *pairNotes) PutKnown(_ context.Context, _, _ string, k transfer.Known, _ time.Duration) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.known = []transfer.Known{k}
	return nil
}

// What a server refuses one chunk is refused to all of the pair, and to those
// that come later.
func TestServersThatAreBusyWithThePair(t *testing.T) {
	w := newWorld(t)
	d := w.worker("one")
	member := func(task transfer.TaskID, id, destination string) *copier {
		in := w.chunkOf(id, 100, 10, transfer.Tuning{Concurrency: 2, Parallelism: 1, Pipelining: 10, MaxConcurrency: 8})
		in.Task, in.Ends.Destination = task, destination
		c := newCopier(d, in, newHold(w.leases, Lease{Epoch: 1}, time.Now(), time.Minute))
		if err := c.open(t.Context()); err != nil {
			t.Fatal(err)
		}
		leave := d.join(c)
		t.Cleanup(func() { leave(context.Background()) })
		return c
	}
	wants := func(c *copier) int {
		c.mu.Lock()
		defer c.mu.Unlock()
		return c.staff.want
	}
	mine, others := member("task-1", "0001-0001", "dst"), member("task-2", "0001-0002", "elsewhere")
	mine.atWork(1)
	d.crews.crowded(pairOf(mine.in.Ends))
	if wants(mine) != 1 || wants(others) != 2 {
		t.Errorf("one session of ours is all that a server takes: %d, and elsewhere %d", wants(mine), wants(others))
	}
	if later := member("task-3", "0001-0003", "dst"); wants(later) != 1 {
		t.Errorf("a task that comes later wants %d", wants(later))
	}
}
