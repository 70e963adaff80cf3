package workflows

import (
	"strings"
	"testing"
	"time"

	"go.temporal.io/sdk/testsuite"
	"go.temporal.io/sdk/workflow"

	"github.com/gridferry/gridferry/fault"
	"github.com/gridferry/gridferry/transfer"
)

// TestOutlook: what is waited for, since when and what to do, by what there is
// in the state of a run.
func TestOutlook(t *testing.T) {
	now := time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)
	since := now.Add(-time.Hour)
	held := func(f transfer.Fault) func(*State) {
		return func(s *State) { s.Hold = Hold{Fault: f, Tries: 2, Since: since, Until: now.Add(time.Minute)} }
	}
	for name, test := range map[string]struct {
		state     func(*State)
		prospect  transfer.Prospect
		waits     string
		text      string
		sinceThen bool
	}{
		"nothing special": {func(*State) {}, transfer.Progressing, "", "progressing", false},
		"a login":         {func(s *State) { s.Task.Phase = transfer.PhaseStarting }, transfer.Progressing, "", "logging in", false},
		"a pause": {func(s *State) { s.Task.Paused, s.PausedSince, s.PausedBy = true, since, "ada" },
			transfer.Waiting, transfer.ForResume, "paused by ada", true},
		"a credential": {func(s *State) {
			s.Task.Status, s.InactiveSince, s.Wanted = transfer.Inactive, since, []Want{{Domain: "lab#dtn", Fault: transfer.Fault{Message: "expired"}}}
		}, transfer.Waiting, transfer.ForCredential, "credential for lab#dtn: expired", true},
		"a full destination": {held(transfer.Fault{Kind: fault.NoSpace, Message: "552 full"}), transfer.Waiting, transfer.ForSpace, "552 full", true},
		"a full store":       {held(transfer.Fault{Kind: fault.NoSpace, OwnStore: true}), transfer.Waiting, transfer.ForStore, "waiting until", true},
		"a drained endpoint": {held(transfer.Fault{Kind: fault.Busy, Reason: transfer.ReasonDrained}), transfer.Waiting, transfer.ForDrained, "waiting", true},
		"a busy server":      {held(transfer.Fault{Kind: fault.Busy}), transfer.Waiting, transfer.ForServer, "waiting", true},
		"a lost network":     {held(transfer.Fault{Kind: fault.Transient}), transfer.Waiting, transfer.ForServer, "waiting", true},
		"no source":          {held(transfer.Fault{Kind: fault.NotFound, Message: "/gone"}), transfer.Doomed, transfer.ForFiles, "attempt 2 of 5", true},
		"a bug":              {held(transfer.Fault{Kind: fault.Internal}), transfer.Doomed, transfer.ForOperator, "attempt 2 of 10", true},
		"a hold that is over": {func(s *State) { held(transfer.Fault{Kind: fault.Busy})(s); s.Hold.Until = since },
			transfer.Progressing, "", "progressing", false},
		"files given up": {func(s *State) { s.Strict = &transfer.Fault{Message: "no such file", Time: since} },
			transfer.Doomed, transfer.ForFiles, "will fail when everything else is done: no such file", true},
		"a deadline too near": {func(s *State) {
			s.Copied, s.Task.Progress = since, transfer.Progress{Files: 9, Bytes: 1e12, BytesDone: 1e10, FilesDone: 1}
		}, transfer.Doomed, transfer.ForDeadline, "by its deadline, 2026-11-22", false},
		"a deadline far enough": {func(s *State) {
			s.Copied, s.Task.Progress = since, transfer.Progress{Files: 9, Bytes: 1e12, BytesDone: 9e11, FilesDone: 1}
		}, transfer.Progressing, "", "progressing", false},
		"one fault too many to come": {func(s *State) { s.Request.MaxFaults, s.Task.Progress.Faults = 3, 3 },
			transfer.Doomed, transfer.ForFaults, "3 faults", false},
		"an end": {func(s *State) { s.Task.Phase, s.Task.Status = transfer.PhaseDone, transfer.Succeeded },
			transfer.Ended, "", "all that was asked is done", false},
		"a failure": {func(s *State) { s.Task.Phase, s.Task.Fatal = transfer.PhaseDone, &transfer.Fault{Message: "why"} },
			transfer.Ended, "", "why", false},
		"a cancellation": {func(s *State) { s.Canceled = true }, transfer.Stopping, "", "stopping", false},
	} {
		t.Run(name, func(t *testing.T) {
			var suite testsuite.WorkflowTestSuite
			env := suite.NewTestWorkflowEnvironment()
			patient(env)
			env.SetStartTime(now)
			var o transfer.Outlook
			env.ExecuteWorkflow(func(ctx workflow.Context) error {
				s := &State{Task: transfer.Task{Status: transfer.Active, Phase: transfer.PhaseCopying, Deadline: now.Add(24 * time.Hour)}}
				test.state(s)
				o = newRun(ctx, s).outlook(ctx)
				return nil
			})
			if o.Prospect != test.prospect || o.For != test.waits || !strings.Contains(o.Text, test.text) || o.Since.Equal(since) != test.sinceThen {
				t.Errorf("%+v", o)
			}
			if o.For != "" && o.For != transfer.ForFaults && o.Hint == "" {
				t.Error("it does not say what to do")
			}
		})
	}
}
