package transfer

import (
	"fmt"
	"strings"
	"time"

	"github.com/gridferry/gridferry/endpoints"
)

const (
	// RangedMin is the size, in bytes, under which no file is cut into ranges
	// unless the policy says so: a chunk of its own for each range has to pay.
	RangedMin = 4 << 30

	minRange  = 1 << 30 // of a file that the rule cuts, in bytes
	maxRanges = 1_000   // of one file
)

// The smallest and the largest Policy.RangeSize, in bytes.
const (
	MinRangeSize = 1 << 20
	MaxRangeSize = 1 << 50
)

// Ranged says that a chunk is one very large file, which is copied in ranges
// by chunks of their own, perhaps by several workers and servers at once, or
// that it is one of these ranges.
//
// All ranges of a generation are written to one temporary name, each to its
// own place. A generation is of one version of the source: when that changes,
// or what was joined turns out to be wrong, the next generation begins, under
// another name, and nothing of the one before counts.
type Ranged struct {
	Path       string    `json:"path"` // at the destination, for people: shortened, valid UTF-8
	Size       int64     `json:"size"` // bytes; with ModTime the version of the source
	ModTime    time.Time `json:"mtime,omitzero"`
	Length     int64     `json:"length"`           // of each range but the last, in bytes
	Count      int       `json:"count"`            // of ranges; 0 when the file has become empty
	Generation int       `json:"generation"`       // from 1 on
	Number     int       `json:"number,omitempty"` // of this range, from 1 on; 0 is the file itself, whose copy joins the ranges
}

// Joins says that the chunk is the whole file: its copy verifies what the
// ranges brought and gives it its name.
func (r *Ranged) Joins() bool { return r != nil && r.Number == 0 }

// IsRange says that the chunk is one of the ranges.
func (r *Ranged) IsRange() bool { return r != nil && r.Number > 0 }

// Range is where the range lies in the file; the whole file when it is none.
func (r *Ranged) Range() endpoints.Range {
	if r.Number == 0 {
		return endpoints.Range{End: r.Size}
	}
	off := int64(r.Number-1) * r.Length
	return endpoints.Range{Off: off, End: min(off+r.Length, r.Size)}
}

// Next is the generation after this one, of a source that has that size, in
// bytes, and time.
func (r *Ranged) Next(size int64, modTime time.Time) Ranged {
	next := *r
	next.Size, next.ModTime, next.Number = size, modTime, 0
	next.Length = max(next.Length, (size+maxRanges-1)/maxRanges)
	next.Count = int((size + next.Length - 1) / next.Length)
	next.Generation++
	return next
}

// InRange returns the chunk of range n, from 1 on, of the file that c is.
func (c Chunk) InRange(n int) Chunk {
	r := *c.Ranged
	r.Number = n
	c.ID = fmt.Sprintf("%s-g%d-r%04d", c.ID, r.Generation, n)
	c.Files, c.Bytes, c.Ranged = 0, r.Range().Len(), &r // the file counts once, when it is joined
	return c
}

// Describe says in a few words what the chunk is of.
func (c Chunk) Describe() string {
	switch r := c.Ranged; {
	case r.IsRange():
		return fmt.Sprintf("range %d of %d of %s, %s", r.Number, r.Count, r.Path, FormatBytes(c.Bytes))
	case r.Joins():
		return fmt.Sprintf("%d ranges of %s, %s", r.Count, r.Path, FormatBytes(c.Bytes))
	}
	return fmt.Sprintf("%s, %s", FormatFiles(c.Files), FormatBytes(c.Bytes))
}

// Of files of partsFrom bytes and more several senders may take parts, each of
// minPart or more.
const (
	partsFrom = 64 << 20
	minPart   = 16 << 20
)

// divisible is among how many senders files can be divided: whole ones, and
// parts of large ones. (A relay that computes the digest of what passes does so
// in order, and has one sender for each file.)
func (at Setting) divisible(s Stats) int64 {
	if s.Min < partsFrom || at.StreamDest || at.Relay && !at.Unordered {
		return s.Files
	}
	return s.Bytes / minPart
}

// TuneRange chooses how each range of a file is moved. Where the policy does
// not say more, that is over one pair of sessions: other ranges have others,
// and perhaps other workers and servers.
func TuneRange(p Policy, r Ranged, at Setting) Tuning {
	if p.Concurrency == 0 {
		at.Sessions = 1
	}
	return Tune(p, Stats{}.Add(r.Length), at)
}

// rangedFrom is the size, in bytes, from which files of a segment are copied
// in ranges; 0 when none is. Without a word of the policy's, that is a file
// which is more work than a chunk should be, or more than each session's share
// of the segment: everything else would be done, and it alone under way.
func (o CutOptions) rangedFrom(sorted []File) int64 {
	switch {
	case !o.Ranges || o.RangeSize < 0:
		return 0
	case o.RangeSize > 0:
		return 2 * o.RangeSize
	}
	var work float64
	for _, f := range sorted {
		work += o.cost(f)
	}
	most := min(o.Target.Seconds(), work/float64(o.Sessions))
	return max(RangedMin, int64((most-o.PerFile.Seconds())*o.Rate))
}

// ranged cuts a file into ranges: two for each session, so that the last ones
// end at about the same time, but none longer than a chunk should take. Each is
// moved by one pair of sessions.
func (o CutOptions) ranged(f File) *Ranged {
	length := o.RangeSize
	if length <= 0 {
		most := int64(o.Target.Seconds() * o.Pace)
		length = max(min(f.Size/int64(2*o.Sessions), most), min(minRange, most))
	}
	const unit = 1 << 20
	length = (length + unit - 1) / unit * unit
	path := strings.ToValidUTF8(f.Dest, "?")
	if len(path) > maxShownPath {
		path = "…" + strings.ToValidUTF8(path[len(path)-maxShownPath:], "")
	}
	none := Ranged{Path: path, Length: length}
	r := none.Next(f.Size, f.ModTime)
	return &r
}

// maxShownPath bounds a path in the name of a chunk, in bytes. Its end tells
// more than its beginning.
const maxShownPath = 120
