package activities

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/gridferry/gridferry/endpoints"
	"github.com/gridferry/gridferry/fault"
	"github.com/gridferry/gridferry/transfer"
)

// suspect notes that a file was under way on sessions that are dropped now.
// lost says that the servers may not have heard of it: what they were told may
// then still be done after the file was done again, so it is verified once
// more at the end of the task. The caller holds mu.
func (c *copier) suspect(i int, lost bool) {
	now := time.Now()
	c.temp.set(i)
	c.dropped = now
	c.quiet[i] = now.Add(c.quietTime())
	if lost {
		c.led.Late = append(c.led.Late, late{File: i, Epoch: c.hold.epoch(), Since: c.clock.now()})
	}
}

// cleanAgain removes once more, when all is quiet, what refused files may have
// left: a server may have made the name just after it was removed.
func (c *copier) cleanAgain(ctx context.Context) {
	c.mu.Lock()
	var files []int
	for i, s := range c.state {
		if s == refused && !c.wasRefused(i) {
			files = append(files, i)
		}
	}
	quiet := time.Until(c.dropped.Add(c.quietTime()))
	c.mu.Unlock()
	if len(files) == 0 || sleep(ctx, max(quiet, 0)) != nil {
		return
	}
	parallel(len(files), helpers, func(n int) { c.clean(ctx, files[n]) })
}

// wasRefused says that a file was given up by an earlier attempt. The caller
// holds mu.
func (c *copier) wasRefused(i int) bool { return c.prev != nil && c.prev.Refused[i].Final }

// trouble deals with a fault of one file that is under way. The caller holds mu.
func (c *copier) trouble(i int, err error, atSource, lone bool) {
	f := c.files[i]
	name := f.Dest
	if atSource {
		name = f.Source
	}
	kind := fault.KindOf(err)
	err = c.named(i, err)
	switch {
	case c.inArchive(err, atSource):
		c.setAside(i, err)
		return
	case c.stop && kind == fault.Canceled:
		c.temp.set(i)
		c.back(i)
		return
	case kind == fault.Integrity:
		c.note(err, name)
		c.mismatch(i, err, atSource)
		return
	case ofOneName(kind) || kind == fault.Invalid: // a name that is too long is no reason to end the task
		c.note(err, name)
		c.temp.set(i)
		if lone {
			c.refuse(i, err, atSource)
			return
		}
		c.state[i] = toDo
		c.busy--
		delete(c.moving, i)
		c.lone = append(c.lone, i)
		c.changed.Broadcast()
		return
	}
	// A fault of the session, which its sender deals with.
	c.temp.set(i)
	c.handBack(turn{i: i, lone: lone})
}

// refuse sets aside a file that failed when it was tried alone. The caller
// holds mu.
func (c *copier) refuse(i int, err error, atSource bool) {
	if c.in.Chunk.Ranged.IsRange() {
		c.upset(i, err, atSource)
		return
	}
	kind := fault.KindOf(err)
	if kind == fault.Invalid {
		kind = fault.Unsupported
	}
	r := refusal{Tries: c.led.Refused[i].Tries + 1, Kind: kind, Message: clip(err.Error()), AtSource: atSource}
	answer := transfer.AnswerTo(transfer.Trouble{Kind: kind, Attempt: r.Tries, OfFile: true, OnError: c.in.Options.OnError})
	again := answer.Action == transfer.Again && answer.Last
	r.Final = !again
	delete(c.led.Partial, i)
	if answer.Action == transfer.FailNow {
		c.halt()
	}
	c.chore(func(ctx context.Context) {
		c.clean(ctx, i)
		c.mu.Lock()
		defer c.mu.Unlock()
		c.led.Refused[i] = r // only now: its names are not left to chance
		c.state[i] = refused
		c.busy--
		delete(c.moving, i)
		if r.Final {
			c.led.Results = append(c.led.Results, c.failedResult(i, r))
		}
		if c.in.Chunk.Ranged.Joins() {
			c.spent(i)
			if !r.Final {
				c.another(i)
			}
		}
		c.book.dirty = true
		c.changed.Broadcast()
	})
}

// failedResult is how a refused file stands in the results.
func (c *copier) failedResult(i int, r refusal) transfer.Result { return failedResult(c.files[i], r) }

func failedResult(f transfer.File, r refusal) transfer.Result {
	return transfer.Result{
		Source: strings.ToValidUTF8(f.Source, "?"), Dest: strings.ToValidUTF8(f.Dest, "?"), Size: f.Size, Status: statusFailed,
		Fault: &transfer.Fault{Kind: r.Kind, Message: r.Message, Time: time.Now().UTC(), Count: int64(r.Tries)},
	}
}

// clean removes what a file that is not done may have left behind.
func (c *copier) clean(ctx context.Context, i int) {
	c.mu.Lock()
	f, touched := c.files[i], c.touched.has(i)
	names := []string{c.tempName(i)}
	c.mu.Unlock()
	if touched {
		// The walk found the name free, and we wrote to it: what is there is
		// ours, and may be another file's bytes.
		names = append(names, f.Dest)
	}
	for _, name := range names {
		if err := c.remove(ctx, name); err != nil && ctx.Err() == nil {
			c.mu.Lock()
			c.note(fmt.Errorf("left behind of %s: %w", f.Dest, err), name)
			c.mu.Unlock()
		}
	}
}

// mismatch has a file copied again, from what the source is now, up to the
// number of tries that the table gives. The caller holds mu.
func (c *copier) mismatch(i int, err error, atSource bool) {
	if c.in.Chunk.Ranged.IsRange() {
		c.upset(i, err, atSource)
		return
	}
	r := c.led.Refused[i]
	r.Tries, r.Kind, r.Message, r.AtSource = r.Tries+1, fault.Integrity, clip(err.Error()), atSource
	answer := transfer.AnswerTo(transfer.Trouble{Kind: fault.Integrity, Attempt: r.Tries, OnError: c.in.Options.OnError})
	if answer.Action != transfer.Again {
		r.Tries-- // refuse counts it
		c.led.Refused[i] = r
		c.refuse(i, err, atSource)
		return
	}
	c.led.Refused[i] = r
	delete(c.led.Partial, i)
	c.temp.set(i)
	c.chore(func(ctx context.Context) {
		// FTP cannot truncate: what is there goes first.
		c.clean(ctx, i)
		var now endpoints.Entry
		err := insist(ctx, patience, func() (err error) {
			now, err = c.ends.src.Stat(ctx, c.files[i].Source)
			return err
		})
		c.mu.Lock()
		defer c.mu.Unlock()
		if err == nil && now.Type == endpoints.File {
			c.files[i].Size, c.files[i].ModTime = now.Size, now.ModTime
			c.led.Changed[i] = version{now.Size, now.ModTime}
		}
		if c.in.Chunk.Ranged.Joins() {
			c.state[i] = toDo
			c.busy--
			c.spent(i)
			c.another(i)
			return
		}
		c.back(i) // an error of Stat's comes again, and is dealt with there
	})
}
