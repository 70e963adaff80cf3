package workflows

import (
	"context"
	"errors"
	"testing"

	"go.temporal.io/sdk/temporal"

	"github.com/gridferry/gridferry/activities"
	"github.com/gridferry/gridferry/fault"
	"github.com/gridferry/gridferry/transfer"
)

func (p *players) Check(_ context.Context, in activities.CheckInput) (activities.CheckResult, error) {
	return p.w.check(in)
}

func TestCheck(t *testing.T) {
	w := newWorld(t)
	asked := 0
	w.check = func(in activities.CheckInput) (activities.CheckResult, error) {
		if asked++; asked == 1 {
			return activities.CheckResult{Elsewhere: transfer.SiteQueue("beamline")}, nil
		}
		return activities.CheckResult{Checkup: transfer.Checkup{Location: in.Endpoint, Findings: []transfer.Finding{{Name: "login", Outcome: transfer.Works}}}}, nil
	}
	in := OperationInput{Check: &activities.CheckInput{Endpoint: "lab#dtn", Path: "/", Name: "gridferry-check-1"}}
	var out OperationResult
	if err := w.run(TypeOperation, in, &out); err != nil {
		t.Fatal(err)
	}
	if asked != 2 || out.Check == nil || out.Check.Location != "lab#dtn" || out.Check.Count(transfer.Works) != 1 {
		t.Errorf("asked %d times, out = %+v", asked, out.Check)
	}

	for _, c := range []struct {
		name   string
		answer activities.CheckResult
		err    error
		want   fault.Kind
	}{
		{"no host has it", activities.CheckResult{Elsewhere: transfer.SiteQueue("beamline")}, nil, fault.Internal},
		{"a wrong password", activities.CheckResult{}, errorOf(fault.Credential, "530 Login incorrect"), fault.Credential},
	} {
		w := newWorld(t)
		w.check = func(activities.CheckInput) (activities.CheckResult, error) { return c.answer, c.err }
		err := w.run(TypeOperation, in, nil)
		if app := (*temporal.ApplicationError)(nil); !errors.As(err, &app) || app.Type() != string(c.want) {
			t.Errorf("%s: %v, want %s", c.name, err, c.want)
		}
	}
}
