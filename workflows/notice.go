package workflows

import (
	"slices"
	"time"

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

// noticeOptions let a notice wait for a mail server that is away for a weekend.
// No task waits that long for it.
func noticeOptions() workflow.ActivityOptions {
	return workflow.ActivityOptions{
		StartToCloseTimeout:    time.Minute,
		HeartbeatTimeout:       10 * time.Second,
		ScheduleToCloseTimeout: 72 * time.Hour,
		RetryPolicy:            &temporal.RetryPolicy{InitialInterval: time.Second, BackoffCoefficient: 2, MaximumInterval: 5 * time.Minute},
		Summary:                "mail to the owner",
	}
}
