package activities

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/gridferry/gridferry/blob"
	"github.com/gridferry/gridferry/endpoints/memory"
	"github.com/gridferry/gridferry/transfer"
)

// firstLedger calls before as the first ledger is about to be stored.
type firstLedger struct {
	blob.Store
	once   sync.Once
	before func()
}

func (b *firstLedger) Put(ctx context.Context, key string, data []byte) error {
	if strings.HasPrefix(key, ledgersPrefix(testTask)) {
		b.once.Do(b.before)
	}
	return b.Store.Put(ctx, key, data)
}

// TestCopyFenced has a successor's own successor take the lease before it has
// told of itself in a ledger: it must not touch a name that the other one would
// look for.
func TestCopyFenced(t *testing.T) {
	w := newWorld(t)
	w.parts = partSizes{from: 256 << 10, share: 64, min: 16 << 10, max: 16 << 10}
	for i := range 10 {
		put(t, w.src, fmt.Sprintf("/from/f%d", i), content(uint64(i+1), 20<<10))
	}
	put(t, w.src, "/from/zz", content(7, 1<<20))
	req := w.request(func(r *transfer.Request) { r.Tuning.Concurrency, r.Tuning.Pipelining = 1, 4 })
	wk := w.walk(req, defaultWalkSizes)
	in := w.copyInput(wk, wk.Chunks[0], req)

	p := w.process(0)
	victim := w.gated("victim")
	w.dst.Faults().Hook(func(ctx ctxType, op memory.Op, name string, off int64) error {
		if op == memory.Write && strings.Contains(name, "zz") && off >= 512<<10 {
			p.kill()
		}
		return passes(ctx, string(op))
	})
	go func() { _, _ = victim.copy(p.context(t.Context()), in, nil) }()
	<-p.dead

	second, third := w.worker("second"), w.worker("third")
	thirdBegan, secondOver := make(chan struct{}), make(chan struct{})
	third.Blobs = &firstLedger{Store: w.blobs, before: func() {
		close(thirdBegan)
		<-secondOver
	}}
	var last CopyResult
	thirdOver := make(chan error, 1)
	second.Blobs = &firstLedger{Store: w.blobs, before: func() {
		go func() {
			var err error
			last, err = third.copy(t.Context(), in, nil)
			thirdOver <- err
		}()
		<-thirdBegan
		w.dst.Faults().Hook(func(_ ctxType, op memory.Op, name string, _ int64) error {
			switch op {
			case memory.Rename, memory.Remove, memory.Write, memory.Create:
				t.Errorf("who has no lease: %s %s", op, name)
			}
			return nil
		})
	}}
	if _, err := second.copy(t.Context(), in, nil); !errors.Is(err, errLeaseLost) {
		t.Errorf("the second attempt: %v", err)
	}
	w.dst.Faults().Hook(nil)
	close(secondOver)
	if err := <-thirdOver; err != nil || !last.Complete || last.Files != 11 {
		t.Errorf("the third attempt: %+v, %v", last, err)
	}
	w.finish(wk, req, false)
	sameTree(t, tree(t, w.dst, "/to"), tree(t, w.src, "/from"))
	w.noStrays()
}
