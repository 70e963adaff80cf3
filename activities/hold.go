package activities

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/gridferry/gridferry/fault"
)

// errLeaseLost ends an attempt whose lease is somebody else's, or may be.
var errLeaseLost = errors.New("the lease on the chunk could not be kept")

// hold is a lease in use. A pair of servers cannot be fenced, so a holder that
// cannot renew stops by its own clock, before a successor may begin: the
// server of leases need not reach it, and neither need Temporal.
type hold struct {
	leases Leases
	limit  time.Duration // without a renewal for this long, the lease is given up

	mu      sync.Mutex
	lease   Lease
	renewed time.Time // when the last renewal that succeeded was asked for
	lost    chan struct{}
	isLost  bool
}

func newHold(leases Leases, l Lease, asked time.Time, limit time.Duration) *hold {
	return &hold{leases: leases, lease: l, renewed: asked, limit: limit, lost: make(chan struct{})}
}

// epoch is the token of this attempt.
func (h *hold) epoch() int64 { return h.lease.Epoch }

// keep renews until ctx ends or the lease is lost.
func (h *hold) keep(ctx context.Context) {
	tick := time.NewTicker(max(h.limit/8, time.Millisecond))
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-h.lost:
			return
		case <-tick.C:
		}
		h.mu.Lock()
		due := time.Since(h.renewed) > h.limit/4
		h.mu.Unlock()
		if !h.mine() {
			return
		}
		if due {
			_ = h.renew(ctx) // the clock decides
		}
	}
}

func (h *hold) renew(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, h.limit)
	defer cancel()
	asked := time.Now()
	err := h.leases.Renew(ctx, h.lease)
	h.mu.Lock()
	defer h.mu.Unlock()
	switch {
	case err == nil:
		if asked.After(h.renewed) {
			h.renewed = asked
		}
	case fault.Is(err, fault.Canceled) && ctx.Err() == nil:
		h.lose()
	}
	return err
}

// lose marks the lease as lost. The caller holds mu.
func (h *hold) lose() {
	if !h.isLost {
		h.isLost = true
		close(h.lost)
	}
}

// mine reports whether the lease is still ours as far as the clock tells. It
// is asked before every command that writes.
func (h *hold) mine() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	if time.Since(h.renewed) > h.limit {
		h.lose()
	}
	return !h.isLost
}

// fresh is how old a renewal may be to be good enough for a rename. A look at
// the store for every file would cost more than small files do.
const fresh = 2 * time.Second

// sure makes certain that the lease is ours at this moment or was within the
// last moments.
func (h *hold) sure(ctx context.Context) error {
	if !h.mine() {
		return fault.Wrap(fault.Transient, "keep", "the lease", errLeaseLost)
	}
	h.mu.Lock()
	good := time.Since(h.renewed) < min(fresh, h.limit/2)
	h.mu.Unlock()
	if good {
		return nil
	}
	return h.confirm(ctx)
}

// confirm makes certain that the lease is ours at this moment.
func (h *hold) confirm(ctx context.Context) error {
	err := h.renew(ctx)
	if !h.mine() {
		return fault.Wrap(fault.Transient, "keep", "the lease", errLeaseLost)
	}
	if err != nil {
		return fault.Wrap(fault.Transient, "renew", "the lease", err)
	}
	return nil
}

// release gives the lease back.
func (h *hold) release(ctx context.Context) {
	// A lease that is not given back runs out; there is nothing to do about it.
	_ = h.leases.Release(ctx, h.lease)
}
