package gridftp

import (
	"testing"
	"time"
)

func TestBreakerRestsLonger(t *testing.T) {
	var b breaker
	now := time.Date(2026, 11, 21, 8, 0, 0, 0, time.UTC)
	if !b.is(closed) || b.try() {
		t.Fatal("a new breaker is not closed")
	}
	for i, want := range []time.Duration{1, 2, 4, 8, 16, 30, 30, 30} {
		if opened := b.fail("refused", now); opened != (i == 0) {
			t.Errorf("failure %d: opened %v", i, opened)
		}
		if got := b.until.Sub(now); got != want*time.Second {
			t.Errorf("failure %d: left alone for %s, want %ds", i, got, want)
		}
		if b.since != now.Add(-time.Duration(i)*time.Minute) {
			t.Errorf("failure %d: open since %s", i, b.since)
		}
		now = now.Add(time.Minute)
	}
}

func TestBreakerHasOneTrial(t *testing.T) {
	var b breaker
	now := time.Now()
	b.fail("refused", now)
	if b.try() {
		t.Error("a trial before the server greets")
	}
	b.greeted()
	if !b.try() || b.try() {
		t.Error("half-open is not one trial")
	}
	b.giveUp()
	if !b.try() {
		t.Error("a trial that showed nothing is not given back")
	}
	if b.fail("hung", now) || !b.is(open) || b.until.Sub(now) != 2*firstRest {
		t.Errorf("after a trial that failed: %+v", b)
	}
	b.greeted()
	b.try()
	if !b.succeed() || !b.is(closed) || b.succeed() {
		t.Errorf("after a trial that went well: %+v", b)
	}
	if b.fail("refused", now); b.until.Sub(now) != firstRest {
		t.Error("the rests of an earlier fall count")
	}
}
