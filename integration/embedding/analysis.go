// Package embedding is an example: an analysis workflow as its author would
// write it, with gridferry's transfers as two of its steps. Data comes in from
// the instrument, every file is described, and the description goes out.
//
// The package links the Temporal SDK and gridferry's package workflows, and no
// protocol: the transfers run on gridferry's own workers, in the same namespace
// as child workflows, or in another one over Nexus.
//
// However the parent of a child ends, the transfer stops and cleans up. Over
// Nexus it does so when the caller is cancelled, or cancels it; when the caller
// is terminated, the transfer goes on to its own end.
package embedding

import (
	"path"
	"time"

	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/workflow"

	"github.com/gridferry/gridferry/transfer"
	"github.com/gridferry/gridferry/workflows"
)

// Queue is the task queue of the analysis.
const Queue = "analysis"

// Input asks for an analysis.
type Input struct {
	Raw     string `json:"raw"`     // where the data is, as gridferry's locations
	Results string `json:"results"` // directory that the report goes to

	Scratch     string `json:"scratch"`      // a directory near the analysis, as gridferry reaches it
	ScratchPath string `json:"scratch_path"` // and as the analysis does

	// NexusEndpoint leads to gridferry when it lives in another namespace;
	// empty when it lives in this one.
	NexusEndpoint string `json:"nexus_endpoint,omitempty"`
}

// Output says what was analysed.
type Output struct {
	Files  int64  `json:"files"`
	Bytes  int64  `json:"bytes"`
	Report string `json:"report"` // the location of the report
}

// Analysis transfers in, analyses and transfers out. When it is cancelled it
// ends only after the transfer under way has stopped and cleaned up.
func Analysis(ctx workflow.Context, in Input) (Output, error) {
	id := workflow.GetInfo(ctx).WorkflowExecution.ID
	raw, report := path.Join("/", id, "raw"), path.Join("/", id, "report.json")

	arrived, err := move(ctx, in, transfer.Request{
		Label:  "raw data of " + id,
		Source: in.Raw, Destination: in.Scratch + raw, Recursive: true,
	})
	if err != nil {
		return Output{}, err
	}

	actx := workflow.WithActivityOptions(ctx, workflow.ActivityOptions{
		StartToCloseTimeout: time.Hour,
		HeartbeatTimeout:    30 * time.Second,
		RetryPolicy:         &temporal.RetryPolicy{MaximumAttempts: 5},
		Summary:             "describe " + in.ScratchPath + raw,
	})
	var described DescribeResult
	err = workflow.ExecuteActivity(actx, Describe, DescribeInput{
		Dir: in.ScratchPath + raw, Report: in.ScratchPath + report,
	}).Get(ctx, &described)
	if err != nil {
		return Output{}, err
	}
	if described.Files != arrived.Progress.FilesDone {
		return Output{}, temporal.NewNonRetryableApplicationError("files appeared or vanished between transfer and analysis", "Disturbed", nil)
	}

	out := Output{Files: described.Files, Bytes: described.Bytes, Report: in.Results + report}
	_, err = move(ctx, in, transfer.Request{
		Label:  "report of " + id,
		Source: in.Scratch + report, Destination: out.Report,
	})
	return out, err
}

// move runs a transfer wherever gridferry lives, and waits for it.
func move(ctx workflow.Context, in Input, req transfer.Request) (transfer.Task, error) {
	var task transfer.Task
	if in.NexusEndpoint != "" {
		err := workflows.ExecuteTransferOver(ctx, in.NexusEndpoint, req).Get(ctx, &task)
		return task, err
	}
	err := workflows.ExecuteTransfer(ctx, req).Get(ctx, &task)
	return task, err
}
