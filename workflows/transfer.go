package workflows

import (
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/workflow"

	"github.com/gridferry/gridferry/activities"
	"github.com/gridferry/gridferry/fault"
	"github.com/gridferry/gridferry/transfer"
)

// Transfer moves what a transfer.Request asks for. Its input is that request
// as plain JSON, from whatever language: unknown fields and everything else
// that is wrong end it as a non-retryable application error of type Invalid
// before anything is contacted.
//
// It ends with the transfer.Task, cancelled when it was asked to cancel, or
// with an application error of type TaskFailed whose details are the task.
func Transfer(ctx workflow.Context, input json.RawMessage) (transfer.Task, error) {
	return tellTransfer(ctx, input, Site{})
}

func tellTransfer(ctx workflow.Context, input json.RawMessage, site Site) (transfer.Task, error) {
	s, err := continued(ctx, input)
	if s == nil && err == nil {
		s, err = newTransferState(ctx, input, site)
	}
	if err != nil {
		return transfer.Task{}, refusal(err)
	}
	r := newRun(ctx, s)
	if err := r.listen(ctx); err != nil {
		return transfer.Task{}, err
	}
	r.begin(ctx)
	return r.end(ctx, TypeTransfer, r.transfer(ctx))
}

// transfer is the story of a transfer, from wherever the last run left it.
func (r *run) transfer(ctx workflow.Context) error {
	if r.Task.Phase == transfer.PhaseStarting && r.express() {
		taken, err := r.tryExpress(ctx)
		if err != nil {
			return err
		}
		if taken {
			r.Walk.Done = true
			r.Task.Progress.Walking = false
		}
		r.Task.Phase = transfer.PhaseCopying
	}
	if r.Task.Phase == transfer.PhaseStarting {
		if err := r.setOut(ctx); err != nil {
			return err
		}
		r.Task.Phase = transfer.PhaseCopying
		r.publish(ctx)
	}
	for r.Task.Phase != transfer.PhaseDone {
		switch r.Task.Phase {
		case transfer.PhaseCopying:
			if err := r.move(ctx); err != nil {
				return err
			}
			r.Task.Phase, r.Cursor = transfer.PhaseDeleting, ""
		case transfer.PhaseDeleting:
			if err := r.deleteExtras(ctx); err != nil {
				return err
			}
			r.Task.Phase, r.Cursor = transfer.PhaseFinish, ""
		case transfer.PhaseFinish:
			again, err := r.finish(ctx)
			if err != nil {
				return err
			}
			if again {
				r.Task.Phase = transfer.PhaseCopying
				continue
			}
			r.Task.Phase = transfer.PhaseDone
		}
	}
	if r.fatal != nil && r.Request.MaxFaults > 0 { // it came with the last thing done
		return r.fatal
	}
	if r.Strict != nil {
		return &failure{*r.Strict}
	}
	return nil
}

// begin greets a run: what the namespace can show, and the first of what it
// does show.
func (r *run) begin(ctx workflow.Context) {
	r.askAttributes(ctx)
	for _, n := range r.Telling {
		r.send(ctx, n)
	}
	if r.Runs == 1 {
		r.event(ctx, transfer.Event{Code: transfer.EventStarted, Description: Summary(r.Task)})
	}
	r.publish(ctx)
}

// changeOpen is the patch since which the first step of a walk logs in itself, and
// the first record comes a second later.
const changeOpen = "walk-opens"

// setOut logs in to both ends, which chooses the route, and begins to walk, in one
// activity: a small tree would wait for the engine as long as for its servers. Nor
// does it wait for a record of its beginning, when it has ended in a second.
func (r *run) setOut(ctx workflow.Context) error {
	if !r.since(ctx, changeOpen) {
		r.keepRecord(ctx, true)
		return r.activate(ctx)
	}
	if r.Recorded.IsZero() {
		r.firstRecord = workflow.Now(ctx).Add(time.Second)
	}
	var res activities.WalkResult
	err := r.insist(ctx, func() error {
		return r.seek(func(queue string) (activities.ProbeResult, error) {
			res = activities.WalkResult{}
			in := r.walkInput()
			in.Open = true
			if err := r.doPausing(ctx, queue, "log in to both ends, segment 1", data.WalkStep, in, &res); err != nil || res.Probe == nil {
				return activities.ProbeResult{}, err
			}
			return *res.Probe, nil
		})
	})
	switch {
	case err != nil:
		return err
	case res.Probe == nil: // a worker of an older release did not open: it is walked again
		return r.activate(ctx)
	}
	r.probed(ctx, *res.Probe)
	r.walked(ctx, res)
	return nil
}

