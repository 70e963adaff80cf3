package activities

import (
	"testing"

	"github.com/gridferry/gridferry/fault"
	"github.com/gridferry/gridferry/transfer"
)

// TestFaultsOfALostAttempt has the successor of an attempt that was killed tell
// of its faults, and that of one which ended in order leave them out.
func TestFaultsOfALostAttempt(t *testing.T) {
	for name, c := range map[string]struct {
		closed   bool
		schedule int // of the successor; the first is 1
		want     int64
	}{
		"killed":                  {false, 1, 7},
		"killed, scheduled anew":  {false, 2, 7},
		"ended, and nobody heard": {true, 1, 7},
		"ended, and it was heard": {true, 2, 0},
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
		})
	}
}
