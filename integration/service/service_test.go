package service_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"go.temporal.io/sdk/client"

	"github.com/gridferry/gridferry/endpoints"
	"github.com/gridferry/gridferry/fault"
	"github.com/gridferry/gridferry/integration/harness"
	"github.com/gridferry/gridferry/service"
	"github.com/gridferry/gridferry/transfer"
	"github.com/gridferry/gridferry/workers"
	"github.com/gridferry/gridferry/workflows"
)

func tree() transfer.Request {
	return transfer.Request{Source: "src:/data", Destination: "dst:/data", Recursive: true}
}

func TestSubmittingAgainReturnsTheFirst(t *testing.T) {
	s := newSite(t)
	s.put("/data/a")
	const id = "4a0b3f1e-54d8-4d80-9a5c-0a2cf9ce1a4e"
	for range 2 { // while it runs, perhaps, and after it has ended
		got, err := s.service.Submit(t.Context(), id, tree())
		if err != nil || got != id {
			t.Fatalf("Submit = %s, %v", got, err)
		}
		s.wait(id, transfer.Succeeded)
	}
	tasks, err := s.service.Tasks(t.Context(), transfer.TaskQuery{})
	if err != nil || len(tasks.Tasks) != 1 {
		t.Errorf("Tasks = %+v, %v", tasks, err)
	}
}

// A schedule, or a person, uses an id again; what the task before had done is
// not done for this one.
func TestAnIDUsedAgainIsAnotherTask(t *testing.T) {
	s := newSite(t)
	s.put("/data/a")
	for range 2 {
		at := s.dst.Open()
		_ = at.Remove(t.Context(), "/data/a")
		at.Close()
		run, err := s.client.ExecuteWorkflow(t.Context(), client.StartWorkflowOptions{ID: "nightly", TaskQueue: transfer.QueueControl},
			workflows.TypeTransfer, tree())
		if err != nil {
			t.Fatal(err)
		}
		var task transfer.Task
		if err := run.Get(t.Context(), &task); err != nil {
			t.Fatal(err)
		}
		if task.Progress.FilesDone != 1 {
			t.Errorf("progress = %+v", task.Progress)
		}
		s.same("/data")
		results, err := s.service.Results(t.Context(), "nightly", transfer.ResultQuery{})
		if err != nil || len(results.Results) != 1 {
			t.Errorf("Results = %+v, %v", results, err)
		}
	}
}

func TestRefusals(t *testing.T) {
	s := newSite(t)
	if _, err := s.service.Submit(t.Context(), "", transfer.Request{Source: "gopher://a/x", Destination: "dst:/x"}); !fault.Is(err, fault.Invalid) {
		t.Errorf("Submit: %v", err)
	}
	if _, err := s.service.Task(t.Context(), "nobody knows"); !fault.Is(err, fault.NotFound) {
		t.Errorf("Task: %v", err)
	}
	if err := s.service.Pause(t.Context(), "nobody knows"); !fault.Is(err, fault.NotFound) {
		t.Errorf("Pause: %v", err)
	}
	if _, err := s.service.Events(t.Context(), "nobody knows", transfer.Page{}); !fault.Is(err, fault.NotFound) {
		t.Errorf("Events: %v", err)
	}
	if _, err := s.service.Wait(t.Context(), "nobody knows"); !fault.Is(err, fault.NotFound) {
		t.Errorf("Wait: %v", err)
	}
	if _, err := s.service.Tasks(t.Context(), transfer.TaskQuery{Status: []transfer.Status{"BUSY"}}); !fault.Is(err, fault.Invalid) {
		t.Errorf("Tasks: %v", err)
	}
	if _, err := s.service.Tasks(t.Context(), transfer.TaskQuery{Page: transfer.Page{Token: "%%%"}}); !fault.Is(err, fault.Invalid) {
		t.Errorf("Tasks: %v", err)
	}

	// A raw start is refused by the workflow, and the task says why.
	run, err := s.client.ExecuteWorkflow(t.Context(), client.StartWorkflowOptions{ID: "raw", TaskQueue: transfer.QueueControl},
		workflows.TypeTransfer, map[string]any{"source": "src:/data", "destination": "dst:/data", "recursiv": true})
	if err != nil {
		t.Fatal(err)
	}
	if err := run.Get(t.Context(), nil); err == nil {
		t.Fatal("an unknown field was taken")
	}
	task := s.wait("raw", transfer.Failed)
	if task.Fatal == nil || task.Fatal.Kind != fault.Invalid || !strings.Contains(task.Fatal.Message, "recursiv") {
		t.Errorf("task = %+v", task)
	}
	// An operation is no task.
	if _, err := s.service.Stat(t.Context(), transfer.Place{Location: "src:/"}); err != nil {
		t.Fatal(err)
	}
	tasks, err := s.service.Tasks(t.Context(), transfer.TaskQuery{})
	if err != nil || len(tasks.Tasks) != 1 {
		t.Errorf("Tasks = %+v, %v", tasks, err)
	}
}

