package http

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"

	"github.com/gridferry/gridferry/endpoints"
	"github.com/gridferry/gridferry/fault"
)

const (
	// rereads is how often a file is asked for again when its connection breaks in
	// the middle; each goes on where the last one ended.
	rereads = 3

	// maxSkip is how much is read and thrown away, in bytes, where a server does
	// not start in the middle of a file.
	maxSkip = 64 << 20

	// maxSeen is of how many files it is remembered which version was opened.
	maxSeen = 4096
)

var (
	errChanged  = errors.New("the file was replaced or removed while it was being read")
	errMisplace = errors.New("the server sent other bytes of the file than it was asked for")
)

// piece is the answer to a GET.
type piece struct {
	body    io.ReadCloser // nil: there is nothing at or behind the offset
	end     int64         // where the body ends in the file; -1 unknown
	version version
}

// get asks for bytes of a file from off, length of them or, when that is below
// 0, all there are. They are of the version want, as far as that is known.
func (s *Storage) get(ctx context.Context, p string, off, length int64, want version) (piece, error) {
	header := http.Header{}
	if off > 0 || length > 0 {
		span := fmt.Sprintf("bytes=%d-", off)
		if length > 0 {
			span += fmt.Sprint(off + length - 1)
		}
		header.Set("Range", span)
	}
	want.demand(header)
	resp, err := s.do(ctx, request{method: http.MethodGet, url: s.url(p, false), header: header, again: true})
	if err != nil {
		return piece{}, err
	}
	got, err := s.judge(p, resp, off)
	if err == nil && (!got.version.same(want) || got.body == nil && off < want.size) {
		err = errChanged
	}
	if err == nil && got.body == nil {
		discard(resp)
		return got, nil
	}
	if err != nil {
		_ = resp.Body.Close() // of an answer that is not used
		return piece{}, err
	}
	return got, nil
}

// judge finds out what an answer to a GET is.
func (s *Storage) judge(p string, resp *http.Response, off int64) (piece, error) {
	r, told := parseContentRange(resp.Header.Get("Content-Range"))
	switch status := resp.StatusCode; {
	case status == http.StatusPartialContent && !told || status == http.StatusPartialContent && r.off != off:
		return piece{}, errMisplace
	case status == http.StatusPartialContent:
		return piece{resp.Body, r.end, versionOf(resp.Header, r.total, s.opts.etags)}, nil
	case status == http.StatusOK:
		got := piece{resp.Body, resp.ContentLength, versionOf(resp.Header, resp.ContentLength, s.opts.etags)}
		if got.end >= 0 && off >= got.end {
			got.body = nil
			return got, nil
		}
		if off > maxSkip {
			return piece{}, refusal{"the server does not read from the middle of a file", "set the tuning's range_size below 0, or have the server answer range requests"}
		}
		if n, err := io.CopyN(io.Discard, resp.Body, off); err != nil && n < off && !errors.Is(err, io.EOF) {
			return piece{}, err
		}
		return got, nil
	case status == http.StatusRequestedRangeNotSatisfiable:
		// Not every server then says how long the file is.
		if !told && off == 0 {
			r.total = 0
		}
		if off < r.total {
			return piece{}, errMisplace
		}
		return piece{end: off, version: versionOf(http.Header{}, r.total, false)}, nil
	case status == http.StatusPreconditionFailed:
		return piece{}, errChanged
	case isSlash(resp):
		return piece{}, fault.New(fault.NotFound, "open", s.shown(p), "it is a directory")
	}
	return piece{}, refused(resp)
}

// Open implements endpoints.Storage. All that is read of a file through this
// storage is of the version that was first opened, until Stat tells of another.
func (s *Storage) Open(ctx context.Context, p string, offset, length int64) (io.ReadCloser, error) {
	const op = "open"
	ctx, leave, err := s.enter(ctx, op, p)
	if err != nil {
		return nil, err
	}
	r := &reader{s: s, ctx: ctx, leave: leave, path: p, off: offset}
	if err := r.open(op, length); err != nil {
		err = r.failed(op, err)
		leave()
		return nil, err
	}
	return r, nil
}

type reader struct {
	s       *Storage
	ctx     context.Context
	leave   func()
	path    string
	version version
	off     int64
	end     int64 // -1: where the server ends
	now     piece
	again   int // broken connections in a row
}

// Entry implements endpoints.Described.
func (r *reader) Entry() endpoints.Entry {
	return endpoints.Entry{Name: r.path, Type: endpoints.File, Size: r.version.size, ModTime: modTime(r.version.modified)}
}

