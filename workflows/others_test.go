package workflows

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	sdkpb "go.temporal.io/api/sdk/v1"
	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/workflow"

	"github.com/gridferry/gridferry/activities"
	"github.com/gridferry/gridferry/endpoints"
	"github.com/gridferry/gridferry/fault"
	"github.com/gridferry/gridferry/transfer"
)

// run runs any workflow to its end.
func (w *world) run(workflowType string, in, out any) error {
	w.t.Helper()
	w.env.ExecuteWorkflow(workflowType, in)
	if !w.env.IsWorkflowCompleted() {
		w.t.Fatal("the workflow did not end")
	}
	if err := w.env.GetWorkflowError(); err != nil {
		return err
	}
	return w.env.GetWorkflowResult(out)
}

func TestDelete(t *testing.T) {
	w := newWorld(t)
	w.delete = func(n int, in activities.DeleteInput) (activities.DeleteResult, error) {
		switch n {
		case 1:
			return activities.DeleteResult{Deleted: 5, Cursor: "a"}, nil
		case 2: // what was blocked goes on from its cursor
			f := transfer.Fault{Kind: fault.Transient, Message: "connection lost"}
			return activities.DeleteResult{Deleted: 1, Cursor: "b", Blocked: &f}, nil
		}
		if in.Cursor != "b" {
			t.Errorf("step %d begins at %q", n, in.Cursor)
		}
		return activities.DeleteResult{Deleted: 2}, nil
	}
	w.at(time.Millisecond, func() { w.update(TellModify, false, transfer.Change{Tuning: &transfer.Policy{Parallelism: 2}}) })
	var task transfer.Task
	if err := w.run(TypeDelete, json.RawMessage(`{"paths":["gsiftp://a/x","gsiftp://a/y"],"recursive":true}`), &task); err != nil {
		t.Fatal(err)
	}
	if task.Type != "DELETE" || task.Progress.Deleted != 8 || task.Destination != "gsiftp://a/x (and 1 more)" || task.Progress.Faults != 1 {
		t.Errorf("task = %+v", task)
	}
	if len(w.deletes) != 3 || len(w.finishes) != 0 {
		t.Errorf("%d steps, %d finishes", len(w.deletes), len(w.finishes))
	}
	for _, in := range w.deletes {
		if in.Request == nil || !in.Request.Recursive {
			t.Errorf("input = %+v", in)
		}
	}
}

func TestDeleteFails(t *testing.T) {
	w := newWorld(t)
	w.delete = func(int, activities.DeleteInput) (activities.DeleteResult, error) {
		return activities.DeleteResult{Deleted: 1, NFailed: 1, Failed: []activities.FailedFile{{Path: "/y", Kind: fault.Permission, Message: "550 no"}}}, nil
	}
	err := w.run(TypeDelete, json.RawMessage(`{"paths":["gsiftp://a/x"]}`), nil)
	if task := failedTask(t, err); task.Fatal == nil || task.Fatal.Kind != fault.Permission || task.Progress.FilesFailed != 1 {
		t.Errorf("err = %v", err)
	}
	w = newWorld(t)
	err = w.run(TypeDelete, json.RawMessage(`{"paths":[]}`), nil)
	if app := (*temporal.ApplicationError)(nil); !errors.As(err, &app) || app.Type() != ErrorInvalid {
		t.Errorf("nothing to delete: %v", err)
	}
}

func TestOperation(t *testing.T) {
	w := newWorld(t)
	w.browse = func(in activities.BrowseInput) (activities.BrowseResult, error) {
		return activities.BrowseResult{Entry: endpoints.Entry{Name: in.Path}}, nil
	}
	var out OperationResult
	if err := w.run(TypeOperation, OperationInput{Browse: &activities.BrowseInput{Op: activities.BrowseStat, Endpoint: "dtn", Path: "/x"}}, &out); err != nil {
		t.Fatal(err)
	}
	if out.Browse == nil || out.Browse.Entry.Name != "/x" {
		t.Errorf("out = %+v", out)
	}

	w = newWorld(t)
	reads := 0
	w.read = func(activities.ReadInput) (activities.ReadResult, error) {
		reads++
		return activities.ReadResult{}, errorOf(fault.NotFound, "no such task")
	}
	err := w.run(TypeOperation, OperationInput{Read: &activities.ReadInput{What: activities.ReadTask}}, nil)
	if app := (*temporal.ApplicationError)(nil); !errors.As(err, &app) || app.Type() != string(fault.NotFound) || reads != 1 {
		t.Errorf("%d reads, err = %v", reads, err)
	}

	w = newWorld(t)
	err = w.run(TypeOperation, OperationInput{}, nil)
	if app := (*temporal.ApplicationError)(nil); !errors.As(err, &app) || app.Type() != ErrorInvalid {
		t.Errorf("nothing asked: %v", err)
	}
}

