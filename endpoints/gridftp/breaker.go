package gridftp

import "time"

// How long a server is left alone after it has failed: twice as long each time,
// from the one to the other. A server that comes back is found by a look at its
// greeting, which costs it next to nothing and no session anything.
const (
	firstRest = time.Second
	longRest  = 30 * time.Second
)

// breakerState is what may be asked of a server.
type breakerState string

const (
	closed   breakerState = "closed"    // everything
	open     breakerState = "open"      // nothing but a look, from until on
	halfOpen breakerState = "half-open" // one session, on trial
)

// A breaker remembers whether a server answers. The zero breaker is closed. It
// has no lock and no clock of its own.
type breaker struct {
	state    breakerState // empty is closed
	failures int          // in a row
	until    time.Time    // open: to be left alone before
	since    time.Time    // when it was opened first, of failures in a row
	why      string       // what the server, or the network, said last
	trial    bool         // half-open: a session is on trial
}

// is compares, with the zero state for closed.
func (b *breaker) is(s breakerState) bool { return b.state == s || b.state == "" && s == closed }

// fail opens the breaker, and reports whether it was closed before.
func (b *breaker) fail(why string, now time.Time) (opened bool) {
	if opened = b.is(closed); opened {
		b.failures, b.since = 0, now
	}
	b.state, b.why, b.trial = open, why, false
	b.until = now.Add(min(firstRest<<min(b.failures, 10), longRest))
	b.failures++
	return opened
}

// greeted half-opens an open breaker: the server greets, and a session may show
// whether it lets anybody in.
func (b *breaker) greeted() {
	if b.is(open) {
		b.state, b.trial = halfOpen, false
	}
}

// try takes the one trial of a half-open breaker.
func (b *breaker) try() bool {
	if !b.is(halfOpen) || b.trial {
		return false
	}
	b.trial = true
	return true
}

// giveUp ends a trial that showed nothing.
func (b *breaker) giveUp() { b.trial = false }

// succeed closes the breaker, and reports whether it was not closed before.
func (b *breaker) succeed() (again bool) {
	again = !b.is(closed)
	*b = breaker{state: closed}
	return again
}
