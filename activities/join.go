package activities

import (
	"context"
	"fmt"
	"math"

	"github.com/gridferry/gridferry/endpoints"
	"github.com/gridferry/gridferry/fault"
	"github.com/gridferry/gridferry/transfer"
)

// join takes up a file whose ranges are all at the destination, or of which
// one met a fault that is the whole file's: it verifies the file and gives it
// its name, or decides that another generation of it is to be copied.
func (c *copier) join(ctx context.Context, i int) {
	c.mu.Lock()
	if !c.reserve(i) {
		c.back(i)
		c.mu.Unlock()
		return
	}
	if c.led.Generation > c.in.Chunk.Ranged.Generation {
		// Decided by an attempt that did not live to tell.
		c.state[i] = toDo
		c.busy--
		c.another(i)
		c.mu.Unlock()
		return
	}
	c.mu.Unlock()
	a, atSource, err := c.joined(ctx, i)
	if err == nil {
		atSource, err = c.verifyAndName(ctx, i, &a)
	}
	c.settle(ctx, i, a, atSource, err)
}

// joined says where the ranges have made the file.
func (c *copier) joined(ctx context.Context, i int) (a arrival, atSource bool, err error) {
	if u := c.in.Upset; u != nil {
		err := fault.New(u.Kind, "copy", u.Path, u.Message)
		if u.Offline {
			err.Err = fmt.Errorf("%w: %s", endpoints.ErrOffline, u.Message)
		}
		return a, u.AtSource, err
	}
	r := c.in.Chunk.Ranged
	c.mu.Lock()
	f, path := c.files[i], c.tempName(i)
	c.mu.Unlock()
	for n := 1; n <= r.Count; n++ {
		led, err := lastLedger(ctx, c.d.Blobs, c.in.Task, c.in.Chunk.InRange(n).ID, math.MaxInt64)
		switch {
		case err != nil:
			return a, false, err
		case led == nil || !led.Complete:
			return a, false, fault.New(fault.Integrity, "join", f.Dest, fmt.Sprintf("range %d of %d is not known to be there", n, r.Count))
		}
		c.lateRange(i, led)
	}
	if r.Count == 0 {
		return arrival{path: path, parts: true}, false, c.makeEmpty(ctx, path)
	}
	e, err := stat(ctx, c.ends.dst, path)
	switch {
	case fault.Is(err, fault.NotFound):
		if a, ok := c.renamed(ctx, f); ok {
			return a, false, nil
		}
		return a, false, fault.New(fault.Integrity, "join", f.Dest, "what the ranges wrote is gone from the destination")
	case err != nil:
		return a, false, err
	case e.Size != f.Size:
		return a, false, fault.New(fault.Integrity, "join", f.Dest, fmt.Sprintf("the ranges made %d bytes, and the source has %d", e.Size, f.Size))
	}
	return arrival{path: path, parts: true}, false, nil
}

// lateRange has the file verified again at the end of the task when servers
// may still write to it for a range whose attempt they do not know to be dead.
func (c *copier) lateRange(i int, led *ledger) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, l := range led.Late {
		l.File, l.Epoch = i, c.hold.epoch()
		c.led.Late = append(c.led.Late, l)
	}
}

// renamed says that an earlier attempt may have come as far as giving the file
// its name: what has the name is then verified in its place, if there is a
// way. It may be an older file, which only its bytes tell.
func (c *copier) renamed(ctx context.Context, f transfer.File) (a arrival, ok bool) {
	if c.prev == nil || c.prev.Reserved == 0 || c.in.Options.Verify != transfer.VerifyChecksum {
		return a, false
	}
	e, err := stat(ctx, c.ends.dst, f.Dest)
	if err != nil || e.Type != endpoints.File || e.Size != f.Size {
		return a, false
	}
	a = arrival{path: f.Dest, parts: true}
	err = c.sums(ctx, f.Source, &a)
	return a, err == nil && a.sourceSum != "" && a.sourceSum == a.destSum
}

// makeEmpty makes a file of which there is no range: its source has become
// empty.
func (c *copier) makeEmpty(ctx context.Context, path string) error {
	return insist(ctx, patience, func() error {
		out, err := c.ends.dst.Create(ctx, path, endpoints.CreateOptions{})
		if err != nil {
			return err
		}
		return out.Commit()
	})
}

// another begins the next generation of a file, of what its source is now:
// the workflow has its ranges copied. The caller holds mu.
func (c *copier) another(i int) {
	next := c.in.Chunk.Ranged.Next(c.files[i].Size, c.files[i].ModTime)
	c.led.Generation = next.Generation
	c.again = &next
	c.book.dirty = true
	c.halt()
}

// spent notes that the generation is given up: servers that have its name in
// hand may make it again, so it is removed once more at the end of the task.
// The caller holds mu.
func (c *copier) spent(i int) {
	c.led.Late = append(c.led.Late, late{File: i, Epoch: c.hold.epoch(), Since: c.clock.now()})
}

// generations are all shared names that the ranges of a file may have been
// written to.
func generations(f transfer.File, task transfer.TaskID, led *ledger, caps endpoints.Caps) []string {
	if led.Ranged == nil {
		return nil
	}
	var names []string
	for g := 1; g <= max(led.Ranged.Generation, led.Generation); g++ {
		names = append(names, sharedPath(f, task, g, caps))
	}
	return names
}

// removeShared removes a name that ranges have shared: once, although each of
// them comes to it in turn.
func (f *finisher) removeShared(ctx context.Context, name string) error {
	if f.shared == name {
		return nil
	}
	err := f.remove(ctx, name)
	if err == nil {
		f.shared = name
	}
	return err
}
