package workflows

import (
	"fmt"
	"time"

	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/workflow"

	"github.com/gridferry/gridferry/activities"
	"github.com/gridferry/gridferry/fault"
	"github.com/gridferry/gridferry/transfer"
)

// move walks the source and copies what the walk hands over, both at once,
// until nothing is left to do. It returns early with what interrupts the run,
// and then nothing is in flight any more.
func (r *run) move(ctx workflow.Context) error {
	for {
		nudges := r.nudges // before the first look: what happens after it must not be missed
		if err := r.interrupted(ctx); err != nil {
			r.land(ctx)
			return err
		}
		switch {
		case r.Task.Paused || r.retuning:
			r.land(ctx)
			r.retuning = false
			r.keepRecord(ctx, true)
			r.publish(ctx)
			if err := r.gate(ctx); err != nil {
				return err
			}
			continue
		case r.suspended() || r.Probe == nil:
			r.land(ctx)
			r.keepRecord(ctx, true)
			if err := r.activate(ctx); err != nil {
				return err
			}
			continue
		case !workflow.Now(ctx).Before(r.Hold.Until):
			r.startWalk(ctx)
			r.startStage(ctx)
			r.startCopies(ctx)
		}
		if r.Walk.Done && len(r.Work) == 0 && !r.staging && !r.Stage.left() {
			return nil
		}
		r.keepRecord(ctx, false)
		if err := r.await(ctx, r.nextStart(ctx), func() bool { return r.nudges != nudges }, r.interrupted); err != nil {
			r.land(ctx)
			return err
		}
	}
}

// land asks what is in flight to stop at its ledger, and waits until it has.
func (r *run) land(ctx workflow.Context) {
	r.yield()
	dctx, _ := workflow.NewDisconnectedContext(ctx)
	_ = workflow.Await(dctx, func() bool { return r.flights == 0 && !r.walking && !r.staging })
	r.renewCopies(ctx)
}

// nextStart is when a hold or a backoff ends; zero when nothing waits for time.
func (r *run) nextStart(ctx workflow.Context) time.Time {
	now := workflow.Now(ctx)
	if now.Before(r.Hold.Until) {
		return r.Hold.Until
	}
	var next time.Time
	if !r.staging {
		next = r.Stage.due(now)
	}
	for _, w := range r.Work {
		if !w.flying && now.Before(w.NotBefore) {
			next = earliest(next, w.NotBefore)
		}
	}
	return next
}

// startWalk begins the next step of the walk, unless there is work enough.
func (r *run) startWalk(ctx workflow.Context) {
	if r.Walk.Done || r.walking || r.waiting() >= r.Policies.Backlog {
		return
	}
	r.walking = true
	actx := workflow.WithActivityOptions(r.copies, stepOptions(r.Probe.Route.Queue, r.Ends.Owner, fmt.Sprintf("segment %d", r.Walk.Segments+1)))
	in := r.walkInput()
	in.Probe = *r.Probe
	step := workflow.ExecuteActivity(actx, data.WalkStep, in)
	var res activities.WalkResult
	r.follow(ctx, "walk", step, &res, &r.walking, func(ctx workflow.Context) { r.walked(ctx, res) })
}

// walkInput is the next step of the walk, by a task that knows nothing of its
// ends yet.
func (r *run) walkInput() activities.WalkInput {
	return activities.WalkInput{
		Task: r.Key, Ends: r.Ends, Request: r.Request, Policy: r.Request.Tuning, Cursor: r.Walk.Cursor, Ranges: true, Stage: true,
	}
}

// follow waits for a step beside everything else. Until it has ended underWay
// stays true; then done takes over its result.
func (r *run) follow(ctx workflow.Context, name string, step workflow.Future, res any, underWay *bool, done func(workflow.Context)) {
	workflow.GoNamed(ctx, name, func(ctx workflow.Context) {
		err := step.Get(ctx, res)
		*underWay = false
		r.nudges++
		switch {
		case temporal.IsCanceledError(err): // told to land: the same step again later
		case err != nil:
			r.endIf(r.trouble(ctx, faultOf(ctx, err)))
		default:
			done(ctx)
		}
	})
}

