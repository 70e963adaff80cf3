package s3

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"

	"github.com/gridferry/gridferry/endpoints"
	"github.com/gridferry/gridferry/fault"
)

const (
	// stretches of a file that are asked for at once, each of partSize bytes: one
	// connection to a far store is slower than the line.
	stretchesAhead = 3

	// rereads is how often a stretch is asked for again when its connection
	// breaks in the middle; each goes on where the last one ended.
	rereads = 3
)

// Open implements endpoints.Storage. All that is read is of one version of the
// object: when it is replaced meanwhile, the error is Integrity.
func (s *Storage) Open(ctx context.Context, p string, offset, length int64) (io.ReadCloser, error) {
	const op = "open"
	ctx, o, leave, err := s.enter(ctx, op, p)
	if err != nil {
		return nil, err
	}
	r := &reader{s: s, ctx: ctx, leave: leave, path: p, o: o, off: offset, end: -1}
	if err := r.open(op, length); err != nil {
		err = s.failed(ctx, op, p, err)
		leave()
		return nil, err
	}
	return r, nil
}

type reader struct {
	s     *Storage
	ctx   context.Context
	leave func()
	path  string
	o     object
	entry endpoints.Entry // what the object was when it was opened
	etag  *string

	off, end int64         // what is left to be handed out
	body     io.ReadCloser // the answer to the first request
	bodyEnd  int64         // where it ends
	again    int           // broken connections in a row

	prefix *prefix       // what was read of the object from its first byte on; nil when that is not known
	sum    <-chan stored // nil until it was asked for

	queue chan chan stretch // nil until it is needed; in the order of the file
	now   stretch           // what is being handed out
}

// stretch is a piece of the file that was read ahead.
type stretch struct {
	buf  *[partSize]byte
	data []byte // what of buf is left
	err  error
}

// Entry implements endpoints.Described.
func (r *reader) Entry() endpoints.Entry { return r.entry }

func (r *reader) open(op string, length int64) error {
	if r.off < 0 || length < -1 {
		return fault.New(fault.Invalid, op, r.path, "the range begins before the file")
	}
	if r.o.key == "" {
		return fault.New(fault.NotFound, op, r.path, "a bucket is no file")
	}
	ask := int64(partSize)
	if length >= 0 {
		ask = min(length, ask)
	}
	in := &s3.GetObjectInput{Bucket: &r.o.bucket, Key: &r.o.key, RequestPayer: r.s.opts.payer}
	if r.s.opts.checksums {
		in.ChecksumMode = types.ChecksumModeEnabled
	}
	if ask > 0 {
		in.Range = rangeOf(r.off, r.off+ask)
	} else {
		in.Range = rangeOf(0, 1) // only to see that it is there
	}
	out, err := r.s.client.GetObject(r.ctx, in)
	switch {
	case hasCode(err, "InvalidRange"): // the object ends before
		h, err := r.s.head(r.ctx, r.o, r.o.key)
		if err != nil {
			return err
		}
		if r.s.isClaim(h.Metadata) {
			return r.onItsWay(op)
		}
		r.describe(aws.ToInt64(h.ContentLength), h.Metadata, h.LastModified)
		r.end = r.off
		return nil
	case isGone(err) || hasCode(err, "ObjectParentIsFile"):
		return fault.New(fault.NotFound, op, r.path, "there is no object of this key")
	case err != nil:
		return err
	}
	size := aws.ToInt64(out.ContentLength)
	if whole, ok := totalOf(out.ContentRange); ok {
		size = whole
	} else if r.off > 0 && out.ContentRange == nil {
		_ = out.Body.Close() // nothing of it was asked for
		return fault.New(fault.Unsupported, op, r.path, "the store does not read from the middle of an object")
	}
	if r.s.isClaim(out.Metadata) {
		_ = out.Body.Close() // empty
		return r.onItsWay(op)
	}
	r.describe(size, out.Metadata, out.LastModified)
	if r.entry.Version = etag(out.ETag); r.entry.Version != "" { // not of what came to the store past its door
		r.etag = out.ETag
	}
	r.end = size
	if length >= 0 {
		r.end = min(size, r.off+length)
	}
	r.end = max(r.end, r.off)
	r.body, r.bodyEnd = out.Body, min(r.end, r.off+ask)
	if r.s.opts.checksums {
		r.prefix = r.s.prefixes.before(r.path, r.entry.Version, r.off)
	}
	if r.off == 0 && r.bodyEnd == size { // else no store says what that checksum is of
		answer := make(chan stored, 1)
		answer <- storedSum(out.ChecksumCRC32C, out.ChecksumType)
		r.sum = answer
	}
	if ask == 0 {
		_ = r.body.Close() // nothing of it is wanted
		r.body = nil
	}
	return nil
}

func (r *reader) onItsWay(op string) error {
	return fault.New(fault.Unsupported, op, r.path, "the file is on its way to the store, which lets nobody read it before it is whole")
}

func (r *reader) describe(size int64, meta map[string]string, stored *time.Time) {
	r.entry = endpoints.Entry{Name: r.path, Type: endpoints.File, Size: size, ModTime: r.s.modTime(meta, stored)}
}

