package endpoints

import (
	"math/rand/v2"
	"slices"
	"testing"
)

// A set of bytes is the model that the arithmetic is compared with.
func TestRangesAgreeWithASetOfBytes(t *testing.T) {
	rnd := rand.New(rand.NewPCG(1, 2))
	for range 500 {
		var set [64]bool
		var rs []Range
		for range rnd.IntN(12) {
			off := rnd.Int64N(60)
			r := Range{off, off + rnd.Int64N(10)}
			for i := r.Off; i < min(r.End, 64); i++ {
				set[i] = true
			}
			r.End = min(r.End, 64)
			rs = AddRange(rs, r)
		}
		if want := runs(set[:], true, 0); !slices.Equal(rs, want) {
			t.Fatalf("AddRange gave %v, want %v", rs, want)
		}
		off := rnd.Int64N(60)
		part := Range{off, off + rnd.Int64N(64-off)}
		if got, want := MissingRanges(part, rs), runs(set[part.Off:part.End], false, part.Off); !slices.Equal(got, want) {
			t.Fatalf("MissingRanges(%v, %v) gave %v, want %v", part, rs, got, want)
		}
	}
}

func runs(set []bool, value bool, base int64) []Range {
	var rs []Range
	for i := 0; i < len(set); i++ {
		j := i
		for j < len(set) && set[j] == value {
			j++
		}
		if j > i {
			rs = append(rs, Range{base + int64(i), base + int64(j)})
			i = j
		}
	}
	return rs
}
