package workflows

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"go.temporal.io/sdk/activity"
	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/workflow"

	"github.com/gridferry/gridferry/activities"
	"github.com/gridferry/gridferry/fault"
	"github.com/gridferry/gridferry/transfer"
)

// tree asks for a recursive transfer, with more fields of JSON.
func tree(more ...string) string {
	fields := append([]string{`"items":[{"source":"gsiftp://a.example/data","destination":"gsiftp://b.example/data","recursive":true}]`}, more...)
	return "{" + strings.Join(fields, ",") + "}"
}

func TestTransferPlain(t *testing.T) {
	w := newWorld(t)
	w.attributes = []string{AttributeOwner, "SomebodyElses"}
	w.walk = func(n int, in activities.WalkInput) (activities.WalkResult, error) {
		if n == 1 {
			return found("cursor-1", chunk("0-0", 4)), nil
		}
		if in.Cursor != "cursor-1" {
			t.Errorf("second step begins at %q", in.Cursor)
		}
		return found("", chunk("1-0", 6), chunk("1-1", 2)), nil
	}
	task, err := w.transfer(tree(`"label":"run 7"`, `"owner":"ada"`, `"preserve_time":true`))
	if err != nil {
		t.Fatal(err)
	}
	p := task.Progress
	if task.Status != transfer.Succeeded || task.Phase != transfer.PhaseDone || p.Walking || p.FilesDone != 12 || p.BytesDone != 12e6 || p.Files != 12 {
		t.Errorf("task = %+v", task)
	}
	if task.Source != "gsiftp://a.example/data" || task.Label != "run 7" || task.Owner != "ada" || task.Completed.IsZero() {
		t.Errorf("task = %+v", task)
	}
	if len(w.probes) != 1 || w.probes[0].Ends.Source != "gsiftp://a.example:2811" {
		t.Errorf("probes = %+v", w.probes)
	}
	if got := len(w.copied); got != 3 {
		t.Fatalf("%d copies, want 3", got)
	}
	for _, c := range w.copied {
		if !c.Options.PreserveTime || c.Options.Route != transfer.RouteThirdParty || c.Schedule != 1 {
			t.Errorf("copy input = %+v", c)
		}
	}
	want := []transfer.EventCode{transfer.EventStarted, transfer.EventRoute, transfer.EventChunk, transfer.EventSucceeded}
	got := w.events()
	for _, c := range want {
		if !slices.Contains(got, c) {
			t.Errorf("no event %s in %v", c, got)
		}
	}
	last := w.records[len(w.records)-1].Task
	if last.Status != transfer.Succeeded {
		t.Errorf("last record says %s", last.Status)
	}
	if len(w.finishes) != 0 {
		t.Error("nothing was late, and yet there was something to finish")
	}
}

func TestTransferWithTheShorthandInput(t *testing.T) {
	w := newWorld(t)
	if _, err := w.transfer(`{"source":"gsiftp://a.example/data/","destination":"dtn:/data/","recursive":true}`); err != nil {
		t.Fatal(err)
	}
	if e := w.probes[0].Ends; e.Destination != "dtn" {
		t.Errorf("ends = %+v", e)
	}
}

func TestTransferRefusesBadInputBeforeAnyContact(t *testing.T) {
	for name, test := range map[string]struct{ input, names string }{
		"unknown field":  {tree(`"recursiv":true`), "recursiv"},
		"unknown scheme": {`{"source":"gopher://a/x","destination":"gsiftp://b/x"}`, "source"},
		"past deadline":  {tree(`"deadline":"2001-01-01T00:00:00Z"`), "deadline"},
		"not an object":  {`"gsiftp://a/x"`, ""},
		"a state":        {`{"state":{"request":{"source":"gsiftp://a/x"}}}`, "state"},
		"three lines":    {tree(`"label":"a\nb\nc"`), "label"},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			_, err := w.transfer(test.input)
			var app *temporal.ApplicationError
			if !errors.As(err, &app) || app.Type() != ErrorInvalid || !app.NonRetryable() {
				t.Fatalf("err = %v", err)
			}
			if !strings.Contains(app.Message(), test.names) {
				t.Errorf("%q does not name %s", app.Message(), test.names)
			}
			if len(w.probes)+len(w.walks)+len(w.records) != 0 {
				t.Error("something was contacted")
			}
		})
	}
}

