package workflows

import (
	"errors"
	"fmt"
	"strconv"
	"time"

	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/workflow"

	"github.com/gridferry/gridferry/activities"
	"github.com/gridferry/gridferry/fault"
	"github.com/gridferry/gridferry/transfer"
)

// The activities are referred to through nil pointers: only their names count.
var (
	data    *activities.Data
	control *activities.Control
)

// run is one run of a task: its state, and what dies with the run.
type run struct {
	*State
	began    time.Time
	copies   workflow.Context // of the copies in flight
	yield    workflow.CancelFunc
	flights  int  // copies in flight
	walking  bool // a walk step is in flight
	staging  bool // a step of the staging is in flight
	retuning bool // the tuning was changed: yield and start anew
	fatal    *failure
	nudges   int // grows whenever something happened that a waiting coroutine should look at

	firstRecord time.Time // when the task is recorded for the first time, unless it has ended by then; zero once it was

	errands       workflow.Context // of the notices in flight; nil before the first
	giveUpErrands workflow.CancelFunc
	left          *activities.FinishInput // what could not be cleaned up

	alarm struct {
		at   time.Time
		stop workflow.CancelFunc
	}
}

func newRun(ctx workflow.Context, s *State) *run {
	s.Runs++
	r := &run{State: s, began: workflow.Now(ctx)}
	r.renewCopies(ctx)
	return r
}

// renewCopies gives the next copies a context of their own, to be cancelled
// without ending anything else.
func (r *run) renewCopies(ctx workflow.Context) { r.copies, r.yield = workflow.WithCancel(ctx) }

// halted returns what ends the work of this run at once, or nil.
func (r *run) halted(ctx workflow.Context) error {
	switch {
	case ctx.Err() != nil || r.Canceled:
		return workflow.ErrCanceled
	case !workflow.Now(ctx).Before(r.Task.Deadline):
		return errExpired
	case r.fatal != nil:
		return r.fatal
	}
	return nil
}

// interrupted is halted, or errDrain when the history is long enough.
func (r *run) interrupted(ctx workflow.Context) error {
	if err := r.halted(ctx); err != nil {
		return err
	}
	info := workflow.GetInfo(ctx)
	if info.GetContinueAsNewSuggested() ||
		info.GetCurrentHistoryLength() >= r.Policies.DrainEvents ||
		info.GetCurrentHistorySize() >= r.Policies.DrainBytes ||
		workflow.Now(ctx).Sub(r.began) >= r.Policies.MaxRun {
		return errDrain
	}
	return nil
}

// await returns nil when cond holds or until has come, and otherwise what
// interrupts the run. Both may be left out.
func (r *run) await(ctx workflow.Context, until time.Time, cond func() bool, interrupts func(workflow.Context) error) error {
	for {
		if cond != nil && cond() {
			return nil
		}
		if err := interrupts(ctx); err != nil {
			return err
		}
		if !until.IsZero() && !workflow.Now(ctx).Before(until) {
			return nil
		}
		if !r.firstRecord.IsZero() && !workflow.Now(ctx).Before(r.firstRecord) {
			r.keepRecord(ctx, true)
			continue
		}
		r.wakeAt(ctx, earliest(until, r.firstRecord, r.Task.Deadline, r.began.Add(r.Policies.MaxRun)))
		nudges := r.nudges
		if err := workflow.Await(ctx, func() bool {
			return r.nudges != nudges || cond != nil && cond()
		}); err != nil {
			return workflow.ErrCanceled
		}
	}
}

// earliest returns the earliest time that is not zero.
func earliest(times ...time.Time) time.Time {
	var first time.Time
	for _, t := range times {
		if !t.IsZero() && (first.IsZero() || t.Before(first)) {
			first = t
		}
	}
	return first
}

