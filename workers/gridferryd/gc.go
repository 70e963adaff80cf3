package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/gridferry/gridferry/activities"
	"github.com/gridferry/gridferry/config"
	"github.com/gridferry/gridferry/fault"
	"github.com/gridferry/gridferry/service"
	"github.com/gridferry/gridferry/transfer"
)

func gcCommand(from *source) *cobra.Command {
	var dry, asJSON bool
	c := &cobra.Command{
		Use:   "gc",
		Short: "Remove what ended tasks left and is kept no longer",
		Long: `Removes manifests, ledgers, events, results and records of tasks that ended
longer ago than "retention" in the configuration says, then, where blobs.budget
is exceeded, what the oldest of the others left: manifests and ledgers first,
results last. Nothing of a task that has not ended goes. The daemon does the
same every 15 minutes; --dry-run says what it would do.`,
		Example: "  gridferryd gc --dry-run\n  gridferryd gc --json",
		Args:    cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			cfg, err := from.load(nil)
			if err != nil {
				return err
			}
			return collect(c.Context(), cfg, dry, asJSON, c.OutOrStdout(), c.ErrOrStderr())
		},
	}
	c.Flags().BoolVar(&dry, "dry-run", false, "say what would be removed, how much that frees and why, and remove nothing")
	c.Flags().BoolVar(&asJSON, "json", false, "write JSON")
	return c
}

// retention is what the configuration says of keeping.
func retention(c *config.Config) activities.Retention {
	r := c.Retention
	return activities.Retention{
		Manifests: time.Duration(r.Manifests), Ledgers: time.Duration(r.Ledgers), Results: time.Duration(r.Results),
		Events: time.Duration(r.Events), Records: time.Duration(r.Records), Budget: int64(c.Blobs.Budget),
	}
}

// askTemporal is how long gc waits for Temporal, without which it can do most
// of what there is to do.
const askTemporal = 3 * time.Second

// collection is what gc writes as JSON.
type collection struct {
	DryRun  bool                 `json:"dry_run"`
	Removed []activities.Discard `json:"removed"`
	Budget  int64                `json:"budget_bytes,omitempty"`
	activities.Collected
}

func collect(ctx context.Context, c *config.Config, dry, asJSON bool, out, errs io.Writer) error {
	if c.Service.URL != "" {
		return &fault.Error{Kind: fault.Unsupported, Op: "collect", Path: "what tasks left", Hint: "run it where the store is: on " + c.Service.URL}
	}
	logger, _ := newLogger(c.Log)
	state, err := openState(ctx, c, false, logger)
	if err != nil {
		return err
	}
	defer state.kept.Close()
	control := &activities.Control{Blobs: state.blobs, Records: state.kept, Retention: retention(c)}
	dctx, cancel := context.WithTimeout(ctx, askTemporal)
	defer cancel()
	if tc, namespace, err := dial(dctx, c, logger, nil); err != nil {
		fmt.Fprintln(errs, "Temporal cannot be asked, so what nobody knows is kept:", err)
	} else {
		defer tc.Close()
		control.Executions = service.NewNamespace(tc, namespace)
	}
	said := collection{DryRun: dry, Removed: []activities.Discard{}, Budget: int64(c.Blobs.Budget)}
	rows := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	if !asJSON {
		fmt.Fprintln(rows, "TASK\tWHAT\tBLOBS\tSIZE\tENDED\tWHY")
	}
	said.Collected, err = control.Collect(ctx, dry, func(d activities.Discard) error {
		if asJSON {
			said.Removed = append(said.Removed, d)
			return nil
		}
		_, err := fmt.Fprintf(rows, "%s\t%s\t%d\t%s\t%s\t%s\n", d.Task, d.Part, d.Blobs, transfer.FormatBytes(d.Bytes), d.Ended.Local().Format("2006-01-02 15:04"), d.Why)
		return err
	})
	if err != nil {
		return err
	}
	if asJSON {
		e := json.NewEncoder(out)
		e.SetIndent("", "  ")
		return e.Encode(said)
	}
	if said.Blobs > 0 {
		if err := rows.Flush(); err != nil {
			return err
		}
	}
	verb := "removed"
	if dry {
		verb = "would be removed"
	}
	_, err = fmt.Fprintf(out, "%d blobs of %s %s, of the %s that are held; and the records of %d tasks.\n",
		said.Blobs, transfer.FormatBytes(said.Bytes), verb, transfer.FormatBytes(said.Held), said.Records)
	return err
}
