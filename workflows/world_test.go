package workflows

import (
	"context"
	"encoding/json"
	"errors"
	"sync"
	"testing"
	"time"

	"go.temporal.io/sdk/activity"
	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/testsuite"
	"go.temporal.io/sdk/worker"

	"github.com/gridferry/gridferry/activities"
	"github.com/gridferry/gridferry/fault"
	"github.com/gridferry/gridferry/transfer"
)

// world plays the activities of one task, on the environment's clock.
type world struct {
	testsuite.WorkflowTestSuite
	t   *testing.T
	env *testsuite.TestWorkflowEnvironment

	mu        sync.Mutex
	probes    []activities.ProbeInput
	walks     []activities.WalkInput
	copied    []activities.CopyInput
	deletes   []activities.DeleteInput
	finishes  []activities.FinishInput
	records   []activities.RecordInput
	mails     []transfer.Notice
	awaits    []activities.AwaitInput
	forgets   int
	expressed int
	left      []activities.CopyInput
	stages    []activities.StageInput

	// What the activities answer; n counts the calls from 1. Nil is the
	// ordinary good answer.
	probe   func(n int) (activities.ProbeResult, error)
	express func(n int) (activities.ExpressResult, error)
	walk    func(n int, in activities.WalkInput) (activities.WalkResult, error)
	copy    func(n int, in activities.CopyInput) (activities.CopyResult, error)
	delete  func(n int, in activities.DeleteInput) (activities.DeleteResult, error)
	stage   func(n int, in activities.StageInput) (activities.StageResult, error)
	finish  func(n int, in activities.FinishInput) (activities.FinishResult, error)
	await   func(n int, in activities.AwaitInput) (activities.AwaitResult, error)
	notify  func(transfer.Notice) error

	browse     func(activities.BrowseInput) (activities.BrowseResult, error)
	read       func(activities.ReadInput) (activities.ReadResult, error)
	check      func(activities.CheckInput) (activities.CheckResult, error)
	sweepTasks func(activities.SweepInput) (activities.SweepResult, error)
	sweepBlobs func(activities.SweepInput) (activities.SweepResult, error)

	site       Site
	old        bool // the data workers are of a release that has no walk that opens
	attributes []string
	addressed  bool
	copyTime   time.Duration
}

func newWorld(t *testing.T) *world {
	w := &world{t: t, copyTime: time.Second}
	w.env = w.NewTestWorkflowEnvironment()
	w.play()
	return w
}

// again is a second environment for the run that continues the first.
func (w *world) again() {
	w.env = w.NewTestWorkflowEnvironment()
	w.env.SetContinuedExecutionRunID("the-run-before")
	w.play()
}

func (w *world) play() {
	Register(w.env, w.site)
	w.env.RegisterActivity(&players{w})
	patient(w.env)
}

// patient lets a busy machine stand still for longer than the SDK expects of a
// workflow that is sound.
func patient(env *testsuite.TestWorkflowEnvironment) {
	env.SetTestTimeout(2 * time.Minute)
	env.SetWorkerOptions(worker.Options{DeadlockDetectionTimeout: time.Minute})
}

// players are the activities, under their own names.
type players struct{ w *world }

func (p *players) Probe(_ context.Context, in activities.ProbeInput) (activities.ProbeResult, error) {
	p.w.mu.Lock()
	defer p.w.mu.Unlock()
	return p.w.look(in)
}

// look answers who logs in to both ends, in a step of its own or not.
func (w *world) look(in activities.ProbeInput) (activities.ProbeResult, error) {
	w.probes = append(w.probes, in)
	if w.probe != nil {
		return w.probe(len(w.probes))
	}
	return probed(in.Rule), nil
}

func (p *players) Express(_ context.Context, in activities.ExpressInput) (activities.ExpressResult, error) {
	p.w.mu.Lock()
	p.w.expressed++
	n := p.w.expressed
	p.w.mu.Unlock()
	if p.w.express != nil {
		return p.w.express(n)
	}
	return activities.ExpressResult{Probe: probed(in.Request.Route)}, nil
}

func (p *players) WalkStep(_ context.Context, in activities.WalkInput) (activities.WalkResult, error) {
	p.w.mu.Lock()
	defer p.w.mu.Unlock()
	var opened *activities.ProbeResult
	if in.Open && !p.w.old {
		probe, err := p.w.look(activities.ProbeInput{Ends: in.Ends, Rule: in.Request.Route})
		if err != nil || probe.Elsewhere {
			return activities.WalkResult{Probe: &probe}, err
		}
		opened = &probe
	}
	p.w.walks = append(p.w.walks, in)
	res, err := found("", chunk("0-0", 4), chunk("0-1", 4)), error(nil)
	if p.w.walk != nil {
		res, err = p.w.walk(len(p.w.walks), in)
	}
	res.Probe = opened
	return res, err
}

