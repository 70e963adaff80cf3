package store_test

import (
	"strings"
	"testing"
	"time"

	"github.com/gridferry/gridferry/endpoints"
	"github.com/gridferry/gridferry/fault"
	"github.com/gridferry/gridferry/service/store"
)

func testConditions(t *testing.T, p place) {
	now := time.Date(2026, 11, 21, 8, 0, 0, 0, time.UTC)
	s := open(t, p, store.Options{Now: func() time.Time { return now }})
	condition := func() endpoints.Condition {
		t.Helper()
		c, err := s.Condition(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	drain := endpoints.Drain{Name: "lab#dtn", By: "ada", Reason: "a new disk"}
	for range 2 { // again changes nothing but who and why
		if err := s.PutDrain(t.Context(), drain); err != nil {
			t.Fatal(err)
		}
		now = now.Add(time.Minute)
	}
	drain.Since = now.Add(-2 * time.Minute)
	if got := condition().Drains; len(got) != 1 || got[0] != drain {
		t.Errorf("drained %+v, want %+v", got, drain)
	}
	if err := s.DeleteDrain(t.Context(), drain.Name); err != nil {
		t.Error(err)
	}
	wantKind(t, "again", s.DeleteDrain(t.Context(), drain.Name), fault.NotFound)

	down := endpoints.Down{Server: "a.example:2811", By: "w1", Why: "connection refused", Since: now}
	if err := s.PutDown(t.Context(), down, time.Minute); err != nil {
		t.Fatal(err)
	}
	if got := condition().Down; len(got) != 1 || got[0] != down {
		t.Errorf("down %+v, want %+v", got, down)
	}
	other := down
	other.By, other.Why = "w2", ""
	if err := s.PutDown(t.Context(), other, time.Minute); err != nil || len(condition().Down) != 1 {
		t.Errorf("another worker's word that it is up counts for this one's: %v", err)
	}
	now = now.Add(2 * time.Minute)
	if got := condition(); len(got.Down) != 0 || len(got.Drains) != 0 {
		t.Errorf("after its time: %+v", got)
	}
}

func testRations(t *testing.T, p place) {
	now := time.Date(2026, 11, 21, 8, 0, 0, 0, time.UTC)
	clock := store.Options{Now: func() time.Time { return now }}
	users := []*store.Store{open(t, p, clock), open(t, p, clock)} // of one ration
	d := endpoints.Draw{Endpoint: "lab#dtn", What: endpoints.RateBytes, N: 1000, PerSec: 1000, Patience: 3 * time.Second}
	for i := range 4 {
		wait, err := users[i%2].Take(t.Context(), d)
		if err != nil || wait != time.Duration(i)*time.Second {
			t.Errorf("draw %d waits %s: %v", i, wait, err)
		}
	}
	_, err := users[0].Take(t.Context(), d)
	wantKind(t, "more than patience", err, fault.Busy)
	if err == nil || !strings.Contains(err.Error(), "lab#dtn") {
		t.Errorf("it does not say of what: %v", err)
	}
	other := d
	other.Endpoint = "hpc#scratch"
	if wait, err := users[1].Take(t.Context(), other); err != nil || wait != 0 {
		t.Errorf("another endpoint's waits %s: %v", wait, err)
	}
	now = now.Add(10 * time.Second)
	d.Burst = 2 * time.Second
	for i, want := range []time.Duration{0, 0, 0, time.Second} {
		if wait, err := users[0].Take(t.Context(), d); err != nil || wait != want {
			t.Errorf("after a rest, draw %d waits %s, want %s: %v", i, wait, want, err)
		}
	}
	d.PerSec = 0
	_, err = users[0].Take(t.Context(), d)
	wantKind(t, "a rate of nothing", err, fault.Invalid)
}