func TestPlan(t *testing.T) {
	w := newWorld(t)
	w.probe = func(n int) (activities.ProbeResult, error) {
		p := probed("")
		p.Elsewhere, p.Route.Queue = n == 1, transfer.SiteQueue("lab1")
		return p, nil
	}
	w.walk = func(n int, in activities.WalkInput) (activities.WalkResult, error) {
		if !in.Plan {
			t.Error("the walk of a plan may make directories")
		}
		if n == 1 {
			res := found("more", chunk("1-0", 4))
			res.Extras = []string{"extras/0"}
			return res, nil
		}
		res := found("", chunk("2-0", 4))
		res.Segments = 2
		return res, nil
	}
	w.read = func(in activities.ReadInput) (activities.ReadResult, error) {
		return activities.ReadResult{Extras: []string{"/data/old"}, Next: "more"}, nil
	}
	var out OperationResult
	err := w.run(TypeOperation, OperationInput{Plan: &transfer.Request{Source: "lab:/x", Destination: "dtn:/x", Recursive: true, DeleteExtra: true}}, &out)
	if err != nil {
		t.Fatal(err)
	}
	p := out.Plan
	if p == nil || len(p.Chunks) != 2 || p.Progress.Files != 8 || !p.Segmented || !p.Truncated || len(p.Deletes) != 1 {
		t.Errorf("plan = %+v", p)
	}
	if len(w.copied)+len(w.deletes) != 0 {
		t.Error("a plan did something")
	}
}

func TestSweep(t *testing.T) {
	w := newWorld(t)
	task := transfer.Task{ID: "gone", Status: transfer.Failed}
	w.sweepTasks = func(in activities.SweepInput) (activities.SweepResult, error) {
		if in.Cursor == "" {
			return activities.SweepResult{
				Cursor:  "more",
				Orphans: []activities.FinishInput{{Task: "gone", Probe: probed(""), Abandon: true}},
				Ended:   []transfer.Notice{{ID: "x-failed", Kind: transfer.NoticeFailed, Task: task, To: "ada@example.org"}},
			}, nil
		}
		return activities.SweepResult{}, nil
	}
	w.sweepBlobs = func(activities.SweepInput) (activities.SweepResult, error) {
		return activities.SweepResult{Removed: 7}, nil
	}
	w.finish = func(n int, in activities.FinishInput) (activities.FinishResult, error) {
		if n == 1 {
			return activities.FinishResult{Strays: 2, Wait: time.Minute, Cursor: "c"}, nil
		}
		return activities.FinishResult{Strays: 1}, nil
	}
	var out SweepResult
	if err := w.run(TypeSweep, SweepInput{Keep: time.Hour}, &out); err != nil {
		t.Fatal(err)
	}
	if out != (SweepResult{Ended: 1, Removed: 7, Strays: 3}) || len(w.mails) != 1 || len(w.finishes) != 2 || w.finishes[1].Cursor != "c" {
		t.Errorf("out = %+v, %d mails, finishes %+v", out, len(w.mails), w.finishes)
	}
}

// analysis is somebody's workflow.
func analysis(ctx workflow.Context, req transfer.Request) (transfer.Task, error) {
	var task transfer.Task
	err := ExecuteTransfer(ctx, req).Get(ctx, &task)
	return task, err
}

