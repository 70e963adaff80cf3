package service_test

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/worker"
	"go.temporal.io/sdk/workflow"

	"github.com/gridferry/gridferry/activities"
	"github.com/gridferry/gridferry/endpoints/memory"
	"github.com/gridferry/gridferry/fault"
	"github.com/gridferry/gridferry/integration/harness"
	"github.com/gridferry/gridferry/transfer"
	"github.com/gridferry/gridferry/workflows"
)

func TestPlain(t *testing.T) {
	s := newSite(t)
	s.put("/data/a", "/data/b/c", "/data/b/d", "/data/empty dir/e")
	id := s.submit(transfer.Request{Source: "src:/data", Destination: "dst:/data", Recursive: true, Label: "plain", PreserveTime: true})
	task := s.wait(id, transfer.Succeeded)
	if task.Progress.FilesDone != 4 || task.Progress.FilesUnverified != 0 {
		t.Errorf("progress = %+v", task.Progress)
	}
	s.same("/data")
	h := s.history(id, "")
	if n := scheduled(h, "Probe"); n != 0 || scheduled(h, "WalkStep") != 1 {
		t.Errorf("%d activities log in beside %d walks: the first walk does", n, scheduled(h, "WalkStep"))
	}
	s.keep("plain", h)
}

func TestExpress(t *testing.T) {
	s := newSite(t)
	s.put("/data/a")
	id := s.submit(transfer.Request{Source: "src:/data/a", Destination: "dst:/data/a"})
	task := s.wait(id, transfer.Succeeded)
	if task.Progress.FilesDone != 1 {
		t.Errorf("progress = %+v", task.Progress)
	}
	s.same("/data")
	h := s.history(id, "")
	if n := scheduled(h, ""); n != 1 {
		t.Errorf("%d activities: the express path has one", n)
	}
	s.keep("express", h)
}

// hold makes the source hold every file until it is released, or until the
// call is given up.
func (s *site) hold() (release func()) { return s.holdAt(0) }

