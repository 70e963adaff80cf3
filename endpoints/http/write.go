package http

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/gridferry/gridferry/endpoints"
	"github.com/gridferry/gridferry/fault"
)

// bufferSize is how many bytes of a file are held before a request is begun: a
// file that is no longer goes in one that needs no permission first, has its
// length, and can be repeated.
const bufferSize = 1 << 20

var (
	errGivenUp = errors.New("the write was given up")
	errOver    = errors.New("the write is over")
)

// Create implements endpoints.Storage.
func (s *Storage) Create(ctx context.Context, p string, opts endpoints.CreateOptions) (endpoints.Writer, error) {
	const op = "write"
	ctx, leave, err := s.enter(ctx, op, p)
	if err != nil {
		return nil, err
	}
	w := &writer{s: s, ctx: ctx, leave: leave, path: p, off: opts.Offset, size: opts.Size, update: opts.Update || opts.Offset > 0, header: http.Header{}}
	if err := w.open(op, opts); err != nil {
		err = s.failed(ctx, op, p, err)
		leave()
		return nil, err
	}
	return w, nil
}

// writer writes a file, or a range of one.
type writer struct {
	s      *Storage
	ctx    context.Context
	leave  func()
	path   string
	header http.Header
	off    int64 // of what is not sent yet, where update is set
	size   int64 // of all of it; -1 unknown
	got    int64 // bytes that were written to it
	update bool  // what the file holds elsewhere stays
	over   bool

	buf    []byte
	stream *stream // nil while all of it fits into buf
}

func (w *writer) open(op string, opts endpoints.CreateOptions) error {
	switch {
	case opts.Offset < 0:
		return fault.New(fault.Invalid, op, w.path, "the range begins before the file")
	case w.path == "/":
		return fault.New(fault.Exists, op, w.path, "it is a directory")
	case w.update && !w.s.ranges():
		if opts.Offset > 0 {
			return fault.New(fault.Unsupported, op, w.path, "the server writes whole files only")
		}
		if e, err := w.s.stat(w.ctx, w.path); err == nil && e.Size > 0 {
			return fault.New(fault.Unsupported, op, w.path, "the server writes whole files only, and there is one already")
		} else if err != nil && !missing(err) {
			return err
		}
		w.update = false
	}
	if opts.Exclusive {
		// Not every server looks at the condition.
		if _, err := w.s.stat(w.ctx, w.path); err == nil {
			return fault.New(fault.Exists, op, w.path, "the name is taken")
		} else if !missing(err) {
			return err
		}
		w.header.Set("If-None-Match", "*")
	}
	w.s.forget(w.path)
	return nil
}

func (w *writer) Write(b []byte) (int, error) {
	if w.over {
		return 0, fault.Wrap(fault.Invalid, "write", w.path, errOver)
	}
	if err := w.ctx.Err(); err != nil {
		return 0, w.failed(err)
	}
	n := 0
	if w.stream == nil {
		n = w.fill(b)
		if n == len(b) {
			return n, nil
		}
		if err := w.spill(); err != nil {
			return n, w.failed(err)
		}
		if w.stream == nil { // a range of unknown length goes in pieces
			m, err := w.Write(b[n:])
			return n + m, err
		}
	}
	m, err := w.stream.Write(b[n:])
	w.got += int64(m)
	if err != nil {
		err = w.failed(err)
	}
	return n + m, err
}

// fill takes what the buffer has room for.
func (w *writer) fill(b []byte) int {
	room := bufferSize
	if w.size >= 0 && w.size <= bufferSize {
		room = max(int(w.size), len(w.buf)) // its last byte fills it, and Commit sends it
		if int64(len(w.buf)+len(b)) > w.size {
			room = bufferSize // the size was only a guess
		}
	}
	n := min(len(b), room-len(w.buf))
	if cap(w.buf) == 0 && w.size > 0 {
		w.buf = make([]byte, 0, room)
	}
	w.buf = append(w.buf, b[:n]...)
	w.got += int64(n)
	return n
}

// spill begins to send, because the buffer is full.
func (w *writer) spill() error {
	length := w.size
	if w.update && length < 0 {
		err := w.flush()
		w.buf = w.buf[:0]
		return err
	}
	if length >= 0 && length <= int64(len(w.buf)) { // and there is more
		length = -1
		if w.update {
			return fault.New(fault.Invalid, "write", w.path, "the range is longer than was said")
		}
	}
	header := w.headers(length)
	header.Set("Expect", "100-continue")
	w.stream = w.s.begin(w.ctx, w.path, header, length)
	_, err := w.stream.Write(w.buf)
	w.buf = nil
	return err
}

// headers are those of a request that carries so many bytes.
func (w *writer) headers(length int64) http.Header {
	h := w.header.Clone()
	h.Set("Content-Type", "application/octet-stream")
	if w.update {
		h.Set("Content-Range", fmt.Sprintf("bytes %d-%d/*", w.off, w.off+length-1))
	}
	return h
}

// flush sends what is in the buffer.
func (w *writer) flush() error {
	n := int64(len(w.buf))
	if w.update && n == 0 {
		return w.touch()
	}
	st := w.s.begin(w.ctx, w.path, w.headers(n), n, w.buf...)
	if err := st.finish(); err != nil {
		return err
	}
	return w.placed(n)
}

// touch sees to it that the file is there, where no byte is to be written to it.
func (w *writer) touch() error {
	if w.got > 0 {
		return nil
	}
	if _, err := w.s.stat(w.ctx, w.path); !missing(err) {
		return err
	}
	return w.s.begin(w.ctx, w.path, http.Header{}, 0).finish()
}