func TestExecuteTransfer(t *testing.T) {
	w := newWorld(t)
	w.copyTime = 0 // the environment completes no pending activity of a child
	w.env.RegisterWorkflow(analysis)
	req := transfer.Request{Source: "gsiftp://a/x", Destination: "gsiftp://b/x", Recursive: true}
	var task transfer.Task
	if err := w.run("analysis", req, &task); err != nil {
		t.Fatal(err)
	}
	if task.Progress.FilesDone != 8 || !strings.Contains(string(task.ID), "-transfer-") {
		t.Errorf("task = %+v", task)
	}

	w = newWorld(t)
	w.env.RegisterWorkflow(analysis)
	w.copyTime = time.Hour
	w.at(time.Minute, w.env.CancelWorkflow)
	if err := w.run("analysis", req, nil); !temporal.IsCanceledError(err) {
		t.Errorf("err = %v", err)
	}
	if len(w.finishes) != 1 || !w.finishes[0].Abandon {
		t.Errorf("the child did not clean up: %+v", w.finishes)
	}
}

func TestDetailsAreReadableByAStranger(t *testing.T) {
	w := newWorld(t)
	w.copyTime = 10 * time.Second
	shown := ""
	w.at(15*time.Second, func() {
		v, err := w.env.QueryWorkflow("__temporal_workflow_metadata")
		if err != nil {
			t.Error(err)
			return
		}
		var metadata sdkpb.WorkflowMetadata
		if err := v.Get(&metadata); err != nil {
			t.Error(err)
		}
		shown = metadata.GetCurrentDetails()
	})
	if _, err := w.transfer(tree(`"label":"a | b","tuning":{"name":"classic"}`)); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"gsiftp://a.example/data", "gsiftp://b.example/data", "50 %", "/s |", "4 of 8 files", `a \| b`, "progressing"} {
		if !strings.Contains(shown, want) {
			t.Errorf("%q is not in the details:\n%s", want, shown)
		}
	}
}

func TestASiteSetsTheDeadlineOfTasksThatNameNone(t *testing.T) {
	for _, test := range []struct {
		site, want time.Duration
		request    []string
	}{
		{0, transfer.DefaultDeadline, nil},
		{36 * time.Hour, 36 * time.Hour, nil},
		{36 * time.Hour, 2 * time.Hour, []string{`"deadline":"2026-01-01T02:00:00Z"`}},
	} {
		w := &world{t: t, site: Site{Deadline: test.site}, copyTime: time.Second}
		w.env = w.NewTestWorkflowEnvironment()
		w.env.SetStartTime(time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC))
		w.play()
		task, err := w.transfer(tree(test.request...))
		if got := task.Deadline.Sub(task.Requested); err != nil || got != test.want {
			t.Errorf("site %s: %s, want %s; %v", test.site, got, test.want, err)
		}
	}
}

func TestKey(t *testing.T) {
	const uuid, run = "4a0b3f1e-54d8-4d80-9a5c-0a2cf9ce1a4e", "01a1fc04-5e06-7030-bd96-7e1090a8d79b"
	for _, test := range []struct {
		id, run string
		want    transfer.TaskID
	}{
		{uuid, run, uuid},
		{"nightly", run, "nightly.01a1fc04"},
		{"nightly", "", "nightly"},
	} {
		if got := Key(test.id, test.run); got != test.want {
			t.Errorf("Key(%q, %q) = %q, want %q", test.id, test.run, got, test.want)
		}
	}
}

func TestCut(t *testing.T) {
	for _, test := range []struct {
		s    string
		n    int
		want string
	}{
		{"abc", 3, "abc"}, {"abcdef", 5, "ab…"}, {"ääää", 7, "ää…"}, {"ää", 4, "ää"}, {"aäb", 3, "…"},
	} {
		if got := cut(test.s, test.n); got != test.want || len(got) > test.n && len(test.s) > test.n {
			t.Errorf("cut(%q, %d) = %q, want %q", test.s, test.n, got, test.want)
		}
	}
}

func TestSignalsThatCannotBeObeyedAreDropped(t *testing.T) {
	w := newWorld(t)
	w.copyTime = time.Minute
	w.at(time.Second, func() {
		w.env.SignalWorkflow(TellModify, transfer.Change{})
		label := "by signal"
		w.env.SignalWorkflow(TellModify, transfer.Change{Label: &label})
	})
	task, err := w.transfer(tree())
	if err != nil || task.Label != "by signal" {
		t.Errorf("task = %+v, err = %v", task, err)
	}
}
