package starter

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/gridferry/gridferry/transfer"
)

func (s *session) waitCommand() *cobra.Command {
	var raw string
	cmd := &cobra.Command{
		Use:   "wait TASK",
		Short: "Wait until a task has ended, with live progress",
		Long: `Wait until a task has ended, and print its report. The exit code is 0 when it
has SUCCEEDED, 3 when it has FAILED, and 4 when --timeout passed before.`,
		Example: `  gridferry wait 3f2a9c1e-77b4-4d0a-9e55-0123456789ab
  gridferry wait --timeout 2h 3f2a9c1e-77b4-4d0a-9e55-0123456789ab || echo "exit code $?"`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			timeout, err := parseTimeout(raw)
			if err != nil {
				return err
			}
			if err := checkTaskID(args[0], false); err != nil {
				return err
			}
			return s.await(cmd.Context(), transfer.TaskID(args[0]), timeout)
		},
	}
	cmd.Flags().StringVar(&raw, "timeout", "", "wait no longer than this `DURATION` (90s, 2h); the task goes on")
	return cmd
}

func (s *session) pauseCommand() *cobra.Command {
	return s.controlCommand("pause", "Pause tasks: what is under way stops at a file's end or a marker, and is kept", transfer.Service.Pause)
}

func (s *session) resumeCommand() *cobra.Command {
	return s.controlCommand("resume", "Let paused tasks go on", transfer.Service.Resume)
}

func (s *session) cancelCommand() *cobra.Command {
	return s.controlCommand("cancel", "Cancel tasks: they clean up and end as FAILED", transfer.Service.Cancel)
}

// controlCommand is a command that does one thing to each of its tasks.
func (s *session) controlCommand(name, short string, do func(transfer.Service, context.Context, transfer.TaskID) error) *cobra.Command {
	return &cobra.Command{
		Use:     name + " TASK...",
		Short:   short,
		Example: fmt.Sprintf("  gridferry %s 3f2a9c1e-77b4-4d0a-9e55-0123456789ab", name),
		Args:    cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			for _, id := range args {
				if err := checkTaskID(id, false); err != nil {
					return err
				}
			}
			svc, err := s.service(cmd.Context())
			if err != nil {
				return err
			}
			for _, id := range args {
				if err := do(svc, cmd.Context(), transfer.TaskID(id)); err != nil {
					return err
				}
				if err := s.printDone(name, "task_id", id); err != nil {
					return err
				}
			}
			return nil
		},
	}
}

func (s *session) modifyCommand() *cobra.Command {
	var label, deadline, tuning string
	cmd := &cobra.Command{
		Use:   "modify TASK",
		Short: "Change the label, deadline or tuning of a task that runs",
		Example: `  gridferry modify 3f2a9c1e-77b4-4d0a-9e55-0123456789ab --deadline 48h
  gridferry modify 3f2a9c1e-77b4-4d0a-9e55-0123456789ab --tuning classic,pp=50 --label "run 7, again"`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			now := s.Now()
			var change transfer.Change
			if cmd.Flags().Changed("label") {
				change.Label = &label
			}
			if cmd.Flags().Changed("deadline") {
				t, err := parseDeadline(deadline, now)
				if err != nil {
					return err
				}
				change.Deadline = &t
			}
			if cmd.Flags().Changed("tuning") {
				policy, err := parsePolicy(tuning)
				if err != nil {
					return err
				}
				change.Tuning = &policy
			}
			if err := change.Validate(now); err != nil {
				return err
			}
			if err := checkTaskID(args[0], false); err != nil {
				return err
			}
			svc, err := s.service(cmd.Context())
			if err != nil {
				return err
			}
			if err := svc.Modify(cmd.Context(), transfer.TaskID(args[0]), change); err != nil {
				return err
			}
			return s.printDone("modify", "task_id", args[0])
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&label, "label", "", "one line that says what this is")
	flags.StringVar(&deadline, "deadline", "", "give up this long from now (36h, 7d), or at this `TIME`")
	flags.StringVar(&tuning, "tuning", "", "auto, classic, and fixed values: cc=FILES,p=SOCKETS,pp=REQUESTS; range=SIZE for files not yet found")
	return cmd
}