// placed looks, the first time, whether the server has put a range where it
// belongs, or taken it for the whole file.
func (w *writer) placed(n int64) error {
	at := w.off
	w.off += n
	if !w.update || at == 0 || w.s.rangesProven.Load() {
		return nil
	}
	e, err := w.s.stat(w.ctx, w.path)
	if err != nil {
		return err
	}
	if e.Size < at+n {
		return refusal{"the server has taken a range for the whole file", "set options." + optionRanges + ": off"}
	}
	w.s.rangesProven.Store(true)
	return nil
}

// Commit implements endpoints.Writer.
func (w *writer) Commit() error {
	if w.over {
		return fault.Wrap(fault.Invalid, "write", w.path, errOver)
	}
	w.over = true
	defer w.leave()
	if err := w.ctx.Err(); err != nil {
		if w.stream != nil {
			w.stream.give(err)
		}
		return w.failed(err)
	}
	if w.stream == nil {
		return w.failed(w.flush())
	}
	if w.size >= 0 && w.stream.length >= 0 && w.got != w.size {
		w.stream.give(errGivenUp)
		return fault.New(fault.Invalid, "write", w.path, fmt.Sprintf("%d bytes were written of a file that was to have %d", w.got, w.size))
	}
	err := w.stream.finish()
	if err == nil {
		err = w.placed(w.got)
	}
	return w.failed(err)
}

// Abort implements endpoints.Writer.
func (w *writer) Abort() error {
	if w.over {
		return nil
	}
	w.over = true
	defer w.leave()
	if w.stream != nil {
		w.stream.give(errGivenUp)
	}
	return nil
}

func (w *writer) failed(err error) error {
	switch status := statusOf(err); {
	case status == http.StatusPreconditionFailed && w.header.Get("If-None-Match") != "":
		err = fault.New(fault.Exists, "write", w.path, "the name is taken")
	case w.update && (status == http.StatusNotImplemented || status == http.StatusBadRequest || status == http.StatusRequestedRangeNotSatisfiable):
		err = refusal{"the server takes no ranges of files: " + err.Error(), "set options." + optionRanges + ": off"}
	case status != 0:
		err = w.s.explain(w.ctx, "write", w.path, err)
	}
	return w.s.failed(w.ctx, "write", w.path, err)
}

// stream is a PUT under way.
type stream struct {
	length int64
	head   []byte // is sent before what is written
	in     *io.PipeReader
	out    *io.PipeWriter
	begun  atomic.Bool
	cancel context.CancelFunc
	done   chan struct{}
	err    error // valid when done is closed
}

// begin sends a PUT of length bytes, -1 for as many as there will be: head, and
// what is then written to the stream.
func (s *Storage) begin(ctx context.Context, p string, header http.Header, length int64, head ...byte) *stream {
	st := &stream{length: length, head: head, done: make(chan struct{})}
	ctx, st.cancel = context.WithCancel(ctx)
	st.in, st.out = io.Pipe()
	// Whoever writes must hear of it also when net/http has not begun to read.
	stop := context.AfterFunc(ctx, func() { st.in.CloseWithError(context.Cause(ctx)) })
	whole := int64(len(head)) == length
	go func() {
		defer close(st.done)
		defer st.cancel()
		defer stop()
		st.err = s.change(ctx, request{
			method: http.MethodPut, url: s.url(p, false), header: header, body: st, length: length,
			again: whole && header.Get("If-None-Match") == "",
		})
		if st.err == nil && !whole && !st.begun.Load() {
			st.err = errors.New("the server was content before it had the file")
		}
		st.in.CloseWithError(errOver)
	}()
	return st
}

func (st *stream) sent() bool { return st.begun.Load() && int64(len(st.head)) != st.length }

// open implements body.
func (st *stream) open(w *watch) io.ReadCloser {
	if int64(len(st.head)) == st.length {
		return io.NopCloser(bytes.NewReader(st.head))
	}
	return &outgoing{st: st, r: io.MultiReader(bytes.NewReader(st.head), st.in), w: w}
}

// outgoing is the body of a PUT as net/http reads it.
type outgoing struct {
	st *stream
	r  io.Reader
	w  *watch
	n  int64 // bytes that were read
}

// settling is how many bytes a second a server may need to check a file that it
// has had, or to move it to where it belongs, before it answers.
const settling = 50 << 20

// Read is where the server's turn ends: it has had all bytes before these.
func (o *outgoing) Read(b []byte) (int, error) {
	o.st.begun.Store(true)
	o.w.rest()
	n, err := o.r.Read(b)
	if o.n += int64(n); err == nil {
		o.w.wait()
	} else {
		o.w.waitLonger(time.Duration(o.n/settling) * time.Second)
	}
	return n, err
}

// Close is called when the request is over, or sent elsewhere before the body
// was touched.
func (o *outgoing) Close() error {
	if o.st.begun.Load() {
		return o.st.in.CloseWithError(errOver)
	}
	return nil
}

// Write hands bytes to the request. When it has ended already, its error is the
// answer.
func (st *stream) Write(b []byte) (int, error) {
	n, err := st.out.Write(b)
	if err != nil {
		<-st.done
		if st.err != nil {
			err = st.err
		}
	}
	return n, err
}

// finish ends the body and waits for the server's word.
func (st *stream) finish() error {
	_ = st.out.Close() // never fails
	<-st.done
	return st.err
}

// give ends the request in the middle, so that the server knows it for broken.
func (st *stream) give(err error) {
	_ = st.out.CloseWithError(err) // never fails
	st.cancel()
	<-st.done
}
