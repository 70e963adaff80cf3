package activities

import (
	"context"
	"errors"
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
	Keep   time.Duration `json:"keep,omitempty"` // blobs of tasks that ended longer ago go; 0 is 30 days
	Cursor string        `json:"cursor,omitempty"`
}

// SweepResult is what a step did.
type SweepResult struct {
	Cursor  string `json:"cursor,omitempty"` // of the next step; empty when all is done
	Removed int64  `json:"removed,omitempty"`

	// Orphans are tasks that have ended and may have left names behind: run
	// Finish with each, on the queue of its Probe's route. It comes up again in
	// the next sweep until a Finish with it has come to its end.
	Orphans []FinishInput `json:"orphans,omitempty"`
	// Ended is what to tell of tasks whose execution ended without a word, with
	// Notify. The same may come up again.
	Ended []transfer.Notice `json:"ended,omitempty"`
}

const (
	defaultKeep = 30 * 24 * time.Hour

	// graceBeforeOrphan leaves a task the time between its record and the
	// first sight of its workflow, and the other way around at its end.
	graceBeforeOrphan = 5 * time.Minute
)

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

// errStep ends a listing when a step's time is over.
var errStep = errors.New("the step is over")

func (c *Control) sweepBlobs(ctx context.Context, in SweepInput) (SweepResult, error) {
	keep := in.Keep
	if keep <= 0 {
		keep = defaultKeep
	}
	var out SweepResult
	begun := time.Now()
	var task string // the element of its keys
	var doomed []string
	old := false
	flush := func() error {
		if len(doomed) == 0 {
			return nil
		}
		err := c.Blobs.Delete(ctx, doomed...)
		if err == nil {
			out.Removed += int64(len(doomed))
		}
		doomed = nil
		return err
	}
	err := c.Blobs.List(ctx, tasksPrefix, func(key string) error {
		element, ok := elementOfKey(key)
		if !ok || key < in.Cursor {
			return nil
		}
		if element != task {
			if err := flush(); err != nil {
				return err
			}
			if time.Since(begun) > stepTime {
				out.Cursor = key
				return errStep
			}
			var err error
			if old, err = c.outlived(ctx, element, keep); err != nil {
				return err
			}
			task = element
		}
		if old {
			doomed = append(doomed, key)
		}
		if len(doomed) >= 500 {
			return flush()
		}
		return nil
	})
	if err == nil {
		err = flush()
	}
	if errors.Is(err, errStep) {
		err = nil
	}
	return out, err
}

// outlived says that the blobs of a task are of no more use.
func (c *Control) outlived(ctx context.Context, element string, keep time.Duration) (bool, error) {
	workflow := idOfElement(element)
	begun := time.Time{}
	if f, err := getOne[Facts](ctx, c.Blobs, tasksPrefix+element+"/"+factsName); err == nil {
		workflow, begun = f.Workflow, f.Begun
	} else if !fault.Is(err, fault.NotFound) {
		return false, err
	}
	t, err := c.Records.Task(ctx, workflow)
	switch {
	case err == nil && t.Status != transfer.Succeeded && t.Status != transfer.Failed:
		// An id may be used again: what an earlier task of it left is old.
		return !begun.IsZero() && t.Requested.Sub(begun) > keep, nil
	case err == nil:
		return time.Since(t.Completed) > keep, nil
	case !fault.Is(err, fault.NotFound):
		return false, err
	}
	if begun.IsZero() || time.Since(begun) < keep || c.Executions == nil {
		// Without a word of how old they are, they stay: events alone are small.
		return false, nil
	}
	running, err := c.Executions.Running(ctx, workflow)
	return err == nil && !running, err
}