func TestTasksEventsAndResults(t *testing.T) {
	for name, flags := range map[string][]string{
		"with our search attributes": {
			"-search-attribute", workflows.AttributeOwner + "=Keyword", "-search-attribute", workflows.AttributeStatus + "=Keyword",
			"-search-attribute", workflows.AttributeLabel + "=Keyword", "-search-attribute", workflows.AttributeSource + "=Keyword",
			"-search-attribute", workflows.AttributeDestination + "=Keyword",
		},
		"without, and without the right to add them": {"-no-operator"},
	} {
		t.Run(name, func(t *testing.T) {
			s := newSite(t, flags...)
			s.put("/data/a", "/data/b", "/data/c")
			req := tree()
			req.Owner, req.Label = "ada", "the first"
			good := s.submit(req)
			s.wait(good, transfer.Succeeded)
			req.Owner, req.Source, req.OnError = "bob", "src:/nothing", transfer.OnErrorFail
			bad := s.submit(req)
			s.wait(bad, transfer.Failed)

			ids := func(q transfer.TaskQuery) (ids []transfer.TaskID) {
				t.Helper()
				for {
					page, err := s.service.Tasks(t.Context(), q)
					if err != nil {
						t.Fatal(err)
					}
					for _, task := range page.Tasks {
						ids = append(ids, task.ID)
					}
					if q.Page.Token = page.Next; page.Next == "" {
						return ids
					}
				}
			}
			// Visibility is a little behind.
			harness.Eventually(t, time.Minute, func() error {
				for _, q := range []struct {
					query transfer.TaskQuery
					want  []transfer.TaskID
				}{
					{transfer.TaskQuery{}, []transfer.TaskID{bad, good}},
					{transfer.TaskQuery{Page: transfer.Page{Limit: 1}}, []transfer.TaskID{bad, good}},
					{transfer.TaskQuery{Owner: "ada"}, []transfer.TaskID{good}},
					{transfer.TaskQuery{Owner: "eve"}, nil},
					{transfer.TaskQuery{Status: []transfer.Status{transfer.Failed}}, []transfer.TaskID{bad}},
					{transfer.TaskQuery{Status: []transfer.Status{transfer.Succeeded, transfer.Active}}, []transfer.TaskID{good}},
					{transfer.TaskQuery{Status: []transfer.Status{transfer.Inactive}}, nil},
				} {
					if got := ids(q.query); !slices.Equal(got, q.want) {
						return fmt.Errorf("%+v lists %v, not %v", q.query, got, q.want)
					}
				}
				return nil
			})
			page, err := s.service.Tasks(t.Context(), transfer.TaskQuery{Owner: "ada"})
			if err != nil || page.Tasks[0].Label != "the first" || page.Tasks[0].Progress.FilesDone != 3 || page.Tasks[0].Completed.IsZero() {
				t.Errorf("Tasks = %+v, %v", page, err)
			}

			events, err := s.service.Events(t.Context(), good, transfer.Page{})
			if err != nil || len(events.Events) < 3 || events.Events[0].Code != transfer.EventStarted ||
				events.Events[len(events.Events)-1].Code != transfer.EventSucceeded {
				t.Errorf("Events = %+v, %v", events, err)
			}
			var results []transfer.Result
			for p := (transfer.Page{Limit: 2}); ; {
				page, err := s.service.Results(t.Context(), good, transfer.ResultQuery{Page: p})
				if err != nil {
					t.Fatal(err)
				}
				results = append(results, page.Results...)
				if p.Token = page.Next; page.Next == "" {
					break
				}
			}
			if len(results) != 3 || results[0].Checksum == "" || results[0].Status != "copied" {
				t.Errorf("Results = %+v", results)
			}

			added, err := service.SetupNamespace(t.Context(), s.client, "default")
			switch {
			case flags[0] == "-no-operator" && !fault.Is(err, fault.Permission):
				t.Errorf("SetupNamespace without the right: %v, %v", added, err)
			case flags[0] != "-no-operator" && (err != nil || len(added) != 0):
				t.Errorf("SetupNamespace = %v, %v", added, err)
			}
		})
	}
}

