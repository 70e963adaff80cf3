package activities

import (
	"context"
	"errors"
	"time"

	"github.com/gridferry/gridferry/endpoints"
	"github.com/gridferry/gridferry/fault"
	"github.com/gridferry/gridferry/transfer"
)

// sendLoop lets the source send to the destination, one run after the other.
// A run lasts until nothing suitable is left, or something goes wrong: then
// both sessions are dropped, and what had not been proven is done again.
func (c *copier) sendLoop(ctx context.Context, s *sender) {
	source, ok := c.ends.src.Storage.(endpoints.ThirdParty)
	if !ok {
		c.block(fault.New(fault.Unsupported, "send from", c.ends.src.name, "its kind of storage does not send to other servers"))
		return
	}
	for !c.dismiss(s) {
		first, ok := c.take()
		if !ok {
			return
		}
		run := &sendRun{c: c, s: s, ctx: ctx, first: &first, turn: first, taken: map[int]*flight{}}
		c.atWork(1)
		err := source.Send(ctx, c.ends.dst.Storage, c.sendOptions(first), run.next, run.done, run.progress)
		c.atWork(-1)
		if !run.end(err) {
			return
		}
	}
}

func (c *copier) sendOptions(t turn) endpoints.SendOptions {
	opts := endpoints.SendOptions{
		Parallelism: max(1, c.tuning.Parallelism),
		Pipelining:  max(1, c.tuning.Pipelining),
		Buffer:      c.tuning.Buffer,
		Encrypt:     c.in.Options.Encrypt,
	}
	switch {
	case t.lone && !t.parts:
		opts.Pipelining = 1
	case t.parts:
		opts.Pipelining = min(max(opts.Pipelining, partsLeast), partsAhead)
	}
	if c.in.Options.Verify == transfer.VerifyChecksum && !t.parts {
		opts.Checksum = c.in.Probe.Checksum
	}
	return opts
}

// sendRun is one call of Send.
type sendRun struct {
	c     *copier
	s     *sender
	ctx   context.Context
	turn  turn  // what sort of run it is
	first *turn // taken already, to be handed out first
	taken map[int]*flight
	owed  int64     // bytes handed out and not paid for, see pay; below 0 where others took what was paid for
	under int       // how many are handed out and not done
	since time.Time // when the first of them began to move, as far as is known
	large int       // the file whose parts are being handed out, when it is in taken

	ofFile  bool  // the run ended because of one file
	session error // a fault of the session that came with a file

	suspects []int // handed back because of another file's error
}

// flight is a file that the run has taken.
type flight struct {
	path     string
	large    *large // nil of one that goes whole
	out      int    // sends handed out and not done
	moved    int64  // bytes of the last of them, as far as is known
	suspect  bool
	err      error
	atSource bool
}

// next hands out the next file or part.
func (r *sendRun) next() (endpoints.Send, bool) {
	c := r.c
	for {
		if !c.hold.mine() {
			return endpoints.Send{}, false
		}
		if !c.pay(r.ctx, r.due()) {
			return endpoints.Send{}, false
		}
		c.mu.Lock()
		if fl := r.taken[r.large]; fl != nil && fl.large != nil && !c.stop {
			f := c.files[r.large]
			if part, ok := fl.large.popUpTo(c.staff.worth(partTime)); ok {
				fl.out++
				r.out(part.Len())
				c.mu.Unlock()
				return endpoints.Send{Source: f.Source, Dest: fl.path, Size: f.Size, Part: &part, Key: r.large}, true
			}
			if fl.out == 0 { // others took the rest of it
				r.leave(r.large, fl)
			}
		}
		c.mu.Unlock()
		t, ok := r.following()
		if !ok {
			return endpoints.Send{}, false
		}
		c.mu.Lock()
		f, fl := c.files[t.i], &flight{path: c.path(t.i)}
		if !t.parts {
			fl.out = 1
			r.out(f.Size)
			r.taken[t.i] = fl
			c.mu.Unlock()
			return endpoints.Send{Source: f.Source, Dest: fl.path, Size: f.Size, Key: t.i}, true
		}
		fl.large = c.largeOf(t)
		r.taken[t.i], r.large = fl, t.i
		c.mu.Unlock()
	}
}

