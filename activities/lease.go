package activities

import (
	"context"
	"time"

	"github.com/gridferry/gridferry/transfer"
)

// Leases says who may work on a chunk, and how many sessions an endpoint may
// have across all workers. It is the one place with compare-and-swap: the
// epoch of a lease is the token that guards ledgers and renames.
type Leases interface {
	// Acquire takes the lease, which ends that of any earlier holder of the
	// same task and chunk at once. Busy when an endpoint's limit is reached;
	// Canceled when the lease was last taken, and perhaps given back, by an
	// attempt that began later.
	Acquire(ctx context.Context, want LeaseRequest) (Lease, error)
	// Renew prolongs it by its TTL; Canceled when somebody else holds it now.
	Renew(ctx context.Context, l Lease) error
	// Release gives it back. Releasing a lost lease does nothing.
	Release(ctx context.Context, l Lease) error
}

// LeaseRequest asks for a lease.
type LeaseRequest struct {
	Task     transfer.TaskID
	Chunk    string
	Holder   string
	TTL      time.Duration
	Sessions []SessionClaim // one for each endpoint that has a limit

	// Begun is when this attempt was handed out, by the clock of whoever does.
	// A worker that stood still may have been handed attempts that others
	// have been given since: it must not take the lease from them.
	Begun time.Time
}

// SessionClaim is what the holder will have open at an endpoint.
type SessionClaim struct {
	Endpoint string
	Sessions int // wanted
	Limit    int // of the endpoint
}

// Lease is a right to work on a chunk until Expires.
type Lease struct {
	Task    transfer.TaskID
	Chunk   string
	Epoch   int64 // grows with each Acquire of the same task and chunk
	TTL     time.Duration
	Expires time.Time
}
