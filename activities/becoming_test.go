package activities

import (
	"slices"
	"testing"

	"github.com/gridferry/gridferry/endpoints"
	"github.com/gridferry/gridferry/endpoints/memory"
	"github.com/gridferry/gridferry/fault"
	"github.com/gridferry/gridferry/transfer"
)

// objectStore makes the destination one that neither renames nor writes in the
// middle of a file, as those of the S3 protocol.
func objectStore(_, dst *memory.Options) {
	dst.Parts = endpoints.Parts{Least: 10 << 10, Most: 100}
	dst.NoThirdParty = true
	dst.Checksums = []string{"crc32c"}
}

// TestCopyToAnObjectStoreKilledAnywhere is TestCopyKilledAnywhere for files that
// nobody can read, or change, before they are whole.
func TestCopyToAnObjectStoreKilledAnywhere(t *testing.T) {
	stride := int64(5)
	if soaking() {
		stride = 1
	}
	for killAt := int64(1); killAndRecover(t, transfer.RouteRelay, killAt, objectStore); killAt += stride {
		if t.Failed() {
			t.Fatalf("killed at step %d", killAt)
		}
	}
}

// The ranges of the workflow end where they like, and the parts of the store not.
func TestRangesToAnObjectStore(t *testing.T) {
	r := newRanged(t, transfer.RouteRelay, objectStore)
	r.arrived(r.run())
	if r.copied != 5 {
		t.Errorf("%d ranges were copied", r.copied)
	}
	for killAt := int64(1); killAt < 60; killAt += 7 {
		r := newRanged(t, transfer.RouteRelay, objectStore)
		p := r.process(killAt)
		go r.gated("victim").copy(p.context(t.Context()), r.input(r.file.InRange(3)), nil)
		<-p.dead
		r.arrived(r.run())
		if t.Failed() {
			t.Fatalf("killed at step %d", killAt)
		}
	}
}

// TestPiecesAreWholeParts cuts what is missing between the destination's parts.
func TestPiecesAreWholeParts(t *testing.T) {
	parts := endpoints.Parts{Least: 5, Most: 10}
	for name, c := range map[string]struct {
		missing     transfer.RangeSet
		piece, size int64
		want        []endpoints.Range
	}{
		"whole":              {transfer.NewRangeSet(endpoints.Range{End: 22}), 10, 22, []endpoints.Range{{Off: 0, End: 10}, {Off: 10, End: 20}, {Off: 20, End: 22}}},
		"pieces of no parts": {transfer.NewRangeSet(endpoints.Range{End: 22}), 14, 22, []endpoints.Range{{Off: 0, End: 10}, {Off: 10, End: 20}, {Off: 20, End: 22}}},
		"two ranges":         {transfer.NewRangeSet(endpoints.Range{End: 15}, endpoints.Range{Off: 20, End: 40}), 10, 40, []endpoints.Range{{Off: 0, End: 10}, {Off: 10, End: 15}, {Off: 20, End: 30}, {Off: 30, End: 40}}},
		"small pieces":       {transfer.NewRangeSet(endpoints.Range{End: 10}), 3, 40, []endpoints.Range{{Off: 0, End: 5}, {Off: 5, End: 10}}},
		"few parts of a lot": {transfer.NewRangeSet(endpoints.Range{End: 200}), 10, 1000, []endpoints.Range{{Off: 0, End: 100}, {Off: 100, End: 200}}},
	} {
		if got := partsOf(c.missing, c.piece, c.size, parts); !slices.Equal(got, c.want) {
			t.Errorf("%s: %v, want %v", name, got, c.want)
		}
	}
	if got := partsOf(transfer.NewRangeSet(endpoints.Range{End: 12}), 5, 40, endpoints.Parts{}); len(got) != 3 || got[2].Len() != 2 {
		t.Errorf("of files that may be changed anywhere: %v", got)
	}
}

// TestWhatIsNoWholePartIsMovedAgain drops from a ledger what was written when
// parts were of another length, and the digest of it.
func TestWhatIsNoWholePartIsMovedAgain(t *testing.T) {
	w := newWorld(t, func(_, dst *memory.Options) { dst.Parts = endpoints.Parts{Least: 5, Most: 10} })
	have := transfer.NewRangeSet(endpoints.Range{End: 13}, endpoints.Range{Off: 19, End: 22})
	c := &copier{
		ends: &pair{src: &place{Storage: w.src.Open()}, dst: &place{Storage: w.dst.Open()}}, files: []transfer.File{{Size: 22}}, parts: partSizes{share: 1, min: 5, max: 5},
		led: &ledger{Partial: map[int]partial{0: {Have: have, Hash: []byte{1}, Alg: "crc32c"}}},
	}
	want := []endpoints.Range{{Off: 10, End: 15}, {Off: 15, End: 20}}
	if got := c.missing(0); !slices.Equal(got, want) {
		t.Errorf("%v is missing, want %v", got, want)
	}
	if p := c.led.Partial[0]; p.Hash != nil || p.Alg != "" || p.Have.Total() != 12 {
		t.Errorf("the ledger keeps %+v", p)
	}
	c.led.Partial[0] = partial{Have: transfer.NewRangeSet(endpoints.Range{End: 20}), Hash: []byte{1}, Alg: "crc32c"}
	if got := c.missing(0); len(got) != 1 || c.led.Partial[0].Hash == nil {
		t.Errorf("of whole parts: %v, %+v", got, c.led.Partial[0])
	}
}

// TestPartsAreOfOneVersion refuses a part of another version than the first one
// that was opened, by whichever attempt.
func TestPartsAreOfOneVersion(t *testing.T) {
	led := &ledger{Partial: map[int]partial{0: {}, 1: {Tag: "before"}}}
	c := &copier{led: led}
	for n, tt := range []struct {
		file int
		tag  string
		same bool
	}{{0, "", true}, {0, "a", true}, {0, "a", true}, {0, "b", false}, {0, "", true}, {1, "a", false}, {1, "before", true}, {2, "a", true}, {2, "b", true}} {
		err := (&relay{c: c, i: tt.file, f: transfer.File{Source: "/f"}}).sameVersion(tt.tag)
		if (err == nil) != tt.same || err != nil && !fault.Is(err, fault.Integrity) {
			t.Errorf("%d: a part of version %q: %v", n, tt.tag, err)
		}
	}
	if led.Partial[0].Tag != "a" {
		t.Errorf("the ledger keeps %q", led.Partial[0].Tag)
	}
}
