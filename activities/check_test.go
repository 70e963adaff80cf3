package activities

import (
	"context"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/testsuite"
	"go.temporal.io/sdk/workflow"

	"github.com/gridferry/gridferry/endpoints"
	"github.com/gridferry/gridferry/endpoints/memory"
	"github.com/gridferry/gridferry/fault"
	"github.com/gridferry/gridferry/transfer"
)

func TestCheck(t *testing.T) {
	w := newWorld(t)
	put(t, w.src, "/d/file", content(1, 2<<20))
	d := w.worker("checker")
	in := CheckInput{Endpoint: "src", Path: "/d", Name: "gridferry-check-1", Request: transfer.CheckRequest{Write: "/d", Time: transfer.Duration(transfer.DefaultCheckTime) / 20, Bytes: 4 << 20}}
	res, err := d.Check(t.Context(), in)
	if err != nil {
		t.Fatal(err)
	}
	if c := res.Checkup; c.Location != "src:/d" || c.Kind != "memory" || c.Fault != nil || c.Left != "" || c.Count(transfer.Broken) != 0 || c.Count(transfer.Works) < 20 {
		t.Errorf("%+v", c)
	}
	if _, err := w.src.Open().Stat(t.Context(), "/d/gridferry-check-1"); !fault.Is(err, fault.NotFound) {
		t.Errorf("it left its directory: %v", err)
	}

	in.Request, in.Path = transfer.CheckRequest{}, "/~"
	if res, err = d.Check(t.Context(), in); err != nil || res.Checkup.Location != "src:/" {
		t.Errorf("of what has no default directory: %+v, %v", res, err)
	}
	in.Path = "/~/x"
	if _, err := d.Check(t.Context(), in); FaultOf(err).Kind != fault.Invalid {
		t.Errorf("below a default directory that is not there: %v", err)
	}
	in.Path = "/none"
	if res, err = d.Check(t.Context(), in); err != nil || res.Checkup.Fault == nil || res.Checkup.Fault.Kind != fault.NotFound {
		t.Errorf("of a folder that is not there: %+v, %v", res, err)
	}
	in.Endpoint = "nowhere"
	if _, err := d.Check(t.Context(), in); FaultOf(err).Kind != fault.NotFound {
		t.Errorf("of an endpoint that nobody knows: %v", err)
	}
	in.Endpoint, in.Name = "src", "d"
	if _, err := d.Check(t.Context(), in); FaultOf(err).Kind != fault.Invalid {
		t.Errorf("under somebody's name: %v", err)
	}
	in.Name, in.Request.Bytes = "gridferry-check-1", 1
	if _, err := d.Check(t.Context(), in); FaultOf(err).Kind != fault.Invalid {
		t.Errorf("with a limit that is none: %v", err)
	}
	w.opener.WithRecord(endpoints.Record{Name: "src", Kind: "memory", Site: "beamline"})
	in.Request.Bytes = 0
	if res, err = d.Check(t.Context(), in); err != nil || res.Elsewhere != transfer.SiteQueue("beamline") || len(res.Checkup.Findings) != 0 {
		t.Errorf("of another host's: %+v, %v", res, err)
	}
}

// A worker that stops leaves nothing behind, and answers.
func TestCheckStops(t *testing.T) {
	w := newWorld(t)
	d := w.worker("checker")
	stopping := make(chan struct{})
	d.Stopping = stopping
	w.src.Faults().Hook(hookOnce(memory.Rename, func() { close(stopping) }))
	res, err := d.Check(t.Context(), CheckInput{Endpoint: "src", Path: "/", Name: "gridferry-check-1", Request: transfer.CheckRequest{Write: "/"}})
	if err != nil || res.Checkup.Left != "" || res.Checkup.Count(transfer.NotTried) == 0 {
		t.Errorf("%+v, %v", res, err)
	}
	err = w.src.Open().List(t.Context(), "/", func(page []endpoints.Entry) error {
		for _, e := range page {
			if strings.HasPrefix(e.Name, "gridferry-check") {
				t.Errorf("%s is left", e.Name)
			}
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
}

// busyOnce does not answer the first time.
type busyOnce struct {
	endpoints.Opener
	asked int
}

func (b *busyOnce) Resolve(ctx context.Context, endpoint string) (endpoints.Record, error) {
	if b.asked++; b.asked == 1 {
		return endpoints.Record{}, fault.New(fault.Busy, "find endpoint", endpoint, "later")
	}
	return b.Opener.Resolve(ctx, endpoint)
}

// A second attempt removes what the worker of the first has left, and makes a
// directory of its own.
func TestCheckAgain(t *testing.T) {
	w := newWorld(t)
	put(t, w.src, "/gridferry-check-1/speed-1-0-0", content(1, 1000))
	put(t, w.src, "/gridferry-check-11/somebodys", content(1, 10))
	d := w.worker("checker")
	d.Endpoints = &busyOnce{Opener: d.Endpoints}
	var suite testsuite.WorkflowTestSuite
	env := suite.NewTestWorkflowEnvironment()
	env.RegisterActivity(d)
	in := CheckInput{Endpoint: "src", Path: "/", Name: "gridferry-check-1", Request: transfer.CheckRequest{Write: "/", Time: transfer.Duration(time.Second), Bytes: 1 << 20}}
	env.ExecuteWorkflow(func(ctx workflow.Context) (CheckResult, error) {
		var out CheckResult
		opts := workflow.ActivityOptions{StartToCloseTimeout: time.Minute, RetryPolicy: &temporal.RetryPolicy{MaximumAttempts: 2}}
		err := workflow.ExecuteActivity(workflow.WithActivityOptions(ctx, opts), (*Data)(nil).Check, in).Get(ctx, &out)
		return out, err
	})
	var res CheckResult
	if err := env.GetWorkflowResult(&res); err != nil {
		t.Fatal(err)
	}
	i := slices.IndexFunc(res.Checkup.Findings, func(f transfer.Finding) bool { return f.Name == "new directory" })
	if i < 0 || res.Checkup.Findings[i].Seen != "/gridferry-check-1-2" || res.Checkup.Left != "" {
		t.Errorf("%+v", res.Checkup)
	}
	s := w.src.Open()
	for path, want := range map[string]fault.Kind{"/gridferry-check-1": fault.NotFound, "/gridferry-check-1-2": fault.NotFound, "/gridferry-check-11/somebodys": ""} {
		if _, err := s.Stat(t.Context(), path); fault.KindOf(err) != want {
			t.Errorf("%s: %v", path, err)
		}
	}
}

// hookOnce calls do at the first call of op, and waits there until the call is given up.
func hookOnce(op memory.Op, do func()) func(context.Context, memory.Op, string, int64) error {
	var once sync.Once
	return func(ctx context.Context, is memory.Op, path string, _ int64) error {
		if is != op {
			return nil
		}
		once.Do(do)
		<-ctx.Done()
		return fault.Wrap(fault.Canceled, string(op), path, ctx.Err())
	}
}
