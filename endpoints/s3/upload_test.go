package s3

import (
	"testing"

	"github.com/gridferry/gridferry/endpoints"
)

const (
	mib = 1 << 20
	tib = 1 << 40
)

// A file of the largest size that S3 knows has few enough parts, each long
// enough and not too long, and none has the number of another.
func TestPartsOfAnySize(t *testing.T) {
	for _, size := range []int64{0, 1, 5 * mib, 8 * mib, 8*mib + 1, 300 * mib, mostParts * partSize, mostParts*partSize + 1, 1 * tib, 5*tib - 1, 5 * tib} {
		u := newUpload("id", "key", size)
		if u.unit < 5*mib || u.unit > 5<<30 || u.unit%partSize != 0 {
			t.Errorf("%d bytes: parts of %d", size, u.unit)
		}
		if size > 0 && u.number(size-1) > mostParts {
			t.Errorf("%d bytes: the last part has the number %d", size, u.number(size-1))
		}
		for n := range int32(mostParts) {
			off := int64(n) * u.unit
			if off >= size {
				break
			}
			if u.number(off) != n+1 {
				t.Fatalf("%d bytes: the part at %d has the number %d, want %d", size, off, u.number(off), n+1)
			}
		}
		if n := u.number(1 << 62); n <= mostParts {
			t.Errorf("%d bytes: what is far behind the last part has the number %d", size, n)
		}
	}
}

func TestChain(t *testing.T) {
	u := newUpload("id", "key", 40*mib)
	put := func(off, size int64) { u.put(u.number(off), part{size: size}) }
	chain := func(wantEnd int64, want int) {
		t.Helper()
		if got, end := u.chain(); end != wantEnd || len(got) != want {
			t.Errorf("%d parts up to %d, want %d up to %d", len(got), end, want, wantEnd)
		}
	}
	chain(0, 0)
	put(16*mib, 8*mib)
	chain(0, 0)
	if got := u.reach(); got != 24*mib {
		t.Errorf("one part that ends at 24 MiB reaches %d", got)
	}
	put(0, 8*mib)
	chain(8*mib, 1)
	put(8*mib, 7*mib) // nothing follows what is short
	chain(15*mib, 2)
	put(8*mib, 8*mib)
	chain(24*mib, 3)
	put(24*mib, 9*mib) // longer than parts are
	chain(24*mib, 3)
	put(24*mib, 8*mib)
	put(32*mib, 8*mib-1)
	chain(40*mib-1, 5)
}

// What others have begun in another way does not go on.
func TestForeign(t *testing.T) {
	for _, size := range []int64{20 * mib, mostParts*partSize + 1, 5 * tib} {
		u := newUpload("id", "key", size)
		if u.foreign(size) {
			t.Errorf("%d bytes: ours is not", size)
		}
		u.unit = 0
		if !u.foreign(size) {
			t.Errorf("%d bytes: one that says nothing of its parts is ours", size)
		}
	}
	if u := newUpload("id", "key", 20*mib); !u.foreign(1 * tib) {
		t.Error("one of a file of another size is ours")
	}
}

// The parts of a range are what endpoints says they are.
func TestCapsTellTheParts(t *testing.T) {
	if got := (&Storage{}).Caps().Parts; got != (endpoints.Parts{Least: 8 * mib, Most: 10_000}) {
		t.Errorf("%+v", got)
	}
}
