package activities

import (
	"math/rand/v2"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gridferry/gridferry/endpoints/memory"
	"github.com/gridferry/gridferry/transfer"
)

// TestCopyKilledAnywhere kills the worker at every step that it takes outside
// itself (every fifth when there is less time), and lets another one finish.
func TestCopyKilledAnywhere(t *testing.T) {
	stride := int64(5)
	if soaking() {
		stride = 1
	}
	routes(t, func(t *testing.T, route transfer.RouteRule) {
		for killAt := int64(1); ; killAt += stride {
			if reached := killAndRecover(t, route, killAt); !reached {
				t.Logf("%d steps", killAt)
				if killAt < 40 {
					t.Error("the test misses what it is for")
				}
				return
			}
			if t.Failed() {
				t.Fatalf("killed at step %d", killAt)
			}
		}
	})
}

func killAndRecover(t *testing.T, route transfer.RouteRule, killAt int64, opts ...func(src, dst *memory.Options)) (reached bool) {
	w := newWorld(t, opts...)
	want := w.mixedTree()
	req := w.request(func(r *transfer.Request) { r.Route = route })
	wk := w.walk(req, defaultWalkSizes)
	if len(wk.Chunks) != 1 {
		t.Fatalf("%d chunks, the test is about one", len(wk.Chunks))
	}
	in := w.copyInput(wk, wk.Chunks[0], req)
	p := w.process(killAt)
	d := w.gated("victim")
	ended := make(chan CopyResult, 1)
	go func() {
		res, _ := d.copy(p.context(t.Context()), in, nil)
		ended <- res
	}()
	select {
	case <-p.dead:
	case res := <-ended:
		if !res.Complete {
			t.Errorf("a copy that nobody killed: %+v", res)
		}
		return false
	}
	res := w.copyOne(wk, wk.Chunks[0], req)
	if !res.Complete || res.Files != wk.Found.Files || res.Bytes != wk.Found.Bytes {
		t.Errorf("the successor: %+v", res)
	}
	w.finish(wk, req, false)
	sameTree(t, tree(t, w.dst, "/to"), want)
	w.noStrays()
	if results := w.results(); len(results) != int(wk.Found.Files) {
		t.Errorf("%d lines of results for %d files", len(results), wk.Found.Files)
	}
	return true
}

// TestCopyKilledAgain kills one worker after the other.
func TestCopyKilledAgain(t *testing.T) {
	rounds := 12
	if soaking() {
		rounds = 300
	}
	routes(t, func(t *testing.T, route transfer.RouteRule) {
		for round := range rounds {
			random := rand.New(rand.NewPCG(uint64(round), 1))
			w := newWorld(t)
			want := w.mixedTree()
			req := w.request(func(r *transfer.Request) { r.Route = route; r.Atomic = round%3 == 0 })
			wk := w.walk(req, defaultWalkSizes)
			in := w.copyInput(wk, wk.Chunks[0], req)
			var at []int64
			for range 4 {
				p := w.process(1 + random.Int64N(200))
				at = append(at, p.killAt)
				d := w.gated("victim")
				ended := make(chan struct{})
				go func() {
					defer close(ended)
					_, _ = d.copy(p.context(t.Context()), in, nil)
				}()
				select {
				case <-p.dead:
				case <-ended:
				}
			}
			if res := w.copyOne(wk, wk.Chunks[0], req); !res.Complete || res.Files != wk.Found.Files {
				t.Errorf("the last one: %+v", res)
			}
			w.finish(wk, req, false)
			sameTree(t, tree(t, w.dst, "/to"), want)
			w.noStrays()
			w.results()
			if t.Failed() {
				t.Fatalf("round %d, killed at steps %v", round, at)
			}
		}
	})
}

// TestCopyResumesLargeFile counts what is sent again after a kill in the
// middle of a large file.
func TestCopyResumesLargeFile(t *testing.T) {
	routes(t, func(t *testing.T, route transfer.RouteRule) {
		w := newWorld(t)
		const size = 1 << 20
		w.parts = partSizes{from: 64 << 10, share: 64, min: 16 << 10, max: 16 << 10}
		put(t, w.src, "/from/big", content(7, size))
		want := tree(t, w.src, "/from")
		req := w.request(func(r *transfer.Request) { r.Route = route })
		wk := w.walk(req, defaultWalkSizes)
		in := w.copyInput(wk, wk.Chunks[0], req)

		p := w.process(0)
		d := w.gated("victim")
		var mu sync.Mutex
		var counting bool
		var sent int64
		w.dst.Faults().Hook(func(ctx ctxType, op memory.Op, name string, off int64) error {
			if op == memory.Write && off >= size/2 && ctx.Value(processKey{}) == p {
				p.kill()
			}
			return passes(ctx, string(op))
		})
		go d.copy(p.context(t.Context()), in, nil)
		<-p.dead
		w.src.Faults().Hook(func(_ ctxType, op memory.Op, name string, off int64) error {
			mu.Lock()
			defer mu.Unlock()
			if counting = op == memory.Open && name == "/from/big"; counting {
				sent += 16 << 10
			}
			return nil
		})
		w.dst.Faults().Hook(nil)
		res := w.copyOne(wk, wk.Chunks[0], req)
		if !res.Complete || !res.Late {
			t.Errorf("the successor: %+v", res)
		}
		// 64 MiB of 1 GiB, in parts of 16 MiB: four parts beyond what was missing.
		if limit := int64(size/2 + 4*16<<10); sent > limit {
			t.Errorf("%d bytes were sent after the kill, at most %d should have been", sent, limit)
		}
		w.finish(wk, req, false)
		sameTree(t, tree(t, w.dst, "/to"), want)
		w.noStrays()
	})
}

