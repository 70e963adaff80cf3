package service

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	commonpb "go.temporal.io/api/common/v1"
	enumspb "go.temporal.io/api/enums/v1"
	failurepb "go.temporal.io/api/failure/v1"
	"go.temporal.io/api/serviceerror"
	workflowpb "go.temporal.io/api/workflow/v1"
	"go.temporal.io/api/workflowservice/v1"
	"go.temporal.io/sdk/converter"
	"go.temporal.io/sdk/temporal"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/gridferry/gridferry/activities"
	"github.com/gridferry/gridferry/fault"
	"github.com/gridferry/gridferry/transfer"
	"github.com/gridferry/gridferry/workflows"
)

var noon = time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)

// pending is a copy that said of itself that it had got so far.
func pending(t *testing.T, chunk string, files, bytes int64) *workflowpb.PendingActivityInfo {
	t.Helper()
	p, err := converter.GetDefaultDataConverter().ToPayloads(activities.CopyProgress{Chunk: chunk, Files: files, Bytes: bytes, Sessions: 3, Sockets: 2})
	if err != nil {
		t.Fatal(err)
	}
	return &workflowpb.PendingActivityInfo{
		ActivityType: &commonpb.ActivityType{Name: "Copy"}, State: enumspb.PENDING_ACTIVITY_STATE_STARTED, HeartbeatDetails: p,
	}
}

func described(pending ...*workflowpb.PendingActivityInfo) *workflowservice.DescribeWorkflowExecutionResponse {
	return &workflowservice.DescribeWorkflowExecutionResponse{PendingActivities: pending}
}

func TestMerge(t *testing.T) {
	status := workflows.Status{
		Task: transfer.Task{
			Status: transfer.Active, Verdict: "progressing",
			Progress: transfer.Progress{Files: 20, Bytes: 2000, FilesDone: 6, BytesDone: 600},
			Chunks: []transfer.Chunk{
				{ID: "a", State: workflows.ChunkActive, Files: 8, Bytes: 800},
				{ID: "b", State: workflows.ChunkActive, Files: 6, Bytes: 600, Done: 1}, // copied before, and yielded
				{ID: "c", State: workflows.ChunkDone, Files: 5, Bytes: 500, Done: 5},
			},
		},
		Copying:    noon.Add(-10 * time.Second),
		ChunkBytes: map[string]int64{"b": 100},
	}
	task := merge(status, described(
		pending(t, "a", 3, 350), pending(t, "b", 2, 250),
		pending(t, "c", 5, 500), // settled since
		pending(t, "z", 9, 900), // of another time
		&workflowpb.PendingActivityInfo{ActivityType: &commonpb.ActivityType{Name: "Copy"}, State: enumspb.PENDING_ACTIVITY_STATE_STARTED},
	), noon)
	p := task.Progress
	if p.FilesInFlight != 4 || p.BytesInFlight != 500 || p.Rate != 110 || time.Duration(p.ETA).Round(time.Second) != 9*time.Second {
		t.Errorf("progress = %+v", p)
	}
	if now, then := task.Chunks[0].Tuning, task.Chunks[2].Tuning; now.Concurrency != 3 || now.Parallelism != 2 || then != (transfer.Tuning{}) {
		t.Errorf("as adapted: %+v, of a chunk that is done: %+v", now, then)
	}
	if task.Chunks[0].Done != 3 || task.Chunks[1].Done != 2 || task.Verdict != "progressing" {
		t.Errorf("task = %+v", task)
	}
}

// The workflow hears of what an express copy found when that has ended.
func TestMergeExpress(t *testing.T) {
	details, err := converter.GetDefaultDataConverter().ToPayloads(activities.CopyProgress{Chunk: "express", Bytes: 300, Of: 1000})
	if err != nil {
		t.Fatal(err)
	}
	express := &workflowpb.PendingActivityInfo{
		ActivityType: &commonpb.ActivityType{Name: "Express"}, State: enumspb.PENDING_ACTIVITY_STATE_STARTED, HeartbeatDetails: details,
	}
	status := workflows.Status{Copying: noon.Add(-10 * time.Second), Task: transfer.Task{
		Status: transfer.Active, Phase: transfer.PhaseStarting, Outlook: transfer.Outlook{Prospect: transfer.Progressing, Text: "logging in"},
	}}
	task := merge(status, described(express), noon)
	if task.Verdict != "progressing" || task.Phase != transfer.PhaseCopying {
		t.Errorf("verdict = %q", task.Verdict)
	}
	p := task.Progress
	if p.Files != 1 || p.Bytes != 1000 || p.BytesInFlight != 300 || p.Percent() != 30 || p.Rate != 30 {
		t.Errorf("progress = %+v, %d%%", p, p.Percent())
	}
	express.HeartbeatDetails = nil
	if p := merge(status, described(express), noon).Progress; p.Files != 0 || p.Bytes != 0 {
		t.Errorf("before it has begun: %+v", p)
	}
}