func (r *reader) open(op string, length int64) error {
	if r.off < 0 || length < -1 {
		return fault.New(fault.Invalid, op, r.path, "the range begins before the file")
	}
	r.s.mu.Lock()
	want, ok := r.s.seen[r.path]
	r.s.mu.Unlock()
	if !ok {
		want.size = -1
	}
	ask := length
	if length == 0 {
		ask = 1 // only to see that it is there
	}
	var err error
	if r.now, err = r.s.get(r.ctx, r.path, r.off, ask, want); errors.Is(err, errMisplace) {
		r.now, err = r.within(ask, want)
	}
	if err != nil {
		return err
	}
	if r.version = r.now.version; !r.version.known() && want.known() {
		r.version = want // 416 tells nothing but the size
	}
	if r.version.known() {
		r.s.remember(r.path, r.version)
	}
	r.end = r.version.size
	if r.now.body == nil {
		r.end = r.off
		return nil
	}
	if length >= 0 && (r.end < 0 || r.off+length < r.end) {
		r.end = r.off + length
	}
	if length == 0 {
		r.drop()
	}
	return nil
}

// within asks for no more than there is: XRootD (5.5.3) answers ranges that are open,
// or end behind the file, with bytes that do not exist.
func (r *reader) within(length int64, want version) (piece, error) {
	e, err := r.s.stat(r.ctx, r.path)
	switch left := e.Size - r.off; {
	case err != nil || e.Type != endpoints.File:
		return piece{}, errMisplace
	case left <= 0:
		return piece{end: r.off, version: version{size: e.Size}}, nil
	case length < 0 || length > left:
		return r.s.get(r.ctx, r.path, r.off, left, want)
	}
	return piece{}, errMisplace
}

// remember notes which version of a file was opened, of a bounded number of
// files: of one that has dropped out, the task's own look at size and time is
// what finds a change.
func (s *Storage) remember(p string, v version) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, ok := s.seen[p]; !ok && len(s.seen) >= maxSeen {
		for other := range maps.Keys(s.seen) {
			delete(s.seen, other)
			break
		}
	}
	s.seen[p] = v
}

func (r *reader) drop() {
	if r.now.body != nil {
		_ = r.now.body.Close() // it has failed, or nobody wants the rest
	}
	r.now = piece{}
}

func (r *reader) Read(b []byte) (int, error) {
	if err := r.ctx.Err(); err != nil {
		return 0, r.failed("read", err)
	}
	if len(b) == 0 {
		return 0, nil
	}
	for {
		if r.end >= 0 && r.off >= r.end {
			return 0, io.EOF
		}
		if r.now.body == nil {
			if err := r.resume(); err != nil {
				return 0, r.failed("read", err)
			}
		}
		if r.end >= 0 {
			b = b[:min(int64(len(b)), r.end-r.off)]
		}
		n, err := r.now.body.Read(b)
		r.off += int64(n)
		if n > 0 {
			r.again = 0
			return n, nil
		}
		switch {
		case err == nil:
			continue
		case errors.Is(err, io.EOF) && r.end < 0: // as long as it was
			r.end = r.off
			continue
		case errors.Is(err, io.EOF):
			err = io.ErrUnexpectedEOF
		}
		r.drop()
		if r.again++; r.again > rereads || !r.version.known() || r.ctx.Err() != nil || errors.Is(err, errStalled) {
			return 0, r.failed("read", err)
		}
	}
}

// resume asks for the rest, of the version that was opened.
func (r *reader) resume() error {
	length := int64(-1)
	if r.end >= 0 {
		length = r.end - r.off
	}
	got, err := r.s.get(r.ctx, r.path, r.off, length, r.version)
	if err == nil && got.body == nil || missing(err) {
		err = errChanged
	}
	if err != nil {
		return err
	}
	r.now = got
	return nil
}

func (r *reader) failed(op string, err error) error {
	if errors.Is(err, errChanged) || errors.Is(err, errMisplace) {
		r.s.forget(r.path)
		return fault.Wrap(fault.Integrity, op, r.s.shown(r.path), err)
	}
	return r.s.failed(r.ctx, op, r.path, err)
}

// Close gives up what was asked for and not read.
func (r *reader) Close() error {
	r.leave()
	if r.now.body != nil && r.off >= r.end && r.end >= 0 {
		// The end that net/http has not seen yet would cost the connection.
		_, _ = io.CopyN(io.Discard, r.now.body, 1)
	}
	r.drop()
	r.end = r.off
	return nil
}