func rangeOf(off, end int64) *string { return aws.String(fmt.Sprintf("bytes=%d-%d", off, end-1)) }

// totalOf takes the object's length from "bytes 0-9/443" (RFC 9110, 14.4).
func totalOf(contentRange *string) (int64, bool) {
	var from, to, total int64
	n, err := fmt.Sscanf(aws.ToString(contentRange), "bytes %d-%d/%d", &from, &to, &total)
	return total, n == 3 && err == nil
}

func (r *reader) Read(p []byte) (int, error) {
	n, err := r.next(p)
	if r.prefix == nil {
		return n, err
	}
	r.prefix.add(p[:n])
	if errors.Is(err, io.EOF) {
		if bad := r.compare(); bad != nil {
			return 0, r.failed(bad)
		}
	}
	return n, err
}

func (r *reader) next(p []byte) (int, error) {
	if err := r.ctx.Err(); err != nil {
		return 0, r.failed(err)
	}
	if len(p) == 0 {
		return 0, nil
	}
	if r.off >= r.end {
		return 0, io.EOF
	}
	if r.off < r.bodyEnd {
		return r.fromBody(p)
	}
	if len(r.now.data) == 0 {
		if err := r.advance(); err != nil {
			return 0, r.failed(err)
		}
	}
	n := copy(p, r.now.data)
	r.now.data = r.now.data[n:]
	r.off += int64(n)
	return n, nil
}

// fromBody reads the first answer, and asks for its rest when it breaks off.
func (r *reader) fromBody(p []byte) (int, error) {
	for {
		if r.body == nil {
			out, err := r.get(r.off, r.bodyEnd)
			if err != nil {
				return 0, r.failed(err)
			}
			r.body = out
		}
		n, err := r.body.Read(p[:min(int64(len(p)), r.bodyEnd-r.off)])
		r.off += int64(n)
		if n > 0 {
			r.again = 0
			return n, nil
		}
		if err == nil {
			continue
		}
		_ = r.body.Close() // it has failed
		r.body = nil
		if r.again++; r.again > rereads || r.ctx.Err() != nil {
			return 0, r.failed(unexpected(err))
		}
	}
}

func unexpected(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}

// get asks for a stretch of the version that was opened.
func (r *reader) get(off, end int64) (io.ReadCloser, error) {
	out, err := r.s.client.GetObject(r.ctx, &s3.GetObjectInput{
		Bucket: &r.o.bucket, Key: &r.o.key, Range: rangeOf(off, end), IfMatch: r.etag, RequestPayer: r.s.opts.payer,
	})
	if err != nil {
		if isGone(err) || hasCode(err, "PreconditionFailed", "InvalidRange") {
			err = fault.New(fault.Integrity, "read", r.path, "the object was replaced or removed while it was being read")
		}
		return nil, err
	}
	return out.Body, nil
}

// advance waits for the next stretch that was read ahead.
func (r *reader) advance() error {
	if r.queue == nil {
		r.queue = make(chan chan stretch, stretchesAhead-1)
		go r.ahead(r.off, r.end)
		if r.prefix != nil && r.end == r.entry.Size {
			r.sum = r.askSum()
		}
	}
	r.done()
	select {
	case next, ok := <-r.queue:
		if !ok {
			return r.ctx.Err() // it ended early, which only that makes it do
		}
		r.now = <-next
		return r.now.err
	case <-r.ctx.Done():
		return r.ctx.Err()
	}
}

// done gives the buffer of what was handed out back.
func (r *reader) done() {
	if r.now.buf != nil {
		r.s.driver.giveBack(r.now.buf)
	}
	r.now = stretch{}
}

// ahead asks for one stretch after the other, as far as the queue has room.
func (r *reader) ahead(from, end int64) {
	defer close(r.queue)
	for off := from; off < end; off += partSize {
		next := make(chan stretch, 1)
		select {
		case r.queue <- next:
		case <-r.ctx.Done():
			return
		}
		go func() { next <- r.fetch(off, min(off+partSize, end)) }()
	}
}

// fetch reads a stretch into memory.
func (r *reader) fetch(off, end int64) stretch {
	st := stretch{buf: r.s.driver.buffer()}
	want := st.buf[:end-off]
	got, again := 0, 0
	for {
		body, err := r.get(off+int64(got), end)
		if err != nil {
			st.err = err
			return st
		}
		n, err := io.ReadFull(body, want[got:])
		_ = body.Close() // all of it was read, or it has failed
		if got += n; n > 0 {
			again = 0
		}
		if err == nil {
			st.data = want
			return st
		}
		if again++; again > rereads || r.ctx.Err() != nil {
			st.err = unexpected(err)
			return st
		}
	}
}

func (r *reader) failed(err error) error { return r.s.failed(r.ctx, "read", r.path, err) }

// Close gives up what was asked for and not read.
func (r *reader) Close() error {
	r.leave()
	if r.body != nil {
		_ = r.body.Close() // of an answer that nobody wants any more
		r.body = nil
	}
	r.done()
	r.off = r.end
	return nil
}
