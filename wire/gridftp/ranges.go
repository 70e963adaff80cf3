package gridftp

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
)

// A Range is the bytes from Off up to, and not including, End. The Globus
// servers and their markers use this half-open form, although GFD.20 can be
// read otherwise.
type Range struct {
	Off, End int64
}

// Len returns the number of bytes in the range.
func (r Range) Len() int64 { return r.End - r.Off }

// String is "Off-End", as in markers and REST.
func (r Range) String() string { return fmt.Sprintf("%d-%d", r.Off, r.End) }

// A RangeSet is a set of bytes, kept as ranges in ascending order that neither
// touch nor overlap and are never empty. The zero value is the empty set. The
// methods do not change their receiver or arguments.
type RangeSet []Range

// maxRanges bounds the ranges taken from one marker or command.
const maxRanges = 100_000

// NewRangeSet returns the union of ranges; those without bytes are left out.
func NewRangeSet(ranges ...Range) RangeSet {
	sorted := make(RangeSet, 0, len(ranges))
	for _, r := range ranges {
		if r.Off < r.End {
			sorted = append(sorted, r)
		}
	}
	slices.SortFunc(sorted, func(a, b Range) int {
		switch {
		case a.Off < b.Off:
			return -1
		case a.Off > b.Off:
			return 1
		}
		return 0
	})
	out := sorted[:0]
	for _, r := range sorted {
		if n := len(out); n > 0 && r.Off <= out[n-1].End {
			out[n-1].End = max(out[n-1].End, r.End)
			continue
		}
		out = append(out, r)
	}
	if len(out) == 0 {
		return nil
	}
	return out
}

// Add returns the union of s and ranges.
func (s RangeSet) Add(ranges ...Range) RangeSet {
	return NewRangeSet(append(slices.Clone([]Range(s)), ranges...)...)
}

// Subtract returns the bytes of s that are not in other.
func (s RangeSet) Subtract(other RangeSet) RangeSet {
	var out RangeSet
	j := 0
	for _, r := range s {
		for j < len(other) && other[j].End <= r.Off {
			j++
		}
		at := r.Off
		for k := j; k < len(other) && other[k].Off < r.End; k++ {
			if other[k].Off > at {
				out = append(out, Range{at, other[k].Off})
			}
			at = max(at, other[k].End)
		}
		if at < r.End {
			out = append(out, Range{at, r.End})
		}
	}
	return out
}

// Missing returns the bytes of a file of the given size that are not in s.
func (s RangeSet) Missing(size int64) RangeSet {
	return NewRangeSet(Range{0, size}).Subtract(s)
}

// Bytes returns the number of bytes in the set.
func (s RangeSet) Bytes() int64 {
	var n int64
	for _, r := range s {
		n += r.Len()
	}
	return n
}

// Contains reports whether all bytes of r are in the set. An empty range is in
// every set.
func (s RangeSet) Contains(r Range) bool {
	if r.Off >= r.End {
		return true
	}
	i, found := slices.BinarySearchFunc(s, r.Off, func(have Range, off int64) int {
		switch {
		case have.End <= off:
			return -1
		case have.Off > off:
			return 1
		}
		return 0
	})
	return found && s[i].End >= r.End
}

// String lists the ranges as REST takes them in extended block mode and as 111
// markers report them: "0-1024,2048-4096".
func (s RangeSet) String() string {
	var b []byte
	for i, r := range s {
		if i > 0 {
			b = append(b, ',')
		}
		b = strconv.AppendInt(b, r.Off, 10)
		b = append(b, '-')
		b = strconv.AppendInt(b, r.End, 10)
	}
	return string(b)
}

// ParseRangeSet reads the form of String; ranges may come in any order and
// overlap. An empty range (Globus's "0-0") is allowed and adds nothing.
func ParseRangeSet(text string) (RangeSet, error) {
	text = strings.TrimSpace(text)
	if text == "" {
		return nil, nil
	}
	if strings.Count(text, ",") >= maxRanges {
		return nil, fmt.Errorf("gridftp: more than %d ranges", maxRanges)
	}
	var ranges []Range
	for part := range strings.SplitSeq(text, ",") {
		part = strings.TrimSpace(part)
		from, to, ok := strings.Cut(part, "-")
		if !ok {
			return nil, syntaxError("range", part)
		}
		r := Range{}
		var err error
		if r.Off, err = parseCount(from); err != nil {
			return nil, syntaxError("range", part)
		}
		if r.End, err = parseCount(to); err != nil || r.End < r.Off {
			return nil, syntaxError("range", part)
		}
		ranges = append(ranges, r)
	}
	return NewRangeSet(ranges...), nil
}

// parseCount reads a decimal number from 0 to 2^63-1, without sign.
func parseCount(s string) (int64, error) {
	n, err := strconv.ParseUint(s, 10, 64)
	if err == nil && n > math.MaxInt64 {
		err = strconv.ErrRange
	}
	return int64(n), err
}
