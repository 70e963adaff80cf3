package starter

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/gridferry/gridferry/fault"
	"github.com/gridferry/gridferry/transfer"
)

// pageSize is how much of a list is asked for at once: the most a service gives.
const pageSize = 1000

// list is the beginning of a list, or all of it.
type list[T any] struct {
	items []T
	more  bool
}

// pages collects up to limit things from a list that comes in pages; 0 is all.
func pages[T any](limit int, get func(transfer.Page) ([]T, string, error)) (list[T], error) {
	var l list[T]
	var page transfer.Page
	for {
		page.Limit = pageSize
		if limit > 0 {
			page.Limit = min(pageSize, limit-len(l.items))
		}
		items, next, err := get(page)
		if err != nil {
			return l, err
		}
		l.items = append(l.items, items...)
		if next == "" {
			return l, nil
		}
		if l.more = limit > 0 && len(l.items) >= limit; l.more {
			return l, nil
		}
		page.Token = next
	}
}

func limitFlag(cmd *cobra.Command, limit *int, what string, usual int) {
	cmd.Flags().IntVarP(limit, "limit", "n", usual, "show at most so many "+what+"; 0 shows all")
}

func checkLimit(limit int) error {
	if limit < 0 {
		return invalid("limit", strconv.Itoa(limit)+" is negative", "write a number of lines, or 0 for all")
	}
	return nil
}

// hint says on standard error that a list was cut short.
func (s *session) hint(more bool, limit int) {
	if more && !s.json {
		fmt.Fprintf(s.Stderr, "There are more than %d; --limit 0 shows all.\n", limit)
	}
}

func (s *session) tasksCommand() *cobra.Command {
	var statuses []string
	var limit int
	var everybody bool
	cmd := &cobra.Command{
		Use:   "tasks",
		Short: "List tasks, newest first",
		Example: `  gridferry tasks
  gridferry tasks --status active,inactive
  gridferry tasks --limit 0 --json`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			q := transfer.TaskQuery{Owner: s.Owner}
			if everybody {
				q.Owner = ""
			}
			for _, text := range statuses {
				status := transfer.Status(strings.ToUpper(text))
				if !slices.Contains([]transfer.Status{transfer.Active, transfer.Inactive, transfer.Succeeded, transfer.Failed}, status) {
					return invalid("status", strconv.Quote(text)+" is not known", "write active, inactive, succeeded or failed")
				}
				q.Status = append(q.Status, status)
			}
			if err := checkLimit(limit); err != nil {
				return err
			}
			svc, err := s.service(cmd.Context())
			if err != nil {
				return err
			}
			tasks, err := pages(limit, func(p transfer.Page) ([]transfer.Task, string, error) {
				q.Page = p
				l, err := svc.Tasks(cmd.Context(), q)
				return l.Tasks, l.Next, err
			})
			if err != nil {
				return err
			}
			if s.json {
				return s.printJSON(transfer.Tasks{Tasks: orEmpty(tasks.items)})
			}
			rows := [][]string{{"TASK", "STATUS", "DONE", "FILES", "SIZE", "REQUESTED", "WHAT"}}
			for _, t := range tasks.items {
				rows = append(rows, taskRow(t))
			}
			s.hint(tasks.more, limit)
			return table(s.Stdout, rows)
		},
	}
	cmd.Flags().StringSliceVar(&statuses, "status", nil, "only tasks that are `STATUS`: active, inactive, succeeded, failed")
	cmd.Flags().BoolVar(&everybody, "everybody", false, "tasks of all owners that you may see")
	limitFlag(cmd, &limit, "tasks", 20)
	return cmd
}

func taskRow(t transfer.Task) []string {
	what := t.Label
	if what == "" {
		what = strings.Trim(t.Source+" -> "+t.Destination, " ->")
		if t.Type == "DELETE" {
			what = "delete " + what
		}
	}
	return []string{
		string(t.ID), state(t), strconv.Itoa(t.Progress.Percent()) + "%",
		strconv.FormatInt(t.Progress.Files, 10), transfer.FormatBytes(t.Progress.Bytes), formatTime(t.Requested), printable(what),
	}
}

// orEmpty makes an empty list of none: JSON readers expect [] and not null.
func orEmpty[T any](items []T) []T {
	if items == nil {
		return []T{}
	}
	return items
}

// look gets a task by the id in an argument.
func (s *session) look(ctx context.Context, id string) (transfer.Task, error) {
	if err := checkTaskID(id, false); err != nil {
		return transfer.Task{}, err
	}
	svc, err := s.service(ctx)
	if err != nil {
		return transfer.Task{}, err
	}
	return svc.Task(ctx, transfer.TaskID(id))
}

func (s *session) statusCommand() *cobra.Command {
	return &cobra.Command{
		Use:     "status TASK",
		Short:   "Say in a line how a task stands",
		Example: "  gridferry status 3f2a9c1e-77b4-4d0a-9e55-0123456789ab",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			t, err := s.look(cmd.Context(), args[0])
			if err != nil {
				return err
			}
			if s.json {
				t.Chunks = nil
				return s.printJSON(t)
			}
			var words []string
			for _, w := range []string{state(t), strings.TrimSpace(progressLine(t)), sentence(t.Verdict)} {
				if w != "" {
					words = append(words, w)
				}
			}
			if host, _, ok := hostOf(t); ok && !ended(t) {
				fmt.Fprintf(s.Stderr, "A command on %s moves its files. If that has gone, \"gridferry attach %s\" there goes on.\n", host, t.ID)
			}
			_, err = fmt.Fprintln(s.Stdout, strings.Join(words, "  "))
			return err
		},
	}
}

