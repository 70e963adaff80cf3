package workflows

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/workflow"

	"github.com/gridferry/gridferry/activities"
	"github.com/gridferry/gridferry/transfer"
)

// Summary is the one line that names a transfer in a list of workflows. The
// server takes 400 bytes.
func Summary(t transfer.Task) string {
	var s string
	switch {
	case t.Type == "DELETE":
		s = "delete " + t.Destination
	default:
		s = t.Source + " → " + t.Destination
	}
	if t.Label != "" {
		s = t.Label + ": " + s
	}
	return cut(s, 350)
}

// The states of a chunk in a status.
const (
	ChunkActive  = "active"
	ChunkWaiting = "waiting"
	ChunkDone    = "done"
	ChunkPartly  = "done without some" // files of it were given up, or have to come from an archive
)

// Status answers QueryStatus: the task, and what it takes to add to it what
// the heartbeats of pending copies tell.
type Status struct {
	transfer.Task
	Copying    time.Time        `json:"copying_since,omitzero"`
	ChunkBytes map[string]int64 `json:"chunk_bytes,omitempty"` // done of active chunks, as far as Progress counts it
}

func (r *run) answerStatus(ctx workflow.Context) Status {
	s := Status{Task: r.status(ctx), Copying: r.Copied, ChunkBytes: make(map[string]int64)}
	for _, w := range r.Work {
		if w.flying && w.Bytes > 0 {
			s.ChunkBytes[w.Chunk.ID] = w.Bytes
		}
	}
	return s
}

// status is the task as it stands, with its chunks: those under way first,
// then those that wait, then the last ones that ended; 100 at most.
func (r *run) status(ctx workflow.Context) transfer.Task {
	const most = 100
	t := r.Task
	t.Outlook = r.outlook(ctx)
	t.Verdict = t.Outlook.String()
	if !r.Copied.IsZero() {
		end := t.Completed
		if end.IsZero() {
			end = workflow.Now(ctx)
		}
		t.Progress = t.Progress.WithRate(r.Copied, end)
	}
	for _, w := range r.Work {
		if w.flying && len(t.Chunks) < most {
			t.Chunks = append(t.Chunks, w.view(ChunkActive))
		}
	}
	for _, w := range r.Work {
		if !w.flying && len(t.Chunks) < most-len(r.Recent) {
			t.Chunks = append(t.Chunks, w.view(ChunkWaiting))
		}
	}
	for i := len(r.Recent) - 1; i >= 0 && len(t.Chunks) < most; i-- {
		t.Chunks = append(t.Chunks, r.Recent[i])
	}
	return t
}

func (w *Work) view(state string) transfer.Chunk {
	c := w.Chunk
	c.State, c.Done = state, w.Files
	return c
}

// publish shows the task to those who look at workflows rather than at tasks:
// the details, the memo and the search attributes.
func (r *run) publish(ctx workflow.Context) {
	r.showDetails(ctx)
	brief := r.brief(ctx)
	if err := workflow.UpsertMemo(ctx, map[string]any{MemoTask: brief}); err != nil {
		workflow.GetLogger(ctx).Warn("the memo could not be written", "error", err)
	}
	updates := AttributeUpdates(r.Attributes, brief, r.Ends)
	if len(updates) == 0 {
		return
	}
	if err := workflow.UpsertTypedSearchAttributes(ctx, updates...); err != nil {
		workflow.GetLogger(ctx).Warn("the search attributes could not be written", "error", err)
	}
}

// AttributeUpdates sets those search attributes of a task that the namespace
// knows. Ends may be empty.
func AttributeUpdates(known []string, t transfer.Task, ends activities.Ends) []temporal.SearchAttributeUpdate {
	var updates []temporal.SearchAttributeUpdate
	for _, a := range []struct{ name, value string }{
		{AttributeOwner, t.Owner},
		{AttributeStatus, string(t.Status)},
		{AttributeLabel, t.Label},
		{AttributeSource, ends.Source},
		{AttributeDestination, ends.Destination},
	} {
		if a.value != "" && slices.Contains(known, a.name) {
			updates = append(updates, temporal.NewSearchAttributeKeyKeyword(a.name).ValueSet(cut(a.value, 255)))
		}
	}
	return updates
}

// brief is the task for memo and mail: no chunks, short texts.
func (r *run) brief(ctx workflow.Context) transfer.Task {
	t := r.status(ctx)
	t.Chunks = nil
	if t.Completed.IsZero() {
		t.AsOf = workflow.Now(ctx)
	}
	t.Source, t.Destination = cut(t.Source, 512), cut(t.Destination, 512)
	t.Verdict = cut(t.Verdict, 512)
	t.Outlook.Text, t.Outlook.Hint = "", "" // the verdict has them
	return t
}

