package activities

import (
	"cmp"
	"context"
	"encoding"
	"encoding/hex"
	"errors"
	"hash"
	"io"
	"time"

	"github.com/gridferry/gridferry/endpoints"
	"github.com/gridferry/gridferry/fault"
	"github.com/gridferry/gridferry/transfer"
)

// relayLoop moves one file after the other through this process, streaming.
func (c *copier) relayLoop(ctx context.Context, s *sender) {
	var small []byte
	for !c.dismiss(s) {
		t, ok := c.take()
		if !ok {
			return
		}
		c.atWork(1)
		c.mu.Lock()
		r := &relay{c: c, i: t.i, f: c.files[t.i], path: c.path(t.i), small: &small}
		c.mu.Unlock()
		err := r.move(ctx, t)
		c.atWork(-1)
		c.mu.Lock()
		err = named(err, r.path, r.f.Dest)
		a := arrival{path: r.path, relayed: true, parts: t.parts}
		if err == nil && r.hash != nil {
			a.alg, a.sourceSum, a.destSum = r.alg, hex.EncodeToString(r.hash.Sum(nil)), r.destSum
		}
		if err != nil {
			c.suspect(t.i, r.late(err) && ctx.Err() == nil)
		}
		switch {
		case t.parts:
			if err != nil {
				c.large[t.i].fault(err, r.atSource)
			}
			c.leave(t.i, a)
		case err != nil:
			c.trouble(t.i, err, r.atSource, t.lone)
		default:
			c.proveLater(t.i, a)
		}
		c.mu.Unlock()
		if err == nil {
			continue
		}
		if kind := fault.KindOf(err); ofOneName(kind) || kind == fault.Integrity || kind == fault.Invalid {
			continue
		}
		if !c.sessionTrouble(ctx, s, err) {
			return
		}
	}
}

// relaySmall is up to how many bytes a file is read before it is written:
// handing it from one goroutine to another would cost more than waiting does.
const relaySmall = 64 << 10

// relay moves one file.
type relay struct {
	c        *copier
	i        int
	f        transfer.File
	path     string
	small    *[]byte // the sender's, for one small file after the other
	last     [1]byte
	alg      string
	hash     hash.Hash // of the source, as it is read; nil when parts of it were read by somebody else
	atSource bool      // whose error move has returned
	moved    int64     // of the part on its way
	local    bool      // the destination is of this host
	adrift   bool      // a write could not be given up
	destSum  string    // of what was written, where it was read back on the way
	in       run       // of the source
	pace     pacer
}

func (r *relay) move(ctx context.Context, t turn) error {
	c := r.c
	isRange := c.in.Chunk.Ranged.IsRange()
	verify := c.in.Options.Verify == transfer.VerifyChecksum && !isRange
	if verify {
		r.alg = relayAlgorithm(c.ends.dst)
		r.hash = endpoints.NewHash(r.alg)
	}
	defer r.in.close()
	if !t.parts {
		out, err := r.part(ctx, endpoints.Range{End: r.f.Size}, false)
		if err != nil {
			return err
		}
		return out.Commit()
	}
	c.mu.Lock()
	l := c.largeOf(t)
	// A digest is of all bytes in their order: who keeps one reads them all.
	l.whole = verify
	p := c.led.Partial[r.i]
	c.mu.Unlock()
	fresh := len(p.Have) == 0 && verify
	if verify && !fresh {
		r.resume(p)
	}
	return r.moveParts(ctx, l, fresh)
}

