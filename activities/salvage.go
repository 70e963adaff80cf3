package activities

import (
	"context"

	"github.com/gridferry/gridferry/endpoints"
	"github.com/gridferry/gridferry/fault"
	"github.com/gridferry/gridferry/transfer"
)

// A ledger tells less than is there: of a worker that was killed its last two
// seconds are missing, and the servers of one that stood still have worked off
// what they had been told. So before anything is sent again, both ends are
// asked whether it is there: where they compute checksums of what they have,
// that costs no byte of the line.

// salvager looks for what a predecessor's servers had finished.
type salvager struct {
	c    *copier
	alg  string // "": neither end is asked
	from int64  // size of the files that are worth the question, bytes
}

// fastLine is what a line moves at best while it is asked whether a file has
// to be sent at all, in bytes a second: 1 Gb/s.
const fastLine = 125e6

func newSalvager(c *copier) *salvager {
	s := &salvager{c: c, from: 1}
	src, dst := c.ends.src.Caps(), c.ends.dst.Caps()
	if dst.Parts.Most > 0 {
		return s // it may not be read while it is on its way, and its storage knows its parts
	}
	if src.Parts.Most > 0 {
		return s // an object store reads out ranges whose checksum it is asked for: sending them costs no more
	}
	s.alg = endpoints.SharedChecksum(checksums(c.ends.src), checksums(c.ends.dst))
	// Two questions a file, and as many files at once as there are helpers.
	s.from = max(s.from, int64(2*max(src.RTT, dst.RTT).Seconds()*fastLine/helpers))
	return s
}

// asks says that it is worth asking for a file.
func (s *salvager) asks(f transfer.File) bool { return s.alg != "" && f.Link == "" && f.Size >= s.from }

// whole looks for a file that is all there, under a temporary name of one of
// the attempts that had these epochs, or under its own. What it finds under
// temporary names it renames to this attempt's, or removes.
func (s *salvager) whole(ctx context.Context, f transfer.File, epochs []int64) (a arrival, found bool, err error) {
	caps := s.c.ends.dst.Caps()
	own := tempPath(f, s.c.in.Task, s.c.hold.epoch(), caps)
	for n := len(epochs) - 1; n >= 0; n-- {
		name := tempPath(f, s.c.in.Task, epochs[n], caps)
		there, err := s.hasSize(ctx, name, f.Size)
		if err == nil && there && !found {
			// What the predecessor has yet to issue must not meet this name.
			if err = s.c.rename(ctx, name, own); err == nil {
				name = own
				a, found, err = s.proof(ctx, f, own)
			}
		}
		if err != nil && !ofOneName(fault.KindOf(err)) {
			return arrival{}, false, err
		}
		if found && name == own {
			continue
		}
		if err := s.c.remove(ctx, name); err != nil {
			return arrival{}, false, err
		}
	}
	if found || f.Check { // of such a file the copy asks by itself
		return a, found, nil
	}
	there, err := s.hasSize(ctx, f.Dest, f.Size)
	if !there {
		return arrival{}, false, err
	}
	return s.proof(ctx, f, f.Dest)
}

// hasSize says that there is a file of that size.
func (s *salvager) hasSize(ctx context.Context, path string, size int64) (bool, error) {
	e, err := stat(ctx, s.c.ends.dst, path)
	if err != nil && ofOneName(fault.KindOf(err)) {
		return false, nil
	}
	return err == nil && e.Size == size, err
}

// proof compares a whole file.
func (s *salvager) proof(ctx context.Context, f transfer.File, path string) (a arrival, found bool, err error) {
	sum, err := s.same(ctx, f, path, 0, -1)
	return arrival{path: path, alg: s.alg, sourceSum: sum, destSum: sum}, sum != "", err
}

// same returns the checksum of a range that both ends have, and "" where they
// have not the same. Whatever is wrong with the file itself is for the copy to
// find out.
func (s *salvager) same(ctx context.Context, f transfer.File, path string, offset, length int64) (string, error) {
	var sums [2]string
	var errs [2]error
	parallel(2, 2, func(n int) {
		end, name := s.c.ends.src, f.Source
		if n == 1 {
			end, name = s.c.ends.dst, path
		}
		errs[n] = insist(ctx, patience, func() (err error) {
			sums[n], err = end.Storage.(endpoints.Checksummer).Checksum(ctx, name, s.alg, offset, length, nil)
			return err
		})
	})
	for _, err := range errs {
		switch {
		case err != nil && ofFile(err):
			return "", nil
		case err != nil:
			return "", err
		}
	}
	if sums[0] != sums[1] {
		return "", nil
	}
	return sums[0], nil
}

// Pieces of a part are asked for, for it may have been cut short; wrongPieces
// in a row that are not there end the search. Parts are handed out from the
// front, to several sessions at once: what is there has gaps, but no large ones.
const (
	pieces      = 16
	wrongPieces = 4 * pieces
)

// parts looks for pieces of what is missing of a large file that are there, in
// the size bytes that the destination has of it.
func (s *salvager) parts(ctx context.Context, f transfer.File, path string, missing transfer.RangeSet, size int64) (found transfer.RangeSet, err error) {
	if !s.asks(f) {
		return nil, nil
	}
	wrong := 0
	for _, r := range missing.Split(max(min(leastPart, s.c.parts.min), s.c.parts.of(f.Size)/pieces)) {
		if r.End > size || wrong == wrongPieces {
			break
		}
		sum, err := s.same(ctx, f, path, r.Off, r.Len())
		if err != nil {
			return nil, err
		}
		if wrong++; sum != "" {
			found, wrong = found.Add(r), 0
		}
	}
	return found, nil
}
