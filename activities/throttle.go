package activities

import (
	"context"
	"sync"
	"time"

	"github.com/gridferry/gridferry/fault"
)

// A copy that is to keep to a rate pays for bytes before it moves them, or
// hands them out to be moved: with grants that this process draws from the
// ration of the endpoint, which all workers share.
const (
	// grantTime is how much of a rate is drawn at once: few draws, and little
	// that another worker waits for and this one does not use.
	grantTime = 250 * time.Millisecond
	// mostDrawn bounds a draw, of what went whole and is paid for afterwards:
	// others draw in between.
	mostDrawn = 10 * time.Second
	// pacedPart is how much of a rate a part of a large file has at most, and
	// leastPart bounds it from below, in bytes.
	pacedPart = grantTime
	leastPart = 1 << 20
	// drawPatience bounds how far ahead a ration is spoken for: who would wait
	// longer asks again.
	drawPatience = 30 * time.Second
)

// paces are those of a process, by endpoint.
type paces struct {
	mu sync.Mutex
	by map[string]*pace
}

// pace is what this process may still move at an endpoint.
type pace struct {
	turn chan struct{} // held by whoever takes from left, or waits for a grant
	left int64
}

func (p *paces) of(endpoint string) *pace {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.by == nil {
		p.by = map[string]*pace{}
	}
	e := p.by[endpoint]
	if e == nil {
		e = &pace{turn: make(chan struct{}, 1)}
		p.by[endpoint] = e
	}
	return e
}

// pay waits until n bytes may move at the place, or stopped. It is false when
// they may not.
func (d *Data) pay(ctx context.Context, at *place, n int64, stopped <-chan struct{}) bool {
	if d.Rations == nil || !at.rec.Limits.Limited() || n <= 0 {
		return true
	}
	p := d.paces.of(at.name)
	select {
	case p.turn <- struct{}{}:
	case <-stopped:
		return false
	case <-ctx.Done():
		return false
	}
	defer func() { <-p.turn }()
	for p.left < n {
		draw, limited := at.rec.Limits.DrawBytes(at.name, 0, time.Now())
		if !limited { // at this time of the week
			return true
		}
		draw.N = max(n-p.left, int64(draw.PerSec*grantTime.Seconds()))
		draw.N = min(draw.N, int64(draw.PerSec*mostDrawn.Seconds()))
		draw.Patience = drawPatience
		wait, err := d.Rations.Take(ctx, draw)
		if err != nil {
			if !fault.Is(err, fault.Busy) {
				d.logger().Warn("nothing could be drawn of the rate of an endpoint", "endpoint", at.name, "error", err)
			}
			draw.N, wait = 0, time.Second
		}
		select {
		case <-time.After(wait):
		case <-stopped:
			return false
		case <-ctx.Done():
			return false
		}
		p.left += draw.N
	}
	p.left -= n
	return true
}

// pay is Data.pay at both ends.
func (c *copier) pay(ctx context.Context, n int64) bool {
	for _, e := range c.ends.ends() {
		if !c.d.pay(ctx, e, n, c.halted) {
			return false
		}
	}
	return true
}

// paced makes parts small enough for the rates of the ends: what is handed out
// is paid for, and moves at the speed of the line.
func (p partSizes) paced(ends *pair, now time.Time) partSizes {
	for _, e := range ends.ends() {
		draw, limited := e.rec.Limits.DrawBytes(e.name, 0, now)
		if !limited {
			continue
		}
		most := max(leastPart, int64(draw.PerSec*pacedPart.Seconds()))
		p.from, p.max = min(p.from, 2*most), min(p.max, most)
		p.min = min(p.min, p.max)
	}
	return p
}
