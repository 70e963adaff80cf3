package transfer

import (
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/gridferry/gridferry/endpoints"
)

func set(bounds ...int64) RangeSet {
	var s RangeSet
	for i := 0; i < len(bounds); i += 2 {
		s = append(s, endpoints.Range{Off: bounds[i], End: bounds[i+1]})
	}
	return s
}

func TestRangeSets(t *testing.T) {
	for _, tc := range []struct {
		name      string
		got, want RangeSet
	}{
		{"empty ranges vanish", NewRangeSet(set(5, 5, 7, 3)...), nil},
		{"sorted", NewRangeSet(set(5, 6, 1, 2)...), set(1, 2, 5, 6)},
		{"touching join", NewRangeSet(set(1, 2, 2, 3)...), set(1, 3)},
		{"overlapping join", NewRangeSet(set(1, 5, 2, 3, 4, 9)...), set(1, 9)},
		{"add", set(1, 2, 5, 6).Add(endpoints.Range{Off: 2, End: 5}), set(1, 6)},
		{"merge", set(1, 2).Merge(set(0, 1, 3, 4)), set(0, 2, 3, 4)},
		{"subtract the middle", set(0, 10).Subtract(set(3, 5)), set(0, 3, 5, 10)},
		{"subtract the ends", set(0, 10).Subtract(set(0, 3, 8, 20)), set(3, 8)},
		{"subtract across", set(0, 4, 6, 10).Subtract(set(3, 7)), set(0, 3, 7, 10)},
		{"subtract all", set(1, 2, 3, 4).Subtract(set(0, 9)), nil},
		{"subtract nothing", set(1, 2).Subtract(nil), set(1, 2)},
		{"missing of nothing", RangeSet(nil).Missing(7), set(0, 7)},
		{"missing of an empty file", RangeSet(nil).Missing(0), nil},
		{"missing", set(0, 3, 5, 6).Missing(8), set(3, 5, 6, 8)},
		{"missing of a file that has shrunk", set(0, 9).Missing(8), nil},
	} {
		if !slices.Equal(tc.got, tc.want) {
			t.Errorf("%s: got %v, want %v", tc.name, tc.got, tc.want)
		}
	}
	if n := set(0, 3, 5, 6).Total(); n != 4 {
		t.Errorf("total %d", n)
	}
	if !set(0, 8).Complete(8) || set(0, 7).Complete(8) || !RangeSet(nil).Complete(0) {
		t.Error("Complete is wrong")
	}
}

func TestRangeSetSplit(t *testing.T) {
	for _, tc := range []struct {
		set  RangeSet
		part int64
		want RangeSet
	}{
		{nil, 4, nil},
		{set(0, 4), 4, set(0, 4)},
		{set(0, 5), 4, set(0, 4, 4, 5)},
		{set(1, 3, 10, 19), 4, set(1, 3, 10, 14, 14, 18, 18, 19)},
	} {
		if got := tc.set.Split(tc.part); !slices.Equal(got, tc.want) {
			t.Errorf("%v in parts of %d: %v", tc.set, tc.part, got)
		}
	}
}

// TestRangeSetsAsBits compares the sets with the plainest model of them.
func TestRangeSetsAsBits(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 4))
	random := func() RangeSet {
		var s []endpoints.Range
		for range rng.IntN(6) {
			off := rng.Int64N(60)
			s = append(s, endpoints.Range{Off: off, End: off + rng.Int64N(10)})
		}
		return NewRangeSet(s...)
	}
	bits := func(s RangeSet) (b uint64) {
		for i, r := range s {
			if r.End <= r.Off || i > 0 && r.Off <= s[i-1].End {
				t.Fatalf("%v is not sorted and disjoint", s)
			}
			for x := r.Off; x < min(r.End, 64); x++ {
				b |= 1 << x
			}
		}
		return b
	}
	for range 2000 {
		a, b := random(), random()
		before := slices.Clone(a)
		if got, want := bits(a.Merge(b)), bits(a)|bits(b); got != want {
			t.Fatalf("%v merge %v: %b, want %b", a, b, got, want)
		}
		if got, want := bits(a.Subtract(b)), bits(a)&^bits(b); got != want {
			t.Fatalf("%v subtract %v: %b, want %b", a, b, got, want)
		}
		if got, want := bits(a.Missing(50)), ^bits(a)&(1<<50-1); got != want {
			t.Fatalf("%v missing: %b, want %b", a, got, want)
		}
		if !slices.Equal(a, before) {
			t.Fatalf("%v was changed to %v", before, a)
		}
	}
}
