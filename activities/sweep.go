package activities

import (
	"context"
	"time"

	"github.com/gridferry/gridferry/transfer"
)

// Executions knows which workflows are still running.
type Executions interface {
	// Running says whether the task's workflow runs; false also when the
	// namespace has forgotten it.
	Running(ctx context.Context, id transfer.TaskID) (bool, error)
}

// SweepInput is one step, 30 s at most, of a sweep.
type SweepInput struct {
	Keep   time.Duration `json:"keep,omitempty"` // blobs of tasks that ended longer ago go; 0 is 30 days
	Cursor string        `json:"cursor,omitempty"`
}

// SweepResult is what a step did.
type SweepResult struct {
	Cursor  string `json:"cursor,omitempty"` // of the next step; empty when all is done
	Removed int64  `json:"removed,omitempty"`

	// Orphans are tasks whose execution ended without a word: their record
	// is final now. Run Finish with each, on the queue of its route.
	Orphans []FinishInput   `json:"orphans,omitempty"`
	Ended   []transfer.Task `json:"ended,omitempty"` // the same tasks, to be told to their owners
}

// SweepTasks ends the records of tasks whose executions were terminated.
func (c *Control) SweepTasks(ctx context.Context, in SweepInput) (SweepResult, error) {
	return SweepResult{}, nil
}

// SweepBlobs removes the blobs of tasks that ended long ago.
func (c *Control) SweepBlobs(ctx context.Context, in SweepInput) (SweepResult, error) {
	return SweepResult{}, nil
}