// holdAt holds what is read from the source from that offset on, and all that
// goes straight from server to server.
func (s *site) holdAt(offset int64) (release func()) {
	held := make(chan struct{})
	s.src.Faults().Hook(func(ctx context.Context, op memory.Op, _ string, at int64) error {
		if op != memory.Sent && op != memory.Read || at < offset {
			return nil
		}
		select {
		case <-held:
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	})
	return sync.OnceFunc(func() { close(held) })
}

func copying(task transfer.Task) bool {
	for _, c := range task.Chunks {
		if c.State == workflows.ChunkActive {
			return true
		}
	}
	return false
}

func TestPausedAndResumed(t *testing.T) {
	s := newSite(t)
	s.put("/data/a", "/data/b")
	release := s.hold()
	defer release()
	id := s.submit(transfer.Request{Source: "src:/data", Destination: "dst:/data", Recursive: true})
	s.until(id, "copying", copying)
	if err := s.service.Pause(t.Context(), id); err != nil {
		t.Fatal(err)
	}
	s.until(id, "paused", func(task transfer.Task) bool { return task.Paused && !copying(task) })
	release()
	if err := s.service.Resume(t.Context(), id); err != nil {
		t.Fatal(err)
	}
	s.wait(id, transfer.Succeeded)
	s.same("/data")
	if err := s.service.Pause(t.Context(), id); !fault.Is(err, fault.Invalid) {
		t.Errorf("pausing what has ended: %v", err)
	}
	s.keep("paused", s.history(id, ""))
}

func TestFaultAndRetry(t *testing.T) {
	s := newSite(t)
	s.put("/data/a", "/data/b", "/data/c")
	// Often enough that one copy gives the file up, and the next gets it.
	s.src.Faults().Fail(memory.Sent, "/data/b", 2, fault.New(fault.Permission, "open", "/data/b", "550 no"))
	id := s.submit(transfer.Request{Source: "src:/data", Destination: "dst:/data", Recursive: true})
	task := s.wait(id, transfer.Succeeded)
	s.same("/data")
	if task.Progress.Faults == 0 {
		t.Errorf("progress = %+v", task.Progress)
	}
	h := s.history(id, "")
	if n := scheduled(h, "Copy"); n < 2 {
		t.Errorf("%d copies: the workflow had nothing to decide", n)
	}
	s.keep("fault", h)
}

// continuing is what starts a task with policies of the test's own: only a
// continuing run brings its state along.
func continuing(ctx workflow.Context, state workflows.State) error {
	ctx = workflow.WithWorkflowTaskQueue(ctx, transfer.QueueControl)
	return workflow.NewContinueAsNewError(ctx, workflows.TypeTransfer, workflows.Continued{State: &state})
}

func TestContinueAsNew(t *testing.T) {
	s := newSite(t)
	for i := range 3 {
		s.put(fmt.Sprintf("/data/%d/a", i))
	}
	const id = "continued"
	now := time.Now()
	items := []transfer.Item{{Source: "src:/data", Destination: "dst:/data", Recursive: true}}
	state := workflows.State{
		Policies: workflows.Policies{
			Logic: 1, Window: 100, Sessions: 8, Backlog: 400, DrainEvents: 16, DrainBytes: 3 << 20, MaxRun: 24 * time.Hour,
			Look: time.Minute, Cleanup: 5 * time.Minute, Record: time.Minute,
		},
		Key:     id,
		Request: transfer.Request{Items: items, Deadline: now.Add(time.Hour)},
		Ends:    activities.Ends{Source: "src", Destination: "dst"},
		Task: transfer.Task{
			ID: id, Type: "TRANSFER", Status: transfer.Active, Phase: transfer.PhaseStarting, Requested: now, Deadline: now.Add(time.Hour),
			Source: items[0].Source, Destination: items[0].Destination,
		},
	}
	// The workflow that begins has a queue of its own, and leaves it.
	w := worker.New(s.client, "continuing", worker.Options{})
	w.RegisterWorkflow(continuing)
	if err := w.Start(); err != nil {
		t.Fatal(err)
	}
	defer w.Stop()
	begin, err := s.client.ExecuteWorkflow(t.Context(), client.StartWorkflowOptions{ID: id, TaskQueue: "continuing"}, continuing, state)
	if err != nil {
		t.Fatal(err)
	}
	s.wait(id, transfer.Succeeded)
	s.same("/data")
	var runs []string
	for run := begin.GetRunID(); run != ""; {
		events := s.history(id, run).Events
		runs = append(runs, run)
		run = events[len(events)-1].GetWorkflowExecutionContinuedAsNewEventAttributes().GetNewExecutionRunId()
	}
	if len(runs) < 3 {
		t.Fatalf("runs %v: the task never continued as new", runs)
	}
	s.keep("continued-first", s.history(id, runs[1]))
	s.keep("continued-last", s.history(id, runs[len(runs)-1]))
}

// analysis is somebody's workflow with a transfer as its step.
func analysis(ctx workflow.Context, req transfer.Request) (transfer.Task, error) {
	var task transfer.Task
	err := workflows.ExecuteTransfer(ctx, req).Get(ctx, &task)
	return task, err
}

func TestCancelledByAParent(t *testing.T) {
	s := newSite(t)
	s.put("/data/a")
	release := s.hold()
	defer release()
	w := worker.New(s.client, "analysis", worker.Options{})
	w.RegisterWorkflow(analysis)
	if err := w.Start(); err != nil {
		t.Fatal(err)
	}
	defer w.Stop()
	parent, err := s.client.ExecuteWorkflow(t.Context(), client.StartWorkflowOptions{ID: "analysis", TaskQueue: "analysis"}, analysis,
		transfer.Request{Source: "src:/data", Destination: "dst:/data", Recursive: true})
	if err != nil {
		t.Fatal(err)
	}
	var id transfer.TaskID
	harness.Eventually(t, time.Minute, func() error {
		d, err := s.client.DescribeWorkflowExecution(t.Context(), parent.GetID(), "")
		if err != nil || len(d.GetPendingChildren()) == 0 {
			return fmt.Errorf("the parent has no child yet: %w", err)
		}
		id = transfer.TaskID(d.GetPendingChildren()[0].GetWorkflowId())
		return nil
	})
	s.until(id, "copying", copying)
	if err := s.client.CancelWorkflow(t.Context(), parent.GetID(), ""); err != nil {
		t.Fatal(err)
	}
	if err := parent.Get(t.Context(), nil); !temporal.IsCanceledError(err) {
		t.Errorf("the parent ended with %v", err)
	}
	task := s.wait(id, transfer.Failed)
	if task.Fatal != nil || task.Phase != transfer.PhaseDone {
		t.Errorf("task = %+v", task)
	}
	s.keep("cancelled", s.history(id, ""))
}
