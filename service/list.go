package service

import (
	"context"
	"encoding/base64"
	"fmt"
	"slices"
	"strings"
	"time"

	enumspb "go.temporal.io/api/enums/v1"
	workflowpb "go.temporal.io/api/workflow/v1"
	"go.temporal.io/api/workflowservice/v1"

	"github.com/gridferry/gridferry/fault"
	"github.com/gridferry/gridferry/transfer"
	"github.com/gridferry/gridferry/workflows"
)

// Tasks implements transfer.Service. It asks Temporal's visibility by workflow
// type, which every namespace has, and reads the rest from the memos.
func (s *Service) Tasks(ctx context.Context, q transfer.TaskQuery) (transfer.Tasks, error) {
	limit, err := pageLimit(q.Page)
	if err != nil {
		return transfer.Tasks{}, err
	}
	token, err := base64.RawURLEncoding.DecodeString(q.Page.Token)
	if err != nil {
		return transfer.Tasks{}, fault.New(fault.Invalid, "list", "page.token", "it is not one that a list returned")
	}
	query, err := s.visibilityQuery(ctx, q)
	if err != nil {
		return transfer.Tasks{}, err
	}
	tasks := transfer.Tasks{Tasks: []transfer.Task{}}
	for {
		res, err := s.client.ListWorkflow(ctx, &workflowservice.ListWorkflowExecutionsRequest{
			PageSize: int32(limit), NextPageToken: token, Query: query,
		})
		if err != nil {
			return transfer.Tasks{}, translate(err, "list", "tasks")
		}
		for _, e := range res.GetExecutions() {
			if t := listed(e); (q.Owner == "" || t.Owner == q.Owner) && (len(q.Status) == 0 || slices.Contains(q.Status, t.Status)) {
				tasks.Tasks = append(tasks.Tasks, t)
			}
		}
		// A page that the filters emptied is no end; one that they thinned out
		// is a page.
		token = res.GetNextPageToken()
		if len(token) == 0 || len(tasks.Tasks) > 0 {
			tasks.Next = base64.RawURLEncoding.EncodeToString(token)
			return tasks, nil
		}
	}
}

// pageLimit is how many a page asks for.
func pageLimit(p transfer.Page) (int, error) {
	switch {
	case p.Limit == 0:
		return 100, nil
	case p.Limit < 0 || p.Limit > 1000:
		return 0, fault.New(fault.Invalid, "list", "page.limit", "it must be 1 to 1,000")
	}
	return p.Limit, nil
}

func (s *Service) visibilityQuery(ctx context.Context, q transfer.TaskQuery) (string, error) {
	query := fmt.Sprintf(`WorkflowType IN ("%s", "%s") AND ExecutionStatus != "ContinuedAsNew"`, workflows.TypeTransfer, workflows.TypeDelete)
	var states []string
	for _, status := range q.Status {
		switch status {
		case transfer.Active, transfer.Inactive:
			states = append(states, `"Running"`)
		case transfer.Succeeded:
			states = append(states, `"Completed"`)
		case transfer.Failed:
			states = append(states, `"Failed"`, `"Canceled"`, `"Terminated"`, `"TimedOut"`)
		default:
			return "", fault.New(fault.Invalid, "list", "status", fmt.Sprintf("%q is none; write ACTIVE, INACTIVE, SUCCEEDED or FAILED", status))
		}
	}
	slices.Sort(states)
	if states = slices.Compact(states); len(states) > 0 {
		query += " AND ExecutionStatus IN (" + strings.Join(states, ", ") + ")"
	}
	if q.Owner != "" && !strings.ContainsAny(q.Owner, `"\`) {
		if known, err := s.names.SearchAttributes(ctx); err == nil && slices.Contains(known, workflows.AttributeOwner) {
			query += fmt.Sprintf(` AND %s = "%s"`, workflows.AttributeOwner, q.Owner)
		}
	}
	return query, nil
}

// listed is a task as a list shows it: the memo, corrected by how its workflow
// stands.
func listed(e *workflowpb.WorkflowExecutionInfo) transfer.Task {
	t, ok := fromMemo(e.GetMemo())
	if !ok { // started by a stock client a moment ago
		t = transfer.Task{Type: "TRANSFER", Status: transfer.Active, Phase: transfer.PhaseStarting, Requested: e.GetStartTime().AsTime()}
		if e.GetType().GetName() == workflows.TypeDelete {
			t.Type = "DELETE"
		}
	}
	t.ID = transfer.TaskID(e.GetExecution().GetWorkflowId())
	if e.GetStatus() == enumspb.WORKFLOW_EXECUTION_STATUS_RUNNING {
		return t
	}
	t.AsOf, t.Phase, t.Completed = time.Time{}, transfer.PhaseDone, e.GetCloseTime().AsTime()
	t.Status = transfer.Failed
	if e.GetStatus() == enumspb.WORKFLOW_EXECUTION_STATUS_COMPLETED {
		t.Status = transfer.Succeeded
	}
	return t
}