func TestTransferExpress(t *testing.T) {
	w := newWorld(t)
	w.express = func(int) (activities.ExpressResult, error) {
		c := chunk("express", 1)
		return activities.ExpressResult{
			Taken: true, Probe: probed(""), Found: transfer.Progress{Files: 1, Bytes: 1e6}, Chunk: c,
			Copy: complete(activities.CopyInput{Chunk: c}),
		}, nil
	}
	task, err := w.transfer(`{"source":"gsiftp://a/x","destination":"gsiftp://b/x"}`)
	if err != nil {
		t.Fatal(err)
	}
	if task.Progress.FilesDone != 1 || task.Route.Path != transfer.RouteThirdParty {
		t.Errorf("task = %+v", task)
	}
	if len(w.records) != 1 || len(w.probes)+len(w.walks)+len(w.copied)+len(w.finishes) != 0 {
		t.Errorf("more than one activity and one record: %d records, %d probes, %d walks, %d copies, %d finishes",
			len(w.records), len(w.probes), len(w.walks), len(w.copied), len(w.finishes))
	}
}

func TestTransferExpressHalfDone(t *testing.T) {
	w := newWorld(t)
	w.express = func(int) (activities.ExpressResult, error) {
		return activities.ExpressResult{
			Taken: true, Probe: probed(""), Found: transfer.Progress{Files: 1, Bytes: 1e6}, Chunk: chunk("express", 1),
			Copy: blocked(0, fault.Transient, "connection lost"),
		}, nil
	}
	task, err := w.transfer(`{"source":"gsiftp://a/x","destination":"gsiftp://b/x"}`)
	if err != nil {
		t.Fatal(err)
	}
	if task.Progress.FilesDone != 1 || len(w.copied) != 1 || len(w.walks) != 0 || len(w.finishes) != 1 {
		t.Errorf("%d copies, %d walks, %d finishes, task = %+v", len(w.copied), len(w.walks), len(w.finishes), task)
	}
}

// A pause has an express copy stop. One that had not begun to copy is run anew
// afterwards.
func TestTransferExpressPaused(t *testing.T) {
	w := newWorld(t)
	resumed := w.env.Now().Add(2 * time.Hour)
	w.express = func(n int) (activities.ExpressResult, error) {
		if n == 1 {
			return activities.ExpressResult{}, activity.ErrResultPending // until it is cancelled
		}
		if w.env.Now().Before(resumed) {
			t.Error("it was run while the task was paused")
		}
		c := chunk("express", 1)
		return activities.ExpressResult{
			Taken: true, Probe: probed(""), Found: transfer.Progress{Files: 1, Bytes: 1e6}, Chunk: c, Copy: complete(activities.CopyInput{Chunk: c}),
		}, nil
	}
	w.at(10*time.Second, func() { w.update(TellPause, true) })
	w.at(2*time.Hour+time.Second, func() { w.env.SignalWorkflow(TellResume, nil) })
	task, err := w.transfer(`{"source":"gsiftp://a/x","destination":"gsiftp://b/x"}`)
	if err != nil || w.expressed != 2 || task.Progress.FilesDone != 1 {
		t.Errorf("%d express copies, task = %+v, %v", w.expressed, task, err)
	}
}

// One that had begun is gone on with as any copy is.
func TestTransferExpressPausedHalfDone(t *testing.T) {
	w := newWorld(t)
	w.express = func(int) (activities.ExpressResult, error) {
		return activities.ExpressResult{
			Taken: true, Probe: probed(""), Found: transfer.Progress{Files: 1, Bytes: 1e6}, Chunk: chunk("express", 1),
			Copy: activities.CopyResult{Yielded: true},
		}, nil
	}
	w.at(0, func() { w.update(TellPause, true) })
	w.at(time.Hour, func() {
		if len(w.copied) != 0 {
			t.Error("it was copied while the task was paused")
		}
		w.env.SignalWorkflow(TellResume, nil)
	})
	task, err := w.transfer(`{"source":"gsiftp://a/x","destination":"gsiftp://b/x"}`)
	if err != nil || w.expressed != 1 || len(w.copied) != 1 || len(w.walks) != 0 || task.Progress.FilesDone != 1 {
		t.Errorf("%d express copies, %d copies, %d walks, task = %+v, %v", w.expressed, len(w.copied), len(w.walks), task, err)
	}
}

