package gridftp

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/gridferry/gridferry/endpoints"
	"github.com/gridferry/gridferry/fault"
	wire "github.com/gridferry/gridferry/wire/gridftp"
)

// Limiter is how all workers together keep to the limits of endpoints.
type Limiter interface {
	// Hold makes n the number of sessions that this process may have open at an
	// endpoint, of limit in all; 0 gives all back. Busy when others have too
	// many: what was held before stays. lost is called, once, when what is held
	// has become somebody else's; it must not wait.
	Hold(ctx context.Context, endpoint string, n, limit int, lost func()) error
	endpoints.Rations
}

// UseLimiter sets who is asked for sessions and logins at endpoints with such
// limits. It is called before the first Open; without one there are no limits.
func (d *Driver) UseLimiter(l Limiter) { d.limiter = l }

const (
	// turnTime is how long a session may be waited for, and a login.
	turnTime = 20 * time.Second
	// askAgain is about how soon another worker's sessions are asked for again.
	askAgain = 500 * time.Millisecond
	// idleHeld is how long an idle session at a limited endpoint is kept from
	// other workers.
	idleHeld = 3 * time.Second
	// closing is how long a server may take to note that a connection has ended.
	closing = 200 * time.Millisecond
)

// gate keeps the sessions at an endpoint to its limits. A nil gate lets
// everybody through.
type gate struct {
	driver   *Driver
	team     *team
	endpoint string

	// pair lets one at a time take two sessions, so that no two wait for each
	// other's second.
	pair chan struct{}

	asking sync.Mutex // of the limiter, one at a time

	mu      sync.Mutex
	limits  endpoints.Limits
	inUse   int // sessions handed out, or about to be
	open    int // connections, those of idle sessions included
	held    int // of the limiter
	used    time.Time
	changed chan struct{} // closed at each change, and made anew
	clients map[*wire.Client]struct{}
}

