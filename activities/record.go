package activities

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/gridferry/gridferry/blob"
	"github.com/gridferry/gridferry/transfer"
)

// Records keeps the projection of tasks that outlives their histories.
type Records interface {
	// PutTask writes the task's state; an older write never replaces a final one.
	PutTask(ctx context.Context, t transfer.Task) error
	Task(ctx context.Context, id transfer.TaskID) (transfer.Task, error)
	Tasks(ctx context.Context, q transfer.TaskQuery) (transfer.Tasks, error)
}

// Notifier tells people of events in the life of a task.
type Notifier interface {
	// Notify tells of an event. Of an id that was told already it tells nobody:
	// whoever calls may do so again, days later too. Without an address in the
	// notice, the site's map of owners has it, or nobody is told.
	Notify(ctx context.Context, n transfer.Notice) error
}

// Addresser is the ability of a Notifier to find people by their names.
type Addresser interface {
	// Addressed says whether notices about an owner's tasks that bring no
	// address would reach anybody.
	Addressed(owner string) bool
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
	// Left is what a task could not clean up at its end: sweeps go on with it.
	Left *FinishInput `json:"left,omitempty"`
}

// RecordResult is what a task learns when it is recorded.
type RecordResult struct {
	// Addressed: somebody hears of the owner's tasks that name no address.
	Addressed bool `json:"addressed,omitempty"`
}

// Record keeps the state of a task, and its events.
func (c *Control) Record(ctx context.Context, in RecordInput) (RecordResult, error) {
	err := c.record(ctx, in)
	var out RecordResult
	if who, ok := c.Notifier.(Addresser); ok {
		out.Addressed = who.Addressed(in.Task.Owner)
	}
	return out, toTemporal(err)
}

func (c *Control) record(ctx context.Context, in RecordInput) error {
	key := in.Key
	if key == "" {
		key = in.Task.ID
	}
	ctx = blob.UseReserve(ctx) // events are small, and say what happened when nothing else fits
	if len(in.Events) > 0 {
		err := insist(ctx, patience, func() error { return putLines(ctx, c.Blobs, eventsKey(key, in.Page), in.Events) })
		if errors.Is(err, blob.ErrFull) && in.Left == nil {
			// How the task stands is in the store of records, which may have
			// room: without it, a sweep would take an ended task for a killed
			// one. The events come with a later try.
			return errors.Join(err, c.Records.PutTask(ctx, in.Task))
		}
		if err != nil {
			return err
		}
	}
	if in.Left != nil {
		o := orphan{Task: key, Since: time.Now().UTC(), Finish: in.Left}
		if err := insist(ctx, patience, func() error { return putOrphan(ctx, c.Blobs, o) }); err != nil {
			return err
		}
	}
	return insist(ctx, patience, func() error { return c.Records.PutTask(ctx, in.Task) })
}

// Notify tells of an event in the life of a task.
func (c *Control) Notify(ctx context.Context, n transfer.Notice) error {
	if c.Notifier == nil {
		return nil
	}
	stop := beatWith(ctx, func() any { return nil })
	defer stop()
	return toTemporal(c.Notifier.Notify(ctx, n))
}

// Attributes returns the search attributes that the namespace has.
func (c *Control) Attributes(ctx context.Context) ([]string, error) {
	if c.Namespace == nil {
		return nil, nil
	}
	names, err := c.Namespace.SearchAttributes(ctx)
	return slices.Sorted(slices.Values(names)), toTemporal(err)
}
