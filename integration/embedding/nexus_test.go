package embedding

import (
	"errors"
	"fmt"
	"testing"
	"time"

	enumspb "go.temporal.io/api/enums/v1"
	"go.temporal.io/api/nexus/v1"
	"go.temporal.io/api/operatorservice/v1"
	"go.temporal.io/api/workflowservice/v1"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/worker"
	sdk "go.temporal.io/sdk/workflow"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/gridferry/gridferry/integration/harness"
	"github.com/gridferry/gridferry/integration/tree"
	"github.com/gridferry/gridferry/transfer"
	"github.com/gridferry/gridferry/workflows"
)

const nexusEndpoint = "gridferry"

// abroad makes another namespace, with a Nexus endpoint that leads from it to
// gridferry, and returns a client of it.
func (l *lab) abroad() client.Client {
	l.t.Helper()
	const namespace = "analysis"
	_, err := l.client.WorkflowService().RegisterNamespace(l.t.Context(), &workflowservice.RegisterNamespaceRequest{
		Namespace: namespace, WorkflowExecutionRetentionPeriod: durationpb.New(24 * time.Hour),
	})
	if err != nil {
		l.t.Fatal(err)
	}
	_, err = l.client.OperatorService().CreateNexusEndpoint(l.t.Context(), &operatorservice.CreateNexusEndpointRequest{
		Spec: &nexus.EndpointSpec{
			Name: nexusEndpoint,
			Target: &nexus.EndpointTarget{Variant: &nexus.EndpointTarget_Worker_{
				Worker: &nexus.EndpointTarget_Worker{Namespace: l.temporal.Namespace, TaskQueue: transfer.QueueControl},
			}},
		},
	})
	if err != nil {
		l.t.Fatal(err)
	}
	c, err := client.Dial(client.Options{HostPort: l.temporal.Address, Namespace: namespace})
	if err != nil {
		l.t.Fatal(err)
	}
	l.t.Cleanup(c.Close)
	return c
}

func TestAnalysisOverNexus(t *testing.T) {
	l := newLab(t, false)
	c := l.abroad()
	work(t, c)
	l.measure(tree.Spec{Seed: 1, Files: 120, Bytes: 8 << 20, Odd: true, Deep: 3})
	in := l.input()
	in.NexusEndpoint = nexusEndpoint
	l.analyse(c, "run7", in)
}

// failingAbroad is failing over Nexus. What a child's parent-close policy does
// by itself, a caller over Nexus does before it ends.
func failingAbroad(ctx sdk.Context, in Input) error {
	octx, cancel := sdk.WithCancel(ctx)
	operation := workflows.ExecuteTransferOver(octx, in.NexusEndpoint, transfer.Request{
		Source: in.Raw, Destination: in.Scratch + "/failing/raw", Recursive: true,
	})
	if err := operation.GetNexusOperationExecution().Get(ctx, nil); err != nil {
		return err
	}
	sdk.GetSignalChannel(ctx, "give up").Receive(ctx, nil)
	cancel()
	if err := operation.Get(ctx, nil); !temporal.IsCanceledError(err) {
		return fmt.Errorf("the transfer did not end as cancelled: %w", err)
	}
	return errors.New("the beam was lost")
}

// A Nexus operation has no parent-close policy. So a transfer ends with a
// caller that is cancelled, or that cancels it, and outlives one that is
// terminated: then it goes on to its own end, which leaves the destination
// whole as well.
func TestATransferOverNexusEndsWithItsCaller(t *testing.T) {
	l := newLab(t, true)
	c := l.abroad()
	work(t, c, func(w worker.Registry) {
		w.RegisterWorkflowWithOptions(failingAbroad, sdk.RegisterOptions{Name: "failing"})
	})
	l.measure(tree.Spec{Seed: 2, Files: 20, Bytes: 49 << 20, Large: []int64{48 << 20}})
	in := l.input()
	in.NexusEndpoint = nexusEndpoint
	for _, x := range []struct {
		id        string
		workflow  any
		interrupt func(id string) error
		caller    enumspb.WorkflowExecutionStatus
		transfer  enumspb.WorkflowExecutionStatus
	}{
		{
			"cancelled", Analysis, func(id string) error { return c.CancelWorkflow(t.Context(), id, "") },
			enumspb.WORKFLOW_EXECUTION_STATUS_CANCELED, enumspb.WORKFLOW_EXECUTION_STATUS_CANCELED,
		},
		{
			"failing", "failing", func(id string) error { return c.SignalWorkflow(t.Context(), id, "", "give up", nil) },
			enumspb.WORKFLOW_EXECUTION_STATUS_FAILED, enumspb.WORKFLOW_EXECUTION_STATUS_CANCELED,
		},
		{
			"terminated", Analysis, func(id string) error { return c.TerminateWorkflow(t.Context(), id, "", "test") },
			enumspb.WORKFLOW_EXECUTION_STATUS_TERMINATED, enumspb.WORKFLOW_EXECUTION_STATUS_COMPLETED,
		},
	} {
		t.Run(x.id, func(t *testing.T) {
			run := l.start(c, x.id, x.workflow, in)
			l.awaitHalf()
			operation := l.running()
			if err := x.interrupt(x.id); err != nil {
				t.Fatal(err)
			}
			err := run.Get(t.Context(), nil)
			if caller := l.ended(c, x.id); caller.GetStatus() != x.caller {
				t.Errorf("the caller ended as %v: %v", caller.GetStatus(), err)
			}
			if ended := l.ended(l.client, operation); ended.GetStatus() != x.transfer {
				t.Errorf("the transfer ended as %v", ended.GetStatus())
			}
			l.clean(x.id)
		})
	}
}

// running is the id of the one transfer that runs.
func (l *lab) running() (id string) {
	l.t.Helper()
	harness.Eventually(l.t, time.Minute, func() error {
		list, err := l.client.ListWorkflow(l.t.Context(), &workflowservice.ListWorkflowExecutionsRequest{
			Query: `WorkflowType="Transfer" AND ExecutionStatus="Running"`,
		})
		if err != nil {
			return err
		}
		if n := len(list.GetExecutions()); n != 1 {
			return fmt.Errorf("%d transfers run", n)
		}
		id = list.GetExecutions()[0].GetExecution().GetWorkflowId()
		return nil
	})
	return id
}
