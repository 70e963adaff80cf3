package activities

import (
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
			c.suspect(t.i, connectionLost(err) && ctx.Err() == nil)
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
	moved    int64
	local    bool   // the destination is of this host
	destSum  string // of what was written, where it was read back on the way
}

func (r *relay) move(ctx context.Context, t turn) error {
	c := r.c
	isRange := c.in.Chunk.Ranged.IsRange()
	verify := c.in.Options.Verify == transfer.VerifyChecksum && !isRange
	if verify {
		r.alg = relayAlgorithm(c.ends.dst)
		r.hash = endpoints.NewHash(r.alg)
	}
	if !t.parts {
		return r.part(ctx, endpoints.Range{End: r.f.Size}, false)
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
	var flush int64
	var back *readBack
	defer func() { back.stop() }()
	for {
		c.mu.Lock()
		part, ok := r.next(l)
		c.mu.Unlock()
		if !ok {
			r.destSum = back.sum()
			return nil
		}
		began := time.Now()
		if err := r.part(ctx, part, !fresh); err != nil {
			return err
		}
		took := time.Since(began)
		if fresh && r.local {
			back = r.readBack(ctx)
		}
		back.add(part)
		fresh = false
		c.mu.Lock()
		c.staff.went(part.Len(), took)
		c.have(r.i, part)
		r.keepHash()
		c.moving[r.i] = max(0, c.moving[r.i]-r.moved)
		r.moved = 0
		// The part before last is in the store before the next one begins.
		c.book.wait(flush)
		flush = c.book.ask()
		stop := c.stop
		c.mu.Unlock()
		if stop {
			return fault.New(fault.Canceled, "copy", r.f.Source, "told to stop")
		}
	}
}

// next takes what of the file is to be moved at once. A storage that knows parts
// has said how long each of them is. The caller holds mu.
func (r *relay) next(l *large) (endpoints.Range, bool) {
	if r.c.ends.dst.Caps().Parts.Most > 0 {
		return l.pop()
	}
	return l.popUpTo(r.c.staff.worth())
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

// keepHash puts the digest's state into the ledger. The caller holds mu.
func (r *relay) keepHash() {
	p := r.c.led.Partial[r.i]
	p.Hash, p.Alg = nil, ""
	if state, ok := r.hash.(encoding.BinaryMarshaler); ok && r.hash != nil {
		if b, err := state.MarshalBinary(); err == nil {
			p.Hash, p.Alg = b, r.alg
		}
	}
	r.c.led.Partial[r.i] = p
}

// part moves one range of the file.
func (r *relay) part(ctx context.Context, part endpoints.Range, update bool) error {
	c := r.c
	r.atSource = true
	reading, stop := context.WithCancel(ctx)
	defer stop()
	in, err := c.ends.src.Open(reading, r.f.Source, part.Off, part.Len())
	if err != nil {
		return err
	}
	defer in.Close()
	if err := r.describe(in); err != nil {
		return err
	}
	if !c.hold.mine() {
		return fault.Wrap(fault.Transient, "copy", r.f.Source, errLeaseLost)
	}
	r.atSource = false
	out, err := c.ends.dst.Create(ctx, r.path, r.creating(part, update))
	if err != nil {
		return err
	}
	_, r.local = out.(endpoints.FileWriter)
	if err := r.carry(ctx, in, out, part, stop); err != nil {
		return errors.Join(err, abort(out))
	}
	return out.Commit()
}

// carry moves the bytes of a part in the way that suits it.
func (r *relay) carry(ctx context.Context, in io.Reader, out io.Writer, part endpoints.Range, stop func()) error {
	if part.Len() <= relaySmall {
		return r.whole(ctx, in, out, part.Len())
	}
	if from, ok := in.(endpoints.FileReader); ok {
		if to, ok := out.(endpoints.FileWriter); ok {
			f, _ := from.File()
			return r.direct(ctx, f, to, part)
		}
	}
	return r.stream(ctx, in, out, part.Len(), stop)
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
func (r *relay) atEnd(in io.Reader) error {
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
func abort(w endpoints.Writer) error {
	_ = w.Abort()
	return nil
}

// relayAlgorithm is the checksum to compute while bytes pass: the strongest
// that the destination computes itself, so that nothing is read back.
func relayAlgorithm(dst *place) string {
	if alg := endpoints.SharedChecksum(checksums(dst), endpoints.Algorithms()); alg != "" {
		return alg
	}
	return "sha256"
}
