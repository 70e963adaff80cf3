package activities

import (
	"context"
	"sync"
	"time"

	"github.com/gridferry/gridferry/transfer"
)

// staff is the senders of a copier, of which there may be more or fewer as it
// goes on. Its fields are under the copier's lock.
type staff struct {
	most    int // that there may ever be: as many sessions as were claimed
	want    int // that there should be now
	alive   int
	leaving int     // of those, about to end
	working int     // of those, moving something
	pace    float64 // bytes a second of one of them; 0 is not known
	over    bool

	adapted []Adapted
}

// sender is one of them.
type sender struct{ leaving bool }

// maxAdapted bounds what a result tells of changes.
const maxAdapted = 20

func newStaff(in CopyInput) staff {
	n := max(1, in.Chunk.Tuning.Concurrency)
	return staff{most: max(n, most(in)), want: n, pace: in.Probe.Setting().Pace()}
}

// most is how many pairs of sessions a copy of a chunk may come to have, which
// is what its lease claims. Where an endpoint has few of them, a chunk that
// may grow leaves half of them to the next one.
func most(in CopyInput) int {
	t := in.Chunk.Tuning
	n := max(1, t.Concurrency, t.MaxConcurrency)
	for _, limit := range []int{in.Probe.Source.Sessions, in.Probe.Destination.Sessions} {
		if limit > 0 {
			n = min(n, max(1, t.Concurrency, limit/2))
		}
	}
	return n
}

// employ keeps as many senders as are wanted until nothing is left to send.
func (c *copier) employ(ctx context.Context, loop func(context.Context, *sender)) {
	var senders sync.WaitGroup
	defer senders.Wait()
	c.mu.Lock()
	defer c.mu.Unlock()
	for {
		for !c.stop && !c.exhausted() && c.staff.alive-c.staff.leaving < c.staff.want {
			c.staff.alive++
			s := &sender{}
			senders.Go(func() {
				loop(ctx, s)
				c.gone(s)
			})
		}
		if c.staff.alive == 0 && (c.stop || c.exhausted()) {
			c.staff.over = true
			c.changed.Broadcast()
			return
		}
		c.changed.Wait()
	}
}

// gone notes that a sender has ended.
func (c *copier) gone(s *sender) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.staff.alive--
	if s.leaving {
		c.staff.leaving--
	}
	c.changed.Broadcast()
}

// dismiss tells a sender that has come to the end of a file whether it should
// end as well, because there are more than are wanted.
func (c *copier) dismiss(s *sender) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !s.leaving && c.staff.alive-c.staff.leaving > c.staff.want {
		s.leaving = true
		c.staff.leaving++
	}
	return s.leaving
}

// tooMany dismisses a sender for good whose server has as many sessions of
// ours as it wants. It is false for the last one, which tries again. The
// caller holds mu.
func (c *copier) tooMany(s *sender) bool {
	left := c.staff.alive - c.staff.leaving
	if s.leaving {
		left++
	}
	if left <= 1 {
		return false
	}
	if !s.leaving {
		s.leaving = true
		c.staff.leaving++
	}
	c.adapt(left-1, "the server was busy")
	c.staff.most = left - 1
	return true
}

// atWork counts the senders that move something.
func (c *copier) atWork(n int) {
	c.mu.Lock()
	c.staff.working += n
	c.mu.Unlock()
}

// want sets how many senders there should be, and says why when somebody
// should know.
func (c *copier) want(n int, why string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if n = min(n, c.staff.most); n != c.staff.want {
		c.adapt(n, why)
	}
}

// adapt is want for those who hold mu.
func (c *copier) adapt(n int, why string) {
	if why != "" {
		a := Adapted{Time: time.Now().UTC(), From: c.staff.want, To: n, Reason: why}
		c.log.Info("adapted", "from", a.From, "to", a.To, "reason", why)
		if len(c.staff.adapted) < maxAdapted {
			c.staff.adapted = append(c.staff.adapted, a)
		}
	}
	c.staff.want = n
	c.tuning.Concurrency = max(1, n)
	c.changed.Broadcast()
}

// standing is how far a chunk is, for those who share sessions out.
type standing struct {
	files, bytes int64   // done, of the whole chunk; bytes in flight among them
	left         float64 // see transfer.Work
	room         int     // how many senders it can use
	working      int
}

func (c *copier) standing() standing {
	p := c.progress()
	c.mu.Lock()
	defer c.mu.Unlock()
	s := standing{files: p.Files, bytes: p.Bytes, working: c.staff.working}
	s.left = max(0, transfer.Work(c.in.Chunk.Files-s.files, c.in.Chunk.Bytes-s.bytes))
	if !c.stop {
		// Those at work have something to do until it is done; others need a
		// file that nobody has, or parts of one.
		s.room = min(c.staff.most, c.staff.working+len(c.files)-c.next+len(c.redo)+min(1, len(c.lone))+c.partsLeft())
	}
	return s
}
