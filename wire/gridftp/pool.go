package gridftp

import (
	"context"
	"crypto/sha256"
	"errors"
	"sync"
	"time"

	"github.com/gridferry/gridferry/wire/gsi"
)

// PoolConfig bounds a Pool; zero fields have the defaults.
type PoolConfig struct {
	Idle     int           // idle sessions kept for one key: 8
	IdleTime time.Duration // how long an idle session is kept: 60 s
	// Fresh is how long after its last use a session is handed out without
	// asking the server whether it is still there: 5 s.
	Fresh time.Duration
}

// Times that protect a pool's users.
const (
	healthTimeout  = 5 * time.Second // for a NOOP to an idle session
	credentialSlip = time.Minute     // a session whose credential ends this soon is not handed out
)

// A Pool keeps sessions for their next use. A session serves the owner it was
// made for, with the credential and the data channel security it was made
// with, and nobody else; none outlives its credential. A Pool may be used by
// many goroutines; each session it hands out is one goroutine's until it is
// put back.
type Pool struct {
	config PoolConfig

	mu       sync.Mutex
	sessions map[*Client]*pooled // all of them, idle or not
	idle     map[poolKey][]*pooled
	closed   bool
}

// poolKey is what two uses of a session must have in common.
type poolKey struct {
	scheme         Scheme
	addr           string
	host, identity string
	owner          string
	user           string
	password       [sha256.Size]byte
	credential     string // fingerprint
	trust          *gsi.Trust
	auth           DataAuth
	prot           gsi.Protection
	delegation     Delegation
	minTLS, maxTLS gsi.Version
}

func keyOf(owner string, c Config) poolKey {
	k := poolKey{
		scheme: c.Scheme, addr: c.Addr, host: c.Host, identity: c.Identity, owner: owner, user: c.User,
		password: sha256.Sum256([]byte(c.Password)), trust: c.Trust, auth: c.DataAuth, prot: c.Prot,
		delegation: c.Delegation, minTLS: c.MinTLS, maxTLS: c.MaxTLS,
	}
	if c.Credential != nil {
		k.credential = c.Credential.Fingerprint()
	}
	return k
}

// A pooled is a session of a pool.
type pooled struct {
	client *Client
	key    poolKey
	since  time.Time   // when it was put back
	aging  *time.Timer // ends it when it has been idle for too long; nil while in use
	expiry *time.Timer // drops it with its credential; nil without one
}

// NewPool returns an empty pool.
func NewPool(config PoolConfig) *Pool {
	if config.Idle <= 0 {
		config.Idle = 8
	}
	if config.IdleTime <= 0 {
		config.IdleTime = time.Minute
	}
	if config.Fresh <= 0 {
		config.Fresh = 5 * time.Second
	}
	return &Pool{config: config, sessions: make(map[*Client]*pooled), idle: make(map[poolKey][]*pooled)}
}

// ErrPoolClosed says that a pool was closed.
var ErrPoolClosed = errors.New("gridftp: session pool closed")

// Get returns a session for owner: an idle one, or a new one. The caller gives
// it back with Put, whatever became of it.
func (p *Pool) Get(ctx context.Context, owner string, config Config) (*Client, error) {
	config, err := config.normalize()
	if err != nil {
		return nil, err
	}
	key, beside := keyOf(owner, config), config.Beside
	config.Beside = nil
	for {
		s, err := p.take(key, beside)
		if err != nil {
			return nil, err
		}
		if s == nil {
			return p.dial(ctx, key, config)
		}
		if time.Since(s.since) <= p.config.Fresh {
			return s.client, nil
		}
		health, cancel := context.WithTimeout(ctx, healthTimeout)
		err = s.client.Noop(health)
		cancel()
		if err == nil {
			return s.client, nil
		}
		p.forget(s)
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
	}
}

// take removes the idle session of key that has data connections with beside,
// else the one that was used last; nil is none.
func (p *Pool) take(key poolKey, beside *Client) (*pooled, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return nil, ErrPoolClosed
	}
	list := p.idle[key]
	if len(list) == 0 {
		return nil, nil
	}
	s := list[len(list)-1]
	if beside != nil && beside.told.pairing != nil {
		for _, other := range list {
			if other.client.told.pairing == beside.told.pairing {
				s = other
			}
		}
	}
	p.unlist(s)
	if end := s.client.Expires(); !end.IsZero() && time.Until(end) < credentialSlip {
		go p.forget(s)
		return nil, nil // the new session says why it cannot be had
	}
	return s, nil
}

