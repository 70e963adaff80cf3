package data

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"sync"
	"time"

	"github.com/gridferry/gridferry/wire/gsi"
)

// Config says how connections are secured and bounded. It may differ from one
// transfer to the next, but Set.Drop must come between when the security
// changes: a connection keeps what it was made with.
type Config struct {
	Security *gsi.DataConfig // nil for DCAU N: no authentication, no protection
	Buffer   int             // TCP buffer of dialled connections in bytes; 0 leaves it to the system
	MaxConns int             // most connections at a time; 0 is 64
	Connect  time.Duration   // to make and secure a connection, or to wait for the first; 0 is 30 s
	Stall    time.Duration   // how long nothing may move; 0 is 120 s
}

func (c Config) withDefaults() Config {
	if c.MaxConns <= 0 {
		c.MaxConns = 64
	}
	if c.Connect <= 0 {
		c.Connect = 30 * time.Second
	}
	if c.Stall <= 0 {
		c.Stall = 120 * time.Second
	}
	return c
}

// A Set is the data connections between this side and one peer, kept from one
// transfer to the next in extended block mode.
type Set struct {
	network  Network
	local    netip.Addr     // to dial from
	to       netip.AddrPort // to dial; zero when passive
	listener *Listener      // nil when active

	accepted chan net.Conn // from the listener, not yet secured
	quit     chan struct{} // closed by Close

	mu     sync.Mutex
	conns  []*conn
	closed bool
}

// NewActive returns a Set that dials to, from the address local unless that is
// zero.
func NewActive(network Network, local netip.Addr, to netip.AddrPort) *Set {
	return &Set{network: network, local: local, to: to, quit: make(chan struct{})}
}

// NewPassive returns a Set that accepts from l, which it owns from now on.
func NewPassive(l *Listener) *Set {
	s := &Set{listener: l, accepted: make(chan net.Conn), quit: make(chan struct{})}
	go s.accept()
	return s
}

// accept hands over connections as transfers ask for them; the rest wait in
// the listener's own queue.
func (s *Set) accept() {
	for {
		c, err := s.listener.tcp.Accept()
		if err != nil {
			if errors.Is(err, net.ErrClosed) {
				return
			}
			// Out of descriptors, most often: that may pass.
			select {
			case <-time.After(50 * time.Millisecond):
				continue
			case <-s.quit:
				return
			}
		}
		select {
		case s.accepted <- c:
		case <-s.quit:
			_ = c.Close()
			return
		}
	}
}

// Passive reports whether the Set listens.
func (s *Set) Passive() bool { return s.listener != nil }

// Addr returns the address to tell the peer, or the one that is dialled.
func (s *Set) Addr() netip.AddrPort {
	if s.listener != nil {
		return s.listener.Addr()
	}
	return s.to
}

// Connected returns how many connections are open.
func (s *Set) Connected() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.conns)
}

// Peers returns the far addresses of the open connections.
func (s *Set) Peers() []netip.Addr {
	s.mu.Lock()
	defer s.mu.Unlock()
	var peers []netip.Addr
	for _, c := range s.conns {
		if addr, ok := c.raw.RemoteAddr().(*net.TCPAddr); ok {
			peers = append(peers, addr.AddrPort().Addr().Unmap())
		}
	}
	return peers
}

// Closed reports whether the Set was closed, by Close or by a transfer that
// failed.
func (s *Set) Closed() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.closed
}

// Drop closes the connections but keeps the Set: the next transfer makes new
// ones.
func (s *Set) Drop() {
	s.mu.Lock()
	conns := s.conns
	s.conns = nil
	s.mu.Unlock()
	for _, c := range conns {
		_ = c.Close()
	}
}

// Close closes the connections and the listener. A transfer under way fails.
// Closing twice is nil.
func (s *Set) Close() error {
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		return nil
	}
	s.closed = true
	close(s.quit)
	s.mu.Unlock()
	if s.listener != nil {
		_ = s.listener.Close()
	}
	s.Drop()
	return nil
}

// take returns the connections there are.
func (s *Set) take() ([]*conn, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil, ErrClosed
	}
	return append([]*conn(nil), s.conns...), nil
}

func (s *Set) keep(c *conn) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		_ = c.Close()
		return ErrClosed
	}
	s.conns = append(s.conns, c)
	return nil
}

