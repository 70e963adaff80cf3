package activities

import (
	"context"
	"encoding"
	"encoding/hex"
	"errors"
	"hash"
	"io"

	"github.com/gridferry/gridferry/endpoints"
	"github.com/gridferry/gridferry/fault"
	"github.com/gridferry/gridferry/transfer"
)

// relayLoop moves one file after the other through this process, streaming.
func (c *copier) relayLoop(ctx context.Context, s *sender) {
	bufs := &buffers{}
	for !c.dismiss(s) {
		t, ok := c.take()
		if !ok {
			return
		}
		c.atWork(1)
		c.mu.Lock()
		r := &relay{c: c, i: t.i, f: c.files[t.i], path: c.path(t.i), bufs: bufs}
		c.mu.Unlock()
		err := r.move(ctx, t)
		c.atWork(-1)
		c.mu.Lock()
		a := arrival{path: r.path, relayed: true, parts: t.parts}
		if err == nil && r.hash != nil {
			a.alg, a.sourceSum = r.alg, hex.EncodeToString(r.hash.Sum(nil))
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

// A relay reads blocks of this many bytes, and so many of them ahead of what it
// writes. A file of relaySmall or less is read before it is written: handing
// it from one goroutine to another would cost more than waiting does.
const (
	relayBlock  = 1 << 20
	relayBlocks = 3
	relaySmall  = 64 << 10
)

// buffers are one sender's. They are made when they are first needed: most
// files are small, and a worker may have a hundred senders.
type buffers struct {
	small []byte
	large [][]byte
}

func (b *buffers) forSmall(n int64) []byte {
	if n > int64(cap(b.small)) {
		b.small = make([]byte, min(max(2*n, 4<<10), relaySmall))
	}
	return b.small[:n]
}

func (b *buffers) forLarge() [][]byte {
	for len(b.large) < relayBlocks {
		b.large = append(b.large, make([]byte, relayBlock))
	}
	return b.large
}

// relay moves one file.
type relay struct {
	c        *copier
	i        int
	f        transfer.File
	path     string
	bufs     *buffers
	alg      string
	hash     hash.Hash // of the source, as it is read; nil when parts of it were read by somebody else
	atSource bool      // whose error move has returned
	moved    int64
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
	for {
		c.mu.Lock()
		part, ok := l.pop()
		c.mu.Unlock()
		if !ok {
			return nil
		}
		if err := r.part(ctx, part, !fresh); err != nil {
			return err
		}
		fresh = false
		c.mu.Lock()
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
	in, err := c.ends.src.Open(ctx, r.f.Source, part.Off, part.Len())
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
	stream := r.stream
	if part.Len() <= relaySmall {
		stream = r.whole
	}
	if err := stream(ctx, in, out, part.Len()); err != nil {
		return errors.Join(err, abort(out))
	}
	return out.Commit()
}

// read fills b from the source.
func (r *relay) read(ctx context.Context, in io.Reader, b []byte) error {
	_, err := io.ReadFull(in, b)
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		err = fault.New(fault.Integrity, "read", r.f.Source, "the file is shorter than it was when it was listed")
	}
	if err == nil {
		err = ctx.Err()
	}
	if err == nil && r.hash != nil {
		r.hash.Write(b)
	}
	return err
}

// pay waits until n bytes may go.
func (r *relay) pay(ctx context.Context, n int64) error {
	if !r.c.pay(ctx, n) {
		return fault.New(fault.Canceled, "copy", r.f.Source, "told to stop")
	}
	return nil
}

// whole moves n bytes at once.
func (r *relay) whole(ctx context.Context, in io.Reader, out io.Writer, n int64) error {
	b := r.bufs.forSmall(n)
	if err := r.read(ctx, in, b); err != nil {
		r.atSource = true
		return err
	}
	if n == 0 {
		return nil
	}
	if err := r.pay(ctx, n); err != nil {
		return err
	}
	_, err := out.Write(b)
	return err
}

// stream moves n bytes. Reading and hashing go on while earlier bytes are
// written.
func (r *relay) stream(ctx context.Context, in io.Reader, out io.Writer, n int64) error {
	type block struct {
		b   []byte
		err error
	}
	bufs := r.bufs.forLarge()
	full := make(chan block, len(bufs))
	free := make(chan []byte, len(bufs))
	for _, b := range bufs {
		free <- b
	}
	stopped := make(chan struct{})
	go func() {
		defer close(full)
		for left := n; left > 0; {
			var b []byte
			select {
			case b = <-free:
			case <-stopped:
				return
			}
			b = b[:min(left, relayBlock)]
			err := r.read(ctx, in, b)
			full <- block{b, err}
			if err != nil {
				return
			}
			left -= int64(len(b))
		}
	}()
	defer func() {
		close(stopped)
		for range full { // the buffers and the digest are ours again when it has ended
		}
	}()
	for got := range full {
		if got.err != nil {
			r.atSource = true
			return got.err
		}
		if err := r.pay(ctx, int64(len(got.b))); err != nil {
			return err
		}
		if _, err := out.Write(got.b); err != nil {
			return err
		}
		r.moved += int64(len(got.b))
		r.c.mu.Lock()
		r.c.moving[r.i] += int64(len(got.b))
		r.c.mu.Unlock()
		free <- got.b
	}
	return nil
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
