package gridftp

import (
	"context"
	"errors"
	"net"
	"strings"
	"sync"
	"time"
)

// rest is how long a server that could not be reached is left alone while
// others can be.
const rest = 30 * time.Second

// team is the servers of an endpoint, over which sessions are spread.
type team struct {
	mu      sync.Mutex
	members []member
	next    int
	address int // to begin with, of a host name that has several
}

type member struct {
	addr  string
	until time.Time // left alone until then
}

// team returns the one team of these servers.
func (d *Driver) team(servers []string) *team {
	key := strings.Join(servers, " ")
	d.mu.Lock()
	defer d.mu.Unlock()
	t := d.teams[key]
	if t == nil {
		t = &team{}
		for _, addr := range servers {
			t.members = append(t.members, member{addr: addr})
		}
		d.teams[key] = t
	}
	return t
}

// order returns the servers in the order in which they should be tried: in
// turn, and those that failed lately last.
func (t *team) order(now time.Time) []string {
	t.mu.Lock()
	defer t.mu.Unlock()
	var well, ill []string
	for i := range t.members {
		m := t.members[(t.next+i)%len(t.members)]
		if now.Before(m.until) {
			ill = append(ill, m.addr)
		} else {
			well = append(well, m.addr)
		}
	}
	t.next = (t.next + 1) % len(t.members)
	return append(well, ill...)
}

// judge notes whether a server could be reached.
func (t *team) judge(addr string, reached bool, now time.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for i := range t.members {
		if m := &t.members[i]; m.addr == addr {
			m.until = time.Time{}
			if !reached {
				m.until = now.Add(rest)
			}
		}
	}
}

// dial spreads connections over the addresses of a host name, too: a name with
// several is a pool.
func (t *team) dial(ctx context.Context, network, address string) (net.Conn, error) {
	var plain net.Dialer
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return nil, err
	}
	if net.ParseIP(host) != nil {
		return plain.DialContext(ctx, network, address)
	}
	addrs, err := net.DefaultResolver.LookupNetIP(ctx, "ip", host)
	if err != nil {
		return nil, err
	}
	t.mu.Lock()
	first := t.address
	t.address++
	t.mu.Unlock()
	var errs []error
	for i := range addrs {
		// An address that swallows packets must not use up the others' time.
		each, cancel := context.WithTimeout(ctx, share(ctx, len(addrs)-i))
		conn, err := plain.DialContext(each, network, net.JoinHostPort(addrs[(first+i)%len(addrs)].Unmap().String(), port))
		cancel()
		if err == nil {
			return conn, nil
		}
		errs = append(errs, err)
	}
	return nil, errors.Join(errs...)
}

// share is an equal part of the time that ctx leaves.
func share(ctx context.Context, parts int) time.Duration {
	deadline, ok := ctx.Deadline()
	if !ok {
		return rest
	}
	return time.Until(deadline) / time.Duration(parts)
}