// TestCopyStopped stops a worker, as SIGSTOP does, in the middle of a write,
// lets another one finish, and lets the first go on: what its servers still
// write must not survive, and nothing else of it may happen.
func TestCopyStopped(t *testing.T) {
	for _, file := range []string{"/small", "/large"} {
		t.Run(file, bubble(func(t *testing.T) {
			w := newWorld(t)
			w.limit = 100 * time.Millisecond
			size := map[string]int{"/small": 700, "/large": 100 << 10}[file]
			put(t, w.src, "/from"+file, content(1, size))
			req := w.request()
			wk := w.walk(req, defaultWalkSizes)
			p := w.process(0)
			d := w.gated("stopped")
			stopped := make(chan struct{})
			var once sync.Once
			w.dst.Faults().Hook(func(ctx ctxType, op memory.Op, name string, off int64) error {
				if ctx.Value(processKey{}) == p && op == memory.Write && (size < 1000 || off >= 32<<10) {
					once.Do(func() { p.stop(); close(stopped) })
				}
				return passes(ctx, string(op))
			})
			first := make(chan error, 1)
			go func() {
				_, err := d.copy(p.context(t.Context()), w.copyInput(wk, wk.Chunks[0], req), nil)
				first <- err
			}()
			<-stopped
			// No successor begins before the lease has run out by any clock.
			time.Sleep(2 * w.limit)
			// Its source has changed since: what it goes on to write is old.
			fresh := content(2, size)
			replace(t, w.src, "/from"+file, fresh)
			res := w.copyOne(wk, wk.Chunks[0], req)
			if !res.Complete || !res.Late {
				t.Fatalf("the successor: %+v", res)
			}
			p.resume()
			if err := <-first; err == nil {
				t.Error("the stopped worker should have found its lease gone")
			}
			fin := w.finish(wk, req, false)
			if fin.Verified == 0 {
				t.Error("nothing was verified again")
			}
			if got, _ := get(t, w.dst, "/to"+file); !equal(got, fresh) {
				t.Errorf("the destination is not the source as it is now")
			}
			if n := len(w.results()); n != 1 {
				t.Errorf("%d lines of results for one file", n)
			}
			w.noStrays()
		}))
	}
}

func TestCopyLosesItsLease(t *testing.T) { synctest.Test(t, testCopyLosesItsLease) }

func testCopyLosesItsLease(t *testing.T) {
	w := newWorld(t)
	want := w.mixedTree()
	req := w.request()
	wk := w.walk(req, defaultWalkSizes)
	in := w.copyInput(wk, wk.Chunks[0], req)
	var once sync.Once
	w.dst.Faults().Hook(func(_ ctxType, op memory.Op, _ string, _ int64) error {
		if op == memory.Rename {
			once.Do(func() {
				w.leases.mu.Lock()
				w.leases.epochs[string(testTask)+"/"+in.Chunk.ID]++
				w.leases.mu.Unlock()
			})
		}
		return nil
	})
	h, err := w.worker("x").acquire(t.Context(), in)
	if err != nil {
		t.Fatal(err)
	}
	h.limit = 50 * time.Millisecond
	w.leases.mu.Lock()
	w.leases.down = true
	w.leases.mu.Unlock()
	go h.keep(t.Context())
	select {
	case <-h.lost:
	case <-time.After(10 * time.Second):
		t.Fatal("a lease that cannot be renewed is kept")
	}
	if h.mine() || h.sure(t.Context()) == nil {
		t.Error("a lost lease is used")
	}
	w.leases.mu.Lock()
	w.leases.down = false
	w.leases.mu.Unlock()
	if res := w.copyOne(wk, wk.Chunks[0], req); !res.Complete {
		t.Errorf("copy: %+v", res)
	}
	sameTree(t, tree(t, w.dst, "/to"), want)
}