// wakeAt nudges the run at that time or before. There is one timer for all
// that a run waits for: waking early costs one look, and a timer for each wait
// would cost two events.
func (r *run) wakeAt(ctx workflow.Context, at time.Time) {
	now := workflow.Now(ctx)
	if !r.alarm.at.IsZero() && !at.Before(r.alarm.at) {
		return
	}
	if r.alarm.stop != nil {
		r.alarm.stop()
	}
	tctx, stop := workflow.WithCancel(ctx)
	r.alarm.at, r.alarm.stop = at, stop
	// The server counts in whole milliseconds or coarser: never wake just before.
	wait := max(at.Sub(now), 0).Truncate(time.Millisecond) + time.Millisecond
	timer := workflow.NewTimerWithOptions(tctx, wait, workflow.TimerOptions{Summary: "look again"})
	workflow.GoNamed(tctx, "alarm", func(tctx workflow.Context) {
		if timer.Get(tctx, nil) != nil {
			return // replaced by an earlier one, or the run was cancelled
		}
		r.alarm.at, r.alarm.stop = time.Time{}, nil
		r.nudges++
	})
}

// gate waits until something new may be begun: no pause, no backoff. While a
// credential is missing it lets a try through every so often.
func (r *run) gate(ctx workflow.Context) error {
	for {
		if err := r.interrupted(ctx); err != nil {
			return err
		}
		now := workflow.Now(ctx)
		switch {
		case r.Task.Paused:
			if err := r.await(ctx, time.Time{}, func() bool { return !r.Task.Paused }, r.interrupted); err != nil {
				return err
			}
		case len(r.Wanted) > 0:
			err := r.suspend(ctx)
			if err != nil || !r.Task.Paused {
				return err
			}
		case r.Task.Status == transfer.Inactive: // before changeSuspension
			until := now.Add(r.Policies.Look)
			err := r.await(ctx, until, func() bool { return r.Renewed || r.Task.Paused }, r.interrupted)
			if err != nil || !r.Task.Paused {
				r.Renewed = false
				return err
			}
		case now.Before(r.Hold.Until):
			err := r.await(ctx, r.Hold.Until, func() bool { return r.Task.Paused || !now.Before(r.Hold.Until) }, r.interrupted)
			if err != nil {
				return err
			}
		default:
			return nil
		}
	}
}

// insist runs a step until it ends well, dealing by kind with what goes wrong:
// again after a while, after a credential was renewed, or never.
func (r *run) insist(ctx workflow.Context, step func() error) error {
	for {
		if err := r.gate(ctx); err != nil {
			return err
		}
		err := step()
		if err == nil {
			r.activated(ctx)
			r.progressed(ctx)
			return nil
		}
		if err == workflow.ErrCanceled || err == errExpired || err == errDrain {
			return err
		}
		if f := (*failure)(nil); errors.As(err, &f) {
			return f
		}
		if err := r.trouble(ctx, faultOf(ctx, err)); err != nil {
			return err
		}
		r.keepRecord(ctx, true)
	}
}

// do runs one activity of some seconds, without letting a long history cut it
// short. What halts the run cancels it and is returned.
func (r *run) do(ctx workflow.Context, queue, summary string, activity, in, out any) error {
	actx, cancel := workflow.WithCancel(workflow.WithActivityOptions(ctx, stepOptions(queue, r.Ends.Owner, summary)))
	defer cancel()
	f := workflow.ExecuteActivity(actx, activity, in)
	if err := r.await(ctx, time.Time{}, f.IsReady, r.halted); err != nil {
		cancel()
		// It says nothing that counts any more, but must not work on beside
		// what comes next.
		_ = f.Get(ctx, nil)
		return err
	}
	return f.Get(ctx, out)
}

// changePause is the patch since which a pause stops what a task begins with.
const changePause = "express-pause"