// unlist takes s off the idle list; p.mu is held.
func (p *Pool) unlist(s *pooled) {
	list := p.idle[s.key]
	for i, other := range list {
		if other != s {
			continue
		}
		s.aging.Stop()
		list = append(list[:i], list[i+1:]...)
		if len(list) == 0 {
			delete(p.idle, s.key)
		} else {
			p.idle[s.key] = list
		}
		return
	}
}

func (p *Pool) dial(ctx context.Context, key poolKey, config Config) (*Client, error) {
	client, err := Dial(ctx, config)
	if err != nil {
		return nil, err
	}
	s := &pooled{client: client, key: key}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		go s.end()
		return nil, ErrPoolClosed
	}
	p.sessions[client] = s
	if end := client.Expires(); !end.IsZero() {
		s.expiry = time.AfterFunc(time.Until(end), func() { p.dropIdle(s, 0) })
	}
	return client, nil
}

// Put gives a session back, once. One that is no longer usable is closed; so
// is one for which there is no room.
func (p *Pool) Put(c *Client) {
	p.mu.Lock()
	s := p.sessions[c]
	if s == nil {
		p.mu.Unlock()
		_ = c.Close() // it was forgotten meanwhile: CloseOwner, Close
		return
	}
	if c.Err() != nil || p.closed || len(p.idle[s.key]) >= p.config.Idle {
		p.mu.Unlock()
		p.forget(s)
		return
	}
	s.since = time.Now()
	s.aging = time.AfterFunc(p.config.IdleTime, func() { p.dropIdle(s, p.config.IdleTime) })
	p.idle[s.key] = append(p.idle[s.key], s)
	p.mu.Unlock()
}

// dropIdle ends a session that nobody has used for so long. One that is in use
// is left to its user.
func (p *Pool) dropIdle(s *pooled, after time.Duration) {
	p.mu.Lock()
	idle := false
	for _, other := range p.idle[s.key] {
		idle = idle || other == s && time.Since(s.since) >= after
	}
	if idle {
		p.unlist(s)
	}
	p.mu.Unlock()
	if idle {
		p.forget(s)
	}
}

// forget ends a session that is on no idle list.
func (p *Pool) forget(s *pooled) {
	p.mu.Lock()
	delete(p.sessions, s.client)
	p.mu.Unlock()
	s.end()
}

// end closes the session, in good order if it is in one.
func (s *pooled) end() {
	if s.expiry != nil {
		s.expiry.Stop()
	}
	ctx, cancel := context.WithTimeout(context.Background(), healthTimeout)
	defer cancel()
	_ = s.client.Quit(ctx) // a courtesy
	_ = s.client.Close()
}

// CloseOwner ends the owner's sessions: idle ones, and those in use, whose
// users see an error.
func (p *Pool) CloseOwner(owner string) {
	p.closeIf(func(k poolKey) bool { return k.owner == owner })
}

// CloseCredential ends the sessions made with the credential of that
// fingerprint, as CloseOwner does.
func (p *Pool) CloseCredential(fingerprint string) {
	p.closeIf(func(k poolKey) bool { return k.credential != "" && k.credential == fingerprint })
}

// Close ends all sessions. The pool hands out no more.
func (p *Pool) Close() {
	p.mu.Lock()
	p.closed = true
	p.mu.Unlock()
	p.closeIf(func(poolKey) bool { return true })
}

func (p *Pool) closeIf(match func(poolKey) bool) {
	p.mu.Lock()
	var idle []*pooled
	for client, s := range p.sessions {
		if !match(s.key) {
			continue
		}
		delete(p.sessions, client)
		listed := len(p.idle[s.key])
		p.unlist(s)
		if len(p.idle[s.key]) < listed {
			idle = append(idle, s)
			continue
		}
		// In use: its user closes it, by Put.
		client.Interrupt()
		if s.expiry != nil {
			s.expiry.Stop()
		}
	}
	p.mu.Unlock()
	var ending sync.WaitGroup
	for _, s := range idle {
		ending.Go(s.end)
	}
	ending.Wait()
}

// Len returns how many sessions there are, and how many of them are idle.
func (p *Pool) Len() (all, idle int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, list := range p.idle {
		idle += len(list)
	}
	return len(p.sessions), idle
}
