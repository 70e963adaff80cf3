package activities

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/gridferry/gridferry/endpoints"
	"github.com/gridferry/gridferry/fault"
)

// drainLook is how often a copy looks whether its endpoints are still in use.
const drainLook = time.Second

// isDrained says that an error is an operator's doing: it may last for hours,
// and is over when he says so.
func isDrained(err error) bool { return errors.As(err, new(*endpoints.DrainedError)) }

// watchDrains stops the attempt at its ledger when one of its endpoints is
// taken out of use, until ctx ends.
func (c *copier) watchDrains(ctx context.Context) {
	d, ok := c.d.Endpoints.(endpoints.Drainer)
	if !ok {
		return
	}
	tick := time.NewTicker(drainLook)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-c.halted:
			return
		case <-tick.C:
		}
		for _, e := range c.ends.ends() {
			if out := d.Drained(e.rec); out != nil {
				c.drain(fault.Wrap(fault.Busy, "use", e.name, &endpoints.DrainedError{Drain: *out}))
				return
			}
		}
	}
}

// drain hands out nothing more: what is under way may come to its end.
func (c *copier) drain(err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.drainLocked(err)
}

func (c *copier) drainLocked(err error) {
	if !c.stop {
		c.drained = err
	}
	c.halt()
}

// watchServers notes, until stop, which servers of the ends are left out and
// which come back: the task's owner may wonder what slows it down.
func (c *copier) watchServers() (stop func()) {
	var stops []func()
	for _, e := range c.ends.ends() {
		w, ok := e.Storage.(endpoints.Watched)
		if !ok {
			continue
		}
		stops = append(stops, w.Watch(func(change endpoints.ServerChange) {
			change.Why = clip(change.Why)
			change.Time = change.Time.UTC()
			c.servers.add(change)
		}))
	}
	return func() {
		for _, stop := range stops {
			stop()
		}
	}
}

// serverChanges are what watchServers has noted. They have a lock of their own:
// whoever tells of a change must not wait for what the copier's is held for.
type serverChanges struct {
	mu  sync.Mutex
	all []endpoints.ServerChange
}

func (s *serverChanges) add(c endpoints.ServerChange) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.all) < maxFaults {
		s.all = append(s.all, c)
	}
}

// list returns them in the order in which they happened.
func (s *serverChanges) list() []endpoints.ServerChange {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.all)
}
