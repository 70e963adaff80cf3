package gridftp

import (
	"cmp"
	"context"
	"errors"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/gridferry/gridferry/endpoints"
	"github.com/gridferry/gridferry/fault"
	wire "github.com/gridferry/gridferry/wire/gridftp"
)

// namesKept is how long the addresses of a host name are believed.
const namesKept = 30 * time.Second

// team is the servers of an endpoint, over which sessions are spread. A host
// name with several addresses is several servers.
type team struct {
	driver *Driver
	scheme wire.Scheme
	names  []string // as the record has them
	usage  usage

	mu       sync.Mutex
	members  []member
	resolved time.Time
	next     int       // whose turn it is among equals
	evened   time.Time // when a session was last sent elsewhere

	watchers map[*func(endpoints.ServerChange)]struct{}
}

// member is a server in a team.
type member struct {
	*server
	host string // whose certificate it must show, where the address does not say; else empty
}

// team returns the one team of these servers. The caller holds mu.
func (d *Driver) team(scheme wire.Scheme, servers []string) *team {
	key := string(scheme) + " " + strings.Join(servers, " ")
	t := d.teams[key]
	if t == nil {
		t = &team{driver: d, scheme: scheme, names: servers, watchers: map[*func(endpoints.ServerChange)]struct{}{}}
		d.teams[key] = t
	}
	return t
}

// servers returns the members as names resolve now.
func (t *team) servers(ctx context.Context) []member {
	t.mu.Lock()
	if now := time.Now(); t.members != nil && now.Sub(t.resolved) < namesKept {
		defer t.mu.Unlock()
		return t.members
	}
	t.mu.Unlock()
	var members []member
	for _, name := range t.names {
		host, port, err := net.SplitHostPort(name)
		if err != nil {
			host, port = name, t.scheme.DefaultPort()
		}
		several := addresses(ctx, t.scheme, strings.Trim(host, "[]"))
		for _, a := range several {
			members = append(members, member{t.driver.server(t.scheme, net.JoinHostPort(a, port)), host})
		}
		if len(several) == 0 {
			members = append(members, member{t.driver.server(t.scheme, name), ""})
		}
	}
	for _, m := range members {
		m.server.mu.Lock()
		m.teams[t] = struct{}{}
		m.server.mu.Unlock()
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.members, t.resolved = members, time.Now()
	return members
}

// addresses are those of a name that has several of one family, and none
// otherwise: that a host has an address of each does not make it two.
func addresses(ctx context.Context, scheme wire.Scheme, host string) []string {
	if scheme == wire.SSHFTP {
		return nil // ssh looks names up itself
	}
	if _, err := netip.ParseAddr(host); err == nil {
		return nil
	}
	found, err := net.DefaultResolver.LookupNetIP(ctx, "ip", host)
	if err != nil {
		return nil // whoever connects is told
	}
	var four, six []string
	for _, a := range found {
		if a = a.Unmap(); a.Is4() {
			four = append(four, a.String())
		} else {
			six = append(six, a.String())
		}
	}
	for _, family := range [][]string{four, six} {
		slices.Sort(family)
		if family = slices.Compact(family); len(family) > 1 {
			return family
		}
	}
	return nil
}

// pick chooses the server for a login, which it notes as begun: one that has
// its trial to come, else the one that is well and has the least to do. Where
// all are left out, it has them looked at, and waits for that. It fails with
// what was wrong with the last of those not yet tried; nil is that there is
// none of these.
func (t *team) pick(ctx context.Context, name string, tried map[*server]bool) (member, *attempt, error) {
	for {
		left, drain := t.left(ctx, tried)
		if len(left) == 0 {
			if drain != nil && len(tried) == 0 {
				return member{}, nil, fault.Wrap(fault.Busy, "use", name, &endpoints.DrainedError{Drain: *drain})
			}
			return member{}, nil, nil
		}
		if m, a := t.choose(left); a != nil {
			return m, a, nil
		}
		if err := t.await(ctx, left); err != nil {
			return member{}, nil, err
		}
	}
}

// left are the members that may be tried; where there are none, drain says so
// of one.
func (t *team) left(ctx context.Context, tried map[*server]bool) (left []member, drain *endpoints.Drain) {
	members, now := t.servers(ctx), time.Now()
	for _, m := range members {
		m.server.mu.Lock()
		out := m.drain
		m.wanted = now
		stale := m.breaker.is(open) && now.Sub(m.breaker.until) > longRest
		m.server.mu.Unlock()
		if stale {
			m.suspect() // looks had ceased while nobody wanted it
		}
		switch {
		case out != nil:
			drain = out
		case !tried[m.server]:
			left = append(left, m)
		}
	}
	return left, drain
}

// choose begins a login; the attempt is nil when all are left out, or on trial.
func (t *team) choose(left []member) (member, *attempt) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.next++
	now := time.Now()
	type rank struct {
		m    member
		worn int // the higher, the later
		load int
		turn int
	}
	var well []rank
	for i, m := range left {
		m.server.mu.Lock()
		r := rank{m: m, load: len(m.sessions) + len(m.attempts), turn: (i + t.next) % len(left)}
		switch {
		case m.breaker.try():
			a := m.begin(true)
			m.server.mu.Unlock()
			return m, a
		case !m.breaker.is(closed):
			m.server.mu.Unlock()
			continue
		case m.doubted || m.slow(now):
			r.worn = 2
		case now.Before(m.full):
			r.worn = 1
		}
		m.server.mu.Unlock()
		well = append(well, r)
	}
	if len(well) == 0 {
		return member{}, nil
	}
	best := slices.MinFunc(well, func(a, b rank) int {
		return cmp.Or(cmp.Compare(a.worn, b.worn), cmp.Compare(a.load, b.load), cmp.Compare(a.turn, b.turn))
	})
	best.m.server.mu.Lock()
	defer best.m.server.mu.Unlock()
	return best.m, best.m.begin(false)
}

