package activities

import (
	"strings"
	"testing"
	"time"

	"github.com/gridferry/gridferry/fault"
	"github.com/gridferry/gridferry/transfer"
)

// TestFaultsOfALostAttempt has the successor of an attempt that was killed tell
// of that and of its faults, and that of one which ended in order leave them out.
func TestFaultsOfALostAttempt(t *testing.T) {
	for name, c := range map[string]struct {
		closed   bool
		schedule int    // of the successor; the first is 1
		lost     string // how the successor tells of the loss
		want     int64
	}{
		"killed":                  {false, 1, "the worker victim stopped", 8},
		"killed, scheduled anew":  {false, 2, "the worker victim stopped", 8},
		"ended, and nobody heard": {true, 1, "", 7},
		"ended, and it was heard": {true, 2, "", 0},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			put(t, w.src, "/from/a", content(1, 700))
			put(t, w.src, "/from/b", content(2, 700))
			req := w.request()
			wk := w.walk(req, defaultWalkSizes)
			p := w.process(12)
			d := w.gated("victim")
			in := w.copyInput(wk, wk.Chunks[0], req)
			go d.copy(p.context(t.Context()), in, nil)
			<-p.dead
			led, err := lastLedger(w.ctx(), w.blobs, testTask, wk.Chunks[0].ID, 1<<62)
			if err != nil || led == nil || led.Schedule != 1 {
				t.Fatalf("the ledger of the victim: %+v, %v", led, err)
			}
			led.Closed = c.closed
			led.Faults.add(transfer.Fault{Kind: fault.Transient, Message: "the line was cut", Count: 7})
			if err := putLines(w.ctx(), w.blobs, ledgerKey(testTask, wk.Chunks[0].ID, led.Epoch), []ledger{*led}); err != nil {
				t.Fatal(err)
			}
			in.Schedule = c.schedule
			res, err := w.worker("successor").copy(w.ctx(), in, nil)
			if err != nil || !res.Complete || res.NFaults != c.want {
				t.Errorf("the successor tells of %d faults, want %d: %+v, %v", res.NFaults, c.want, res, err)
			}
			if got := lostWorker(res.Faults); !strings.HasPrefix(got, c.lost) || (got == "") != (c.lost == "") {
				t.Errorf("of the loss it says %q, want %q", got, c.lost)
			}
		})
	}
}

// TestLosesTwice has two attempts die one after the other: each is a fault of
// its own, whoever lives to tell.
func TestLosesTwice(t *testing.T) {
	w := newWorld(t)
	put(t, w.src, "/from/a", content(1, 700))
	req := w.request()
	wk := w.walk(req, defaultWalkSizes)
	in := w.copyInput(wk, wk.Chunks[0], req)
	ctx, chunk := w.ctx(), wk.Chunks[0].ID
	first := succeed(nil, in.Chunk.Sheet, 1, 1, time.Now())
	first.Holder = "first"
	store := func(l *ledger) {
		t.Helper()
		if err := putLines(ctx, w.blobs, ledgerKey(testTask, chunk, l.Epoch), []ledger{*l}); err != nil {
			t.Fatal(err)
		}
	}
	store(first)
	second := succeed(first, in.Chunk.Sheet, 2, 1, time.Now()) // by a version that named no worker
	second.Faults.add(toFault(first.broken(chunk), "", time.Now()))
	store(second)
	w.leases.epochs[string(testTask)+"/"+chunk] = 2
	res, err := w.worker("third").copy(ctx, in, nil)
	if err != nil || !res.Complete || res.NFaults != 2 {
		t.Fatalf("the third: %+v, %v", res, err)
	}
	if got := res.Faults[0].Message; !strings.HasPrefix(got, "the worker first stopped") {
		t.Errorf("of the first: %s", got)
	}
	if got := res.Faults[1].Message; !strings.HasPrefix(got, "a worker stopped") {
		t.Errorf("of the second: %s", got)
	}
}

// lostWorker returns the message of the one fault that tells of a worker that
// stopped without a last word; empty when there is none.
func lostWorker(faults []transfer.Fault) string {
	for _, f := range faults {
		if f.Kind == fault.Transient && strings.Contains(f.Message, "without a last word") && f.Count == 1 {
			return f.Message
		}
	}
	return ""
}
