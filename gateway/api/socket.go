package api

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"syscall"
)

// errSocketTaken says that another process serves a socket.
var errSocketTaken = errors.New("another process serves it")

// socketLock is the right to serve a socket. It is a lock on a file beside it,
// which the kernel releases when its holder dies: a socket that was left behind
// is told from one that is served, without a race.
type socketLock struct{ file *os.File }

// lockSocket makes the socket's directory when there is none. errSocketTaken
// when another process has the lock.
func lockSocket(path string) (*socketLock, error) {
	if err := makeDir(filepath.Dir(path)); err != nil {
		return nil, err
	}
	f, err := os.OpenFile(path+".lock", os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		f.Close()
		if errors.Is(err, syscall.EWOULDBLOCK) {
			return nil, errSocketTaken
		}
		return nil, fmt.Errorf("lock %s: %w", f.Name(), err)
	}
	return &socketLock{f}, nil
}

// makeDir makes a directory that every user may enter, whatever the umask; one
// that is there stays as it is.
func makeDir(dir string) error {
	if _, err := os.Stat(dir); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	return os.Chmod(dir, 0o755)
}

// release leaves the file: one that is removed could be locked by two, each
// with its own.
func (l *socketLock) release() { l.file.Close() }

// listenSocket takes the place of a socket that was left behind. The caller
// has its lock.
func listenSocket(ctx context.Context, path string) (net.Listener, error) {
	if info, err := os.Lstat(path); err == nil && info.Mode().Type() != fs.ModeSocket {
		return nil, errors.New("something that is not a socket has this name")
	}
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	l, err := (&net.ListenConfig{}).Listen(ctx, "unix", path)
	if err != nil {
		return nil, err
	}
	// Whoever may connect is asked who he is, so everybody may.
	if err := os.Chmod(path, 0o666); err != nil {
		l.Close()
		return nil, err
	}
	return l, nil
}
