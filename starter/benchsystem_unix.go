//go:build linux || darwin

package starter

import (
	"os/exec"
	"syscall"
)

// ownGroup puts a command and its children into a process group of their own:
// an interrupt reaches them through us, and all of them.
func ownGroup(cmd *exec.Cmd) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGTERM) }
}

// freeSpace is what whoever runs this may still write into a directory, in
// bytes, and which file system that is.
func freeSpace(dir string) (free int64, disk uint64, ok bool) {
	var fsys syscall.Statfs_t
	var info syscall.Stat_t
	if dir == "" || syscall.Statfs(dir, &fsys) != nil || syscall.Stat(dir, &info) != nil {
		return 0, 0, false
	}
	return int64(fsys.Bavail) * int64(fsys.Bsize), uint64(info.Dev), true
}
