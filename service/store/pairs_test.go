package store_test

import (
	"slices"
	"testing"
	"time"

	"github.com/gridferry/gridferry/service/store"
	"github.com/gridferry/gridferry/service/store/storetest"
	"github.com/gridferry/gridferry/transfer"
)

func testPairs(t *testing.T, p place) {
	clock := storetest.NewClock()
	s := open(t, p, store.Options{Now: clock.Now})
	known := func(source, destination string, want ...transfer.Known) {
		t.Helper()
		got, err := s.Known(t.Context(), source, destination)
		if err != nil || !slices.Equal(got, want) {
			t.Errorf("from %s to %s: %+v, %v, want %+v", source, destination, got, err, want)
		}
	}
	put := func(k transfer.Known, keep time.Duration) {
		t.Helper()
		if err := s.PutKnown(t.Context(), "a", "b", k, keep); err != nil {
			t.Fatal(err)
		}
	}
	known("a", "b")
	large := transfer.Known{Grain: transfer.GrainLarge, Concurrency: 4, Rate: 1e9, Files: 0.5, Measured: clock.Now()}
	tiny := transfer.Known{Grain: transfer.GrainTiny, Concurrency: 2, Rate: 2e6, Files: 2000, Measured: clock.Now()}
	put(tiny, time.Hour)
	put(large, 3*time.Hour)
	known("a", "b", large, tiny)
	known("b", "a") // the way back is another way
	tiny.Concurrency = 3
	put(tiny, time.Hour)
	known("a", "b", large, tiny)
	clock.Add(2 * time.Hour)
	known("a", "b", large)
	if n, err := s.Sweep(t.Context()); n != 1 || err != nil {
		t.Errorf("swept %d, %v", n, err)
	}
	known("a", "b", large)
}