// showDetails sets the table that the Web UI shows. Its first line repeats the
// static summary, which continue-as-new loses.
func (r *run) showDetails(ctx workflow.Context) {
	t := r.status(ctx)
	p := t.Progress
	cell := strings.NewReplacer("|", `\|`, "\n", " ", "`", "'", "<", "&lt;").Replace
	var b strings.Builder
	fmt.Fprintf(&b, "**%s**\n\n", cell(Summary(t)))
	b.WriteString("| source | destination | done | rate |\n|---|---|---|---|\n")
	walking := ""
	if p.Walking {
		walking = ", still looking"
	}
	fmt.Fprintf(&b, "| %s | %s | %d %% | %s |\n\n", cell(cut(t.Source, 200)), cell(cut(t.Destination, 200)), p.Percent(), transfer.FormatRate(p.Rate))
	if t.Type == "DELETE" {
		fmt.Fprintf(&b, "%s, %s: %d names deleted, %d faults\n\n", t.Status, t.Phase, p.Deleted, p.Faults)
	} else {
		fmt.Fprintf(&b, "%s, %s: %d of %d files, %s of %s%s; %d faults\n\n", t.Status, t.Phase,
			p.FilesDone, p.Files, transfer.FormatBytes(p.BytesDone), transfer.FormatBytes(p.Bytes), walking, p.Faults)
	}
	b.WriteString(cell(cut(t.Verdict, 500)))
	workflow.SetCurrentDetails(ctx, b.String())
}

// askAttributes learns, once in a task, which of our search attributes the
// namespace has: upserting one that it lacks would block the workflow.
func (r *run) askAttributes(ctx workflow.Context) {
	if r.AskedSearch {
		return
	}
	var have []string
	lctx := workflow.WithLocalActivityOptions(ctx, localOptions("search attributes"))
	if err := workflow.ExecuteLocalActivity(lctx, control.Attributes).Get(ctx, &have); err != nil {
		workflow.GetLogger(ctx).Warn("the namespace's search attributes are unknown", "error", err)
		return // asked again by the next run
	}
	r.AskedSearch, r.Attributes = true, nil
	for _, name := range Attributes() {
		if slices.Contains(have, name) {
			r.Attributes = append(r.Attributes, name)
		}
	}
}

func localOptions(summary string) workflow.LocalActivityOptions {
	return workflow.LocalActivityOptions{
		StartToCloseTimeout:    10 * time.Second,
		ScheduleToCloseTimeout: 30 * time.Second,
		RetryPolicy:            &temporal.RetryPolicy{InitialInterval: 200 * time.Millisecond, BackoffCoefficient: 2, MaximumInterval: 5 * time.Second, MaximumAttempts: 5},
		Summary:                summary,
	}
}

// keepRecord writes the projection of the task and what happened, when it is old or
// must be. A record that cannot be written is tried again with the next one.
func (r *run) keepRecord(ctx workflow.Context, now bool) {
	if !now && (!r.firstRecord.IsZero() || workflow.Now(ctx).Sub(r.Recorded) < r.Policies.Record) {
		return
	}
	r.firstRecord = time.Time{}
	lctx := workflow.WithLocalActivityOptions(ctx, localOptions("record"))
	in := r.recordInput(ctx)
	var res activities.RecordResult
	if err := workflow.ExecuteLocalActivity(lctx, control.Record, in).Get(ctx, &res); err != nil {
		workflow.GetLogger(ctx).Warn("the task could not be recorded", "error", err)
		return
	}
	r.recorded(ctx, len(in.Events), res)
	r.publish(ctx) // lists show how far it is
}

// keepFinalRecord writes how the task ended. The ordinary activity behind the local
// one outlasts a store that is away for minutes.
func (r *run) keepFinalRecord(ctx workflow.Context) {
	in := r.recordInput(ctx)
	lctx := workflow.WithLocalActivityOptions(ctx, localOptions("final record"))
	var res activities.RecordResult
	err := workflow.ExecuteLocalActivity(lctx, control.Record, in).Get(ctx, &res)
	if err != nil {
		opts := controlOptions("final record")
		opts.ScheduleToCloseTimeout = time.Hour // a full disk takes somebody to come
		err = workflow.ExecuteActivity(workflow.WithActivityOptions(ctx, opts), control.Record, in).Get(ctx, &res)
	}
	if err != nil {
		workflow.GetLogger(ctx).Error("the end of the task could not be recorded; the sweep will find it", "error", err)
		return
	}
	r.recorded(ctx, len(in.Events), res)
}

func (r *run) recordInput(ctx workflow.Context) activities.RecordInput {
	task := r.status(ctx)
	if task.Completed.IsZero() {
		task.AsOf = workflow.Now(ctx)
	}
	return activities.RecordInput{Task: task, Events: slices.Clone(r.Events), Page: r.EventPage, Key: r.Key, Left: r.left}
}

func (r *run) recorded(ctx workflow.Context, events int, res activities.RecordResult) {
	r.Recorded, r.Addressed = workflow.Now(ctx), res.Addressed
	if events > 0 {
		r.Events = slices.Delete(r.Events, 0, events)
		r.EventPage++
	}
}

// controlOptions are those of an activity that touches no endpoint, on the
// workflow's own queue.
func controlOptions(summary string) workflow.ActivityOptions {
	return workflow.ActivityOptions{
		StartToCloseTimeout:    time.Minute,
		ScheduleToCloseTimeout: 5 * time.Minute,
		RetryPolicy:            &temporal.RetryPolicy{InitialInterval: time.Second, BackoffCoefficient: 2, MaximumInterval: 30 * time.Second},
		Summary:                summary,
	}
}
