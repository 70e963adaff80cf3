package gridftp

import (
	"maps"
	"sync"
	"time"

	"github.com/gridferry/gridferry/endpoints"
	wire "github.com/gridferry/gridferry/wire/gridftp"
)

// A process may run for a year and meet servers without number, so the driver
// forgets those that nobody uses.
const (
	// unusedFor is how long it remembers what no storage uses any more, and
	// whatever a storage that was just closed has left under way. Idle sessions
	// come on top.
	unusedFor = 10 * time.Minute
	// outFor is how long a server is left out that nobody wants: whoever wants
	// it later finds out anew.
	outFor = 24 * time.Hour
	// forgetEvery bounds what forgetting costs.
	forgetEvery = time.Minute
)

// usage is who uses something that the driver knows. The driver's mu guards it.
type usage struct {
	storages int
	last     time.Time // when one came or went
}

func (u *usage) begin() {
	u.storages++
	u.last = time.Now()
}

func (u *usage) end() {
	u.storages--
	u.last = time.Now()
}

// unused says that nobody has used it since.
func (u *usage) unused(since time.Time) bool { return u.storages == 0 && u.last.Before(since) }

// endpoint is what the driver knows of an endpoint.
type endpoint struct {
	usage usage
	team  *team // of the record that was opened last
	gate  *gate // nil: it never had limits
}

// use returns what a storage of a record has in common with all others of the
// process. leave gives it back; more than once is as once.
func (d *Driver) use(scheme wire.Scheme, rec endpoints.Record) (t *team, g *gate, leave func()) {
	d.mu.Lock()
	defer d.mu.Unlock()
	name := nameOf(rec)
	e := d.named[name]
	if e == nil {
		e = &endpoint{}
		d.named[name] = e
	}
	e.team = d.team(scheme, rec.Servers)
	t, g = e.team, d.gate(e, rec)
	e.usage.begin()
	t.usage.begin()
	return t, g, sync.OnceFunc(func() {
		d.mu.Lock()
		defer d.mu.Unlock()
		e.usage.end()
		t.usage.end()
	})
}

// forget lets go of endpoints, teams and servers that have been unused for
// long. Kept is what limits count, and for a day that a server does not answer.
func (d *Driver) forget(now time.Time) {
	d.mu.Lock()
	if now.Sub(d.forgot) < forgetEvery {
		d.mu.Unlock()
		return
	}
	d.forgot = now
	since := now.Add(-unusedFor - d.config.Pool.IdleTime)
	maps.DeleteFunc(d.named, func(_ string, e *endpoint) bool { return e.usage.unused(since) && e.gate.settled() })
	maps.DeleteFunc(d.teams, func(_ string, t *team) bool { return t.usage.unused(since) })
	teams := map[*server][]*team{}
	for _, t := range d.teams {
		t.mu.Lock()
		for _, m := range t.members {
			teams[m.server] = append(teams[m.server], t)
		}
		t.mu.Unlock()
	}
	var left []string // out, and forgotten
	maps.DeleteFunc(d.servers, func(_ string, s *server) bool {
		// Of one that was asked for just now, a team may be about to make a member.
		if !s.asked.Before(since) {
			return false
		}
		unused, out := s.unused(teams[s], now)
		if unused && out {
			left = append(left, s.addr)
		}
		return unused
	})
	d.mu.Unlock()
	for _, addr := range left {
		d.logger().Info("a server that was left out is forgotten: nobody has wanted it for long", "server", addr, "time", outFor)
		if d.config.Changed != nil {
			d.config.Changed(endpoints.ServerChange{Server: addr, Time: now})
		}
	}
}

// unused takes over in which teams a server is now, besides those whose
// sessions it still has, and says whether nobody uses it or has to know of it;
// out is whether it is left out.
func (s *server) unused(teams []*team, now time.Time) (unused, out bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	clear(s.teams)
	for _, t := range teams {
		s.teams[t] = struct{}{}
	}
	for _, in := range s.sessions {
		s.teams[in.team] = struct{}{}
	}
	if len(s.teams)+len(s.attempts)+len(s.conns) > 0 || s.looking || s.watched {
		return false, false
	}
	out = !s.breaker.is(closed)
	return !out || now.Sub(s.wanted) >= outFor, out
}

// settled says that a gate has nothing open and nothing of the limiter, and
// asks it for nothing: another gate of the endpoint would count the same.
func (g *gate) settled() bool {
	if g == nil {
		return true
	}
	if !g.asking.TryLock() {
		return false
	}
	defer g.asking.Unlock()
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.inUse == 0 && g.open == 0 && g.held == 0
}
