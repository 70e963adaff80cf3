package service

import (
	"context"
	"errors"
	"fmt"
	"time"

	commonpb "go.temporal.io/api/common/v1"
	enumspb "go.temporal.io/api/enums/v1"
	workflowpb "go.temporal.io/api/workflow/v1"
	"go.temporal.io/api/workflowservice/v1"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/converter"
	"go.temporal.io/sdk/temporal"

	"github.com/gridferry/gridferry/activities"
	"github.com/gridferry/gridferry/fault"
	"github.com/gridferry/gridferry/transfer"
	"github.com/gridferry/gridferry/workflows"
)

// Task implements transfer.Service. A running task is what its workflow says,
// with what its copies last heard of added; without a worker to answer, it is
// the last projection, and says so.
func (s *Service) Task(ctx context.Context, id transfer.TaskID) (transfer.Task, error) {
	d, err := s.describe(ctx, id)
	if fault.Is(err, fault.NotFound) {
		return s.forgotten(ctx, id, err)
	}
	if err != nil {
		return transfer.Task{}, err
	}
	if d.GetWorkflowExecutionInfo().GetStatus() == enumspb.WORKFLOW_EXECUTION_STATUS_RUNNING {
		return s.running(ctx, id, d)
	}
	return s.closed(ctx, id, d)
}

// describe looks at a task's workflow. Other workflows are not tasks.
func (s *Service) describe(ctx context.Context, id transfer.TaskID) (*workflowservice.DescribeWorkflowExecutionResponse, error) {
	d, err := s.client.DescribeWorkflowExecution(ctx, workflows.TransferID(id), "")
	if err != nil {
		err = translate(err, "look up", "task "+string(id))
		if fault.Is(err, fault.NotFound) {
			return nil, noTask(id)
		}
		return nil, err
	}
	if t := d.GetWorkflowExecutionInfo().GetType().GetName(); t != workflows.TypeTransfer && t != workflows.TypeDelete {
		return nil, noTask(id)
	}
	return d, nil
}

func noTask(id transfer.TaskID) error {
	return fault.New(fault.NotFound, "find", "task "+string(id), "there is no such task")
}

// running asks the workflow.
func (s *Service) running(ctx context.Context, id transfer.TaskID, d *workflowservice.DescribeWorkflowExecutionResponse) (transfer.Task, error) {
	qctx, cancel := context.WithTimeout(ctx, s.patience)
	defer cancel()
	v, err := s.client.QueryWorkflow(qctx, workflows.TransferID(id), d.GetWorkflowExecutionInfo().GetExecution().GetRunId(), workflows.QueryStatus)
	var status workflows.Status
	if err == nil {
		err = v.Get(&status)
	}
	if err == nil {
		return merge(status, d, time.Now()), nil
	}
	if ctx.Err() != nil {
		return transfer.Task{}, ctx.Err()
	}
	return s.projection(ctx, id, d)
}

// projection is the last that was written of a running task.
func (s *Service) projection(ctx context.Context, id transfer.TaskID, d *workflowservice.DescribeWorkflowExecutionResponse) (transfer.Task, error) {
	task, ok := fromMemo(d.GetWorkflowExecutionInfo().GetMemo())
	if s.records != nil {
		if kept, err := s.records.Task(ctx, id); err == nil && kept.AsOf.After(task.AsOf) {
			task, ok = kept, true
		}
	}
	if !ok {
		return transfer.Task{}, &fault.Error{Kind: fault.Transient, Op: "ask for", Path: "task " + string(id),
			Err: errors.New("no worker answers, and nothing is recorded of the task yet"), Hint: "is gridferryd running?"}
	}
	task.ID = id
	if task.AsOf.IsZero() {
		task.AsOf = task.Requested
	}
	task.Outlook = transfer.Outlook{
		Prospect: transfer.Waiting, For: transfer.ForWorker, Since: task.AsOf,
		Text: fmt.Sprintf("no worker answers; this is how it stood %s ago", transfer.FormatDuration(time.Since(task.AsOf))),
		Hint: "is gridferryd running?",
	}
	task.Verdict = task.Outlook.String()
	return task, nil
}

