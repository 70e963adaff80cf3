package posix

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/gridferry/gridferry/endpoints"
	"github.com/gridferry/gridferry/fault"
)

// Archive is a Storage whose files may be on tape, as a site's own command
// knows. The command is run with one argument, "request", "poll" or "release",
// and the files' paths on its standard input, each ended by a NUL. To request
// and poll it answers a line for each file, in their order:
//
//	online            it can be read
//	coming            it was asked for
//	offline           it has to be asked for (to poll alone)
//	refused WHY       it will not come
//
// and exits with 0. Any other status is of the whole call, which is made again:
// the first line on its standard error is told. It may be asked for the same
// file at any time, by several processes at once.
type Archive struct {
	*Storage
	command string // absolute path
	root    string // of the host, that the storage serves
	timeout time.Duration
}

var _ endpoints.Stager = (*Archive)(nil)

const (
	// stageTimeout bounds one run of the command.
	stageTimeout = 5 * time.Minute

	// stageLine bounds what the command may say of a file, in bytes, and
	// stageWords what it may say on its standard error.
	stageLine  = 1 << 10
	stageWords = 4 << 10
)

// NewArchive serves s, which serves the directory root, with a site's command.
func NewArchive(s *Storage, command, root string) *Archive {
	return &Archive{Storage: s, command: command, root: root, timeout: stageTimeout}
}

// Stat implements endpoints.Storage. The command is asked of every file that
// has bytes: what the kernel tells of blocks is no proof.
func (a *Archive) Stat(ctx context.Context, p string) (endpoints.Entry, error) {
	e, err := a.Storage.Stat(ctx, p)
	e.Offline = e.Type == endpoints.File && e.Size > 0
	return e, err
}

// List implements endpoints.Storage.
func (a *Archive) List(ctx context.Context, p string, page func([]endpoints.Entry) error) error {
	return a.Storage.List(ctx, p, func(entries []endpoints.Entry) error {
		for i := range entries {
			entries[i].Offline = entries[i].Type == endpoints.File && entries[i].Size > 0
		}
		return page(entries)
	})
}

// StageLimit implements endpoints.Stager.
func (a *Archive) StageLimit() int { return 10_000 }

// StageRequest implements endpoints.Stager.
func (a *Archive) StageRequest(ctx context.Context, paths []string) ([]endpoints.Staged, error) {
	return a.stage(ctx, "request", paths)
}

// StagePoll implements endpoints.Stager.
func (a *Archive) StagePoll(ctx context.Context, paths []string) ([]endpoints.Staged, error) {
	return a.stage(ctx, "poll", paths)
}

// StageRelease implements endpoints.Stager.
func (a *Archive) StageRelease(ctx context.Context, paths []string) error {
	_, err := a.run(ctx, "release", paths)
	return err
}

func (a *Archive) stage(ctx context.Context, verb string, paths []string) ([]endpoints.Staged, error) {
	answer, err := a.run(ctx, verb, paths)
	if err != nil {
		return nil, err
	}
	lines := strings.Split(strings.TrimSuffix(string(answer), "\n"), "\n")
	if len(lines) != len(paths) {
		return nil, fault.New(fault.Internal, verb+" files of", a.command, fmt.Sprintf("it answers %d lines to %d paths", len(lines), len(paths)))
	}
	out := make([]endpoints.Staged, len(paths))
	for i, line := range lines {
		word, why, _ := strings.Cut(line, " ")
		switch st := endpoints.StageState(word); {
		case st == endpoints.StageOnline, st == endpoints.StageComing, st == endpoints.StageOffline && verb == "poll":
			out[i].State = st
		case st == endpoints.StageRefused:
			out[i] = endpoints.Staged{State: st, Err: fault.New(fault.Unsupported, "bring online", paths[i], "the archive refuses it: "+why)}
		default:
			return nil, fault.New(fault.Internal, verb+" files of", a.command, fmt.Sprintf("%q is no answer", line))
		}
	}
	return out, nil
}

// run runs the command. Its error is Transient: it is run again.
func (a *Archive) run(ctx context.Context, verb string, paths []string) ([]byte, error) {
	op := verb + " files of"
	if err := a.live(ctx, op, a.root); err != nil {
		return nil, err
	}
	var in bytes.Buffer
	for _, p := range paths {
		if err := endpoints.CheckPath(op, p); err != nil {
			return nil, err
		}
		in.WriteString(filepath.Join(a.root, p) + "\x00")
	}
	run, cancel := context.WithTimeout(ctx, a.timeout)
	defer cancel()
	out, words := &bounded{left: (len(paths) + 1) * stageLine}, &bounded{left: stageWords}
	cmd := exec.CommandContext(run, a.command, verb)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = &in, out, words
	cmd.Dir = "/"
	cmd.Env = []string{"PATH=/usr/local/bin:/usr/bin:/bin", "LC_ALL=C"} // nothing of this process's secrets
	cmd.WaitDelay = 5 * time.Second                                     // for children that keep its output open
	err := cmd.Run()
	first, _, _ := strings.Cut(strings.TrimSpace(words.String()), "\n")
	switch {
	case ctx.Err() != nil:
		return nil, fault.Wrap(fault.KindOf(ctx.Err()), op, a.root, ctx.Err())
	case run.Err() != nil:
		return nil, fault.New(fault.Transient, op, a.command, fmt.Sprintf("it did not end within %v", a.timeout))
	case out.over:
		return nil, fault.New(fault.Internal, op, a.command, "it answers more than a line for each path")
	case err != nil && first != "":
		return nil, fault.Wrap(fault.Transient, op, a.command, fmt.Errorf("%w: %s", err, first))
	case errors.Is(err, exec.ErrWaitDelay):
	case err != nil:
		return nil, fault.Wrap(fault.Transient, op, a.command, err)
	}
	return out.Bytes(), nil
}

// bounded keeps so many bytes, and forgets the rest.
type bounded struct {
	bytes.Buffer
	left int
	over bool
}

var _ io.Writer = (*bounded)(nil)

func (b *bounded) Write(p []byte) (int, error) {
	keep := p[:min(len(p), b.left)]
	b.left -= len(keep)
	b.over = b.over || len(keep) < len(p)
	b.Buffer.Write(keep)
	return len(p), nil
}

// ReadFrom has io.Copy use Write: the Buffer's own would keep everything.
func (b *bounded) ReadFrom(r io.Reader) (int64, error) {
	return io.Copy(struct{ io.Writer }{b}, r)
}
