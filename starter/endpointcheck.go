package starter

import (
	"context"
	"errors"
	"fmt"
	"path"
	"strings"

	"github.com/spf13/cobra"

	"github.com/gridferry/gridferry/fault"
	"github.com/gridferry/gridferry/transfer"
)

func (s *session) checkCommand() *cobra.Command {
	var write, period, size, credential string
	cmd := &cobra.Command{
		Use:   "check NAME|LOCATION",
		Short: "Say what an endpoint can and cannot do, how fast, and what that means",
		Long: `Log in to an endpoint from a worker, as a task of yours would, and look: at a
folder (of a name alone, the default directory, else the root), and at files that are there, of
which some are read. Nothing is written, and what would have to be is told as
the endpoint declares it.

With --write DIR everything is tried: in a new directory gridferry-check-... in
DIR, which is removed whatever happens. Nothing that was there is touched.

Speeds are those between the worker and the endpoint, and of files that have
just been written perhaps those of the server's memory. Limits of the endpoint
on sessions and bytes hold here, too.`,
		Example: `  gridferry endpoint check lab#dtn
  gridferry endpoint check lab#dtn:/data/run7
  gridferry endpoint check lab#store --write /scratch --time 1m --bytes 2GiB
  gridferry endpoint check lab#dtn --json | jq '.findings[] | select(.outcome == "broken")'`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			location, err := checkArg(args[0])
			if err != nil {
				return err
			}
			at, loc, err := s.place("location", location, credential)
			if err != nil {
				return err
			}
			req, err := checkRequest(loc, write, period, size)
			if err != nil {
				return err
			}
			if req.Write != "" && location != args[0] { // a name alone: its DIR is what is looked at
				at.Location = loc.At(req.Write).String()
			}
			svc, err := s.service(cmd.Context())
			if err != nil {
				return err
			}
			return s.check(cmd.Context(), svc, at, req)
		},
	}
	f := cmd.Flags()
	f.SortFlags = false
	f.StringVar(&write, "write", "", "try everything, in a new directory in `DIR`: a path, or a location at the endpoint")
	f.StringVar(&period, "time", "20s", "measure speeds no longer than this `DURATION`, 3m at most")
	f.StringVar(&size, "bytes", "256MiB", "and move no more than this `SIZE` for it, in each direction")
	credentialFlag(cmd, &credential)
	return cmd
}

// checkArg is a location, or that of the default directory of an endpoint that
// is named without a path.
func checkArg(text string) (string, error) {
	rest, bare := text, !strings.Contains(strings.TrimSuffix(text, ":"), ":")
	if _, after, ok := strings.Cut(text, "://"); ok {
		rest, bare = after, !strings.Contains(after, "/")
	}
	if !bare || rest == "" {
		return text, nil
	}
	endpoint, err := endpointArg(text)
	if err != nil {
		return "", err
	}
	return transfer.Location{Endpoint: endpoint, Path: "/~", Dir: true}.String(), nil
}

func checkRequest(at transfer.Location, write, period, size string) (transfer.CheckRequest, error) {
	var req transfer.CheckRequest
	d, err := transfer.ParseDuration(period)
	if err != nil {
		return req, invalid("time", err.Error(), "")
	}
	if req.Time = transfer.Duration(d); d <= 0 {
		return req, invalid("time", "is "+period, "give 1s or more")
	}
	if req.Bytes, err = transfer.ParseSize(size); err != nil {
		return req, invalid("bytes", err.Error(), "")
	}
	switch {
	case write == "":
	case write == "~" || strings.HasPrefix(write, "~/"):
		req.Write = path.Clean("/" + write)
	case strings.HasPrefix(write, "/"):
		req.Write = path.Clean(write)
	default:
		loc, err := transfer.ParseLocation(write)
		if err != nil {
			return req, fmt.Errorf("write: %w", err)
		}
		if loc.Endpoint != at.Endpoint {
			return req, invalid("write", "is at "+loc.Endpoint, "give a directory at "+at.Endpoint)
		}
		req.Write = loc.Path
	}
	return req.Checked()
}

// endpointBroken says that something at an endpoint is not as it declares.
type endpointBroken struct{ names []string }

func (e *endpointBroken) Error() string {
	return "broken at this endpoint: " + strings.Join(e.names, ", ")
}

func (s *session) check(ctx context.Context, svc transfer.Service, at transfer.Place, req transfer.CheckRequest) error {
	line := &liveLine{s: s}
	found, err := svc.Check(ctx, at, req, func(what string) { line.show("checking: "+what, s.Now()) })
	line.clear()
	if err != nil {
		return err
	}
	if s.json {
		err = s.printJSON(found)
	} else {
		err = s.printCheckup(found)
	}
	switch {
	case err != nil:
		return err
	case found.Left != "":
		fmt.Fprintf(s.Stderr, "%s is left at the endpoint; remove it with \"gridferry delete -r\"\n", printable(found.Left))
	}
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case found.Fault != nil:
		return &fault.Error{Kind: found.Fault.Kind, Err: errors.New(found.Fault.Message)}
	}
	var broken []string
	for _, f := range found.Findings {
		if f.Outcome == transfer.Broken {
			broken = append(broken, f.Name)
		}
	}
	if len(broken) > 0 {
		return &endpointBroken{broken}
	}
	return nil
}

// printCheckup prints what was found, and below it what that means.
func (s *session) printCheckup(c transfer.Checkup) error {
	fmt.Fprintf(s.Stdout, "%s: %s", printable(c.Location), c.Kind)
	if c.Server != "" {
		fmt.Fprintf(s.Stdout, ", %s", sentence(c.Server))
	}
	fmt.Fprint(s.Stdout, "\n\n")
	if len(c.Says) > 0 {
		fmt.Fprint(s.Stdout, "The server says of itself:\n")
		for _, line := range c.Says {
			fmt.Fprintf(s.Stdout, "  %s\n", sentence(line))
		}
		fmt.Fprintln(s.Stdout)
	}
	rows := [][]string{{"LOOKED AT", "OUTCOME", "SEEN"}}
	for _, f := range c.Findings {
		rows = append(rows, []string{f.Name, strings.ToUpper(string(f.Outcome)), sentence(f.Seen)})
		if f.Outcome == transfer.Works {
			rows[len(rows)-1][1] = string(f.Outcome)
		}
	}
	if err := table(s.Stdout, rows); err != nil {
		return err
	}
	fmt.Fprint(s.Stdout, "\nFor transfers:\n")
	for _, f := range c.Findings {
		if f.Means != "" {
			fmt.Fprintf(s.Stdout, "  %s: %s\n", f.Name, sentence(f.Means))
		}
	}
	_, err := fmt.Fprintf(s.Stdout, "\n%d work, %d it cannot do, %d are broken, %d were not tried\n",
		c.Count(transfer.Works), c.Count(transfer.Cannot), c.Count(transfer.Broken), c.Count(transfer.NotTried))
	return err
}
