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
	last  time.Time // when a part landed
	flush int64     // the ledger that was asked for ...
	asked time.Time // ... then
	since int       // parts that have landed after that
}

// took is how long the line was at a part that began to move at some time, and
// has landed now. It may have waited for the one before to land.
func (p *pacer) took(began time.Time) time.Duration {
	now := time.Now()
	if began.Before(p.last) {
		began = p.last
	}
	p.last = now
	return now.Sub(began)
}

// keep has the ledger written as often as it goes beside the parts, and waits
// for it when it lags by more than partTime or partsLeast of them: as much is
// risked at a kill, on a fast line and on a slow one. On a busy disk a ledger may
// take longer than a part does. The caller holds the copier's lock.
func (p *pacer) keep(book *bookkeeper) {
	p.since++
	if p.flush > book.kept && (time.Since(p.asked) >= partTime || p.since >= partsLeast) {
		book.wait(p.flush)
	}
	if p.flush <= book.kept {
		p.flush, p.asked, p.since = book.ask(), time.Now(), 0
	}
}