// Copy takes copyTime of the environment's clock, if there is one. A copy that
// is cancelled meanwhile counts as begun.
func (p *players) Copy(ctx context.Context, in activities.CopyInput) (activities.CopyResult, error) {
	w, env, token := p.w, p.w.env, activity.GetInfo(ctx).TaskToken
	w.mu.Lock()
	defer w.mu.Unlock()
	w.copied = append(w.copied, in)
	n := len(w.copied)
	if w.copyTime == 0 {
		return complete(in), nil
	}
	env.RegisterDelayedCallback(func() {
		res, err := complete(in), error(nil)
		if w.copy != nil {
			res, err = w.copy(n, in)
		}
		if err := env.CompleteActivity(token, res, err); err != nil {
			w.t.Error(err)
		}
	}, w.copyTime)
	return activities.CopyResult{}, activity.ErrResultPending
}

func (p *players) Delete(_ context.Context, in activities.DeleteInput) (activities.DeleteResult, error) {
	p.w.mu.Lock()
	defer p.w.mu.Unlock()
	p.w.deletes = append(p.w.deletes, in)
	if p.w.delete != nil {
		return p.w.delete(len(p.w.deletes), in)
	}
	return activities.DeleteResult{Deleted: 1}, nil
}

func (p *players) StageStep(_ context.Context, in activities.StageInput) (activities.StageResult, error) {
	p.w.mu.Lock()
	defer p.w.mu.Unlock()
	p.w.stages = append(p.w.stages, in)
	if p.w.stage != nil {
		return p.w.stage(len(p.w.stages), in)
	}
	return activities.StageResult{Cursor: "staged"}, nil
}

func (p *players) Finish(_ context.Context, in activities.FinishInput) (activities.FinishResult, error) {
	p.w.mu.Lock()
	defer p.w.mu.Unlock()
	p.w.finishes = append(p.w.finishes, in)
	if p.w.finish != nil {
		return p.w.finish(len(p.w.finishes), in)
	}
	return activities.FinishResult{}, nil
}

func (p *players) Leave(_ context.Context, in activities.CopyInput) error {
	p.w.mu.Lock()
	defer p.w.mu.Unlock()
	p.w.left = append(p.w.left, in)
	return nil
}

func (p *players) Browse(_ context.Context, in activities.BrowseInput) (activities.BrowseResult, error) {
	return p.w.browse(in)
}

func (p *players) Read(_ context.Context, in activities.ReadInput) (activities.ReadResult, error) {
	return p.w.read(in)
}

func (p *players) Record(_ context.Context, in activities.RecordInput) (activities.RecordResult, error) {
	p.w.mu.Lock()
	defer p.w.mu.Unlock()
	p.w.records = append(p.w.records, in)
	return activities.RecordResult{Addressed: p.w.addressed}, nil
}

func (p *players) Notify(_ context.Context, in transfer.Notice) error {
	p.w.mu.Lock()
	defer p.w.mu.Unlock()
	if p.w.notify != nil {
		if err := p.w.notify(in); err != nil {
			return err
		}
	}
	p.w.mails = append(p.w.mails, in)
	return nil
}

func (p *players) Await(_ context.Context, in activities.AwaitInput) (activities.AwaitResult, error) {
	p.w.mu.Lock()
	defer p.w.mu.Unlock()
	p.w.awaits = append(p.w.awaits, in)
	if p.w.await != nil {
		return p.w.await(len(p.w.awaits), in)
	}
	return activities.AwaitResult{}, nil
}

func (p *players) Forget(context.Context, transfer.TaskID) error {
	p.w.mu.Lock()
	defer p.w.mu.Unlock()
	p.w.forgets++
	return nil
}

func (p *players) Attributes(context.Context) ([]string, error) { return p.w.attributes, nil }

func (p *players) SweepTasks(_ context.Context, in activities.SweepInput) (activities.SweepResult, error) {
	return p.w.sweepTasks(in)
}

func (p *players) SweepBlobs(_ context.Context, in activities.SweepInput) (activities.SweepResult, error) {
	return p.w.sweepBlobs(in)
}

