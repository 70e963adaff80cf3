package workers

import (
	"context"
	"errors"
	"slices"
	"testing"

	commonpb "go.temporal.io/api/common/v1"
	enumspb "go.temporal.io/api/enums/v1"
	historypb "go.temporal.io/api/history/v1"
	"go.temporal.io/api/serviceerror"
	workflowpb "go.temporal.io/api/workflow/v1"
	"go.temporal.io/api/workflowservice/v1"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/converter"

	"github.com/gridferry/gridferry/activities"
	"github.com/gridferry/gridferry/fault"
	"github.com/gridferry/gridferry/transfer"
	"github.com/gridferry/gridferry/workflows"
)

// namespace is a client of one that has some executions.
type namespace struct {
	client.Client
	executions map[string]*workflowpb.WorkflowExecutionInfo
	inputs     map[string]any
	err        error
}

func (n *namespace) DescribeWorkflowExecution(_ context.Context, id, _ string) (*workflowservice.DescribeWorkflowExecutionResponse, error) {
	info, ok := n.executions[id]
	switch {
	case n.err != nil:
		return nil, n.err
	case !ok:
		return nil, serviceerror.NewNotFound("no such workflow")
	}
	return &workflowservice.DescribeWorkflowExecutionResponse{WorkflowExecutionInfo: info}, nil
}

func (n *namespace) GetWorkflowHistory(_ context.Context, id, _ string, _ bool, _ enumspb.HistoryEventFilterType) client.HistoryEventIterator {
	input, err := converter.GetDefaultDataConverter().ToPayloads(n.inputs[id])
	return &oneEvent{err: err, event: &historypb.HistoryEvent{Attributes: &historypb.HistoryEvent_WorkflowExecutionStartedEventAttributes{
		WorkflowExecutionStartedEventAttributes: &historypb.WorkflowExecutionStartedEventAttributes{Input: input},
	}}}
}

type oneEvent struct {
	event *historypb.HistoryEvent
	err   error
}

func (e *oneEvent) HasNext() bool { return e.event != nil }

func (e *oneEvent) Next() (*historypb.HistoryEvent, error) {
	event := e.event
	e.event = nil
	return event, e.err
}

func execution(t *testing.T, id, kind string, status enumspb.WorkflowExecutionStatus, memo any) *workflowpb.WorkflowExecutionInfo {
	t.Helper()
	info := &workflowpb.WorkflowExecutionInfo{
		Execution:  &commonpb.WorkflowExecution{WorkflowId: id, RunId: "99999999-0000-4000-8000-000000000000"},
		FirstRunId: "11111111-0000-4000-8000-000000000000",
		Type:       &commonpb.WorkflowType{Name: kind}, Status: status,
	}
	if memo != nil {
		p, err := converter.GetDefaultDataConverter().ToPayload(memo)
		if err != nil {
			t.Fatal(err)
		}
		info.Memo = &commonpb.Memo{Fields: map[string]*commonpb.Payload{workflows.MemoTask: p}}
	}
	return info
}

func TestTasks(t *testing.T) {
	const running, ended = enumspb.WORKFLOW_EXECUTION_STATUS_RUNNING, enumspb.WORKFLOW_EXECUTION_STATUS_COMPLETED
	const uuid = "3f2a9c1e-77b4-4d0a-9e55-0123456789ab"
	memo := transfer.Task{Owner: "ann", Source: "file://laptop.x/home/ann", Destination: "gsiftp://dtn.example.org/in/"}
	n := &namespace{executions: map[string]*workflowpb.WorkflowExecutionInfo{
		uuid:          execution(t, uuid, workflows.TypeTransfer, running, memo),
		"done":        execution(t, "done", workflows.TypeDelete, ended, transfer.Task{Owner: "ann", Destination: "lab#dtn:/x"}),
		"new":         execution(t, "new", workflows.TypeTransfer, running, nil),
		"other":       execution(t, "other", "Order", running, memo),
		"operation-1": execution(t, "operation-1", workflows.TypeOperation, running, nil),
		"operation-2": execution(t, "operation-2", workflows.TypeOperation, running, nil),
		"operation-3": execution(t, "operation-3", workflows.TypeOperation, running, nil),
	}, inputs: map[string]any{
		"operation-1": workflows.OperationInput{Browse: &activities.BrowseInput{Owner: "bob", Endpoint: "lab#dtn"}},
		"operation-3": workflows.OperationInput{Check: &activities.CheckInput{Owner: "bob", Endpoint: "lab#store"}},
		"operation-2": workflows.OperationInput{Plan: &transfer.Request{Owner: "eve", Source: "a:/x", Destination: "b:/x"}},
	}}
	tasks := NewTasks(n)
	for id, want := range map[transfer.TaskID]struct {
		key       transfer.TaskID
		owner     string
		endpoints []string
		ended     bool
	}{
		uuid:          {uuid, "ann", []string{"file://laptop.x", "gsiftp://dtn.example.org:2811"}, false},
		"done":        {"done.11111111", "ann", []string{"lab#dtn"}, true},
		"operation-1": {"operation-1.11111111", "bob", []string{"lab#dtn"}, false},
		"operation-3": {"operation-3.11111111", "bob", []string{"lab#store"}, false},
		"operation-2": {"operation-2.11111111", "eve", []string{"a", "b"}, false},
	} {
		got, err := tasks.Task(t.Context(), id)
		if err != nil || got.Key != want.key || got.Owner != want.owner || !slices.Equal(got.Endpoints, want.endpoints) || got.Ended != want.ended {
			t.Errorf("%s: %+v, %v; want %+v", id, got, err, want)
		}
	}
	for id, want := range map[transfer.TaskID]fault.Kind{"new": fault.Transient, "other": fault.NotFound, "nowhere": fault.NotFound} {
		if _, err := tasks.Task(t.Context(), id); !fault.Is(err, want) {
			t.Errorf("%s: %v, want %s", id, err, want)
		}
	}
	n.err = errors.New("away")
	if _, err := tasks.Task(t.Context(), uuid); !fault.Is(err, fault.Transient) {
		t.Errorf("while Temporal is away: %v", err)
	}
}
