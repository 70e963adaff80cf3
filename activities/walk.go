package activities

import (
	"context"

	"github.com/gridferry/gridferry/transfer"
)

// WalkInput is one step of a walk, 30 s at most.
type WalkInput struct {
	Task    transfer.TaskID  `json:"task"`
	Ends    Ends             `json:"ends"`
	Request transfer.Request `json:"request"`
	Policy  transfer.Policy  `json:"policy"`
	Probe   ProbeResult      `json:"probe"`
	Cursor  string           `json:"cursor,omitempty"` // blob key of the frontier; empty is the beginning
	Plan    bool             `json:"plan,omitempty"`   // look only: no directory is made at the destination
}

// WalkResult is what a step found. Chunks are set when a segment is complete:
// sorted by size, cut and tuned.
type WalkResult struct {
	Cursor     string            `json:"cursor,omitempty"` // of the next step; empty when the walk is over
	Chunks     []transfer.Chunk  `json:"chunks,omitempty"`
	Found      transfer.Progress `json:"found"`            // of this step alone, to be added
	Extras     []string          `json:"extras,omitempty"` // blob keys of lists of names to delete
	NExtras    int64             `json:"n_extras,omitempty"`
	Dirs       []string          `json:"dirs,omitempty"`   // blob keys: directory times and modes to set last
	Errors     int64             `json:"errors,omitempty"` // directories or files that could not be looked at
	Faults     []transfer.Fault  `json:"faults,omitempty"`
	Segments   int               `json:"segments,omitempty"`   // complete ones so far
	Failed     []FailedFile      `json:"failed,omitempty"`     // at most 100: not readable, or collisions; all are in the results
	Collisions []string          `json:"collisions,omitempty"` // at most 100, as sentences
	Blocked    *transfer.Fault   `json:"blocked,omitempty"`    // why the walk stopped at Cursor: credential, endpoint down
}

// WalkStep lists part of the source, compares it with the destination, makes
// the directories there, and hands over chunks when a segment is complete.
func (d *Data) WalkStep(ctx context.Context, in WalkInput) (WalkResult, error) {
	return WalkResult{}, nil
}
