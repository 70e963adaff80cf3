// Package activities is everything in a transfer that has an effect: walking,
// copying, verifying, deleting, recording. Each activity is a method that may
// be run again at any time, by another worker, after any part of it was done;
// it works against interfaces, and the programs in workers say what is behind
// them.
package activities

import (
	"context"
	"time"

	"github.com/gridferry/gridferry/blob"
	"github.com/gridferry/gridferry/endpoints"
	"github.com/gridferry/gridferry/transfer"
)

// Data holds the activities of the data queues: those that touch endpoints.
type Data struct {
	Endpoints endpoints.Opener
	Blobs     blob.Store
	Leases    Leases
	Identity  string          // of this worker process, for leases and logs
	Stopping  <-chan struct{} // closed when the worker drains: copies yield
}

// Control holds the activities of the control queue, which touch no endpoint.
type Control struct {
	Blobs      blob.Store
	Records    Records
	Notifier   Notifier
	Attributes AttributeSource
}

// Leases says who may work on a chunk, and how many sessions an endpoint may
// have across all workers. It is the one place with compare-and-swap: the
// epoch of a lease is the token that guards ledgers and renames.
type Leases interface {
	// Acquire takes the lease, which ends that of any earlier holder of the
	// same task and chunk at once. Busy when an endpoint's limit is reached.
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

// Records keeps the projection of tasks that outlives their histories.
type Records interface {
	// PutTask writes the task's state; an older write never replaces a final one.
	PutTask(ctx context.Context, t transfer.Task) error
	Task(ctx context.Context, id transfer.TaskID) (transfer.Task, error)
	Tasks(ctx context.Context, q transfer.TaskQuery) (transfer.Tasks, error)
}

// Notifier tells the owner of a task how it stands.
type Notifier interface {
	Notify(ctx context.Context, t transfer.Task, to string) error
}

// AttributeSource knows which search attributes the namespace has.
type AttributeSource interface {
	SearchAttributes(ctx context.Context) ([]string, error)
}