// moveParts moves one part after the other. While one of them is committed, the
// next is on its way: a disk or a server that takes its time over that keeps
// nobody waiting who only needs the line. fresh: nothing of the file is there.
func (r *relay) moveParts(ctx context.Context, l *large, fresh bool) error {
	c := r.c
	var back *readBack
	defer func() { back.stop() }()
	var before *landing
	land := func() error {
		if before == nil {
			return nil
		}
		part := before.part
		err := r.landed(before)
		if before = nil; err == nil {
			back.add(part)
		}
		return err
	}
	atOnce := !c.ends.dst.Caps().Multiplexed // the session is for the next part
	for update := !fresh; ; update = true {
		c.mu.Lock()
		part, ok := r.next(l)
		r.in.ahead = l.run(part)
		c.mu.Unlock()
		if !ok {
			if err := land(); err != nil {
				return err
			}
			r.destSum = back.sum()
			return nil
		}
		began := time.Now()
		out, err := r.part(ctx, part, update)
		if landErr := land(); landErr != nil {
			if err == nil {
				r.abort(out)
			}
			r.atSource = false
			return landErr
		}
		if err != nil {
			return err
		}
		if fresh && r.local && back == nil {
			back = r.readBack(ctx)
		}
		before = r.land(out, part, began)
		stop := r.told()
		if stop || atOnce {
			if err := land(); err != nil {
				return err
			}
		}
		if stop {
			return fault.New(fault.Canceled, "copy", r.f.Source, "told to stop")
		}
	}
}

// landing is a part that is all written, and is being committed.
type landing struct {
	part  endpoints.Range
	began time.Time
	moved int64
	hash  []byte // the digest's state after it; nil when there is none
	done  chan error
}

// land begins to commit a part.
func (r *relay) land(out endpoints.Writer, part endpoints.Range, began time.Time) *landing {
	l := &landing{part: part, began: began, moved: r.moved, hash: r.state(), done: make(chan error, 1)}
	r.moved = 0
	go func() { l.done <- out.Commit() }()
	return l
}

// landed waits for the commit of a part and notes that it is there.
func (r *relay) landed(l *landing) error {
	if err := <-l.done; err != nil {
		return err
	}
	c := r.c
	c.mu.Lock()
	defer c.mu.Unlock()
	c.staff.went(l.part.Len(), r.pace.took(l.began))
	c.have(r.i, l.part)
	r.keepHash(l.hash)
	c.moving[r.i] = max(0, c.moving[r.i]-l.moved)
	r.pace.keep(&c.book)
	return nil
}

// told says whether the copy is to stop.
func (r *relay) told() bool {
	r.c.mu.Lock()
	defer r.c.mu.Unlock()
	return r.c.stop
}

// oneRequest is up to how many bytes are in a part where both ends know requests
// rather than sessions, for nothing idles between two of those: as many as the
// source sends in one answer, and need not be read ahead into memory, if it says.
const oneRequest = 32 << 20

// next takes what of the file is to be moved at once. A storage that knows parts
// has said how long each of them is. A digest is known at the ends of parts only:
// what a kill cuts short is sent or read again, so they are short. Elsewhere a part
// is as long as may be risked, for between two of them a session idles. The
// caller holds mu.
func (r *relay) next(l *large) (endpoints.Range, bool) {
	if r.c.ends.dst.Caps().Parts.Most > 0 {
		return l.pop()
	}
	most := r.c.staff.worth(relayedTime)
	if l.whole {
		return l.popUpTo(most)
	}
	if r.c.ends.src.Caps().Multiplexed && r.c.ends.dst.Caps().Multiplexed {
		most = min(most, cmp.Or(r.c.ends.src.Caps().OneAnswer, oneRequest))
	}
	return l.popRun(min(most, max(l.fair(), r.c.parts.min)))
}

// resume takes up the digest where the last attempt left it, if it is one of
// all that is there.
func (r *relay) resume(p partial) {
	state, ok := r.hash.(encoding.BinaryUnmarshaler)
	prefix := len(p.Have) == 1 && p.Have[0].Off == 0
	if !ok || !prefix || p.Alg != r.alg || len(p.Hash) == 0 || state.UnmarshalBinary(p.Hash) != nil {
		r.hash = nil
	}
}

// state is how far the digest is.
func (r *relay) state() []byte {
	if state, ok := r.hash.(encoding.BinaryMarshaler); ok && r.hash != nil {
		if b, err := state.MarshalBinary(); err == nil {
			return b
		}
	}
	return nil
}

// keepHash puts a state of the digest into the ledger. The caller holds mu.
func (r *relay) keepHash(state []byte) {
	p := r.c.led.Partial[r.i]
	p.Hash, p.Alg = state, ""
	if state != nil {
		p.Alg = r.alg
	}
	r.c.led.Partial[r.i] = p
}

