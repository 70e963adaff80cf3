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
	// stretchesAhead of a file are asked for at once, each of partSize bytes: one
	// connection to a far store is slower than the line. Where a second's worth is
	// more than that, as much, and at most mostAhead: what was read ahead is lost
	// to who is killed.
	stretchesAhead = 3
	mostAhead      = 8

	// inOne is up to how many bytes from the beginning of a file are asked for in one
	// request, and not kept in memory: who wants so little reads other files besides.
	// Further on it is pieceInOne (Caps.OneAnswer): who begins there reads other
	// pieces of the file besides, and the fewer the requests, the less there is to do.
	inOne      = 4 * partSize
	pieceInOne = 12 * partSize

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

	began  time.Time  // when the first was asked for
	taken  int        // of them
	window int        // stretches at once: few until it is known that there is more
	asked  int64      // where the one after those that were asked for begins
	ahead  []*stretch // asked for, in the order of the file
	now    *stretch   // what is being handed out; nil between two of them

	prefix *prefix       // what was read of the object from its first byte on; nil when that is not known
	sum    <-chan stored // of the object; nil until it was asked for
}

// stretch is a piece of the file that is read ahead.
type stretch struct {
	done   chan struct{} // closed when the rest is known
	shared bool          // it counts for memoryAhead
	buf    *[partSize]byte
	data   []byte // what of buf is left
	err    error
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
	if r.window = 1; length >= 0 {
		r.window = stretchesAhead
		ask = length
		if length > pieceInOne || length > inOne && r.off == 0 {
			ask = partSize
		}
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
	if r.asked = r.bodyEnd; length >= 0 {
		r.request()
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
	if n > 0 && r.prefix != nil {
		r.learn()
	}
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
	if r.now == nil || len(r.now.data) == 0 {
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
	r.drop(r.now)
	r.now = nil
	r.request()
	next := r.ahead[0]
	select {
	case <-next.done:
	case <-r.ctx.Done():
		return r.ctx.Err()
	}
	r.now, r.ahead = next, r.ahead[1:]
	r.widen()
	return next.err
}

// widen sets how much is read ahead by how fast it is taken.
func (r *reader) widen() {
	r.taken++
	worth := int(float64(r.taken) / max(time.Since(r.began).Seconds(), 1e-3))
	r.window = min(2*r.window, max(stretchesAhead, min(worth, mostAhead)))
}

// request asks for stretches, as far as there is room: for one there always is.
func (r *reader) request() {
	if r.began.IsZero() {
		r.began = time.Now()
	}
	for r.asked < r.end && len(r.ahead) < r.window {
		st := &stretch{done: make(chan struct{})}
		if len(r.ahead) > 0 {
			if st.shared = r.s.driver.claim(1); !st.shared {
				return
			}
		}
		off, end := r.asked, min(r.asked+partSize, r.end)
		r.asked = end
		r.ahead = append(r.ahead, st)
		go func() {
			r.fetch(st, off, end)
			close(st.done)
		}()
	}
}

// drop gives the memory of a stretch back, which may be nil.
func (r *reader) drop(st *stretch) {
	if st == nil {
		return
	}
	r.s.driver.giveBack(st.buf)
	if st.shared {
		r.s.driver.unclaim(1)
	}
}

// fetch reads a stretch into memory.
func (r *reader) fetch(st *stretch, off, end int64) {
	st.buf = r.s.driver.buffer()
	want := st.buf[:end-off]
	got, again := 0, 0
	for {
		body, err := r.get(off+int64(got), end)
		if err != nil {
			st.err = err
			return
		}
		n, err := io.ReadFull(body, want[got:])
		_ = body.Close() // all of it was read, or it has failed
		if got += n; n > 0 {
			again = 0
		}
		if err == nil {
			st.data = want
			return
		}
		if again++; again > rereads || r.ctx.Err() != nil {
			st.err = unexpected(err)
			return
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
	r.drop(r.now)
	for _, st := range r.ahead {
		go func() {
			<-st.done // soon: its context has ended
			r.drop(st)
		}()
	}
	r.now, r.ahead = nil, nil
	r.off, r.asked = r.end, r.end
	return nil
}
