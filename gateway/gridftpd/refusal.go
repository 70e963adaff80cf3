package gridftpd

import (
	"errors"
	"strings"
	"syscall"

	"github.com/gridferry/gridferry/fault"
	"github.com/gridferry/gridferry/wire/gridftp"
	"github.com/gridferry/gridferry/wire/gridftp/server"
)

// refusal is the one place where a fault becomes an FTP reply. What is not a
// fault, or is a fault of our own, stays as it is: the client then hears no
// more than that there was one.
func refusal(err error) error {
	var f *fault.Error
	if err == nil || !errors.As(err, &f) || f.Kind == fault.Internal {
		return err
	}
	e := &server.Error{Reason: strings.TrimSpace(f.Op + " " + f.Path), Detail: string(f.Kind)}
	if f.Err != nil {
		e.Detail = f.Err.Error()
	}
	if f.Hint != "" {
		e.Detail += " (" + f.Hint + ")"
	}
	var errno syscall.Errno
	known := errors.As(err, &errno)
	give := func(code int, category string, byDefault syscall.Errno) *server.Error {
		e.Code, e.Category, e.Errno = code, category, byDefault
		if known {
			e.Errno = errno
		}
		return e
	}
	// The names of another sort are one kind here and categories of their own
	// on the wire.
	switch errno {
	case syscall.ENOTDIR:
		return give(550, gridftp.CategoryNotDirectory, errno)
	case syscall.EISDIR:
		return give(550, gridftp.CategoryIsDirectory, errno)
	case syscall.EDQUOT:
		return give(552, gridftp.CategoryQuota, errno)
	}
	switch f.Kind {
	case fault.NotFound:
		return give(550, gridftp.CategoryPathNotFound, syscall.ENOENT)
	case fault.Exists:
		return give(553, gridftp.CategoryPathExists, syscall.EEXIST)
	case fault.Permission:
		return give(550, gridftp.CategoryPermissionDenied, syscall.EACCES)
	case fault.NoSpace:
		return give(452, gridftp.CategoryNoSpace, syscall.ENOSPC)
	case fault.Unsupported:
		return give(504, "", 0)
	case fault.Invalid:
		return give(501, "", 0)
	case fault.Canceled:
		return give(426, "", 0)
	}
	// Busy, Transient, Integrity, and a credential of the storage behind, which
	// is not the client's: the same may work later.
	return give(451, gridftp.CategoryInternal, 0)
}
