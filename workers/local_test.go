package workers

import (
	"context"
	"strings"
	"testing"

	"go.temporal.io/sdk/interceptor"
	"go.temporal.io/sdk/testsuite"
	"go.temporal.io/sdk/worker"

	"github.com/gridferry/gridferry/transfer"
)

// A worker inside a command runs nothing for another task, whoever puts it on
// its queue.
func TestAlone(t *testing.T) {
	const own = "default-test-workflow-id" // the test environment's
	for task, allowed := range map[transfer.TaskID]bool{own: true, "another": false} {
		var suite testsuite.WorkflowTestSuite
		env := suite.NewTestActivityEnvironment()
		env.SetWorkerOptions(worker.Options{Interceptors: []interceptor.WorkerInterceptor{&alone{task: task}}})
		ran := false
		activity := func(context.Context) error { ran = true; return nil }
		env.RegisterActivity(activity)
		_, err := env.ExecuteActivity(activity)
		if ran != allowed || (err == nil) != allowed {
			t.Errorf("a worker of task %s: ran %v, %v", task, ran, err)
		}
		if err != nil && !strings.Contains(err.Error(), "this worker serves task another alone") {
			t.Errorf("it says %v", err)
		}
	}
}
