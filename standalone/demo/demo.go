// Package demo shows gridferry on one machine, with nothing borrowed: a
// Temporal server, a worker, and two GridFTP servers with a throw-away
// authority between them. It moves a tree from one server to the other,
// compares every byte and prints what was done and why.
package demo

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/gridferry/gridferry/integration/tree"
	"github.com/gridferry/gridferry/starter"
	"github.com/gridferry/gridferry/transfer"
)

// Options say what to show, and where.
type Options struct {
	Bin string // directory of the programs gridferryd and gridferry

	// Source is a tree of the user's own, which is only read; empty makes one.
	Source string
	// Destination is where it goes; empty is a directory that is removed at
	// the end. What is there already stays.
	Destination string
	Keep        bool // stay up afterwards until ctx ends

	Stdout, Stderr io.Writer
	Terminal       bool // Stderr is one
}

// sample is the tree that is made when there is no other: some thousand files
// of all sizes, with names that careless software trips over.
func sample() tree.Spec {
	return tree.Spec{
		Seed: 1, Files: 3200, Bytes: 1 << 30,
		Large: []int64{256 << 20, 96 << 20, 64 << 20},
		Odd:   true, Deep: 24, Empties: 12,
	}
}

// ErrDiffers says that the destination is not what the source is.
var ErrDiffers = errors.New("the two trees differ")

// Run shows everything. It returns an error wrapping ErrDiffers when what
// arrived is not what was sent.
func Run(ctx context.Context, o Options) (err error) {
	d := &demo{Options: o}
	if d.work, err = os.MkdirTemp("", "gridferry-demo-"); err != nil {
		return err
	}
	if err := d.prepare(); err != nil {
		return errors.Join(err, os.RemoveAll(d.work)) // nothing ran yet that could explain itself
	}
	defer func() {
		if err != nil && ctx.Err() == nil {
			d.say("The logs of this run are in %s.", d.work)
			return
		}
		err = errors.Join(err, os.RemoveAll(d.work))
	}()
	site, err := d.startSite(ctx)
	if err != nil {
		return err
	}
	defer site.stop()
	return d.show(ctx, site)
}

type demo struct {
	Options
	work  string // holds everything that this run makes
	fresh bool   // the destination held nothing before
	files int
	bytes int64
}

func (d *demo) say(format string, args ...any) { fmt.Fprintf(d.Stdout, format+"\n", args...) }

// show is the demonstration itself.
func (d *demo) show(ctx context.Context, s *site) error {
	id := s.newID()
	d.say("\nMoving %d files, %s, third-party from one server to the other.", d.files, transfer.FormatBytes(d.bytes))
	d.say("Watch it in the Temporal Web UI: %s", s.taskURL(id))
	program := s.program(d, id)
	if code := program.Run(ctx, []string{"transfer", "--recursive", "--symlinks", "keep", "--label", "demonstration", "--wait", s.source.url("/"), s.dest.url("/")}); code != starter.ExitOK {
		return errors.Join(fmt.Errorf("the transfer ended with exit code %d", code), s.failure())
	}

	d.say("\nComparing every byte of %s with %s.", d.Source, d.Destination)
	begin := time.Now()
	equal, diffs, err := tree.Compare(d.Source, d.Destination)
	if err != nil {
		return err
	}
	if diffs = d.relevant(diffs); len(diffs) > 0 {
		for _, diff := range diffs[:min(len(diffs), 20)] {
			d.say("  %v", diff)
		}
		return fmt.Errorf("%w in %d places", ErrDiffers, len(diffs))
	}
	d.say("Equal: %s in %s.", transfer.FormatBytes(equal), transfer.FormatDuration(time.Since(begin)))

	d.say("\nThe task's report:\n")
	if code := program.Run(ctx, []string{"details", string(id)}); code != starter.ExitOK {
		return fmt.Errorf("the report ended with exit code %d", code)
	}
	notice, err := os.ReadFile(s.worker.out)
	if err != nil {
		return err
	}
	if len(notice) == 0 {
		return errors.New("the owner was told nothing of how the task ended")
	}
	d.say("\nWhat its owner is told, by mail where the site has a mail server:\n\n%s", bytes.TrimSpace(notice))
	d.say("\nTemporal Web UI: %s", s.taskURL(id))
	if !d.Keep {
		d.say("It ends with this command; KEEP=1 leaves everything up.")
		return nil
	}
	s.suggest(d, id)
	select {
	case <-ctx.Done():
		return nil
	case err := <-s.died:
		return err
	}
}

// relevant leaves out what a transfer is not meant to bring about: what was
// in the destination before, and devices, sockets and pipes of the source.
func (d *demo) relevant(diffs []tree.Difference) []tree.Difference {
	var left []tree.Difference
	for _, diff := range diffs {
		if diff.What == "stray" && !d.fresh {
			continue
		}
		info, err := os.Lstat(filepath.Join(d.Source, diff.Path))
		if err == nil && !info.Mode().IsRegular() && !info.IsDir() && info.Mode()&os.ModeSymlink == 0 {
			continue
		}
		left = append(left, diff)
	}
	return left
}

// prepare makes or measures the source, and makes sure that the destination
// can take it.
func (d *demo) prepare() error {
	if d.Source == "" {
		return d.makeSample()
	}
	var err error
	if d.Source, err = existingDir(d.Source); err != nil {
		return err
	}
	if d.Destination == "" {
		d.Destination = filepath.Join(d.work, "destination")
	}
	if d.Destination, err = filepath.Abs(d.Destination); err != nil {
		return err
	}
	if within(d.Destination, d.Source) || within(d.Source, d.Destination) {
		return fmt.Errorf("DST=%s and SRC=%s lie within one another: choose a destination beside the source", d.Destination, d.Source)
	}
	d.say("Counting %s.", d.Source)
	if d.files, d.bytes, err = count(d.Source); err != nil {
		return err
	}
	if err := d.makeDestination(); err != nil {
		return err
	}
	return needSpace(d.Destination, d.bytes)
}

func (d *demo) makeSample() error {
	spec := sample()
	if d.Destination != "" {
		var err error
		if d.Destination, err = filepath.Abs(d.Destination); err != nil {
			return err
		}
	} else {
		d.Destination = filepath.Join(d.work, "destination")
	}
	d.Source = filepath.Join(d.work, "source")
	if err := os.Mkdir(d.Source, 0o755); err != nil {
		return err
	}
	if err := d.makeDestination(); err != nil {
		return err
	}
	// Both may lie on one file system.
	if err := needSpace(d.work, 2*spec.Bytes); err != nil {
		return err
	}
	d.say("Making a tree of %d files, %s, in %s.", spec.Files, transfer.FormatBytes(spec.Bytes), d.Source)
	made, err := tree.Make(d.Source, spec, nil)
	d.files, d.bytes = made.Files, made.Bytes
	return err
}

func (d *demo) makeDestination() error {
	if err := os.MkdirAll(d.Destination, 0o755); err != nil {
		return err
	}
	entries, err := os.ReadDir(d.Destination)
	d.fresh = len(entries) == 0
	return err
}

func existingDir(path string) (string, error) {
	path, err := filepath.Abs(path)
	if err != nil {
		return "", err
	}
	info, err := os.Stat(path)
	if err != nil {
		return "", err
	}
	if !info.IsDir() {
		return "", fmt.Errorf("%s is not a directory", path)
	}
	return path, nil
}

func within(path, dir string) bool {
	rel, err := filepath.Rel(dir, path)
	return err == nil && rel != ".." && !strings.HasPrefix(rel, ".."+string(filepath.Separator))
}