func TestSetupNamespace(t *testing.T) {
	s := newSite(t)
	added, err := service.SetupNamespace(t.Context(), s.client, "default")
	if err != nil || len(added) != len(workflows.Attributes()) {
		t.Fatalf("SetupNamespace = %v, %v", added, err)
	}
	if added, err := service.SetupNamespace(t.Context(), s.client, "default"); err != nil || len(added) != 0 {
		t.Errorf("again = %v, %v", added, err)
	}
	for range 2 {
		if err := service.EnsureSweep(t.Context(), s.client, "", time.Hour, time.Hour); err != nil {
			t.Fatal(err)
		}
	}
}

func TestBrowse(t *testing.T) {
	s := newSite(t)
	s.put("/data/a", "/data/\xff")
	ctx := t.Context()
	at := func(p string) transfer.Place { return transfer.Place{Location: "src:" + p} }
	entry, err := s.service.Stat(ctx, at("/data/a"))
	if err != nil || entry.Type != endpoints.File || entry.Size == 0 {
		t.Errorf("Stat = %+v, %v", entry, err)
	}
	if _, err := s.service.Stat(ctx, at("/data/none")); !fault.Is(err, fault.NotFound) {
		t.Errorf("Stat of nothing: %v", err)
	}
	if err := s.service.Mkdir(ctx, at("/data/b")); err != nil {
		t.Error(err)
	}
	if err := s.service.Mkdir(ctx, at("/data/b")); !fault.Is(err, fault.Exists) {
		t.Errorf("Mkdir again: %v", err)
	}
	if err := s.service.Rename(ctx, at("/data/b"), "src:/data/c"); err != nil {
		t.Error(err)
	}
	if err := s.service.Rename(ctx, at("/data/c"), "dst:/data/c"); !fault.Is(err, fault.Invalid) {
		t.Errorf("Rename to another endpoint: %v", err)
	}
	var names []string
	for p := (transfer.Page{Limit: 2}); ; {
		page, err := s.service.List(ctx, at("/data"), p)
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range page.Entries {
			names = append(names, e.Name)
		}
		if p.Token = page.Next; page.Next == "" {
			break
		}
	}
	if !slices.Equal(names, []string{"a", "c", "\xff"}) {
		t.Errorf("List = %q", names)
	}
}

func TestPlan(t *testing.T) {
	s := newSite(t)
	s.put("/data/a", "/data/b")
	write(t, s.dst, "/data/extra", []byte("x"))
	req := tree()
	req.DeleteExtra = true
	plan, err := s.service.Plan(t.Context(), req)
	if err != nil {
		t.Fatal(err)
	}
	if plan.Progress.Files != 2 || len(plan.Chunks) != 1 || plan.Chunks[0].Tuning.Reason == "" || len(plan.Deletes) != 1 {
		t.Errorf("Plan = %+v", plan)
	}
	if got := read(t, s.dst, "/data"); len(got) != 1 {
		t.Errorf("a plan left %v", got)
	}
}

func TestDelete(t *testing.T) {
	s := newSite(t)
	s.put("/data/a", "/data/b/c", "/keep")
	id, err := s.service.SubmitDelete(t.Context(), "", transfer.DeleteRequest{Paths: []string{"src:/data"}, Recursive: true})
	if err != nil {
		t.Fatal(err)
	}
	task := s.wait(id, transfer.Succeeded)
	if task.Type != "DELETE" || task.Progress.Deleted != 4 {
		t.Errorf("task = %+v", task)
	}
	if got := read(t, s.src, "/"); len(got) != 1 {
		t.Errorf("left: %v", got)
	}
}