func (s *session) detailsCommand() *cobra.Command {
	return &cobra.Command{
		Use:     "details TASK",
		Short:   "Print all that is known of a task, with its chunks and their tuning",
		Example: "  gridferry details 3f2a9c1e-77b4-4d0a-9e55-0123456789ab --json",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			t, err := s.look(cmd.Context(), args[0])
			if err != nil {
				return err
			}
			if s.json {
				return s.printJSON(t)
			}
			return s.printReport(t, true)
		},
	}
}

func (s *session) eventsCommand() *cobra.Command {
	var limit int
	cmd := &cobra.Command{
		Use:   "events TASK",
		Short: "Print what happened to a task, oldest first",
		Example: `  gridferry events 3f2a9c1e-77b4-4d0a-9e55-0123456789ab
  gridferry events --limit 0 --json 3f2a9c1e-77b4-4d0a-9e55-0123456789ab`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := checkTaskID(args[0], false); err != nil {
				return err
			}
			if err := checkLimit(limit); err != nil {
				return err
			}
			svc, err := s.service(cmd.Context())
			if err != nil {
				return err
			}
			events, err := pages(limit, func(p transfer.Page) ([]transfer.Event, string, error) {
				l, err := svc.Events(cmd.Context(), transfer.TaskID(args[0]), p)
				return l.Events, l.Next, err
			})
			if err != nil {
				return err
			}
			if s.json {
				return s.printJSON(transfer.Events{Events: orEmpty(events.items)})
			}
			rows := make([][]string, len(events.items))
			for i, e := range events.items {
				what := sentence(e.Description)
				if e.Fault != nil && !strings.Contains(e.Description, e.Fault.Message) {
					what = strings.TrimPrefix(what+": "+describeFault(*e.Fault), ": ")
				}
				rows[i] = []string{formatTime(e.Time), string(e.Code), what}
			}
			s.hint(events.more, limit)
			return table(s.Stdout, rows)
		},
	}
	limitFlag(cmd, &limit, "events", 1000)
	return cmd
}

func (s *session) resultsCommand() *cobra.Command {
	var limit int
	var q transfer.ResultQuery
	cmd := &cobra.Command{
		Use:   "results TASK",
		Short: "Print how each file of a task ended",
		Long: `Prints how each file of a task ended, with its checksum where one was compared:
also of a task that is still running, and of one that Temporal has forgotten.
--path finds one file among millions at once.`,
		Example: `  gridferry results 3f2a9c1e-77b4-4d0a-9e55-0123456789ab --status failed,skipped
  gridferry results 3f2a9c1e-77b4-4d0a-9e55-0123456789ab --path /data/run7/0001.h5
  gridferry results --limit 0 --json 3f2a9c1e-77b4-4d0a-9e55-0123456789ab`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := q.Validate(); err != nil {
				return err
			}
			if err := checkTaskID(args[0], false); err != nil {
				return err
			}
			if err := checkLimit(limit); err != nil {
				return err
			}
			svc, err := s.service(cmd.Context())
			if err != nil {
				return err
			}
			results, err := pages(limit, func(p transfer.Page) ([]transfer.Result, string, error) {
				q.Page = p
				l, err := svc.Results(cmd.Context(), transfer.TaskID(args[0]), q)
				return l.Results, l.Next, err
			})
			if err != nil {
				return err
			}
			if q.Path != "" && len(results.items) == 0 {
				return fault.New(fault.NotFound, "find", q.Path, "the task has no result of such a file; it may not have come to it yet")
			}
			if s.json {
				return s.printJSON(transfer.Results{Results: orEmpty(results.items)})
			}
			rows := [][]string{{"STATUS", "SIZE", "CHECKSUM", "DESTINATION", "FAULT"}}
			for _, r := range results.items {
				sum, why := "-", "-"
				if r.Checksum != "" {
					sum = r.Algorithm + ":" + r.Checksum
				}
				if r.Fault != nil {
					why = describeFault(*r.Fault)
				}
				name := r.Dest
				if name == "" {
					name = r.Source // it never came to have one
				}
				rows = append(rows, []string{r.Status, strconv.FormatInt(r.Size, 10), sum, printable(name), why})
			}
			s.hint(results.more, limit)
			return table(s.Stdout, rows)
		},
	}
	cmd.Flags().StringSliceVar(&q.Status, "status", nil, "only files that were copied, skipped, failed, ignored or deleted")
	cmd.Flags().StringVar(&q.Path, "path", "", "only the file that has this `PATH` at its source or destination")
	cmd.Flags().StringVar(&q.Prefix, "prefix", "", "only files whose path at either end begins with `PATH`")
	limitFlag(cmd, &limit, "files", 1000)
	return cmd
}
