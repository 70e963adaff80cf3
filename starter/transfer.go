package starter

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/gridferry/gridferry/transfer"
)

// startFlags say what happens once a task has been submitted.
type startFlags struct {
	id      string
	wait    bool
	timeout time.Duration
	raw     string // of timeout
}

func (f *startFlags) register(cmd *cobra.Command) {
	cmd.Flags().StringVar(&f.id, "task-id", "", "`ID` of your choice; submitting the same again starts nothing new (default a new UUID)")
	cmd.Flags().BoolVarP(&f.wait, "wait", "w", false, "wait until the task has ended, with live progress")
	cmd.Flags().StringVar(&f.raw, "timeout", "", "wait no longer than this `DURATION`; the task goes on")
}

func (f *startFlags) check() error {
	var err error
	if f.timeout, err = parseTimeout(f.raw); err != nil {
		return err
	}
	if f.timeout > 0 && !f.wait {
		return &usageError{errors.New("--timeout is for waiting: give --wait as well, or --deadline for the task itself")}
	}
	return checkTaskID(f.id, true)
}

func parseTimeout(text string) (time.Duration, error) {
	if text == "" {
		return 0, nil
	}
	d, err := transfer.ParseDuration(text)
	if err == nil && d <= 0 {
		err = fmt.Errorf("%q is no time to wait", text)
	}
	if err != nil {
		return 0, invalid("timeout", err.Error(), "")
	}
	return d, nil
}

// checkTaskID refuses what can be no task's id.
func checkTaskID(id string, empty bool) error {
	switch {
	case id == "" && empty:
		return nil
	case id == "" || len(id) > 255 || printable(id) != id || strings.TrimSpace(id) != id:
		return invalid("task_id", fmt.Sprintf("%q is no id", id), "ids have 1 to 255 printable characters")
	}
	return nil
}

// started prints the id of a new task, first of all, and waits if asked to.
func (s *session) started(ctx context.Context, id transfer.TaskID, f *startFlags) error {
	var err error
	if s.json {
		err = s.printJSON(map[string]transfer.TaskID{"task_id": id})
	} else {
		_, err = fmt.Fprintln(s.Stdout, id)
	}
	if err != nil || !f.wait {
		return err
	}
	return s.await(ctx, id, f.timeout)
}

func (s *session) transferCommand() *cobra.Command {
	var request requestFlags
	var start startFlags
	var dryRun bool
	cmd := &cobra.Command{
		Use:   "transfer [flags] SOURCE DESTINATION",
		Short: "Start a transfer",
		Long: `Start a task that copies a file, what is in a directory (-r), or the items of a
batch file. The task's id is printed first; the task goes on without this
command. "gridferry help locations" says how to name files.

With file:///path, the files of this host, the command itself carries them: it
stays until the task has ended, and a task whose command has gone waits for
"gridferry attach".`,
		Example: `  # one file, keeping its name
  gridferry transfer gsiftp://a.example.org/data/x.h5 gsiftp://b.example.org/in/

  # what is in a directory, with live progress
  gridferry transfer -r gsiftp://a.example.org/data/ gsiftp://b.example.org/data/ --wait

  # from this host
  gridferry transfer -r file:///home/ann/run7/ gsiftp://b.example.org/in/run7/

  # a mirror: copy what differs, remove what is gone, but never more than 5%
  gridferry transfer -r lab#dtn:/data/ tape:/data/ --sync checksum --delete-extra --max-delete 5%

  # what it would do
  gridferry transfer -r lab#dtn:/data/ tape:/data/ --sync mtime --dry-run

  # many items; only HDF5 files; the published tuning
  gridferry transfer --batch items.txt
  gridferry transfer -r a:/data/ b:/data/ --filter '+dir:*' --filter '+*.h5' --filter '-*' --tuning classic`,
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := start.check(); err != nil {
				return err
			}
			if dryRun && start.wait {
				return &usageError{errors.New("--dry-run starts nothing to --wait for: give one of them")}
			}
			id, site := s.choose(start.id), ""
			if !dryRun {
				site = siteOf(s.Host, id)
			}
			req, here, err := request.build(s, cmd, args, site)
			switch {
			case err != nil:
				return err
			case dryRun:
				return s.plan(cmd.Context(), req)
			case here:
				return s.transferHere(cmd.Context(), id, req, &start)
			}
			svc, err := s.service(cmd.Context())
			if err != nil {
				return err
			}
			id, err = svc.Submit(cmd.Context(), id, req)
			if err != nil {
				return err
			}
			return s.started(cmd.Context(), id, &start)
		},
	}
	request.register(cmd)
	cmd.Flags().BoolVar(&dryRun, "dry-run", false, "walk, say what would be copied and deleted, and change nothing")
	start.register(cmd)
	return cmd
}

func (s *session) choose(id string) transfer.TaskID {
	if id != "" {
		return transfer.TaskID(id)
	}
	return s.NewID()
}

