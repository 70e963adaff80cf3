package posix

import (
	"os"
	"path/filepath"
	"time"
)

// tree is the part of *os.Root that is used here. Names are relative to it;
// "." is the tree itself.
type tree interface {
	OpenFile(name string, flag int, perm os.FileMode) (*os.File, error)
	Lstat(name string) (os.FileInfo, error)
	Mkdir(name string, perm os.FileMode) error
	Rename(from, to string) error
	Remove(name string) error
	Readlink(name string) (string, error)
	Symlink(target, name string) error
	Link(from, to string) error
	Chmod(name string, mode os.FileMode) error
	Chtimes(name string, atime, mtime time.Time) error
	Close() error
}

// openTree opens a directory. An *os.Root refuses absolute symbolic links,
// rightly, as it cannot tell where they would lead; of the whole file system
// nothing is outside, and such links are part of everyday life there.
func openTree(dir string) (tree, error) {
	if filepath.Clean(dir) == "/" {
		return whole{}, nil
	}
	return os.OpenRoot(dir)
}

// whole is the file system from its root.
type whole struct{}

func (whole) OpenFile(name string, flag int, perm os.FileMode) (*os.File, error) {
	return os.OpenFile("/"+name, flag, perm)
}
func (whole) Lstat(name string) (os.FileInfo, error)    { return os.Lstat("/" + name) }
func (whole) Mkdir(name string, perm os.FileMode) error { return os.Mkdir("/"+name, perm) }
func (whole) Rename(from, to string) error              { return os.Rename("/"+from, "/"+to) }
func (whole) Remove(name string) error                  { return os.Remove("/" + name) }
func (whole) Readlink(name string) (string, error)      { return os.Readlink("/" + name) }
func (whole) Symlink(target, name string) error         { return os.Symlink(target, "/"+name) }
func (whole) Link(from, to string) error                { return os.Link("/"+from, "/"+to) }
func (whole) Chmod(name string, mode os.FileMode) error { return os.Chmod("/"+name, mode) }
func (whole) Chtimes(name string, atime, mtime time.Time) error {
	return os.Chtimes("/"+name, atime, mtime)
}
func (whole) Close() error { return nil }