// merge adds to what the workflow knows what its pending copies last said of
// themselves.
func merge(status workflows.Status, d *workflowservice.DescribeWorkflowExecutionResponse, now time.Time) transfer.Task {
	task := status.Task
	at := make(map[string]int, len(task.Chunks))
	for i, c := range task.Chunks {
		at[c.ID] = i
	}
	for _, a := range d.GetPendingActivities() {
		var walk activities.WalkProgress
		var p activities.CopyProgress
		told := a.GetHeartbeatDetails()
		switch a.GetActivityType().GetName() {
		case "WalkStep":
			// Of the first one the workflow knows that it has not ended; another
			// may have been settled since.
			if task.Phase == transfer.PhaseStarting && decode(told, &walk) && walk.Files+walk.Dirs > 0 {
				task.Progress.Files, task.Progress.Bytes, task.Progress.Directories = walk.Files, walk.Bytes, walk.Dirs
				underWay(&task)
			}
		case "Express":
			// The one file of the task, of which the workflow knows nothing yet.
			if decode(told, &p) {
				task.Progress.Files, task.Progress.Bytes = 1, p.Of
				task.Progress.FilesInFlight, task.Progress.BytesInFlight = p.Files, p.Bytes
				underWay(&task)
			}
		case "Copy":
			// The workflow may have settled the copy since: it is not in flight then.
			if !decode(told, &p) {
				continue
			}
			if i, ok := at[p.Chunk]; ok && task.Chunks[i].State == workflows.ChunkActive {
				inFlight(&task, &task.Chunks[i], p, status.ChunkBytes[p.Chunk])
			}
		}
	}
	if !status.Copying.IsZero() {
		task.Progress = task.Progress.WithRate(status.Copying, now)
	}
	if o, ok := stuck(d, now); ok && !task.Paused && task.Status == transfer.Active {
		task.Outlook, task.Verdict = o, o.String()
	}
	return task
}

// inFlight adds what a copy said of its chunk, of which the task has settled so
// many bytes.
func inFlight(t *transfer.Task, c *transfer.Chunk, p activities.CopyProgress, settled int64) {
	t.Progress.FilesInFlight += max(0, p.Files-c.Done)
	t.Progress.BytesInFlight += max(0, p.Bytes-settled)
	c.Done = max(c.Done, p.Files)
	if p.Sockets > 0 {
		c.Tuning.Concurrency, c.Tuning.Parallelism = p.Sessions, p.Sockets
	}
}

// underWay says of a task that its first step does more by now than log in. The
// workflow hears of it at the step's end.
func underWay(t *transfer.Task) {
	if t.Phase == transfer.PhaseStarting && t.Outlook.Prospect == transfer.Progressing {
		t.Phase, t.Outlook.Text = transfer.PhaseCopying, "progressing"
		t.Verdict = t.Outlook.String()
	}
}

// unclaimed is how long an activity may lie in its queue before somebody
// should know.
const unclaimed = 15 * time.Second

// stuck says what the workflow cannot know, because the server deals with it:
// workers that were lost, limits that are reached, and queues that nobody
// serves.
func stuck(d *workflowservice.DescribeWorkflowExecutionResponse, now time.Time) (transfer.Outlook, bool) {
	var first transfer.Outlook
	moving := false
	for _, a := range d.GetPendingActivities() {
		if a.GetActivityType().GetName() == "Notify" {
			continue // the task does not wait for it
		}
		o, ok := waits(a, now)
		if !ok {
			moving = moving || a.GetState() == enumspb.PENDING_ACTIVITY_STATE_STARTED
			continue
		}
		if first.Prospect == "" {
			first = o
		}
	}
	if moving && first.For == transfer.ForLimit {
		return first, false // some of its copies wait for their turn behind others of its own
	}
	return first, first.Prospect != ""
}

