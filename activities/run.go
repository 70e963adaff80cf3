package activities

import (
	"context"
	"io"
	"time"

	"github.com/gridferry/gridferry/endpoints"
)

// run is a source that is being read through several parts in a row: a storage
// that reads ahead is not stopped at the end of each. Where others take parts of
// the file, or sessions cannot be given up, each part is opened for itself.
type run struct {
	ahead int64 // where what follows the next part in one piece ends

	in      io.ReadCloser // nil when none is open
	at, end int64         // what is still to be read of it
	stop    context.CancelFunc
}

// open returns the source, at the beginning of part.
func (u *run) open(ctx context.Context, r *relay, part endpoints.Range) (io.Reader, error) {
	if u.in != nil && u.at == part.Off && part.End <= u.end {
		return u.in, nil
	}
	u.close()
	src := r.c.ends.src
	u.at, u.end = part.Off, part.End
	if src.Caps().Multiplexed {
		u.end = max(u.end, u.ahead)
	}
	reading, stop := context.WithCancel(ctx)
	in, err := src.Open(reading, r.f.Source, u.at, u.end-u.at)
	if err != nil {
		stop()
		return nil, err
	}
	u.in, u.stop = in, stop
	return in, r.describe(in)
}

// passed notes that a part was read.
func (u *run) passed(part endpoints.Range) {
	if u.at = part.End; u.at == u.end {
		u.close() // its session is free for the next one
	}
}

// close gives the rest up.
func (u *run) close() {
	if u.in != nil {
		_ = u.in.Close() // what was wrong with it, reading has told
		u.stop()
		u.in = nil
	}
}

// pacer is how a relay goes on from part to part.
type pacer struct {
	last   time.Time // when a part landed
	landed int       // how many have

	flush int64 // the ledger that was asked for ...
	next  told  // ... and what it will say
	kept  told  // what the one in the store says, as far as is known
}

// told is what a ledger says of a relay: so many parts had landed, then.
type told struct {
	landed int
	at     time.Time
}

// lagging is by how many parts the ledger may lag, and a relay is at a part for
// half of partTime at most: with the parts that are moving and landing, as much
// is risked at a kill as elsewhere.
const (
	lagging     = 2
	relayedTime = partTime / 2
)

// took is how long the line was at a part that began to move at some time, and
// has landed now. It may have waited for the one before to land.
func (p *pacer) took(began time.Time) time.Duration {
	now := time.Now()
	if p.landed == 0 {
		p.kept.at, p.next.at = began, began
	}
	if began.Before(p.last) {
		began = p.last
	}
	p.last = now
	p.landed++
	return now.Sub(began)
}

// keep has the ledger written as often as it goes beside the parts, and waits
// for it when it lags: on a busy disk it may take longer than a part does. The
// caller holds the copier's lock.
func (p *pacer) keep(book *bookkeeper) {
	for p.ask(book); p.lags() && !book.over; p.ask(book) {
		book.wait(p.flush)
	}
}

func (p *pacer) lags() bool {
	return p.landed-p.kept.landed > lagging || time.Since(p.kept.at) > partTime
}

// ask asks for the next ledger if there is none to be waited for.
func (p *pacer) ask(book *bookkeeper) {
	if p.flush <= book.kept {
		p.kept, p.next = p.next, told{p.landed, time.Now()}
		p.flush = book.ask()
	}
}
