package posix

import (
	"errors"
	"os"
	"syscall"

	"github.com/gridferry/gridferry/fault"
)

const (
	errNotDir  = syscall.ENOTDIR
	errInvalid = syscall.EINVAL
	errNotSup  = syscall.ENOTSUP
)

func isErrno(err error, no syscall.Errno) bool { return errors.Is(err, no) }

// classify gives an error of the os package its kind. writes says which side
// of the rule for names of another sort the call is on.
func classify(op, path string, err error, writes bool) error {
	if err == nil {
		return nil
	}
	k := kind(err, writes)
	// The os package repeats operation and path, and under a root shows the
	// host's own path, which is nobody's business.
	var pe *os.PathError
	var le *os.LinkError
	switch {
	case errors.As(err, &pe):
		err = pe.Err
	case errors.As(err, &le):
		err = le.Err
	}
	return fault.Wrap(k, op, path, err)
}

func kind(err error, writes bool) fault.Kind {
	var no syscall.Errno
	switch {
	case errors.Is(err, os.ErrClosed):
		return fault.Transient
	case !errors.As(err, &no):
		// What os.Root refuses without asking the kernel leads outside.
		return fault.Permission
	}
	switch no {
	case syscall.ENOENT:
		return fault.NotFound
	case syscall.ENOTDIR, syscall.EISDIR, syscall.ENXIO:
		if writes {
			return fault.Exists
		}
		return fault.NotFound
	case syscall.EEXIST, syscall.ENOTEMPTY:
		return fault.Exists
	case syscall.EACCES, syscall.EPERM, syscall.EROFS:
		return fault.Permission
	case syscall.ENOSPC, syscall.EDQUOT:
		return fault.NoSpace
	case syscall.ENAMETOOLONG, syscall.EINVAL, syscall.EILSEQ, syscall.ELOOP:
		return fault.Invalid
	case syscall.ENOTSUP, syscall.ENOSYS, syscall.EXDEV, syscall.EMLINK, syscall.EFBIG:
		return fault.Unsupported
	case syscall.EIO, syscall.ESTALE, syscall.ETIMEDOUT, syscall.EAGAIN, syscall.EINTR,
		syscall.EMFILE, syscall.ENFILE, syscall.EBUSY, syscall.ETXTBSY, syscall.ENOMEM:
		return fault.Transient
	}
	return fault.Internal
}
