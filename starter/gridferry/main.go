// Command gridferry is the command line. It finds the service on the Temporal
// namespace that Temporal's own configuration names: the environment
// (TEMPORAL_ADDRESS, TEMPORAL_NAMESPACE, TEMPORAL_API_KEY, TEMPORAL_TLS_...)
// over the configuration file, and the flags over both.
package main

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"os/user"
	"runtime/debug"
	"syscall"
	"time"

	"github.com/google/uuid"
	"github.com/spf13/cobra"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/contrib/envconfig"
	"go.temporal.io/sdk/log"

	"github.com/gridferry/gridferry/fault"
	"github.com/gridferry/gridferry/service"
	"github.com/gridferry/gridferry/starter"
	"github.com/gridferry/gridferry/transfer"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	// A second signal ends the program at once.
	context.AfterFunc(ctx, stop)
	os.Exit(starter.Program{
		Version:     version(),
		Owner:       owner(),
		Connect:     connect,
		Credentials: credentials,
		Maintenance: maintenance,
		Secret:      secret(),
		Executable:  executable(),
		Serve:       serve,
		Host:        host(),
		Site:        []*cobra.Command{setupProgram().Command()},
		NewID:       func() transfer.TaskID { return transfer.TaskID(uuid.NewString()) },
		Now:         time.Now,
		Stdin:       os.Stdin,
		Stdout:      os.Stdout,
		Stderr:      os.Stderr,
		Terminal:    isTerminal(os.Stderr),
	}.Run(ctx, os.Args[1:]))
}

// connect opens the service behind a Temporal connection.
func connect(ctx context.Context, c starter.Connection) (transfer.Service, func(), error) {
	tc, namespace, err := dial(ctx, c)
	if err != nil {
		return nil, nil, err
	}
	return service.New(tc, service.Options{Namespace: namespace, Caller: owner()}), tc.Close, nil
}

// dial connects to Temporal, and says to which namespace.
func dial(ctx context.Context, c starter.Connection) (client.Client, string, error) {
	options, err := envconfig.LoadClientOptions(envconfig.LoadClientOptionsRequest{ConfigFileProfile: c.Profile})
	if err != nil {
		return nil, "", &fault.Error{Kind: fault.Invalid, Op: "read Temporal's configuration", Err: err, Hint: "look at TEMPORAL_CONFIG_FILE and the other TEMPORAL_ variables"}
	}
	if c.Address != "" {
		options.HostPort = c.Address
	}
	if c.Namespace != "" {
		options.Namespace = c.Namespace
	}
	if options.Namespace == "" {
		options.Namespace = client.DefaultNamespace
	}
	// What matters comes back as an error; the client's own notes are no
	// business of whoever typed the command.
	options.Logger = log.NewStructuredLogger(slog.New(slog.DiscardHandler))
	dialing, cancel := context.WithTimeout(ctx, dialTimeout)
	defer cancel()
	tc, err := client.DialContext(dialing, options)
	if err != nil {
		address := options.HostPort
		if address == "" {
			address = client.DefaultHostPort
		}
		return nil, "", &fault.Error{Kind: fault.Transient, Op: "connect to Temporal at", Path: address, Err: err, Hint: "give --address, or set TEMPORAL_ADDRESS"}
	}
	return tc, options.Namespace, nil
}

// dialTimeout is how long the Temporal server may take to answer at first.
const dialTimeout = 10 * time.Second

// owner is the user of the operating system.
func owner() string {
	if u, err := user.Current(); err == nil {
		return u.Username
	}
	return fmt.Sprint(os.Getuid()) // a container without /etc/passwd
}

// version is that of the module, or of the commit it was built from.
func version() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "unknown"
	}
	return info.Main.Version
}

// executable is empty where the system does not tell.
func executable() string {
	path, err := os.Executable()
	if err != nil {
		return ""
	}
	return path
}

func isTerminal(f *os.File) bool {
	info, err := f.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0 && os.Getenv("TERM") != "dumb"
}
