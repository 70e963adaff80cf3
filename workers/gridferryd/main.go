// Command gridferryd is gridferry's daemon: the workers that tell the stories
// of tasks and move the data, and a GridFTP server over this host's files. It
// finds Temporal where Temporal's own configuration says: the environment
// (TEMPORAL_ADDRESS, TEMPORAL_NAMESPACE, TEMPORAL_API_KEY, TEMPORAL_TLS_...)
// over its configuration file, and gridferryd's own over both.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"runtime/debug"
	"syscall"

	"github.com/spf13/cobra"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	// A second signal ends the program at once.
	context.AfterFunc(ctx, stop)
	if err := newCommand().ExecuteContext(ctx); err != nil {
		if !errors.Is(err, errTold) {
			fmt.Fprintln(os.Stderr, "gridferryd:", err)
		}
		stop()
		os.Exit(1)
	}
}

// errTold ends the program with an error that was printed already.
var errTold = errors.New("told")

func newCommand() *cobra.Command {
	root := &cobra.Command{
		Use:           "gridferryd",
		Short:         "Workers and servers of gridferry",
		SilenceUsage:  true,
		SilenceErrors: true,
	}
	var from source
	from.flags(root.PersistentFlags())
	root.AddCommand(
		runCommand(&from),
		gridftpCommand(&from),
		myproxyCommand(&from),
		checkCommand(&from),
		setupCommand(&from),
		vaultCommand(&from),
		gcCommand(&from),
		&cobra.Command{
			Use: "version", Short: "Print the version", Args: cobra.NoArgs,
			Run: func(c *cobra.Command, _ []string) { fmt.Fprintln(c.OutOrStdout(), "gridferryd", version()) },
		},
	)
	return root
}

// version is that of the module, or of the commit it was built from.
func version() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "unknown"
	}
	return info.Main.Version
}
