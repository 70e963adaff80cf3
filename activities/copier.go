package activities

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/gridferry/gridferry/endpoints"
	"github.com/gridferry/gridferry/fault"
	"github.com/gridferry/gridferry/transfer"
)

// fileState is where one file of a chunk stands in this attempt.
type fileState uint8

const (
	toDo     fileState = iota
	underWay           // given to a sender, or being looked at by a helper
	done
	refused // tried alone, and not again in this attempt
)

// copier is one attempt at a chunk. Senders take files from it and hand them
// back; helpers verify, rename and clean up behind them. What they decide
// about files is decided here, under one lock.
type copier struct {
	d    *Data
	in   CopyInput
	hold *hold
	ends *pair
	log  *slog.Logger

	parts partSizes

	// Written before the senders start; files change under mu.
	files []transfer.File

	mu      sync.Mutex
	changed *sync.Cond
	led     *ledger
	prev    *ledger
	state   []fileState
	temp    bitmap // must go to a temporary name, whatever its size
	touched bitmap // may have been written under its own name
	next    int    // files before it have had their first turn
	redo    []int
	quiet   map[int]time.Time // not to be done again before
	dropped time.Time         // when a pair of sessions was last dropped
	lone    []int             // to be tried one at a time, after everything else
	busy    int               // files under way
	senders int               // loops that are alive
	quit    int               // of those, about to end because the server was busy
	tuning  transfer.Tuning
	chores  []func(context.Context)
	moving  map[int]int64 // bytes of files under way, as far as is known

	stop      bool // hand out nothing
	halted    chan struct{}
	yielded   bool
	blocked   *transfer.Fault
	dataBlock bool
	fatal     error

	downSince time.Time // of the first of the session faults with nothing done in between
	downTries int

	begun bool // the destination may hold something of this attempt
	book  bookkeeper
}

func newCopier(d *Data, in CopyInput, h *hold) *copier {
	c := &copier{
		d: d, in: in, hold: h, tuning: in.Chunk.Tuning, moving: map[int]int64{}, quiet: map[int]time.Time{}, halted: make(chan struct{}),
		log: d.logger().With("task", in.Task, "chunk", in.Chunk.ID, "epoch", h.epoch()),
	}
	c.changed = sync.NewCond(&c.mu)
	c.led = &ledger{}
	if c.parts = d.parts; c.parts == (partSizes{}) {
		c.parts = defaultParts
	}
	return c
}