// walked takes over what a step of the walk found.
func (r *run) walked(ctx workflow.Context, res activities.WalkResult) {
	r.moved()
	p := r.Task.Progress.Add(res.Found)
	for _, c := range res.Chunks {
		r.Work = append(r.Work, &Work{Chunk: c})
	}
	r.Task.Progress = p
	r.Walk.Cursor = res.Cursor
	r.Walk.Segments = max(r.Walk.Segments, res.Segments)
	r.Walk.Errors += res.Errors
	r.Walk.Extras = append(r.Walk.Extras, res.Extras...)
	r.Walk.NExtras += res.NExtras
	r.Walk.Dirs = append(r.Walk.Dirs, res.Dirs...)
	r.MustSettle = r.MustSettle || len(res.Dirs) > 0
	for _, f := range res.Faults {
		r.fault(ctx, f, "")
	}
	for _, c := range res.Collisions {
		r.event(ctx, transfer.Event{Code: transfer.EventFault, Description: c})
	}
	r.giveUp(ctx, res.Failed, max(res.Errors, int64(len(res.Failed))))
	r.offline(ctx, res.Offline)
	if res.Blocked != nil {
		r.endIf(r.trouble(ctx, *res.Blocked))
		return
	}
	r.progressed(ctx)
	if res.Cursor == "" {
		r.Walk.Done = true
		r.Task.Progress.Walking = false
		r.showDetails(ctx)
	}
}

// giveUp lists files that the task goes on without, and says what that means
// for its end.
func (r *run) giveUp(ctx workflow.Context, files []activities.FailedFile, n int64) {
	if n == 0 {
		return
	}
	r.addFailed(files, n)
	for _, f := range files {
		r.event(ctx, transfer.Event{
			Code: transfer.EventFault, Description: "given up: " + f.Path + ": " + f.Message,
			Fault: &transfer.Fault{Kind: f.Kind, Message: f.Message, Path: f.Path},
		})
	}
	if r.onError() == transfer.OnErrorSkip || r.Strict != nil {
		return
	}
	f := transfer.Fault{Kind: fault.Internal, Message: "files were given up", Time: workflow.Now(ctx)}
	if len(files) > 0 {
		f = transfer.Fault{Kind: files[0].Kind, Message: files[0].Message, Path: files[0].Path, Time: workflow.Now(ctx)}
	}
	r.Strict = &f
	if r.onError() == transfer.OnErrorFail {
		r.endIf(&failure{f})
	}
}

// endIf lets a failure end the run.
func (r *run) endIf(err error) {
	if f, ok := err.(*failure); ok && r.fatal == nil {
		r.fatal = f
		r.nudges++
	}
}

// startCopies fills the window: fresh chunks in their order, and those that
// come after everything else when nothing else is left.
func (r *run) startCopies(ctx workflow.Context) {
	now := workflow.Now(ctx)
	rest := 0 // not Last
	for _, w := range r.Work {
		if !w.Last {
			rest++
		}
	}
	for _, w := range r.Work {
		switch {
		case w.flying || now.Before(w.NotBefore):
		case w.Last && (rest > 0 || !r.Walk.Done):
		case w.Chunk.Ranged.IsRange(): // its file sees to it
		case w.Chunk.Ranged.Joins():
			if !r.startRanges(ctx, w) {
				return
			}
		case !r.room(w):
			return
		default:
			r.startCopy(ctx, w)
		}
	}
}

// room reports whether the window has room for one more copy: one chunk at a
// time as published, or else as many as the budget of sessions allows.
func (r *run) room(w *Work) bool {
	if r.flights == 0 {
		return true
	}
	if r.Request.Tuning.Name == transfer.PolicyClassic || r.flights >= r.Policies.Window {
		return false
	}
	sessions := w.Chunk.Tuning.Concurrency
	for _, o := range r.Work {
		if o.flying {
			sessions += o.Chunk.Tuning.Concurrency
		}
	}
	return sessions <= r.Policies.Sessions
}

