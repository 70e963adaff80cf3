package activities

import (
	"context"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/gridferry/gridferry/blob"
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
	aside   // in the archive: others bring it online
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
	names   []int             // other names of files that come first
	lone    []int             // to be tried one at a time, after everything else
	busy    int               // files under way
	staff   staff
	tuning  transfer.Tuning
	chores  []func(context.Context)
	moving  map[int]int64  // bytes of files under way, as far as is known
	large   map[int]*large // files in parts under way

	stop      bool // hand out nothing
	halted    chan struct{}
	yielded   bool
	blocked   *transfer.Fault
	dataBlock bool
	fatal     error
	servers   serverChanges
	drained   error            // an endpoint is out of use: again when it is not
	upsetBy   *FailedFile      // of a range: why the whole file is to be looked at
	again     *transfer.Ranged // of a join: the generation that is to be copied

	downSince time.Time // of the first of the session faults with nothing done in between
	downTries int

	begun bool // the destination may hold something of this attempt
	clock clock
	book  bookkeeper
}

func newCopier(d *Data, in CopyInput, h *hold) *copier {
	c := &copier{
		d: d, in: in, hold: h, tuning: in.Chunk.Tuning, moving: map[int]int64{}, large: map[int]*large{}, quiet: map[int]time.Time{}, halted: make(chan struct{}),
		log: d.logger().With("task", in.Task, "chunk", in.Chunk.ID, "epoch", h.epoch()),
	}
	c.changed = sync.NewCond(&c.mu)
	c.staff = newStaff(in)
	c.led = &ledger{}
	if c.parts = d.parts; c.parts == (partSizes{}) {
		c.parts = defaultParts
	}
	return c
}

// open reads the sheet and the predecessor's ledger.
func (c *copier) open(ctx context.Context) error {
	files, err := getFiles(ctx, c.d.Blobs, c.in.Chunk.Sheet, c.in.Chunk.Files)
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
		if !prev.untold(c.in.Schedule) {
			c.led.Faults = nil
		}
		return nil
	}
	c.prev = prev
	c.led = succeed(prev, c.in.Chunk.Sheet, c.hold.epoch(), len(files), c.clock.now())
	c.led.Schedule, c.led.Holder = c.in.Schedule, c.d.Identity
	if prev != nil && prev.untold(c.in.Schedule) {
		c.led.Faults = append(c.led.Faults, prev.Faults...)
	}
	if prev != nil && !prev.Closed {
		c.note(prev.broken(c.in.Chunk.ID), "")
	}
	for i, v := range c.led.Changed {
		c.files[i].Size, c.files[i].ModTime = v.Size, v.ModTime
	}
	c.ofGeneration(prev)
	c.state = make([]fileState, len(files))
	c.temp, c.touched = newBitmap(len(files)), newBitmap(len(files))
	for i := range files {
		if c.led.Done.has(i) {
			c.state[i] = done
		}
	}
	for i := range files {
		if c.led.Aside.has(i) {
			c.state[i] = aside
		}
	}
	for i, r := range c.led.Refused {
		c.state[i] = refused
		if !r.Final {
			c.state[i] = toDo
			if c.in.Chunk.Ranged == nil { // else it is the only file
				c.lone = append(c.lone, i)
			}
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
	c.parts = c.parts.paced(c.ends, time.Now())
	if err := c.d.lasts(c.ends); err != nil {
		return err
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
	if c.prev != nil {
		// Two attempts may have begun within milliseconds, when a worker that
		// stood still was given the first of them. Whoever takes the lease from
		// now on finds this ledger, and with it the names that are made next.
		if err := c.hold.confirm(ctx); err != nil {
			return err
		}
	}
	if c.in.Chunk.Ranged.IsRange() {
		return c.beginRange(ctx)
	}
	if c.prev == nil || c.in.Chunk.Ranged.Joins() {
		return nil
	}
	return c.inherit(ctx)
}

// expire stops the attempt at its ledger before a credential ends. Stop ends
// the watch.
func (c *copier) expire() (stop func()) {
	first := c.ends.first()
	if first == nil {
		return func() {}
	}
	left := time.Until(first.Expires) - c.d.lifeSpans().margin
	t := time.AfterFunc(left, func() { c.block(first.expired(first.Expires)) })
	return func() { t.Stop() }
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
	var chores sync.WaitGroup
	defer c.watchServers()()
	drains, endDrains := context.WithCancel(ctx)
	defer endDrains()
	go c.watchDrains(drains)
	for range helpers {
		chores.Go(func() { c.help(ctx) })
	}
	c.employ(ctx, loop)
	chores.Wait()
	c.cleanAgain(ctx)
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
		c.led.SkippedBytes += f.Size
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
	case f.Link == "" && f.Same == "": // which is verified under its first name
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

// note counts a fault, which an operator's drain is not. The caller holds mu.
func (c *copier) note(err error, p string) transfer.Fault {
	f := toFault(err, p, time.Now().UTC())
	if isDrained(err) {
		return f
	}
	c.led.Faults.add(f)
	c.log.Warn("fault", "kind", f.Kind, "path", f.Path, "error", f.Message)
	return f
}

// hear counts a fault that passed.
func (c *copier) hear(err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.note(namedByPath(err), "")
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
	if isDrained(err) {
		c.drainLocked(err)
		return
	}
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
	ctx, cancel := context.WithTimeout(blob.UseReserve(context.WithoutCancel(ctx)), lastWords)
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
		if err := c.putAside(ctx); err != nil {
			return err
		}
		if err := c.book.putResults(ctx, true); err != nil {
			return err
		}
		if err := c.book.putIndex(ctx); err != nil {
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

// allSettled says that every file is done, set aside or refused for good. The caller
// holds mu.
func (c *copier) allSettled() bool {
	for i, s := range c.state {
		if s != done && s != aside && !(s == refused && c.led.Refused[i].Final) {
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
	files, bytes := c.counted()
	res := CopyResult{
		Complete: l.Complete, Files: files, Bytes: bytes, Skipped: l.Skipped, SkippedBytes: l.SkippedBytes, Unverified: l.Unverified, Checksummed: l.Checksummed,
		Faults: l.Faults, Blocked: c.blocked, BlockedData: c.dataBlock, Late: len(l.Late) > 0, Tuning: c.tuning,
		Offline: l.Offline, Servers: c.servers.list(), Yielded: c.yielded && !l.Complete, Upset: c.upsetBy, Again: c.again, Adapted: c.staff.adapted,
	}
	if c.ends != nil {
		res.SourceCredential = unlike(c.in.Probe.Source.Login, c.ends.src)
		res.DestinationCredential = unlike(c.in.Probe.Destination.Login, c.ends.dst)
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
	p := CopyProgress{Chunk: c.in.Chunk.ID, Sessions: c.staff.want, Sockets: c.tuning.Parallelism}
	p.Files, p.Bytes = c.counted()
	if p.Chunk == expressChunk {
		p.Of = c.in.Chunk.Bytes
	}
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
