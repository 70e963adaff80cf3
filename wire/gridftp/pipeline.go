package gridftp

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"
)

// allocateFrom is the size from which a destination is told what is coming
// (ALLO): below it, the command costs more than it can save.
const allocateFrom = 16 << 20

// blameGrace is how long a broken data channel is held for the consequence of
// a refusal which the other server has yet to report.
const blameGrace = 2 * time.Second

// watchInterval is how often a run looks for a stall, at least.
const watchInterval = time.Second

// A run moves files between a pair of servers. Four goroutines share it: one
// sends commands to both servers, one reads each server's replies, and drive,
// the caller's, judges and reports.
type run struct {
	p       *pairing
	base    int // index of its first file, for the observer
	observe Observer

	lanes  [2]*lane      // the source's and the destination's
	window int           // files in flight at most
	room   chan struct{} // has a token when there may be room for a batch
	events chan event
	quit   chan struct{} // closed when nothing more is to be sent
	deaf   chan struct{} // closed when nothing more is to be heard

	mu      sync.Mutex
	pending []*record // taken and not yet reported, in order

	done     int // files reported as proven
	moved    bool
	progress time.Time // when something last moved
}

// A lane is one server's queue of commands.
type lane struct {
	side   Side
	client *Client
	ops    chan op
	head   atomic.Pointer[op] // whose reply is being awaited
}

// An op is a command whose reply is to come.
type op struct {
	kind   opKind
	record *record
	line   string
}

type opKind int

const (
	opPrepare  opKind = iota // REST, ALLO
	opTransfer               // STOR, RETR and their kin
	opChecksum
)

// An event is what a server said, or the loss of its connection.
type event struct {
	lane  *lane
	op    op
	reply Reply
	err   error
}

// A record is a file on its way. It is drive's alone, once sent.
type record struct {
	File
	index  int // within the run
	sides  [2]sideRecord
	stored RangeSet // by 111 markers of the destination
}

// A sideRecord is what one server has said of a file.
type sideRecord struct {
	transferred bool
	summed      bool
	sum         string
	sumErr      error
	stripes     map[int]int64 // bytes of each by 112 markers; nil before the first
}

// mark takes a performance marker, and reports whether bytes moved.
func (s *sideRecord) mark(m PerfMarker) bool {
	if s.stripes == nil {
		s.stripes = make(map[int]int64)
	}
	grew := m.Bytes > s.stripes[m.Stripe]
	if grew {
		s.stripes[m.Stripe] = m.Bytes
	}
	return grew
}

// moved returns the bytes by performance markers; -1 is unknown.
func (s *sideRecord) moved() int64 {
	if s.stripes == nil {
		return -1
	}
	var n int64
	for _, bytes := range s.stripes {
		n += bytes
	}
	return n
}

func newRun(p *pairing, base int, observe Observer) *run {
	window := p.options.Window
	perFile := 2 // REST or ALLO, and the transfer
	if p.options.Checksum != "" {
		perFile++
	}
	window = min(window, maxQueued/perFile)
	r := &run{
		p: p, base: base, observe: observe,
		window: window, room: make(chan struct{}, 1),
		events: make(chan event, 64),
		quit:   make(chan struct{}),
		deaf:   make(chan struct{}),
	}
	for i, end := range []struct {
		side   Side
		client *Client
	}{{SourceSide, p.src}, {DestSide, p.dst}} {
		r.lanes[i] = &lane{side: end.side, client: end.client, ops: make(chan op, window*perFile)}
	}
	return r
}

// drive runs it to its end.
func (r *run) drive(ctx context.Context, next func(context.Context) (File, bool)) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	for _, l := range r.lanes {
		end, err := l.client.begin(ctx)
		if err != nil {
			return r.conclude(&verdict{side: l.side, index: -1, err: err})
		}
		defer end()
		if err := l.client.ctl.setReadDeadline(time.Time{}); err != nil {
			return r.conclude(&verdict{side: l.side, index: -1, err: err})
		}
	}
	r.progress = time.Now()

	var readers sync.WaitGroup
	for _, l := range r.lanes {
		readers.Go(func() { r.read(l) })
	}
	written := make(chan *verdict, 1)
	go func() { written <- r.write(ctx, next) }()

	v := r.judge(ctx, written)
	if v != nil {
		v = r.stop(v)
		cancel()
		if !v.written {
			<-written
		}
	}
	readers.Wait()
	if v == nil {
		return nil
	}
	return r.conclude(v)
}

