package activities

import (
	"strings"
	"testing"

	"go.temporal.io/sdk/activity"
	"go.temporal.io/sdk/converter"
	"go.temporal.io/sdk/testsuite"

	"github.com/gridferry/gridferry/endpoints"
	"github.com/gridferry/gridferry/fault"
	"github.com/gridferry/gridferry/transfer"
)

// TestStepsTellOfLostAttempts has steps done again of which an attempt was lost,
// or said itself that it was over.
func TestStepsTellOfLostAttempts(t *testing.T) {
	w := newWorld(t)
	put(t, w.src, "/from/a", content(1, 700))
	req := w.request()
	d := w.worker("b")
	probe := w.probe(d, req)
	steps := map[string]func(*testsuite.TestActivityEnvironment) ([]transfer.Fault, error){
		"walk": func(env *testsuite.TestActivityEnvironment) ([]transfer.Fault, error) {
			var res WalkResult
			val, err := env.ExecuteActivity(d.WalkStep, WalkInput{Task: testTask, Ends: w.ends(), Request: req, Probe: probe})
			if err == nil {
				err = val.Get(&res)
			}
			return res.Faults, err
		},
		"finish": func(env *testsuite.TestActivityEnvironment) ([]transfer.Fault, error) {
			var res FinishResult
			val, err := env.ExecuteActivity(d.Finish, FinishInput{Task: testTask, Ends: w.ends(), Probe: probe})
			if err == nil {
				err = val.Get(&res)
			}
			return res.Faults, err
		},
		"delete": func(env *testsuite.TestActivityEnvironment) ([]transfer.Fault, error) {
			var res DeleteResult
			val, err := env.ExecuteActivity(d.Delete, DeleteInput{Task: testTask, Ends: w.ends()})
			if err == nil {
				err = val.Get(&res)
			}
			return res.Faults, err
		},
	}
	for name, step := range steps {
		for what, c := range map[string]struct {
			last any
			want int64
		}{
			"first":         {nil, 0},
			"older version": {map[string]int{"f": 1}, 0},
			"lost":          {vitals{Worker: "a"}, 1},
			"lost twice":    {vitals{Worker: "a", Lost: 1}, 2},
			"over":          {vitals{Worker: "a", Over: true}, 0},
			"lost, over":    {vitals{Worker: "a", Lost: 1, Over: true}, 1},
		} {
			env := new(testsuite.WorkflowTestSuite).NewTestActivityEnvironment()
			env.RegisterActivity(d)
			if c.last != nil {
				env.SetHeartbeatDetails(c.last)
			}
			faults, err := step(env)
			var n int64
			for _, f := range faults {
				n += f.Count
				if f.Kind != fault.Transient || !strings.HasPrefix(f.Message, "the worker a stopped") {
					t.Errorf("%s, %s: %+v", name, what, f)
				}
			}
			if err != nil || n != c.want {
				t.Errorf("%s, %s: %d faults, want %d, %v", name, what, n, c.want, err)
			}
		}
		// An attempt that is to be repeated says that it was not lost.
		open := d.Endpoints
		d.Endpoints = shut{open, fault.Wrap(fault.Busy, "use", "dst", &endpoints.DrainedError{})}
		env := new(testsuite.WorkflowTestSuite).NewTestActivityEnvironment()
		env.RegisterActivity(d)
		var last vitals
		env.SetOnActivityHeartbeatListener(func(_ *activity.Info, details converter.EncodedValues) { _ = details.Get(&last) })
		if _, err := step(env); FaultOf(err).Kind != fault.Busy || !last.Over || last.Worker != "b" {
			t.Errorf("%s: at a drained endpoint it ends with %v and %+v", name, err, last)
		}
		d.Endpoints = open
	}
}