func (s *session) planCommand() *cobra.Command {
	var request requestFlags
	cmd := &cobra.Command{
		Use:   "plan [flags] SOURCE DESTINATION",
		Short: "Say what a transfer would do: chunks, tuning and reasons",
		Long: `Walk the source, sort and cut its files as a transfer would, and print the
route and each chunk's tuning with its reason. Nothing is changed.`,
		Example: `  gridferry plan -r gsiftp://a.example.org/data/ gsiftp://b.example.org/data/
  gridferry plan -r a:/data/ b:/data/ --tuning classic --json`,
		RunE: func(cmd *cobra.Command, args []string) error {
			req, _, err := request.build(s, cmd, args, "")
			if err != nil {
				return err
			}
			return s.plan(cmd.Context(), req)
		},
	}
	request.register(cmd)
	return cmd
}

func (s *session) plan(ctx context.Context, req transfer.Request) error {
	svc, err := s.service(ctx)
	if err != nil {
		return err
	}
	plan, err := svc.Plan(ctx, req)
	if err != nil {
		return err
	}
	if s.json {
		return s.printJSON(plan)
	}
	p := plan.Progress
	rows := [][]string{
		{"route", fmt.Sprintf("%s (%s)", plan.Route.Path, sentence(plan.Route.Reason))},
		{"to copy", fmt.Sprintf("%d files, %s%s", p.Files, transfer.FormatBytes(p.Bytes), counts(p))},
	}
	if len(plan.Deletes) > 0 {
		rows = append(rows, []string{"to delete", fmt.Sprintf("%d names", len(plan.Deletes))})
	}
	if plan.Segmented {
		rows = append(rows, []string{"segments", fmt.Sprintf("sorted by size in segments of %d files, not as a whole", transfer.SegmentLimit)})
	}
	if plan.Truncated {
		rows = append(rows, []string{"cut short", "there is more than is shown here"})
	}
	if plan.Description != "" {
		rows = append(rows, []string{"note", sentence(plan.Description)})
	}
	if err := table(s.Stdout, rows); err != nil {
		return err
	}
	if len(plan.Chunks) > 0 {
		fmt.Fprintln(s.Stdout)
		if err := s.printChunks(plan.Chunks); err != nil {
			return err
		}
	}
	return s.printLists(plan)
}

func (s *session) printLists(plan transfer.Plan) error {
	for _, list := range []struct {
		title string
		names []string
	}{{"Would be deleted:", plan.Deletes}, {"Would collide, and not be copied:", plan.Collisions}} {
		if len(list.names) == 0 {
			continue
		}
		if _, err := fmt.Fprintf(s.Stdout, "\n%s\n", list.title); err != nil {
			return err
		}
		for _, name := range list.names {
			if _, err := fmt.Fprintf(s.Stdout, "  %s\n", printable(name)); err != nil {
				return err
			}
		}
	}
	return nil
}

func (s *session) deleteCommand() *cobra.Command {
	var start startFlags
	var req transfer.DeleteRequest
	var deadline string
	cmd := &cobra.Command{
		Use:   "delete [flags] LOCATION...",
		Short: "Start a task that deletes files and directories",
		Long: `Start a task that deletes names at one endpoint. Symbolic links are deleted,
not what they point at. There is no way back.`,
		Example: `  gridferry delete gsiftp://a.example.org/data/old.h5
  gridferry delete -r lab#dtn:/scratch/run7 lab#dtn:/scratch/run8 --wait`,
		Args: cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := start.check(); err != nil {
				return err
			}
			req.Paths, req.Owner = args, s.Owner
			now := s.Now()
			if deadline != "" {
				t, err := parseDeadline(deadline, now)
				if err != nil {
					return err
				}
				req.Deadline = t
			}
			if err := req.Validate(now); err != nil {
				return err
			}
			svc, err := s.service(cmd.Context())
			if err != nil {
				return err
			}
			id, err := svc.SubmitDelete(cmd.Context(), s.choose(start.id), req)
			if err != nil {
				return err
			}
			return s.started(cmd.Context(), id, &start)
		},
	}
	flags := cmd.Flags()
	flags.SortFlags = false
	flags.BoolVarP(&req.Recursive, "recursive", "r", false, "delete directories and all that is in them")
	flags.BoolVar(&req.IgnoreMissing, "ignore-missing", false, "what is not there counts as deleted")
	flags.StringVar(&req.Label, "label", "", "one line that says what this is")
	flags.StringVar(&deadline, "deadline", "", "give up after this long (36h, 7d) or at this `TIME` (default 7d)")
	flags.StringVar(&req.Credential, "credential", "", "`ID` of the credential for the endpoint")
	flags.StringVar(&req.Notify, "notify", "", "whom to tell of what: `ADDRESS`, kinds (succeeded, failed, inactive, expiring, waiting), or off")
	start.register(cmd)
	return cmd
}
