package gridftp

import (
	"net"
	"strings"

	"github.com/gridferry/gridferry/endpoints"
	"github.com/gridferry/gridferry/fault"
	wire "github.com/gridferry/gridferry/wire/gridftp"
)

// SetCondition takes over what all workers have been told and tell each other:
// what is drained gets no new sessions, and what others have found down is
// looked at.
func (d *Driver) SetCondition(c endpoints.Condition) {
	drains := make(map[string]endpoints.Drain, len(c.Drains))
	for _, x := range c.Drains {
		drains[x.Name] = x
	}
	down := make(map[string]endpoints.Down, len(c.Down))
	for _, x := range c.Down {
		down[x.Server] = x
	}
	d.mu.Lock()
	for name := range drains {
		if e, ok := d.named[name]; ok && d.drainOf(name) == nil {
			go e.team.closeIdle()
		}
	}
	d.drains = drains
	servers := make([]*server, 0, len(d.servers))
	for _, s := range d.servers {
		servers = append(servers, s)
	}
	d.mu.Unlock()
	for _, s := range servers {
		s.setDrain(drains)
		if x, ok := down[s.addr]; ok {
			s.hear(x.Since)
		}
	}
}

func (s *server) setDrain(drains map[string]endpoints.Drain) {
	s.mu.Lock()
	was := s.drain != nil
	s.drain = nil
	if x, ok := drains[s.addr]; ok {
		s.drain = &x
	}
	begun := s.drain != nil && !was
	s.mu.Unlock()
	if begun {
		go s.driver.pool.CloseIdle(s.addr)
	}
}

// drainOf returns the drain of a name. The caller holds mu.
func (d *Driver) drainOf(name string) *endpoints.Drain {
	if x, ok := d.drains[name]; ok {
		return &x
	}
	return nil
}

// drained is an error when the whole endpoint is out of use.
func (s *Storage) drained() error {
	s.driver.mu.Lock()
	defer s.driver.mu.Unlock()
	if x := s.driver.drainOf(s.name); x != nil {
		return fault.Wrap(fault.Busy, "use", s.name, &endpoints.DrainedError{Drain: *x})
	}
	return nil
}

// leaving says whether a session in use should end at the next file, because
// its server or its endpoint has been drained.
func (s *Storage) leaving(c *wire.Client) bool {
	s.mu.Lock()
	at := s.using[c]
	s.mu.Unlock()
	if at == nil {
		return false
	}
	at.mu.Lock()
	out := at.drain != nil
	at.mu.Unlock()
	return out || s.drained() != nil
}

// crowded says whether a session in use should end at the next file, because
// another server has less to do.
func (s *Storage) crowded(c *wire.Client) bool {
	s.mu.Lock()
	at := s.using[c]
	s.mu.Unlock()
	return at != nil && s.team.crowded(at)
}

// ServerName is how drains and other workers name a server of a record: with
// its port.
func ServerName(scheme, server string) string {
	if host, port, err := net.SplitHostPort(server); err == nil {
		return net.JoinHostPort(host, port)
	}
	if scheme == "" {
		scheme = string(wire.GSIFTP)
	}
	return net.JoinHostPort(strings.Trim(server, "[]"), wire.Scheme(scheme).DefaultPort())
}
