package activities

import (
	"context"
	"strings"
	"time"

	"github.com/gridferry/gridferry/fault"
	"github.com/gridferry/gridferry/transfer"
)

// Executions knows which workflows are still running.
type Executions interface {
	// Running says whether the task's workflow runs; false also when the
	// namespace has forgotten it.
	Running(ctx context.Context, id transfer.TaskID) (bool, error)
}

// SweepInput is one step, 30 s at most, of a sweep.
type SweepInput struct {
	Keep   time.Duration `json:"keep,omitempty"` // blobs of tasks that ended longer ago go, where nothing else is configured (Control.Retention)
	Cursor string        `json:"cursor,omitempty"`
}

// SweepResult is what a step did.
type SweepResult struct {
	Cursor  string `json:"cursor,omitempty"`  // of the next step; empty when all is done
	Removed int64  `json:"removed,omitempty"` // blobs

	Freed     int64 `json:"freed,omitempty"`     // bytes
	Forgotten int64 `json:"forgotten,omitempty"` // records of tasks

	// Orphans are tasks that have ended and may have left names behind: run
	// Finish with each, on the queue of its Probe's route. It comes up again in
	// the next sweep until a Finish with it has come to its end.
	Orphans []FinishInput `json:"orphans,omitempty"`
	// Ended is what to tell of tasks whose execution ended without a word, with
	// Notify. The same may come up again.
	Ended []transfer.Notice `json:"ended,omitempty"`
}

// graceBeforeOrphan leaves a task the time between its record and the first
// sight of its workflow, and the other way around at its end.
const graceBeforeOrphan = 5 * time.Minute

// SweepTasks ends the records of tasks whose executions were terminated, and
// hands out what is to be cleaned up after those and others.
func (c *Control) SweepTasks(ctx context.Context, in SweepInput) (SweepResult, error) {
	res, err := c.sweepTasks(ctx, in)
	return res, toTemporal(err)
}

func (c *Control) sweepTasks(ctx context.Context, in SweepInput) (SweepResult, error) {
	var out SweepResult
	if c.Executions == nil {
		return out, nil
	}
	if in.Cursor == "" {
		if err := c.sweepOrphans(ctx, in, &out); err != nil {
			return out, err
		}
	}
	page, err := c.Records.Tasks(ctx, transfer.TaskQuery{
		Status: []transfer.Status{transfer.Active, transfer.Inactive}, Page: transfer.Page{Token: in.Cursor, Limit: 100},
	})
	if err != nil {
		return out, err
	}
	now := time.Now().UTC()
	for _, t := range page.Tasks {
		if now.Sub(t.Requested) < graceBeforeOrphan {
			continue
		}
		running, err := c.Executions.Running(ctx, t.ID)
		if err != nil {
			return out, err
		}
		if running {
			continue
		}
		f := transfer.Fault{Kind: fault.Canceled, Message: "the workflow was ended from outside, without a chance to clean up", Time: now}
		t.Status, t.Phase, t.Completed, t.Fatal, t.Verdict = transfer.Failed, transfer.PhaseDone, now, &f, f.Message
		t.Paused, t.Progress.Walking = false, false
		facts, found, err := c.facts(ctx, t.ID)
		if err != nil {
			return out, err
		}
		if !found { // nothing was begun
			if err := c.Records.PutTask(ctx, t); err != nil {
				return out, err
			}
			continue
		}
		o := orphan{Task: facts.Task, Since: now, Ended: &t, Notify: facts.Notify}
		if facts.Ends.Source != "" { // a delete task leaves nothing behind
			o.Finish = &FinishInput{
				Task: facts.Task, Ends: facts.Ends, Probe: facts.Probe, Options: facts.Options, Abandon: true,
			}
		}
		if o.Events, err = c.eventPages(ctx, facts.Task); err != nil {
			return out, err
		}
		// Kept before its record is final: from then on nothing else leads here.
		if err := putOrphan(ctx, c.Blobs, o); err != nil {
			return out, err
		}
		if err := c.endOrphan(ctx, o, &out); err != nil {
			return out, err
		}
	}
	// What was ended is no longer in the list, so a page may be skipped over;
	// the next sweep finds it.
	out.Cursor = page.Next
	return out, nil
}

// facts finds what the last execution with a workflow id has kept.
func (c *Control) facts(ctx context.Context, workflow transfer.TaskID) (last Facts, found bool, err error) {
	// The keys of a reused id begin with it and end in something of their own.
	prefix := taskElement(workflow)
	prefix = tasksPrefix + prefix[:min(len(prefix), longID)]
	var keys []string
	err = c.Blobs.List(ctx, prefix, func(key string) error {
		if strings.HasSuffix(key, "/"+factsName) {
			keys = append(keys, key)
		}
		return nil
	})
	for _, key := range keys {
		f, err := getOne[Facts](ctx, c.Blobs, key)
		if err != nil {
			return last, false, err
		}
		if f.Workflow == workflow && (!found || f.Begun.After(last.Begun)) {
			last, found = f, true
		}
	}
	return last, found, err
}

func (c *Control) eventPages(ctx context.Context, task transfer.TaskID) (pages int, err error) {
	err = c.Blobs.List(ctx, eventsPrefix(task), func(string) error { pages++; return nil })
	return pages, err
}

// SweepBlobs removes the blobs of tasks that ended long ago, or that nobody
// knows.
func (c *Control) SweepBlobs(ctx context.Context, in SweepInput) (SweepResult, error) {
	defer beatWith(ctx, func() any { return nil })()
	res, err := c.sweepBlobs(ctx, in)
	return res, toTemporal(err)
}

// budgetCursor is where a sweep goes on whose time was over while it freed
// what is beyond the budget.
const budgetCursor = "~budget" // behind all keys of tasks

func (c *Control) sweepBlobs(ctx context.Context, in SweepInput) (SweepResult, error) {
	k := newCollector(c, c.retention(in))
	until := time.Now().Add(stepTime)
	out := SweepResult{}
	var err error
	if in.Cursor != budgetCursor {
		out.Cursor, err = k.aged(ctx, in.Cursor, until)
	}
	if err == nil && out.Cursor == "" {
		var more bool
		if more, err = k.beyond(ctx, until); more {
			out.Cursor = budgetCursor
		}
	}
	if err == nil && out.Cursor == "" {
		err = k.records(ctx)
	}
	out.Removed, out.Freed, out.Forgotten = k.sum.Blobs, k.sum.Bytes, k.sum.Records
	return out, err
}

// retention is what the configuration says, or else what the schedule does.
func (c *Control) retention(in SweepInput) Retention {
	r := c.Retention
	if r == (Retention{}) {
		r = Retention{Manifests: in.Keep, Ledgers: in.Keep, Results: in.Keep, Events: in.Keep}
	}
	return r.withDefaults()
}
