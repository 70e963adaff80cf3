// Package service implements transfer.Service on Temporal: every door - the
// command line, REST, the web - asks here, and here alone it is decided what a
// caller gets. It speaks no protocol of its own and touches no endpoint; what
// needs one runs on a worker.
package service

import (
	"context"
	"encoding/json"
	"errors"
	"time"

	"github.com/google/uuid"
	enumspb "go.temporal.io/api/enums/v1"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/converter"

	"github.com/gridferry/gridferry/activities"
	"github.com/gridferry/gridferry/fault"
	"github.com/gridferry/gridferry/transfer"
	"github.com/gridferry/gridferry/workflows"
)

// Options are what a Service may be told. The zero Options work.
type Options struct {
	// Namespace is the client's, which it does not tell. With it, tasks have
	// their search attributes from the moment they start.
	Namespace string

	// Queue is the task queue of the workflows; empty is transfer.QueueControl.
	Queue string

	// Records, when this process has the store, answers for tasks that
	// Temporal has forgotten. Nil asks a worker.
	Records activities.Records

	// Caller is who asks, for those who wonder who has paused their task. It is
	// a claim and no proof.
	Caller string

	// Patience is how long a worker may take to answer; 0 is 10 s.
	Patience time.Duration
}

// Service is transfer.Service on Temporal. It is safe for concurrent use.
type Service struct {
	client   client.Client
	names    *Namespace
	queue    string
	records  activities.Records
	caller   string
	patience time.Duration
}

var _ transfer.Service = (*Service)(nil)

// New returns a Service. The client stays the caller's to close.
func New(c client.Client, o Options) *Service {
	s := &Service{client: c, names: NewNamespace(c, o.Namespace), queue: o.Queue, records: o.Records, caller: o.Caller, patience: o.Patience}
	if s.queue == "" {
		s.queue = transfer.QueueControl
	}
	if s.patience <= 0 {
		s.patience = 10 * time.Second
	}
	return s
}

// Submit implements transfer.Service.
func (s *Service) Submit(ctx context.Context, id transfer.TaskID, req transfer.Request) (transfer.TaskID, error) {
	now := time.Now()
	normal, err := req.Checked(now)
	if err != nil {
		return "", err
	}
	return s.start(ctx, id, workflows.TypeTransfer, req, transfer.Task{
		Type: "TRANSFER", Status: transfer.Active, Phase: transfer.PhaseStarting, Requested: now,
		Owner: req.Owner, Label: req.Label, Deadline: normal.Deadline,
		Source: normal.Items[0].Source, Destination: normal.Items[0].Destination,
	})
}

// SubmitDelete implements transfer.Service.
func (s *Service) SubmitDelete(ctx context.Context, id transfer.TaskID, req transfer.DeleteRequest) (transfer.TaskID, error) {
	now := time.Now()
	if err := req.Validate(now); err != nil {
		return "", err
	}
	return s.start(ctx, id, workflows.TypeDelete, req, transfer.Task{
		Type: "DELETE", Status: transfer.Active, Phase: transfer.PhaseStarting, Requested: now,
		Owner: req.Owner, Label: req.Label, Deadline: req.Deadline, Destination: req.Paths[0],
	})
}

// start starts a workflow, or finds the one of that id, running or ended:
// submitting again is harmless.
func (s *Service) start(ctx context.Context, id transfer.TaskID, workflow string, input any, task transfer.Task) (transfer.TaskID, error) {
	if id == "" {
		id = transfer.TaskID(uuid.NewString())
	}
	task.ID = id
	text, err := json.Marshal(input)
	if err != nil {
		return "", fault.Wrap(fault.Internal, "write", "the request", err)
	}
	const most = 1 << 20 // the server takes 2 MiB, and the state of the task has to fit as well
	if len(text) > most {
		return "", fault.New(fault.Invalid, "submit", "items", "the request is larger than 1 MiB: ask for fewer items, or for the trees they are in")
	}
	_, err = s.client.ExecuteWorkflow(ctx, client.StartWorkflowOptions{
		ID:                       workflows.TransferID(id),
		TaskQueue:                s.queue,
		WorkflowIDConflictPolicy: enumspb.WORKFLOW_ID_CONFLICT_POLICY_USE_EXISTING,
		WorkflowIDReusePolicy:    enumspb.WORKFLOW_ID_REUSE_POLICY_REJECT_DUPLICATE,
		Memo:                     map[string]any{workflows.MemoTask: task},
		TypedSearchAttributes:    s.names.attributes(ctx, task),
		StaticSummary:            workflows.Summary(task),
		Priority:                 workflows.Priority(task.Owner),
	}, workflow, json.RawMessage(text))
	if err != nil {
		return "", translate(err, "submit", "task "+string(id))
	}
	return id, nil
}

// Wait implements transfer.Service.
func (s *Service) Wait(ctx context.Context, id transfer.TaskID) (transfer.Task, error) {
	for {
		// Its last word comes with its end: who waits for a small file would notice
		// another look at it.
		var task transfer.Task
		err := s.client.GetWorkflow(ctx, workflows.TransferID(id), "").Get(ctx, &task)
		switch {
		case ctx.Err() != nil:
			return transfer.Task{}, ctx.Err()
		case err == nil && task.ID == id:
			return task, nil
		case err == nil || ended(err) || errors.Is(err, converter.ErrUnableToDecode): // of something else, perhaps
			return s.Task(ctx, id)
		}
		switch err := translate(err, "wait for", "task "+string(id)); fault.KindOf(err) {
		case fault.NotFound:
			return s.Task(ctx, id) // forgotten by Temporal, perhaps not by the records
		case fault.Transient, fault.Busy:
			if pause(ctx, time.Second) != nil {
				return transfer.Task{}, ctx.Err()
			}
		default:
			return transfer.Task{}, err
		}
	}
}

func pause(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-t.C:
		return nil
	}
}