// activate logs in to both ends, which chooses the route, and waits for
// credentials as long as it takes.
func (r *run) activate(ctx workflow.Context) error {
	var res activities.ProbeResult
	err := r.insist(ctx, func() error {
		return r.seek(func(queue string) (activities.ProbeResult, error) {
			res = activities.ProbeResult{} // anew: absent fields leave what was there
			err := r.do(ctx, queue, "log in to both ends", data.Probe, activities.ProbeInput{Ends: r.Ends, Rule: r.Rule}, &res)
			return res, err
		})
	})
	if err == nil {
		r.probed(ctx, res)
	}
	return err
}

// seek runs a step where the ends are: a worker that is elsewhere finds out on
// which queue to ask again.
func (r *run) seek(step func(queue string) (activities.ProbeResult, error)) error {
	queue := r.firstQueue()
	for hop := 0; ; hop++ {
		found, err := step(queue)
		if err != nil || !found.Elsewhere {
			return err
		}
		if hop == 2 || found.Route.Queue == queue {
			return misplaced(queue)
		}
		queue = found.Route.Queue
	}
}

// misplaced is the failure of workers that send one another away.
func misplaced(queue string) error {
	return asError(transfer.Fault{Kind: fault.Internal,
		Message: fmt.Sprintf("the worker on queue %s is not on the host that the queue is named for; check its site setting", queue)})
}

// firstQueue is where to look first: a bound endpoint's own host when its name
// tells, and otherwise any data worker, which knows more.
func (r *run) firstQueue() string {
	if r.Probe != nil {
		return r.Probe.Route.Queue
	}
	return queueOf(r.Ends.Source, r.Ends.Destination)
}

func queueOf(endpoints ...string) string {
	for _, e := range endpoints {
		if site, bound := transfer.Site(e); bound && site != "" {
			return transfer.SiteQueue(site)
		}
	}
	return transfer.QueueData
}

func (r *run) probed(ctx workflow.Context, res activities.ProbeResult) {
	if r.Probe == nil || r.Probe.Route != res.Route {
		r.event(ctx, transfer.Event{Code: transfer.EventRoute, Description: string(res.Route.Path) + ": " + res.Route.Reason})
	}
	for _, f := range res.Faults {
		r.fault(ctx, f, "")
	}
	res.Faults = nil
	r.Probe, r.Task.Route = &res, res.Route
}

// tryExpress lets one activity do everything, which it does for a small file.
// It reports false when there is more to it, and then the ends are activated.
func (r *run) tryExpress(ctx workflow.Context) (taken bool, err error) {
	var res activities.ExpressResult
	r.Copied = workflow.Now(ctx)
	err = r.insist(ctx, func() error {
		return r.seek(func(queue string) (activities.ProbeResult, error) {
			res = activities.ExpressResult{}
			in := activities.ExpressInput{Task: r.Key, Ends: r.Ends, Request: r.Request, Stage: true}
			err := r.doPausing(ctx, queue, "express: "+r.Task.Source, data.Express, in, &res)
			return res.Probe, err
		})
	})
	if err != nil {
		r.MustSettle = true
		return false, err
	}
	r.probed(ctx, res.Probe)
	if !res.Taken {
		r.Copied = time.Time{}
		r.publish(ctx)
		return false, nil
	}
	r.Task.Progress = r.Task.Progress.Add(res.Found)
	if res.Chunk.ID == "" { // skipped by the sync rule: there was nothing to copy
		return true, nil
	}
	w := &Work{Chunk: res.Chunk, Schedules: 1}
	r.Work = append(r.Work, w)
	r.settle(ctx, w, res.Copy)
	return true, nil
}

// deleteExtras removes what the source does not have, when that was asked for
// and everything before it went well enough to know what the source has.
func (r *run) deleteExtras(ctx workflow.Context) error {
	if !r.Request.DeleteExtra || r.ExtrasGone || r.Walk.NExtras == 0 {
		return nil
	}
	if why := r.mustNotDelete(); why != "" {
		f := transfer.Fault{Kind: fault.Invalid, Message: why, Time: workflow.Now(ctx)}
		r.fault(ctx, f, "")
		if r.Strict == nil {
			r.Strict = &f
		}
		r.ExtrasGone = true
		return nil
	}
	for {
		cursor, err := r.deleteStep(ctx, activities.DeleteInput{Task: r.Key, Ends: r.Ends, Lists: r.Walk.Extras, Cursor: r.Cursor})
		if err != nil {
			return err
		}
		if r.Cursor = cursor; cursor == "" {
			r.ExtrasGone = true
			return nil
		}
	}
}

