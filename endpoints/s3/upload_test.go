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
		if u.unit < leastPart || u.unit > copyLimit || int64(u.part) < u.unit {
			t.Errorf("%d bytes: units of %d and parts of %d", size, u.unit, u.part)
		}
		if size > 0 && u.number(size-1) > mostParts {
			t.Errorf("%d bytes: the last part has the number %d", size, u.number(size-1))
		}
		for off := int64(0); off < size && size <= 49<<30; off += int64(u.part) {
			if off > 0 && u.number(off) <= u.number(off-int64(u.part)) {
				t.Fatalf("%d bytes: the part at %d has the number of the one before", size, off)
			}
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
