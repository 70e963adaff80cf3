package posix

import (
	"errors"
	"os"
	"syscall"
)

// keepSize is FALLOC_FL_KEEP_SIZE, fallocate(2): blocks are reserved, and the
// file's size grows with what is written.
const keepSize = 1

func allocate(f *os.File, offset, size int64) error {
	conn, err := f.SyscallConn()
	if err != nil {
		return err
	}
	var allocErr error
	err = conn.Control(func(fd uintptr) {
		allocErr = syscall.EINTR
		for try := 0; try < 3 && allocErr == syscall.EINTR; try++ { // signals may come more often than it ends
			allocErr = syscall.Fallocate(int(fd), keepSize, offset, size)
		}
	})
	return errors.Join(err, allocErr)
}

// blocks is how many bytes a file has on its disk.
func blocks(fi os.FileInfo) int64 {
	st, ok := fi.Sys().(*syscall.Stat_t)
	if !ok {
		return 0
	}
	return st.Blocks * 512
}
