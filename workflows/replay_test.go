package workflows

import (
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	historypb "go.temporal.io/api/history/v1"
	"go.temporal.io/sdk/interceptor"
	"go.temporal.io/sdk/log"
	"go.temporal.io/sdk/worker"
	"go.temporal.io/sdk/workflow"
	"google.golang.org/protobuf/encoding/protojson"
)

// histories are those that integration/service recorded.
func histories(t *testing.T) map[string]*historypb.History {
	t.Helper()
	files, err := filepath.Glob("testdata/*.json")
	if err != nil {
		t.Fatal(err)
	}
	if len(files) < 10 {
		t.Fatalf("only %d histories in testdata: go test ./integration/service -update", len(files))
	}
	all := make(map[string]*historypb.History)
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		h := new(historypb.History)
		if err := protojson.Unmarshal(text, h); err != nil {
			t.Fatal(err)
		}
		all[strings.TrimSuffix(filepath.Base(file), ".json")] = h
	}
	return all
}

// A change of a workflow that a running transfer would not survive shows here.
func TestReplay(t *testing.T) {
	for name, h := range histories(t) {
		t.Run(name, func(t *testing.T) {
			if err := replay(h, nil); err != nil {
				t.Error(err)
			}
		})
	}
}

func replay(h *historypb.History, without interceptor.WorkerInterceptor) error {
	// A busy machine may stand still for longer than a workflow may that is
	// sound; one without a step may go on for ever.
	options := worker.WorkflowReplayerOptions{DisableDeadlockDetection: without == nil}
	if without != nil {
		options.Interceptors = []interceptor.WorkerInterceptor{without}
	}
	r, err := worker.NewWorkflowReplayerWithOptions(options)
	if err != nil {
		return err
	}
	Register(r, Site{})
	return r.ReplayWorkflowHistory(log.NewStructuredLogger(slog.New(slog.DiscardHandler)), h)
}

// The replay test is worth its name only when it notices that a step is gone:
// each activity of each history is left out in turn.
func TestReplayNoticesAMissingStep(t *testing.T) {
	for name, h := range histories(t) {
		steps := make(map[string]bool)
		for _, e := range h.Events {
			if a := e.GetActivityTaskScheduledEventAttributes(); a != nil {
				steps[a.GetActivityType().GetName()] = true
			}
		}
		if len(steps) == 0 {
			t.Errorf("%s has no activity at all", name)
		}
		for step := range steps {
			t.Run(name+" without "+step, func(t *testing.T) {
				if err := replay(h, &without{step: step}); err == nil {
					t.Error("it replays")
				}
			})
		}
	}
}

// without leaves an activity out of the workflows: it is done before it began.
type without struct {
	interceptor.WorkerInterceptorBase
	step string
}

func (w *without) InterceptWorkflow(_ workflow.Context, next interceptor.WorkflowInboundInterceptor) interceptor.WorkflowInboundInterceptor {
	in := &inboundWithout{step: w.step}
	in.Next = next
	return in
}

type inboundWithout struct {
	interceptor.WorkflowInboundInterceptorBase
	step string
}

func (i *inboundWithout) Init(next interceptor.WorkflowOutboundInterceptor) error {
	out := &outboundWithout{step: i.step}
	out.Next = next
	return i.Next.Init(out)
}

type outboundWithout struct {
	interceptor.WorkflowOutboundInterceptorBase
	step string
}

func (o *outboundWithout) ExecuteActivity(ctx workflow.Context, activity string, args ...any) workflow.Future {
	if activity != o.step {
		return o.Next.ExecuteActivity(ctx, activity, args...)
	}
	f, set := workflow.NewFuture(ctx)
	set.Set(nil, nil)
	return f
}