// due is what has to be paid for before more is handed out: the next part, and
// files that went whole, whose sizes were not known before they were taken.
func (r *sendRun) due() int64 {
	r.c.mu.Lock()
	defer r.c.mu.Unlock()
	n := r.owed
	if fl := r.taken[r.large]; fl != nil && fl.large != nil && len(fl.large.rest) > 0 {
		n += min(fl.large.rest[0].Len(), r.c.staff.worth(partTime))
	}
	n = max(0, n)
	r.owed -= n
	return n
}

// out notes that so many bytes are to be moved. The caller holds mu.
func (r *sendRun) out(n int64) {
	r.owed += n
	if r.under++; r.under == 1 {
		r.since = time.Now()
	}
}

// in notes that so many of them have arrived, after what went before them. The
// caller holds mu.
func (r *sendRun) in(n int64) {
	now := time.Now()
	r.c.staff.went(n, now.Sub(r.since))
	r.under--
	r.since = now
}

func (r *sendRun) following() (turn, bool) {
	if t := r.first; t != nil {
		r.first = nil
		return *t, true
	}
	if r.c.dismiss(r.s) {
		return turn{}, false
	}
	return r.c.takeLike(r.turn)
}

// done takes back what next has handed out.
func (r *sendRun) done(s endpoints.Sent) {
	c := r.c
	c.mu.Lock()
	defer c.mu.Unlock()
	fl := r.taken[s.Key]
	if fl == nil {
		return
	}
	switch {
	case s.Err != nil && fl.err == nil:
		fl.err, fl.atSource = named(s.Err, fl.path, c.files[s.Key].Dest), s.AtSource
		if kind := fault.KindOf(s.Err); ofOneName(kind) || kind == fault.Integrity || kind == fault.Invalid {
			r.ofFile = true
		} else {
			r.session = fl.err
		}
	case s.Err != nil || s.Suspect:
		fl.suspect = true
	case s.Part != nil:
		r.in(s.Part.Len())
		r.moved(s.Key, fl, 0)
		c.have(s.Key, *s.Part)
		// Asking for more only when this much is safe keeps the risk small.
		c.book.wait(c.book.ask())
	}
	fl.out-- // only now: next must not take the file for done while the ledger is written
	if l := fl.large; l != nil {
		l.hurt = l.hurt || fl.err != nil || fl.suspect
		if fl.out == 0 && (l.hurt || len(l.rest) == 0) {
			r.leave(s.Key, fl)
		}
		return
	}
	if fl.out == 0 {
		r.landed(s, fl)
	}
}

// leave ends this run's part in a large file, of which it has nothing
// outstanding, or nothing that will ever be known. The caller holds mu.
func (r *sendRun) leave(i int, fl *flight) {
	c := r.c
	delete(r.taken, i)
	r.moved(i, fl, 0)
	switch {
	case fl.err != nil:
		c.suspect(i, connectionLost(fl.err))
		fl.large.fault(fl.err, fl.atSource)
	case fl.suspect || fl.out > 0:
		// Whether it is late is known when the run has ended.
		c.suspect(i, false)
		fl.large.hurt, fl.large.suspect = true, true
		r.suspects = append(r.suspects, i)
	}
	c.leave(i, arrival{path: fl.path, parts: true})
}

// moved notes how much of what was handed out last is moved. Others may move
// parts of the same file. The caller holds mu.
func (r *sendRun) moved(i int, fl *flight, bytes int64) {
	r.c.moving[i] = max(0, r.c.moving[i]+bytes-fl.moved)
	fl.moved = bytes
}

// connectionLost says that a run ended without its servers being told.
func connectionLost(err error) bool {
	return (fault.Is(err, fault.Transient) || fault.Is(err, fault.Internal)) && !isDataBlocked(err)
}

