package starter

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/gridferry/gridferry/transfer"
)

func (s *session) identityCommand() *cobra.Command {
	return s.family(&cobra.Command{
		Use:   "identity",
		Short: "Keep the names under which you are known",
		Long: `The names under which you are known somewhere: accounts at MyProxy servers,
holders of certificates, keys. Only the names are kept, never a password or a
key. An account at a MyProxy server is kept when an endpoint is activated with
it, and offered the next time.`,
		Example: `  gridferry identity add myproxy adal --server myproxy.example.org
  gridferry identity list`,
	}, s.addIdentityCommand(), s.identitiesCommand(), s.removeIdentityCommand())
}

func (s *session) addIdentityCommand() *cobra.Command {
	var server string
	cmd := &cobra.Command{
		Use:   "add KIND NAME",
		Short: "Keep a name",
		Long: `Keep a name under which you are known. KIND and NAME are

  myproxy  a user name at the MyProxy server --server
  proxy    the DN of a certificate of which you upload proxies
  x509     the DN of a certificate whose key you keep
  oidc     a subject at the OpenID provider --server
  ssh      the fingerprint of a key, as ssh-keygen -l shows it
  s3       an access key id at --server

and never the secret that goes with it.`,
		Example: `  gridferry identity add myproxy adal --server myproxy.example.org
  gridferry identity add x509 "/DC=org/DC=example/CN=Ada Lovelace"
  gridferry identity add ssh SHA256:47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU`,
		Args: cobra.ExactArgs(2),
		RunE: func(cmd *cobra.Command, args []string) error {
			creds, err := s.credentials(cmd.Context())
			if err != nil {
				return err
			}
			id, err := creds.AddIdentity(cmd.Context(), transfer.Identity{Kind: transfer.IdentityKind(args[0]), Name: args[1], Server: server})
			if err != nil {
				return err
			}
			if s.json {
				return s.printJSON(id)
			}
			_, err = fmt.Fprintln(s.Stdout, id.ID)
			return err
		},
	}
	cmd.Flags().StringVar(&server, "server", "", "where the name is known: `HOST[:PORT]`, or a web address")
	return cmd
}

func (s *session) identitiesCommand() *cobra.Command {
	return &cobra.Command{
		Use:     "list",
		Short:   "List your names",
		Example: "  gridferry identity list --json",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			creds, err := s.credentials(cmd.Context())
			if err != nil {
				return err
			}
			found, err := creds.Identities(cmd.Context(), "")
			if err != nil {
				return err
			}
			if s.json {
				return s.printJSON(found)
			}
			rows := [][]string{{"ID", "KIND", "NAME", "SERVER"}}
			for _, id := range found {
				rows = append(rows, []string{printable(id.ID), printable(string(id.Kind)), printable(id.Name), printable(id.Server)})
			}
			return table(s.Stdout, rows)
		},
	}
}

func (s *session) removeIdentityCommand() *cobra.Command {
	return &cobra.Command{
		Use:     "remove ID...",
		Short:   "Forget names",
		Example: "  gridferry identity remove k3vq7m2a",
		Args:    cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			creds, err := s.credentials(cmd.Context())
			if err != nil {
				return err
			}
			for _, id := range args {
				if err := creds.RemoveIdentity(cmd.Context(), "", id); err != nil {
					return err
				}
			}
			return nil
		},
	}
}
