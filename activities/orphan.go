package activities

import (
	"context"
	"time"

	"github.com/gridferry/gridferry/blob"
	"github.com/gridferry/gridferry/fault"
	"github.com/gridferry/gridferry/transfer"
)

// orphan is a task that has ended and has something left to be done. It is
// kept until that is done: each step may be lost with its worker.
type orphan struct {
	Task   transfer.TaskID `json:"task"` // the key of its blobs
	Since  time.Time       `json:"since"`
	Finish *FinishInput    `json:"finish,omitempty"` // to be run to its end, which says that it is settled
	Ended  *transfer.Task  `json:"ended,omitempty"`  // as it is to be recorded; nil when it was
	Events int             `json:"events,omitempty"` // number of the page for the event of its end
	Notify string          `json:"notify,omitempty"`
}

func putOrphan(ctx context.Context, blobs blob.Store, o orphan) error {
	return putLines(blob.UseReserve(ctx), blobs, orphanKey(o.Task), []orphan{o})
}

// settled says that a task has left nothing behind. Whoever cleans up may be a
// worker that reaches the blobs of that task alone.
type settled struct {
	At time.Time `json:"at"`
}

// tellFor is how long sweeps tell of an orphan's end again. The first did, but
// when it was lost in the middle.
const tellFor = time.Hour

// sweepOrphans takes up what earlier sweeps, or tasks at their end, have left.
func (c *Control) sweepOrphans(ctx context.Context, in SweepInput, out *SweepResult) error {
	keep := c.retention(in).Ledgers
	var keys []string
	err := c.Blobs.List(ctx, orphansPrefix, func(key string) error {
		keys = append(keys, key)
		return nil
	})
	for _, key := range keys {
		o, err := getOne[orphan](ctx, c.Blobs, key)
		if fault.Is(err, fault.NotFound) {
			continue // done meanwhile
		}
		if err != nil {
			return err
		}
		over, err := c.orphanIsOver(ctx, o, keep)
		if over {
			err = c.Blobs.Delete(ctx, key)
		}
		if err != nil {
			return err
		}
		if over {
			continue
		}
		if err := c.endOrphan(ctx, o, out); err != nil {
			return err
		}
	}
	return err
}

// endOrphan records the end of a task, which does nothing the second time, and
// hands out what else there is to be done for it.
func (c *Control) endOrphan(ctx context.Context, o orphan, out *SweepResult) error {
	if o.Finish != nil {
		out.Orphans = append(out.Orphans, *o.Finish)
	}
	if o.Ended == nil || time.Since(o.Since) > tellFor {
		return nil
	}
	t := *o.Ended
	event := transfer.Event{Time: t.Completed, Code: transfer.EventFailed, Description: t.Verdict, Fault: t.Fatal}
	if err := putLines(blob.UseReserve(ctx), c.Blobs, eventsKey(o.Task, o.Events), []transfer.Event{event}); err != nil {
		return err
	}
	if err := c.Records.PutTask(ctx, t); err != nil {
		return err
	}
	if addressed, ok := c.Notifier.(Addresser); o.Notify != "" || ok && addressed.Addressed(t.Owner) {
		out.Ended = append(out.Ended, transfer.Notice{
			ID: transfer.NoticeID(o.Task, transfer.NoticeFailed, ""), Kind: transfer.NoticeFailed, Task: t, To: o.Notify,
		})
	}
	return nil
}

// orphanIsOver says that nothing is left to be done, or that nobody could for
// too long.
func (c *Control) orphanIsOver(ctx context.Context, o orphan, keep time.Duration) (bool, error) {
	age := time.Since(o.Since)
	if o.Finish == nil || age > keep {
		return age > min(keep, tellFor), nil
	}
	_, err := getOne[settled](ctx, c.Blobs, settledKey(o.Finish.Task))
	if fault.Is(err, fault.NotFound) {
		return false, nil
	}
	return err == nil, err
}
