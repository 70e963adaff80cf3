package workers

import (
	"context"
	"errors"
	"strings"

	enumspb "go.temporal.io/api/enums/v1"
	historypb "go.temporal.io/api/history/v1"
	"go.temporal.io/api/serviceerror"
	workflowpb "go.temporal.io/api/workflow/v1"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/converter"

	"github.com/gridferry/gridferry/fault"
	"github.com/gridferry/gridferry/gateway/mover"
	"github.com/gridferry/gridferry/transfer"
	"github.com/gridferry/gridferry/workflows"
)

// Tasks asks Temporal whose a task is and where it goes, for the door that
// lets movers in. What it believes is what the workflow says of itself.
type Tasks struct{ client client.Client }

var _ mover.Tasks = (*Tasks)(nil)

// NewTasks returns Tasks of the client's namespace.
func NewTasks(c client.Client) *Tasks { return &Tasks{c} }

// Task implements mover.Tasks.
func (t *Tasks) Task(ctx context.Context, id transfer.TaskID) (mover.Task, error) {
	const op = "find"
	what := "task " + string(id)
	d, err := t.client.DescribeWorkflowExecution(ctx, workflows.TransferID(id), "")
	if err != nil {
		return mover.Task{}, unanswered(ctx, op, what, err)
	}
	info := d.GetWorkflowExecutionInfo()
	first := info.GetFirstRunId()
	if first == "" {
		first = info.GetExecution().GetRunId()
	}
	found := mover.Task{
		Key:   workflows.Key(string(id), first),
		Ended: info.GetStatus() != enumspb.WORKFLOW_EXECUTION_STATUS_RUNNING,
	}
	switch info.GetType().GetName() {
	case workflows.TypeTransfer, workflows.TypeDelete:
		var task transfer.Task
		p, ok := info.GetMemo().GetFields()[workflows.MemoTask]
		if !ok || converter.GetDefaultDataConverter().FromPayload(p, &task) != nil {
			return mover.Task{}, fault.New(fault.Transient, op, what, "it has not told yet whose it is")
		}
		found.Owner, found.Endpoints = task.Owner, endpointsOf(task.Source, task.Destination)
	case workflows.TypeOperation:
		in, err := t.operation(ctx, info)
		if err != nil {
			return mover.Task{}, unanswered(ctx, op, what, err)
		}
		switch {
		case in.Browse != nil:
			found.Owner, found.Endpoints = in.Browse.Owner, []string{in.Browse.Endpoint}
		case in.Check != nil:
			found.Owner, found.Endpoints = in.Check.Owner, []string{in.Check.Endpoint}
		case in.Plan != nil:
			req, err := in.Plan.Checked(info.GetStartTime().AsTime())
			if err != nil {
				return mover.Task{}, err
			}
			found.Owner, found.Endpoints = req.Owner, endpointsOf(req.Items[0].Source, req.Items[0].Destination)
		}
	default:
		return mover.Task{}, fault.New(fault.NotFound, op, what, "there is no such task")
	}
	return found, nil
}

// endpointsOf are the endpoint parts of locations.
func endpointsOf(locations ...string) []string {
	var found []string
	for _, text := range locations {
		if loc, err := transfer.ParseLocation(text); err == nil {
			found = append(found, loc.Endpoint)
		}
	}
	return found
}

// operation reads what an operation was asked: it has no memo.
func (t *Tasks) operation(ctx context.Context, info *workflowpb.WorkflowExecutionInfo) (workflows.OperationInput, error) {
	var in workflows.OperationInput
	run := info.GetExecution()
	events := t.client.GetWorkflowHistory(ctx, run.GetWorkflowId(), run.GetRunId(), false, enumspb.HISTORY_EVENT_FILTER_TYPE_ALL_EVENT)
	if !events.HasNext() {
		return in, errors.New("its history is empty")
	}
	var event *historypb.HistoryEvent
	event, err := events.Next()
	if err != nil {
		return in, err
	}
	return in, converter.GetDefaultDataConverter().FromPayloads(event.GetWorkflowExecutionStartedEventAttributes().GetInput(), &in)
}

// unanswered classifies what Temporal says when it does not answer.
func unanswered(ctx context.Context, op, what string, err error) error {
	if ctx.Err() != nil {
		return fault.Wrap(fault.KindOf(ctx.Err()), op, what, ctx.Err())
	}
	if errors.As(err, new(*serviceerror.NotFound)) {
		return fault.New(fault.NotFound, op, what, "there is no such task")
	}
	if denied := (*serviceerror.PermissionDenied)(nil); errors.As(err, &denied) {
		return fault.New(fault.Permission, op, what, strings.TrimSpace("Temporal refuses to tell "+denied.Error()))
	}
	return fault.Wrap(fault.Transient, op, what, err)
}