// open reads the sheet and the predecessor's ledger.
func (c *copier) open(ctx context.Context) error {
	files, err := getLines[transfer.File](ctx, c.d.Blobs, c.in.Chunk.Sheet)
	if err != nil {
		return err
	}
	prev, err := lastLedger(ctx, c.d.Blobs, c.in.Task, c.in.Chunk.ID, c.hold.epoch())
	if err != nil {
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.files = files
	if prev != nil && (prev.Sheet != c.in.Chunk.Sheet || prev.Files != len(files)) {
		prev = nil // of a walk whose result was never recorded
	}
	if prev != nil && prev.Complete {
		c.led = prev
		c.led.Faults = nil
		return nil
	}
	c.prev = prev
	c.led = succeed(prev, c.in.Chunk.Sheet, c.hold.epoch(), len(files), time.Now().UTC())
	for i, v := range c.led.Changed {
		c.files[i].Size, c.files[i].ModTime = v.Size, v.ModTime
	}
	c.state = make([]fileState, len(files))
	c.temp, c.touched = newBitmap(len(files)), newBitmap(len(files))
	for i := range files {
		if c.led.Done.has(i) {
			c.state[i] = done
		}
	}
	for i, r := range c.led.Refused {
		c.state[i] = refused
		if !r.Final {
			c.state[i] = toDo
			c.lone = append(c.lone, i)
		}
	}
	slices.Sort(c.lone)
	c.book.init(c)
	return nil
}

// connect opens both ends, unless they are given, and tidies up after the
// predecessor.
func (c *copier) connect(ctx context.Context, ends *pair) error {
	if c.ends = ends; ends == nil {
		err := insist(ctx, patience, func() (err error) {
			c.ends, err = c.d.openEnds(ctx, c.in.Ends)
			return err
		})
		if err != nil {
			return err
		}
	}
	if err := c.private(); err != nil {
		return err
	}
	if len(c.led.Late) > 0 {
		if err := c.mark(ctx); err != nil {
			c.fail(err)
			return nil
		}
	}
	// From here on the ledger says what this attempt may have begun.
	if err := c.book.put(ctx); err != nil {
		c.fail(err)
		return nil
	}
	c.begun = true
	if c.prev == nil {
		return nil
	}
	return c.inherit(ctx)
}

// private refuses to relay in the clear what was asked to be encrypted.
func (c *copier) private() error {
	if !c.in.Options.Encrypt || c.in.Options.Route == transfer.RouteThirdParty {
		return nil
	}
	for _, e := range []*place{c.ends.src, c.ends.dst} {
		if p, ok := e.Storage.(interface{ SetPrivate(bool) error }); ok {
			if err := p.SetPrivate(true); err != nil {
				return err
			}
		} else if k := e.Caps().Kind; k == "gridftp" {
			return fault.New(fault.Unsupported, "encrypt a relay through", e.name, "its driver cannot make data channels private")
		}
	}
	return nil
}

// mark leaves word for Finish that the chunk has something for it.
func (c *copier) mark(ctx context.Context) error {
	return putLines(ctx, c.d.Blobs, lateKey(c.in.Task, c.in.Chunk.ID), []lateMark{{Sheet: c.in.Chunk.Sheet}})
}

// lateMark says that a chunk has something for Finish.
type lateMark struct {
	Sheet string `json:"sheet"`
}

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
// this attempt's temporary names, other temporary files go, so that nothing
// the predecessor still has under way can be renamed over what comes now.
func (c *copier) inherit(ctx context.Context) error {
	suspects := c.prev.suspects()
	if len(suspects) > 0 {
		if err := sleep(ctx, time.Until(c.prev.Updated.Add(c.quietTime()))); err != nil {
			return err
		}
	}
	caps := c.ends.dst.Caps()
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
		if ownName(f, c.in.Options.Atomic) {
			c.touched.set(i)
		}
		p, isPartial := c.led.Partial[i]
		c.mu.Unlock()
		if isPartial {
			kept, err := c.adopt(ctx, f, p)
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

// adopt takes over a partial file. kept is false when there is none worth
// keeping; what there was is then removed.
func (c *copier) adopt(ctx context.Context, f transfer.File, p partial) (kept bool, err error) {
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
	good := err == nil && p.Of.same(version{now.Size, now.ModTime}) && len(p.Have) > 0
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
		case e.Size < p.Have[len(p.Have)-1].End:
			// Less than what both servers had confirmed: not the file it was.
			if err := c.remove(ctx, own); err != nil {
				return false, err
			}
		default:
			kept = true
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

// move copies until nothing is left, or the attempt is told to stop.
func (c *copier) move(ctx context.Context) {
	wake := context.AfterFunc(ctx, func() {
		c.mu.Lock()
		c.stop = true
		c.changed.Broadcast()
		c.mu.Unlock()
	})
	defer wake()

	booked := make(chan struct{})
	bookCtx, endBook := context.WithCancel(ctx)
	go func() { defer close(booked); c.book.keep(bookCtx) }()
	defer func() { endBook(); <-booked }()

	loop := c.relayLoop
	if c.in.Options.Route == transfer.RouteThirdParty {
		loop = c.sendLoop
	}
	var senders, chores sync.WaitGroup
	n := max(1, c.tuning.Concurrency)
	c.senders = n
	for range n {
		senders.Go(func() {
			loop(ctx)
			c.mu.Lock()
			c.senders--
			c.changed.Broadcast()
			c.mu.Unlock()
		})
	}
	for range helpers {
		chores.Go(func() { c.help(ctx) })
	}
	senders.Wait()
	chores.Wait()
	c.cleanAgain(ctx)
}

// help runs chores until there can be no more.
func (c *copier) help(ctx context.Context) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for {
		for len(c.chores) == 0 {
			if c.senders == 0 {
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
		c.led.Late = append(c.led.Late, late{File: i, Epoch: c.hold.epoch(), Since: now.UTC()})
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

// turn is a file that a sender has been given.
type turn struct {
	i     int
	lone  bool
	parts bool // large: it goes in parts
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
		if c.stop || c.busy == 0 && len(c.lone) == 0 && len(c.redo) == 0 && c.next >= len(c.files) {
			c.changed.Broadcast()
			return turn{}, false
		}
		c.changed.Wait()
	}
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
	ahead := max(256, 2*c.tuning.Concurrency*c.tuning.Pipelining)
	if i+ahead/2 >= c.led.Reserved {
		c.led.Reserved = min(len(c.files), max(c.led.Reserved, i+1)+ahead)
		c.book.kick()
	}
	for i >= c.book.reserved && !c.stop {
		c.changed.Wait()
	}
	return !c.stop
}

// path is where file i is written in this attempt. The caller holds mu.
func (c *copier) path(i int) string {
	f := c.files[i]
	if !c.temp.has(i) && ownName(f, c.in.Options.Atomic) {
		c.touched.set(i)
		return f.Dest
	}
	return tempPath(f, c.in.Task, c.hold.epoch(), c.ends.dst.Caps())
}

// arrived finishes a file: verified, and at its name. The caller holds mu.
func (c *copier) arrived(i int, a arrival, status string) {
	f := c.files[i]
	c.state[i] = done
	c.busy--
	delete(c.moving, i)
	delete(c.led.Partial, i)
	delete(c.led.Refused, i)
	c.led.Done.set(i)
	c.led.NDone++
	if status == statusSkipped {
		c.led.Skipped++
	} else {
		c.led.Bytes += f.Size
	}
	r := transfer.Result{
		Source: strings.ToValidUTF8(f.Source, "?"), Dest: strings.ToValidUTF8(f.Dest, "?"), Size: f.Size, Status: status,
	}
	switch {
	case a.sourceSum != "":
		r.Algorithm, r.Checksum = a.alg, a.sourceSum
		c.led.Checksummed += f.Size
	case f.Link == "":
		c.led.Unverified++
	}
	c.led.Results = append(c.led.Results, r)
	c.up()
	c.book.dirty = true
	c.changed.Broadcast()
}

const (
	statusCopied  = "copied"
	statusSkipped = "skipped"
	statusFailed  = "failed"
)

// up notes that something got done: what was wrong with the sessions is over.
// The caller holds mu.
func (c *copier) up() { c.downSince, c.downTries = time.Time{}, 0 }

// note counts a fault. The caller holds mu.
func (c *copier) note(err error, p string) transfer.Fault {
	f := toFault(err, p, time.Now().UTC())
	c.led.Faults.add(f)
	c.log.Warn("fault", "kind", f.Kind, "path", f.Path, "error", f.Message)
	return f
}

// trouble deals with a fault of one file that is under way. The caller holds mu.
func (c *copier) trouble(i int, err error, atSource, lone bool) {
	f := c.files[i]
	name := f.Dest
	if atSource {
		name = f.Source
	}
	kind := fault.KindOf(err)
	switch {
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

// refuse sets aside a file that failed when it was tried alone. The caller
// holds mu.
func (c *copier) refuse(i int, err error, atSource bool) {
	kind := fault.KindOf(err)
	if kind == fault.Invalid {
		kind = fault.Unsupported
	}
	r := refusal{Tries: c.led.Refused[i].Tries + 1, Kind: kind, Message: clip(err.Error()), AtSource: atSource}
	answer := transfer.AnswerTo(transfer.Trouble{Kind: kind, AtSource: atSource, Attempt: r.Tries, OnError: c.in.Options.OnError})
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
	c.mu.Unlock()
	names := []string{tempPath(f, c.in.Task, c.hold.epoch(), c.ends.dst.Caps())}
	if touched {
		// The walk found the name free, and we wrote to it: what is there is
		// ours, and may be another file's bytes.
		names = append(names, f.Dest)
	}
	for _, name := range names {
		if err := c.remove(ctx, name); err != nil && ctx.Err() == nil {
			c.mu.Lock()
			c.note(fmt.Errorf("left behind: %w", err), name)
			c.mu.Unlock()
		}
	}
}

// mismatch has a file copied again, from what the source is now, up to the
// number of tries that the table gives. The caller holds mu.
func (c *copier) mismatch(i int, err error, atSource bool) {
	r := c.led.Refused[i]
	r.Tries, r.Kind, r.Message, r.AtSource = r.Tries+1, fault.Integrity, clip(err.Error()), atSource
	answer := transfer.AnswerTo(transfer.Trouble{Kind: fault.Integrity, AtSource: atSource, Attempt: r.Tries, OnError: c.in.Options.OnError})
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
		c.back(i) // an error of Stat's comes again, and is dealt with there
	})
}

// halt hands out nothing more. The caller holds mu.
func (c *copier) halt() {
	if !c.stop {
		c.stop = true
		close(c.halted)
		c.changed.Broadcast()
	}
}

// yield stops the attempt because somebody asked.
func (c *copier) yield() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.yielded = c.yielded || !c.stop
	c.halt()
}

// fail ends the attempt with an error.
func (c *copier) fail(err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.fatal == nil {
		c.fatal = err
	}
	c.halt()
}

// block stops the attempt at a fault that the workflow decides about.
func (c *copier) block(err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.blockLocked(err)
}

func (c *copier) blockLocked(err error) {
	if c.blocked == nil && !c.yielded && c.fatal == nil {
		f := toFault(err, "", time.Now().UTC())
		c.blocked = &f
		c.dataBlock = isDataBlocked(err)
	}
	c.halt()
}

// close closes the sessions and writes down how far the attempt came.
func (c *copier) close(ctx context.Context) error {
	if c.ends != nil {
		c.ends.Close()
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), lastWords)
	defer cancel()
	if err := c.hold.sure(ctx); err != nil {
		c.fail(err)
	}
	c.mu.Lock()
	if err := c.fatal; err != nil {
		c.mu.Unlock()
		return err
	}
	c.led.Closed = true
	if !c.begun && c.prev != nil {
		// An endpoint may be down for days: attempts that did nothing leave no
		// names behind for their successors to look for.
		c.led.Epochs, c.led.Partial = c.prev.Epochs, c.prev.Partial
	}
	// What was reserved ahead was never given to anybody.
	if c.next < c.led.Reserved {
		c.led.Reserved = max(c.next, c.prevReserved())
	}
	c.led.Complete = c.blocked == nil && c.allSettled()
	owed := len(c.led.Late) > 0 || len(c.led.Refused) > 0 && !c.led.Complete
	c.mu.Unlock()
	if c.led.Complete {
		if err := c.book.putResults(ctx, true); err != nil {
			return err
		}
	}
	if owed {
		if err := c.mark(ctx); err != nil {
			return err
		}
	}
	if err := c.book.put(ctx); err != nil {
		return err
	}
	if c.led.Complete && len(c.led.Late) == 0 {
		return c.d.Blobs.Delete(ctx, lateKey(c.in.Task, c.in.Chunk.ID))
	}
	return nil
}

func (c *copier) prevReserved() int {
	if c.prev == nil {
		return 0
	}
	return min(c.prev.Reserved, len(c.files))
}

// allSettled says that every file is done, or refused for good. The caller
// holds mu.
func (c *copier) allSettled() bool {
	for i, s := range c.state {
		if s != done && !(s == refused && c.led.Refused[i].Final) {
			return false
		}
	}
	return true
}

// result sums the attempt up.
func (c *copier) result() CopyResult {
	c.mu.Lock()
	defer c.mu.Unlock()
	l := c.led
	res := CopyResult{
		Complete: l.Complete, Files: l.NDone, Bytes: l.Bytes, Skipped: l.Skipped, Unverified: l.Unverified, Checksummed: l.Checksummed,
		Faults: l.Faults, Blocked: c.blocked, BlockedData: c.dataBlock, Late: len(l.Late) > 0, Tuning: c.tuning,
		Yielded: c.yielded && !l.Complete,
	}
	for _, f := range l.Faults {
		res.NFaults += f.Count
	}
	failed := make([]int, 0, len(l.Refused))
	for i := range l.Refused {
		if c.state == nil || c.state[i] == refused {
			failed = append(failed, i)
		}
	}
	slices.Sort(failed)
	res.NFailed = int64(len(failed))
	for _, i := range failed[:min(len(failed), maxListed)] {
		r, f := l.Refused[i], c.files[i]
		name := f.Dest
		if r.AtSource {
			name = f.Source
		}
		res.Failed = append(res.Failed, FailedFile{Path: strings.ToValidUTF8(name, "?"), Kind: r.Kind, Message: r.Message, AtSource: r.AtSource})
	}
	return res
}

// progress is what the heartbeat says.
func (c *copier) progress() CopyProgress {
	c.mu.Lock()
	defer c.mu.Unlock()
	p := CopyProgress{Chunk: c.in.Chunk.ID, Files: c.led.NDone, Bytes: c.led.Bytes}
	for _, part := range c.led.Partial {
		p.Bytes += part.Have.Total()
	}
	for _, n := range c.moving {
		p.Bytes += n
	}
	if n := len(c.led.Faults); n > 0 {
		f := c.led.Faults[n-1]
		p.Fault = string(f.Kind) + ": " + f.Message
		if len(p.Fault) > 160 {
			p.Fault = strings.ToValidUTF8(p.Fault[:160], "")
		}
	}
	return p
}
