package starter

import (
	"context"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/gridferry/gridferry/endpoints"
	"github.com/gridferry/gridferry/transfer"
)

// place makes a Place of an argument, refusing what is no location.
func (s *session) place(field, location, credential string) (transfer.Place, transfer.Location, error) {
	loc, err := transfer.ParseLocation(location)
	if err != nil {
		return transfer.Place{}, loc, fmt.Errorf("%s: %w", field, err)
	}
	if loc.Endpoint == transfer.Here {
		return transfer.Place{}, loc, invalid(field, "names no host, and the workers are elsewhere", "write file://HOST/path, for a host where a worker runs")
	}
	return transfer.Place{Location: location, Owner: s.Owner, Credential: credential}, loc, nil
}

// visit is a place that a command looks at or alters, and the service that does it.
func (s *session) visit(ctx context.Context, location, credential string) (transfer.Service, transfer.Place, error) {
	at, _, err := s.place("location", location, credential)
	if err != nil {
		return nil, at, err
	}
	svc, err := s.service(ctx)
	return svc, at, err
}

func credentialFlag(cmd *cobra.Command, id *string) {
	cmd.Flags().StringVar(id, "credential", "", "`ID` of the credential for the endpoint")
}

func (s *session) lsCommand() *cobra.Command {
	var credential string
	var long, all bool
	cmd := &cobra.Command{
		Use:   "ls LOCATION",
		Short: "List a directory",
		Example: `  gridferry ls gsiftp://a.example.org/data/
  gridferry ls -l lab#dtn:/~/`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			svc, at, err := s.visit(cmd.Context(), args[0], credential)
			if err != nil {
				return err
			}
			entries, err := pages(0, func(p transfer.Page) ([]endpoints.Entry, string, error) {
				l, err := svc.List(cmd.Context(), at, p)
				return l.Entries, l.Next, err
			})
			if err != nil {
				return err
			}
			shown := entries.items[:0]
			for _, e := range entries.items {
				if all || !strings.HasPrefix(e.Name, ".") {
					shown = append(shown, e)
				}
			}
			return s.printEntries(shown, long)
		},
	}
	cmd.Flags().BoolVarP(&long, "long", "l", false, "with type, mode, size in bytes and modification time")
	cmd.Flags().BoolVarP(&all, "all", "a", false, "with names that begin with a dot")
	credentialFlag(cmd, &credential)
	return cmd
}

func (s *session) printEntries(entries []endpoints.Entry, long bool) error {
	if s.json {
		list := make([]entryJSON, len(entries))
		for i, e := range entries {
			list[i] = toJSON(e)
		}
		return s.printJSON(map[string]any{"entries": list})
	}
	rows := make([][]string, len(entries))
	for i, e := range entries {
		rows[i] = describeEntry(e)
		if !long {
			rows[i] = rows[i][4:]
			if e.Type == endpoints.Link {
				rows[i][0] = printable(e.Name)
			}
		}
	}
	return table(s.Stdout, rows)
}

func (s *session) statCommand() *cobra.Command {
	var credential string
	cmd := &cobra.Command{
		Use:     "stat LOCATION",
		Short:   "Describe a file or directory",
		Example: "  gridferry stat gsiftp://a.example.org/data/x.h5",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			svc, at, err := s.visit(cmd.Context(), args[0], credential)
			if err != nil {
				return err
			}
			e, err := svc.Stat(cmd.Context(), at)
			if err != nil {
				return err
			}
			if s.json {
				return s.printJSON(toJSON(e))
			}
			return table(s.Stdout, [][]string{describeEntry(e)})
		},
	}
	credentialFlag(cmd, &credential)
	return cmd
}

func (s *session) mkdirCommand() *cobra.Command {
	var credential string
	cmd := &cobra.Command{
		Use:     "mkdir LOCATION",
		Short:   "Make a directory; its parent must exist",
		Example: "  gridferry mkdir gsiftp://a.example.org/data/run8",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			svc, at, err := s.visit(cmd.Context(), args[0], credential)
			if err != nil {
				return err
			}
			if err := svc.Mkdir(cmd.Context(), at); err != nil {
				return err
			}
			return s.printDone("mkdir", "location", args[0])
		},
	}
	credentialFlag(cmd, &credential)
	return cmd
}

func (s *session) renameCommand() *cobra.Command {
	var credential string
	cmd := &cobra.Command{
		Use:   "rename LOCATION NEW",
		Short: "Give a file or directory another name at the same endpoint",
		Long: `Give a file or directory another name. NEW is an absolute path at the same
endpoint, or a location there. A file that has the name already is replaced.`,
		Example: `  gridferry rename gsiftp://a.example.org/data/x.part /data/x.h5
  gridferry rename lab#dtn:/~/a lab#dtn:/~/b`,
		Args: cobra.ExactArgs(2),
		RunE: func(cmd *cobra.Command, args []string) error {
			at, from, err := s.place("location", args[0], credential)
			if err != nil {
				return err
			}
			text := args[1]
			if strings.HasPrefix(text, "/") {
				// A plain path is taken as it is, so it is spelt as a location first.
				text = transfer.Location{Endpoint: from.Endpoint, Path: text}.String()
			}
			_, to, err := s.place("new", text, credential)
			switch {
			case err != nil:
				return err
			case to.Endpoint != from.Endpoint:
				return invalid("new", fmt.Sprintf("is at %s, and the file at %s", to.Endpoint, from.Endpoint), "use transfer to move files between endpoints")
			case to.Path == from.Path:
				return invalid("new", "is the name it has", "give another one")
			}
			svc, err := s.service(cmd.Context())
			if err != nil {
				return err
			}
			if err := svc.Rename(cmd.Context(), at, to.Path); err != nil {
				return err
			}
			return s.printDone("rename", "location", args[0])
		},
	}
	credentialFlag(cmd, &credential)
	return cmd
}

// printDone confirms an action in JSON; for people, no news is good news.
func (s *session) printDone(action, field, value string) error {
	if !s.json {
		return nil
	}
	return s.printJSON(map[string]string{"action": action, field: value})
}
