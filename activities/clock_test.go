package activities

import (
	"testing"
	"testing/synctest"
	"time"
)

// TestClock dates by the server's clock, whatever the worker's says.
func TestClock(t *testing.T) { synctest.Test(t, testClock) }

func testClock(t *testing.T) {
	handed := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	k := clock{began: time.Now().Add(-time.Minute), handed: handed}
	if now := k.now(); now.Before(handed.Add(time.Minute)) || now.After(handed.Add(2*time.Minute)) {
		t.Errorf("a minute after %v it is %v", handed, now)
	}
	for _, c := range []struct {
		since time.Duration // before now
		want  time.Duration // left of ten seconds, about
	}{{0, 10 * time.Second}, {4 * time.Second, 6 * time.Second}, {time.Hour, 0}, {-10 * time.Minute, 10 * time.Second}} {
		if left := k.left(k.now().Add(-c.since), 10*time.Second); left > c.want || left < c.want-time.Second {
			t.Errorf("%v after it began, %v of ten seconds are left", c.since, left)
		}
	}
	if now := newClock(t.Context()).now(); time.Since(now).Abs() > time.Minute {
		t.Errorf("outside of an activity it is %v", now)
	}
}

// TestPredecessorAhead has the ledger of an attempt that was killed say that it
// is ten minutes from now, as a worker with a wrong clock would have it.
func TestPredecessorAhead(t *testing.T) { synctest.Test(t, testPredecessorAhead) }

func testPredecessorAhead(t *testing.T) {
	w := newWorld(t)
	put(t, w.src, "/from/a", content(1, 700))
	put(t, w.src, "/from/b", content(2, 700))
	req := w.request()
	wk := w.walk(req, defaultWalkSizes)
	p := w.process(12)
	d := w.gated("victim")
	go d.copy(p.context(t.Context()), w.copyInput(wk, wk.Chunks[0], req), nil)
	<-p.dead
	led, err := lastLedger(w.ctx(), w.blobs, testTask, wk.Chunks[0].ID, 1<<62)
	if err != nil || led == nil || led.Closed {
		t.Fatalf("the ledger of the victim: %+v, %v", led, err)
	}
	led.Updated = time.Now().Add(10 * time.Minute)
	if err := putLines(w.ctx(), w.blobs, ledgerKey(testTask, wk.Chunks[0].ID, led.Epoch), []ledger{*led}); err != nil {
		t.Fatal(err)
	}
	begun := time.Now()
	if res := w.copyOne(wk, wk.Chunks[0], req); !res.Complete {
		t.Errorf("the successor: %+v", res)
	}
	if took := time.Since(begun); took > time.Minute {
		t.Errorf("it took %v", took)
	}
}
