package activities

import (
	"context"
	"time"

	"github.com/gridferry/gridferry/fault"
	"github.com/gridferry/gridferry/transfer"
)

// AwaitInput says which credential a task waits for, and which one failed it.
type AwaitInput struct {
	Task        transfer.TaskID `json:"task"` // the id of its workflow
	Owner       string          `json:"owner"`
	Domain      string          `json:"domain"`
	Fingerprint string          `json:"fingerprint,omitempty"` // of the one that failed; empty when there was none
}

// AwaitResult is what a look at the owner's credential in the domain found.
type AwaitResult struct {
	Waiting     bool      `json:"waiting,omitempty"`     // registered: whoever activates one tells the task
	Fingerprint string    `json:"fingerprint,omitempty"` // of the current one; empty when none is kept here that has not expired
	Expires     time.Time `json:"expires,omitzero"`
}

// Await registers a task as waiting for a credential, and only then looks for
// one: what was activated before the registration is seen, and what comes
// after it tells the task. Run it again for each later look.
func (c *Control) Await(ctx context.Context, in AwaitInput) (AwaitResult, error) {
	var out AwaitResult
	if c.Waiters == nil || in.Owner == "" || in.Domain == "" {
		return out, nil // nobody can tell, or of nobody in particular
	}
	if err := c.Waiters.Await(ctx, in.Owner, in.Domain, in.Task); err != nil {
		return out, toTemporal(err)
	}
	out.Waiting = true
	now, err := c.Waiters.Activation(ctx, in.Owner, in.Domain)
	if fault.Is(err, fault.NotFound) {
		return out, nil
	}
	out.Fingerprint, out.Expires = now.Fingerprint, now.Expires
	return out, toTemporal(err)
}

// Forget ends all waiting of a task, by the id of its workflow.
func (c *Control) Forget(ctx context.Context, task transfer.TaskID) error {
	if c.Waiters == nil {
		return nil
	}
	return toTemporal(c.Waiters.Forget(ctx, task))
}
