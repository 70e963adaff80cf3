package service

import (
	"context"
	"errors"
	"sync"
	"time"

	enumspb "go.temporal.io/api/enums/v1"
	"go.temporal.io/api/operatorservice/v1"
	"go.temporal.io/api/serviceerror"
	"go.temporal.io/api/workflowservice/v1"
	"go.temporal.io/sdk/activity"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/temporal"

	"github.com/gridferry/gridferry/activities"
	"github.com/gridferry/gridferry/transfer"
	"github.com/gridferry/gridferry/workflows"
)

// Namespace answers what activities ask about the Temporal namespace that they
// run in.
type Namespace struct {
	client client.Client
	name   string // empty: known to activities alone, which are told theirs

	mu    sync.Mutex
	known []string
	until time.Time
}

var (
	_ activities.AttributeSource = (*Namespace)(nil)
	_ activities.Executions      = (*Namespace)(nil)
)

// NewNamespace returns the namespace of c, which is that name; a client does
// not tell. The name may be empty where only activities ask.
func NewNamespace(c client.Client, name string) *Namespace {
	return &Namespace{client: c, name: name}
}

// SearchAttributes returns which search attributes of ours the namespace has.
// What is known is good for a minute: a site may register them at any time.
func (n *Namespace) SearchAttributes(ctx context.Context) ([]string, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if time.Now().Before(n.until) {
		return n.known, nil
	}
	has, err := n.keywords(ctx)
	if err != nil {
		return nil, translate(err, "list", "the namespace's search attributes")
	}
	n.known, n.until = nil, time.Now().Add(time.Minute)
	for _, name := range workflows.Attributes() {
		if has[name] {
			n.known = append(n.known, name)
		}
	}
	return n.known, nil
}

// keywords returns the keyword attributes of the namespace, in a way that
// takes no operator's rights. Visibility on Elasticsearch has them under their
// own names; on SQL they are columns, for which the namespace has aliases.
func (n *Namespace) keywords(ctx context.Context) (map[string]bool, error) {
	has := make(map[string]bool)
	res, err := n.client.GetSearchAttributes(ctx)
	if err != nil {
		return nil, err
	}
	for name, kind := range res.GetKeys() {
		has[name] = kind == enumspb.INDEXED_VALUE_TYPE_KEYWORD
	}
	name := n.name
	if activity.IsActivity(ctx) {
		name = activity.GetInfo(ctx).Namespace
	}
	if name == "" {
		return has, nil
	}
	described, err := n.client.WorkflowService().DescribeNamespace(ctx, &workflowservice.DescribeNamespaceRequest{Namespace: name})
	if err != nil {
		return nil, err
	}
	for column, alias := range described.GetConfig().GetCustomSearchAttributeAliases() {
		has[alias] = has[column]
	}
	return has, nil
}

// attributes are the search attributes that a task starts with: as many as the
// namespace has. The workflow sets them again, so that they may be left out
// when nobody answers.
func (n *Namespace) attributes(ctx context.Context, t transfer.Task) temporal.SearchAttributes {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	known, err := n.SearchAttributes(ctx)
	if err != nil {
		return temporal.NewSearchAttributes()
	}
	return temporal.NewSearchAttributes(workflows.AttributeUpdates(known, t, activities.Ends{})...)
}

// Running implements activities.Executions.
func (n *Namespace) Running(ctx context.Context, id transfer.TaskID) (bool, error) {
	d, err := n.client.DescribeWorkflowExecution(ctx, workflows.TransferID(id), "")
	var notFound *serviceerror.NotFound
	switch {
	case errors.As(err, &notFound):
		return false, nil
	case err != nil:
		return false, translate(err, "look at", "task "+string(id))
	}
	return d.GetWorkflowExecutionInfo().GetStatus() == enumspb.WORKFLOW_EXECUTION_STATUS_RUNNING, nil
}

// SetupNamespace registers the search attributes that the namespace lacks, and
// returns their names. It needs operator rights, which nothing else in
// gridferry does.
func SetupNamespace(ctx context.Context, c client.Client, namespace string) (added []string, err error) {
	have, err := c.OperatorService().ListSearchAttributes(ctx, &operatorservice.ListSearchAttributesRequest{Namespace: namespace})
	if err != nil {
		return nil, translate(err, "list search attributes of", "namespace "+namespace)
	}
	want := make(map[string]enumspb.IndexedValueType)
	for _, name := range workflows.Attributes() {
		if _, ok := have.GetCustomAttributes()[name]; !ok {
			want[name] = enumspb.INDEXED_VALUE_TYPE_KEYWORD
			added = append(added, name)
		}
	}
	if len(want) == 0 {
		return nil, nil
	}
	_, err = c.OperatorService().AddSearchAttributes(ctx, &operatorservice.AddSearchAttributesRequest{Namespace: namespace, SearchAttributes: want})
	if err != nil {
		return nil, translate(err, "add search attributes to", "namespace "+namespace)
	}
	return added, nil
}

// SweepSchedule is the id of the schedule that EnsureSweep makes.
const SweepSchedule = "gridferry-sweep"

// EnsureSweep makes the schedule that runs workflows.Sweep, unless it is
// there: what a site has changed about it stays.
func EnsureSweep(ctx context.Context, c client.Client, queue string, every, keep time.Duration) error {
	if queue == "" {
		queue = transfer.QueueControl
	}
	_, err := c.ScheduleClient().Create(ctx, client.ScheduleOptions{
		ID:      SweepSchedule,
		Spec:    client.ScheduleSpec{Intervals: []client.ScheduleIntervalSpec{{Every: every}}},
		Overlap: enumspb.SCHEDULE_OVERLAP_POLICY_SKIP,
		Action: &client.ScheduleWorkflowAction{
			ID: SweepSchedule, Workflow: workflows.TypeSweep, TaskQueue: queue,
			Args: []any{workflows.SweepInput{Keep: keep}},
		},
	})
	if errors.Is(err, temporal.ErrScheduleAlreadyRunning) {
		return nil
	}
	return translate(err, "make", "schedule "+SweepSchedule)
}
