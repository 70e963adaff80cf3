package workflows

import (
	"time"

	"go.temporal.io/sdk/workflow"

	"github.com/gridferry/gridferry/activities"
	"github.com/gridferry/gridferry/transfer"
)

// checkTime bounds a check: what it looks at and measures, what it removes
// again, and one attempt more where a worker was lost.
const checkTime = 9 * time.Minute

// check looks at an endpoint, on the host that it is bound to if it is. A
// check that is cancelled ends with what it had found.
func check(ctx workflow.Context, in activities.CheckInput) (*transfer.Checkup, error) {
	for queue, hop := queueOf(in.Endpoint), 0; ; hop++ {
		opts := stepOptions(queue, in.Owner, "check "+in.Endpoint)
		opts.ScheduleToStartTimeout = 30 * time.Second
		opts.ScheduleToCloseTimeout = checkTime
		opts.RetryPolicy.MaximumAttempts = 2
		var res activities.CheckResult
		if err := workflow.ExecuteActivity(workflow.WithActivityOptions(ctx, opts), data.Check, in).Get(ctx, &res); err != nil {
			return nil, err
		}
		if res.Elsewhere == "" {
			return &res.Checkup, nil
		}
		if hop == 2 || res.Elsewhere == queue {
			return nil, misplaced(queue)
		}
		queue = res.Elsewhere
	}
}