func TestTransferTooLargeForExpress(t *testing.T) {
	w := newWorld(t)
	task, err := w.transfer(`{"source":"gsiftp://a/x","destination":"gsiftp://b/x"}`)
	if err != nil {
		t.Fatal(err)
	}
	if len(w.probes) != 0 || len(w.walks) != 1 || task.Progress.FilesDone != 8 {
		t.Errorf("%d probes, %d walks, task = %+v", len(w.probes), len(w.walks), task)
	}
}

func TestTransferPauseAndResume(t *testing.T) {
	w := newWorld(t)
	w.copyTime = time.Minute
	w.at(10*time.Second, func() { w.update(TellPause, true) })
	w.at(11*time.Second, func() { w.update(TellPause, true) }) // again: nothing changes
	w.at(time.Hour, func() {
		if s := w.status(); !s.Paused || s.Status != transfer.Active || !strings.Contains(s.Verdict, "paused") {
			t.Errorf("status = %+v", s)
		}
		w.env.SignalWorkflow(TellResume, nil)
	})
	began := w.env.Now()
	task, err := w.transfer(tree())
	if err != nil {
		t.Fatal(err)
	}
	if d := task.Completed.Sub(began); d < time.Hour || d > time.Hour+3*time.Minute {
		t.Errorf("it took %s", d)
	}
	if task.Paused || task.Progress.FilesDone != 8 {
		t.Errorf("task = %+v", task)
	}
	got := w.events()
	if n := count(got, transfer.EventPaused); n != 1 {
		t.Errorf("%d pauses recorded in %v", n, got)
	}
	if !slices.Contains(got, transfer.EventResumed) {
		t.Errorf("events = %v", got)
	}
}

func count[T comparable](list []T, v T) int {
	n := 0
	for _, e := range list {
		if e == v {
			n++
		}
	}
	return n
}

func TestTransferDeadline(t *testing.T) {
	w := newWorld(t)
	w.copyTime = 24 * time.Hour
	deadline := w.env.Now().Add(time.Hour)
	w.at(time.Minute, func() {
		later := deadline.Add(time.Hour)
		w.update(TellModify, true, transfer.Change{Deadline: &later})
		past := deadline.Add(-24 * time.Hour)
		w.update(TellModify, false, transfer.Change{Deadline: &past})
	})
	task, err := w.transfer(tree(fmt.Sprintf(`"deadline":%q`, deadline.UTC().Format(time.RFC3339))))
	var app *temporal.ApplicationError
	if !errors.As(err, &app) || app.Type() != ErrorTaskFailed {
		t.Fatalf("err = %v", err)
	}
	if d := task.Completed.Sub(deadline.Add(time.Hour)); d < -time.Second || d > time.Minute {
		t.Errorf("it ended %s after the deadline", d)
	}
	if !slices.Contains(w.events(), transfer.EventExpired) {
		t.Errorf("events = %v", w.events())
	}
	if len(w.finishes) != 1 || !w.finishes[0].Abandon {
		t.Errorf("finishes = %+v", w.finishes)
	}
}

func TestTransferCancel(t *testing.T) {
	for name, cancel := range map[string]func(*world){
		"request": func(w *world) { w.env.CancelWorkflow() },
		"update":  func(w *world) { w.update(TellCancel, true) },
		"signal":  func(w *world) { w.env.SignalWorkflow(TellCancel, nil) },
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.copyTime = time.Hour
			w.at(time.Minute, func() { cancel(w) })
			task, err := w.transfer(tree(`"notify":"ada@example.org"`))
			if !temporal.IsCanceledError(err) {
				t.Fatalf("err = %v", err)
			}
			if task.Status != transfer.Failed || task.Completed.Sub(task.Requested) > 2*time.Minute {
				t.Errorf("task = %+v", task)
			}
			if len(w.finishes) != 1 || !w.finishes[0].Abandon || len(w.mails) != 1 {
				t.Errorf("finishes = %+v, %d mails", w.finishes, len(w.mails))
			}
			if last := w.records[len(w.records)-1]; last.Task.Status != transfer.Failed {
				t.Errorf("last record = %+v", last.Task)
			}
		})
	}
}

