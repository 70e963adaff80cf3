package sftp

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"sync/atomic"
	"time"

	"github.com/pkg/sftp"
	"golang.org/x/crypto/ssh"
)

const (
	// dialTime is how long connecting, and shaking hands, may take at each host.
	dialTime = 30 * time.Second
	// keepAlive is of the kernel, for connections that nobody looks at.
	keepAlive = 30 * time.Second
)

// errNoSubsystem is of servers that let us in and have no SFTP.
var errNoSubsystem = errors.New("the server offers no SFTP (its sshd_config has no Subsystem sftp)")

// authError is of servers that let nobody in with what we have.
type authError struct {
	user string
	err  error
	keys []string // what was offered
}

func (e *authError) Error() string {
	with := "nothing to log in with"
	if len(e.keys) > 0 {
		with = fmt.Sprint(e.keys)
	}
	return fmt.Sprintf("the server does not let in %q with %s: %v", e.user, with, e.err)
}

func (e *authError) Unwrap() error { return e.err }

// dialer makes connections of one pool.
type dialer struct {
	opts  options
	id    Identity
	next  atomic.Uint32 // server
	hosts *hosts
}

// dial logs in to the next server, by way of the jump hosts.
func (d *dialer) dial(ctx context.Context, c *conn) (err error) {
	known, err := newHosts(d.opts.knownHosts)
	if err != nil {
		return &keysError{err}
	}
	d.hosts = known
	keys, done, err := d.keys(ctx)
	if err != nil {
		return &keysError{err}
	}
	defer done()
	defer func() {
		if err != nil {
			c.fail(err)
		}
	}()
	servers := d.opts.servers
	target := hop{d.opts.user, servers[int(d.next.Add(1)-1)%len(servers)]}
	for i, h := range append(d.opts.jumps[:len(d.opts.jumps):len(d.opts.jumps)], target) {
		if h.user == "" {
			h.user = d.opts.user
		}
		if err := d.step(ctx, c, i, h, keys); err != nil {
			return err
		}
	}
	return c.begin(ctx)
}

func (d *dialer) keys(ctx context.Context) ([]ssh.Signer, func(), error) {
	if d.id.Keys == nil {
		return nil, func() {}, nil
	}
	keys, done, err := d.id.Keys(ctx)
	if done == nil {
		done = func() {}
	}
	return keys, done, err
}

// step reaches one host from the one before it.
func (d *dialer) step(ctx context.Context, c *conn, i int, h hop, keys []ssh.Signer) error {
	ctx, cancel := context.WithTimeout(ctx, dialTime)
	defer cancel()
	var raw net.Conn
	var err error
	if i == 0 {
		nd := net.Dialer{KeepAlive: keepAlive}
		if raw, err = nd.DialContext(ctx, "tcp", h.addr); err == nil {
			raw = newHeardConn(raw, c)
			c.keep(raw)
		}
	} else {
		raw, err = c.hops[i-1].DialContext(ctx, "tcp", h.addr)
		if err != nil {
			err = fmt.Errorf("reach %s by way of %s: %w", h.addr, d.opts.jumps[i-1].addr, err)
		}
	}
	if err != nil {
		return err
	}
	// Channels of SSH know no deadlines, so what ends all is closed instead.
	stop := context.AfterFunc(ctx, func() { c.fail(fmt.Errorf("shake hands with %s: %w", h.addr, context.Cause(ctx))) })
	defer stop()
	var distrust error
	config := &ssh.ClientConfig{
		User: h.user, Auth: d.methods(keys), ClientVersion: "SSH-2.0-gridferry",
		HostKeyAlgorithms: d.hosts.algorithms(h.addr),
		HostKeyCallback: func(host string, remote net.Addr, key ssh.PublicKey) error {
			distrust = d.hosts.verify(host, remote, key)
			return distrust
		},
	}
	sc, chans, reqs, err := ssh.NewClientConn(raw, h.addr, config)
	switch {
	case err == nil:
	case distrust != nil:
		return distrust
	case ctx.Err() != nil:
		return c.failure()
	case bytes.Contains([]byte(err.Error()), []byte("unable to authenticate")): // the library has no type for it
		return &authError{user: h.user, err: errors.New("permission denied"), keys: d.shown(keys)}
	default:
		return fmt.Errorf("shake hands with %s: %w", h.addr, err)
	}
	c.hops = append(c.hops, ssh.NewClient(sc, chans, reqs))
	return nil
}

