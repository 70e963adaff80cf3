package workflows

import (
	"context"
	"encoding/json"

	"github.com/nexus-rpc/sdk-go/nexus"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/temporalnexus"
	"go.temporal.io/sdk/workflow"

	"github.com/gridferry/gridferry/transfer"
)

// The names by which another namespace asks for a transfer over Nexus.
const (
	NexusService           = "gridferry"
	NexusOperationTransfer = "transfer"
)

// nexusService offers Transfer as an operation that is a workflow run: it
// starts at once, ends when the transfer does, and cancelling it cancels the
// transfer. The input stays raw, so that it is decoded as strictly as any.
func nexusService() (*nexus.Service, error) {
	op, err := temporalnexus.NewWorkflowRunOperationWithOptions(temporalnexus.WorkflowRunOperationOptions[json.RawMessage, transfer.Task]{
		Name: NexusOperationTransfer,
		Handler: func(ctx context.Context, in json.RawMessage, opts nexus.StartOperationOptions) (temporalnexus.WorkflowHandle[transfer.Task], error) {
			if req, err := transfer.DecodeRequest(in); err != nil {
				return nil, nexus.NewHandlerErrorf(nexus.HandlerErrorTypeBadRequest, "%s", err.Error())
			} else {
				// The request id is the caller's, and the same for each repetition.
				return temporalnexus.ExecuteUntypedWorkflow[transfer.Task](ctx, opts, client.StartWorkflowOptions{
					ID:            "nexus-" + opts.RequestID,
					StaticSummary: Summary(transfer.Task{Source: req.Source, Destination: req.Destination, Label: req.Label}),
					Priority:      Priority(req.Owner),
				}, TypeTransfer, in)
			}
		},
	})
	if err != nil {
		return nil, err
	}
	s := nexus.NewService(NexusService)
	if err := s.Register(op); err != nil {
		return nil, err
	}
	return s, nil
}

// ExecuteTransferOver is ExecuteTransfer through a Nexus endpoint: the
// transfer runs in the namespace behind it. A caller that ends early must cancel
// the operation first: Nexus has no parent-close policy, and the transfer would
// go on to its own end.
func ExecuteTransferOver(ctx workflow.Context, endpoint string, req transfer.Request) workflow.NexusOperationFuture {
	return workflow.NewNexusClient(endpoint, NexusService).
		ExecuteOperation(ctx, NexusOperationTransfer, req, workflow.NexusOperationOptions{Summary: cut(req.Source+" → "+req.Destination, 200)})
}
