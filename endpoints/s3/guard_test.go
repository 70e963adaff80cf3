package s3

import (
	"hash/crc32"
	"testing"
)

// A piece is guarded when what is before it was read, and of the same version.
func TestPrefixes(t *testing.T) {
	ps := newPrefixes()
	p := ps.before("/f", "v1", 0)
	p.add([]byte("some "))
	ps.put("/f", *p)
	for _, c := range []struct {
		tag  string
		off  int64
		want bool
	}{{"v1", 5, true}, {"v2", 5, false}, {"v1", 6, false}, {"v2", 0, true}} {
		if got := ps.before("/f", c.tag, c.off); (got != nil) != c.want {
			t.Errorf("a piece of %s at %d: %v", c.tag, c.off, got)
		}
	}
	if ps.before("/g", "v1", 5) != nil {
		t.Error("a file has the prefix of another")
	}
	next := ps.before("/f", "v1", 5)
	next.add([]byte("text"))
	if want := crc32.Checksum([]byte("some text"), crcTable()); next.crc != want || next.end != 9 {
		t.Errorf("%08x of %d bytes, want %08x", next.crc, next.end, want)
	}
	if again := ps.before("/f", "v1", 5); again == nil || again.crc == next.crc {
		t.Error("a piece that fails takes the prefix with it")
	}
}
