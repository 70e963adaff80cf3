//go:build !linux

package data

import (
	"errors"
	"net"
	"syscall"
)

// sendfile is done by reading and writing here.
func sendfile(*net.TCPConn, syscall.Conn, int64, int64) (int64, error) {
	return 0, errors.ErrUnsupported
}
