package starter

import (
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/gridferry/gridferry/fault"
	"github.com/gridferry/gridferry/transfer"
)

// The exit codes. Scripts depend on them: they are never changed.
const (
	ExitOK          = 0
	ExitFailure     = 1   // anything that has no code of its own
	ExitUsage       = 2   // the command line or the request is wrong; nothing was contacted
	ExitTaskFailed  = 3   // the task that was waited for has FAILED
	ExitWaitTimeout = 4   // --timeout passed before the task ended
	ExitNotFound    = 5   // no such task, path or endpoint
	ExitDenied      = 6   // permission, or a credential is missing or expired
	ExitUnavailable = 7   // the service or the endpoint cannot be reached or is busy; try again
	ExitExists      = 8   // the name is taken
	ExitInterrupted = 130 // by a signal
)

const exitCodesHelp = `What the exit code says:

    0  done; with --wait, and for "wait": the task has SUCCEEDED
    1  something failed that has no code of its own
    2  the command line or the request is wrong; nothing was contacted
    3  the task that was waited for has FAILED
    4  --timeout passed before the task ended; it goes on
    5  there is no such task, path or endpoint
    6  permission was refused, or a credential is missing or expired
    7  the service or the endpoint cannot be reached or is busy; try again
    8  the name is taken
  130  interrupted; tasks go on`

// ExitCode is where errors become exit codes.
func ExitCode(err error) int {
	switch {
	case err == nil:
		return ExitOK
	case errors.As(err, new(*usageError)):
		return ExitUsage
	case errors.As(err, new(*taskEnded)):
		return ExitTaskFailed
	case errors.As(err, new(*waitTimedOut)):
		return ExitWaitTimeout
	}
	switch fault.KindOf(err) {
	case fault.Invalid:
		return ExitUsage
	case fault.NotFound:
		return ExitNotFound
	case fault.Permission, fault.Credential:
		return ExitDenied
	case fault.Transient, fault.Busy:
		return ExitUnavailable
	case fault.Exists:
		return ExitExists
	case fault.Canceled:
		return ExitInterrupted
	}
	return ExitFailure
}

// usageError is a command line that was not understood.
type usageError struct{ err error }

func (e *usageError) Error() string { return e.err.Error() }
func (e *usageError) Unwrap() error { return e.err }

// taskEnded says that a task that was waited for has FAILED.
type taskEnded struct{ id transfer.TaskID }

func (e *taskEnded) Error() string { return fmt.Sprintf("task %s has FAILED", e.id) }

// waitTimedOut says that a task has not ended in time.
type waitTimedOut struct {
	id    transfer.TaskID
	after time.Duration
}

func (e *waitTimedOut) Error() string {
	return fmt.Sprintf("task %s has not ended after %s; it goes on", e.id, transfer.FormatDuration(e.after))
}

// helpTopics are commands that do nothing but explain.
func helpTopics() []*cobra.Command {
	return []*cobra.Command{
		{Use: "exit-codes", Short: "What the exit codes say", Long: exitCodesHelp},
		{Use: "locations", Short: "How to name files and directories", Long: locationsHelp},
		{Use: "batch", Short: "What a batch file looks like", Long: batchHelp},
	}
}

const locationsHelp = `A location is a URL, or the name of an endpoint that your site knows and a path:

    gsiftp://HOST[:PORT]/path      GridFTP with grid certificates (port 2811)
    ftp://[USER@]HOST[:PORT]/path  plain FTP (port 21)
    sshftp://[USER@]HOST/path      GridFTP through ssh (port 22)
    sftp://[USER@]HOST[:PORT]/path SFTP, as most ssh servers have it (port 22)
    file:///path                   this host's files, in "transfer" alone
    file://HOST/path               a directory of a host where a worker runs
    s3://BUCKET/path               an object store of your site's, or Amazon's
    https://HOST/path              a file of a web server, or WebDAV; http://, too
    davs://[USER@]HOST/path        WebDAV with TLS; dav:// is without
    NAME:/path                     an endpoint's name: dtn, or user#dtn

In URLs, write %20 for a space and %25 for a percent sign; "?" and "#" are
ordinary characters. In NAME:/path nothing is decoded. Only in https:// and
http:// does "?" begin a query, as signed URLs have one. It stays in the history
of the task, where others may read it: sign for as short as will do.

gsiftp://HOST/a and gsiftp://HOST//a both mean the absolute path /a, and
gsiftp://HOST/~/a is relative to the directory you log in to. A trailing slash
says that you mean a directory: a file that is copied to DIR/ keeps its name.
".." is refused, because what it means behind a symbolic link depends on the
server.`
