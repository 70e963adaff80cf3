package activities

import (
	"errors"
	"strings"
	"testing"

	"go.temporal.io/sdk/temporal"

	"github.com/gridferry/gridferry/fault"
	"github.com/gridferry/gridferry/transfer"
)

// TestTasksAtAnEndpoint: as many tasks as it takes have their copies there, and
// others wait for one of them to end.
func TestTasksAtAnEndpoint(t *testing.T) {
	w := newWorld(t)
	put(t, w.src, "/from/a", content(1, 10))
	put(t, w.src, "/from/b", content(2, 10))
	req := w.request()
	wk := w.walk(req, defaultWalkSizes)
	in := w.copyInput(wk, wk.Chunks[0], req)
	in.Probe.Source.Tasks, in.Probe.Destination.Tasks = 5, 1
	d := w.worker("x")
	for range 2 { // its chunks are not in each other's way
		if res, err := d.Copy(t.Context(), in); err != nil || !res.Complete {
			t.Fatalf("copy: %+v, %v", res, err)
		}
	}
	other := in
	other.Task = "other"
	_, err := d.Copy(t.Context(), other)
	f := FaultOf(err)
	if f.Kind != fault.Busy || !strings.Contains(f.Message, "dst takes one task at a time") {
		t.Fatalf("another task: %v", err)
	}
	var app *temporal.ApplicationError
	if !errors.As(err, &app) || app.NextRetryDelay() < 4e9 {
		t.Errorf("it comes back too soon: %v", app)
	}
	if err := d.Leave(t.Context(), in); err != nil {
		t.Fatal(err)
	}
	if n := w.leases.in[TasksAt+"dst"] + w.leases.in[TasksAt+"src"]; n != 0 {
		t.Errorf("%d places are taken", n)
	}
	if err := d.Leave(t.Context(), in); err != nil {
		t.Errorf("leaving again: %v", err)
	}
	leave, err := d.enter(t.Context(), other)
	if err != nil {
		t.Fatal(err)
	}
	leave()
	if err := d.Leave(t.Context(), in); err != nil || w.leases.in[TasksAt+"dst"] != 1 {
		t.Errorf("leaving when others are there: %v", err)
	}
}

func TestExpressLeaves(t *testing.T) {
	w := newWorld(t)
	put(t, w.src, "/from", content(1, 10))
	rec, err := w.opener.Resolve(t.Context(), "dst")
	if err != nil {
		t.Fatal(err)
	}
	rec.Limits.Tasks = 1
	w.opener.WithRecord(rec)
	for _, id := range []transfer.TaskID{"1", "2"} {
		req := transfer.Request{Items: []transfer.Item{{Source: "src:/from", Destination: "dst:/" + string(id)}}}
		res, err := w.worker("x").Express(t.Context(), ExpressInput{Task: id, Ends: w.ends(), Request: req})
		if err != nil || !res.Copy.Complete {
			t.Fatalf("%s: %+v, %v", id, res, err)
		}
	}
}
