package main

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/contrib/envconfig"
	"go.temporal.io/sdk/log"

	"github.com/gridferry/gridferry/config"
	"github.com/gridferry/gridferry/fault"
	"github.com/gridferry/gridferry/service"
	"github.com/gridferry/gridferry/workers"
)

// source is where the configuration comes from.
type source struct {
	path string
	set  []string
}

func (s *source) flags(f *pflag.FlagSet) {
	f.StringVarP(&s.path, "config", "c", "", "configuration `file` (default $GRIDFERRY_CONFIG, else /etc/gridferry/gridferryd.yaml and the user's)")
	f.StringArrayVar(&s.set, "set", nil, "`KEY=VALUE` that wins over the file, as log.level=debug; may be repeated")
}

// load reads and checks the configuration; more are values by key, from flags.
func (s *source) load(more map[string]string) (*config.Config, error) {
	set := make(map[string]string)
	for _, kv := range s.set {
		key, value, ok := strings.Cut(kv, "=")
		if !ok {
			return nil, fault.New(fault.Invalid, "read", "--set "+kv, "it is not KEY=VALUE")
		}
		set[key] = value
	}
	for key, value := range more {
		if value != "" {
			set[key] = value
		}
	}
	c, err := config.Load(config.Options{Path: s.path, Set: set})
	if err != nil {
		return nil, err
	}
	if problems := c.Check(workers.CheckRecord); len(problems) > 0 {
		return nil, fault.Wrap(fault.Invalid, "check configuration", "", problems)
	}
	return c, nil
}

func checkCommand(from *source) *cobra.Command {
	return &cobra.Command{
		Use: "check-config", Short: "Say what is wrong with the configuration", Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			if _, err := from.load(nil); err != nil {
				return err
			}
			fmt.Fprintln(c.OutOrStdout(), "the configuration is good")
			return nil
		},
	}
}

func setupCommand(from *source) *cobra.Command {
	return &cobra.Command{
		Use:   "setup-namespace",
		Short: "Register the search attributes in the Temporal namespace",
		Long: `Registers the search attributes that make transfers easy to find in Temporal.
It needs operator rights, and is the only command that does: transfers run
without, and a namespace that lacks the attributes keeps the same in memos.`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			cfg, err := from.load(nil)
			if err != nil {
				return err
			}
			tc, namespace, err := dial(c.Context(), cfg, slog.New(slog.DiscardHandler), client.MetricsNopHandler)
			if err != nil {
				return err
			}
			defer tc.Close()
			added, err := service.SetupNamespace(c.Context(), tc, namespace)
			if err != nil {
				return err
			}
			if len(added) == 0 {
				fmt.Fprintf(c.OutOrStdout(), "namespace %s has all search attributes\n", namespace)
				return nil
			}
			fmt.Fprintf(c.OutOrStdout(), "namespace %s now has the search attributes %s\n", namespace, strings.Join(added, ", "))
			return nil
		},
	}
}

// dialTimeout is how long the Temporal server may take to answer at first.
const dialTimeout = 30 * time.Second

// dial connects to Temporal, as its own configuration says where ours does not.
func dial(ctx context.Context, c *config.Config, logger *slog.Logger, metrics client.MetricsHandler) (client.Client, string, error) {
	options, err := envconfig.LoadClientOptions(envconfig.LoadClientOptionsRequest{
		ConfigFileProfile: c.Temporal.Profile, ConfigFilePath: c.Temporal.ConfigFile,
	})
	if err != nil {
		return nil, "", &fault.Error{Kind: fault.Invalid, Op: "read Temporal's configuration", Err: err, Hint: "look at TEMPORAL_CONFIG_FILE and the other TEMPORAL_ variables"}
	}
	if c.Temporal.Address != "" {
		options.HostPort = c.Temporal.Address
	}
	if c.Temporal.Namespace != "" {
		options.Namespace = c.Temporal.Namespace
	}
	if options.HostPort == "" {
		options.HostPort = client.DefaultHostPort
	}
	if options.Namespace == "" {
		options.Namespace = client.DefaultNamespace
	}
	options.Logger, options.MetricsHandler = log.NewStructuredLogger(logger), metrics
	ctx, cancel := context.WithTimeout(ctx, dialTimeout)
	defer cancel()
	for {
		tc, err := client.DialContext(ctx, options)
		if err == nil {
			return tc, options.Namespace, nil
		}
		// The daemon and the server start together on a rebooted host.
		logger.Warn("Temporal does not answer yet", "address", options.HostPort, "error", err)
		select {
		case <-ctx.Done():
			return nil, "", &fault.Error{Kind: fault.Transient, Op: "connect to Temporal at", Path: options.HostPort, Err: err, Hint: "set TEMPORAL_ADDRESS"}
		case <-time.After(time.Second):
		}
	}
}

// newLogger writes to standard error; its level can be changed while it is in use.
func newLogger(c config.Log) (*slog.Logger, *slog.LevelVar) {
	level := new(slog.LevelVar)
	setLevel(level, c.Level)
	options := &slog.HandlerOptions{Level: level}
	if c.Format == "json" {
		return slog.New(slog.NewJSONHandler(os.Stderr, options)), level
	}
	return slog.New(slog.NewTextHandler(os.Stderr, options)), level
}

// setLevel takes a level that the configuration's check let pass.
func setLevel(v *slog.LevelVar, name string) {
	var l slog.Level
	if l.UnmarshalText([]byte(name)) == nil {
		v.Set(l)
	}
}
