package workflows

import (
	"fmt"
	"slices"
	"time"

	"go.temporal.io/sdk/workflow"

	"github.com/gridferry/gridferry/activities"
	"github.com/gridferry/gridferry/fault"
	"github.com/gridferry/gridferry/transfer"
)

// Files that an archive keeps are brought online beside the copying of others:
// a step asks for them and looks how far they are, a timer waits for the next
// one, and what has come is chunks like any other. Which files those are is in
// the blob store; a state holds the key. As with ranges, only a walk or a copy
// that was asked for them, by a workflow that knows them, answers with such
// files: histories from before have none, and need no patch.

// Stage is the part of the state that is about files in an archive.
type Stage struct {
	Cursor string                   `json:"cursor,omitempty"` // of the next step
	Lists  []activities.OfflineList `json:"lists,omitempty"`  // that no step has taken over yet
	Done   []string                 `json:"done,omitempty"`   // sheets of files that came and are copied, likewise
	Files  int64                    `json:"files,omitempty"`  // that wait, but for those in Lists
	Bytes  int64                    `json:"bytes,omitempty"`
	Since  time.Time                `json:"since,omitzero"` // when there was last none
	Next   time.Time                `json:"next,omitzero"`  // when the next step is due
}

// left says that something is to be staged or to be released.
func (s *Stage) left() bool { return s.Files > 0 || len(s.Lists) > 0 || len(s.Done) > 0 }

// waiting is how much waits for the archive.
func (s *Stage) waiting() (files, bytes int64) {
	files, bytes = s.Files, s.Bytes
	for _, l := range s.Lists {
		files += l.Files
		bytes += l.Bytes
	}
	return files, bytes
}

// due is when the next step is to begin; zero when nothing is left.
func (s *Stage) due(now time.Time) time.Time {
	switch {
	case !s.left():
		return time.Time{}
	case len(s.Lists) > 0 || len(s.Done) > 0:
		return now
	}
	return s.Next
}

// offline takes over files that have to be staged; nil is none.
func (r *run) offline(ctx workflow.Context, list *activities.OfflineList) {
	if list == nil {
		return
	}
	if n, _ := r.Stage.waiting(); n == 0 {
		r.Stage.Since = workflow.Now(ctx)
		r.event(ctx, transfer.Event{
			Code:        transfer.EventArchive,
			Description: fmt.Sprintf("%s, %s, have to come from the archive first", transfer.FormatFiles(list.Files), transfer.FormatBytes(list.Bytes)),
		})
	}
	r.Stage.Lists = append(r.Stage.Lists, *list)
	r.countOffline()
}

func (r *run) countOffline() { r.Task.Progress.FilesOffline, _ = r.Stage.waiting() }

// startStage begins the next step of the staging when it is due.
func (r *run) startStage(ctx workflow.Context) {
	due := r.Stage.due(workflow.Now(ctx))
	if r.staging || due.IsZero() || workflow.Now(ctx).Before(due) {
		return
	}
	r.staging = true
	in := r.stageInput()
	files, _ := r.Stage.waiting()
	actx := workflow.WithActivityOptions(r.copies, stepOptions(r.Probe.Route.Queue, r.Ends.Owner, fmt.Sprintf("%s in the archive", transfer.FormatFiles(files))))
	step := workflow.ExecuteActivity(actx, data.StageStep, in)
	var res activities.StageResult
	r.follow(ctx, "stage", step, &res, &r.staging, func(ctx workflow.Context) { r.staged(ctx, in, res) })
}

func (r *run) stageInput() activities.StageInput {
	return activities.StageInput{
		Task: r.Key, Ends: r.Ends, Policy: r.Request.Tuning, OnError: r.onError(), Probe: *r.Probe,
		Cursor: r.Stage.Cursor, Lists: slices.Clone(r.Stage.Lists), Done: slices.Clone(r.Stage.Done),
	}
}

// staged takes over what a step has found online. What it was given is in its
// hands now, and what has come meanwhile is for the next one.
func (r *run) staged(ctx workflow.Context, in activities.StageInput, res activities.StageResult) {
	s := &r.Stage
	s.Cursor, s.Files, s.Bytes = res.Cursor, res.Files, res.Bytes
	s.Lists, s.Done = s.Lists[len(in.Lists):], s.Done[len(in.Done):]
	s.Next = workflow.Now(ctx).Add(res.Next)
	r.countOffline()
	var files, bytes int64
	for _, c := range res.Chunks {
		r.Work = append(r.Work, &Work{Chunk: c})
		files += c.Files
		bytes += c.Bytes
	}
	for _, f := range res.Faults {
		r.fault(ctx, f, "")
	}
	r.giveUp(ctx, res.Failed, res.NFailed)
	if files > 0 {
		r.moved()
		r.event(ctx, transfer.Event{
			Code:        transfer.EventArchive,
			Description: fmt.Sprintf("%s, %s, came from the archive; %d still wait for it", transfer.FormatFiles(files), transfer.FormatBytes(bytes), r.Task.Progress.FilesOffline),
		})
	}
	if res.Blocked != nil {
		r.endIf(r.trouble(ctx, *res.Blocked))
		return
	}
	r.progressed(ctx)
	r.showDetails(ctx)
}

// unstage tells the archive of a task that has failed that nothing of it is
// needed any more. It is a courtesy: what the archive does not hear of, it
// takes back in its own time.
func (r *run) unstage(ctx workflow.Context) {
	if r.Probe == nil || r.Stage.Cursor == "" {
		return // nothing was asked for
	}
	for _, w := range r.Work {
		if w.Chunk.Staged && w.File == "" {
			r.Stage.Done = append(r.Stage.Done, w.Chunk.Sheet)
		}
	}
	in := r.stageInput()
	in.Abandon = true
	opts := stepOptions(r.Probe.Route.Queue, r.Ends.Owner, "release what the archive was asked for")
	opts.ScheduleToCloseTimeout = time.Minute
	var res activities.StageResult
	if err := workflow.ExecuteActivity(workflow.WithActivityOptions(ctx, opts), data.StageStep, in).Get(ctx, &res); err != nil {
		workflow.GetLogger(ctx).Warn("the archive was not told that nothing is needed any more", "error", err)
	}
}

// archiveOutlook is that of a run with nothing to do but to wait for the archive.
func (r *run) archiveOutlook() transfer.Outlook {
	files, bytes := r.Stage.waiting()
	_, hint := transfer.WaitsFor(transfer.Fault{Kind: fault.Busy, Reason: transfer.ReasonArchive})
	return transfer.Outlook{
		Prospect: transfer.Waiting, For: transfer.ForArchive, Since: r.Stage.Since, Hint: hint,
		Text: fmt.Sprintf("waiting for the archive to bring %s, %s, online", transfer.FormatFiles(files), transfer.FormatBytes(bytes)),
	}
}
