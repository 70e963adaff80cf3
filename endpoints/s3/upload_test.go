package s3

import (
	"slices"
	"testing"
)

const (
	mib = 1 << 20
	tib = 1 << 40
)

// A file of the largest size that S3 knows has few enough parts, each long
// enough, wherever its ranges begin.
func TestPartsOfAnySize(t *testing.T) {
	for _, size := range []int64{0, 1, 5 * mib, 300 * mib, 48 << 30, 49 << 30, 1 * tib, 5 * tib} {
		u := newUpload("id", "key", size)
		if u.unit < leastPart || u.unit > copyLimit {
			t.Errorf("%d bytes: units of %d", size, u.unit)
		}
		if size > 0 && u.number(size-1) > mostParts {
			t.Errorf("%d bytes: the last part has the number %d", size, u.number(size-1))
		}
	}
}

// Ranges that are long enough make parts that are, and no two of one number.
func TestCutsOfRanges(t *testing.T) {
	for _, whole := range []int64{20 * mib, 300 * mib, 49<<30 + 12345, 5 * tib} {
		u := newUpload("id", "key", whole)
		for _, length := range []int64{u.unit, u.unit + 1, 8*mib + 1, 9 * mib, 10 * mib, 16*mib + 1, 48*mib + 3, 3*u.unit + 1, 256 * mib, 1 << 30} {
			if length < u.unit {
				continue
			}
			c, off, last := newCut(length, u.unit), int64(12345), int32(0)
			for end := off + length; off < end; c.sent++ {
				n := c.next()
				if n < u.unit || n > max(2*u.unit, 2*partSize) {
					t.Fatalf("a range of %d of a file of %d: a part of %d", length, whole, n)
				}
				if u.number(off) <= last {
					t.Fatalf("a range of %d of a file of %d: two parts have the number %d", length, whole, last)
				}
				last = u.number(off)
				off += n
				if off > end {
					t.Fatalf("a range of %d of a file of %d: the parts are longer than it", length, whole)
				}
			}
			if c.sent != c.parts {
				t.Errorf("a range of %d: %d parts of %d", length, c.sent, c.parts)
			}
		}
	}
	for _, length := range []int64{-1, 0, 1} {
		if n := newCut(length, leastPart).next(); n < 1 || n > partSize {
			t.Errorf("a range of %d: a part of %d", length, n)
		}
	}
}

func TestChain(t *testing.T) {
	u := newUpload("id", "key", 40*mib)
	put := func(off, size int64) { u.put(u.number(off), part{size: size}) }
	chain := func(wantEnd int64, want ...int32) {
		t.Helper()
		if got, end := u.chain(); end != wantEnd || !slices.Equal(got, want) {
			t.Errorf("parts %v up to %d, want %v up to %d", got, end, want, wantEnd)
		}
	}
	chain(0)
	put(16*mib, 8*mib)
	chain(0)
	if got := u.reach(); got < 24*mib || got > 40*mib {
		t.Errorf("one part that ends at 24 MiB reaches %d", got)
	}
	put(0, 8*mib)
	chain(8*mib, 1)
	put(8*mib, 8*mib)
	chain(24*mib, 1, 2, 4)
	// Left by an attempt that cut the file elsewhere: nothing leads to it.
	put(11*mib, 5*mib)
	chain(24*mib, 1, 2, 4)
	put(24*mib, 16*mib)
	chain(40*mib, 1, 2, 4, 5)
}
