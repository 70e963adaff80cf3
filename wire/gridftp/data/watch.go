package data

import (
	"context"
	"fmt"
	"net"
	"sync"
	"sync/atomic"
	"time"
)

// A watch keeps the deadlines of one transfer's connections: each lies one
// stall time after the last byte that moved on any of them, because a
// connection of several may well be silent while the others work. Failing, and
// the end of the context, put the deadlines into the past.
type watch struct {
	stall time.Duration
	moved atomic.Int64 // bytes, and headers

	stopContext func() bool
	timer       *time.Timer

	mu     sync.Mutex
	conns  []net.Conn
	seen   int64 // of moved, when the timer last looked
	since  time.Time
	err    error // why it failed
	done   bool
	waking bool          // deadlines are not put off any more
	failed chan struct{} // closed when err is set
	abort  func(error)   // tells the sink; may be nil
}

func newWatch(ctx context.Context, stall time.Duration, abort func(error)) *watch {
	w := &watch{stall: stall, since: time.Now(), failed: make(chan struct{}), abort: abort}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.stopContext = context.AfterFunc(ctx, func() { w.fail(context.Cause(ctx)) })
	w.timer = time.AfterFunc(stall/4, w.tick)
	return w
}

// add puts a connection under watch.
func (w *watch) add(c net.Conn) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.conns = append(w.conns, c)
	if w.err != nil {
		_ = c.SetDeadline(past)
		return
	}
	_ = c.SetDeadline(time.Now().Add(w.stall))
}

var past = time.Unix(1, 0)

func (w *watch) tick() {
	w.mu.Lock()
	if w.done || w.waking || w.err != nil {
		w.mu.Unlock()
		return
	}
	now := time.Now()
	// Before there is a connection nothing can stall: how long it is waited for
	// is another limit, with an error of its own.
	if moved := w.moved.Load(); moved != w.seen || len(w.conns) == 0 {
		w.seen, w.since = moved, now
		for _, c := range w.conns {
			_ = c.SetDeadline(now.Add(w.stall))
		}
	}
	stalled := now.Sub(w.since) >= w.stall
	if !stalled {
		w.timer.Reset(w.stall / 4)
	}
	w.mu.Unlock()
	if stalled {
		w.fail(fmt.Errorf("%w for %v", ErrStalled, w.stall))
	}
}

// fail ends the transfer; the first error counts.
func (w *watch) fail(err error) {
	w.mu.Lock()
	if w.done || w.err != nil {
		w.mu.Unlock()
		return
	}
	w.err = err
	for _, c := range w.conns {
		_ = c.SetDeadline(past)
	}
	close(w.failed)
	w.mu.Unlock()
	if w.abort != nil {
		w.abort(err)
	}
}

// cause returns why a read or write failed with err: what ended the transfer,
// if that came first.
func (w *watch) cause(err error) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.err != nil {
		return w.err
	}
	if t, ok := err.(interface{ Timeout() bool }); ok && t.Timeout() {
		return fmt.Errorf("%w for %v", ErrStalled, w.stall)
	}
	return err
}

// interrupt wakes the reads that still wait, once nothing more is to come.
func (w *watch) interrupt() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.waking = true
	for _, c := range w.conns {
		_ = c.SetReadDeadline(past)
	}
}

// end stops watching, takes the deadlines away and returns why the watch
// failed, if it did.
func (w *watch) end() error {
	w.stopContext()
	w.mu.Lock()
	defer w.mu.Unlock()
	w.done = true
	w.timer.Stop()
	for _, c := range w.conns {
		_ = c.SetDeadline(time.Time{})
	}
	return w.err
}