func TestTransferCancelledDuringExpressCleansUp(t *testing.T) {
	w := newWorld(t)
	w.express = func(int) (activities.ExpressResult, error) {
		return activities.ExpressResult{}, errorOf(fault.Transient, "connection lost")
	}
	w.at(time.Minute, func() { w.env.CancelWorkflow() })
	if _, err := w.transfer(`{"source":"gsiftp://a/x","destination":"gsiftp://b/x"}`); !temporal.IsCanceledError(err) {
		t.Fatalf("err = %v", err)
	}
	if len(w.finishes) != 1 || !w.finishes[0].Abandon {
		t.Errorf("finishes = %+v", w.finishes)
	}
}

func TestTransferContinuesAsNew(t *testing.T) {
	w := newWorld(t)
	w.walk = func(n int, in activities.WalkInput) (activities.WalkResult, error) {
		if n == 1 {
			return found("cursor-1", chunk("0-0", 4)), nil
		}
		return found("", chunk("1-0", 4)), nil
	}
	w.env.SetCurrentHistoryLength(10)
	w.at(500*time.Millisecond, func() {
		w.env.SetCurrentHistoryLength(defaultPolicies().DrainEvents)
		label := "renamed"
		w.update(TellModify, true, transfer.Change{Label: &label})
	})
	_, err := w.transfer(tree())
	var next *workflow.ContinueAsNewError
	if !errors.As(err, &next) || next.WorkflowType.Name != TypeTransfer {
		t.Fatalf("err = %v", err)
	}
	var input json.RawMessage
	payload := next.Input.Payloads[0]
	input = payload.Data

	w.again()
	task, err := w.transfer(string(input))
	if err != nil {
		t.Fatal(err)
	}
	if task.Progress.FilesDone != 8 || task.Label != "renamed" || len(w.probes) != 1 {
		t.Errorf("%d probes, task = %+v", len(w.probes), task)
	}
	if count(w.events(), transfer.EventStarted) != 1 {
		t.Errorf("events = %v", w.events())
	}
	for i, r := range w.records[1:] {
		if len(w.records[i].Events) > 0 && len(r.Events) > 0 && r.Page == w.records[i].Page {
			t.Errorf("page %d of the events was written twice", r.Page)
		}
	}
}

func TestTransferContinuesWhileIdle(t *testing.T) {
	w := newWorld(t)
	w.at(time.Second/2, func() { w.env.SignalWorkflow(TellPause, nil) })
	began := w.env.Now()
	_, err := w.transfer(tree())
	if next := (*workflow.ContinueAsNewError)(nil); !errors.As(err, &next) {
		t.Fatalf("err = %v", err)
	}
	if d := w.env.Now().Sub(began); d < 24*time.Hour || d > 25*time.Hour {
		t.Errorf("after %s", d)
	}
}

func TestTransferLiveTuning(t *testing.T) {
	w := newWorld(t)
	w.copyTime = time.Minute
	w.at(10*time.Second, func() {
		w.update(TellModify, true, transfer.Change{Tuning: &transfer.Policy{Concurrency: 3, Parallelism: 5, Pipelining: 7}})
	})
	if _, err := w.transfer(tree()); err != nil {
		t.Fatal(err)
	}
	tuned := 0
	for _, c := range w.copied {
		if c.Schedule == 2 {
			tuned++
			if got := c.Chunk.Tuning; got.Concurrency != 3 || got.Parallelism != 5 || got.Pipelining != 7 {
				t.Errorf("tuning = %+v", got)
			}
		}
	}
	if tuned != 2 {
		t.Errorf("%d chunks were scheduled again", tuned)
	}
}

func TestTransferWindow(t *testing.T) {
	for policy, want := range map[string]int{"classic": 1, "auto": 2} { // of 4 sessions each; the budget is 8
		t.Run(policy, func(t *testing.T) {
			w := newWorld(t)
			w.copyTime = time.Minute
			w.walk = func(int, activities.WalkInput) (activities.WalkResult, error) {
				return found("", chunk("0-0", 4), chunk("0-1", 4), chunk("0-2", 4), chunk("0-3", 4)), nil
			}
			w.at(30*time.Second, func() {
				active := 0
				for _, c := range w.status().Chunks {
					if c.State == "active" {
						active++
					}
				}
				if active != want {
					t.Errorf("%d chunks at once, want %d", active, want)
				}
			})
			if _, err := w.transfer(tree(`"tuning":{"name":"` + policy + `"}`)); err != nil {
				t.Fatal(err)
			}
		})
	}
}

