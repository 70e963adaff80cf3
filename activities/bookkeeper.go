package activities

import (
	"context"
	"encoding/json"
	"errors"
	"time"

	"github.com/gridferry/gridferry/blob"
	"github.com/gridferry/gridferry/fault"
)

// bookkeeper keeps the stored ledger close behind the one in memory. Its
// fields are under the copier's lock.
type bookkeeper struct {
	c        *copier
	kicked   chan struct{}
	writing  chan struct{} // holds one token: who has it may write
	dirty    bool
	reserved int   // of the stored ledger
	ahead    int   // files to reserve at a time; grows when senders have to wait
	asked    int64 // flushes
	kept     int64 // flushes that are in the store
	over     bool
	indexes  []pageIndex // of the pages of results that this attempt has written
}

// flushEvery bounds how old the stored ledger gets while things get done.
const flushEvery = time.Second

func (b *bookkeeper) init(c *copier) {
	b.c, b.kicked, b.writing = c, make(chan struct{}, 1), make(chan struct{}, 1)
	b.writing <- struct{}{}
	b.ahead = minAhead
	// With the attempt's first ledger, so that its senders do not wait for the
	// second.
	c.led.Reserved = max(c.led.Reserved, min(c.outstanding(), len(c.files)))
}

// keep writes the ledger whenever it has changed or somebody waits for it,
// until ctx ends.
func (b *bookkeeper) keep(ctx context.Context) {
	tick := time.NewTicker(flushEvery)
	defer tick.Stop()
	defer func() {
		b.c.mu.Lock()
		b.over = true
		b.c.changed.Broadcast()
		b.c.mu.Unlock()
	}()
	for {
		select {
		case <-ctx.Done():
			return
		case <-b.kicked:
		case <-tick.C:
			b.c.mu.Lock()
			dirty := b.dirty
			b.c.mu.Unlock()
			if !dirty {
				continue
			}
		}
		switch err := b.put(ctx); {
		case err == nil || ctx.Err() != nil:
		case errors.Is(err, blob.ErrFull):
			b.c.block(err) // there is room for the last ledger yet: what was done is not lost
			return
		default:
			b.c.fail(err)
			return
		}
	}
}

// kick has the ledger written soon. It may be called with or without the lock.
func (b *bookkeeper) kick() {
	select {
	case b.kicked <- struct{}{}:
	default:
	}
}

// ask has the ledger written and returns what to wait for. The caller holds
// the lock.
func (b *bookkeeper) ask() int64 {
	b.asked++
	b.kick()
	return b.asked
}

// wait returns when the flush that was asked for is in the store. The caller
// holds the lock.
func (b *bookkeeper) wait(flush int64) {
	for b.kept < flush && !b.over {
		b.c.changed.Wait()
	}
}

// put writes the ledger now.
func (b *bookkeeper) put(ctx context.Context) error {
	select {
	case <-b.writing:
	case <-ctx.Done():
		return ctx.Err()
	}
	defer func() { b.writing <- struct{}{} }()
	if err := b.pages(ctx, false); err != nil {
		return err
	}
	c := b.c
	if !c.hold.mine() {
		return fault.Wrap(fault.Transient, "keep", "the ledger", errLeaseLost)
	}
	c.mu.Lock()
	c.led.Updated = c.clock.now()
	text, err := json.Marshal(c.led)
	reserved, asked := c.led.Reserved, b.asked
	b.dirty = false
	c.mu.Unlock()
	if err != nil {
		return fault.Wrap(fault.Internal, "encode", "the ledger", err)
	}
	err = insist(ctx, patience, func() error {
		return putText(ctx, c.d.Blobs, ledgerKey(c.in.Task, c.in.Chunk.ID, c.hold.epoch()), text)
	})
	if err != nil {
		return err
	}
	c.mu.Lock()
	b.reserved, b.kept = reserved, asked
	c.changed.Broadcast()
	c.mu.Unlock()
	return nil
}

// putResults writes the results that do not stand in a page yet.
func (b *bookkeeper) putResults(ctx context.Context, last bool) error {
	select {
	case <-b.writing:
	case <-ctx.Done():
		return ctx.Err()
	}
	defer func() { b.writing <- struct{}{} }()
	return b.pages(ctx, last)
}

// putIndex writes the index of all pages of results, which are complete.
func (b *bookkeeper) putIndex(ctx context.Context) error {
	c := b.c
	pages, err := indexed(ctx, c.d.Blobs, c.in.Task, c.in.Chunk.ID, c.led.Pages, b.indexes)
	if err != nil || len(pages) == 0 {
		return err
	}
	return putIndex(ctx, c.d.Blobs, c.in.Task, c.in.Chunk.ID, c.hold.epoch(), pages)
}

// pages moves results out of the ledger, a page at a time. A page that was
// written before the ledger that counts it is written again, under the same
// number and a later epoch, by whoever goes on: so each file has one line.
func (b *bookkeeper) pages(ctx context.Context, last bool) error {
	c := b.c
	for {
		c.mu.Lock()
		n, number := len(c.led.Results), c.led.Pages
		if n > resultsPage {
			n = resultsPage
		}
		page := c.led.Results[:n:n]
		c.mu.Unlock()
		if n == 0 || n < resultsPage && !last {
			return nil
		}
		err := insist(ctx, patience, func() error {
			return putLines(ctx, c.d.Blobs, resultsKey(c.in.Task, c.in.Chunk.ID, number, c.hold.epoch()), page)
		})
		if err != nil {
			return err
		}
		b.indexes = append(b.indexes, newPageIndex(number, c.hold.epoch(), page))
		c.mu.Lock()
		c.led.Results = c.led.Results[n:]
		c.led.Pages++
		c.mu.Unlock()
	}
}
