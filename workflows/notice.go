package workflows

import (
	"errors"
	"slices"
	"time"

	enumspb "go.temporal.io/api/enums/v1"
	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/workflow"

	"github.com/gridferry/gridferry/transfer"
)

// tell sends word of an event to the owner, without waiting for it to arrive.
// Which tells it from others of its kind. It reports false when nobody hears.
func (r *run) tell(ctx workflow.Context, kind transfer.NoticeKind, which string) bool {
	to := r.notify()
	if to == "" && !r.Addressed {
		return false
	}
	r.Telling = append(r.Telling, transfer.Notice{ID: transfer.NoticeID(r.Key, kind, which), Kind: kind, Task: r.brief(ctx), To: to})
	r.send(ctx, r.Telling[len(r.Telling)-1])
	return true
}

// tellEnd tells how the task ended.
func (r *run) tellEnd(ctx workflow.Context) bool {
	if r.Task.Status == transfer.Succeeded {
		return r.tell(ctx, transfer.NoticeSucceeded, "")
	}
	return r.tell(ctx, transfer.NoticeFailed, "")
}

// send has a notice delivered. Until it is, it stays in the state: the next
// run sends it again, under the same id.
func (r *run) send(ctx workflow.Context, n transfer.Notice) {
	if r.errands == nil {
		dctx, _ := workflow.NewDisconnectedContext(ctx)
		r.errands, r.giveUpErrands = workflow.WithCancel(dctx)
	}
	actx := workflow.WithActivityOptions(r.errands, noticeOptions())
	workflow.GoNamed(actx, "notice", func(actx workflow.Context) {
		err := workflow.ExecuteActivity(actx, control.Notify, n).Get(actx, nil)
		if actx.Err() != nil {
			return // given up: the next run sends it
		}
		if err != nil {
			workflow.GetLogger(actx).Error("the owner could not be told", "notice", n.ID, "error", err)
		}
		r.told(n.ID)
		r.nudges++
	})
}

// told ends the sending of a notice.
func (s *State) told(id string) {
	s.Telling = slices.DeleteFunc(s.Telling, func(n transfer.Notice) bool { return n.ID == id })
}

// leaveNotices hands what could not be told yet to a workflow of its own: no
// task stays open for a mail server that is away for a weekend.
func (r *run) leaveNotices(ctx workflow.Context) {
	if len(r.Telling) == 0 {
		return
	}
	r.giveUpErrands()
	cctx := workflow.WithChildOptions(ctx, workflow.ChildWorkflowOptions{
		WorkflowID:        string(r.Key) + "-notices",
		ParentClosePolicy: enumspb.PARENT_CLOSE_POLICY_ABANDON,
		StaticSummary:     cut("tell the owner of "+string(r.Task.ID), 200),
	})
	if err := workflow.ExecuteChildWorkflow(cctx, TypeNotices, r.Telling).GetChildWorkflowExecution().Get(ctx, nil); err != nil {
		workflow.GetLogger(ctx).Error("the owner will not be told", "notices", len(r.Telling), "error", err)
	}
}

// Notices delivers what a task could not while it ran, for as long as a notice
// may take.
func Notices(ctx workflow.Context, left []transfer.Notice) error {
	// The task's own last try may still be under way. Its mark counts.
	if err := workflow.Sleep(ctx, noticeTime); err != nil {
		return err
	}
	actx := workflow.WithActivityOptions(ctx, noticeOptions())
	sent := make([]workflow.Future, len(left))
	for i, n := range left {
		sent[i] = workflow.ExecuteActivity(actx, control.Notify, n)
	}
	var errs []error
	for _, f := range sent {
		errs = append(errs, f.Get(ctx, nil))
	}
	return errors.Join(errs...)
}

// noticeTime is how long one try of a notice may take.
const noticeTime = time.Minute

// noticeOptions let a notice wait for a mail server that is away for a weekend.
// No task waits that long for it.
func noticeOptions() workflow.ActivityOptions {
	return workflow.ActivityOptions{
		StartToCloseTimeout:    noticeTime,
		HeartbeatTimeout:       10 * time.Second,
		ScheduleToCloseTimeout: 72 * time.Hour,
		RetryPolicy:            &temporal.RetryPolicy{InitialInterval: time.Second, BackoffCoefficient: 2, MaximumInterval: 5 * time.Minute},
		Summary:                "mail to the owner",
	}
}
