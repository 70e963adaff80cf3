package workflows

import (
	"github.com/google/uuid"
	enumspb "go.temporal.io/api/enums/v1"
	"go.temporal.io/sdk/workflow"

	"github.com/gridferry/gridferry/transfer"
)

// ExecuteTransfer makes a transfer a step of the calling workflow. It runs on
// gridferry's own workers, under an id derived from the caller's; the future's
// result is a transfer.Task.
//
// When the caller is cancelled the transfer stops, cleans up and only then
// ends, and when the caller ends first the transfer is asked to do the same
// (the server's default would kill it with half-written files behind it).
// Child options set in ctx win over what is chosen here.
func ExecuteTransfer(ctx workflow.Context, req transfer.Request) workflow.ChildWorkflowFuture {
	opts := workflow.GetChildWorkflowOptions(ctx)
	if opts.WorkflowID == "" {
		opts.WorkflowID = workflow.GetInfo(ctx).WorkflowExecution.ID + "-transfer-" + newID(ctx)
	}
	if opts.TaskQueue == "" || opts.TaskQueue == workflow.GetInfo(ctx).TaskQueueName {
		opts.TaskQueue = transfer.QueueControl
	}
	if opts.ParentClosePolicy == enumspb.PARENT_CLOSE_POLICY_UNSPECIFIED {
		opts.ParentClosePolicy = enumspb.PARENT_CLOSE_POLICY_REQUEST_CANCEL
	}
	if opts.StaticSummary == "" {
		opts.StaticSummary = Summary(transfer.Task{Source: req.Source, Destination: req.Destination, Label: req.Label})
	}
	opts.WaitForCancellation = true
	return workflow.ExecuteChildWorkflow(workflow.WithChildOptions(ctx, opts), TypeTransfer, req)
}

// newID is unique, and the same on each replay.
func newID(ctx workflow.Context) string {
	var id string
	err := workflow.SideEffect(ctx, func(workflow.Context) any { return uuid.NewString() }).Get(&id)
	if err != nil {
		panic("reading back a string failed: " + err.Error()) // fails the workflow task, which is then retried
	}
	return id
}
