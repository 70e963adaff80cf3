package main

import (
	"errors"
	"fmt"
	"log/slog"

	"github.com/spf13/cobra"

	"github.com/gridferry/gridferry/config"
	"github.com/gridferry/gridferry/fault"
	"github.com/gridferry/gridferry/service/vault"
)

func vaultCommand(from *source) *cobra.Command {
	c := &cobra.Command{
		Use:   "vault",
		Short: "Make and rotate the keys that seal credentials",
		Long: `Credentials are kept sealed, with a keyset in the form of Google's Tink: in the
file vault.keyset_file, or in the environment variable that vault.keyset_env
names; in the clear, or wrapped by the key of AWS KMS that vault.kms_key names.
Without its keyset the store opens no credential: keep a copy, apart from
copies of the store.`,
	}
	c.AddCommand(vaultInitCommand(from), vaultRotateCommand(from))
	return c
}

func vaultInitCommand(from *source) *cobra.Command {
	var file string
	c := &cobra.Command{
		Use:   "init",
		Short: "Make the first keyset",
		Long: `Makes the first keyset, in a file that its owner alone may read. A daemon whose
store is a file makes its own when it starts first; hosts that share a store in
PostgreSQL must all be given the same. Content for an environment variable is
made with --file.`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			cfg, err := from.load(nil)
			if err != nil {
				return err
			}
			where := config.Vault{KeysetFile: file, KMSKey: cfg.Vault.KMSKey}
			if file == "" {
				where = cfg.Vault
			}
			_, keys, err := openKeys(where)
			if err != nil {
				return err
			}
			if keys == nil {
				return inEnvironment("make", where, "name a file with --file, and put its content into the variable")
			}
			if err := keys.Create(c.Context()); err != nil {
				return err
			}
			fmt.Fprintf(c.OutOrStdout(), "made %s: keep a copy, apart from those of the store\n", where.KeysetFile)
			return nil
		},
	}
	c.Flags().StringVar(&file, "file", "", "`file` to write (default: vault.keyset_file)")
	return c
}

func vaultRotateCommand(from *source) *cobra.Command {
	var reseal bool
	c := &cobra.Command{
		Use:   "rotate",
		Short: "Seal all credentials with a new key",
		Long: `Adds a key to the keyset, which seals from now on, and seals again with it what
other keys have sealed. Daemons need no restart. The earlier keys stay in the
keyset.

Where hosts have copies of the keyset, tasks there wait for credentials that
are sealed with the new key until they are given the new copy. A keyset in the
environment is changed by whoever puts it there (Tink's tinkey does it);
--reseal does the rest.`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			cfg, err := from.load(nil)
			if err != nil {
				return err
			}
			keys, file, err := openKeys(cfg.Vault)
			if err != nil {
				return err
			}
			if file == nil && !reseal {
				return inEnvironment("add a key to", cfg.Vault, "add it there, and use --reseal")
			}
			// The store first: a key that is added is to be used.
			kept, err := openStore(c.Context(), cfg, false, slog.New(slog.DiscardHandler))
			if err != nil {
				return err
			}
			defer kept.Close()
			if !reseal {
				id, err := file.AddKey(c.Context())
				if err != nil {
					return err
				}
				fmt.Fprintf(c.OutOrStdout(), "key %s seals from now on\n", id)
			}
			n, err := vault.New(kept, keys).Rotate(c.Context())
			fmt.Fprintf(c.OutOrStdout(), "%d credentials were sealed again\n", n)
			return err
		},
	}
	c.Flags().BoolVar(&reseal, "reseal", false, "add no key; seal again what other keys than the newest have sealed")
	return c
}

// inEnvironment is the refusal to change a keyset that this program cannot.
func inEnvironment(op string, v config.Vault, hint string) error {
	return &fault.Error{Kind: fault.Unsupported, Op: op, Path: "keyset",
		Err: errors.New("it is in the environment variable " + v.KeysetEnv), Hint: hint}
}
