package gridftp

import (
	"context"
	"errors"
	"io"
	"math"
	"strings"

	"github.com/gridferry/gridferry/endpoints"
	"github.com/gridferry/gridferry/fault"
	wire "github.com/gridferry/gridferry/wire/gridftp"
)

// firstRead is how much of a file Open waits for, so that a refusal is Open's
// error and not the first Read's.
const firstRead = 32 << 10

// Open implements endpoints.Storage.
func (s *Storage) Open(ctx context.Context, p string, offset, length int64) (io.ReadCloser, error) {
	const op = "open"
	if err := s.enter(ctx, op, p); err != nil {
		return nil, err
	}
	if offset < 0 || length < -1 {
		return nil, fault.New(fault.Invalid, op, p, "the range begins before the file")
	}
	if length == 0 { // which no command asks for
		return s.openNothing(ctx, op, p)
	}
	c, err := s.session(ctx)
	if err != nil {
		return nil, err
	}
	in, err := c.Open(ctx, s.remote(p), offset, length, wire.TransferOptions{})
	if err != nil {
		defer s.release(c)
		return nil, s.fail(ctx, c, op, p, err, reads)
	}
	r := &reader{s: s, c: c, in: in, ctx: ctx, path: p}
	buf := make([]byte, firstRead)
	n, err := in.Read(buf)
	if err != nil && err != io.EOF {
		_ = in.Close() // the error is known
		defer s.release(c)
		if offset > 0 && isRefusal(err) {
			// Some refuse to begin behind the end (554, RFC 3659, 5.3).
			if e, statErr := c.Stat(ctx, s.remote(p)); statErr == nil && e.Type == wire.TypeFile && 0 <= e.Size && e.Size <= offset {
				return io.NopCloser(strings.NewReader("")), nil
			}
		}
		return nil, s.fail(ctx, c, op, p, err, reads)
	}
	r.first, r.err = buf[:n], err
	return r, nil
}

func (s *Storage) openNothing(ctx context.Context, op, p string) (io.ReadCloser, error) {
	err := s.do(ctx, op, p, reads, func(c *wire.Client, remote string) error {
		e, err := c.Stat(ctx, remote)
		if err == nil && e.IsDir() {
			return fault.New(fault.NotFound, op, p, "it is a directory")
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	return io.NopCloser(strings.NewReader("")), nil
}

type reader struct {
	s     *Storage
	c     *wire.Client // nil once it was given back
	in    io.ReadCloser
	ctx   context.Context
	path  string
	first []byte // read, and not handed out yet
	err   error  // what follows first
}

func (r *reader) Read(b []byte) (int, error) {
	if len(r.first) > 0 {
		n := copy(b, r.first)
		r.first = r.first[n:]
		return n, nil
	}
	if r.err != nil {
		return 0, r.err
	}
	n, err := r.in.Read(b)
	if err != nil && err != io.EOF {
		err, _ = r.s.classify(r.ctx, "read", r.path, err, reads)
	}
	r.s.alive(r.c)
	r.err = err
	return n, err
}

func (r *reader) Close() error {
	if r.c == nil {
		return nil
	}
	err := r.in.Close()
	r.s.release(r.c)
	r.c = nil
	err, _ = r.s.classify(r.ctx, "close", r.path, err, reads)
	return err
}

// Create implements endpoints.Storage. The server's refusal, if any, comes
// with the first Write or with Commit. Exclusive is a look and then a write:
// FTP has no way to do both at once.
func (s *Storage) Create(ctx context.Context, p string, opts endpoints.CreateOptions) (endpoints.Writer, error) {
	const op = "create"
	if err := s.enter(ctx, op, p); err != nil {
		return nil, err
	}
	switch {
	case opts.Offset < 0:
		return nil, fault.New(fault.Invalid, op, p, "the offset is negative")
	case (opts.Offset > 0 || opts.Update) && !s.caps.Ranges:
		return nil, fault.New(fault.Unsupported, op, p, "this server writes whole files only")
	}
	if opts.Exclusive {
		switch _, err := s.Stat(ctx, p); {
		case err == nil:
			return nil, fault.New(fault.Exists, op, p, "the name is taken")
		case !fault.Is(err, fault.NotFound):
			return nil, err
		}
	}
	c, err := s.session(ctx)
	if err != nil {
		return nil, err
	}
	var part *wire.Range
	if opts.Offset > 0 || opts.Update {
		part = &wire.Range{Off: opts.Offset, End: math.MaxInt64}
		if opts.Size >= 0 {
			part.End = opts.Offset + opts.Size
		}
	}
	out, err := c.Create(ctx, s.remote(p), part, opts.Size, wire.TransferOptions{})
	if err != nil {
		defer s.release(c)
		return nil, s.fail(ctx, c, op, p, err, writes)
	}
	return &writer{s: s, c: c, out: out, ctx: ctx, path: p}, nil
}

type writer struct {
	s    *Storage
	c    *wire.Client // nil once it was given back
	out  *wire.Writer
	ctx  context.Context
	path string
}

var errEnded = errors.New("the write has ended")

func (w *writer) Write(b []byte) (int, error) {
	if w.c == nil {
		return 0, fault.Wrap(fault.Internal, "write", w.path, errEnded)
	}
	n, err := w.out.Write(b)
	w.s.alive(w.c)
	return n, w.failed(err)
}

func (w *writer) failed(err error) error {
	return w.s.fail(w.ctx, nil, "write", w.path, err, writes)
}

func (w *writer) Commit() error {
	if w.c == nil {
		return fault.Wrap(fault.Internal, "write", w.path, errEnded)
	}
	err := w.out.Commit()
	w.s.release(w.c)
	w.c = nil
	return w.failed(err)
}

func (w *writer) Abort() error {
	if w.c == nil {
		return nil
	}
	err := w.out.Abort()
	w.s.release(w.c)
	w.c = nil
	return w.failed(err)
}