// gate returns the one gate of an endpoint; nil when it has no limits. The
// caller holds mu.
func (d *Driver) gate(e *endpoint, rec endpoints.Record) *gate {
	l := rec.Limits
	if d.limiter == nil || l.Sessions <= 0 && l.Logins.N <= 0 {
		return nil
	}
	g := e.gate
	if g == nil {
		g = &gate{driver: d, endpoint: nameOf(rec), pair: make(chan struct{}, 1), changed: make(chan struct{}), clients: map[*wire.Client]struct{}{}}
		e.gate = g
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	g.limits, g.team = l, e.team
	return g
}

// wake tells of a change. The caller holds mu.
func (g *gate) wake() {
	close(g.changed)
	g.changed = make(chan struct{})
}

// enter takes a place among the sessions in use, and waits for one.
func (g *gate) enter(ctx context.Context) error {
	if g == nil {
		return nil
	}
	waited := time.NewTimer(turnTime)
	defer waited.Stop()
	for {
		g.mu.Lock()
		limit, changed := g.limits.Sessions, g.changed
		if limit <= 0 || g.inUse < g.held {
			g.inUse++
			g.used = time.Now()
			g.mu.Unlock()
			return nil
		}
		held := g.held
		g.mu.Unlock()
		var why error
		if held < limit {
			if why = g.hold(ctx, func() int { return max(g.held, g.inUse+1) }); why == nil {
				continue
			}
			if !fault.Is(why, fault.Busy) {
				return why
			}
		}
		select {
		case <-changed:
		case <-time.After(askAgain + rand.N(askAgain)):
		case <-ctx.Done():
			return fault.Wrap(fault.KindOf(ctx.Err()), "log in to", g.endpoint, ctx.Err())
		case <-waited.C:
			return g.busy("all of the %d sessions that it allows are in use", limit)
		}
	}
}

// leave gives a place back.
func (g *gate) leave() {
	if g == nil {
		return
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	g.inUse--
	g.used = time.Now()
	g.wake()
	if g.held > 0 {
		time.AfterFunc(idleHeld, g.shrink)
	}
}

// hold asks the limiter for as many sessions as want says, which is called
// with mu held.
func (g *gate) hold(ctx context.Context, want func() int) error {
	g.asking.Lock()
	defer g.asking.Unlock()
	g.mu.Lock()
	n, held, limit := min(want(), g.limits.Sessions), g.held, g.limits.Sessions
	g.mu.Unlock()
	if n == held {
		return nil
	}
	if n < held {
		// Nobody may take what others are about to get.
		g.mu.Lock()
		g.held = n
		g.mu.Unlock()
	}
	err := g.driver.limiter.Hold(ctx, g.endpoint, n, limit, g.lost)
	g.mu.Lock()
	defer g.mu.Unlock()
	if err == nil {
		g.held = n
		g.wake()
	}
	return err
}

// shrink gives back what has not been used for a while.
func (g *gate) shrink() {
	g.mu.Lock()
	idle := time.Since(g.used) >= idleHeld && g.held > g.inUse
	g.mu.Unlock()
	if !idle || g.driver.ended() {
		return
	}
	g.evict()
	ctx, cancel := context.WithTimeout(context.Background(), turnTime)
	defer cancel()
	if err := g.hold(ctx, func() int { return max(g.inUse, g.open) }); err != nil {
		g.driver.logger().Warn("sessions could not be given back; they will expire", "endpoint", g.endpoint, "error", err)
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.held > g.inUse { // some connection has not ended yet
		time.AfterFunc(idleHeld, g.shrink)
	}
}

// evict ends idle sessions, so that others can be opened.
func (g *gate) evict() {
	g.mu.Lock()
	t := g.team
	g.mu.Unlock()
	t.closeIdle()
}

// lost ends all sessions: they are others' to have now.
func (g *gate) lost() {
	g.driver.logger().Warn("the sessions at a limited endpoint are somebody else's now", "endpoint", g.endpoint)
	g.mu.Lock()
	g.held = 0
	for c := range g.clients {
		c.Interrupt()
	}
	g.mu.Unlock()
	go g.evict()
}

// connect takes a place for a connection, and waits until those of idle
// sessions have made room. done is called when the connection has ended.
func (g *gate) connect(ctx context.Context) (done func(), err error) {
	if g == nil {
		return func() {}, nil
	}
	for {
		g.mu.Lock()
		changed := g.changed
		if g.limits.Sessions <= 0 || g.open < g.held {
			g.open++
			g.mu.Unlock()
			return func() { time.AfterFunc(closing, g.disconnected) }, nil
		}
		g.mu.Unlock()
		go g.evict()
		select {
		case <-changed:
		case <-time.After(askAgain):
		case <-ctx.Done():
			return nil, &turnError{g.busy("all of the sessions that it allows are in use")}
		}
	}
}

func (g *gate) disconnected() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.open--
	g.wake()
}

// busy is the error of who has not got his turn.
func (g *gate) busy(format string, args ...any) error {
	return fault.Wrap(fault.Busy, "log in to", g.endpoint, &endpoints.LimitError{Text: fmt.Sprintf(format, args...)})
}

// turnError is an error of the gate, where one of the server is expected.
type turnError struct{ error }

func (e *turnError) Unwrap() error { return e.error }

// errLoginUnpaid asks for a login to be drawn first.
var errLoginUnpaid = errors.New("a login has to be drawn first")

// rationed says whether logins are.
func (g *gate) rationed() bool {
	if g == nil {
		return false
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.limits.Logins.N > 0
}

// login draws a login, and waits for it.
func (g *gate) login(ctx context.Context) error {
	g.mu.Lock()
	d, limited := g.limits.DrawLogin(g.endpoint)
	rate, _ := g.limits.Logins.MarshalText()
	g.mu.Unlock()
	if !limited {
		return nil
	}
	d.Patience = turnTime
	wait, err := g.driver.limiter.Take(ctx, d)
	if fault.Is(err, fault.Busy) {
		err = g.busy("it allows %s logins, and all for the next %s are taken", rate, d.Patience)
	}
	if err != nil || wait <= 0 {
		return err
	}
	select {
	case <-time.After(wait):
		return nil
	case <-ctx.Done():
		return fault.Wrap(fault.KindOf(ctx.Err()), "log in to", g.endpoint, ctx.Err())
	}
}

// inPairs lets one at a time take two sessions of one endpoint.
func (g *gate) inPairs(ctx context.Context, other *gate) (done func(), err error) {
	if g == nil || g != other {
		return func() {}, nil
	}
	g.mu.Lock()
	limit := g.limits.Sessions
	g.mu.Unlock()
	if limit == 1 {
		return nil, fault.New(fault.Invalid, "send within", g.endpoint, "that takes two sessions, and it allows one")
	}
	select {
	case g.pair <- struct{}{}:
		return func() { <-g.pair }, nil
	case <-ctx.Done():
		return nil, fault.Wrap(fault.KindOf(ctx.Err()), "send within", g.endpoint, ctx.Err())
	}
}

// has notes a session in use, for lost.
func (g *gate) has(c *wire.Client, inUse bool) {
	if g == nil {
		return
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if inUse {
		g.clients[c] = struct{}{}
	} else {
		delete(g.clients, c)
	}
}