// A verdict is why a run ends early.
type verdict struct {
	side    Side
	index   int // of the file to blame, within the run; -1 is none
	err     error
	written bool // the sender has ended already
}

// consequence reports whether the cause may lie at the other side: a data
// channel that broke, a connection that was lost.
func (v *verdict) consequence() bool {
	var refusal *ReplyError
	if errors.As(v.err, &refusal) {
		return refusal.DataChannel()
	}
	return v.side != "" && v.index < 0
}

// judge takes events until all is done, or something went wrong.
func (r *run) judge(ctx context.Context, written <-chan *verdict) *verdict {
	watch := time.NewTicker(min(watchInterval, r.p.options.FirstByte/4, r.p.options.Stall/4))
	defer watch.Stop()
	finished := false
	for {
		if finished && r.outstanding() == 0 {
			return nil
		}
		select {
		case e := <-r.events:
			if v := r.take(ctx, e); v != nil {
				v.written = finished
				return v
			}
		case v := <-written:
			finished = true
			if v != nil {
				v.written = true
				return v
			}
		case <-watch.C:
			if v := r.watch(); v != nil {
				v.written = finished
				return v
			}
		}
	}
}

func (r *run) outstanding() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.pending)
}

// stop ends the sending at once. Where v may be a consequence only, the other
// server gets a moment to report the cause.
func (r *run) stop(v *verdict) *verdict {
	close(r.quit)
	if v.consequence() {
		grace := time.NewTimer(blameGrace)
		defer grace.Stop()
	waiting:
		for {
			select {
			case e := <-r.events:
				if e.lane.side == v.side {
					continue
				}
				other := r.take(context.Background(), e)
				switch {
				case other != nil && !other.consequence():
					other.written = v.written
					v = other
					break waiting
				case other != nil, v.index >= 0 && e.op.record.index > v.index:
					break waiting
				}
			case <-grace.C:
				break waiting
			}
		}
	}
	close(r.deaf)
	for _, l := range r.lanes {
		// G1: what is still queued at the servers must not run.
		_ = l.client.ctl.fail(fmt.Errorf("gridftp: session dropped after a failed transfer: %w", v.err))
	}
	return v
}

// read takes one server's replies and posts them, until there is no more to
// be asked or heard.
func (r *run) read(l *lane) {
	for op := range l.ops {
		l.head.Store(&op)
		for {
			reply, err := l.client.ctl.readReply(nil)
			if !r.post(event{l, op, reply, err}) || err != nil {
				return
			}
			if !reply.Preliminary() {
				break
			}
		}
		l.head.Store(nil)
	}
}

// post hands an event to drive, unless that has stopped listening.
func (r *run) post(e event) bool {
	select {
	case r.events <- e:
		return true
	case <-r.deaf:
		return false
	}
}

// A batch is the files whose commands are sent in one go: maxBatch at most, and,
// while more are under way, no fewer than one of batchShare of the window. One
// at a time, each file would wake both servers and us for itself.
const (
	maxBatch   = 64
	batchShare = 4
)

// write takes files and sends their commands, as many as the window allows.
func (r *run) write(ctx context.Context, next func(context.Context) (File, bool)) *verdict {
	defer func() {
		for _, l := range r.lanes {
			close(l.ops)
		}
	}()
	for index, more := 0, true; more; {
		var batch []*record
		room, ok := r.await()
		if !ok {
			return nil
		}
		for len(batch) < room {
			var file File
			if file, more = next(ctx); !more {
				break
			}
			rec := &record{File: file, index: index}
			r.mu.Lock()
			r.pending = append(r.pending, rec)
			r.mu.Unlock()
			if err := errors.Join(file.check(r.p.options.Mode), r.p.src.checkName(file.Source), r.p.dst.checkName(file.Dest)); err != nil {
				return &verdict{index: index, err: err}
			}
			index++
			batch = append(batch, rec)
		}
		if v := r.send(batch); v != nil {
			return v
		}
	}
	return nil
}

// free is for how many files the window has room; 0 unless it is for a batch.
func (r *run) free() int {
	if room := r.window - r.outstanding(); room >= min(maxBatch, max(1, r.window/batchShare)) {
		return min(room, maxBatch)
	}
	return 0
}

