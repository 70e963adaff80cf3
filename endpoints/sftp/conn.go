package sftp

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/pkg/sftp"
	"golang.org/x/crypto/ssh"
)

var (
	errClosed = errors.New("the storage is closed")
	errIdle   = errors.New("the connection was idle")
	errEnded  = errors.New("the connection was closed here")
)

// conn is one SSH connection with one SFTP session.
type conn struct {
	pool *pool
	hops []*ssh.Client // the last is the server, the others lead to it
	sftp *sftp.Client

	greeting
	server string // what it calls itself
	home   string
	rtt    time.Duration

	listers chan *lister // of listersMost; nil is one that may yet be opened

	load int // files open and calls under way; under the pool's lock

	heard   atomic.Int64 // when bytes last came, in Unix nanoseconds
	asked   atomic.Int32 // requests without an answer
	replied atomic.Int64 // when one was last answered, or the first one asked

	mu   sync.Mutex
	base net.Conn // whose end is the end of all
	err  error    // why it is of no use any more
	gone chan struct{}
}

func newConn(p *pool) *conn {
	c := &conn{pool: p, gone: make(chan struct{}), listers: make(chan *lister, listersMost)}
	for range listersMost {
		c.listers <- nil
	}
	c.heard.Store(time.Now().UnixNano())
	return c
}

// keep gives the connection what it stands on.
func (c *conn) keep(base net.Conn) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.base = base; c.err != nil {
		_ = base.Close() // given up meanwhile
	}
}

// fail ends the connection. The first reason counts.
func (c *conn) fail(err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.err != nil {
		return
	}
	c.err = err
	close(c.gone)
	if c.base != nil {
		_ = c.base.Close() // what was under way fails for that
	}
}

// failure is why the connection is of no use; nil while it is.
func (c *conn) failure() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.err
}

func (c *conn) client() *ssh.Client { return c.hops[len(c.hops)-1] }

func (c *conn) extension(name string) bool {
	_, ok := c.extensions[name]
	return ok
}

// openSSH says that the server follows OpenSSH where the draft and OpenSSH
// differ: in the order of SYMLINK's arguments.
func (c *conn) openSSH() bool {
	return strings.Contains(c.server, "OpenSSH") || c.extension(extPosixRename)
}

// watch ends a connection of which nothing is heard.
func (c *conn) watch() {
	quiet, stall := c.pool.driver.config.Quiet, c.pool.driver.config.Stall
	go func() {
		c.fail(fmt.Errorf("the connection ended: %w", orEnded(c.client().Wait())))
	}()
	tick := time.NewTicker(max(time.Millisecond, min(quiet, stall)/3))
	defer tick.Stop()
	var asking atomic.Bool
	for {
		select {
		case <-c.gone:
			return
		case <-tick.C:
		}
		silent := time.Since(time.Unix(0, c.heard.Load()))
		waiting := time.Since(time.Unix(0, c.replied.Load()))
		switch {
		case silent > 3*quiet:
			c.fail(fmt.Errorf("the server said nothing for %v", silent.Round(time.Second)))
		case c.asked.Load() > 0 && waiting > stall:
			c.fail(fmt.Errorf("the server left requests without an answer for %v", waiting.Round(time.Second)))
		case silent > quiet && asking.CompareAndSwap(false, true):
			go func() {
				defer asking.Store(false)
				_, _, _ = c.client().SendRequest("keepalive@openssh.com", true, nil) // any answer will do, and is heard
			}()
		}
	}
}

func orEnded(err error) error {
	if err == nil {
		return errEnded
	}
	return err
}

// ask and answered stand around each request.
func (c *conn) ask() {
	if c.asked.Add(1) == 1 {
		c.replied.Store(time.Now().UnixNano())
	}
}

func (c *conn) answered() {
	c.replied.Store(time.Now().UnixNano())
	c.asked.Add(-1)
}

// release gives back what pool.get lent.
func (c *conn) release() { c.pool.release(c) }

// call runs one request, and returns before it has an answer when ctx or the
// storage ends. drop, when not nil, gets what came too late.
func call[T any](ctx context.Context, s *Storage, c *conn, request func() (T, error), drop func(T)) (T, error) {
	type answer struct {
		v   T
		err error
	}
	got := make(chan answer, 1)
	c.ask()
	go func() {
		v, err := request()
		c.answered()
		got <- answer{v, err}
	}()
	var why error
	select {
	case a := <-got:
		return a.v, a.err
	case <-ctx.Done():
		why = ctx.Err()
	case <-s.life.Done():
		why = errClosed
	}
	if drop != nil {
		go func() {
			if a := <-got; a.err == nil {
				drop(a.v)
			}
		}()
	}
	var none T
	return none, why
}

// do is call for requests that have no answer but that they went well.
func do(ctx context.Context, s *Storage, c *conn, request func() error) error {
	_, err := call(ctx, s, c, func() (struct{}, error) { return struct{}{}, request() }, nil)
	return err
}
