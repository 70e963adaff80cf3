package activities

import (
	"context"
	"time"

	"go.temporal.io/sdk/activity"

	"github.com/gridferry/gridferry/blob"
	"github.com/gridferry/gridferry/transfer"
)

// Facts is what a sweep has to know of a task whose execution is gone.
type Facts struct {
	Task     transfer.TaskID `json:"task"`     // the key of the task's blobs
	Workflow transfer.TaskID `json:"workflow"` // the id of its workflow
	Begun    time.Time       `json:"begun"`
	Ends     Ends            `json:"ends"`
	Probe    ProbeResult     `json:"probe"`
	Options  CopyOptions     `json:"options"`
	Notify   string          `json:"notify,omitempty"`
}

// keepFacts stores them. The first activity of a task that may leave something
// behind does so before it begins.
func keepFacts(ctx context.Context, blobs blob.Store, f Facts) error {
	f.Begun, f.Workflow = time.Now().UTC(), f.Task
	if activity.IsActivity(ctx) {
		f.Workflow = transfer.TaskID(activity.GetInfo(ctx).WorkflowExecution.ID)
	}
	return putLines(ctx, blobs, factsKey(f.Task), []Facts{f})
}
