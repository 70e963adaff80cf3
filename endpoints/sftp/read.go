package sftp

import (
	"context"
	"errors"
	"io"

	"github.com/pkg/sftp"

	"github.com/gridferry/gridferry/endpoints"
	"github.com/gridferry/gridferry/fault"
)

// maxAhead is how many packets of one file are asked for, or sent, ahead: 2 MiB
// is what x/crypto lets a server send on one channel before it reads.
const maxAhead = 8

// Open implements endpoints.Storage.
func (s *Storage) Open(ctx context.Context, p string, offset, length int64) (io.ReadCloser, error) {
	const op = "open"
	if offset < 0 || length < -1 {
		return nil, fault.New(fault.Invalid, op, p, "the range begins before the file")
	}
	c, err := s.enter(ctx, op, p)
	if err != nil {
		return nil, err
	}
	f, err := s.openFile(ctx, c, op, p)
	if err != nil {
		c.release()
		return nil, err
	}
	r := &reader{s: s, c: c, ctx: ctx, path: p, f: f, next: offset, end: -1, window: 1}
	if length >= 0 {
		r.end, r.window = offset+length, maxAhead
	}
	return r, nil
}

func (s *Storage) openFile(ctx context.Context, c *conn, op, p string) (*sftp.File, error) {
	if err := s.within(ctx, c, op, p, true); err != nil {
		return nil, err
	}
	f, err := call(ctx, s, c, func() (*sftp.File, error) { return c.sftp.Open(s.real(p)) }, closeFile)
	return f, s.classify(ctx, c, op, p, err, reads)
}

// closeFile gives up a file of which nothing is wanted any more.
func closeFile(f *sftp.File) { _ = f.Close() }

// reader reads a range of a file, with requests ahead of who reads.
type reader struct {
	s      *Storage
	c      *conn
	ctx    context.Context
	path   string
	f      *sftp.File
	next   int64 // where the next request begins
	end    int64 // where the range does; -1 is not known
	window int   // requests at once: few until it is known that there is more
	ahead  []*fetch
	now    *fetch // being read
	read   int    // of now
	err    error  // the last word
}

// fetch is one request.
type fetch struct {
	b    []byte // of the driver's
	n    int
	err  error
	done chan struct{}
}

// fill gets more bytes into r.now, or the last word.
func (r *reader) fill() error {
	if err := r.s.live(r.ctx, "read", r.path); err != nil {
		return err
	}
	if r.err != nil {
		return r.err
	}
	r.giveBack(r.now)
	r.now, r.read = nil, 0
	for len(r.ahead) < r.window && (r.end < 0 || r.next < r.end) {
		r.request()
	}
	if len(r.ahead) == 0 {
		r.err = io.EOF
		return r.err
	}
	got := r.ahead[0]
	select {
	case <-got.done:
	case <-r.ctx.Done():
		return r.s.live(r.ctx, "read", r.path)
	case <-r.s.life.Done():
		return r.s.live(r.ctx, "read", r.path)
	}
	r.ahead = r.ahead[1:]
	r.now = got
	r.window = min(2*r.window, maxAhead)
	switch {
	case got.err == nil:
	case errors.Is(got.err, io.EOF) && r.c.failure() == nil:
		r.err = io.EOF
	default:
		r.err = r.s.classify(r.ctx, r.c, "read", r.path, got.err, reads)
	}
	if got.n == 0 && r.err != nil {
		return r.err
	}
	return nil
}

// request asks for the next packet.
func (r *reader) request() {
	want := r.c.payload
	if r.end >= 0 {
		want = int(min(int64(want), r.end-r.next))
	}
	g := &fetch{b: r.s.driver.buffer(want), done: make(chan struct{})}
	f, at := r.f, r.next
	r.next += int64(want)
	r.ahead = append(r.ahead, g)
	r.c.ask()
	go func() {
		g.n, g.err = f.ReadAt(g.b, at)
		r.c.answered()
		close(g.done)
	}()
}

func (r *reader) giveBack(g *fetch) {
	if g != nil {
		r.s.driver.giveBack(g.b)
	}
}

func (r *reader) Read(b []byte) (int, error) {
	if len(b) == 0 {
		return 0, nil
	}
	if err := r.more(); err != nil {
		return 0, err
	}
	n := copy(b, r.now.b[r.read:r.now.n])
	r.read += n
	return n, nil
}

// more makes sure that there is something to read.
func (r *reader) more() error {
	for r.now == nil || r.read == r.now.n {
		if err := r.fill(); err != nil {
			return err
		}
	}
	return nil
}

// WriteTo implements io.WriterTo. Its errors are w's as well as the file's.
func (r *reader) WriteTo(w io.Writer) (int64, error) {
	var total int64
	for {
		err := r.more()
		if err == io.EOF {
			return total, nil
		}
		if err != nil {
			return total, err
		}
		n, err := w.Write(r.now.b[r.read:r.now.n])
		r.read += n
		total += int64(n)
		if err != nil {
			return total, err
		}
	}
}

// Close does not wait for the server.
func (r *reader) Close() error {
	if r.f == nil {
		return nil
	}
	f, ahead, now := r.f, r.ahead, r.now
	r.f, r.ahead, r.now = nil, nil, nil
	r.err = fault.New(fault.Internal, "read", r.path, "the file is closed")
	r.c.ask()
	go func() {
		closeFile(f) // when what was asked for has come
		r.c.answered()
		for _, g := range ahead {
			<-g.done
			r.giveBack(g)
		}
		r.giveBack(now)
		r.c.release()
	}()
	return nil
}

// buffer lends n bytes, for a packet at most.
func (d *Driver) buffer(n int) []byte {
	if n <= smallBuffer {
		return make([]byte, n)
	}
	if b, ok := d.buffers.Get().(*[]byte); ok {
		return (*b)[:n]
	}
	return make([]byte, n, maxPacket)
}

// smallBuffer, in bytes, is not worth being kept.
const smallBuffer = 32 << 10

func (d *Driver) giveBack(b []byte) {
	if cap(b) >= maxPacket {
		b = b[:cap(b)]
		d.buffers.Put(&b)
	}
}

var _ endpoints.Storage = (*Storage)(nil)
