package starter

import (
	"context"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/gridferry/gridferry/endpoints"
	"github.com/gridferry/gridferry/fault"
	"github.com/gridferry/gridferry/transfer"
)

// maintenance asks the daemon's door.
func (s *session) maintenance(ctx context.Context, do func(transfer.Maintenance) error) error {
	if s.Maintenance == nil {
		return fault.New(fault.Unsupported, "ask for", "maintenance", "this program has no way to the daemon")
	}
	m, done, err := s.Maintenance(ctx, s.conn)
	if err != nil {
		return err
	}
	defer done()
	return do(m)
}

func (s *session) drainCommand() *cobra.Command {
	var reason string
	var off bool
	cmd := &cobra.Command{
		Use:   "drain [NAME|SERVER]",
		Short: "Take an endpoint or a server out of use for maintenance",
		Long: `Nothing new is begun at what is drained. What is under way ends at its next
file: copies go on at the endpoint's other servers, and where there is none, tasks
wait until it is back, and say so. All workers hear of it within ten seconds.

NAME is an endpoint's. SERVER is HOST or HOST:PORT, or a URL of them: it is
drained in whatever endpoint it is. Without either, the command shows what is
drained, and which servers do not answer.

It is for operators: the superuser of the daemon's host, the user whom the daemon
runs as, and whom api.operators lists.`,
		Example: `  gridferry endpoint drain lab#dtn --reason "a new disk, until noon"
  gridferry endpoint drain dtn2.example.org:2811
  gridferry endpoint drain
  gridferry endpoint undrain lab#dtn`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			switch {
			case len(args) == 0:
				return s.showCondition(cmd.Context())
			case off:
				return s.undrain(cmd.Context(), args)
			}
			return s.maintenance(cmd.Context(), func(m transfer.Maintenance) error {
				d, err := m.Drain(cmd.Context(), drainArg(args[0]), reason)
				if err != nil {
					return err
				}
				if s.json {
					return s.printJSON(d)
				}
				_, err = fmt.Fprintf(s.Stdout, "%s is out of use since %s\n", printable(d.Name), formatTime(d.Since))
				return err
			})
		},
	}
	cmd.Flags().StringVar(&reason, "reason", "", "`TEXT` that waiting tasks show")
	cmd.Flags().BoolVar(&off, "off", false, "take it back into use, as undrain does")
	return cmd
}

func (s *session) undrainCommand() *cobra.Command {
	return &cobra.Command{
		Use:     "undrain NAME|SERVER...",
		Short:   "Take drained endpoints and servers back into use",
		Example: "  gridferry endpoint undrain lab#dtn",
		Args:    cobra.MinimumNArgs(1),
		RunE:    func(cmd *cobra.Command, args []string) error { return s.undrain(cmd.Context(), args) },
	}
}

func (s *session) undrain(ctx context.Context, names []string) error {
	return s.maintenance(ctx, func(m transfer.Maintenance) error {
		for _, name := range names {
			if err := m.Undrain(ctx, drainArg(name)); err != nil {
				return err
			}
			if err := s.printDone("undrain", "name", name); err != nil {
				return err
			}
		}
		return nil
	})
}

// drainArg is a name as it is written, without the slash that URLs have behind
// their host.
func drainArg(text string) string {
	if scheme, rest, ok := strings.Cut(text, "://"); ok {
		return scheme + "://" + strings.TrimSuffix(rest, "/")
	}
	return strings.TrimSuffix(text, ":")
}

func (s *session) showCondition(ctx context.Context) error {
	return s.maintenance(ctx, func(m transfer.Maintenance) error {
		c, err := m.Condition(ctx)
		if err != nil {
			return err
		}
		if s.json {
			return s.printJSON(c)
		}
		return s.printCondition(c)
	})
}

// alsoCondition adds to a status what is out of use. A daemon of before
// maintenance has nothing to say of it.
func (s *session) alsoCondition(ctx context.Context) error {
	if s.Maintenance == nil || s.json {
		return nil
	}
	return s.maintenance(ctx, func(m transfer.Maintenance) error {
		c, err := m.Condition(ctx)
		if err != nil || len(c.Drains)+len(c.Down) == 0 {
			return nil
		}
		fmt.Fprintln(s.Stdout)
		return s.printCondition(c)
	})
}

func (s *session) printCondition(c endpoints.Condition) error {
	rows := [][]string{{"OUT OF USE", "SINCE", "BY", "WHY"}}
	for _, d := range c.Drains {
		rows = append(rows, []string{printable(d.Name), formatTime(d.Since), printable(d.By), printable("drained" + colon(d.Reason))})
	}
	for _, d := range c.Down {
		rows = append(rows, []string{printable(d.Server), formatTime(d.Since), printable(d.By), printable("does not answer" + colon(d.Why))})
	}
	return table(s.Stdout, rows)
}

func colon(text string) string {
	if text == "" {
		return ""
	}
	return ": " + text
}
