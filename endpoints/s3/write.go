package s3

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"hash/crc32"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"

	"github.com/gridferry/gridferry/endpoints"
	"github.com/gridferry/gridferry/fault"
)

// Create implements endpoints.Storage. Nothing is under the name before Commit,
// and then all of it. A range can be written only of a file of which Becomes
// says what it will be.
func (s *Storage) Create(ctx context.Context, p string, opts endpoints.CreateOptions) (endpoints.Writer, error) {
	const op = "create"
	ctx, o, leave, err := s.enter(ctx, op, p)
	if err != nil {
		return nil, err
	}
	w := &writer{s: s, ctx: ctx, leave: leave, path: p, o: o, opts: opts, off: opts.Offset}
	if err := w.open(op); err != nil {
		err = s.failed(ctx, op, p, err)
		leave()
		return nil, err
	}
	return w, nil
}

// writer collects bytes, and sends them in one request or in the parts of an
// upload.
type writer struct {
	s     *Storage
	ctx   context.Context
	leave func()
	path  string
	o     object
	opts  endpoints.CreateOptions
	ended bool

	off  int64 // in the file, of the first byte in buf
	unit int64 // bytes of a part
	buf  []byte
	lent *[partSize]byte // what buf is of, when it was lent
	up   *upload         // nil while all of it may yet go in one request
	own  bool            // up is this writer's alone, and Commit completes it

	sending sync.WaitGroup
	slots   chan struct{}
	mu      sync.Mutex
	failure error
}

// partsAtOnce is how many parts of one writer are on their way at once.
const partsAtOnce = 3

func (w *writer) open(op string) error {
	o, b := w.opts, w.opts.Becomes
	switch {
	case o.Offset < 0:
		return fault.New(fault.Invalid, op, w.path, "the offset is negative")
	case (o.Offset > 0 || o.Update) && b == nil:
		return fault.New(fault.Unsupported, op, w.path, "objects are written as a whole")
	}
	if err := w.s.vacant(w.ctx, op, w.path); err != nil {
		return err
	}
	if o.Exclusive {
		if _, err := w.s.head(w.ctx, w.o, w.o.key); err == nil {
			return fault.New(fault.Exists, op, w.path, "there is a file of this name")
		} else if !isGone(err) {
			return err
		}
	}
	whole := max(o.Size, 0)
	if b != nil {
		whole = b.Size
	}
	w.unit = unitOf(whole)
	if b != nil && o.Offset%w.unit != 0 {
		return fault.New(fault.Invalid, op, w.path, fmt.Sprintf("ranges of it begin at multiples of %d bytes", w.unit))
	}
	if b == nil || b.Size <= AtOnce && o.Offset == 0 && !o.Update {
		return nil // Commit sends it
	}
	var err error
	if o.Offset > 0 || o.Update {
		w.up, err = w.s.findUpload(w.ctx, op, w.path, w.o, b)
	} else {
		w.up, err = w.s.claimAnew(w.ctx, op, w.path, w.o, b)
	}
	return err
}

