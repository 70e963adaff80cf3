package activities

import (
	"sync"
	"testing"

	"github.com/gridferry/gridferry/endpoints/memory"
	"github.com/gridferry/gridferry/fault"
	"github.com/gridferry/gridferry/transfer"
)

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
