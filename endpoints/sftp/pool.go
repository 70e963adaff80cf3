package sftp

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"
)

const (
	// idleTime is how long a connection is kept that nobody uses.
	idleTime = time.Minute
	// growAgain is how long no further connection is tried after one that
	// failed: others do the work.
	growAgain = 10 * time.Second
)

// poolKey says who may share connections: one owner, with one identity, to one
// place in one way.
type poolKey struct{ owner, fingerprint, place string }

// pool is the connections of one owner to one place.
type pool struct {
	driver *Driver
	key    poolKey
	dialer *dialer
	most   int

	storages int // open ones; under the driver's lock

	// login lets one at a time log in: sshd drops some when many wait.
	login chan struct{}

	mu     sync.Mutex
	conns  []*conn
	closed bool
	grown  bool // a further connection is being made
	notYet time.Time
	reaper *time.Timer
}

// pool returns the connections of a storage's place, which the storage leaves at
// its end.
func (d *Driver) pool(s *Storage, id Identity) *pool {
	o := s.opts
	key := poolKey{id.Owner, id.Fingerprint, fmt.Sprint(o.servers, o.user, o.jumps, o.knownHosts, o.connections)}
	d.mu.Lock()
	defer d.mu.Unlock()
	p := d.pools[key]
	if p == nil {
		p = &pool{driver: d, key: key, dialer: &dialer{opts: o}, most: o.connections, login: make(chan struct{}, 1)}
		d.pools[key] = p
	}
	p.storages++
	p.mu.Lock()
	p.dialer.id = id // keys may lie elsewhere by now
	p.mu.Unlock()
	return p
}

func (d *Driver) leave(p *pool) {
	d.mu.Lock()
	p.storages--
	d.mu.Unlock()
	d.forget(p)
}

// forget lets go of a pool that nobody uses and that has no connections: keys
// are renewed, and owners come and go.
func (d *Driver) forget(p *pool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.storages == 0 && len(p.conns) == 0 && !p.grown && d.pools[p.key] == p {
		delete(d.pools, p.key)
	}
}

// get lends the connection with the least to do, and makes one when there is
// none. Where all have something to do, a further one is made for those who
// come later.
func (p *pool) get(ctx context.Context) (*conn, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if c, ok := p.take(); ok {
		return c, nil
	}
	select {
	case p.login <- struct{}{}:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	defer func() { <-p.login }()
	if c, ok := p.take(); ok {
		return c, nil
	}
	var err error
	for range p.dialer.opts.servers {
		var c *conn
		if c, err = p.dial(ctx); err == nil {
			return c, nil
		}
		if refusal(err) || ctx.Err() != nil {
			break
		}
	}
	return nil, err
}

// take lends what is there.
func (p *pool) take() (*conn, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.conns = slices.DeleteFunc(p.conns, func(c *conn) bool { return c.failure() != nil })
	if len(p.conns) == 0 {
		return nil, false
	}
	c := slices.MinFunc(p.conns, func(a, b *conn) int { return a.load - b.load })
	if c.load > 0 && len(p.conns) < p.most && !p.grown && !p.closed && time.Now().After(p.notYet) {
		p.grown = true
		go p.grow()
	}
	c.load++
	return c, true
}

// grow makes a further connection. That it fails is no reason for those who
// have one to fail.
func (p *pool) grow() {
	p.login <- struct{}{}
	defer func() { <-p.login }()
	c, err := p.dial(context.Background())
	p.mu.Lock()
	p.grown = false
	if err != nil {
		p.notYet = time.Now().Add(growAgain)
	}
	p.mu.Unlock()
	if err == nil {
		c.release()
	}
}

// dial makes a connection and lends it. The caller has the login.
func (p *pool) dial(ctx context.Context) (*conn, error) {
	p.mu.Lock()
	d := &dialer{opts: p.dialer.opts, id: p.dialer.id}
	d.next.Store(p.dialer.next.Add(1) - 1)
	p.mu.Unlock()
	c := newConn(p)
	if err := d.dial(ctx, c); err != nil {
		return nil, err
	}
	go c.watch()
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		c.fail(errEnded)
		return nil, errEnded
	}
	c.load = 1
	p.conns = append(p.conns, c)
	return c, nil
}

func (p *pool) release(c *conn) {
	p.mu.Lock()
	defer p.mu.Unlock()
	c.load--
	if p.reaper == nil {
		p.reaper = time.AfterFunc(idleTime, p.reap)
	} else {
		p.reaper.Reset(idleTime)
	}
}

// reap ends what nobody uses. It runs when nothing was given back for a while.
func (p *pool) reap() {
	p.mu.Lock()
	var idle []*conn
	p.conns = slices.DeleteFunc(p.conns, func(c *conn) bool {
		if c.load == 0 {
			idle = append(idle, c)
		}
		return c.load == 0
	})
	p.mu.Unlock()
	for _, c := range idle {
		c.fail(errIdle)
	}
	p.driver.forget(p)
}

func (p *pool) close() {
	p.mu.Lock()
	conns := p.conns
	p.conns, p.closed = nil, true
	if p.reaper != nil {
		p.reaper.Stop()
	}
	p.mu.Unlock()
	for _, c := range conns {
		c.fail(errEnded)
	}
}