func TestTransferDeleteExtra(t *testing.T) {
	extras := func(errs int64) func(int, activities.WalkInput) (activities.WalkResult, error) {
		return func(int, activities.WalkInput) (activities.WalkResult, error) {
			res := found("", chunk("0-0", 4))
			res.Extras, res.NExtras, res.Errors = []string{"extras/0"}, 3, errs
			return res, nil
		}
	}
	for name, test := range map[string]struct {
		request string
		walk    func(int, activities.WalkInput) (activities.WalkResult, error)
		deleted bool
		fails   bool
	}{
		"asked":       {`"delete_extra":true`, extras(0), true, false},
		"not asked":   {`"delete_extra":false`, extras(0), false, false},
		"too many":    {`"delete_extra":true,"max_delete":"2"`, extras(0), false, true},
		"just enough": {`"delete_extra":true,"max_delete":"3"`, extras(0), true, false},
		"walk errors": {`"delete_extra":true,"on_error":"skip"`, extras(1), false, true},
		"empty source": {`"delete_extra":true`, func(int, activities.WalkInput) (activities.WalkResult, error) {
			return activities.WalkResult{Extras: []string{"x"}, NExtras: 9}, nil
		}, false, true},
		"two steps":     {`"delete_extra":true`, extras(0), true, false},
		"nothing extra": {`"delete_extra":true`, nil, false, false},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.walk = test.walk
			w.delete = func(n int, in activities.DeleteInput) (activities.DeleteResult, error) {
				if name == "two steps" && n == 1 {
					return activities.DeleteResult{Deleted: 2, Cursor: "more"}, nil
				}
				return activities.DeleteResult{Deleted: 1}, nil
			}
			task, err := w.transfer(tree(test.request))
			if (err != nil) != test.fails {
				t.Fatalf("err = %v", err)
			}
			if (len(w.deletes) > 0) != test.deleted {
				t.Errorf("deletes = %+v", w.deletes)
			}
			if name == "two steps" && (task.Progress.Deleted != 3 || w.deletes[1].Cursor != "more") {
				t.Errorf("%d deleted, %+v", task.Progress.Deleted, w.deletes)
			}
		})
	}
}

func TestTransferAsksTheWorkerOnTheHostOfABoundEnd(t *testing.T) {
	w := newWorld(t)
	w.probe = func(n int) (activities.ProbeResult, error) {
		p := probed("")
		p.Route.Queue = transfer.SiteQueue("lab1")
		p.Elsewhere = n == 1
		return p, nil
	}
	task, err := w.transfer(tree())
	if err != nil {
		t.Fatal(err)
	}
	if len(w.probes) != 2 || task.Route.Queue != transfer.SiteQueue("lab1") {
		t.Errorf("%d probes, route %+v", len(w.probes), task.Route)
	}
	w = newWorld(t)
	w.probe = func(int) (activities.ProbeResult, error) {
		return activities.ProbeResult{Elsewhere: true, Route: transfer.Route{Queue: transfer.SiteQueue("lab1")}}, nil
	}
	if _, err := w.transfer(tree()); err == nil {
		t.Error("workers that send one another away go unnoticed")
	}
}

// The first step of the walk logs in; a worker of an older release does not, and
// the task goes on as it did then.
func TestTransferSetsOut(t *testing.T) {
	for _, old := range []bool{false, true} {
		w := newWorld(t)
		w.old = old
		w.walk = func(n int, in activities.WalkInput) (activities.WalkResult, error) {
			if first := n == 1; in.Open != first || in.Probe.Route.Path == transfer.RouteThirdParty == first {
				t.Errorf("step %d: %+v", n, in)
			}
			if n == 1 {
				return found("cursor-1", chunk("0-0", 4)), nil
			}
			if old == (in.Cursor == "cursor-1") {
				t.Errorf("step %d goes on at %q", n, in.Cursor)
			}
			return found("", chunk("1-0", 4)), nil
		}
		task, err := w.transfer(tree())
		if err != nil {
			t.Fatal(err)
		}
		want := int64(8)
		if old { // the first step was done again, whole
			want = 4
		}
		if task.Route.Path != transfer.RouteThirdParty || len(w.probes) != 1 || len(w.walks) != 2 || task.Progress.FilesDone != want {
			t.Errorf("old %v: %d probes, %d walks, task = %+v", old, len(w.probes), len(w.walks), task)
		}
	}
}