// transfer runs a transfer of that JSON to its end, or to a continuation.
func (w *world) transfer(request string) (transfer.Task, error) {
	w.env.ExecuteWorkflow(TypeTransfer, json.RawMessage(request))
	if !w.env.IsWorkflowCompleted() {
		w.t.Fatal("the workflow did not end")
	}
	if err := w.env.GetWorkflowError(); err != nil {
		return failedTask(w.t, err), err
	}
	var task transfer.Task
	if err := w.env.GetWorkflowResult(&task); err != nil {
		w.t.Fatal(err)
	}
	return task, nil
}

// failedTask is the task in the details of the error that ended it, if any.
func failedTask(t *testing.T, err error) transfer.Task {
	var task transfer.Task
	var app *temporal.ApplicationError
	var canceled *temporal.CanceledError
	switch {
	case errors.As(err, &app) && app.Type() == ErrorTaskFailed:
		if err := app.Details(&task); err != nil {
			t.Fatal(err)
		}
	case errors.As(err, &canceled) && canceled.HasDetails():
		if err := canceled.Details(&task); err != nil {
			t.Fatal(err)
		}
	}
	return task
}

// status queries the running workflow.
func (w *world) status() transfer.Task {
	w.t.Helper()
	v, err := w.env.QueryWorkflow(QueryStatus)
	if err != nil {
		w.t.Fatal(err)
	}
	var task transfer.Task
	if err := v.Get(&task); err != nil {
		w.t.Fatal(err)
	}
	return task
}

// at does something when the task has run for d.
func (w *world) at(d time.Duration, do func()) { w.env.RegisterDelayedCallback(do, d) }

// update sends an update and checks that it is taken, or refused.
func (w *world) update(name string, taken bool, args ...any) {
	w.t.Helper()
	w.env.UpdateWorkflow(name, "", &testsuite.TestUpdateCallback{
		OnAccept: func() {
			if !taken {
				w.t.Errorf("update %s was accepted", name)
			}
		},
		OnReject: func(err error) {
			if taken {
				w.t.Errorf("update %s was refused: %v", name, err)
			}
		},
		OnComplete: func(_ any, err error) {
			if err != nil {
				w.t.Errorf("update %s: %v", name, err)
			}
		},
	}, args...)
}

// events returns the codes of all recorded events.
func (w *world) events() []transfer.EventCode {
	w.mu.Lock()
	defer w.mu.Unlock()
	var codes []transfer.EventCode
	for _, r := range w.records {
		for _, e := range r.Events {
			codes = append(codes, e.Code)
		}
	}
	return codes
}

func probed(rule transfer.RouteRule) activities.ProbeResult {
	route := transfer.Route{Path: transfer.RouteThirdParty, Queue: transfer.QueueData, Reason: "both can"}
	if rule == transfer.RouteRelay {
		route = transfer.Route{Path: transfer.RouteRelay, Queue: transfer.QueueData, Reason: "relayed, as asked"}
	}
	return activities.ProbeResult{
		Source: activities.End{Kind: "gridftp"}, Destination: activities.End{Kind: "gridftp"}, Route: route, Checksum: "md5",
	}
}

// chunk is one of n files of a megabyte.
func chunk(id string, n int64) transfer.Chunk {
	return transfer.Chunk{
		ID: id, Sheet: "sheets/" + id, Files: n, Bytes: n * 1e6, Class: transfer.Medium,
		Tuning: transfer.Tuning{Concurrency: 4, Parallelism: 2, Pipelining: 10, Reason: "for the test"},
	}
}

// found is a step of a walk that found those chunks.
func found(cursor string, chunks ...transfer.Chunk) activities.WalkResult {
	res := activities.WalkResult{Cursor: cursor, Chunks: chunks, Segments: 1}
	for _, c := range chunks {
		res.Found.Files += c.Files
		res.Found.Bytes += c.Bytes
	}
	return res
}

func complete(in activities.CopyInput) activities.CopyResult {
	return activities.CopyResult{
		Complete: true, Files: in.Chunk.Files, Bytes: in.Chunk.Bytes, Checksummed: in.Chunk.Bytes, Tuning: in.Chunk.Tuning, Elapsed: time.Second,
	}
}

// blocked is a copy that got n files done before the rest had to wait.
func blocked(n int64, k fault.Kind, message string) activities.CopyResult {
	return activities.CopyResult{Files: n, Bytes: n * 1e6, Blocked: &transfer.Fault{Kind: k, Message: message, Count: 1}}
}

// errorOf is an activity's error of that kind.
func errorOf(k fault.Kind, message string) error {
	return temporal.NewNonRetryableApplicationError(message, string(k), nil, transfer.Fault{Kind: k, Message: message, Count: 1})
}
