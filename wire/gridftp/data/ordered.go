package data

import (
	"fmt"
	"io"
	"sync"
)

// Ordered turns blocks that arrive in any order into a stream. It is the
// io.WriterAt to receive into when the taker can only write forward.
type Ordered struct {
	w     io.Writer
	limit int

	mu    sync.Mutex
	moved *sync.Cond // next, held or err changed
	next  int64
	early map[int64][]byte // by offset, beyond next
	held  int              // bytes in early
	err   error            // ends everything
}

// NewOrdered writes to w what belongs at start and after. Blocks that are
// early wait in memory, up to limit bytes; beyond that their connections wait.
func NewOrdered(w io.Writer, start int64, limit int) *Ordered {
	o := &Ordered{w: w, limit: limit, next: start, early: make(map[int64][]byte)}
	o.moved = sync.NewCond(&o.mu)
	return o
}

// WriteAt implements io.WriterAt; any number of goroutines may call it. It
// does not keep p. Bytes that were written before are refused.
func (o *Ordered) WriteAt(p []byte, off int64) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	for o.err == nil && off > o.next && o.held+len(p) > o.limit {
		o.moved.Wait()
	}
	switch {
	case o.err != nil:
		return 0, o.err
	case off < o.next || o.early[off] != nil:
		return 0, o.fail(fmt.Errorf("bytes at %d came twice: the stream is at %d", off, o.next))
	case off > o.next:
		o.early[off] = append([]byte(nil), p...)
		o.held += len(p)
		return len(p), nil
	}
	if err := o.write(p); err != nil {
		return 0, err
	}
	for block := o.early[o.next]; block != nil; block = o.early[o.next] {
		delete(o.early, o.next)
		o.held -= len(block)
		if err := o.write(block); err != nil {
			return 0, err
		}
	}
	o.moved.Broadcast()
	return len(p), nil
}

func (o *Ordered) write(p []byte) error {
	n, err := o.w.Write(p)
	o.next += int64(n)
	if err != nil {
		return o.fail(err)
	}
	return nil
}

func (o *Ordered) fail(err error) error {
	if o.err == nil {
		o.err = err
		o.moved.Broadcast()
	}
	return err
}

// Abort makes every WriteAt, also those that wait, fail with err.
func (o *Ordered) Abort(err error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.held > 0 && o.err == nil {
		err = fmt.Errorf("%w (%w: the stream waits for offset %d with %d bytes held)", err, ErrReadAhead, o.next, o.held)
	}
	_ = o.fail(err)
}

// Next returns the offset that the stream has reached.
func (o *Ordered) Next() int64 {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.next
}

// Close checks that no early block is left: that the stream has no gap.
func (o *Ordered) Close() error {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.err == nil && len(o.early) > 0 {
		return fmt.Errorf("%w: nothing came for offset %d, but %d bytes beyond it", ErrTruncated, o.next, o.held)
	}
	return o.err
}
