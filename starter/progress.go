package starter

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/gridferry/gridferry/transfer"
)

// plainInterval is how often progress is told where it cannot be rewritten: a
// log should not be flooded.
const plainInterval = 10 * time.Second

// await waits until a task has ended, showing its progress. It returns
// *taskEnded when the task has FAILED and *waitTimedOut when it took longer
// than timeout (0 is no limit).
func (s *session) await(ctx context.Context, id transfer.TaskID, timeout time.Duration) error {
	svc, err := s.service(ctx)
	if err != nil {
		return err
	}
	waiting, cancel := context.WithCancel(ctx)
	if timeout > 0 {
		waiting, cancel = context.WithTimeout(ctx, timeout)
	}
	defer cancel()
	task, err := s.watch(waiting, svc, id)
	switch {
	case ctx.Err() != nil:
		fmt.Fprintln(s.Stderr, s.farewell(id))
		return ctx.Err()
	case err != nil && errors.Is(waiting.Err(), context.DeadlineExceeded):
		if s.local {
			fmt.Fprintln(s.Stderr, s.farewell(id))
		}
		return &waitTimedOut{id, timeout}
	case err != nil:
		return err
	}
	if s.json {
		err = s.printJSON(task)
	} else {
		err = s.printReport(task, false)
	}
	if err == nil && task.Status != transfer.Succeeded {
		err = &taskEnded{id}
	}
	return err
}

// watch looks at the task from time to time until Wait returns.
func (s *session) watch(ctx context.Context, svc transfer.Service, id transfer.TaskID) (transfer.Task, error) {
	type outcome struct {
		task transfer.Task
		err  error
	}
	end := make(chan outcome, 1)
	go func() {
		task, err := svc.Wait(ctx, id)
		end <- outcome{task, err}
	}()
	line := liveLine{s: s}
	ticks := time.NewTicker(s.Poll)
	defer ticks.Stop()
	for {
		select {
		case o := <-end:
			line.clear()
			return o.task, o.err
		case <-ticks.C:
			if s.json {
				continue
			}
			// A look that fails is no news of the task: Wait knows better.
			if task, err := svc.Task(ctx, id); err == nil && !ended(task) {
				line.show(withVerdict(task), s.Now())
			}
		}
	}
}

// progressLine is a task's progress in a line.
func progressLine(t transfer.Task) string {
	p := t.Progress
	more := ""
	if p.Walking {
		more = "+" // the totals still grow
	}
	var parts []string
	switch {
	case t.Type == "DELETE":
		parts = append(parts, fmt.Sprintf("%d deleted", p.Deleted))
	case p.Files > 0:
		parts = append(parts,
			fmt.Sprintf("%3d%%", p.Percent()),
			fmt.Sprintf("%d/%d%s files", p.FilesDone, p.Files, more),
			fmt.Sprintf("%s/%s%s", transfer.FormatBytes(p.BytesDone+p.BytesInFlight), transfer.FormatBytes(p.Bytes), more),
			transfer.FormatRate(p.Rate))
	}
	if p.ETA > 0 {
		parts = append(parts, "ETA "+transfer.FormatDuration(time.Duration(p.ETA)))
	}
	if p.Faults > 0 {
		parts = append(parts, fmt.Sprintf("%d faults", p.Faults))
	}
	return strings.Join(parts, "  ")
}

// withVerdict adds what is to be said of a task that does not simply go on.
func withVerdict(t transfer.Task) string {
	line := progressLine(t)
	if t.Paused || t.Status == transfer.Inactive || line == "" || !t.AsOf.IsZero() {
		line = strings.TrimSpace(line + "  " + sentence(t.Verdict))
	}
	return line
}

// liveLine shows a line on standard error: rewritten on a terminal, and now
// and then elsewhere.
type liveLine struct {
	s     *session
	shown string
	at    time.Time
}

func (l *liveLine) show(text string, now time.Time) {
	if l.s.Terminal {
		// Carriage return, text, erase to the end of the line.
		fmt.Fprintf(l.s.Stderr, "\r%s\x1b[K", text)
		l.shown = text
		return
	}
	if text != l.shown && (l.shown == "" || now.Sub(l.at) >= plainInterval) {
		fmt.Fprintln(l.s.Stderr, text)
		l.shown, l.at = text, now
	}
}

func (l *liveLine) clear() {
	if l.s.Terminal && l.shown != "" {
		fmt.Fprint(l.s.Stderr, "\r\x1b[K")
	}
}
