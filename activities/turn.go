package activities

import (
	"context"
	"slices"
	"time"

	"github.com/gridferry/gridferry/transfer"
)

// help runs chores until there can be no more.
func (c *copier) help(ctx context.Context) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for {
		for len(c.chores) == 0 {
			if c.staff.over {
				return
			}
			c.changed.Wait()
		}
		chore := c.chores[0]
		c.chores = c.chores[1:]
		c.mu.Unlock()
		chore(ctx)
		c.mu.Lock()
		c.changed.Broadcast()
	}
}

// front returns the file whose turn it is. lone says that it must go alone.
// The caller holds mu.
func (c *copier) front() (i int, lone, ok bool) {
	if c.stop {
		return 0, false, false
	}
	hasty := c.in.Options.OnError == transfer.OnErrorFail && len(c.lone) > 0
	if !hasty {
		if i, ok := c.quietOf(&c.redo); ok {
			return i, false, true
		}
	}
	for !hasty && c.next < len(c.files) {
		i := c.next
		c.next++
		if c.state[i] != toDo || slices.Contains(c.lone, i) {
			continue
		}
		f := c.files[i]
		switch {
		case f.Link != "":
			c.start(i)
			c.chore(func(ctx context.Context) { c.makeLink(ctx, i) })
		case f.Same != "":
			c.names = append(c.names, i)
		case c.in.Chunk.Ranged.Joins():
			c.start(i)
			c.chore(func(ctx context.Context) { c.join(ctx, i) })
		case f.Check:
			c.start(i)
			c.chore(func(ctx context.Context) { c.checkFirst(ctx, i) })
		default:
			return i, false, true
		}
	}
	if c.busy > 0 {
		return 0, false, false
	}
	if i, ok := c.nextName(); ok || c.busy > 0 {
		return i, false, ok
	}
	if i, ok := c.quietOf(&c.lone); ok {
		if c.files[i].Link != "" {
			c.start(i)
			c.chore(func(ctx context.Context) { c.makeLink(ctx, i) })
			return 0, false, false
		}
		return i, true, true
	}
	return 0, false, false
}

// defaultQuiet is how long a file that was under way on a dropped session is
// left alone. Seen: a server that had the command already made the name after
// we had removed it, some milliseconds later. It hears of a closed connection
// as soon as it looks; a lost one is another matter, see late.
const defaultQuiet = 2 * time.Second

// quietTime is defaultQuiet, but for tests.
func (c *copier) quietTime() time.Duration {
	if c.d.quiet > 0 {
		return c.d.quiet
	}
	return defaultQuiet
}

// quietOf takes the first file of a list that may be done again now. The caller
// holds mu.
func (c *copier) quietOf(list *[]int) (int, bool) {
	now := time.Now()
	var soonest time.Time
	for n, i := range *list {
		until := c.quiet[i]
		if now.Before(until) {
			if soonest.IsZero() || until.Before(soonest) {
				soonest = until
			}
			continue
		}
		delete(c.quiet, i)
		*list = slices.Delete(*list, n, n+1)
		return i, true
	}
	if !soonest.IsZero() {
		time.AfterFunc(soonest.Sub(now), func() {
			c.mu.Lock()
			defer c.mu.Unlock()
			c.changed.Broadcast()
		})
	}
	return 0, false
}

// turn is a file that a sender has been given.
type turn struct {
	i      int
	lone   bool
	parts  bool // large: it goes in parts
	shared bool // others are at it: take parts of it beside them
}

// take gives a sender its next file, and waits while others may still hand one
// back. false: there is nothing more to do.
func (c *copier) take() (turn, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for {
		if i, lone, ok := c.front(); ok {
			c.start(i)
			t := turn{i: i, lone: lone, parts: c.inParts(i)}
			if !c.reserve(i) {
				c.back(i)
				return turn{}, false
			}
			return t, true
		}
		if t, ok := c.share(); ok {
			return t, true
		}
		if c.stop || c.exhausted() {
			c.changed.Broadcast()
			return turn{}, false
		}
		c.changed.Wait()
	}
}

// exhausted says that no file is left, nor under way. The caller holds mu.
func (c *copier) exhausted() bool {
	return c.busy == 0 && len(c.lone) == 0 && len(c.names) == 0 && len(c.redo) == 0 && c.next >= len(c.files)
}

// takeLike gives a sender another file for the run it has begun, if the one
// whose turn it is can go with it. It does not wait for other files.
func (c *copier) takeLike(t turn) (turn, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if t.lone {
		return turn{}, false
	}
	i, lone, ok := c.front()
	if !ok {
		return turn{}, false
	}
	if lone {
		c.lone = slices.Insert(c.lone, 0, i)
		return turn{}, false
	}
	if c.inParts(i) != t.parts {
		c.redo = slices.Insert(c.redo, 0, i)
		c.changed.Broadcast() // another sender may begin with it
		return turn{}, false
	}
	c.start(i)
	if !c.reserve(i) {
		c.back(i)
		return turn{}, false
	}
	return turn{i: i, parts: t.parts}, true
}

// start marks a file as under way. The caller holds mu.
func (c *copier) start(i int) {
	c.state[i] = underWay
	c.busy++
}

// back returns a file that is under way to those to be done. The caller holds mu.
func (c *copier) back(i int) {
	c.state[i] = toDo
	c.busy--
	delete(c.moving, i)
	c.redo = append(c.redo, i)
	c.changed.Broadcast()
}

// chore gives the helpers something to do. The caller holds mu.
func (c *copier) chore(fn func(context.Context)) {
	c.chores = append(c.chores, fn)
	c.changed.Broadcast()
}

// reserve makes sure that the stored ledger says that file i may have been
// given to a server, before it is. It is false when the attempt ends instead.
// The caller holds mu.
func (c *copier) reserve(i int) bool {
	ahead := max(c.book.ahead, c.outstanding())
	if i+ahead/2 >= c.led.Reserved && c.led.Reserved < len(c.files) {
		c.led.Reserved = min(len(c.files), max(c.led.Reserved, i+1)+ahead)
		c.book.kick()
	}
	if i >= c.book.reserved {
		// The files go faster than the ledger is written.
		c.book.ahead = min(2*c.book.ahead, maxAhead)
	}
	for i >= c.book.reserved && !c.stop {
		c.changed.Wait()
	}
	return !c.stop
}

// How many files are reserved ahead of their turn. Each of them is a suspect
// when the worker is lost, and until then spares its sender a wait.
const (
	minAhead = 256
	maxAhead = 4096
)

// outstanding is twice what the tuning has under way. The caller holds mu.
func (c *copier) outstanding() int {
	return max(minAhead, 2*c.tuning.Concurrency*c.tuning.Pipelining)
}

// path is where file i is written in this attempt. The caller holds mu.
func (c *copier) path(i int) string {
	f := c.files[i]
	if !c.temp.has(i) && ownName(f, c.in.Options.Atomic, c.ends.dst.Caps()) && c.in.Chunk.Ranged == nil {
		c.touched.set(i)
		return f.Dest
	}
	return c.tempName(i)
}

// handBack returns a file to where its turn came from. The caller holds mu.
func (c *copier) handBack(t turn) {
	if !t.lone {
		c.back(t.i)
		return
	}
	c.state[t.i] = toDo
	c.busy--
	delete(c.moving, t.i)
	c.lone = slices.Insert(c.lone, 0, t.i)
	c.changed.Broadcast()
}
