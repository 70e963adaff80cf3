package gridftp

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gridferry/gridferry/endpoints"
	wire "github.com/gridferry/gridferry/wire/gridftp"
)

// What is taken for a server that hangs.
const (
	// slowLogin is how long a login may take before others are sent to another
	// server, if there is one.
	slowLogin = 2 * time.Second
	// silence is how long a session may be used without a sign of life before
	// its server is looked at. Of third-party transfers the side that sends may
	// rightly say nothing for as long as a file takes.
	silence = 15 * time.Second
	// lookTime is how long a greeting may take.
	lookTime = 10 * time.Second
	// lookAgain is how soon a server that greets is looked at again for the
	// silence of its sessions; twice as late each time, up to lookSeldom.
	lookAgain  = 15 * time.Second
	lookSeldom = 2 * time.Minute
	// wantedFor is how long a server that is left out is looked at after somebody
	// has wanted one of its endpoints.
	wantedFor = 10 * time.Minute
	// fullFor is how long a server that has as many sessions as it allows is
	// asked last.
	fullFor = 5 * time.Second
)

// errLeftOut ends logins to a server that another login has found hanging.
var errLeftOut = errors.New("the server has been left out meanwhile")

// A server is what this process knows of one server, whatever endpoints it is
// in: all sessions of the process learn from each other.
type server struct {
	driver *Driver
	scheme wire.Scheme
	addr   string    // host:port
	asked  time.Time // for it, last; the driver's mu guards it

	mu       sync.Mutex
	breaker  breaker
	changed  chan struct{} // closed when the breaker changes, and made anew
	full     time.Time     // asked last until then
	doubted  bool          // another worker has found it down, and it is being looked at
	heard    time.Time     // Since of the last that another worker said of it
	attempts map[*attempt]struct{}
	sessions map[*wire.Client]*session // in use
	looking  bool
	conns    map[*wire.Client]*controlConn // of sessions in use and idle
	wanted   time.Time
	watched  bool // somebody looks whether its sessions fall silent
	drain    *endpoints.Drain
	teams    map[*team]struct{}
}

// An attempt is a login under way.
type attempt struct {
	begun time.Time
	trial bool
	end   context.CancelCauseFunc
}

// A session is one in use.
type session struct {
	conn *controlConn // nil when the dialer was not ours: ssh
	team *team
}

// controlConn is a control connection that notes when it was last heard from.
type controlConn struct {
	net.Conn
	server *server
	heard  atomic.Int64 // Unix time in nanoseconds
	client *wire.Client // set under the server's lock
	done   func()       // called once, when it is closed
	once   sync.Once
}

func (s *server) newConn(conn net.Conn, done func()) *controlConn {
	c := &controlConn{Conn: conn, server: s, done: done}
	c.alive()
	return c
}

// alive notes a sign of life.
func (c *controlConn) alive() { c.heard.Store(time.Now().UnixNano()) }

func (c *controlConn) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	if n > 0 {
		c.alive()
	}
	return n, err
}

func (c *controlConn) Close() error {
	err := c.Conn.Close()
	c.once.Do(func() {
		c.server.mu.Lock()
		delete(c.server.conns, c.client)
		c.server.mu.Unlock()
		c.done()
	})
	return err
}

// server returns the one server of an address.
func (d *Driver) server(scheme wire.Scheme, addr string) *server {
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		host, port = addr, scheme.DefaultPort()
	}
	addr = net.JoinHostPort(host, port)
	key := string(scheme) + "://" + addr
	d.mu.Lock()
	defer d.mu.Unlock()
	s := d.servers[key]
	if s == nil {
		s = &server{
			driver: d, scheme: scheme, addr: addr, changed: make(chan struct{}),
			attempts: map[*attempt]struct{}{}, sessions: map[*wire.Client]*session{}, conns: map[*wire.Client]*controlConn{}, teams: map[*team]struct{}{},
			drain: d.drainOf(addr),
		}
		d.servers[key] = s
	}
	s.asked = time.Now()
	return s
}

// begin notes a login. The caller holds mu.
func (s *server) begin(trial bool) *attempt {
	a := &attempt{begun: time.Now(), trial: trial, end: func(error) {}}
	s.attempts[a] = struct{}{}
	return a
}

// end is how a login went.
type end int

const (
	answered  end = iota // whatever it said
	failed               // it did not, or broke off
	wasFull              // it has as many sessions as it allows
	showedNot            // nobody waited for it
)

// ended judges a server by a login.
func (s *server) ended(a *attempt, how end, why error) {
	s.mu.Lock()
	delete(s.attempts, a)
	var tell *endpoints.ServerChange
	switch {
	case how == showedNot:
		if a.trial {
			s.breaker.giveUp()
			s.wake()
		}
	case how != failed:
		if how == wasFull {
			s.full = time.Now().Add(fullFor)
		}
		s.doubted = false
		if s.breaker.succeed() {
			tell = &endpoints.ServerChange{Server: s.addr, Time: time.Now()}
			s.wake()
		}
	case s.breaker.is(closed) || a.trial:
		tell = s.open(why.Error())
	}
	s.mu.Unlock()
	s.driver.told(s, tell)
}

