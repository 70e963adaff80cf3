package data

import (
	"errors"
	"net"
	"syscall"
)

// sendfile moves n bytes of a file from off to a connection within the kernel
// and returns how many it moved. The offset is its own, so that several
// connections can send from one descriptor: io.Copy would use the descriptor's.
// errors.ErrUnsupported means that the file is of a kind that must be read.
func sendfile(dst *net.TCPConn, src syscall.Conn, off, n int64) (int64, error) {
	out, err := dst.SyscallConn()
	if err != nil {
		return 0, err
	}
	in, err := src.SyscallConn()
	if err != nil {
		return 0, errors.ErrUnsupported
	}
	var moved int64
	var failed error
	err = in.Control(func(infd uintptr) {
		err := out.Write(func(outfd uintptr) bool {
			for moved < n {
				m, err := syscall.Sendfile(int(outfd), int(infd), &off, int(n-moved))
				if m > 0 {
					moved += int64(m)
				}
				switch {
				case err == syscall.EAGAIN:
					return false
				case err == syscall.EINTR:
				case err == syscall.EINVAL || err == syscall.ENOSYS:
					failed = errors.ErrUnsupported
					return true
				case err != nil:
					failed = err
					return true
				case m == 0:
					failed = ErrTruncatedFile
					return true
				}
			}
			return true
		})
		if failed == nil {
			failed = err
		}
	})
	if failed == nil {
		failed = err
	}
	return moved, failed
}
