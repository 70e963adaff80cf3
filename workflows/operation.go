package workflows

import (
	"fmt"
	"slices"
	"time"

	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/workflow"

	"github.com/gridferry/gridferry/activities"
	"github.com/gridferry/gridferry/fault"
	"github.com/gridferry/gridferry/transfer"
)

// OperationInput is something that a person asks and waits for. Exactly one
// field is set.
type OperationInput struct {
	Browse *activities.BrowseInput `json:"browse,omitempty"`
	Read   *activities.ReadInput   `json:"read,omitempty"`
	Plan   *transfer.Request       `json:"plan,omitempty"`
	Check  *activities.CheckInput  `json:"check,omitempty"`
}

// OperationResult is the answer, in the field of the same name.
type OperationResult struct {
	Browse *activities.BrowseResult `json:"browse,omitempty"`
	Read   *activities.ReadResult   `json:"read,omitempty"`
	Plan   *transfer.Plan           `json:"plan,omitempty"`
	Check  *transfer.Checkup        `json:"check,omitempty"`
}

// Operation runs one short thing on a worker, which has the credentials and
// the routes that the person's machine lacks. What goes wrong is an
// application error whose type is the fault's kind.
func Operation(ctx workflow.Context, in OperationInput) (OperationResult, error) {
	var out OperationResult
	var err error
	switch {
	case in.Browse != nil:
		out.Browse = new(activities.BrowseResult)
		err = operate(ctx, queueOf(in.Browse.Endpoint), in.Browse.Owner, data.Browse, in.Browse, out.Browse)
	case in.Read != nil:
		out.Read = new(activities.ReadResult)
		err = readKept(ctx, *in.Read, out.Read)
	case in.Plan != nil:
		out.Plan, err = plan(ctx, *in.Plan)
	case in.Check != nil:
		out.Check, err = check(ctx, *in.Check)
	default:
		err = asError(transfer.Fault{Kind: fault.Invalid, Message: "one of browse, read, plan and check must be set"})
	}
	if err != nil {
		f := faultOf(ctx, err)
		return OperationResult{}, temporal.NewNonRetryableApplicationError(f.Message, string(f.Kind), nil, f)
	}
	return out, nil
}

// readKept reads what is kept of tasks.
func readKept(ctx workflow.Context, in activities.ReadInput, out *activities.ReadResult) error {
	opts := controlOptions("read " + string(in.What))
	opts.RetryPolicy = retryPolicy() // what is not there will not be there a second later
	return workflow.ExecuteActivity(workflow.WithActivityOptions(ctx, opts), control.Read, in).Get(ctx, out)
}

// operate runs an activity for somebody who waits: not for ever.
func operate(ctx workflow.Context, queue, owner string, activity, in, out any) error {
	opts := stepOptions(queue, owner, "")
	opts.ScheduleToStartTimeout = 30 * time.Second
	opts.ScheduleToCloseTimeout = 5 * time.Minute
	opts.RetryPolicy.MaximumAttempts = 3
	return workflow.ExecuteActivity(workflow.WithActivityOptions(ctx, opts), activity, in).Get(ctx, out)
}

// maxPlanned is how many chunks a plan shows.
const maxPlanned = 1000

// plan walks as a transfer would, and moves nothing.
func plan(ctx workflow.Context, req transfer.Request) (*transfer.Plan, error) {
	now := workflow.Now(ctx)
	req, err := req.Checked(now)
	if err != nil {
		return nil, refusal(err)
	}
	src, err := transfer.ParseLocation(req.Items[0].Source)
	if err != nil {
		return nil, refusal(err)
	}
	dst, err := transfer.ParseLocation(req.Items[0].Destination)
	if err != nil {
		return nil, refusal(err)
	}
	ends := activities.Ends{
		Source: src.Endpoint, Destination: dst.Endpoint, Owner: req.Owner,
		SourceCredential: req.SourceCredential, DestinationCredential: req.DestinationCredential,
	}
	var probe activities.ProbeResult
	queue := queueOf(ends.Source, ends.Destination)
	for hop := 0; ; hop++ {
		probe = activities.ProbeResult{} // anew: absent fields leave what was there
		if err := operate(ctx, queue, req.Owner, data.Probe, activities.ProbeInput{Ends: ends, Rule: req.Route, Plan: true}, &probe); err != nil {
			return nil, err
		}
		if !probe.Elsewhere {
			break
		}
		if hop == 2 || probe.Route.Queue == queue {
			return nil, misplaced(queue)
		}
		queue = probe.Route.Queue
	}
	info := workflow.GetInfo(ctx)
	in := activities.WalkInput{
		Task: Key(info.WorkflowExecution.ID, info.FirstRunID), Ends: ends, Request: req, Policy: req.Tuning, Probe: probe, Plan: true, Ranges: true,
	}
	p := &transfer.Plan{Route: probe.Route}
	segments := 0
	for {
		var res activities.WalkResult
		if err := operate(ctx, probe.Route.Queue, req.Owner, data.WalkStep, in, &res); err != nil {
			return nil, err
		}
		p.Progress = p.Progress.Add(res.Found)
		p.Chunks = append(p.Chunks, res.Chunks...)
		p.Collisions = append(p.Collisions, res.Collisions...)
		segments = max(segments, res.Segments)
		if res.Blocked != nil {
			return nil, asError(*res.Blocked)
		}
		for _, f := range res.Failed {
			p.Collisions = append(p.Collisions, f.Path+": "+f.Message)
		}
		for _, key := range res.Extras {
			if err := planDeletes(ctx, p, in.Task, key); err != nil {
				return nil, err
			}
		}
		if len(p.Chunks) > maxPlanned {
			p.Chunks, p.Truncated = slices.Clip(p.Chunks[:maxPlanned]), true
			break // somebody waits, and has seen what it comes to
		}
		if in.Cursor = res.Cursor; res.Cursor == "" {
			break
		}
	}
	p.Segmented = segments > 1
	p.Description = fmt.Sprintf("%s, %s in %d chunks, %s",
		transfer.FormatFiles(p.Progress.Files), transfer.FormatBytes(p.Progress.Bytes), len(p.Chunks), probe.Route.Reason)
	if p.Segmented {
		p.Description += fmt.Sprintf("; sorted by size within each of %d segments, because the tree is too large to be sorted as a whole", segments)
	}
	return p, nil
}

// planDeletes adds the first names of a list of extras.
func planDeletes(ctx workflow.Context, p *transfer.Plan, task transfer.TaskID, key string) error {
	const most = 1000
	if len(p.Deletes) >= most {
		p.Truncated = true
		return nil
	}
	in := activities.ReadInput{What: activities.ReadExtras, Task: task, Key: key, Page: transfer.Page{Limit: most - len(p.Deletes)}}
	var res activities.ReadResult
	if err := readKept(ctx, in, &res); err != nil {
		return err
	}
	for _, name := range res.Extras {
		p.Deletes = append(p.Deletes, transfer.UnpackName(name))
	}
	p.Truncated = p.Truncated || res.Next != ""
	return nil
}
