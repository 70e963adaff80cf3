package activities

import (
	"slices"

	"github.com/gridferry/gridferry/endpoints"
)

// large is a file in parts that is under way. Where there are fewer files than
// senders, several take parts of one; what becomes of it is decided when the
// last of them has nothing outstanding. It is under the copier's lock.
type large struct {
	rest    []endpoints.Range // not handed out
	lone    bool              // it goes alone, see turn
	whole   bool              // one sender takes all of it
	holders int               // senders that take of it
	hurt    bool              // nothing more of it is handed out

	// The first fault that somebody met with it; suspect: parts are not proven.
	err      error
	atSource bool
	suspect  bool
}

// largeOf is the file that a sender has been given, whose parts it takes from
// now on. The caller holds mu.
func (c *copier) largeOf(t turn) *large {
	if t.shared {
		return c.large[t.i] // counted when the turn was given
	}
	l := &large{rest: c.missing(t.i), lone: t.lone, holders: 1}
	c.large[t.i] = l
	c.changed.Broadcast() // others may want parts of it
	return l
}

// share gives a sender a file that is under way, to take parts of it. The
// caller holds mu.
func (c *copier) share() (turn, bool) {
	if c.stop {
		return turn{}, false
	}
	for i, l := range c.large {
		if l.open() {
			l.holders++
			return turn{i: i, parts: true, shared: true}, true
		}
	}
	return turn{}, false
}

// leave ends a sender's part in a file. The last one decides about it: a is
// what it knows of the file if that has arrived. The caller holds mu.
func (c *copier) leave(i int, a arrival) {
	l := c.large[i]
	if l.holders--; l.holders > 0 {
		return
	}
	delete(c.large, i)
	switch {
	case l.err != nil:
		c.trouble(i, l.err, l.atSource, l.lone)
	case l.suspect || len(l.rest) > 0:
		c.handBack(turn{i: i, lone: l.lone})
	default:
		c.proveLater(i, a)
	}
}

// partsLeft counts the parts that other senders could take. The caller holds mu.
func (c *copier) partsLeft() (n int) {
	for _, l := range c.large {
		if l.open() {
			n += len(l.rest)
		}
	}
	return n
}

// open says that more senders may take parts. The caller holds mu.
func (l *large) open() bool { return !l.lone && !l.whole && !l.hurt && len(l.rest) > 0 }

// pop takes the next part of a file, if there is one. The caller holds mu.
func (l *large) pop() (part endpoints.Range, ok bool) {
	if l.hurt || len(l.rest) == 0 {
		return endpoints.Range{}, false
	}
	part, l.rest = l.rest[0], l.rest[1:]
	return part, true
}

// run is where what follows a part in one piece ends, as far as it falls to the
// same sender. The caller holds mu.
func (l *large) run(part endpoints.Range) int64 {
	end := part.End
	if !l.whole {
		return end
	}
	for _, next := range l.rest {
		if next.Off != end {
			break
		}
		end = next.End
	}
	return end
}

// popUpTo is pop of so many bytes, or somewhat more where little would be left.
// The caller holds mu.
func (l *large) popUpTo(most int64) (part endpoints.Range, ok bool) {
	if part, ok = l.pop(); ok && part.Len() > most+most/2 {
		rest := part
		part.End = part.Off + most
		rest.Off = part.End
		l.rest = slices.Insert(l.rest, 0, rest)
	}
	return part, ok
}

// popRun takes several parts in a row that make up so many bytes, or as popUpTo
// does where the next one is as large. The caller holds mu.
func (l *large) popRun(most int64) (part endpoints.Range, ok bool) {
	part, ok = l.popUpTo(most)
	for ok && len(l.rest) > 0 && l.rest[0].Off == part.End && part.Len()+l.rest[0].Len() <= most {
		part.End, l.rest = l.rest[0].End, l.rest[1:]
	}
	return part, ok
}

// fair is half of what falls to each sender of what is not handed out, in bytes:
// the last parts are small, and all senders end at about the same time. The
// caller holds mu.
func (l *large) fair() (bytes int64) {
	for _, part := range l.rest {
		bytes += part.Len()
	}
	return bytes / int64(2*max(1, l.holders))
}

// fault notes what a sender met with the file.
func (l *large) fault(err error, atSource bool) {
	l.hurt = true
	if l.err == nil {
		l.err, l.atSource = err, atSource
	}
}