func (w *writer) live() error {
	if w.ended {
		return fault.New(fault.Internal, "write", w.path, "the write has ended")
	}
	if err := w.ctx.Err(); err != nil {
		return w.failed(err)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.failure
}

func (w *writer) failed(err error) error { return w.s.failed(w.ctx, "write", w.path, err) }

// Write implements io.Writer.
func (w *writer) Write(p []byte) (int, error) {
	if err := w.live(); err != nil {
		return 0, err
	}
	total := len(p)
	for len(p) > 0 {
		if w.buf == nil {
			w.allocate()
		}
		if len(w.buf) == cap(w.buf) {
			if err := w.full(); err != nil {
				return total - len(p), w.failed(err)
			}
			continue
		}
		n := min(len(p), cap(w.buf)-len(w.buf))
		w.buf = append(w.buf, p[:n]...)
		p = p[n:]
	}
	return total, nil
}

// allocate takes room for what is probably to come, a part at most unless all
// of it goes at once.
func (w *writer) allocate() {
	size := w.unit
	if o := w.opts; o.Size >= 0 {
		most := w.unit
		if w.up == nil && o.Size <= AtOnce {
			most = AtOnce
		}
		size = max(512, min(most, o.Offset+o.Size-w.off)) // there may be more than was promised
	}
	if size <= partSize && size > partSize/2 {
		w.lent = w.s.driver.buffer()
		w.buf = w.lent[:0:size]
		return
	}
	w.buf = make([]byte, 0, size)
}

// full makes room: it begins an upload, or sends a part of one.
func (w *writer) full() error {
	if int64(len(w.buf)) < w.unit { // the promised size was wrong
		whole := make([]byte, len(w.buf), w.unit)
		copy(whole, w.buf)
		w.drop()
		w.buf = whole
		return nil
	}
	if w.up == nil {
		up, err := w.s.begin(w.ctx, w.o, max(w.opts.Size, 0), w.s.meta(w.opts.ModTime))
		if err != nil {
			return err
		}
		w.up, w.own = up, true
	}
	return w.sendParts()
}

// drop is the end of what was collected.
func (w *writer) drop() {
	if w.lent != nil {
		w.s.driver.giveBack(w.lent)
	}
	w.buf, w.lent = nil, nil
}

// sendParts sends the parts that were collected: several where all of the file
// was to go at once. What is no whole part stays.
func (w *writer) sendParts() error {
	for int64(len(w.buf)) >= w.unit {
		rest := w.buf[w.unit:]
		w.buf = w.buf[:w.unit]
		if err := w.send(); err != nil {
			return err
		}
		if len(rest) > 0 {
			w.buf = rest
		}
	}
	return nil
}

// send has the bytes that were collected sent as a part, behind the caller's
// back, and waits only while there are too many on their way.
func (w *writer) send() error {
	if w.slots == nil {
		// Parts of very large files are so long that one at a time has to do.
		w.slots = make(chan struct{}, max(1, min(partsAtOnce, partsAtOnce*partSize/w.unit)))
	}
	select {
	case w.slots <- struct{}{}:
	case <-w.ctx.Done():
		return w.ctx.Err()
	}
	data, lent, off := w.buf, w.lent, w.off
	w.off += int64(len(data))
	w.buf, w.lent = nil, nil
	// Behind the caller's back only where there is memory for what is collected
	// meanwhile, besides one buffer that each writer has.
	room := int32(w.unit / partSize)
	shared := w.s.driver.claim(room)
	send := func() {
		err := w.s.sendPart(w.ctx, w.o, w.up, off, data)
		if err == nil && lent != nil { // else the transport may be reading it yet
			w.s.driver.giveBack(lent)
		}
		if err != nil {
			err = w.failed(err)
			w.mu.Lock()
			if w.failure == nil {
				w.failure = err
			}
			w.mu.Unlock()
		}
		if shared {
			w.s.driver.unclaim(room)
		}
		<-w.slots
	}
	if shared {
		w.sending.Go(send)
	} else {
		send()
	}
	return nil
}

// Commit returns when the store has confirmed every byte.
func (w *writer) Commit() error {
	if err := w.live(); err != nil {
		return errors.Join(err, w.Abort())
	}
	w.ended = true
	defer w.leave()
	err := w.failed(w.commit())
	if err != nil && w.own {
		w.s.abort(w.ctx, w.o, w.up)
	}
	if err == nil && w.lent != nil {
		w.s.driver.giveBack(w.lent)
	}
	return err
}

func (w *writer) commit() error {
	if w.up == nil {
		return w.put()
	}
	if end, b := w.off+int64(len(w.buf)), w.opts.Becomes; b != nil && end < b.Size && end%w.unit != 0 {
		w.sending.Wait()
		return fault.New(fault.Invalid, "write", w.path, fmt.Sprintf("ranges of it end at multiples of %d bytes, or where it ends", w.unit))
	}
	err := w.sendParts()
	if err == nil && len(w.buf) > 0 {
		err = w.send()
	}
	w.sending.Wait()
	if err != nil {
		return err
	}
	if w.failure != nil || !w.own {
		return w.failure
	}
	w.s.fresh.forget(w.path)
	return w.s.complete(w.ctx, w.o, w.o.key, w.up, w.off)
}

// put sends all of a file in one request.
func (w *writer) put() error {
	s := w.s
	t := w.opts.ModTime
	sum := crc32.Checksum(w.buf, crcTable())
	in := &s3.PutObjectInput{
		Bucket: &w.o.bucket, Key: &w.o.key, Body: bytes.NewReader(w.buf), ContentLength: aws.Int64(int64(len(w.buf))), Metadata: s.meta(t),
		RequestPayer: s.opts.payer, ServerSideEncryption: s.opts.sse, SSEKMSKeyId: s.opts.kmsKey, StorageClass: s.opts.class,
	}
	if s.opts.checksums {
		in.ChecksumCRC32C = encodeSum(sum)
	}
	if w.opts.Exclusive {
		in.IfNoneMatch = aws.String("*")
	}
	_, err := s.client.PutObject(w.ctx, in)
	switch {
	case w.opts.Exclusive && hasCode(err, "PreconditionFailed"):
		return fault.New(fault.Exists, "create", w.path, "somebody else has written a file of this name")
	case err == nil && s.opts.times:
		s.fresh.put(w.path, written{modTime: t})
	}
	return err
}

// Abort gives the write up. An upload that others know of stays: whoever
// removes its claim aborts it.
func (w *writer) Abort() error {
	if w.ended {
		return nil
	}
	w.ended = true
	w.leave()
	w.sending.Wait()
	if w.own {
		w.s.abort(w.ctx, w.o, w.up)
	}
	w.drop()
	return nil
}

// fresh remembers with what times files were written, so that setting them
// again asks nobody.
type fresh struct {
	mu   sync.Mutex
	seen map[string]written // by path
}

type written struct{ modTime time.Time }

// freshMost is how many files may be between being written and being dealt with.
const freshMost = 4096

func newFresh() *fresh { return &fresh{seen: map[string]written{}} }

func (f *fresh) put(p string, w written) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(f.seen) >= freshMost {
		clear(f.seen)
	}
	f.seen[p] = w
}

func (f *fresh) get(p string) (written, bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	w, ok := f.seen[p]
	return w, ok
}

func (f *fresh) forget(p string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.seen, p)
}