// doPausing is do for what may take longer. When the task is paused the activity
// is asked to stop, and its result says how far it got; one that had not begun by
// then is run anew after the pause.
func (r *run) doPausing(ctx workflow.Context, queue, summary string, activity, in, out any) error {
	for {
		actx, stop := workflow.WithCancel(workflow.WithActivityOptions(ctx, stepOptions(queue, r.Ends.Owner, summary)))
		f := workflow.ExecuteActivity(actx, activity, in)
		err := r.await(ctx, time.Time{}, func() bool { return f.IsReady() || r.Task.Paused }, r.halted)
		paused := err == nil && !f.IsReady() && r.since(ctx, changePause)
		if err == nil && !paused {
			err = r.await(ctx, time.Time{}, f.IsReady, r.halted)
		}
		stop()
		if err != nil {
			_ = f.Get(ctx, nil) // as do has it
			return err
		}
		if err = f.Get(ctx, out); !paused || !temporal.IsCanceledError(err) {
			return err
		}
		if err := r.gate(ctx); err != nil {
			return err
		}
	}
}

// progressed forgets a hold: what was wrong has passed.
func (r *run) progressed(ctx workflow.Context) {
	if r.suspended() && r.since(ctx, changeSuspension) {
		return // what got done was begun before: it says nothing of the credential
	}
	r.Hold = Hold{}
	if r.Task.Status != transfer.Inactive {
		return
	}
	r.Task.Status = transfer.Active
	r.event(ctx, transfer.Event{Code: transfer.EventActivated, Description: "the credentials work again"})
	r.publish(ctx)
}

// trouble decides what a fault of a step means for the run: a hold, a
// suspension, or the end, which it returns.
func (r *run) trouble(ctx workflow.Context, f transfer.Fault) error {
	if r.Hold.Fault.Kind != f.Kind {
		r.Hold = Hold{}
	}
	r.Hold.Tries++
	_, err := r.answer(ctx, f, r.Hold.Tries)
	return err
}

// blocked is trouble that keeps a chunk from getting on.
func (r *run) blocked(ctx workflow.Context, w *Work, f transfer.Fault) error {
	if w.BlockKind != f.Kind {
		w.BlockKind, w.Blocks = f.Kind, 0
	}
	w.Blocks++
	r.Hold.Tries = w.Blocks
	delay, err := r.answer(ctx, f, w.Blocks)
	w.NotBefore = workflow.Now(ctx).Add(delay)
	return err
}

// changeTold is the patch since which an owner counts as told only when somebody
// hears.
const changeTold = "told-who-hears"

// answer does what transfer.AnswerTo says about a fault that is not of single
// files.
func (r *run) answer(ctx workflow.Context, f transfer.Fault, attempt int) (delay time.Duration, err error) {
	const tellAgain = 24 * time.Hour
	now := workflow.Now(ctx)
	if r.Hold.Fault.Kind != f.Kind || r.Hold.Since.IsZero() {
		r.Hold.Since = now
	}
	r.Hold.Fault = f
	answer := transfer.AnswerTo(transfer.Trouble{
		Kind: f.Kind, Attempt: attempt, OnError: r.onError(), FailOnFull: r.Request.FailOnFull, OwnStore: f.OwnStore,
	})
	switch answer.Action {
	case transfer.Suspend:
		if r.since(ctx, changeSuspension) {
			r.want(f)
			return 0, nil
		}
		if r.Task.Status == transfer.Inactive { // each look finds the same: say it once
			r.Task.LastFault = &f
			return 0, nil
		}
		r.fault(ctx, f, "")
		r.Task.Status, r.InactiveSince = transfer.Inactive, now
		r.event(ctx, transfer.Event{Code: transfer.EventInactive, Description: "waiting for a credential: " + f.Message})
		r.publish(ctx)
		r.Suspensions++
		r.tell(ctx, transfer.NoticeInactive, strconv.Itoa(r.Suspensions))
		return 0, nil
	case transfer.Again, transfer.Wait:
		r.fault(ctx, f, "")
		r.Hold.Until = now.Add(answer.Delay)
		if answer.Action == transfer.Wait && (r.Told.IsZero() || now.Sub(r.Told) >= tellAgain) {
			// Who hears of it is not known before the first record.
			if r.tell(ctx, transfer.NoticeWaiting, strconv.FormatInt(now.Unix(), 10)) || !r.since(ctx, changeTold) {
				r.Told = now
			}
		}
		return answer.Delay, nil
	}
	r.fault(ctx, f, "")
	return 0, &failure{f}
}

