package transfer

import (
	"cmp"
	"slices"
	"strings"
	"time"
)

// SegmentLimit is how many files are sorted by size as a whole. A larger tree
// is sorted segment by segment, so that copying can begin before the walk ends.
const SegmentLimit = 100_000

// CutOptions says how much work fits a chunk. Zero values take the defaults.
type CutOptions struct {
	Target   time.Duration // work in a chunk; default 60 s
	Rate     float64       // expected bytes a second; default 500 MB/s
	Pace     float64       // the same of one pair of sessions, where it is known; default Rate
	PerFile  time.Duration // expected cost of a file besides its bytes; default 0.5 ms (2,000 files a second)
	MaxFiles int           // default 5,000
	MaxNames int           // bytes of paths in a chunk, which a worker has in memory; default 8 MiB

	Ranges    bool  // very large files may be copied in ranges
	RangeSize int64 // of them, as Policy.RangeSize has it
	Sessions  int   // pairs of sessions that share the work; default DefaultSessions
}

func (o CutOptions) withDefaults() CutOptions {
	if o.Target <= 0 {
		o.Target = time.Minute
	}
	if o.Rate <= 0 {
		o.Rate = 500e6
	}
	if o.Pace <= 0 {
		o.Pace = o.Rate
	}
	if o.PerFile <= 0 {
		o.PerFile = 500 * time.Microsecond
	}
	if o.MaxFiles <= 0 {
		o.MaxFiles = 5_000
	}
	if o.MaxNames <= 0 {
		o.MaxNames = 8 << 20
	}
	if o.Sessions <= 0 {
		o.Sessions = DefaultSessions
	}
	return o
}

// Piece is a run of sorted files that becomes one chunk.
type Piece struct {
	Files  []File // a part of the slice that was cut
	Stats  Stats
	Class  Class
	Ranged *Ranged // of a file that is copied in ranges, the only one of its piece
}

// Sort puts files in the order of size in which chunks are cut, in place. The
// order is total, so that a walk that is done again cuts the same chunks.
func Sort(files []File) {
	slices.SortFunc(files, func(a, b File) int {
		if c := cmp.Compare(a.Size, b.Size); c != 0 {
			return c
		}
		if c := strings.Compare(a.Inode, b.Inode); c != 0 { // so that all names of a file are neighbours
			return c
		}
		if c := strings.Compare(a.Source, b.Source); c != 0 {
			return c
		}
		return strings.Compare(a.Dest, b.Dest)
	})
}

// Cut cuts sorted files into chunks of like size: first at the sizes where the
// published heuristics change (50 MB and 250 MB), so that no chunk needs two
// tunings, then so that each is about opts.Target of work or less. A file that
// is more work than that is a chunk of its own, or where opts.Ranges allows it
// several: see Ranged.
//
// The parts of a class are of about equal work: an evenly cut class leaves no
// short last chunk that the heuristics would take for another class.
func Cut(sorted []File, opts CutOptions) []Piece {
	opts = opts.withDefaults()
	var pieces []Piece
	if from := opts.rangedFrom(sorted); from > 0 {
		n, _ := slices.BinarySearchFunc(sorted, from, func(f File, from int64) int { return cmp.Compare(f.Size, from) })
		sorted, pieces = sorted[:n], opts.cutRanged(sorted[n:])
	}
	for len(sorted) > 0 {
		n := len(sorted)
		for _, bound := range []int64{SmallMean - 1, LargeMin} {
			if sorted[0].Size <= bound {
				n, _ = slices.BinarySearchFunc(sorted, bound, func(f File, bound int64) int {
					if f.Size <= bound {
						return -1
					}
					return 1
				})
				break
			}
		}
		pieces = append(pieces, opts.cutClass(sorted[:n])...)
		sorted = sorted[n:]
	}
	return pieces
}

// cost is the expected work of one file, in seconds.
func (o CutOptions) cost(f File) float64 { return o.PerFile.Seconds() + float64(f.Size)/o.Rate }

func (o CutOptions) cutClass(files []File) []Piece {
	var total float64
	names := 0
	for _, f := range files {
		total += o.cost(f)
		names += f.names()
	}
	target := o.Target.Seconds()
	parts := max(int(total/target), (len(files)-1)/o.MaxFiles, names/o.MaxNames) + 1
	share := total / float64(parts)

	var pieces []Piece
	first, work, before := 0, 0.0, 0.0
	names = 0
	for i, f := range files {
		c := o.cost(f)
		due := before+c/2 > share*float64(len(pieces)+1)
		if i > first && (due || work+c > target || i-first == o.MaxFiles || names+f.names() > o.MaxNames) {
			pieces = append(pieces, newPiece(files[first:i]))
			first, work, names = i, 0, 0
		}
		work += c
		names += f.names()
		before += c
	}
	return append(pieces, newPiece(files[first:]))
}

// names is how many bytes the paths of a file take.
func (f File) names() int { return len(f.Source) + len(f.Dest) + len(f.Link) }

// cutRanged makes pieces of files that are large enough for ranges, in front of
// all others: what takes longest begins first. A file whose checksum may yet
// spare the copy is not worth it.
func (o CutOptions) cutRanged(files []File) []Piece {
	var pieces []Piece
	for i := range files {
		p := newPiece(files[i : i+1 : i+1])
		if f := files[i]; f.Link == "" && !f.Check {
			p.Ranged = o.ranged(f)
		}
		pieces = append(pieces, p)
	}
	return pieces
}

func newPiece(files []File) Piece {
	s := StatsOf(files)
	return Piece{Files: files, Stats: s, Class: s.Class()}
}
