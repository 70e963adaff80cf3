package transfer

import (
	"slices"

	"github.com/gridferry/gridferry/endpoints"
)

// RangeSet is a set of bytes of a file as half-open ranges, sorted and with
// gaps between them. The zero RangeSet is empty. Methods return new sets and
// leave the old one as it was.
type RangeSet []endpoints.Range

// NewRangeSet makes a set of ranges in any order. Empty ranges vanish.
func NewRangeSet(ranges ...endpoints.Range) RangeSet {
	sorted := slices.Clone(ranges)
	slices.SortFunc(sorted, func(a, b endpoints.Range) int {
		switch {
		case a.Off < b.Off:
			return -1
		case a.Off > b.Off:
			return 1
		}
		return 0
	})
	var s RangeSet
	for _, r := range sorted {
		switch last := len(s) - 1; {
		case r.End <= r.Off:
		case last >= 0 && r.Off <= s[last].End:
			s[last].End = max(s[last].End, r.End)
		default:
			s = append(s, r)
		}
	}
	return s
}

// Add returns the set with r in it.
func (s RangeSet) Add(r endpoints.Range) RangeSet { return s.Merge(RangeSet{r}) }

// Merge returns the bytes that are in s or in t.
func (s RangeSet) Merge(t RangeSet) RangeSet {
	return NewRangeSet(slices.Concat(s, t)...)
}

// Subtract returns the bytes of s that are not in t.
func (s RangeSet) Subtract(t RangeSet) RangeSet {
	var out RangeSet
	i := 0
	for _, r := range s {
		for i < len(t) && t[i].End <= r.Off {
			i++
		}
		for j := i; j < len(t) && t[j].Off < r.End; j++ {
			if t[j].Off > r.Off {
				out = append(out, endpoints.Range{Off: r.Off, End: t[j].Off})
			}
			r.Off = max(r.Off, t[j].End)
		}
		if r.Off < r.End {
			out = append(out, r)
		}
	}
	return out
}

// Missing returns what a file of that size, in bytes, still lacks.
func (s RangeSet) Missing(size int64) RangeSet {
	return NewRangeSet(endpoints.Range{End: size}).Subtract(s)
}

// Complete reports whether a file of that size lacks nothing.
func (s RangeSet) Complete(size int64) bool { return len(s.Missing(size)) == 0 }

// Total returns how many bytes are in the set.
func (s RangeSet) Total() int64 {
	var n int64
	for _, r := range s {
		n += r.End - r.Off
	}
	return n
}

// Split cuts the set into parts of at most part bytes each, in order. part
// must be positive.
func (s RangeSet) Split(part int64) []endpoints.Range {
	var out []endpoints.Range
	for _, r := range s {
		for r.End-r.Off > part {
			out = append(out, endpoints.Range{Off: r.Off, End: r.Off + part})
			r.Off += part
		}
		out = append(out, r)
	}
	return out
}
