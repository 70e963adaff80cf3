package activities

import (
	"context"
	"sync"

	"github.com/gridferry/gridferry/endpoints"
	"github.com/gridferry/gridferry/fault"
	"github.com/gridferry/gridferry/transfer"
)

// parallel runs fn for each of n things, some at once.
func parallel(n, at int, fn func(int)) {
	var wg sync.WaitGroup
	next := make(chan int)
	for range min(at, n) {
		wg.Go(func() {
			for i := range next {
				fn(i)
			}
		})
	}
	for i := range n {
		next <- i
	}
	close(next)
	wg.Wait()
}

// helpers is how many renames, checksums and removals go on at once.
const helpers = 8

// inherit makes the predecessor's files its own: partial ones are renamed to
// this attempt's temporary names, those that turn out to be right are finished,
// and other temporary files go, so that nothing the predecessor still has under
// way can be renamed over what comes now.
func (c *copier) inherit(ctx context.Context) error {
	suspects := c.prev.suspects()
	if len(suspects) > 0 {
		if err := sleep(ctx, c.clock.left(c.prev.Updated, c.quietTime())); err != nil {
			return err
		}
	}
	caps := c.ends.dst.Caps()
	look := newSalvager(c)
	var mu sync.Mutex
	var first error
	fail := func(err error) {
		mu.Lock()
		defer mu.Unlock()
		if first == nil {
			first = err
		}
	}
	parallel(len(suspects), helpers, func(n int) {
		i := suspects[n]
		f := c.files[i]
		c.mu.Lock()
		c.temp.set(i)
		if ownName(f, c.in.Options.Atomic, caps) {
			c.touched.set(i)
		}
		p, isPartial := c.led.Partial[i]
		if !isPartial && look.asks(f) && f.Size >= min(c.parts.from, 2*leastPart) && takesRanges(caps) {
			// It may have been begun since the ledger was written.
			p, isPartial = partial{Epochs: c.prev.Epochs, Of: version{f.Size, f.ModTime}}, true
		}
		_, wasRefused := c.led.Refused[i]
		c.mu.Unlock()
		if isPartial {
			kept, err := c.adopt(ctx, look, f, &p)
			c.mu.Lock()
			if kept {
				p.Epochs = []int64{c.hold.epoch()}
				c.led.Partial[i] = p
			} else {
				delete(c.led.Partial, i)
			}
			c.mu.Unlock()
			if err != nil {
				fail(err)
			}
			if err != nil || kept {
				return
			}
		}
		if look.asks(f) && !wasRefused {
			a, found, err := look.whole(ctx, f, c.prev.Epochs)
			if err != nil {
				fail(err)
			} else if found {
				c.mu.Lock()
				c.start(i)
				c.mu.Unlock()
				c.prove(ctx, i, a)
			}
			return
		}
		for _, epoch := range c.prev.Epochs {
			if err := c.remove(ctx, tempPath(f, c.in.Task, epoch, caps)); err != nil {
				fail(err)
			}
		}
	})
	if first != nil {
		return first
	}
	c.mu.Lock()
	c.led.Epochs = []int64{c.hold.epoch()}
	c.mu.Unlock()
	return nil
}

// adopt takes over a partial file, and adds to p what of it turns out to be
// there. kept is false when there is none worth keeping; what there was is then
// removed.
func (c *copier) adopt(ctx context.Context, look *salvager, f transfer.File, p *partial) (kept bool, err error) {
	caps := c.ends.dst.Caps()
	own := tempPath(f, c.in.Task, c.hold.epoch(), caps)
	var now endpoints.Entry
	err = insist(ctx, patience, func() (err error) {
		now, err = c.ends.src.Stat(ctx, f.Source)
		return err
	})
	if err != nil && !ofOneName(fault.KindOf(err)) {
		return false, err
	}
	looks := look.asks(f)
	good := err == nil && p.Of.same(version{now.Size, now.ModTime}) && (looks || len(p.Have) > 0)
	if p.Tag != "" && now.Version != "" && p.Tag != now.Version {
		good = false
	}
	for n := len(p.Epochs) - 1; n >= 0; n-- {
		name := tempPath(f, c.in.Task, p.Epochs[n], caps)
		if !good || kept {
			if err := c.remove(ctx, name); err != nil {
				return kept, err
			}
			continue
		}
		if name != own {
			err := insist(ctx, patience, func() error { return c.ends.dst.Rename(ctx, name, own) })
			if fault.Is(err, fault.NotFound) {
				continue
			}
			if err != nil {
				return false, err
			}
		}
		e, err := c.ends.dst.Stat(ctx, own)
		switch {
		case fault.Is(err, fault.NotFound):
		case err != nil:
			return false, err
		default:
			// Less than what both servers had confirmed is not the file it was.
			if kept = len(p.Have) == 0 || e.Size >= p.Have[len(p.Have)-1].End; kept && looks {
				more, err := look.parts(ctx, f, own, p.Have.Missing(f.Size), e.Size)
				if err != nil {
					return false, err
				}
				if len(more) > 0 {
					p.Have, p.Hash, p.Alg = p.Have.Merge(more), nil, ""
				}
			}
			if kept = kept && len(p.Have) > 0; !kept {
				if err := c.remove(ctx, own); err != nil {
					return false, err
				}
			}
		}
	}
	return kept, nil
}

// remove removes a name at the destination, if it is there.
func (c *copier) remove(ctx context.Context, name string) error {
	if !c.hold.mine() {
		return errLeaseLost
	}
	err := insist(ctx, patience, func() error { return c.ends.dst.Remove(ctx, name) })
	if fault.Is(err, fault.NotFound) {
		return nil
	}
	return err
}