// methods are the ways to log in.
func (d *dialer) methods(keys []ssh.Signer) []ssh.AuthMethod {
	var m []ssh.AuthMethod
	if len(keys) > 0 {
		m = append(m, ssh.PublicKeys(keys...))
	}
	if d.id.Password != "" {
		m = append(m, ssh.Password(d.id.Password), ssh.KeyboardInteractive(
			func(_, _ string, questions []string, echos []bool) ([]string, error) {
				if len(questions) == 0 {
					return nil, nil
				}
				if len(questions) > 1 || echos[0] {
					return nil, errors.New("the server asks for more than a password")
				}
				return []string{d.id.Password}, nil
			}))
	}
	return m
}

func (d *dialer) shown(keys []ssh.Signer) []string {
	var names []string
	for _, k := range keys {
		names = append(names, show(k.PublicKey()))
	}
	if d.id.Password != "" {
		names = append(names, "a password")
	}
	return names
}

// keysError is of what we lack ourselves.
type keysError struct{ err error }

func (e *keysError) Error() string { return e.err.Error() }
func (e *keysError) Unwrap() error { return e.err }

// begin opens the SFTP session.
func (c *conn) begin(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, dialTime)
	defer cancel()
	stop := context.AfterFunc(ctx, func() { c.fail(fmt.Errorf("begin the session: %w", context.Cause(ctx))) })
	defer stop()
	ch, err := c.subsystem()
	if err != nil {
		return fmt.Errorf("begin the session: %w", err)
	}
	if c.greeting, err = greet(ch); err != nil {
		return fmt.Errorf("begin the session: %w", err)
	}
	c.sftp, err = sftp.NewClientPipe(
		struct{ io.Reader }{io.MultiReader(bytes.NewReader(c.raw), ch)}, &greeted{WriteCloser: ch},
		sftp.MaxPacketUnchecked(c.payload), sftp.MaxConcurrentRequestsPerFile(maxAhead), sftp.UseConcurrentWrites(true),
	)
	if err != nil {
		return fmt.Errorf("begin the session: %w", err)
	}
	c.server = string(c.client().ServerVersion())
	for range 2 { // the shorter one counts: the first may have waited for something
		begun := time.Now()
		if c.home, err = c.sftp.RealPath("."); err != nil {
			return fmt.Errorf("begin the session: %w", err)
		}
		if d := time.Since(begun); c.rtt == 0 || d < c.rtt {
			c.rtt = d
		}
	}
	return nil
}

// subsystem opens a session in which nothing has been said yet.
func (c *conn) subsystem() (ssh.Channel, error) {
	ch, requests, err := c.client().OpenChannel("session", nil)
	if err != nil {
		return nil, err
	}
	go ssh.DiscardRequests(requests)
	go func() { _, _ = io.Copy(io.Discard, ch.Stderr()) }() // what nobody reads would fill its window
	ok, err := ch.SendRequest("subsystem", true, ssh.Marshal(struct{ Name string }{Kind}))
	if err == nil && !ok {
		err = errNoSubsystem
	}
	if err != nil {
		_ = ch.Close() // nothing was said
		return nil, err
	}
	return ch, nil
}

// greeted swallows the library's greeting, which the server has had already.
type greeted struct {
	io.WriteCloser
	begun bool
}

func (g *greeted) Write(b []byte) (int, error) {
	if !g.begun {
		g.begun = true // the library sends it in one piece
		return len(b), nil
	}
	return g.WriteCloser.Write(b)
}

// heardConn notes when the server was last heard of, and reads more at a time
// than the library does.
type heardConn struct {
	net.Conn
	r *bufio.Reader
	c *conn
}

func newHeardConn(raw net.Conn, c *conn) net.Conn {
	return &heardConn{Conn: raw, r: bufio.NewReaderSize(raw, 128<<10), c: c}
}

func (h *heardConn) Read(b []byte) (int, error) {
	n, err := h.r.Read(b)
	if n > 0 {
		h.c.heard.Store(time.Now().UnixNano())
	}
	return n, err
}

// Write has a deadline of its own: while the kernel takes no bytes, nobody can
// ask the server whether it is there.
func (h *heardConn) Write(b []byte) (int, error) {
	if err := h.SetWriteDeadline(time.Now().Add(h.c.pool.driver.config.Stall)); err != nil {
		return 0, err
	}
	return h.Conn.Write(b)
}
