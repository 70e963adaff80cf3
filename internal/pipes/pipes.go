// Package pipes is a network without sockets, for tests in a bubble of
// testing/synctest: there time passes only while nobody has anything to do, and
// who waits for a socket counts as busy. It is no double of TCP: a write waits
// until it is read, and no connection is reset.
package pipes

import (
	"context"
	"net"
	"sync"
)

// Listener is a net.Listener that only its own Dial reaches.
type Listener struct {
	addr   *net.TCPAddr
	conns  chan net.Conn
	once   sync.Once
	closed chan struct{}
}

// Listen makes a listener that says it is at that port of 127.0.0.1, and so do
// its connections, whose peers may be asked where they are.
func Listen(port int) *Listener {
	return &Listener{addr: &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: port}, conns: make(chan net.Conn), closed: make(chan struct{})}
}

// Accept implements net.Listener.
func (l *Listener) Accept() (net.Conn, error) {
	select {
	case c := <-l.conns:
		return c, nil
	case <-l.closed:
		return nil, net.ErrClosed
	}
}

// Close implements net.Listener. Connections stay. Closing twice is nil.
func (l *Listener) Close() error {
	l.once.Do(func() { close(l.closed) })
	return nil
}

// Addr implements net.Listener.
func (l *Listener) Addr() net.Addr { return l.addr }

// Dial connects to the listener, whatever it is asked for, and waits until that
// is accepted.
func (l *Listener) Dial(ctx context.Context, _, _ string) (net.Conn, error) {
	near, far := net.Pipe()
	select {
	case l.conns <- conn{far, l.addr}:
		return conn{near, l.addr}, nil
	case <-l.closed:
		return nil, net.ErrClosed
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}

type conn struct {
	net.Conn
	addr net.Addr
}

func (c conn) LocalAddr() net.Addr  { return c.addr }
func (c conn) RemoteAddr() net.Addr { return c.addr }
