package activities

import (
	"fmt"
	"os"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gridferry/gridferry/endpoints/memory"
	"github.com/gridferry/gridferry/fault"
	"github.com/gridferry/gridferry/transfer"
)

// routes runs a test over both data paths.
//
// Time passes only while nobody has anything to do, however busy the machine is.
func routes(t *testing.T, fn func(t *testing.T, route transfer.RouteRule)) {
	for _, route := range []transfer.RouteRule{transfer.RouteThirdParty, transfer.RouteRelay} {
		t.Run(string(route), bubble(func(t *testing.T) { fn(t, route) }))
	}
}

// bubble is a test in a bubble of its own.
func bubble(test func(t *testing.T)) func(t *testing.T) {
	return func(t *testing.T) { synctest.Test(t, test) }
}

func TestCopyMovesATree(t *testing.T) {
	routes(t, func(t *testing.T, route transfer.RouteRule) {
		w := newWorld(t)
		want := w.mixedTree()
		req := w.request(func(r *transfer.Request) { r.Route = route })
		wk := w.walk(req, defaultWalkSizes)
		var files, bytes, sums int64
		for _, res := range w.copyAll(wk, req) {
			if !res.Complete || res.NFailed > 0 || res.Blocked != nil {
				t.Fatalf("copy: %+v", res)
			}
			files, bytes, sums = files+res.Files, bytes+res.Bytes, sums+res.Checksummed
		}
		sameTree(t, tree(t, w.dst, "/to"), want)
		w.noStrays()
		if files != wk.Found.Files || bytes != wk.Found.Bytes || sums != bytes {
			t.Errorf("copied %d files, %d bytes, %d of them checked; the walk found %d and %d", files, bytes, sums, wk.Found.Files, wk.Found.Bytes)
		}
		results := w.results()
		if len(results) != int(files) {
			t.Errorf("%d lines of results for %d files", len(results), files)
		}
		for name, r := range results {
			if r.Status != statusCopied || r.Checksum == "" {
				t.Errorf("%s: %+v", name, r)
			}
		}
	})
}

// soaking asks for full sizes ("make soak").
func soaking() bool { return os.Getenv("GRIDFERRY_SOAK") != "" }

func TestCopyBlocks(t *testing.T) {
	for _, tt := range []struct {
		name   string
		err    error
		op     memory.Op
		atDest bool
		kind   fault.Kind
		data   bool
	}{
		{"credential", fault.New(fault.Credential, "log in to", "src", "expired"), memory.Sent, false, fault.Credential, false},
		{"quota", fault.New(fault.NoSpace, "store", "/to/f1", "quota exceeded"), memory.Sent, true, fault.NoSpace, false},
		{"firewall", fault.Wrap(fault.Transient, "connect 10.0.0.1:50000 to", "10.0.0.2:50001", errBlocked), memory.Sent, true, fault.Transient, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := newWorld(t)
			for i := range 3 {
				put(t, w.src, fmt.Sprintf("/from/f%d", i), content(uint64(i+1), 100))
			}
			want := tree(t, w.src, "/from")
			req := w.request()
			wk := w.walk(req, defaultWalkSizes)
			disk := w.src
			if tt.atDest {
				disk = w.dst
			}
			disk.Faults().Fail(tt.op, "", -1, tt.err)
			res := w.copyOne(wk, wk.Chunks[0], req)
			if res.Complete || res.Blocked == nil || res.Blocked.Kind != tt.kind || res.BlockedData != tt.data {
				t.Fatalf("copy: %+v", res)
			}
			disk.Faults().Clear()
			if res := w.copyOne(wk, wk.Chunks[0], req); !res.Complete || res.Late {
				t.Errorf("afterwards: %+v", res)
			}
			sameTree(t, tree(t, w.dst, "/to"), want)
			w.noStrays()
		})
	}
}

func TestCopyOutlivesDroppedSessions(t *testing.T) {
	routes(t, func(t *testing.T, route transfer.RouteRule) {
		w := newWorld(t)
		want := w.mixedTree()
		req := w.request(func(r *transfer.Request) { r.Route = route })
		wk := w.walk(req, defaultWalkSizes)
		lost := fault.New(fault.Transient, "send", "a file", "connection reset by peer")
		for _, op := range []memory.Op{memory.Sent, memory.Write, memory.Read, memory.Rename, memory.Checksum, memory.Create} {
			w.dst.Faults().Fail(op, "", 1, lost)
			w.src.Faults().Fail(op, "", 1, lost)
		}
		res := w.copyOne(wk, wk.Chunks[0], req)
		if !res.Complete || res.NFailed > 0 || res.NFaults == 0 {
			t.Errorf("copy: %+v", res)
		}
		w.src.Faults().Clear()
		w.dst.Faults().Clear()
		sameTree(t, tree(t, w.dst, "/to"), want)
		w.noStrays()
	})
}