// waits says what keeps an activity from getting on.
func waits(a *workflowpb.PendingActivityInfo, now time.Time) (transfer.Outlook, bool) {
	name := a.GetActivityType().GetName()
	o := transfer.Outlook{Prospect: transfer.Waiting}
	if a.GetScheduledTime() != nil {
		o.Since = a.GetScheduledTime().AsTime()
	}
	switch last := a.GetLastFailure(); {
	case last.GetTimeoutFailureInfo() != nil:
		o.For = transfer.ForWorker
		o.Text = fmt.Sprintf("the worker at %s was lost; attempt %d goes on from where it was", name, a.GetAttempt())
		return o, true
	case last.GetApplicationFailureInfo().GetType() == string(fault.Busy):
		f := transfer.Fault{Kind: fault.Busy}
		_ = decode(last.GetApplicationFailureInfo().GetDetails(), &f) // of another release, perhaps
		o.For, o.Hint = transfer.WaitsFor(f)
		o.Text = "waiting for its turn: " + last.GetMessage()
		if o.For == transfer.ForDrained {
			o.Text = "waiting for an endpoint: " + last.GetMessage()
		}
		return o, true
	case last != nil:
		o.For = transfer.ForServer
		o.Text = fmt.Sprintf("attempt %d of %s, after: %s", a.GetAttempt(), name, last.GetMessage())
		return o, true
	case a.GetState() == enumspb.PENDING_ACTIVITY_STATE_SCHEDULED && a.GetAttempt() <= 1 && a.GetScheduledTime() != nil:
		if lain := now.Sub(o.Since); lain > unclaimed {
			o.For, o.Hint = transfer.ForWorker, "is gridferryd running where it is needed?"
			o.Text = fmt.Sprintf("no worker has taken up %s for %s", name, transfer.FormatDuration(lain))
			if queue := queueOf(a); queue != "" {
				o.Text = fmt.Sprintf("no worker on task queue %s has taken up %s for %s", queue, name, transfer.FormatDuration(lain))
			}
			return o, true
		}
	}
	return o, false
}

// queueOf is the task queue that an activity lies in; empty when the server
// does not tell.
func queueOf(a *workflowpb.PendingActivityInfo) string {
	return a.GetActivityOptions().GetTaskQueue().GetName()
}

// closed reads how a workflow ended.
func (s *Service) closed(ctx context.Context, id transfer.TaskID, d *workflowservice.DescribeWorkflowExecutionResponse) (transfer.Task, error) {
	info := d.GetWorkflowExecutionInfo()
	var task transfer.Task
	err := s.client.GetWorkflow(ctx, workflows.TransferID(id), info.GetExecution().GetRunId()).Get(ctx, &task)
	switch {
	case err == nil:
		return task, nil
	case ctx.Err() != nil:
		return transfer.Task{}, ctx.Err()
	case !ended(err):
		return transfer.Task{}, translate(err, "read the end of", "task "+string(id))
	}
	var app *temporal.ApplicationError
	var canceled *temporal.CanceledError
	switch {
	case errors.As(err, &app) && app.Type() == workflows.ErrorTaskFailed && app.Details(&task) == nil:
		return task, nil
	case errors.As(err, &canceled) && canceled.HasDetails() && canceled.Details(&task) == nil:
		return task, nil
	}
	// It ended without a word of its own: refused at the start, terminated, or
	// timed out by somebody's start options.
	task, ok := fromMemo(info.GetMemo())
	if s.records != nil {
		if kept, err := s.records.Task(ctx, id); err == nil {
			task, ok = kept, true
		}
	}
	if !ok {
		task = transfer.Task{Requested: info.GetStartTime().AsTime()}
	}
	task.ID, task.AsOf = id, time.Time{}
	task.Status, task.Phase, task.Paused = transfer.Failed, transfer.PhaseDone, false
	task.Completed = info.GetCloseTime().AsTime()
	if task.Type == "" {
		task.Type = "TRANSFER"
		if info.GetType().GetName() == workflows.TypeDelete {
			task.Type = "DELETE"
		}
	}
	if task.Fatal == nil {
		f := transfer.Fault{Kind: fault.Canceled, Message: "the workflow was ended from outside (" + info.GetStatus().String() + "), without a cleanup", Time: task.Completed}
		if app != nil {
			f = activities.FaultOf(err)
		}
		task.Fatal = &f
	}
	task.Verdict = task.Fatal.Message
	return task, nil
}

