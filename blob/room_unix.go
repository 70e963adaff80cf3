//go:build unix

package blob

import "syscall"

// Room implements Roomer: what the file system has left for such as us.
func (d *Dir) Room() (int64, error) {
	var fs syscall.Statfs_t
	if err := syscall.Statfs(d.path, &fs); err != nil {
		return 0, classify("look at blob store", d.path, err)
	}
	return int64(fs.Bavail) * int64(fs.Bsize), nil
}
