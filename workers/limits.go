package workers

import (
	"context"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gridferry/gridferry/activities"
	"github.com/gridferry/gridferry/endpoints"
	"github.com/gridferry/gridferry/endpoints/gridftp"
	"github.com/gridferry/gridferry/fault"
	"github.com/gridferry/gridferry/transfer"
)

// limits keep this process to what endpoints allow all workers together: the
// sessions that it has open are a lease, which nobody has to give back who was
// killed.
type limits struct {
	endpoints.Rations
	leases   activities.Leases
	task     transfer.TaskID // in leases of sessions
	identity string
	log      *slog.Logger

	mu   sync.Mutex
	held map[string]*heldSessions // by endpoint
}

type heldSessions struct {
	lease activities.Lease
	stop  context.CancelFunc

	// replacing: another lease is being asked for in its place. That this one
	// is refused meanwhile may only say that the other was given.
	replacing atomic.Bool
}

const (
	// sessionsLife is how long the sessions of a worker that was killed are
	// kept from others.
	sessionsLife = 30 * time.Second
	// sessionsOf is the task of a lease of sessions, where they are no task's. A
	// worker for one task leaves it empty: the service knows the task's key.
	sessionsOf = "sessions"
)

var _ gridftp.Limiter = (*limits)(nil)

// UseLimits has the opener keep to the limits of endpoints, which leases and
// rations are for. It is called before the first Open.
func (o *Opener) UseLimits(leases activities.Leases, rations endpoints.Rations, task transfer.TaskID, identity string, log *slog.Logger) {
	o.gridftp.UseLimiter(&limits{Rations: rations, leases: leases, task: task, identity: identity, log: log, held: map[string]*heldSessions{}})
}

// Hold implements gridftp.Limiter.
func (l *limits) Hold(ctx context.Context, endpoint string, n, limit int, lost func()) error {
	l.mu.Lock()
	before := l.held[endpoint]
	l.mu.Unlock()
	if n == 0 {
		if before == nil {
			return nil
		}
		before.stop()
		l.mu.Lock()
		delete(l.held, endpoint)
		l.mu.Unlock()
		return l.leases.Release(ctx, before.lease)
	}
	if before != nil {
		before.replacing.Store(true)
	}
	lease, err := l.leases.Acquire(ctx, activities.LeaseRequest{
		Task: l.task, Chunk: endpoint + " " + l.identity, Holder: l.identity, TTL: sessionsLife,
		Sessions: []activities.SessionClaim{{Endpoint: activities.OpenAt + endpoint, Sessions: n, Limit: limit}},
	})
	if err != nil {
		if before != nil {
			before.replacing.Store(false)
		}
		return err
	}
	keeping, stop := context.WithCancel(context.WithoutCancel(ctx))
	h := &heldSessions{lease: lease, stop: stop}
	l.mu.Lock()
	l.held[endpoint] = h
	l.mu.Unlock()
	if before != nil {
		before.stop()
	}
	go l.keep(keeping, endpoint, h, lost)
	return nil
}

// keep renews a lease until ctx ends. Whoever cannot renew it has lost it by
// his own clock before others may have what it was for.
func (l *limits) keep(ctx context.Context, endpoint string, h *heldSessions, lost func()) {
	tick := time.NewTicker(sessionsLife / 6)
	defer tick.Stop()
	renewed := time.Now()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		asked := time.Now()
		call, cancel := context.WithTimeout(ctx, sessionsLife/3)
		err := l.leases.Renew(call, h.lease)
		cancel()
		switch {
		case ctx.Err() != nil:
			return
		case err == nil:
			renewed = asked
			continue
		case (!fault.Is(err, fault.Canceled) || h.replacing.Load()) && time.Since(renewed) < sessionsLife*2/3:
			continue
		}
		l.log.Warn("the sessions at an endpoint could not be kept", "endpoint", endpoint, "error", err)
		l.mu.Lock()
		if l.held[endpoint] == h {
			delete(l.held, endpoint)
		}
		l.mu.Unlock()
		lost()
		return
	}
}