func TestModify(t *testing.T) {
	s := newSite(t)
	s.put("/data/a")
	release := s.hold()
	defer release()
	id := s.submit(tree())
	s.until(id, "copying", copying)
	label, deadline := "renamed", time.Now().Add(time.Hour).Truncate(time.Second)
	if err := s.service.Modify(t.Context(), id, transfer.Change{Label: &label, Deadline: &deadline, Tuning: &transfer.Policy{Parallelism: 3}}); err != nil {
		t.Fatal(err)
	}
	three := "a\nb\nc"
	if err := s.service.Modify(t.Context(), id, transfer.Change{Label: &three}); !fault.Is(err, fault.Invalid) {
		t.Errorf("a label of three lines: %v", err)
	}
	s.until(id, "tuned", func(task transfer.Task) bool {
		return copying(task) && task.Chunks[0].Tuning.Parallelism == 3 && task.Label == label && task.Deadline.Equal(deadline)
	})
	release()
	s.wait(id, transfer.Succeeded)
	s.same("/data")
}

func TestCancel(t *testing.T) {
	s := newSite(t)
	s.put("/data/a")
	defer s.hold()()
	id := s.submit(tree())
	s.until(id, "copying", copying)
	if err := s.service.Cancel(t.Context(), id); err != nil {
		t.Fatal(err)
	}
	if task := s.wait(id, transfer.Failed); task.Fatal != nil || task.Verdict == "" {
		t.Errorf("task = %+v", task)
	}
	if err := s.service.Cancel(t.Context(), id); !fault.Is(err, fault.Invalid) {
		t.Errorf("again: %v", err)
	}
}

// What is in flight shows before anything is finished.
func TestProgressInFlight(t *testing.T) {
	s := newSite(t)
	write(t, s.src, "/data/big", make([]byte, 64<<20))
	release := s.holdAt(32 << 20)
	defer release()
	id := s.submit(tree())
	s.until(id, "half way", func(task transfer.Task) bool {
		p := task.Progress
		return p.BytesDone == 0 && p.BytesInFlight > 0 && p.Rate > 0 && p.Percent() > 0
	})
	release()
	s.wait(id, transfer.Succeeded)
}

// Without a worker there is the last projection, its age, and a sentence that
// says so; what the task is told waits for a worker.
func TestWithoutAWorker(t *testing.T) {
	s := newSite(t)
	s.put("/data/a")
	release := s.hold()
	defer release()
	id := s.submit(tree())
	s.until(id, "copying", copying)
	s.stop()
	impatient := service.New(s.client, service.Options{Patience: time.Second})
	task, err := impatient.Task(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	if task.AsOf.IsZero() || !strings.Contains(task.Verdict, "no worker answers") || task.ID != id {
		t.Errorf("task = %+v", task)
	}
	if err := impatient.Pause(t.Context(), id); err != nil {
		t.Errorf("Pause: %v", err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	if _, err := impatient.Stat(ctx, transfer.Place{Location: "src:/data"}); !fault.Is(err, fault.Transient) || !strings.Contains(err.Error(), "gridferryd") {
		t.Errorf("Stat: %v", err)
	}
	release()
	s.start(workers.Control, workers.Data)
	s.until(id, "paused", func(task transfer.Task) bool { return task.Paused && !copying(task) })
	if err := s.service.Resume(t.Context(), id); err != nil {
		t.Fatal(err)
	}
	s.wait(id, transfer.Succeeded)
	s.same("/data")
}

func TestTerminated(t *testing.T) {
	s := newSite(t)
	s.put("/data/a")
	defer s.hold()()
	id := s.submit(tree())
	s.until(id, "copying", copying)
	if err := s.client.TerminateWorkflow(t.Context(), string(id), "", "test"); err != nil {
		t.Fatal(err)
	}
	task := s.wait(id, transfer.Failed)
	if task.Fatal == nil || !strings.Contains(task.Verdict, "outside") || task.Completed.IsZero() {
		t.Errorf("task = %+v", task)
	}
}