// TestCopyYields stops a copy in the middle and lets it go on later: nothing
// is late, because it ended cleanly.
func TestCopyYields(t *testing.T) {
	routes(t, func(t *testing.T, route transfer.RouteRule) {
		w := newWorld(t)
		want := w.mixedTree()
		req := w.request(func(r *transfer.Request) { r.Route = route; r.Tuning.Concurrency = 1 })
		wk := w.walk(req, defaultWalkSizes)
		stopping := make(chan struct{})
		var once sync.Once
		w.dst.Faults().Hook(func(_ ctxType, op memory.Op, name string, off int64) error {
			if op == memory.Write && off >= 48<<10 {
				once.Do(func() { close(stopping) })
				time.Sleep(time.Millisecond) // let the word get around
			}
			return nil
		})
		d := w.worker("draining")
		d.Stopping = stopping
		res, err := d.copy(t.Context(), w.copyInput(wk, wk.Chunks[0], req), nil)
		if err != nil {
			t.Fatal(err)
		}
		if !res.Yielded || res.Complete || res.Files == 0 {
			t.Fatalf("copy: %+v", res)
		}
		w.dst.Faults().Clear()
		if res := w.copyOne(wk, wk.Chunks[0], req); !res.Complete || res.Late || res.Files != wk.Found.Files {
			t.Errorf("afterwards: %+v", res)
		}
		sameTree(t, tree(t, w.dst, "/to"), want)
		w.noStrays()
	})
}

func TestCopyBusy(t *testing.T) {
	w := newWorld(t)
	put(t, w.src, "/from/a", content(1, 10))
	req := w.request()
	wk := w.walk(req, defaultWalkSizes)
	in := w.copyInput(wk, wk.Chunks[0], req)
	in.Probe.Destination.Sessions = 2
	w.leases.in["dst"] = 2
	_, err := w.worker("x").Copy(t.Context(), in)
	if f := FaultOf(err); f.Kind != fault.Busy {
		t.Fatalf("copy: %v", err)
	}
	w.leases.in["dst"] = 0
	res, err := w.worker("x").Copy(t.Context(), in)
	if err != nil || !res.Complete {
		t.Fatalf("copy: %+v, %v", res, err)
	}
	if w.leases.in["dst"] != 0 {
		t.Error("the sessions were not given back")
	}
}

func TestCopyStreamOnly(t *testing.T) {
	routes(t, func(t *testing.T, route transfer.RouteRule) {
		w := newWorld(t, func(_, dst *memory.Options) { dst.StreamOnly = true })
		want := w.mixedTree()
		req := w.request(func(r *transfer.Request) { r.Route = route })
		wk := w.walk(req, defaultWalkSizes)
		if res := w.copyOne(wk, wk.Chunks[0], req); !res.Complete || res.NFailed > 0 {
			t.Errorf("copy: %+v", res)
		}
		sameTree(t, tree(t, w.dst, "/to"), want)
	})
}

func TestCopyPreserves(t *testing.T) {
	routes(t, func(t *testing.T, route transfer.RouteRule) {
		w := newWorld(t)
		put(t, w.src, "/from/sub/a", content(1, 500))
		s := w.src.Open()
		then := time.Date(2001, 2, 3, 4, 5, 6, 0, time.UTC)
		for _, p := range []string{"/from/sub/a", "/from/sub", "/from"} {
			if err := s.SetModTime(t.Context(), p, then); err != nil {
				t.Fatal(err)
			}
			if err := s.SetMode(t.Context(), p, 0o510); err != nil {
				t.Fatal(err)
			}
		}
		req := w.request(func(r *transfer.Request) { r.Route, r.PreserveMode, r.PreserveTime = route, true, true })
		wk := w.walk(req, defaultWalkSizes)
		if res := w.copyOne(wk, wk.Chunks[0], req); !res.Complete {
			t.Errorf("copy: %+v", res)
		}
		w.finish(wk, req, false)
		d := w.dst.Open()
		for _, p := range []string{"/to/sub/a", "/to/sub", "/to"} {
			e, err := d.Stat(t.Context(), p)
			if err != nil {
				t.Fatal(err)
			}
			if !e.ModTime.Equal(then) || e.Mode != 0o510 {
				t.Errorf("%s: %v %o", p, e.ModTime, e.Mode)
			}
		}
	})
}