// open leaves the server out. The caller holds mu, and tells of what is
// returned when it does not any more.
func (s *server) open(why string) *endpoints.ServerChange {
	now := time.Now()
	opened := s.breaker.fail(why, now)
	s.doubted = false
	s.wake()
	if now.Sub(s.wanted) < wantedFor {
		time.AfterFunc(s.breaker.until.Sub(now), s.look)
	}
	if !opened {
		return nil
	}
	// Whoever is at the same now would only wait for as long.
	for a := range s.attempts {
		a.end(errLeftOut)
	}
	return &endpoints.ServerChange{Server: s.addr, Out: true, Why: why, Time: now}
}

// wake lets those look again who wait for another state. The caller holds mu.
func (s *server) wake() {
	close(s.changed)
	s.changed = make(chan struct{})
}

// suspect has the server looked at, unless somebody does already.
func (s *server) suspect() { go s.look() }

// look sees whether the server greets, which decides about a breaker that is
// open, and opens one that is not when nothing comes.
func (s *server) look() {
	if s.driver.ended() { // whose lock comes before the server's
		return
	}
	s.mu.Lock()
	if s.looking || s.breaker.is(halfOpen) || s.breaker.is(open) && time.Now().Before(s.breaker.until) {
		s.mu.Unlock()
		return
	}
	s.looking = true
	s.mu.Unlock()

	err := s.greet()

	s.mu.Lock()
	s.looking = false
	var tell *endpoints.ServerChange
	switch {
	case err != nil && !s.breaker.is(halfOpen):
		tell = s.open(err.Error())
	case err == nil && s.breaker.is(open):
		s.breaker.greeted()
		s.wake()
	}
	s.doubted = false
	s.mu.Unlock()
	s.driver.told(s, tell)
}

// greet connects and waits for the first line (RFC 959, 5.4), whatever it is.
// What runs over ssh greets nobody before a login.
func (s *server) greet() error {
	if s.scheme == wire.SSHFTP {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), lookTime)
	defer cancel()
	conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", s.addr)
	if err != nil {
		return err
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(lookTime)); err != nil {
		return err
	}
	if _, err := bufio.NewReaderSize(conn, 512).ReadByte(); err != nil {
		return fmt.Errorf("it does not greet: %w", err)
	}
	return nil
}

// attach notes a session in use; fresh is the connection of a new one.
func (s *server) attach(c *wire.Client, fresh *controlConn, t *team) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if fresh != nil && c.Err() == nil {
		fresh.client, s.conns[c] = c, fresh
	}
	conn := s.conns[c]
	if conn != nil {
		conn.alive() // it is from now on that it should be heard
	}
	s.sessions[c] = &session{conn: conn, team: t}
	if !s.watched && conn != nil {
		s.watched = true
		go s.watch()
	}
}

// detach notes that a session is not in use any more.
func (s *server) detach(c *wire.Client) (drained bool) {
	err := c.Err()
	s.mu.Lock()
	delete(s.sessions, c)
	drained = s.drain != nil
	s.mu.Unlock()
	if err != nil && !errors.Is(err, wire.ErrClosed) && !errors.Is(err, wire.ErrExpired) {
		s.suspect() // the session was dropped
	}
	return drained
}

// alive notes that a session moves bytes, which are not on its control
// connection.
func (s *server) alive(c *wire.Client) {
	s.mu.Lock()
	conn := s.conns[c]
	s.mu.Unlock()
	if conn != nil {
		conn.alive()
	}
}

// watch looks at the server when sessions in use fall silent, and ends those
// of a server that does not greet where another server can do their work. It
// ends with the last session.
func (s *server) watch() {
	tick := time.NewTicker(silence / 3)
	defer tick.Stop()
	var next time.Time
	wait := lookAgain
	for range tick.C {
		s.mu.Lock()
		if len(s.sessions) == 0 {
			s.watched = false
			s.mu.Unlock()
			return
		}
		quiet := s.silent(time.Now())
		s.mu.Unlock()
		switch {
		case len(quiet) == 0:
			next, wait = time.Time{}, lookAgain
			continue
		case time.Now().Before(next):
			continue
		}
		s.look()
		s.mu.Lock()
		hangs := s.breaker.is(open)
		quiet = s.silent(time.Now())
		s.mu.Unlock()
		if !hangs {
			next, wait = time.Now().Add(wait), min(2*wait, lookSeldom)
			continue
		}
		for c, in := range quiet {
			if in.team.other(s) {
				c.Interrupt()
			}
		}
	}
}

// silent returns the sessions in use that were not heard for a while. The
// caller holds mu.
func (s *server) silent(now time.Time) map[*wire.Client]*session {
	quiet := map[*wire.Client]*session{}
	for c, in := range s.sessions {
		if in.conn != nil && now.UnixNano()-in.conn.heard.Load() > int64(silence) {
			quiet[c] = in
		}
	}
	return quiet
}

// hear notes what another worker has found. Whether it is so here, too, a look
// shows: networks differ, and so do firewalls.
func (s *server) hear(since time.Time) {
	s.mu.Lock()
	fresh := !s.heard.Equal(since)
	s.heard = since
	if fresh && s.breaker.is(closed) {
		s.doubted = true
	} else {
		fresh = false
	}
	s.mu.Unlock()
	if fresh {
		s.suspect()
	}
}