// remove closes one connection and forgets it.
func (s *Set) remove(c *conn) {
	s.mu.Lock()
	for i, have := range s.conns {
		if have == c {
			s.conns = append(s.conns[:i], s.conns[i+1:]...)
			break
		}
	}
	s.mu.Unlock()
	_ = c.Close()
}

// dial makes one connection, secures it and keeps it.
func (s *Set) dial(ctx context.Context, config Config) (*conn, error) {
	ctx, cancel := context.WithTimeout(ctx, config.Connect)
	defer cancel()
	raw, err := s.network.Dial(ctx, s.local, s.to, config.Buffer)
	if err != nil {
		return nil, err
	}
	c, err := s.secure(ctx, raw, config, gsi.DataClient)
	if c != nil {
		c.dialled = true
	}
	return c, err
}

// secure makes a raw connection one of the Set's.
func (s *Set) secure(ctx context.Context, raw net.Conn, config Config, handshake func(context.Context, net.Conn, gsi.DataConfig) (net.Conn, error)) (*conn, error) {
	secured := raw
	if config.Security != nil {
		var err error
		if secured, err = handshake(ctx, raw, *config.Security); err != nil {
			addr := raw.RemoteAddr().String()
			_ = raw.Close()
			return nil, &ConnectError{"secure", addr, err}
		}
	}
	c := &conn{Conn: secured, raw: raw}
	c.tcp, _ = secured.(*net.TCPConn)
	return c, s.keep(c)
}

// first returns a connection for a stream, which uses one connection for one
// file: it dials, or waits for the peer to.
func (s *Set) first(ctx context.Context, config Config) (*conn, error) {
	if s.Closed() {
		return nil, ErrClosed
	}
	s.Drop() // a stream's end is its connection's end, so none can be left to use
	if !s.Passive() {
		return s.dial(ctx, config)
	}
	timer := time.NewTimer(config.Connect)
	defer timer.Stop()
	select {
	case raw := <-s.accepted:
		ctx, cancel := context.WithTimeout(ctx, config.Connect)
		defer cancel()
		return s.secure(ctx, raw, config, gsi.DataServer)
	case <-timer.C:
		return nil, s.noConnection(config)
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	case <-s.quit:
		return nil, ErrClosed
	}
}

func (s *Set) noConnection(config Config) error {
	return &ConnectError{"accept on", s.Addr().String(), waited{config.Connect}}
}

// waited is ErrNoConnection with the time waited.
type waited struct{ d time.Duration }

func (w waited) Error() string { return ErrNoConnection.Error() + " within " + w.d.String() }
func (w waited) Unwrap() error { return ErrNoConnection }

// A conn is one data connection.
type conn struct {
	net.Conn              // secured
	raw      net.Conn     // the socket under it
	tcp      *net.TCPConn // the socket, when the bytes are in the clear; else nil

	buf     []byte           // blockBuffer long once used
	header  [HeaderSize]byte // of the next block, as far as it has come
	have    int              // bytes of header
	dialled bool             // by this side
	spent   bool             // its sender announced to close it
}

// blockBuffer is the size of a connection's buffer in bytes: a header and a
// block as the Globus server makes them.
const (
	blockSize   = 256 << 10
	blockBuffer = 2*HeaderSize + blockSize
)

func (c *conn) buffer() []byte {
	if c.buf == nil {
		c.buf = make([]byte, blockBuffer)
	}
	return c.buf
}

// lingerTime bounds how long a sender waits for the receiver to have read all.
const lingerTime = time.Second

// finish ends a connection that was written to, after the last byte. The one
// who dialled a TLS connection may have been sent session tickets, which it
// never read, and closing with something unread would be a reset, which can
// destroy what the peer has not yet read: so it reads until the peer closes.
func (c *conn) finish() error {
	half, ok := c.Conn.(interface{ CloseWrite() error })
	if !ok || c.tcp != nil {
		return c.Close()
	}
	err := c.SetDeadline(time.Now().Add(lingerTime))
	if err == nil {
		err = half.CloseWrite() // TLS's close_notify
	}
	if under, ok := c.raw.(*net.TCPConn); ok && c.dialled && err == nil {
		if err = under.CloseWrite(); err == nil {
			drain(under)
		}
	}
	return errors.Join(err, c.raw.Close())
}

// drain reads until the peer closes or the deadline comes. What it reads, and
// how it ends, says nothing about what was sent.
func drain(c net.Conn) {
	var sink [512]byte
	for range 1024 {
		if _, err := c.Read(sink[:]); err != nil {
			return
		}
	}
}
