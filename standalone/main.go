// The command gridferry-standalone is for a first look at gridferry, and for
// its tests: it runs in one process what a site runs apart.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"
)

const usage = `usage: gridferry-standalone COMMAND [flags]

  demo       a whole site: moves a tree between two GridFTP servers and compares it
  temporal   a Temporal server and its Web UI, on one SQLite file or in memory

Each command explains its flags with -h.
`

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	err := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	switch {
	case errors.Is(err, flag.ErrHelp):
	case err != nil:
		fmt.Fprintln(os.Stderr, "gridferry-standalone:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	if len(args) == 0 {
		fmt.Fprint(stderr, usage)
		return errors.New("no command given")
	}
	switch command, args := args[0], args[1:]; command {
	case "demo":
		return showDemo(ctx, args, stdout, stderr)
	case "temporal":
		return serveTemporal(ctx, args, stdout, stderr)
	case "help", "-h", "--help":
		fmt.Fprint(stdout, usage)
		return nil
	default:
		fmt.Fprint(stderr, usage)
		return fmt.Errorf("there is no command %q", command)
	}
}

// announce prints v as one line of JSON, for the program that started this one
// and waits until it is ready.
func announce(w io.Writer, v any) error {
	return json.NewEncoder(w).Encode(v)
}
