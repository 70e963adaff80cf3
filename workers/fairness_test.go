package workers

import (
	"context"
	"errors"
	"testing"
	"time"

	"go.temporal.io/sdk/activity"
	"go.temporal.io/sdk/interceptor"
	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/testsuite"
	"go.temporal.io/sdk/worker"

	"github.com/gridferry/gridferry/fault"
)

// TestSharesOfOwners: no owner has more copies under way than his share, and
// steps are not counted.
func TestSharesOfOwners(t *testing.T) {
	s := newShares(2)
	for _, take := range []struct {
		owner string
		got   bool
	}{{"ada", true}, {"ada", true}, {"ada", false}, {"bob", true}, {"", true}} {
		if got := s.take(take.owner); got != take.got {
			t.Errorf("%q: %v", take.owner, got)
		}
	}
	s.giveBack("ada")
	if !s.take("ada") {
		t.Error("what was given back is gone")
	}
	for _, owner := range []string{"ada", "ada", "bob", ""} {
		s.giveBack(owner)
	}
	if len(s.busy) != 0 {
		t.Errorf("busy: %v", s.busy)
	}
}

func TestSharesRefuseAsBusy(t *testing.T) {
	s := newShares(1)
	var suite testsuite.WorkflowTestSuite
	env := suite.NewTestActivityEnvironment()
	env.SetWorkerOptions(worker.Options{Interceptors: []interceptor.WorkerInterceptor{s}})
	busy := 0
	for _, name := range []string{"Copy", "Probe"} {
		env.RegisterActivityWithOptions(func(context.Context) error {
			busy = len(s.busy)
			return nil
		}, activity.RegisterOptions{Name: name})
	}
	if _, err := env.ExecuteActivity("Copy"); err != nil || busy != 1 || len(s.busy) != 0 {
		t.Errorf("copy: %v, %d under way, %d afterwards", err, busy, len(s.busy))
	}
	s.take("")
	_, err := env.ExecuteActivity("Copy")
	var app *temporal.ApplicationError
	if !errors.As(err, &app) || app.Type() != string(fault.Busy) || app.NonRetryable() || app.NextRetryDelay() < 4*time.Second {
		t.Errorf("beyond the share: %v", err)
	}
	if _, err := env.ExecuteActivity("Probe"); err != nil {
		t.Errorf("a step: %v", err)
	}
}
