package activities

import (
	"context"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/gridferry/gridferry/blob"
	"github.com/gridferry/gridferry/endpoints/memory"
	"github.com/gridferry/gridferry/transfer"
)

// forgetful loses all ledgers but each attempt's first, which reserves files.
type forgetful struct {
	blob.Store
	kept atomic.Bool
}

func (b *forgetful) Put(ctx context.Context, key string, data []byte) error {
	if strings.HasPrefix(key, ledgersPrefix(testTask)) && b.kept.Swap(true) {
		return nil
	}
	return b.Store.Put(ctx, key, data)
}

// TestSalvage has a worker do work that its ledger does not tell of, and counts
// what its successor sends.
func TestSalvage(t *testing.T) {
	const bigSize = 1 << 20
	for _, tt := range []struct {
		name   string
		until  memory.Op // at the destination, at which the worker is killed
		from   int64     // offset
		most   int64     // bytes that the successor may send
		change bool      // the source, in between
	}{
		{name: "all is at its name"},
		{name: "a rename is missing", until: memory.Rename},
		{name: "half of a large file", until: memory.Write, from: bigSize / 2, most: bigSize/2 + 16<<10},
		{name: "all is at its name, and out of date", change: true, most: 10 * 20 << 10},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := newWorld(t)
			w.parts = partSizes{from: 256 << 10, share: 64, min: 16 << 10, max: 16 << 10}
			for i := range 10 {
				put(t, w.src, fmt.Sprintf("/from/new%d", i), content(uint64(i+1), 20<<10))
				put(t, w.src, fmt.Sprintf("/from/old%d", i), content(uint64(i+11), 20<<10))
				put(t, w.dst, fmt.Sprintf("/to/old%d", i), content(uint64(i+21), 20<<10))
			}
			put(t, w.src, "/from/zz", content(7, bigSize))
			req := w.request(func(r *transfer.Request) { r.Tuning.Concurrency, r.Tuning.Pipelining = 1, 4 })
			wk := w.walk(req, defaultWalkSizes)
			if len(wk.Chunks) != 1 {
				t.Fatalf("%d chunks, the test is about one", len(wk.Chunks))
			}

			p := w.process(0)
			victim := w.gated("victim")
			victim.Blobs = &forgetful{Store: victim.Blobs}
			w.dst.Faults().Hook(func(ctx ctxType, op memory.Op, name string, off int64) error {
				if op == tt.until && ctx.Value(processKey{}) == p && strings.Contains(name, "zz") && off >= tt.from {
					p.kill()
				}
				return passes(ctx, string(op))
			})
			ended := make(chan struct{})
			go func() {
				defer close(ended)
				_, _ = victim.copy(p.context(t.Context()), w.copyInput(wk, wk.Chunks[0], req), nil)
			}()
			select {
			case <-p.dead:
			case <-ended:
			}
			if tt.change {
				for i := range 10 {
					put(t, w.src, fmt.Sprintf("/from/new%d", i), content(uint64(i+41), 20<<10))
				}
			}

			var sent atomic.Int64
			w.dst.Faults().Hook(func(_ ctxType, op memory.Op, name string, off int64) error {
				if op != memory.Sent {
					return nil
				}
				switch {
				case strings.Contains(name, "zz"):
					sent.Add(16 << 10)
				default:
					sent.Add(20 << 10)
				}
				return nil
			})
			res := w.copyOne(wk, wk.Chunks[0], req)
			if !res.Complete || res.Files != 21 || res.NFailed != 0 {
				t.Errorf("the successor: %+v", res)
			}
			t.Logf("%d KiB were sent", sent.Load()>>10)
			if sent.Load() > tt.most {
				t.Errorf("%d KiB were sent, at most %d should have been", sent.Load()>>10, tt.most>>10)
			}
			w.finish(wk, req, false)
			sameTree(t, tree(t, w.dst, "/to"), tree(t, w.src, "/from"))
			w.noStrays()
			if n := len(w.results()); n != 21 {
				t.Errorf("%d lines of results for 21 files", n)
			}
		})
	}
}