// landed decides about a file of which nothing is outstanding any more. The
// caller holds mu.
func (r *sendRun) landed(s endpoints.Sent, fl *flight) {
	c, i := r.c, s.Key
	delete(r.taken, i)
	switch {
	case fl.err != nil:
		c.suspect(i, connectionLost(fl.err))
		c.trouble(i, fl.err, fl.atSource, r.turn.lone)
		return
	case fl.suspect:
		// Whether it is late is known when the run has ended.
		c.suspect(i, false)
		c.back(i)
		r.suspects = append(r.suspects, i)
		return
	}
	r.in(c.files[i].Size)
	a := arrival{path: fl.path}
	if s.SourceSum != "" && s.DestSum != "" {
		a.alg, a.sourceSum, a.destSum = c.in.Probe.Checksum, s.SourceSum, s.DestSum
	}
	if c.proven(i, a) {
		c.arrived(i, a, statusCopied)
		return
	}
	c.proveLater(i, a)
}

// progress notes how far a file on its way is.
func (r *sendRun) progress(p endpoints.SendProgress) {
	r.c.mu.Lock()
	defer r.c.mu.Unlock()
	if fl := r.taken[p.Key]; fl != nil {
		r.moved(p.Key, fl, p.Bytes)
	}
}

// end deals with how the run ended. It is false when the sender should end too.
func (r *sendRun) end(err error) bool {
	c := r.c
	c.mu.Lock()
	// A large file that was not handed out to its end, and whatever a driver
	// may have forgotten.
	for i, fl := range r.taken {
		if fl.large != nil {
			r.leave(i, fl)
			continue
		}
		if fl.out > 0 {
			c.suspect(i, false)
			r.suspects = append(r.suspects, i)
		}
		c.handBack(turn{i: i, lone: r.turn.lone})
	}
	switch t := r.first; {
	case t == nil:
	case t.shared:
		c.leave(t.i, arrival{path: c.path(t.i), parts: true})
	default:
		c.handBack(*t)
	}
	for _, i := range r.suspects { // a server may have said at which of them it was
		err = c.named(i, err)
	}
	if r.session != nil {
		err = r.session
	}
	if err != nil && connectionLost(err) && r.ctx.Err() == nil {
		for _, i := range r.suspects {
			c.suspect(i, true)
		}
	}
	c.mu.Unlock()
	if err == nil || r.ofFile && r.session == nil {
		return true
	}
	return c.sessionTrouble(r.ctx, r.s, err)
}

// sessionTrouble deals with a fault that is not of one file: it waits a
// moment, or stops the attempt when the workflow is to decide. It is false
// when the sender that met it should end.
func (c *copier) sessionTrouble(ctx context.Context, s *sender, err error) bool {
	c.mu.Lock()
	if c.stop || ctx.Err() != nil {
		if ctx.Err() == nil && passing(err) { // while others stop: it changes nothing, and counts
			c.note(err, "")
		}
		c.mu.Unlock()
		return false
	}
	c.note(err, "")
	kind := fault.KindOf(err)
	if !passing(err) && kind != fault.Internal {
		c.blockLocked(err)
		c.mu.Unlock()
		return false
	}
	if kind == fault.Busy && c.tooMany(s) {
		c.mu.Unlock()
		if !isDrained(err) {
			c.d.crews.crowded(pairOf(c.in.Ends))
		}
		return false
	}
	now := time.Now()
	if c.downSince.IsZero() {
		c.downSince = now
	}
	c.downTries++
	delay := min(250*time.Millisecond<<min(c.downTries, 5), 5*time.Second)
	if now.Sub(c.downSince)+delay > patience {
		c.blockLocked(err)
		c.mu.Unlock()
		return false
	}
	c.mu.Unlock()
	select {
	case <-c.halted:
		return false
	case <-ctx.Done():
		return false
	case <-time.After(delay):
		return true
	}
}

// isDataBlocked says that two servers cannot reach each other.
func isDataBlocked(err error) bool { return errors.Is(err, endpoints.ErrDataBlocked) }
