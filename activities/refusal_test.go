package activities

import (
	"context"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/gridferry/gridferry/endpoints/memory"
	"github.com/gridferry/gridferry/fault"
	"github.com/gridferry/gridferry/transfer"
)

// TestCopyRefusedFile has the source refuse each file of a pipeline in turn.
// No file may ever hold another one's bytes, also not the one that was there.
func TestCopyRefusedFile(t *testing.T) {
	const n = 9
	for k := range n {
		for _, exists := range []bool{false, true} {
			t.Run(fmt.Sprintf("%d-%v", k, exists), func(t *testing.T) {
				w := newWorld(t)
				for i := range n {
					put(t, w.src, fmt.Sprintf("/from/f%d", i), content(uint64(i+1), 100))
				}
				name := fmt.Sprintf("/f%d", k)
				want := tree(t, w.src, "/from")
				delete(want, name)
				if exists {
					put(t, w.dst, "/to"+name, []byte("precious"))
					want[name] = "precious"
				}
				w.src.Faults().Fail(memory.Sent, "/from"+name, -1, refuse(fault.Permission, "/from"+name))
				req := w.request(func(r *transfer.Request) { r.OnError = transfer.OnErrorSkip; r.Tuning.Concurrency = 1 })
				wk := w.walk(req, defaultWalkSizes)
				res := w.copyOne(wk, wk.Chunks[0], req)
				if !res.Complete || res.Files != n-1 || res.NFailed != 1 || len(res.Failed) != 1 {
					t.Fatalf("copy: %+v", res)
				}
				if f := res.Failed[0]; f.Path != "/from"+name || f.Kind != fault.Permission || !f.AtSource {
					t.Errorf("failed: %+v", f)
				}
				sameTree(t, tree(t, w.dst, "/to"), want)
				if r := w.results()["/to"+name]; r.Status != statusFailed || r.Fault == nil {
					t.Errorf("result: %+v", r)
				}
			})
		}
	}
}

// TestCopyRefusedIsTriedAgain: by default a refused file is tried once in each
// schedule, after everything else, five times in all.
func TestCopyRefusedIsTriedAgain(t *testing.T) {
	routes(t, func(t *testing.T, route transfer.RouteRule) {
		w := newWorld(t)
		for i := range 5 {
			put(t, w.src, fmt.Sprintf("/from/f%d", i), content(uint64(i+1), 100))
		}
		w.src.Faults().Fail(memory.Open, "/from/f2", -1, refuse(fault.NotFound, "/from/f2"))
		req := w.request(func(r *transfer.Request) { r.Route = route })
		wk := w.walk(req, defaultWalkSizes)
		in := w.copyInput(wk, wk.Chunks[0], req)
		for try := 1; try <= transfer.TriesRefused; try++ {
			res, err := w.worker("copier").copy(t.Context(), in, nil)
			if err != nil {
				t.Fatal(err)
			}
			if res.Files != 4 || res.NFailed != 1 || res.Complete != (try == transfer.TriesRefused) {
				t.Fatalf("try %d: %+v", try, res)
			}
			if _, there := get(t, w.dst, "/to/f2"); there {
				t.Fatalf("try %d left something under the refused name", try)
			}
		}
		w.noStrays()
	})
}

// TestCopyUnsupportedIsGivenUp: what an end cannot do with a file is told at
// once, of the file by its own name, and the others arrive.
func TestCopyUnsupportedIsGivenUp(t *testing.T) {
	routes(t, func(t *testing.T, route transfer.RouteRule) {
		w := newWorld(t)
		for i := range 5 {
			put(t, w.src, fmt.Sprintf("/from/f%d", i), content(uint64(i+1), 100))
		}
		var tries atomic.Int32
		w.dst.Faults().Hook(func(_ context.Context, op memory.Op, p string, _ int64) error {
			if (op == memory.Create || op == memory.Sent) && strings.Contains(p, "f2") {
				tries.Add(1)
				return fault.New(fault.Unsupported, "write", p, "the server takes no such name")
			}
			return nil
		})
		req := w.request(func(r *transfer.Request) { r.Route, r.Atomic = route, true })
		wk := w.walk(req, defaultWalkSizes)
		res, err := w.worker("copier").copy(t.Context(), w.copyInput(wk, wk.Chunks[0], req), nil)
		if err != nil || !res.Complete || res.Files != 4 || res.NFailed != 1 {
			t.Fatalf("copy: %+v, %v", res, err)
		}
		if n := tries.Load(); n != 2 { // among others, and alone
			t.Errorf("it was tried %d times", n)
		}
		const want = "write /to/f2: the server takes no such name"
		if res.Failed[0].Message != want {
			t.Errorf("it is said: %s", res.Failed[0].Message)
		}
		for _, f := range res.Faults {
			if f.Message != want || f.Path != "/to/f2" {
				t.Errorf("fault: %+v", f)
			}
		}
		w.noStrays()
	})
}

func TestCopyHealsARefusedFile(t *testing.T) {
	w := newWorld(t)
	put(t, w.src, "/from/a", content(1, 100))
	put(t, w.src, "/from/b", content(2, 100))
	w.dst.Faults().Fail(memory.Sent, "/to/a", 1, refuse(fault.Permission, "/to/a"))
	req := w.request(func(r *transfer.Request) { r.OnError = transfer.OnErrorSkip })
	wk := w.walk(req, defaultWalkSizes)
	res := w.copyOne(wk, wk.Chunks[0], req)
	if !res.Complete || res.Files != 2 || res.NFailed != 0 {
		t.Errorf("copy: %+v", res)
	}
	sameTree(t, tree(t, w.dst, "/to"), tree(t, w.src, "/from"))
	w.noStrays()
}

func TestCopyFailFast(t *testing.T) {
	w := newWorld(t)
	for i := range 5 {
		put(t, w.src, fmt.Sprintf("/from/f%d", i), content(uint64(i+1), 100))
	}
	w.src.Faults().Fail(memory.Open, "/from/f0", -1, refuse(fault.Permission, "/from/f0"))
	req := w.request(func(r *transfer.Request) {
		r.OnError, r.Route, r.Tuning.Concurrency = transfer.OnErrorFail, transfer.RouteRelay, 1
	})
	wk := w.walk(req, defaultWalkSizes)
	res, err := w.worker("copier").copy(t.Context(), w.copyInput(wk, wk.Chunks[0], req), nil)
	if err != nil {
		t.Fatal(err)
	}
	if res.NFailed != 1 || res.Files > 1 {
		t.Errorf("copy: %+v", res)
	}
}
