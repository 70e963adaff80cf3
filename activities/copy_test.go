package activities

import (
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/gridferry/gridferry/endpoints/memory"
	"github.com/gridferry/gridferry/fault"
	"github.com/gridferry/gridferry/transfer"
)

// routes runs a test over both data paths.
func routes(t *testing.T, fn func(t *testing.T, route transfer.RouteRule)) {
	for _, route := range []transfer.RouteRule{transfer.RouteThirdParty, transfer.RouteRelay} {
		t.Run(string(route), func(t *testing.T) { fn(t, route) })
	}
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

// TestCopyFindsFlippedByte flips a byte after it was written and before it is
// verified.
func TestCopyFindsFlippedByte(t *testing.T) {
	routes(t, func(t *testing.T, route transfer.RouteRule) {
		w := newWorld(t)
		put(t, w.src, "/from/small", content(1, 500))
		put(t, w.src, "/from/large", content(2, 100<<10))
		want := tree(t, w.src, "/from")
		var mu sync.Mutex
		flipped := map[string]bool{}
		w.dst.Faults().Hook(func(ctx ctxType, op memory.Op, name string, _ int64) error {
			mu.Lock()
			first := op == memory.Checksum && len(flipped) < 2 && !flipped[name]
			if first {
				flipped[name] = true
			}
			mu.Unlock()
			if first {
				b, _ := get(t, w.dst, name)
				if len(b) > 0 {
					b[len(b)/2] ^= 1
					put(t, w.dst, name, b)
				}
			}
			return nil
		})
		req := w.request(func(r *transfer.Request) { r.Route = route })
		wk := w.walk(req, defaultWalkSizes)
		for _, c := range wk.Chunks {
			res := w.copyOne(wk, c, req)
			if !res.Complete || res.NFailed > 0 {
				t.Errorf("copy: %+v", res)
			}
			found := false
			for _, f := range res.Faults {
				found = found || f.Kind == fault.Integrity
			}
			if !found {
				t.Errorf("no integrity fault was told: %+v", res.Faults)
			}
		}
		w.dst.Faults().Clear()
		sameTree(t, tree(t, w.dst, "/to"), want)
		w.noStrays()
	})
}

func TestCopyGivesUpOnIntegrity(t *testing.T) {
	w := newWorld(t)
	put(t, w.src, "/from/a", content(1, 500))
	w.dst.Faults().Hook(func(ctx ctxType, op memory.Op, name string, _ int64) error {
		if op == memory.Checksum {
			put(t, w.dst, name, []byte("never right"))
		}
		return nil
	})
	req := w.request()
	wk := w.walk(req, defaultWalkSizes)
	res := w.copyOne(wk, wk.Chunks[0], req)
	w.dst.Faults().Clear()
	if !res.Complete || res.Files != 0 || res.NFailed != 1 || res.Failed[0].Kind != fault.Integrity {
		t.Errorf("copy: %+v", res)
	}
	if got := tree(t, w.dst, "/to"); len(got) != 0 {
		t.Errorf("left at the destination: %v", got)
	}
}

// TestCopySourceChanges replaces the source between walk and copy, and while
// it is being copied.
func TestCopySourceChanges(t *testing.T) {
	routes(t, func(t *testing.T, route transfer.RouteRule) {
		for _, size := range []int{500, 100 << 10} {
			w := newWorld(t)
			put(t, w.src, "/from/a", content(1, size))
			req := w.request(func(r *transfer.Request) { r.Route = route })
			wk := w.walk(req, defaultWalkSizes)
			changed := content(2, size+10)
			var once sync.Once
			w.src.Faults().Hook(func(_ ctxType, op memory.Op, _ string, off int64) error {
				if op == memory.Read && off >= int64(size)/2 || size < 1000 && op == memory.Open {
					once.Do(func() { replace(t, w.src, "/from/a", changed) })
				}
				return nil
			})
			res := w.copyOne(wk, wk.Chunks[0], req)
			if !res.Complete || res.NFailed > 0 {
				t.Fatalf("copy: %+v", res)
			}
			if got, _ := get(t, w.dst, "/to/a"); !equal(got, changed) {
				t.Errorf("the destination is not the source as it is now: %d bytes", len(got))
			}
			w.noStrays()
		}
	})
}

// replace writes a new file and renames it over the old one.
func replace(t *testing.T, d *memory.Disk, name string, data []byte) {
	put(t, d, name+".new", data)
	s := d.Open()
	defer s.Close()
	if err := s.Rename(t.Context(), name+".new", name); err != nil {
		t.Error(err)
	}
}

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

// TestCopyStopped stops a worker, as SIGSTOP does, in the middle of a write,
// lets another one finish, and lets the first go on: what its servers still
// write must not survive, and nothing else of it may happen.
func TestCopyStopped(t *testing.T) {
	for _, file := range []string{"/small", "/large"} {
		t.Run(file, func(t *testing.T) {
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
		})
	}
}

func TestCopyLosesItsLease(t *testing.T) {
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

// TestCopyOnlyVerifies: what cannot be checked by checksum is counted.
func TestCopyUnverified(t *testing.T) {
	for _, verify := range []transfer.Verify{transfer.VerifySize, transfer.VerifyNone} {
		routes(t, func(t *testing.T, route transfer.RouteRule) {
			w := newWorld(t)
			want := w.mixedTree()
			req := w.request(func(r *transfer.Request) { r.Route, r.Verify = route, verify })
			wk := w.walk(req, defaultWalkSizes)
			res := w.copyOne(wk, wk.Chunks[0], req)
			if !res.Complete || res.Unverified != wk.Found.Files || res.Checksummed != 0 {
				t.Errorf("copy: %+v", res)
			}
			sameTree(t, tree(t, w.dst, "/to"), want)
			w.noStrays()
		})
	}
}

// TestCopyReadsBack: where an end computes no checksums, its file is read.
func TestCopyReadsBack(t *testing.T) {
	routes(t, func(t *testing.T, route transfer.RouteRule) {
		w := newWorld(t, func(src, dst *memory.Options) { dst.Checksums = []string{}; src.Checksums = []string{"md5"} })
		want := w.mixedTree()
		req := w.request(func(r *transfer.Request) { r.Route = route })
		wk := w.walk(req, defaultWalkSizes)
		res := w.copyOne(wk, wk.Chunks[0], req)
		if !res.Complete || res.Unverified != 0 || res.Checksummed != wk.Found.Bytes {
			t.Errorf("copy: %+v", res)
		}
		sameTree(t, tree(t, w.dst, "/to"), want)
	})
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

func TestCopyChecksFirst(t *testing.T) {
	w := newWorld(t)
	put(t, w.src, "/from/same", content(1, 500))
	put(t, w.dst, "/to/same", content(1, 500))
	put(t, w.src, "/from/other", content(2, 500))
	put(t, w.dst, "/to/other", content(3, 500))
	req := w.request(func(r *transfer.Request) { r.Sync = transfer.SyncChecksum })
	wk := w.walk(req, defaultWalkSizes)
	var written sync.Map
	w.dst.Faults().Hook(func(_ ctxType, op memory.Op, name string, _ int64) error {
		if op == memory.Create {
			written.Store(name, true)
		}
		return nil
	})
	res := w.copyOne(wk, wk.Chunks[0], req)
	if !res.Complete || res.Files != 2 || res.Skipped != 1 || res.SkippedBytes == 0 || res.Bytes != 500 {
		t.Errorf("copy: %+v", res)
	}
	n := 0
	written.Range(func(_, _ any) bool { n++; return true })
	if n != 1 {
		t.Errorf("%d names were written", n)
	}
	sameTree(t, tree(t, w.dst, "/to"), tree(t, w.src, "/from"))
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

func TestCopyAbandoned(t *testing.T) {
	w := newWorld(t)
	w.mixedTree()
	req := w.request(func(r *transfer.Request) { r.Tuning.Concurrency = 1 })
	wk := w.walk(req, defaultWalkSizes)
	in := w.copyInput(wk, wk.Chunks[0], req)
	p := w.process(0)
	d := w.gated("victim")
	w.dst.Faults().Hook(func(ctx ctxType, op memory.Op, name string, off int64) error {
		if op == memory.Write && off >= 48<<10 {
			p.kill()
		}
		return passes(ctx, string(op))
	})
	go d.copy(p.context(t.Context()), in, nil)
	<-p.dead
	w.finish(wk, req, true)
	w.noStrays()
	want := tree(t, w.src, "/from")
	for name, b := range tree(t, w.dst, "/to") {
		if want[name] != b && name != "/replaced" {
			t.Errorf("%s is left with bytes that are not proven", name)
		}
	}
}

// TestAbandonSparesStrangers: of an attempt that was killed nobody knows how
// far into its window it came. What another has put under one of those names
// since is not ours to remove.
func TestAbandonSparesStrangers(t *testing.T) {
	w := newWorld(t)
	for i := range 20 {
		put(t, w.src, fmt.Sprintf("/from/%02d", i), content(uint64(i), 500))
	}
	req := w.request(func(r *transfer.Request) { r.Tuning.Concurrency = 1 })
	wk := w.walk(req, defaultWalkSizes)
	in := w.copyInput(wk, wk.Chunks[0], req)
	p := w.process(0)
	d := w.gated("victim")
	writes := 0
	w.dst.Faults().Hook(func(ctx ctxType, op memory.Op, name string, off int64) error {
		if op == memory.Write {
			if writes++; writes > 3 {
				p.kill()
			}
		}
		return passes(ctx, string(op))
	})
	go d.copy(p.context(t.Context()), in, nil)
	<-p.dead
	w.dst.Faults().Clear()

	source := func(name string) []byte { b, _ := get(t, w.src, "/from/"+name); return b }
	for name, data := range map[string][]byte{
		"19": []byte("somebody's notes"),
		"18": content(99, 500), // the same size, other bytes
		"17": content(99, 900), // longer
		"16": source("16"),     // the same file, by another way
		"15": source("15")[:200],
	} {
		replace(t, w.dst, "/to/"+name, data)
	}
	res := w.finish(wk, req, true)
	for name, stays := range map[string]bool{"19": true, "18": true, "17": true, "16": true, "15": false} {
		if _, ok := get(t, w.dst, "/to/"+name); ok != stays {
			t.Errorf("%s is there: %v", name, ok)
		}
		told := slices.Contains(res.Unproven, "/to/"+name)
		if told != (stays && name != "16") {
			t.Errorf("%s was told of: %v", name, told)
		}
	}
	w.noStrays()
}
