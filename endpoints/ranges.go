package endpoints

import "slices"

// Len is the number of bytes in r.
func (r Range) Len() int64 { return max(0, r.End-r.Off) }

// AddRange returns rs, which is sorted and disjoint, with r in it: again
// sorted, disjoint, and without ranges that touch. It may change rs.
func AddRange(rs []Range, r Range) []Range {
	if r.Len() == 0 {
		return rs
	}
	i, _ := slices.BinarySearchFunc(rs, r.Off, func(x Range, off int64) int {
		if x.End < off {
			return -1
		}
		return 1
	})
	j := i
	for j < len(rs) && rs[j].Off <= r.End {
		r.Off, r.End = min(r.Off, rs[j].Off), max(r.End, rs[j].End)
		j++
	}
	return slices.Replace(rs, i, j, r)
}

// MissingRanges returns what of part is not in have, which is sorted and
// disjoint.
func MissingRanges(part Range, have []Range) []Range {
	var missing []Range
	for _, h := range have {
		if h.End <= part.Off {
			continue
		}
		if h.Off >= part.End {
			break
		}
		if h.Off > part.Off {
			missing = append(missing, Range{part.Off, h.Off})
		}
		part.Off = h.End
	}
	if part.Len() > 0 {
		missing = append(missing, part)
	}
	return missing
}
