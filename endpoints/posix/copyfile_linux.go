package posix

import (
	"errors"
	"io"
	"os"

	"golang.org/x/sys/unix"
)

// dense says that a file has no holes that are worth looking for. To look is not
// free: tmpfs goes through all of a file's pages to find that it has none.
func dense(f *os.File) (bool, error) {
	fi, err := f.Stat()
	if err != nil {
		return false, err
	}
	return blocks(fi) >= fi.Size(), nil
}

// extent finds the first bytes of f in [off, end) that are allocated: [from, to).
// from is end when there are none.
func extent(f *os.File, off, end int64) (from, to int64, err error) {
	from, err = f.Seek(off, unix.SEEK_DATA)
	switch {
	case isErrno(err, unix.ENXIO): // nothing but a hole, or the end
		fi, err := f.Stat()
		if err == nil && fi.Size() < end {
			err = io.ErrUnexpectedEOF
		}
		return end, end, err
	case isErrno(err, unix.EINVAL):
		return off, end, nil // the file system knows of no holes
	case err != nil:
		return 0, 0, err
	case from >= end:
		return end, end, nil
	}
	to, err = f.Seek(from, unix.SEEK_HOLE)
	return from, min(to, end), err
}

// copyRange has the kernel copy n bytes from off of src to the offset at of dst.
// It is Unsupported where the kernel does not, between these two or at all.
func copyRange(dst, src *os.File, at, off, n int64) (copied int64, err error) {
	err = withBoth(dst, src, func(dst, src int) error {
		for copied < n {
			length := int(min(n-copied, stride))
			got, err := unix.CopyFileRange(src, &off, dst, &at, length, 0)
			switch err {
			case nil:
			case unix.EINTR:
				continue
			case unix.EXDEV, unix.EINVAL, unix.ENOSYS, unix.EOPNOTSUPP, unix.EPERM, unix.EIO:
				// Between file systems, in old kernels, behind filters of system
				// calls, on some network file systems: reading and writing says
				// whether it is anything worse.
				return errors.ErrUnsupported
			default:
				return err
			}
			if got == 0 { // the end, or a file system that only says so
				return errors.ErrUnsupported
			}
			copied += int64(got)
		}
		return nil
	})
	return copied, err
}

// punch makes a hole. The file stays as long as it is.
func punch(f *os.File, at, n int64) error {
	conn, err := f.SyscallConn()
	if err != nil {
		return err
	}
	var punchErr error
	err = conn.Control(func(fd uintptr) {
		punchErr = unix.Fallocate(int(fd), unix.FALLOC_FL_PUNCH_HOLE|unix.FALLOC_FL_KEEP_SIZE, at, n)
	})
	if isErrno(punchErr, unix.EOPNOTSUPP) || isErrno(punchErr, unix.ENOSYS) {
		punchErr = errors.ErrUnsupported
	}
	return errors.Join(err, punchErr)
}

func withBoth(a, b *os.File, fn func(a, b int) error) error {
	connA, err := a.SyscallConn()
	if err != nil {
		return err
	}
	connB, err := b.SyscallConn()
	if err != nil {
		return err
	}
	var inner, outer error
	err = connA.Control(func(fdA uintptr) {
		outer = connB.Control(func(fdB uintptr) { inner = fn(int(fdA), int(fdB)) })
	})
	return errors.Join(err, outer, inner)
}