// forgotten looks for a task that Temporal does not have any more.
func (s *Service) forgotten(ctx context.Context, id transfer.TaskID, notFound error) (transfer.Task, error) {
	if s.records != nil {
		task, err := s.records.Task(ctx, id)
		if fault.Is(err, fault.NotFound) {
			return transfer.Task{}, notFound
		}
		return task, err
	}
	res, err := s.read(ctx, activities.ReadInput{What: activities.ReadTask, Task: id})
	if err != nil || res.Task == nil {
		return transfer.Task{}, notFound // without a worker, what Temporal knows is all there is
	}
	return *res.Task, nil
}

// fromMemo is the task as its workflow's memo has it.
func fromMemo(m *commonpb.Memo) (transfer.Task, bool) {
	var task transfer.Task
	p, ok := m.GetFields()[workflows.MemoTask]
	if !ok || converter.GetDefaultDataConverter().FromPayload(p, &task) != nil {
		return transfer.Task{}, false
	}
	return task, true
}

// decode reads the first of some payloads.
func decode(p *commonpb.Payloads, v any) bool {
	if len(p.GetPayloads()) == 0 {
		return false
	}
	return converter.GetDefaultDataConverter().FromPayload(p.GetPayloads()[0], v) == nil
}

// change tells a running task something: by an update, which says no when the
// task cannot obey, and when nobody answers by a signal, which waits for a
// worker.
func (s *Service) change(ctx context.Context, id transfer.TaskID, what string, args ...any) error {
	d, err := s.describe(ctx, id)
	if err != nil {
		return err
	}
	info := d.GetWorkflowExecutionInfo()
	if info.GetStatus() != enumspb.WORKFLOW_EXECUTION_STATUS_RUNNING {
		return hasEnded(what, id)
	}
	uctx, cancel := context.WithTimeout(ctx, s.patience)
	defer cancel()
	err = s.update(uctx, id, what, args...)
	if err == nil || ctx.Err() != nil {
		return errors.Join(err, ctx.Err())
	}
	var app *temporal.ApplicationError
	if errors.As(err, &app) {
		return translate(err, what, "task "+string(id))
	}
	var arg any
	if len(args) > 0 {
		arg = args[0]
	}
	if err := s.client.SignalWorkflow(ctx, workflows.TransferID(id), "", what, arg); err != nil {
		if err := translate(err, what, "task "+string(id)); !fault.Is(err, fault.NotFound) {
			return err
		}
		return hasEnded(what, id)
	}
	return nil
}

func hasEnded(what string, id transfer.TaskID) error {
	return fault.New(fault.Invalid, what, "task "+string(id), "it has ended")
}

// Pause implements transfer.Service.
func (s *Service) Pause(ctx context.Context, id transfer.TaskID) error {
	return s.change(ctx, id, workflows.TellPause, workflows.Who{By: s.caller})
}

// Resume implements transfer.Service.
func (s *Service) Resume(ctx context.Context, id transfer.TaskID) error {
	return s.change(ctx, id, workflows.TellResume)
}

// Modify implements transfer.Service.
func (s *Service) Modify(ctx context.Context, id transfer.TaskID, c transfer.Change) error {
	if err := c.Validate(time.Now()); err != nil {
		return err
	}
	return s.change(ctx, id, workflows.TellModify, c)
}

// Cancel implements transfer.Service. It returns when the request is kept; the
// task ends when its copies have stopped and the rest is cleaned up.
func (s *Service) Cancel(ctx context.Context, id transfer.TaskID) error {
	d, err := s.describe(ctx, id)
	if err != nil {
		return err
	}
	if d.GetWorkflowExecutionInfo().GetStatus() != enumspb.WORKFLOW_EXECUTION_STATUS_RUNNING {
		return hasEnded("cancel", id)
	}
	return translate(s.client.CancelWorkflow(ctx, workflows.TransferID(id), ""), "cancel", "task "+string(id))
}

// update sends an update and waits until it has been obeyed or refused.
func (s *Service) update(ctx context.Context, id transfer.TaskID, name string, args ...any) error {
	h, err := s.client.UpdateWorkflow(ctx, client.UpdateWorkflowOptions{
		WorkflowID: workflows.TransferID(id), UpdateName: name, Args: args, WaitForStage: client.WorkflowUpdateStageCompleted,
	})
	if err != nil {
		return err
	}
	return h.Get(ctx, nil)
}
