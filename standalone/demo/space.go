package demo

import (
	"fmt"
	"io/fs"
	"path/filepath"
	"syscall"

	"github.com/gridferry/gridferry/transfer"
)

// spare is what stays free on a file system beside the data itself.
const spare = 256 << 20

// count adds up the regular files below dir.
func count(dir string) (files int, bytes int64, err error) {
	err = filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if err != nil || !e.Type().IsRegular() {
			return err
		}
		info, err := e.Info()
		if err != nil {
			return err
		}
		files++
		bytes += info.Size()
		return nil
	})
	return files, bytes, err
}

// needSpace refuses when dir's file system could not take that many bytes.
func needSpace(dir string, bytes int64) error {
	var fsys syscall.Statfs_t
	if err := syscall.Statfs(dir, &fsys); err != nil {
		return fmt.Errorf("look for free space in %s: %w", dir, err)
	}
	free := int64(fsys.Bavail) * fsys.Bsize
	if need := bytes + spare; free < need {
		return fmt.Errorf("%s has %s free and this needs %s: name another place with DST=/some/dir, or TMPDIR for what the demonstration makes itself",
			dir, transfer.FormatBytes(free), transfer.FormatBytes(need))
	}
	return nil
}
