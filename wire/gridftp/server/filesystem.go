package server

import (
	"context"
	"fmt"
	"io"
	"syscall"
	"time"

	"github.com/gridferry/gridferry/wire/gridftp"
	"github.com/gridferry/gridferry/wire/gridftp/data"
)

// A FileSystem is what is served. Paths are absolute, slash-separated and
// clean, and hold no NUL, CR or LF; keeping them inside what may be seen is the
// FileSystem's duty. It is used by many sessions at once.
//
// Errors that are an *Error, or wrap one, are told to the client as they are;
// of any other the client hears no more than that it happened.
type FileSystem interface {
	// Abilities tells what else than the basics works.
	Abilities() Abilities

	// Stat describes path; Entry.Name is not used. Of a symbolic link it
	// describes what the link leads to when follow is true and the link leads
	// somewhere; else the link. LinkTarget is set for both, as a path of the
	// FileSystem.
	Stat(ctx context.Context, path string, follow bool) (gridftp.Entry, error)

	// List calls page with the entries of a directory, without "." and "..",
	// links described as by Stat with follow. The slice is List's again when
	// page returns, and an error from page ends the listing.
	List(ctx context.Context, path string, page func([]gridftp.Entry) error) error

	// Open opens a file for reading, following symbolic links.
	Open(ctx context.Context, path string) (File, error)

	// Create opens a file for writing, and makes it if it is not there.
	Create(ctx context.Context, path string, o CreateOptions) (Writer, error)

	Mkdir(ctx context.Context, path string) error
	// Remove removes a file, a link or an empty directory.
	Remove(ctx context.Context, path string) error
	// Rename replaces a file that has the new name.
	Rename(ctx context.Context, from, to string) error

	// The following are called when Abilities tells that they work.
	Chmod(ctx context.Context, path string, mode uint32) error
	SetModTime(ctx context.Context, path string, t time.Time) error
	// Symlink makes a link at path that leads to target, also a path.
	Symlink(ctx context.Context, target, path string) error
	// Checksum returns the digest, in hexadecimal, of length bytes from offset;
	// length -1 is to the end.
	Checksum(ctx context.Context, path, alg string, offset, length int64) (string, error)
}

// Abilities are what a FileSystem can do beyond reading and writing files.
type Abilities struct {
	Modes, Times, Links bool
	Checksums           []string // names as CKSM has them ("MD5", "SHA256"), the preferred one first
}

// A File is a file opened for reading.
type File interface {
	// Size returns the file's size in bytes as it was opened.
	Size() int64
	// Source gives the bytes of the ranges, in this order, each within the
	// file. It is called once.
	Source(ranges []data.Range) (data.Source, error)
	Close() error
}

// CreateOptions say how a file is written.
type CreateOptions struct {
	Size   int64 // bytes that are announced; -1 is unknown
	Offset int64 // where the first byte will be written
	Update bool  // keep what the file holds; otherwise it is truncated
}

// A Writer is a file being written. It ends with Commit or Abort.
type Writer interface {
	// WriterAt takes bytes at offsets of the file, from several goroutines.
	io.WriterAt
	// Commit makes the file as durable as the FileSystem makes files.
	Commit() error
	// Abort gives up; what was written may stay. After Commit it does nothing.
	Abort() error
}

// An Error is a refusal that the client is told.
type Error struct {
	Code     int           // of the reply, from 400 to 599; 0 is 550
	Category string        // as the Globus server names it (gridftp.Category...); may be empty
	Errno    syscall.Errno // may be 0
	Reason   string        // what was being done, such as "open /a/b"; may be empty
	Detail   string        // why it failed
}

// Error renders "reason: detail".
func (e *Error) Error() string {
	if e.Reason == "" {
		return e.Detail
	}
	return fmt.Sprintf("%s: %s", e.Reason, e.Detail)
}

// reply structures the error as the Globus server does since release 13; one
// without a category or number is said in words.
func (e *Error) reply() gridftp.Reply {
	code := e.Code
	if code == 0 {
		code = 550
	}
	if e.Category == "" && e.Errno == 0 {
		return gridftp.NewReply(code, e.Error())
	}
	category := e.Category
	if category == "" {
		category = gridftp.CategoryInternal
	}
	lines := []string{"GlobusError: v=1 c=" + category}
	if e.Errno != 0 {
		lines = append(lines, fmt.Sprintf("GridFTP-Errno: %d", int(e.Errno)))
	}
	if e.Reason != "" {
		lines = append(lines, "GridFTP-Reason: "+e.Reason)
	}
	return gridftp.Reply{Code: code, Lines: append(lines, "GridFTP-Error-String: "+e.Detail, "End.")}
}
