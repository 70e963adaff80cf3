package activities

import (
	"context"

	"github.com/gridferry/gridferry/transfer"
)

// ExpressInput is a request of one item that is not recursive. The copy runs
// as the chunk "express" of the task.
type ExpressInput struct {
	Task    transfer.TaskID  `json:"task"`
	Ends    Ends             `json:"ends"`
	Request transfer.Request `json:"request"`
}

// ExpressResult says whether the item was one for the express path, and how
// it ended.
type ExpressResult struct {
	Taken bool              `json:"taken"` // false: nothing was moved; go on with the walk, Probe is filled in
	Probe ProbeResult       `json:"probe"`
	Found transfer.Progress `json:"found"`          // when Taken
	Chunk transfer.Chunk    `json:"chunk,omitzero"` // when Taken: schedule Copy with it while Copy is not Complete
	Copy  CopyResult        `json:"copy,omitzero"`  // when Taken
}

// Express probes, looks at the one source, and when it is a small file copies
// and verifies it at once: a whole transfer in one activity.
func (d *Data) Express(ctx context.Context, in ExpressInput) (ExpressResult, error) {
	return ExpressResult{}, nil
}