// slow says that a login takes suspiciously long. The caller holds mu.
func (s *server) slow(now time.Time) bool {
	for a := range s.attempts {
		if now.Sub(a.begun) > slowLogin {
			return true
		}
	}
	return false
}

// await waits for one of servers that are all left out: for the look at it, or
// for the session on trial. It fails when none of them is any better then.
func (t *team) await(ctx context.Context, left []member) error {
	better := make(chan error, len(left))
	over := make(chan struct{})
	defer close(over)
	for _, m := range left {
		go func() { better <- m.await(ctx, over) }()
	}
	var errs []error
	for range left {
		err := <-better
		if err == nil || ctx.Err() != nil {
			return err
		}
		errs = append(errs, err)
	}
	return errs[len(errs)-1]
}

// await has the server looked at, and waits for what comes of it.
func (s *server) await(ctx context.Context, over <-chan struct{}) error {
	s.mu.Lock()
	if s.breaker.is(closed) {
		s.mu.Unlock()
		return nil
	}
	failures, changed := s.breaker.failures, s.changed
	if s.breaker.is(open) && !s.looking {
		// Somebody needs it now: its rest is over, but for a moment in which
		// others have looked already.
		s.breaker.until = earlier(s.breaker.until, time.Now().Add(firstRest/4))
		time.AfterFunc(time.Until(s.breaker.until), s.look)
	}
	s.mu.Unlock()
	for {
		select {
		case <-changed:
		case <-over:
			return nil // nobody listens
		case <-ctx.Done():
			return fault.Wrap(fault.KindOf(ctx.Err()), "log in to", s.addr, ctx.Err())
		}
		s.mu.Lock()
		b := s.breaker
		changed = s.changed
		s.mu.Unlock()
		switch {
		case b.is(closed), b.is(halfOpen) && !b.trial:
			return nil
		case b.is(open) && b.failures > failures:
			return fault.Wrap(fault.Transient, "log in to", s.addr, errors.New(b.why))
		}
	}
}

func earlier(a, b time.Time) time.Time {
	if b.Before(a) {
		return b
	}
	return a
}

// other says whether a member other than s is in use.
func (t *team) other(s *server) bool {
	t.mu.Lock()
	members := t.members
	t.mu.Unlock()
	return slices.ContainsFunc(members, func(m member) bool {
		if m.server == s {
			return false
		}
		m.server.mu.Lock()
		defer m.server.mu.Unlock()
		return m.breaker.is(closed) && m.drain == nil
	})
}

// evenOut is how soon after a session has been sent from one server to another
// the next one may be: a run that ends costs what a login does.
const evenOut = 3 * time.Second

// crowded says that a session in use had better end and begin anew, because
// another server has come into use that has little to do: runs last for as
// long as there are files.
func (t *team) crowded(s *server) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.members) < 2 || time.Since(t.evened) < evenOut {
		return false
	}
	load := func(s *server) (n int, well bool) {
		s.mu.Lock()
		defer s.mu.Unlock()
		return len(s.sessions) + len(s.attempts), s.drain == nil && !s.doubted && (s.breaker.is(closed) || s.breaker.is(halfOpen) && !s.breaker.trial)
	}
	mine, _ := load(s)
	for _, m := range t.members {
		if theirs, well := load(m.server); well && theirs+1 < mine {
			t.evened = time.Now()
			return true
		}
	}
	return false
}

// closeIdle ends the idle sessions with all members.
func (t *team) closeIdle() {
	t.mu.Lock()
	members := t.members
	t.mu.Unlock()
	for _, m := range members {
		t.driver.pool.CloseIdle(m.addr)
	}
}

// several says whether there is more than one server to choose from.
func (t *team) several() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return len(t.members) > 1
}

// watch calls fn for each change until stop.
func (t *team) watch(fn func(endpoints.ServerChange)) (stop func()) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.watchers[&fn] = struct{}{}
	return func() {
		t.mu.Lock()
		defer t.mu.Unlock()
		delete(t.watchers, &fn)
	}
}

// told tells the storages that use a server of a change, the log, and whoever
// observes the driver.
func (d *Driver) told(s *server, c *endpoints.ServerChange) {
	if c == nil {
		return
	}
	s.mu.Lock()
	teams := make([]*team, 0, len(s.teams))
	for t := range s.teams {
		teams = append(teams, t)
	}
	s.mu.Unlock()
	for _, t := range teams {
		t.mu.Lock()
		for fn := range t.watchers {
			(*fn)(*c)
		}
		t.mu.Unlock()
	}
	if c.Out {
		d.logger().Warn("a server is left out until it answers again", "server", s.addr, "error", c.Why)
		// They are dead with it, and a look at each of a server that hangs takes seconds.
		go d.pool.CloseIdle(s.addr)
	} else {
		d.logger().Info("a server is in use again", "server", s.addr)
	}
	if d.config.Changed != nil {
		d.config.Changed(*c)
	}
}