// await waits for room for a batch. It is false when nothing more is to be sent.
func (r *run) await() (room int, ok bool) {
	for {
		if room = r.free(); room > 0 {
			return room, true
		}
		select {
		case <-r.room:
		case <-r.quit:
			return 0, false
		}
	}
}

// send sends a batch's commands: to the destination first, which waits for
// the data.
func (r *run) send(batch []*record) *verdict {
	for i := len(r.lanes) - 1; i >= 0; i-- {
		l := r.lanes[i]
		var lines []string
		for _, rec := range batch {
			for _, op := range r.commandsFor(l.side, rec) {
				lines = append(lines, op.line)
				select {
				case l.ops <- op:
				case <-r.quit:
					return nil
				}
			}
		}
		if len(lines) == 0 {
			continue
		}
		if err := l.client.ctl.send(lines...); err != nil {
			return &verdict{side: l.side, index: -1, err: err}
		}
	}
	return nil
}

// commandsFor returns what one server is told of a file.
func (r *run) commandsFor(side Side, rec *record) []op {
	var ops []op
	add := func(kind opKind, line string) { ops = append(ops, op{kind, rec, line}) }
	if len(rec.Have) > 0 {
		if r.p.options.Mode == Stream {
			add(opPrepare, fmt.Sprintf("REST %d", rec.Have[0].End))
		} else {
			add(opPrepare, "REST "+rec.Have.String())
		}
	} else if side == DestSide && rec.Part == nil && rec.Size >= allocateFrom {
		add(opPrepare, fmt.Sprintf("ALLO %d", rec.Size))
	}
	path := rec.Dest
	switch {
	case side == SourceSide && rec.Part != nil:
		path = rec.Source
		add(opTransfer, fmt.Sprintf("ERET P %d %d %s", rec.Part.Off, rec.Part.Len(), path))
	case side == SourceSide:
		path = rec.Source
		add(opTransfer, "RETR "+path)
	case rec.Part != nil:
		add(opTransfer, fmt.Sprintf("ESTO A %d %s", rec.Part.Off, path))
	default:
		add(opTransfer, "STOR "+path)
	}
	if alg := r.p.options.Checksum; alg != "" {
		offset, length := int64(0), int64(-1)
		if rec.Part != nil {
			offset, length = rec.Part.Off, rec.Part.Len()
		}
		add(opChecksum, fmt.Sprintf("CKSM %s %d %d %s", alg, offset, length, path))
	}
	return ops
}

// take judges one event.
func (r *run) take(ctx context.Context, e event) *verdict {
	if e.err != nil {
		if ctx.Err() != nil {
			return &verdict{index: -1, err: context.Cause(ctx)}
		}
		return &verdict{side: e.lane.side, index: -1, err: e.err}
	}
	rec := e.op.record
	side := &rec.sides[0]
	if e.lane.side == DestSide {
		side = &rec.sides[1]
	}
	if e.reply.Preliminary() {
		r.marker(e, rec, side)
		return nil
	}
	refused := &verdict{side: e.lane.side, index: rec.index}
	switch e.op.kind {
	case opPrepare:
		if !e.reply.Positive() && !e.reply.Intermediate() {
			refused.err = NewReplyError(e.op.line, e.reply)
			return refused
		}
	case opTransfer:
		if e.reply.Code != 226 && e.reply.Code != 250 { // RFC 959, 5.4: 250 where the connection stays open
			refused.err = NewReplyError(e.op.line, e.reply)
			return refused
		}
		side.transferred = true
		if e.lane.side == DestSide && rec.stored == nil && e.lane.client.told.quiet {
			rec.stored = RangeSet{} // and nothing is what it has stored
		}
		r.alive()
	case opChecksum:
		// A refusal here is about the checksum alone: nothing can be mispaired.
		side.summed = true
		if side.sumErr = e.lane.client.judge(e.op.line, e.reply); side.sumErr == nil {
			side.sum, side.sumErr = parseChecksum(e.reply)
		}
		r.alive()
	}
	return r.report()
}

func (r *run) alive() { r.progress, r.moved = time.Now(), true }

