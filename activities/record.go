package activities

import (
	"context"
	"slices"

	"github.com/gridferry/gridferry/transfer"
)

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

// RecordInput is the state of a task and what happened to it since the last
// record.
type RecordInput struct {
	Task   transfer.Task    `json:"task"`
	Events []transfer.Event `json:"events,omitempty"`
	// Page is the number of this batch of events in the task, from 0: the
	// same number again replaces the batch, so that a retry adds nothing.
	Page int `json:"page,omitempty"`
	// Key names the task's blobs; empty is Task.ID.
	Key transfer.TaskID `json:"key,omitempty"`
}

// NotifyInput tells somebody how a task stands.
type NotifyInput struct {
	Task transfer.Task `json:"task"`
	To   string        `json:"to"`
}

// Record keeps the state of a task, and its events.
func (c *Control) Record(ctx context.Context, in RecordInput) error {
	key := in.Key
	if key == "" {
		key = in.Task.ID
	}
	if len(in.Events) > 0 {
		err := insist(ctx, patience, func() error { return putLines(ctx, c.Blobs, eventsKey(key, in.Page), in.Events) })
		if err != nil {
			return toTemporal(err)
		}
	}
	return toTemporal(insist(ctx, patience, func() error { return c.Records.PutTask(ctx, in.Task) }))
}

// Notify tells the owner of a task how it stands.
func (c *Control) Notify(ctx context.Context, in NotifyInput) error {
	if c.Notifier == nil || in.To == "" {
		return nil
	}
	return toTemporal(c.Notifier.Notify(ctx, in.Task, in.To))
}

// Attributes returns the search attributes that the namespace has.
func (c *Control) Attributes(ctx context.Context) ([]string, error) {
	if c.Namespace == nil {
		return nil, nil
	}
	names, err := c.Namespace.SearchAttributes(ctx)
	return slices.Sorted(slices.Values(names)), toTemporal(err)
}
