package embedding

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"testing"
	"time"

	enumspb "go.temporal.io/api/enums/v1"
	"go.temporal.io/api/workflow/v1"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/worker"
	sdk "go.temporal.io/sdk/workflow"

	"github.com/gridferry/gridferry/integration/harness"
	"github.com/gridferry/gridferry/integration/tree"
	"github.com/gridferry/gridferry/transfer"
	"github.com/gridferry/gridferry/workflows"
)

func TestAnalysis(t *testing.T) {
	l := newLab(t, false)
	work(t, l.client)
	l.measure(tree.Spec{Seed: 1, Files: 120, Bytes: 8 << 20, Odd: true, Deep: 3})
	l.analyse(l.client, "run7", l.input())
}

// analyse runs an analysis to its end and looks at what comes of it.
func (l *lab) analyse(c client.Client, id string, in Input) {
	l.t.Helper()
	var out Output
	if err := l.start(c, id, Analysis, in).Get(l.t.Context(), &out); err != nil {
		l.t.Fatal(err)
	}
	if out.Files != 120 || out.Bytes != 8<<20 || out.Report != in.Results+"/"+id+"/report.json" {
		l.t.Errorf("it said %+v", out)
	}
	l.clean(id)
	text, err := os.ReadFile(l.archive.Path("results/" + id + "/report.json"))
	if err != nil {
		l.t.Fatal(err)
	}
	var report []Description
	if err := json.Unmarshal(text, &report); err != nil {
		l.t.Fatal(err)
	}
	if len(report) != 120 {
		l.t.Errorf("the report describes %d files", len(report))
	}
	for _, d := range report {
		want, err := describe(l.instrument.Path("run7/" + d.Path))
		want.Path = d.Path
		if err != nil || d != want {
			l.t.Errorf("the report says %+v instead of %+v (%v)", d, want, err)
		}
	}
}

// failing is a workflow that gives up while its transfer is under way.
func failing(ctx sdk.Context, in Input) error {
	child := workflows.ExecuteTransfer(ctx, transfer.Request{Source: in.Raw, Destination: in.Scratch + "/failing/raw", Recursive: true})
	if err := child.GetChildWorkflowExecution().Get(ctx, nil); err != nil {
		return err
	}
	sdk.GetSignalChannel(ctx, "give up").Receive(ctx, nil)
	return errors.New("the beam was lost")
}

func TestATransferEndsWithItsParent(t *testing.T) {
	l := newLab(t, true)
	work(t, l.client, func(w worker.Registry) { w.RegisterWorkflowWithOptions(failing, sdk.RegisterOptions{Name: "failing"}) })
	l.measure(tree.Spec{Seed: 2, Files: 20, Bytes: 49 << 20, Large: []int64{48 << 20}})
	for _, c := range []struct {
		id        string
		workflow  any
		interrupt func(id string) error
		want      enumspb.WorkflowExecutionStatus
	}{
		{"cancelled", Analysis, func(id string) error { return l.client.CancelWorkflow(t.Context(), id, "") }, enumspb.WORKFLOW_EXECUTION_STATUS_CANCELED},
		{"failing", "failing", func(id string) error { return l.client.SignalWorkflow(t.Context(), id, "", "give up", nil) }, enumspb.WORKFLOW_EXECUTION_STATUS_FAILED},
		{"terminated", Analysis, func(id string) error { return l.client.TerminateWorkflow(t.Context(), id, "", "test") }, enumspb.WORKFLOW_EXECUTION_STATUS_TERMINATED},
	} {
		t.Run(c.id, func(t *testing.T) {
			run := l.start(l.client, c.id, c.workflow, l.input())
			l.awaitHalf()
			child := l.child(c.id)
			if err := c.interrupt(c.id); err != nil {
				t.Fatal(err)
			}
			_ = run.Get(t.Context(), nil) // its status says it
			ended := l.ended(l.client, child)
			if ended.GetStatus() != enumspb.WORKFLOW_EXECUTION_STATUS_CANCELED {
				t.Errorf("the transfer ended as %v", ended.GetStatus())
			}
			l.saysCancelled(child)
			l.clean(c.id)
			parent := l.ended(l.client, c.id)
			if parent.GetStatus() != c.want {
				t.Errorf("the parent ended as %v", parent.GetStatus())
			}
			if c.id == "cancelled" && parent.GetCloseTime().AsTime().Before(ended.GetCloseTime().AsTime()) {
				t.Error("the parent ended before the transfer had cleaned up")
			}
		})
	}
}

// child is the id of a workflow's one child.
func (l *lab) child(parent string) string {
	l.t.Helper()
	d, err := l.client.DescribeWorkflowExecution(l.t.Context(), parent, "")
	if err != nil {
		l.t.Fatal(err)
	}
	if n := len(d.GetPendingChildren()); n != 1 {
		l.t.Fatalf("%s has %d children", parent, n)
	}
	return d.GetPendingChildren()[0].GetWorkflowId()
}

// ended waits until a workflow has ended.
func (l *lab) ended(c client.Client, id string) *workflow.WorkflowExecutionInfo {
	l.t.Helper()
	var info *workflow.WorkflowExecutionInfo
	harness.Eventually(l.t, 2*time.Minute, func() error {
		d, err := c.DescribeWorkflowExecution(l.t.Context(), id, "")
		if err != nil {
			return err
		}
		info = d.GetWorkflowExecutionInfo()
		if info.GetCloseTime() == nil {
			return fmt.Errorf("%s still runs", id)
		}
		return nil
	})
	return info
}

// saysCancelled reads the task that a cancelled transfer ends with.
func (l *lab) saysCancelled(id string) {
	l.t.Helper()
	err := l.client.GetWorkflow(l.t.Context(), id, "").Get(l.t.Context(), nil)
	var canceled *temporal.CanceledError
	if !errors.As(err, &canceled) {
		l.t.Fatalf("%s ended with %v", id, err)
	}
	var task transfer.Task
	if err := canceled.Details(&task); err != nil {
		l.t.Fatal(err)
	}
	if task.Status != transfer.Failed || task.Verdict != "cancelled" {
		l.t.Errorf("the transfer says of itself: %s, %s", task.Status, task.Verdict)
	}
}
