package workflows

import (
	"errors"
	"time"

	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/workflow"

	"github.com/gridferry/gridferry/activities"
	"github.com/gridferry/gridferry/fault"
	"github.com/gridferry/gridferry/transfer"
)

// end closes a run: it continues as new, or ends the task the way the story
// did. What it does then is out of reach of any cancellation, and bounded.
func (r *run) end(ctx workflow.Context, workflowType string, err error) (transfer.Task, error) {
	dctx, _ := workflow.NewDisconnectedContext(ctx)
	if err == errDrain {
		return transfer.Task{}, r.continueAsNew(dctx, workflowType)
	}
	if err != nil {
		r.Canceled = r.Canceled || err == workflow.ErrCanceled // the verdict and the handlers go by it
		r.publish(dctx)
		r.unstage(dctx)
		r.abandon(dctx)
	}
	r.conclude(dctx, err)
	r.forget(dctx)
	left := r.leave(dctx)
	told := r.tellEnd(dctx)
	r.keepFinalRecord(dctx)
	if !told { // of a short task this record is the first to say whether anybody hears
		r.tellEnd(dctx)
	}
	r.publish(dctx)
	quiet := func() bool { return len(r.Telling) == 0 && left() && workflow.AllHandlersFinished(dctx) }
	if !quiet() { // spares the timer where nobody is told
		_, _ = workflow.AwaitWithTimeout(dctx, r.Policies.Cleanup, quiet)
		r.leaveNotices(dctx)
	}
	task := r.status(dctx)
	switch {
	case err == nil:
		return task, nil
	case err == workflow.ErrCanceled:
		return transfer.Task{}, temporal.NewCanceledError(task)
	}
	return transfer.Task{}, temporal.NewNonRetryableApplicationError(task.Fatal.Message, ErrorTaskFailed, nil, task)
}

// continueAsNew hands the state to a new run. Nothing is in flight but
// notices, which the new run sends again, and what the handlers were told
// before the last moment is in the state.
func (r *run) continueAsNew(ctx workflow.Context, workflowType string) error {
	if r.giveUpErrands != nil {
		r.giveUpErrands()
	}
	if err := workflow.Await(ctx, func() bool { return workflow.AllHandlersFinished(ctx) }); err != nil {
		return err
	}
	r.keepRecord(ctx, false)
	r.drainSignals(ctx)
	return workflow.NewContinueAsNewError(ctx, workflowType, Continued{State: r.State})
}

// conclude writes how the task ended into its state.
func (r *run) conclude(ctx workflow.Context, err error) {
	now := workflow.Now(ctx)
	r.Task.Phase, r.Task.Completed = transfer.PhaseDone, now
	r.Task.Paused, r.Task.Progress.Walking = false, false
	r.Hold = Hold{}
	if err == nil {
		r.Task.Status = transfer.Succeeded
		r.event(ctx, transfer.Event{Code: transfer.EventSucceeded, Description: "succeeded"})
		return
	}
	r.Task.Status = transfer.Failed
	if err == workflow.ErrCanceled {
		r.event(ctx, transfer.Event{Code: transfer.EventCanceled, Description: "cancelled"})
		return
	}
	code := transfer.EventFailed
	f := transfer.Fault{Kind: fault.Internal, Message: err.Error(), Time: now}
	var failed *failure
	switch {
	case err == errExpired:
		code = transfer.EventExpired
		f = transfer.Fault{Kind: fault.Canceled, Message: "the deadline has passed before everything was done", Time: now}
		if last := r.Task.LastFault; last != nil {
			f.Message += "; the last fault was: " + last.Message
		}
	case errors.As(err, &failed):
		f = failed.fault
	}
	r.Task.Fatal = &f
	r.event(ctx, transfer.Event{Code: code, Description: f.Message, Fault: &f})
}

// abandon removes what a failed task leaves half done, for some minutes at
// most; what then remains is in the sweep's hands, by the final record.
func (r *run) abandon(ctx workflow.Context) {
	if r.Delete != nil || (!r.MustSettle && r.Copied.IsZero()) {
		return // nothing was begun
	}
	until := workflow.Now(ctx).Add(r.Policies.Cleanup)
	r.Cursor = ""
	for {
		in := r.finishInput(true)
		r.left = &in
		left := until.Sub(workflow.Now(ctx))
		if left <= 0 {
			return
		}
		opts := stepOptions(r.firstQueue(), r.Ends.Owner, "clean up")
		opts.ScheduleToCloseTimeout = left
		var res activities.FinishResult
		err := workflow.ExecuteActivity(workflow.WithActivityOptions(ctx, opts), data.Finish, in).Get(ctx, &res)
		if err != nil {
			r.fault(ctx, faultOf(ctx, err), "")
			return
		}
		for _, f := range res.Faults {
			r.fault(ctx, f, "")
		}
		for _, name := range res.Unproven {
			r.event(ctx, transfer.Event{Code: transfer.EventFault, Description: "left behind, and not proven right: " + name})
		}
		if res.Wait > 0 {
			if err := workflow.Sleep(ctx, min(res.Wait, left)); err != nil {
				return
			}
		}
		if res.Blocked != nil && r.since(ctx, changeSuspension) {
			r.fault(ctx, *res.Blocked, "")
			return
		}
		if r.Cursor = res.Cursor; res.Cursor == "" && res.Wait == 0 {
			r.left = nil
			return
		}
	}
}

// leave gives back the task's places at ends that have few of them, and
// returns what says whether that is done.
func (r *run) leave(ctx workflow.Context) (done func() bool) {
	if r.Probe == nil || r.Probe.Source.Tasks+r.Probe.Destination.Tasks == 0 || r.Walk.Segments == 0 {
		return func() bool { return true } // none, or given back by the express copy
	}
	opts := stepOptions(r.Probe.Route.Queue, r.Ends.Owner, "make room for other tasks")
	opts.ScheduleToCloseTimeout = time.Minute // by then they have expired
	in := activities.CopyInput{Task: r.Key, Ends: r.Ends, Probe: *r.Probe}
	return workflow.ExecuteActivity(workflow.WithActivityOptions(ctx, opts), data.Leave, in).IsReady
}
