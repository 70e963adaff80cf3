package service

import (
	"context"
	"errors"
	"strings"
	"time"

	"github.com/google/uuid"
	"go.temporal.io/sdk/client"

	"github.com/gridferry/gridferry/activities"
	"github.com/gridferry/gridferry/endpoints"
	"github.com/gridferry/gridferry/fault"
	"github.com/gridferry/gridferry/transfer"
	"github.com/gridferry/gridferry/workflows"
)

// operationTime bounds what a person waits for. An operation has nothing to
// clean up, so that, unlike a task, it may simply end.
const operationTime = 10 * time.Minute

// operate runs something on a worker and waits for its answer.
func (s *Service) operate(ctx context.Context, what string, in workflows.OperationInput) (workflows.OperationResult, error) {
	var out workflows.OperationResult
	run, err := s.client.ExecuteWorkflow(ctx, client.StartWorkflowOptions{
		ID:                       "operation-" + uuid.NewString(),
		TaskQueue:                s.queue,
		WorkflowExecutionTimeout: operationTime,
		StaticSummary:            what,
	}, workflows.TypeOperation, in)
	if err != nil {
		return out, translate(err, "start", what)
	}
	wctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	go func() {
		if pause(wctx, s.patience) == nil && !s.begun(wctx, run) {
			stop(&fault.Error{Kind: fault.Transient, Op: what, Err: errors.New("no worker answers on task queue " + s.queue), Hint: "is gridferryd running?"})
		}
	}()
	err = run.Get(wctx, &out)
	switch {
	case err == nil:
		return out, nil
	case wctx.Err() != nil:
		// Nobody waits any more. If this does not arrive either, time ends it.
		cctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
		defer cancel()
		_ = s.client.CancelWorkflow(cctx, run.GetID(), run.GetRunID())
		return out, context.Cause(wctx)
	}
	return out, translate(err, what, "")
}

// begun reports whether some worker has taken up the workflow.
func (s *Service) begun(ctx context.Context, run client.WorkflowRun) bool {
	d, err := s.client.DescribeWorkflowExecution(ctx, run.GetID(), run.GetRunID())
	if err != nil {
		return true // nothing is known: go on waiting
	}
	// Started and a first task scheduled: two events.
	return d.GetWorkflowExecutionInfo().GetHistoryLength() > 2
}

func (s *Service) read(ctx context.Context, in activities.ReadInput) (activities.ReadResult, error) {
	out, err := s.operate(ctx, "read "+string(in.What), workflows.OperationInput{Read: &in})
	if err != nil || out.Read == nil {
		return activities.ReadResult{}, err
	}
	return *out.Read, nil
}

// Events implements transfer.Service.
func (s *Service) Events(ctx context.Context, id transfer.TaskID, p transfer.Page) (transfer.Events, error) {
	key, err := s.key(ctx, id)
	if err != nil {
		return transfer.Events{}, err
	}
	res, err := s.read(ctx, activities.ReadInput{What: activities.ReadEvents, Task: key, Page: p})
	return transfer.Events{Events: res.Events, Next: res.Next}, err
}

// Results implements transfer.Service.
func (s *Service) Results(ctx context.Context, id transfer.TaskID, q transfer.ResultQuery) (transfer.Results, error) {
	if err := q.Validate(); err != nil {
		return transfer.Results{}, err
	}
	for _, p := range []*string{&q.Path, &q.Prefix} {
		if *p == "" || strings.HasPrefix(*p, "/") {
			continue
		}
		loc, err := transfer.ParseLocation(*p)
		if err != nil {
			return transfer.Results{}, err
		}
		*p = loc.Path
	}
	key, err := s.key(ctx, id)
	if err != nil {
		return transfer.Results{}, err
	}
	res, err := s.read(ctx, activities.ReadInput{What: activities.ReadResults, Task: key, Page: q.Page, Results: &q})
	return transfer.Results{Results: res.Results, Next: res.Next}, err
}

// key is under which name a task keeps what is not in its history. NotFound
// when nobody knows the task.
func (s *Service) key(ctx context.Context, id transfer.TaskID) (transfer.TaskID, error) {
	d, err := s.describe(ctx, id)
	if fault.Is(err, fault.NotFound) {
		_, err = s.forgotten(ctx, id, err)
		return id, err
	}
	if err != nil {
		return "", err
	}
	return workflows.Key(string(id), d.GetWorkflowExecutionInfo().GetFirstRunId()), nil
}

// Plan implements transfer.Service.
func (s *Service) Plan(ctx context.Context, req transfer.Request) (transfer.Plan, error) {
	if _, err := req.Checked(time.Now()); err != nil {
		return transfer.Plan{}, err
	}
	out, err := s.operate(ctx, "plan", workflows.OperationInput{Plan: &req})
	if err != nil || out.Plan == nil {
		return transfer.Plan{}, err
	}
	return *out.Plan, nil
}

func (s *Service) browse(ctx context.Context, op activities.BrowseOp, at transfer.Place, to string, p transfer.Page) (activities.BrowseResult, error) {
	loc, err := transfer.ParseLocation(at.Location)
	if err != nil {
		return activities.BrowseResult{}, err
	}
	out, err := s.operate(ctx, string(op)+" "+at.Location, workflows.OperationInput{Browse: &activities.BrowseInput{
		Op: op, Endpoint: loc.Endpoint, Path: transfer.PackName(loc.Path), To: transfer.PackName(to),
		Owner: at.Owner, Cred: at.Credential, Page: p,
	}})
	if err != nil || out.Browse == nil {
		return activities.BrowseResult{}, err
	}
	return *out.Browse, nil
}

// List implements transfer.Service.
func (s *Service) List(ctx context.Context, at transfer.Place, p transfer.Page) (transfer.Listing, error) {
	res, err := s.browse(ctx, activities.BrowseList, at, "", p)
	for i := range res.Listing.Entries {
		unpack(&res.Listing.Entries[i])
	}
	return res.Listing, err
}

// Stat implements transfer.Service.
func (s *Service) Stat(ctx context.Context, at transfer.Place) (endpoints.Entry, error) {
	res, err := s.browse(ctx, activities.BrowseStat, at, "", transfer.Page{})
	unpack(&res.Entry)
	return res.Entry, err
}

// Mkdir implements transfer.Service.
func (s *Service) Mkdir(ctx context.Context, at transfer.Place) error {
	_, err := s.browse(ctx, activities.BrowseMkdir, at, "", transfer.Page{})
	return err
}

// Rename implements transfer.Service. The new name is a path at the same
// endpoint, or a location there.
func (s *Service) Rename(ctx context.Context, at transfer.Place, to string) error {
	from, err := transfer.ParseLocation(at.Location)
	if err != nil {
		return err
	}
	if !strings.HasPrefix(to, "/") {
		l, err := transfer.ParseLocation(to)
		if err != nil {
			return err
		}
		if l.Endpoint != from.Endpoint {
			return fault.New(fault.Invalid, "rename", "to", "the new name is at another endpoint; transfer it there instead")
		}
		to = l.Path
	}
	_, err = s.browse(ctx, activities.BrowseRename, at, to, transfer.Page{})
	return err
}

// unpack restores names that are not UTF-8 (transfer.PackName).
func unpack(e *endpoints.Entry) {
	e.Name, e.Target = transfer.UnpackName(e.Name), transfer.UnpackName(e.Target)
}
