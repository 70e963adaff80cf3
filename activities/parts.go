package activities

import (
	"slices"
	"time"

	"github.com/gridferry/gridferry/endpoints"
	"github.com/gridferry/gridferry/transfer"
)

// partSizes say how large files are cut, in bytes. They go in parts because
// servers confirm at best once a second what they have, which on a fast line
// is more than may be sent again. What may be lost to a kill is the part on its
// way and those not yet in the ledger.
type partSizes struct {
	from     int64 // files of this size and more go in parts ...
	share    int64 // ... of one of so many of the file ...
	min, max int64 // ... within these
}

var defaultParts = partSizes{from: 64 << 20, share: 64, min: 16 << 20, max: 256 << 20}

// of is how much of a file of that size is risked at once, where the line does
// not say less.
func (p partSizes) of(size int64) int64 { return min(max((size+p.share-1)/p.share, p.min), p.max) }

// So many parts are outstanding at most, and at least, however few the files:
// the first ones are small. The servers take one after the other, so a deeper
// queue risks nothing more, but a stopped worker's servers work it off to its
// end.
const (
	partsLeast = 4
	partsAhead = 8
)

const (
	// partTime is how long a sender is at a part at most, so that as much is
	// risked on a slow line as on a fast one.
	partTime = time.Second

	// firstPart is how large a part is of which nobody knows how long it takes,
	// in bytes.
	firstPart = 4 << 20
)

// worth is how much a sender moves in that time, in bytes, by what was seen.
func (s *staff) worth(d time.Duration) int64 {
	if s.pace <= 0 {
		return firstPart
	}
	return max(leastPart, int64(s.pace*d.Seconds()))
}

// went notes how long a sender took for so many bytes.
func (s *staff) went(bytes int64, took time.Duration) {
	if bytes < leastPart || took <= 0 {
		return // what that took says little of the line
	}
	seen := float64(bytes) / took.Seconds()
	if s.pace > 0 {
		seen = (s.pace + seen) / 2 // of what is pipelined, some seems to take no time
	}
	s.pace = seen
}

// inParts says whether file i goes in parts. The caller holds mu.
func (c *copier) inParts(i int) bool {
	if c.in.Chunk.Ranged.IsRange() {
		return true
	}
	from := c.parts.from
	if _, begun := c.led.Partial[i]; begun {
		from = 0
	} else if c.staff.pace > 0 {
		from = min(from, 2*c.staff.worth(partTime))
	}
	caps := c.ends.dst.Caps()
	if c.files[i].Size < from || !takesRanges(caps) {
		return false
	}
	if _, begun := c.led.Partial[i]; !begun && c.files[i].Size <= caps.AtOnce {
		return false // it is there as a whole or not at all, under its own name
	}
	return c.in.Options.Route != transfer.RouteThirdParty || c.ends.src.Caps().Ranges
}

// missing returns the parts of file i that are still to be moved, and makes
// sure that the ledger knows the file. The caller holds mu.
func (c *copier) missing(i int) []endpoints.Range {
	f := c.files[i]
	p, ok := c.led.Partial[i]
	if !ok {
		p = partial{Epochs: []int64{c.hold.epoch()}, Of: version{f.Size, f.ModTime}}
	}
	parts := c.ends.dst.Caps().Parts
	if have := wholeParts(p.Have, f.Size, parts); !slices.Equal(have, p.Have) {
		p.Have, p.Hash, p.Alg = have, nil, ""
	}
	c.led.Partial[i] = p
	return partsOf(c.whole(i).Subtract(p.Have), c.parts.of(c.whole(i).Total()), f.Size, parts)
}

// have notes that a range of file i is where it belongs. The caller holds mu.
func (c *copier) have(i int, r endpoints.Range) {
	p := c.led.Partial[i]
	p.Have = p.Have.Add(r)
	c.led.Partial[i] = p
	c.up()
	c.book.dirty = true
}
