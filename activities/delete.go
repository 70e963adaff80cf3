package activities

import (
	"context"

	"github.com/gridferry/gridferry/transfer"
)

// DeleteInput is one step, 30 s at most, of deleting either the extras that a
// walk listed (Lists, at Ends.Destination) or what a delete task names
// (Request; Ends.Destination is its endpoint).
type DeleteInput struct {
	Task    transfer.TaskID         `json:"task"`
	Ends    Ends                    `json:"ends"`
	Lists   []string                `json:"lists,omitempty"` // WalkResult.Extras of all steps
	Request *transfer.DeleteRequest `json:"request,omitempty"`
	Cursor  string                  `json:"cursor,omitempty"` // empty is the beginning
}

// DeleteResult is what a step did.
type DeleteResult struct {
	Cursor  string           `json:"cursor,omitempty"` // of the next step; empty when all is done
	Deleted int64            `json:"deleted"`          // names removed by this step
	Failed  []FailedFile     `json:"failed,omitempty"` // at most 100; all are in the results
	NFailed int64            `json:"n_failed,omitempty"`
	Faults  []transfer.Fault `json:"faults,omitempty"`
	Blocked *transfer.Fault  `json:"blocked,omitempty"` // why the rest waits; go on from Cursor
}

// Delete removes names at the destination, a directory after what is in it.
func (d *Data) Delete(ctx context.Context, in DeleteInput) (DeleteResult, error) {
	return DeleteResult{}, nil
}