// marker takes a preliminary reply.
func (r *run) marker(e event, rec *record, side *sideRecord) {
	switch e.reply.Code {
	case CodePerfMarker:
		m, err := ParsePerfMarker(e.reply)
		if err != nil {
			return // a marker only informs
		}
		if side.mark(m) {
			r.alive()
		}
	case CodeRangeMarker:
		ranges, err := ParseRangeMarker(e.reply)
		if err != nil || e.lane.side != DestSide {
			return
		}
		rec.stored = rec.stored.Add(ranges...)
		r.alive()
	case CodeStatusMarker:
		r.alive()
		return
	default:
		return
	}
	if r.observe.Progress != nil {
		r.observe.Progress(Progress{Index: r.base + rec.index, File: rec.File, Bytes: max(0, rec.count()), Ranges: rec.Have.Add(rec.stored...)})
	}
}

// count returns how many bytes moved, by the destination's markers, else by
// the source's; -1 is unknown.
func (rec *record) count() int64 {
	if dest := rec.sides[1].moved(); rec.stored != nil || dest >= 0 {
		return max(rec.stored.Bytes(), dest)
	}
	return rec.sides[0].moved()
}

// report reports the files at the front that both sides are done with.
func (r *run) report() *verdict {
	for {
		r.mu.Lock()
		if len(r.pending) == 0 || !r.pending[0].complete(r.p.options.Checksum != "") {
			r.mu.Unlock()
			return nil
		}
		rec := r.pending[0]
		r.mu.Unlock()
		if err := rec.checkCounts(); err != nil {
			return &verdict{side: err.Side, index: rec.index, err: err}
		}
		r.done++
		if r.observe.Done != nil {
			o := Outcome{File: rec.File, Index: r.base + rec.index, Bytes: rec.count(), SourceSum: rec.sides[0].sum, DestSum: rec.sides[1].sum}
			o.SumErr = errors.Join(rec.sides[0].sumErr, rec.sides[1].sumErr)
			r.observe.Done(o)
		}
		r.mu.Lock()
		r.pending[0] = nil
		r.pending = r.pending[1:]
		r.mu.Unlock()
		if r.free() > 0 {
			select {
			case r.room <- struct{}{}:
			default:
			}
		}
	}
}

func (rec *record) complete(summed bool) bool {
	for _, side := range rec.sides {
		if !side.transferred || summed && !side.summed {
			return false
		}
	}
	return true
}

// checkCounts compares what was counted with what was expected: a file that
// shrank or grew, or whose place another one's bytes took.
func (rec *record) checkCounts() *CountError {
	want := rec.expected()
	if have := rec.count(); want >= 0 && have >= 0 && have != want {
		return &CountError{Side: DestSide, Want: want, Have: have}
	}
	return nil
}

// watch looks whether the run stalled.
func (r *run) watch() *verdict {
	r.mu.Lock()
	waiting := len(r.pending) > 0
	r.mu.Unlock()
	if !waiting {
		r.progress = time.Now() // idle for want of files
		return nil
	}
	o := r.p.options
	allowed := o.Stall
	if !r.moved {
		allowed = o.FirstByte
	}
	for _, l := range r.lanes {
		if head := l.head.Load(); head != nil && head.kind == opChecksum {
			allowed = max(allowed, l.client.checksumTimeout(head.record.Size))
		}
	}
	idle := time.Since(r.progress)
	// What was said and not yet taken ends the silence. It must be looked at
	// after the heads, which move on when a reply is posted.
	if idle < allowed || len(r.events) > 0 {
		return nil
	}
	r.mu.Lock()
	index := r.pending[0].index
	r.mu.Unlock()
	return &verdict{index: index, err: &StallError{From: r.p.src.remote(), To: r.p.to, Idle: idle, First: !r.moved}}
}

// conclude reports the files that are suspect and makes the error.
func (r *run) conclude(v *verdict) error {
	e := &PipelineError{Side: v.side, Index: v.index, Err: v.err, Done: r.base + r.done}
	r.mu.Lock()
	pending := r.pending
	r.mu.Unlock()
	for _, rec := range pending {
		e.Suspect = append(e.Suspect, rec.File)
		o := Outcome{File: rec.File, Index: r.base + rec.index, Bytes: rec.count(), Suspect: true}
		if rec.index == v.index {
			e.File, o.Err = rec.File, v.err
		}
		if r.observe.Done != nil {
			r.observe.Done(o)
		}
	}
	if e.Index >= 0 {
		e.Index += r.base
	}
	return e
}