// startCopy schedules a copy of a chunk and settles what comes of it.
func (r *run) startCopy(ctx workflow.Context, w *Work) {
	if r.Copied.IsZero() {
		r.Copied = workflow.Now(ctx)
	}
	w.flying = true
	w.Schedules++
	r.flights++
	t := w.Chunk.Tuning
	r.event(ctx, transfer.Event{
		Code: transfer.EventChunk, Chunk: w.Chunk.ID,
		Description: fmt.Sprintf("%s: cc=%d p=%d pp=%d (%s)",
			w.Chunk.Describe(), t.Concurrency, t.Parallelism, t.Pipelining, t.Reason),
	})
	summary := fmt.Sprintf("chunk %s: %s, cc=%d p=%d pp=%d, %s",
		w.Chunk.ID, w.Chunk.Describe(), t.Concurrency, t.Parallelism, t.Pipelining, t.Reason)
	copies := r.copies
	if w.Chunk.Ranged.IsRange() {
		copies, w.stop = workflow.WithCancel(copies)
	}
	actx := workflow.WithActivityOptions(copies, copyActivityOptions(r.Probe.Route.Queue, r.Ends.Owner, summary))
	copying := workflow.ExecuteActivity(actx, data.Copy, activities.CopyInput{
		Task: r.Key, Ends: r.Ends, Probe: *r.Probe, Chunk: w.Chunk, Options: r.copyOptions(), Schedule: w.Schedules, Upset: w.Upset, Stage: true,
	})
	workflow.GoNamed(ctx, "copy "+w.Chunk.ID, func(ctx workflow.Context) {
		var res activities.CopyResult
		err := copying.Get(ctx, &res)
		w.flying = false
		r.flights--
		r.nudges++
		switch {
		case temporal.IsCanceledError(err): // told to land before it began, or its worker was lost meanwhile
			r.MustSettle = true
		case err != nil:
			r.MustSettle = true
			r.endIf(r.blocked(ctx, w, faultOf(ctx, err)))
		default:
			r.settle(ctx, w, res)
		}
		r.showDetails(ctx)
	})
}

