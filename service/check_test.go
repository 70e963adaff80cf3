package service

import (
	"testing"

	commonpb "go.temporal.io/api/common/v1"
	workflowpb "go.temporal.io/api/workflow/v1"
	"go.temporal.io/api/workflowservice/v1"
	"go.temporal.io/sdk/converter"

	"github.com/gridferry/gridferry/activities"
)

func TestWhatACheckIsAt(t *testing.T) {
	p, err := converter.GetDefaultDataConverter().ToPayloads(activities.CheckProgress{Looking: "odd names"})
	if err != nil {
		t.Fatal(err)
	}
	named := func(name string) *workflowservice.DescribeWorkflowExecutionResponse {
		return &workflowservice.DescribeWorkflowExecutionResponse{PendingActivities: []*workflowpb.PendingActivityInfo{
			{ActivityType: &commonpb.ActivityType{Name: name}, HeartbeatDetails: p},
		}}
	}
	if got := lookOf(named("Check")); got != "odd names" {
		t.Errorf("it looks at %q", got)
	}
	if got := lookOf(named("Browse")); got != "" {
		t.Errorf("another activity looks at %q", got)
	}
}
