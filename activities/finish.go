package activities

import (
	"context"
	"time"

	"github.com/gridferry/gridferry/transfer"
)

// FinishInput is one step, 30 s at most, of ending a task: late verification,
// stray temporary names, directory times and modes.
type FinishInput struct {
	Task    transfer.TaskID `json:"task"`
	Ends    Ends            `json:"ends"`
	Probe   ProbeResult     `json:"probe"`
	Options CopyOptions     `json:"options"`
	Dirs    []string        `json:"dirs,omitempty"` // WalkResult.Dirs of all steps

	// Horizon is how long after an attempt was declared dead its servers may
	// still have been writing; 0 is 60 s.
	Horizon time.Duration `json:"horizon,omitempty"`

	// Abandon: the task has failed or was cancelled. Temporary names go and
	// what stays unproven is listed; nothing is verified or set.
	Abandon bool `json:"abandon,omitempty"`

	Cursor string `json:"cursor,omitempty"`
}

// FinishResult is what a step did.
type FinishResult struct {
	Cursor   string           `json:"cursor,omitempty"`   // of the next step; empty when all is done
	Wait     time.Duration    `json:"wait,omitempty"`     // the horizon is not reached: run the next step after this
	Verified int64            `json:"verified"`           // files verified again
	Redo     []transfer.Chunk `json:"redo,omitempty"`     // files found wrong: copy these, then begin Finish again
	Strays   int64            `json:"strays"`             // temporary names removed
	Unproven []string         `json:"unproven,omitempty"` // names that may be left behind or hold wrong bytes; at most 100
	Faults   []transfer.Fault `json:"faults,omitempty"`
	Blocked  *transfer.Fault  `json:"blocked,omitempty"` // go on from Cursor
}

// Finish ends what copying began.
func (d *Data) Finish(ctx context.Context, in FinishInput) (FinishResult, error) {
	return FinishResult{}, nil
}