// Nor does it hear before its end of what the first step of a walk has found; of
// any other it may have heard.
func TestMergeFirstWalk(t *testing.T) {
	details, err := converter.GetDefaultDataConverter().ToPayloads(activities.WalkProgress{Files: 30, Bytes: 1000, Dirs: 4})
	if err != nil {
		t.Fatal(err)
	}
	walk := &workflowpb.PendingActivityInfo{
		ActivityType: &commonpb.ActivityType{Name: "WalkStep"}, State: enumspb.PENDING_ACTIVITY_STATE_STARTED, HeartbeatDetails: details,
	}
	status := workflows.Status{Task: transfer.Task{
		Status: transfer.Active, Phase: transfer.PhaseStarting, Outlook: transfer.Outlook{Prospect: transfer.Progressing, Text: "logging in"},
	}}
	task := merge(status, described(walk), noon)
	if p := task.Progress; task.Verdict != "progressing" || task.Phase != transfer.PhaseCopying || p.Files != 30 || p.Bytes != 1000 || p.Directories != 4 {
		t.Errorf("task = %+v", task)
	}
	status.Phase = transfer.PhaseCopying
	if p := merge(status, described(walk), noon).Progress; p.Files != 0 {
		t.Errorf("a later step counts: %+v", p)
	}
}

func TestMergeTellsWhatOnlyTheServerKnows(t *testing.T) {
	queued := func(ago time.Duration) *workflowpb.PendingActivityInfo {
		return &workflowpb.PendingActivityInfo{
			ActivityType: &commonpb.ActivityType{Name: "Probe"}, State: enumspb.PENDING_ACTIVITY_STATE_SCHEDULED,
			Attempt: 1, ScheduledTime: timestamppb.New(noon.Add(-ago)),
		}
	}
	lost := &workflowpb.PendingActivityInfo{
		ActivityType: &commonpb.ActivityType{Name: "Copy"}, Attempt: 3,
		LastFailure: &failurepb.Failure{FailureInfo: &failurepb.Failure_TimeoutFailureInfo{TimeoutFailureInfo: &failurepb.TimeoutFailureInfo{}}},
	}
	busy := &workflowpb.PendingActivityInfo{
		ActivityType: &commonpb.ActivityType{Name: "Copy"}, Attempt: 2, LastFailure: &failurepb.Failure{Message: "all 4 sessions are taken"},
	}
	turn := &workflowpb.PendingActivityInfo{
		ActivityType: &commonpb.ActivityType{Name: "Copy"}, Attempt: 9, LastFailure: &failurepb.Failure{
			Message:     "lab#dtn takes one task at a time",
			FailureInfo: &failurepb.Failure_ApplicationFailureInfo{ApplicationFailureInfo: &failurepb.ApplicationFailureInfo{Type: string(fault.Busy)}},
		},
	}
	details, err := converter.GetDefaultDataConverter().ToPayloads(transfer.Fault{Kind: fault.Busy, Reason: transfer.ReasonDrained})
	if err != nil {
		t.Fatal(err)
	}
	drained := &workflowpb.PendingActivityInfo{
		ActivityType: &commonpb.ActivityType{Name: "Probe"}, Attempt: 2, LastFailure: &failurepb.Failure{
			Message:     "out of use for maintenance",
			FailureInfo: &failurepb.Failure_ApplicationFailureInfo{ApplicationFailureInfo: &failurepb.ApplicationFailureInfo{Type: string(fault.Busy), Details: details}},
		},
	}
	mail := &workflowpb.PendingActivityInfo{
		ActivityType: &commonpb.ActivityType{Name: "Notify"}, Attempt: 5, LastFailure: &failurepb.Failure{Message: "no mail server"},
	}
	active := transfer.Task{Status: transfer.Active, Verdict: "progressing"}
	paused := active
	paused.Paused = true
	for name, test := range map[string]struct {
		task    transfer.Task
		pending *workflowpb.PendingActivityInfo
		want    string
	}{
		"in the queue for a moment": {active, queued(time.Second), "progressing"},
		"in the queue for long":     {active, queued(time.Minute), "no worker has taken up Probe for 1m00s"},
		"a lost worker":             {active, lost, "the worker at Copy was lost; attempt 3"},
		"a limit":                   {active, busy, "all 4 sessions are taken"},
		"a place":                   {active, turn, "waiting for its turn: lab#dtn takes one task at a time"},
		"an endpoint out of use":    {active, drained, "waiting for an endpoint: out of use"},
		"a mail server":             {active, mail, "progressing"},
		"paused":                    {paused, lost, "progressing"},
	} {
		t.Run(name, func(t *testing.T) {
			if got := merge(workflows.Status{Task: test.task}, described(test.pending), noon).Verdict; !strings.Contains(got, test.want) {
				t.Errorf("verdict = %q", got)
			}
		})
	}
}