// settle takes over how far a copy got, and decides what becomes of the rest
// of its chunk.
func (r *run) settle(ctx workflow.Context, w *Work, res activities.CopyResult) {
	grew := res.Files > w.Files || res.Bytes > w.Bytes
	p := &r.Task.Progress
	// What the checksums found equal was wanted until then, and is no more.
	skipped, skippedBytes := res.Skipped-w.Skipped, res.SkippedBytes-w.SkippedBytes
	p.FilesSkipped += skipped
	p.Files -= skipped
	p.Bytes -= skippedBytes
	p.FilesDone += res.Files - w.Files - skipped
	p.BytesDone += res.Bytes - w.Bytes
	if w.Chunk.Ranged.IsRange() {
		r.fileOf(w).Ranged += res.Bytes - w.Bytes
	}
	p.FilesUnverified += res.Unverified - w.Unverified
	p.BytesChecksummed += res.Checksummed - w.Checksummed
	w.Files, w.Bytes, w.Unverified, w.Checksummed = res.Files, res.Bytes, res.Unverified, res.Checksummed
	w.Skipped, w.SkippedBytes = res.Skipped, res.SkippedBytes
	r.MustSettle = r.MustSettle || res.Late || !res.Complete
	for _, f := range res.Faults {
		if b := res.Blocked; b != nil && b.Kind == f.Kind && b.Message == f.Message {
			b.Count = f.Count
			continue // counted where it is decided
		}
		r.fault(ctx, f, w.Chunk.ID)
	}
	for _, a := range res.Adapted {
		r.event(ctx, transfer.Event{
			Time: a.Time, Code: transfer.EventAdapted, Chunk: w.Chunk.ID,
			Description: fmt.Sprintf("%d instead of %d sessions: %s", a.To, a.From, a.Reason),
		})
	}
	for _, s := range res.Servers {
		e := transfer.Event{Time: s.Time, Code: transfer.EventServerBack, Chunk: w.Chunk.ID, Description: s.Server + " is in use again"}
		if s.Out {
			e.Code, e.Description = transfer.EventServerOut, s.Server+" is left out until it answers again: "+s.Why
		}
		r.event(ctx, e)
	}
	r.seen(res)
	if grew {
		w.Blocks = 0
		r.moved()
		if res.Blocked == nil {
			r.progressed(ctx)
		}
	}
	if res.Blocked == nil {
		r.foresee(ctx)
	}
	switch {
	case res.Upset != nil:
		r.upset(w, *res.Upset)
	case res.Again != nil:
		r.again(ctx, w, res)
	case res.Complete:
		state := ChunkDone
		if res.NFailed > 0 {
			state = ChunkPartly
			r.dropRanges(w)
		}
		if res.Offline != nil {
			state = ChunkPartly
			r.dropRanges(w)
			r.offline(ctx, res.Offline)
		}
		r.giveUp(ctx, res.Failed, res.NFailed)
		r.done(w, state)
		r.event(ctx, transfer.Event{
			Code: transfer.EventProgress, Chunk: w.Chunk.ID,
			Description: fmt.Sprintf("%s, %s done at %s", transfer.FormatFiles(res.Files), transfer.FormatBytes(res.Bytes),
				transfer.FormatRate(transfer.Rate(res.Bytes, res.Elapsed))),
		})
	case res.BlockedData && r.Rule == transfer.RouteAuto && r.Probe != nil && r.Probe.Route.Path == transfer.RouteThirdParty:
		r.relay(ctx, *res.Blocked)
	case res.Blocked != nil:
		r.endIf(r.blocked(ctx, w, *res.Blocked))
	case res.NFailed > 0:
		r.refused(ctx, w, res)
	case !res.Yielded && !grew:
		r.endIf(r.blocked(ctx, w, transfer.Fault{Kind: fault.Internal, Message: "chunk " + w.Chunk.ID + " does not get on and does not say why"}))
	}
}

// relay takes the other data path after a data channel between the two servers
// never opened. A route that is already given up needs no second word.
func (r *run) relay(ctx workflow.Context, blocked transfer.Fault) {
	r.fault(ctx, blocked, "")
	r.Rule = transfer.RouteRelay
	r.Probe = nil
	r.event(ctx, transfer.Event{Code: transfer.EventRoute, Description: "relayed from now on, because the servers cannot reach each other: " + blocked.Message})
	r.nudges++
}

// refused decides about the files of a chunk that one end refused: again after
// everything else, or given up.
func (r *run) refused(ctx workflow.Context, w *Work, res activities.CopyResult) {
	w.Tries++
	var again *transfer.Answer
	for _, f := range res.Failed {
		a := transfer.AnswerTo(transfer.Trouble{
			Kind: f.Kind, Attempt: w.Tries,
			OnError: r.onError(), FailOnFull: r.Request.FailOnFull,
		})
		switch a.Action {
		case transfer.FailNow:
			r.giveUp(ctx, res.Failed, res.NFailed)
			r.endIf(&failure{transfer.Fault{Kind: f.Kind, Message: f.Message, Path: f.Path, Time: workflow.Now(ctx)}})
			return
		case transfer.Again, transfer.Wait, transfer.Suspend:
			if again == nil || a.Delay > again.Delay {
				again = &a
			}
		}
	}
	if again == nil {
		r.giveUp(ctx, res.Failed, res.NFailed)
		r.done(w, ChunkPartly)
		return
	}
	w.NotBefore = workflow.Now(ctx).Add(again.Delay)
	w.Last = again.Last
}