// fault counts a fault and keeps it as the last one.
func (r *run) fault(ctx workflow.Context, f transfer.Fault, chunk string) {
	if f.Time.IsZero() {
		f.Time = workflow.Now(ctx)
	}
	r.Task.LastFault = &f
	r.Task.Progress.Faults += max(f.Count, 1)
	r.event(ctx, transfer.Event{Code: transfer.EventFault, Description: f.Message, Fault: &f, Chunk: chunk})
	r.limitFaults(ctx, f)
}

// limitFaults ends the task that has had more faults than it was asked to bear.
func (r *run) limitFaults(ctx workflow.Context, last transfer.Fault) {
	most, n := r.Request.MaxFaults, r.Task.Progress.Faults
	if most == 0 || n <= most || r.Task.Phase == transfer.PhaseDone {
		return
	}
	r.endIf(&failure{transfer.Fault{
		Kind: last.Kind, Path: last.Path, Time: workflow.Now(ctx), Count: n,
		Message: fmt.Sprintf("there were %d faults, and max_faults allows %d; the last was: %s", n, most, last.Message),
	}})
}

// event notes what happened, for the next record.
func (r *run) event(ctx workflow.Context, e transfer.Event) {
	const keep = 500 // more than that between two records is a storm; its beginning tells what it is
	if len(r.Events) >= keep {
		return
	}
	if e.Time.IsZero() {
		e.Time = workflow.Now(ctx)
	}
	r.Events = append(r.Events, e)
}

// stepOptions are those of an activity of at most some 30 seconds.
func stepOptions(queue, owner, summary string) workflow.ActivityOptions {
	return workflow.ActivityOptions{
		TaskQueue:           queue,
		StartToCloseTimeout: 10 * time.Minute,
		HeartbeatTimeout:    20 * time.Second,
		WaitForCancellation: true,
		RetryPolicy:         retryPolicy(),
		Summary:             cut(summary, 200),
		Priority:            Priority(owner),
	}
}

// copyActivityOptions are those of a copy. A chunk is planned for a minute; the day
// is for a large file on a slow line, and starts again at its ledger.
func copyActivityOptions(queue, owner, summary string) workflow.ActivityOptions {
	opts := stepOptions(queue, owner, summary)
	opts.StartToCloseTimeout = 24 * time.Hour
	return opts
}

// retryPolicy repeats what a lost worker left and what was Busy. Everything
// else is the workflow's to decide.
func retryPolicy() *temporal.RetryPolicy {
	return &temporal.RetryPolicy{
		InitialInterval:        time.Second,
		BackoffCoefficient:     2,
		MaximumInterval:        30 * time.Second,
		NonRetryableErrorTypes: append(activities.DecidedByWorkflow(), "PanicError"),
	}
}

// Priority shares the workers out among owners. The server takes 64 bytes.
func Priority(owner string) temporal.Priority {
	return temporal.Priority{FairnessKey: cut(owner, 64)}
}

// faultOf reads the fault out of an activity's error.
func faultOf(ctx workflow.Context, err error) transfer.Fault {
	f := activities.FaultOf(err)
	var panicked *temporal.PanicError
	var timeout *temporal.TimeoutError
	switch {
	case errors.As(err, &panicked):
		f = transfer.Fault{Kind: fault.Internal, Message: "a worker failed at it: " + panicked.Error()}
	case errors.As(err, &timeout):
		f = transfer.Fault{Kind: fault.Transient, Message: fmt.Sprintf("no worker finished it in time (%s)", timeout.TimeoutType())}
	}
	f.Time, f.Count = workflow.Now(ctx), 1
	return f
}

// cut shortens s to n bytes at most, between characters.
func cut(s string, n int) string {
	if len(s) <= n {
		return s
	}
	end := 0
	for i := range s { // each start of a character
		if i > n-len("…") {
			break
		}
		end = i
	}
	return s[:end] + "…"
}