// part writes one range of the file, all but its commit.
func (r *relay) part(ctx context.Context, part endpoints.Range, update bool) (endpoints.Writer, error) {
	c := r.c
	r.atSource = true
	in, err := r.in.open(ctx, r, part)
	if err != nil {
		return nil, err
	}
	if !c.hold.mine() {
		return nil, fault.Wrap(fault.Transient, "copy", r.f.Source, errLeaseLost)
	}
	r.atSource = false
	out, err := c.ends.dst.Create(ctx, r.path, r.creating(part, update))
	if err != nil {
		return nil, err
	}
	_, r.local = out.(endpoints.FileWriter)
	if err := r.carry(ctx, in, out, part); err != nil {
		r.abort(out)
		return nil, err
	}
	r.in.passed(part)
	return out, nil
}

// carry moves the bytes of a part in the way that suits it.
func (r *relay) carry(ctx context.Context, in io.Reader, out io.Writer, part endpoints.Range) error {
	if part.Len() <= relaySmall {
		return r.whole(ctx, in, out, part)
	}
	if from, ok := in.(endpoints.FileReader); ok {
		if to, ok := out.(endpoints.FileWriter); ok {
			f, _ := from.File()
			return r.direct(ctx, f, to, part)
		}
	}
	if r.hash == nil {
		return r.plain(ctx, in, out, part)
	}
	return r.stream(ctx, in, out, part)
}

// read fills b from the source.
func (r *relay) read(ctx context.Context, in io.Reader, b []byte) error {
	_, err := io.ReadFull(in, b)
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		err = r.short()
	}
	if err == nil {
		err = ctx.Err()
	}
	return err
}

// short is the error of a file that ends too early.
func (r *relay) short() error {
	return fault.New(fault.Integrity, "read", r.f.Source, "the file is shorter than it was when it was listed")
}

// atEnd reads the end of what was asked for, and not only up to it: a server may
// say only then that something was wrong, and its session is good for another
// file only when it was heard.
func (r *relay) atEnd(in io.Reader, part endpoints.Range) error {
	if part.End < r.in.end {
		return nil // the next part goes on from here
	}
	switch n, err := io.ReadFull(in, r.last[:]); {
	case n > 0:
		return fault.New(fault.Integrity, "read", r.f.Source, "the source gives more than was asked for")
	case errors.Is(err, io.EOF):
		return nil
	default:
		return err
	}
}

// pay waits until n bytes may go.
func (r *relay) pay(ctx context.Context, n int64) error {
	if !r.c.pay(ctx, n) {
		return fault.New(fault.Canceled, "copy", r.f.Source, "told to stop")
	}
	return nil
}

// passed notes that bytes were handed to the destination.
func (r *relay) passed(n int64) {
	r.moved += n
	r.c.mu.Lock()
	r.c.moving[r.i] += n
	r.c.mu.Unlock()
}

// forSmall lends a sender's memory for a small file.
func (r *relay) forSmall(n int64) []byte {
	if n > int64(cap(*r.small)) {
		*r.small = make([]byte, min(max(2*n, 4<<10), relaySmall))
	}
	return (*r.small)[:n]
}

// abort gives a write up. That this fails too is not worth a word: the name
// is removed or written again.
func (r *relay) abort(w endpoints.Writer) {
	if w.Abort() != nil {
		r.adrift = true
	}
}

// late says that after an error of move's the destination may still do what it
// was told. A worker's own disk does not when it was the source that failed:
// there a write is done when the call returns, and each of this relay's writers
// has been committed, or closed. Others at the file answer for theirs.
func (r *relay) late(err error) bool {
	over := r.atSource && !r.adrift && r.c.ends.dst.Caps().Kind == "posix"
	return connectionLost(err) && !over
}

// relayAlgorithm is the checksum to compute while bytes pass: the strongest
// that the destination computes itself, so that nothing is read back.
func relayAlgorithm(dst *place) string {
	if alg := endpoints.SharedChecksum(checksums(dst), endpoints.Algorithms()); alg != "" {
		return alg
	}
	return "sha256"
}
