package service

import (
	"context"
	"errors"
	"time"

	"github.com/google/uuid"
	"go.temporal.io/api/workflowservice/v1"
	"go.temporal.io/sdk/client"

	"github.com/gridferry/gridferry/activities"
	"github.com/gridferry/gridferry/fault"
	"github.com/gridferry/gridferry/transfer"
	"github.com/gridferry/gridferry/workflows"
)

const (
	// checkLook is how often a check is asked what it is at.
	checkLook = time.Second
	// checkEnd is how long one that was stopped may take to remove what it made.
	checkEnd = time.Minute
)

// Check implements transfer.Service.
func (s *Service) Check(ctx context.Context, at transfer.Place, req transfer.CheckRequest, tell func(string)) (transfer.Checkup, error) {
	const op = "check"
	loc, err := transfer.ParseLocation(at.Location)
	if err != nil {
		return transfer.Checkup{}, err
	}
	if req, err = req.Checked(); err != nil {
		return transfer.Checkup{}, err
	}
	req.Write = transfer.PackName(req.Write)
	id := uuid.NewString()
	in := workflows.OperationInput{Check: &activities.CheckInput{
		Endpoint: loc.Endpoint, Path: transfer.PackName(loc.Path), Owner: at.Owner, Cred: at.Credential, Request: req, Name: activities.NewCheckName(time.Now(), id),
	}}
	run, err := s.client.ExecuteWorkflow(ctx, client.StartWorkflowOptions{
		ID: "operation-" + id, TaskQueue: s.queue, WorkflowExecutionTimeout: operationTime, StaticSummary: op + " " + at.Location,
	}, workflows.TypeOperation, in)
	if err != nil {
		return transfer.Checkup{}, translate(err, "start", op)
	}
	var out workflows.OperationResult
	ended := make(chan error, 1)
	lasts, leave := context.WithCancel(context.WithoutCancel(ctx))
	defer leave()
	go func() { ended <- run.Get(lasts, &out) }()
	look := time.NewTicker(checkLook)
	defer look.Stop()
	idle := time.NewTimer(s.patience)
	defer idle.Stop()
	given := ctx.Done()
	for said := ""; ; {
		select {
		case err := <-ended:
			if err != nil {
				return transfer.Checkup{}, translate(err, op, loc.Endpoint)
			}
			if out.Check == nil {
				return transfer.Checkup{}, fault.New(fault.Internal, op, loc.Endpoint, "the worker is of a release that checks no endpoints")
			}
			return *out.Check, nil
		case <-look.C:
			if now := s.looking(lasts, run); now != "" && now != said && tell != nil {
				said = now
				tell(now)
			}
		case <-idle.C:
			if !s.begun(lasts, run) {
				s.abandon(lasts, run)
				return transfer.Checkup{}, &fault.Error{Kind: fault.Transient, Op: op, Path: loc.Endpoint, Err: errors.New("no worker answers on task queue " + s.queue), Hint: "is gridferryd running?"}
			}
		case <-given:
			given = nil
			s.abandon(lasts, run)
			defer time.AfterFunc(checkEnd, leave).Stop()
		}
	}
}

// abandon asks for a workflow to be cancelled. If this does not arrive, time
// ends it.
func (s *Service) abandon(ctx context.Context, run client.WorkflowRun) {
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	_ = s.client.CancelWorkflow(ctx, run.GetID(), run.GetRunID())
}

// looking is what a check is at; empty when it is not known.
func (s *Service) looking(ctx context.Context, run client.WorkflowRun) string {
	ctx, cancel := context.WithTimeout(ctx, checkLook)
	defer cancel()
	d, err := s.client.DescribeWorkflowExecution(ctx, run.GetID(), run.GetRunID())
	if err != nil {
		return ""
	}
	return lookOf(d)
}

func lookOf(d *workflowservice.DescribeWorkflowExecutionResponse) string {
	for _, a := range d.GetPendingActivities() {
		var p activities.CheckProgress
		if a.GetActivityType().GetName() == "Check" && decode(a.GetHeartbeatDetails(), &p) {
			return p.Looking
		}
	}
	return ""
}
