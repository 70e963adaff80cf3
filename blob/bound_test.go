package blob_test

import (
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gridferry/gridferry/blob"
	"github.com/gridferry/gridferry/blob/blobtest"
	"github.com/gridferry/gridferry/fault"
)

func TestBounded(t *testing.T) {
	blobtest.Run(t, func(t *testing.T) blob.Store {
		return blob.Bound(newDir(t, t.TempDir()), blob.Limits{Budget: 1 << 30, Reserve: 1})
	})
}

func TestBudget(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx := t.Context()
		inner := blob.NewMemory()
		if err := inner.Put(ctx, "old", make([]byte, 60)); err != nil {
			t.Fatal(err)
		}
		s := blob.Bound(inner, blob.Limits{Budget: 100})
		put := func(key string, n int) error { return s.Put(ctx, key, make([]byte, n)) }
		if err := put("a", 40); err != nil {
			t.Fatalf("up to the budget: %v", err)
		}
		err := put("b", 1)
		if !fault.Is(err, fault.NoSpace) || !errors.Is(err, blob.ErrFull) || !strings.Contains(err.Error(), "100 bytes of the 100") {
			t.Fatalf("beyond the budget: %v", err)
		}
		if err := s.Put(blob.UseReserve(ctx), "last/words", make([]byte, 5)); err != nil {
			t.Fatalf("last words: %v", err)
		}
		if err := s.Delete(ctx, "old"); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Minute)
		if err := put("b", 25); err != nil {
			t.Fatalf("after room was made: %v", err)
		}
		// Replacing is not growing, once that has been measured.
		time.Sleep(time.Minute)
		for range 3 {
			time.Sleep(time.Minute)
			if err := put("b", 25); err != nil {
				t.Fatalf("replaced: %v", err)
			}
		}
	})
}

// roomy says how much room it has.
type roomy struct {
	*blob.Memory
	room int64
}

func (r *roomy) Room() (int64, error) { return r.room, nil }

func TestReserve(t *testing.T) {
	inner := &roomy{Memory: blob.NewMemory(), room: 1000}
	s := blob.Bound(inner, blob.Limits{Reserve: 900})
	if err := s.Put(t.Context(), "a", make([]byte, 100)); err != nil {
		t.Fatalf("what is not held back: %v", err)
	}
	if err := s.Put(t.Context(), "a", make([]byte, 101)); !errors.Is(err, blob.ErrFull) {
		t.Fatalf("what is held back: %v", err)
	}
	if err := s.Put(blob.UseReserve(t.Context()), "a", make([]byte, 101)); err != nil {
		t.Fatalf("last words: %v", err)
	}
}

func TestSurvey(t *testing.T) {
	before := time.Now().Add(-time.Second)
	for name, s := range map[string]blob.Store{"directory": newDir(t, t.TempDir()), "memory": blob.NewMemory()} {
		for i, key := range []string{"a/1", "a/2", "b"} {
			if err := s.Put(t.Context(), key, make([]byte, i)); err != nil {
				t.Fatal(err)
			}
		}
		var got []blob.Info
		err := blob.Survey(t.Context(), s, "a/", func(i blob.Info) error { got = append(got, i); return nil })
		if err != nil || len(got) != 2 || got[1].Key != "a/2" || got[1].Size != 1 || got[1].Modified.Before(before) {
			t.Errorf("%s: %+v, %v", name, got, err)
		}
	}
}
