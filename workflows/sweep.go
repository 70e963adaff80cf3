package workflows

import (
	"time"

	"go.temporal.io/sdk/workflow"

	"github.com/gridferry/gridferry/activities"
)

// SweepInput is the input of Sweep.
type SweepInput struct {
	Keep time.Duration `json:"keep,omitempty"` // of what ended tasks left in the blob store; 0 is 30 days
}

// SweepResult is what a sweep did.
type SweepResult struct {
	Ended   int   `json:"ended"`   // tasks that had something left to be cleaned up
	Removed int64 `json:"removed"` // blobs
	Freed   int64 `json:"freed"`   // bytes, where the blob store tells
	Strays  int64 `json:"strays"`  // temporary names at destinations
}

// Sweep puts in order what no workflow could: a terminated transfer has run no
// cleanup and told nobody. It runs on a schedule, one at a time.
func Sweep(ctx workflow.Context, in SweepInput) (SweepResult, error) {
	var out SweepResult
	opts := controlOptions("sweep")
	opts.ScheduleToCloseTimeout = 30 * time.Minute
	actx := workflow.WithActivityOptions(ctx, opts)
	// What of this fails must not keep the rest from making room: a full store
	// may be why. There is no patch: it ended older runs, so that no open one
	// has such a failure in its history.
	var failed error
	for step := (activities.SweepInput{Keep: in.Keep}); ; {
		var res activities.SweepResult
		if failed = workflow.ExecuteActivity(actx, control.SweepTasks, step).Get(ctx, &res); failed != nil {
			break
		}
		out.Ended += len(res.Orphans)
		for _, o := range res.Orphans {
			out.Strays += settleOrphan(ctx, o)
		}
		for _, mail := range res.Ended {
			if err := workflow.ExecuteActivity(actx, control.Notify, mail).Get(ctx, nil); err != nil {
				workflow.GetLogger(ctx).Error("the owner could not be told", "task", mail.Task.ID, "error", err)
			}
		}
		if step.Cursor = res.Cursor; res.Cursor == "" {
			break
		}
	}
	for step := (activities.SweepInput{Keep: in.Keep}); ; {
		var res activities.SweepResult
		if err := workflow.ExecuteActivity(actx, control.SweepBlobs, step).Get(ctx, &res); err != nil {
			return out, err
		}
		out.Removed += res.Removed
		out.Freed += res.Freed
		if step.Cursor = res.Cursor; res.Cursor == "" {
			return out, failed
		}
	}
}

// settleOrphan removes what a task has left behind, with what time it needs
// and one try: the next sweep comes back to it.
func settleOrphan(ctx workflow.Context, in activities.FinishInput) (strays int64) {
	for {
		var res activities.FinishResult
		queue := in.Probe.Route.Queue
		if queue == "" {
			queue = queueOf(in.Ends.Source, in.Ends.Destination)
		}
		opts := stepOptions(queue, in.Ends.Owner, "clean up after "+string(in.Task))
		opts.ScheduleToCloseTimeout = 10 * time.Minute
		if err := workflow.ExecuteActivity(workflow.WithActivityOptions(ctx, opts), data.Finish, in).Get(ctx, &res); err != nil {
			workflow.GetLogger(ctx).Warn("a task that has ended could not be cleaned up", "task", in.Task, "error", err)
			return strays
		}
		strays += res.Strays
		if res.Wait > 0 {
			if workflow.Sleep(ctx, res.Wait) != nil {
				return strays
			}
		}
		if in.Cursor = res.Cursor; res.Cursor == "" && res.Wait == 0 {
			return strays
		}
	}
}
