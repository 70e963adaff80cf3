package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/gridferry/gridferry/standalone/demo"
)

// showDemo runs the demonstration.
func showDemo(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	var o demo.Options
	flags := flag.NewFlagSet("gridferry-standalone demo", flag.ContinueOnError)
	flags.SetOutput(stderr)
	flags.StringVar(&o.Bin, "bin", "", "`directory` of gridferryd and gridferry (default: this program's)")
	flags.StringVar(&o.Source, "src", "", "`directory` to move, which is only read (default: one is made)")
	flags.StringVar(&o.Destination, "dst", "", "`directory` to move it to (default: one that is removed at the end)")
	flags.BoolVar(&o.Keep, "keep", false, "stay up afterwards and print commands to try")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if flags.NArg() > 0 {
		return fmt.Errorf("unexpected argument %q", flags.Arg(0))
	}
	if o.Bin == "" {
		self, err := os.Executable()
		if err != nil {
			return err
		}
		o.Bin = filepath.Dir(self)
	}
	o.Stdout, o.Stderr = stdout, stderr
	if f, ok := stderr.(*os.File); ok {
		info, err := f.Stat()
		o.Terminal = err == nil && info.Mode()&os.ModeCharDevice != 0 && os.Getenv("TERM") != "dumb"
	}
	return demo.Run(ctx, o)
}
