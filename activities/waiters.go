package activities

import (
	"context"

	"github.com/gridferry/gridferry/transfer"
)

// Waiters knows which tasks wait for a credential, and which credentials there
// are. Who activates one tells every task that waits for it. A task that
// suspends itself registers first and looks at Activation afterwards: whatever
// was activated before the first it sees, and whatever comes later tells it.
type Waiters interface {
	// Await registers the task of that workflow id as waiting for the owner's
	// credential in a domain. Registering again does nothing.
	Await(ctx context.Context, owner, domain string, task transfer.TaskID) error
	// Forget ends all waiting of a task.
	Forget(ctx context.Context, task transfer.TaskID) error
	// Activation is the owner's credential in a domain; NotFound when there
	// is none that has not expired.
	Activation(ctx context.Context, owner, domain string) (transfer.Activation, error)
}