func TestTranslate(t *testing.T) {
	for _, test := range []struct {
		err  error
		want fault.Kind
	}{
		{serviceerror.NewNotFound("no"), fault.NotFound},
		{serviceerror.NewNamespaceNotFound("n"), fault.NotFound},
		{serviceerror.NewPermissionDenied("no", ""), fault.Permission},
		{serviceerror.NewInvalidArgument("no"), fault.Invalid},
		{serviceerror.NewResourceExhausted(enumspb.RESOURCE_EXHAUSTED_CAUSE_RPS_LIMIT, "slow down"), fault.Busy},
		{serviceerror.NewUnavailable("down"), fault.Transient},
		{serviceerror.NewDeadlineExceeded("late"), fault.Transient},
		{errors.New("what?"), fault.Internal},
		{fmt.Errorf("wrapped: %w", fault.New(fault.Exists, "make", "x", "there")), fault.Exists},
		{temporal.NewApplicationError("550 no", string(fault.Permission), transfer.Fault{Kind: fault.Permission, Message: "550 no"}), fault.Permission},
	} {
		err := translate(test.err, "look up", "task x")
		if fault.KindOf(err) != test.want {
			t.Errorf("%v became %s: %v", test.err, fault.KindOf(err), err)
		}
	}
	if err := translate(context.Canceled, "look up", "x"); err != context.Canceled {
		t.Errorf("the caller's own end became %v", err)
	}
	if translate(nil, "look up", "x") != nil {
		t.Error("nil became an error")
	}
}

// The text of a worker's error has the path in it, and people read it once.
func TestTranslateNamesThePathOnce(t *testing.T) {
	for _, test := range []struct {
		message, path, want string
		op, kept            string
	}{
		{"list lab#dtn/x: 550 no such directory (check the path)", "lab#dtn/x", "list lab#dtn/x: 550 no such directory (check the path)", "list", "lab#dtn/x"},
		{"rename /a: /b: file exists", "/a", "rename /a: /b: file exists", "rename", "/a"},
		{"550 /x: no such file", "/x", "550 /x: no such file", "550", "/x"},
		{"/x: no such file", "/x", "/x: no such file", "", ""},
		{"no such file", "/x", "/x: no such file", "", "/x"},
		{"no worker is left", "", "no worker is left", "", ""},
	} {
		err := translate(temporal.NewApplicationError(test.message, string(fault.NotFound),
			transfer.Fault{Kind: fault.NotFound, Path: test.path, Message: test.message}), "look up", "task x")
		if f, ok := errors.AsType[*fault.Error](err); !ok || f.Error() != test.want || f.Op != test.op || f.Path != test.kept {
			t.Errorf("%q of %q became %+v: %v", test.message, test.path, err, err)
		}
	}
}

func TestListedFollowsTheExecution(t *testing.T) {
	memo, err := converter.GetDefaultDataConverter().ToPayload(transfer.Task{Type: "DELETE", Status: transfer.Active, Label: "x", AsOf: noon})
	if err != nil {
		t.Fatal(err)
	}
	info := func(status enumspb.WorkflowExecutionStatus, fields map[string]*commonpb.Payload) *workflowpb.WorkflowExecutionInfo {
		return &workflowpb.WorkflowExecutionInfo{
			Execution: &commonpb.WorkflowExecution{WorkflowId: "t"}, Type: &commonpb.WorkflowType{Name: workflows.TypeDelete},
			Status: status, Memo: &commonpb.Memo{Fields: fields}, CloseTime: timestamppb.New(noon), StartTime: timestamppb.New(noon),
		}
	}
	with := map[string]*commonpb.Payload{workflows.MemoTask: memo}
	for name, test := range map[string]struct {
		info *workflowpb.WorkflowExecutionInfo
		want transfer.Status
	}{
		"running":        {info(enumspb.WORKFLOW_EXECUTION_STATUS_RUNNING, with), transfer.Active},
		"completed":      {info(enumspb.WORKFLOW_EXECUTION_STATUS_COMPLETED, with), transfer.Succeeded},
		"terminated":     {info(enumspb.WORKFLOW_EXECUTION_STATUS_TERMINATED, with), transfer.Failed},
		"without a memo": {info(enumspb.WORKFLOW_EXECUTION_STATUS_RUNNING, nil), transfer.Active},
	} {
		t.Run(name, func(t *testing.T) {
			got := listed(test.info)
			if got.ID != "t" || got.Type != "DELETE" || got.Status != test.want || (got.Status != transfer.Active) == got.Completed.IsZero() {
				t.Errorf("listed = %+v", got)
			}
		})
	}
}
