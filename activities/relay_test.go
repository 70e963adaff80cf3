package activities

import (
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gridferry/gridferry/endpoints/memory"
	"github.com/gridferry/gridferry/fault"
	"github.com/gridferry/gridferry/transfer"
)

// relayedParts is a file of eight pieces that one sender relays: one in a part,
// or, without a digest, several.
func relayedParts(t *testing.T, verify transfer.Verify) (*world, CopyInput) {
	w := newWorld(t)
	w.parts = partSizes{from: 64 << 10, share: 64, min: partBytes, max: partBytes}
	in := w.chunkOf("0001-0001", 1, 8*partBytes, transfer.Tuning{Concurrency: 1})
	in.Options.Verify = verify
	return w, in
}

const partBytes = 256 << 10 // of a piece, so that the file is too large for its own name

func ways(t *testing.T, test func(t *testing.T, verify transfer.Verify)) {
	for _, verify := range []transfer.Verify{transfer.VerifyChecksum, transfer.VerifyNone} {
		t.Run("verify "+string(verify), func(t *testing.T) { test(t, verify) })
	}
}

// arrivedWhole wants the destination to have what the source has.
func arrivedWhole(t *testing.T, w *world) {
	t.Helper()
	for name, want := range tree(t, w.src, "/data") {
		if got, ok := get(t, w.dst, name); !ok || string(got) != want {
			t.Errorf("%s has %d bytes that are not those of its source", name, len(got))
		}
	}
}

// While a part is being committed, the next one is written.
func TestCommitHidesBehindTheNextPart(t *testing.T) {
	ways(t, func(t *testing.T, verify transfer.Verify) {
		w, in := relayedParts(t, verify)
		begun := map[int64]chan struct{}{}
		for off := int64(0); off < 8*partBytes; off += partBytes {
			begun[off] = make(chan struct{})
		}
		var mu sync.Mutex
		w.dst.Faults().Hook(func(ctx ctxType, op memory.Op, _ string, off int64) error {
			switch {
			case op == memory.Write:
				mu.Lock()
				defer mu.Unlock()
				select {
				case <-begun[off/partBytes*partBytes]:
				default:
					close(begun[off/partBytes*partBytes])
				}
			case op == memory.Commit && off < 8*partBytes:
				select {
				case <-begun[off]:
				case <-ctx.Done():
					return ctx.Err()
				case <-time.After(time.Minute):
					return errors.New("nobody began the next part")
				}
			}
			return nil
		})
		res, err := w.worker("copier").copy(t.Context(), in, nil)
		if err != nil || !res.Complete || res.Files != 1 || res.NFaults != 0 {
			t.Fatalf("copy: %+v, %v", res, err)
		}
		arrivedWhole(t, w)
	})
}

// A part whose commit fails is not there, whatever was written after it.
func TestCommitThatFails(t *testing.T) {
	ways(t, func(t *testing.T, verify transfer.Verify) {
		w, in := relayedParts(t, verify)
		const lost = 4 * partBytes // where a part ends that is a piece, or half of the file
		begin := int64(lost - partBytes)
		if verify == transfer.VerifyNone {
			begin = 0
		}
		var mu sync.Mutex
		failed, written := false, 0
		w.dst.Faults().Hook(func(_ ctxType, op memory.Op, _ string, off int64) error {
			mu.Lock()
			defer mu.Unlock()
			if op == memory.Write && off == begin {
				written++
			}
			if op == memory.Commit && off == lost && !failed {
				failed = true
				return fault.New(fault.Transient, "write", "/", "the disk went away")
			}
			return nil
		})
		res, err := w.worker("copier").copy(t.Context(), in, nil)
		if err != nil || !res.Complete || res.Files != 1 || res.NFaults != 1 {
			t.Fatalf("copy: %+v, %v", res, err)
		}
		if written < 2 {
			t.Errorf("the part was written %d times", written)
		}
		arrivedWhole(t, w)
	})
}

// One sender that has all of a file reads it through; where others may take
// parts of it, each part is opened for itself: one of half the pieces, of a
// quarter, and two of a single one.
func TestSourceIsReadThrough(t *testing.T) {
	for verify, want := range map[transfer.Verify]int{transfer.VerifyChecksum: 1, transfer.VerifyNone: 4} {
		w, in := relayedParts(t, verify)
		var mu sync.Mutex
		opened := 0
		w.src.Faults().Hook(func(_ ctxType, op memory.Op, _ string, _ int64) error {
			mu.Lock()
			defer mu.Unlock()
			if op == memory.Open {
				opened++
			}
			return nil
		})
		res, err := w.worker("copier").copy(t.Context(), in, nil)
		if err != nil || !res.Complete || res.NFaults != 0 {
			t.Fatalf("copy: %+v, %v", res, err)
		}
		if opened != want {
			t.Errorf("verify %s: the source was opened %d times, want %d", verify, opened, want)
		}
		arrivedWhole(t, w)
	}
}

// One ledger at a time is asked for, and waited for only when what is in the
// store lags by more than partTime, or by more parts than lagging.
func TestLedgerPacesParts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := &copier{}
		c.changed = sync.NewCond(&c.mu)
		c.book.c, c.book.kicked = c, make(chan struct{}, 1)
		var p pacer
		land := func(want time.Duration, why string) {
			t.Helper()
			began := time.Now()
			c.mu.Lock()
			defer c.mu.Unlock()
			p.took(began)
			p.keep(&c.book)
			if waited := time.Since(began); waited != want {
				t.Errorf("%s waited %v, want %v", why, waited, want)
			}
		}
		// write is the store, which takes its time over whatever is asked for.
		write := func(slow time.Duration) {
			time.Sleep(slow)
			c.mu.Lock()
			defer c.mu.Unlock()
			c.book.kept = c.book.asked
			c.changed.Broadcast()
		}
		for range lagging {
			land(0, "a fast part")
			time.Sleep(partTime / 100)
		}
		if c.book.asked != 1 {
			t.Errorf("%d ledgers were asked for at once", c.book.asked)
		}
		// The first ledger says less than may lack: the second is waited for, too.
		go func() { write(partTime / 10); write(partTime / 10) }()
		land(partTime/10, "a part too many")
		if p.kept.landed != 1 {
			t.Errorf("the ledger is taken to have %d parts", p.kept.landed)
		}
		synctest.Wait()
		time.Sleep(partTime / 10)
		land(0, "a part behind a ledger that has caught up")
		if p.kept.landed != lagging+1 {
			t.Errorf("the ledger is taken to have %d parts", p.kept.landed)
		}
		time.Sleep(2 * partTime)
		go func() { write(3 * partTime); write(partTime) }()
		land(4*partTime, "a part after a ledger that is old")
		if lag := p.landed - p.kept.landed; lag != 0 {
			t.Errorf("%d parts are not in the ledger that was waited for", lag)
		}
		c.book.over = true
		time.Sleep(2 * partTime)
		land(0, "a part of a copy that is over")
	})
}