// A pause has the first step of the walk stop.
func TestTransferPausedWhileItSetsOut(t *testing.T) {
	w := newWorld(t)
	resumed := w.env.Now().Add(2 * time.Hour)
	w.walk = func(n int, _ activities.WalkInput) (activities.WalkResult, error) {
		if n == 1 {
			return activities.WalkResult{}, activity.ErrResultPending // until it is cancelled
		}
		if w.env.Now().Before(resumed) {
			t.Error("it walked while the task was paused")
		}
		return found("", chunk("0-0", 8)), nil
	}
	w.at(10*time.Second, func() { w.update(TellPause, true) })
	w.at(2*time.Hour+time.Second, func() { w.env.SignalWorkflow(TellResume, nil) })
	task, err := w.transfer(tree())
	if err != nil || len(w.walks) != 2 || task.Progress.FilesDone != 8 {
		t.Errorf("%d walks, task = %+v, %v", len(w.walks), task, err)
	}
}

// A task that ends at once has one record, its last; a longer one is recorded
// after a second.
func TestTransferIsRecordedWhenItLasts(t *testing.T) {
	for took, records := range map[time.Duration]int{100 * time.Millisecond: 1, 10 * time.Second: 2} {
		w := newWorld(t)
		w.copyTime = took
		if _, err := w.transfer(tree()); err != nil {
			t.Fatal(err)
		}
		if len(w.records) != records {
			t.Errorf("a task of %s has %d records", took, len(w.records))
		}
		if first := w.records[0].Task; records > 1 && (first.Status != transfer.Active || first.AsOf.Sub(first.Requested).Round(time.Second) != time.Second) {
			t.Errorf("the first is %+v", first)
		}
	}
}

// Whoever has an address at the site alone hears of a wait that began before the
// first record.
func TestTransferTellsOfAnEarlyWait(t *testing.T) {
	w := newWorld(t)
	w.addressed = true
	w.walk = func(n int, _ activities.WalkInput) (activities.WalkResult, error) {
		if n < 3 {
			full := transfer.Fault{Kind: fault.NoSpace, Message: "the disk is full"}
			return activities.WalkResult{Cursor: "here", Blocked: &full}, nil
		}
		return found("", chunk("0-0", 8)), nil
	}
	if _, err := w.transfer(tree()); err != nil {
		t.Fatal(err)
	}
	told := 0
	for _, n := range w.mails {
		if n.Kind == transfer.NoticeWaiting {
			told++
		}
	}
	if told != 1 {
		t.Errorf("told %d times of the wait: %+v", told, w.mails)
	}
}

// TestEqualChecksumsAreSkipped: what a copy found equal was neither moved nor
// is it left to do.
func TestEqualChecksumsAreSkipped(t *testing.T) {
	w := newWorld(t)
	w.walk = func(int, activities.WalkInput) (activities.WalkResult, error) { return found("", chunk("0-0", 8)), nil }
	w.copy = func(_ int, in activities.CopyInput) (activities.CopyResult, error) {
		return activities.CopyResult{Complete: true, Files: 8, Bytes: 2e6, Skipped: 6, SkippedBytes: 6e6}, nil
	}
	task, err := w.transfer(tree(`"sync":"checksum"`))
	if err != nil {
		t.Fatal(err)
	}
	if p := task.Progress; p.Files != 2 || p.FilesDone != 2 || p.FilesSkipped != 6 || p.Bytes != 2e6 || p.Percent() != 100 {
		t.Errorf("progress = %+v", p)
	}
}

// TestTransferMakesRoom: at an end that takes few tasks, and only there.
func TestTransferMakesRoom(t *testing.T) {
	for _, limit := range []int{0, 2} {
		w := newWorld(t)
		w.probe = func(int) (activities.ProbeResult, error) {
			res := probed("")
			res.Destination.Tasks = limit
			return res, nil
		}
		if _, err := w.transfer(tree()); err != nil {
			t.Fatal(err)
		}
		if len(w.left) != min(limit, 1) {
			t.Errorf("limit %d: left %d times", limit, len(w.left))
		}
	}
}