// mustNotDelete says why no extra may be deleted; empty when they may.
func (r *run) mustNotDelete() string {
	p := r.Task.Progress
	bound, err := transfer.ParseMaxDelete(r.Request.MaxDelete)
	switch {
	case err != nil:
		return err.Error()
	case r.Walk.Errors > 0:
		return "no extra was deleted: parts of the source could not be read, so what is there is not known"
	case r.NFailed > 0:
		return "no extra was deleted: files were given up"
	case p.Files+p.FilesSkipped+p.Directories+p.Links == 0:
		return "no extra was deleted: the source came back empty"
	case !bound.Allows(r.Walk.NExtras, r.Walk.NExtras+p.Files+p.FilesSkipped+p.Directories+p.Links):
		return fmt.Sprintf("no extra was deleted: %d names would go, more than the %s allowed", r.Walk.NExtras, r.Request.MaxDelete)
	}
	return ""
}

// deleteStep deletes for some seconds and returns where to go on.
func (r *run) deleteStep(ctx workflow.Context, in activities.DeleteInput) (cursor string, err error) {
	var res activities.DeleteResult
	err = r.insist(ctx, func() error {
		res = activities.DeleteResult{}
		if err := r.do(ctx, r.Probe.Route.Queue, "delete", data.Delete, in, &res); err != nil {
			return err
		}
		if r.Task.Progress.Deleted += res.Deleted; res.Deleted > 0 {
			r.moved()
		}
		for _, f := range res.Faults {
			r.fault(ctx, f, "")
		}
		r.giveUp(ctx, res.Failed, max(res.NFailed, int64(len(res.Failed))))
		if res.Blocked != nil {
			in.Cursor = res.Cursor
			return asError(*res.Blocked)
		}
		return nil
	})
	r.keepRecord(ctx, false)
	r.showDetails(ctx)
	return res.Cursor, err
}

// asError carries a fault found inside a result to where errors of activities
// are decided.
func asError(f transfer.Fault) error {
	return temporal.NewApplicationError(f.Message, string(f.Kind), f)
}

// finish verifies what was late, removes temporary names and sets the times of
// directories. It reports true when files were found wrong and are to be
// copied again.
func (r *run) finish(ctx workflow.Context) (again bool, err error) {
	if !r.MustSettle {
		return false, nil
	}
	for {
		var res activities.FinishResult
		err := r.insist(ctx, func() error {
			res = activities.FinishResult{}
			in := r.finishInput(false)
			if err := r.do(ctx, r.Probe.Route.Queue, "finish", data.Finish, in, &res); err != nil {
				return err
			}
			for _, f := range res.Faults {
				r.fault(ctx, f, "")
			}
			r.Cursor = res.Cursor
			if res.Blocked != nil {
				return asError(*res.Blocked)
			}
			return nil
		})
		if err != nil {
			return false, err
		}
		for _, c := range res.Redo {
			r.Work = append(r.Work, &Work{Chunk: c})
			// What was counted as done turned out not to be.
			r.Task.Progress.FilesDone = max(0, r.Task.Progress.FilesDone-c.Files)
			r.Task.Progress.BytesDone = max(0, r.Task.Progress.BytesDone-c.Bytes)
			again = true
		}
		if again {
			return true, nil
		}
		if res.Wait > 0 {
			if err := r.await(ctx, workflow.Now(ctx).Add(res.Wait), nil, r.interrupted); err != nil {
				return false, err
			}
			continue
		}
		if res.Cursor == "" {
			return false, nil
		}
	}
}

func (r *run) finishInput(abandon bool) activities.FinishInput {
	in := activities.FinishInput{
		Task: r.Key, Ends: r.Ends, Options: r.copyOptions(), Dirs: r.Walk.Dirs, Abandon: abandon, Cursor: r.Cursor,
	}
	if r.Probe != nil { // an express copy may have begun before anything is known here
		in.Probe = *r.Probe
	}
	return in
}

// refusal ends a workflow whose input is wrong.
func refusal(err error) error {
	kind := fault.KindOf(err)
	f := transfer.Fault{Kind: kind, Message: err.Error()}
	var e *fault.Error
	if errors.As(err, &e) {
		f.Path = e.Path
	}
	return temporal.NewNonRetryableApplicationError(err.Error(), string(kind), nil, f)
}
