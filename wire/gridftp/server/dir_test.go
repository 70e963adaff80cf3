package server_test

import (
	"context"
	"crypto/md5"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"hash"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/gridferry/gridferry/wire/gridftp"
	"github.com/gridferry/gridferry/wire/gridftp/data"
	"github.com/gridferry/gridferry/wire/gridftp/server"
)

// dir is a FileSystem in a directory, as plain as these tests need it.
type dir struct {
	root *os.Root
	hold chan struct{} // a checksum waits until it is closed; nil is no wait
}

func newDir(t testing.TB) (*dir, string) {
	t.Helper()
	name := t.TempDir()
	root, err := os.OpenRoot(name)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { root.Close() })
	return &dir{root: root}, name
}

func at(p string) string { return path.Clean("." + p) }

func told(op, p string, err error) error {
	if err == nil {
		return nil
	}
	e := &server.Error{Reason: op + " " + p, Detail: err.Error()}
	var errno syscall.Errno
	if errors.As(err, &errno) {
		e.Errno, e.Detail = errno, errno.Error()
	}
	switch {
	case errors.Is(err, fs.ErrNotExist):
		e.Category = gridftp.CategoryPathNotFound
	case errors.Is(err, fs.ErrExist):
		e.Code, e.Category = 553, gridftp.CategoryPathExists
	case errors.Is(err, fs.ErrPermission):
		e.Category = gridftp.CategoryPermissionDenied
	}
	return e
}

func (d *dir) Abilities() server.Abilities {
	return server.Abilities{Modes: true, Times: true, Links: true, Checksums: []string{"SHA256", "MD5"}}
}

func (d *dir) entry(p, name string, follow bool) (gridftp.Entry, error) {
	fi, err := d.root.Lstat(at(p))
	if err != nil {
		return gridftp.Entry{}, told("stat", p, err)
	}
	e := gridftp.Entry{Name: name, Type: gridftp.TypeOther}
	if fi.Mode()&fs.ModeSymlink != 0 {
		e.Type = gridftp.TypeLink
		target, err := d.root.Readlink(at(p))
		if err != nil {
			return e, told("readlink", p, err)
		}
		e.LinkTarget = path.Join(path.Dir(p), target)
		if follow {
			if to, err := d.root.Stat(at(p)); err == nil {
				fi = to
			}
		}
	}
	switch {
	case fi.Mode().IsRegular():
		e.Type, e.Size = gridftp.TypeFile, fi.Size()
	case fi.IsDir():
		e.Type = gridftp.TypeDir
	}
	e.ModTime, e.Mode = fi.ModTime(), int(fi.Mode().Perm())
	return e, nil
}

func (d *dir) Stat(_ context.Context, p string, follow bool) (gridftp.Entry, error) {
	return d.entry(p, p, follow)
}

func (d *dir) List(_ context.Context, p string, page func([]gridftp.Entry) error) error {
	f, err := d.root.Open(at(p))
	if err != nil {
		return told("list", p, err)
	}
	defer f.Close()
	names, err := f.Readdirnames(-1)
	if err != nil {
		return told("list", p, err)
	}
	var entries []gridftp.Entry
	for _, name := range names {
		e, err := d.entry(path.Join(p, name), name, true)
		if err != nil {
			return err
		}
		entries = append(entries, e)
	}
	return page(entries)
}

type file struct {
	*os.File
	size int64
}

func (f *file) Size() int64 { return f.size }
func (f *file) Source(ranges []data.Range) (data.Source, error) {
	return data.NewFileSource(f.File, ranges...), nil
}

func (d *dir) Open(_ context.Context, p string) (server.File, error) {
	f, err := d.root.Open(at(p))
	if err != nil {
		return nil, told("open", p, err)
	}
	fi, err := f.Stat()
	if err == nil && fi.IsDir() {
		err = syscall.EISDIR
	}
	if err != nil {
		f.Close()
		return nil, told("open", p, err)
	}
	return &file{f, fi.Size()}, nil
}

type writer struct{ *os.File }

func (w writer) WriteAt(b []byte, off int64) (int, error) {
	n, err := w.File.WriteAt(b, off)
	return n, told("write", w.Name(), err)
}
func (w writer) Commit() error { return w.Close() }
func (w writer) Abort() error  { return w.Close() }

func (d *dir) Create(_ context.Context, p string, o server.CreateOptions) (server.Writer, error) {
	flags := os.O_WRONLY | os.O_CREATE
	if !o.Update {
		flags |= os.O_TRUNC
	}
	f, err := d.root.OpenFile(at(p), flags, 0o644)
	if err != nil {
		return nil, told("create", p, err)
	}
	return writer{f}, nil
}

func (d *dir) Mkdir(_ context.Context, p string) error {
	return told("mkdir", p, d.root.Mkdir(at(p), 0o755))
}
func (d *dir) Remove(_ context.Context, p string) error {
	return told("remove", p, d.root.Remove(at(p)))
}
func (d *dir) Rename(_ context.Context, from, to string) error {
	return told("rename", from, d.root.Rename(at(from), at(to)))
}
func (d *dir) Chmod(_ context.Context, p string, mode uint32) error {
	return told("chmod", p, d.root.Chmod(at(p), fs.FileMode(mode)))
}
func (d *dir) SetModTime(_ context.Context, p string, t time.Time) error {
	return told("utime", p, d.root.Chtimes(at(p), time.Time{}, t))
}
func (d *dir) Symlink(_ context.Context, target, p string) error {
	relative, err := filepath.Rel(path.Dir(p), target)
	if err != nil {
		return err
	}
	return told("symlink", p, d.root.Symlink(relative, at(p)))
}

func (d *dir) Checksum(ctx context.Context, p, alg string, offset, length int64) (string, error) {
	f, err := d.root.Open(at(p))
	if err != nil {
		return "", told("checksum", p, err)
	}
	defer f.Close()
	if length < 0 {
		length = 1 << 40
	}
	h := map[string]func() hash.Hash{"SHA256": sha256.New, "MD5": md5.New}[alg]()
	if _, err := io.Copy(h, io.NewSectionReader(f, offset, length)); err != nil {
		return "", told("checksum", p, err)
	}
	if d.hold != nil {
		select {
		case <-d.hold:
		case <-ctx.Done():
			return "", ctx.Err()
		}
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}
