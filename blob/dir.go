package blob

import (
	"context"
	"crypto/rand"
	"errors"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/gridferry/gridferry/fault"
)

// Dir is a Store in a directory, which may be on a file system shared by many
// hosts: it asks no more of one than atomic renames and links. Keys are paths
// in the directory, so that a person can look; names that begin with a dot
// are the store's own.
type Dir struct {
	path string
}

var _ Store = (*Dir)(nil)

const (
	tempDir = ".tmp" // where blobs are written before they are named
	idName  = ".id"
	// tempAge is when a temporary file is somebody's remains. No Put takes so long.
	tempAge = 24 * time.Hour
)

// NewDir returns the store in the directory at path, which is made when it is
// not there. What a crash left of unfinished writes is cleared away.
func NewDir(path string) (*Dir, error) {
	d := &Dir{path: path}
	if err := os.MkdirAll(filepath.Join(path, tempDir), 0o700); err != nil {
		return nil, classify("open blob store", path, err)
	}
	temps, err := os.ReadDir(filepath.Join(path, tempDir))
	if err != nil {
		return nil, classify("open blob store", path, err)
	}
	for _, t := range temps {
		if fi, err := t.Info(); err == nil && time.Since(fi.ModTime()) > tempAge {
			_ = os.Remove(filepath.Join(path, tempDir, t.Name())) // another process may have been faster
		}
	}
	return d, nil
}

// ID returns what tells this directory from any other: a random name that is
// made once. Two processes that see one id share one store.
func (d *Dir) ID(context.Context) (string, error) {
	name := filepath.Join(d.path, idName)
	for {
		id, err := os.ReadFile(name)
		if err == nil {
			return string(id), nil
		}
		if !errors.Is(err, fs.ErrNotExist) {
			return "", classify("identify blob store", d.path, err)
		}
		temp, err := d.writeTemp([]byte(rand.Text()))
		if err != nil {
			return "", classify("identify blob store", d.path, err)
		}
		// A link never replaces: whoever comes second reads the first one's.
		err = os.Link(temp, name)
		_ = os.Remove(temp)
		if err != nil && !errors.Is(err, fs.ErrExist) {
			return "", classify("identify blob store", d.path, err)
		}
	}
}

// writeTemp writes data to a new file, durably, and returns its name.
func (d *Dir) writeTemp(data []byte) (string, error) {
	f, err := os.CreateTemp(filepath.Join(d.path, tempDir), "put-")
	if err != nil {
		return "", err
	}
	_, err = f.Write(data)
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err != nil {
		_ = os.Remove(f.Name()) // the first error is the one that matters
		return "", err
	}
	return f.Name(), nil
}

// Put implements Store. The bytes are synced before they are named and the
// directory after, so a crash leaves the old blob or the new one, and once
// Put has returned, the new one.
func (d *Dir) Put(ctx context.Context, key string, data []byte) error {
	const op = "store blob"
	if err := Check(ctx, op, key); err != nil {
		return err
	}
	temp, err := d.writeTemp(data)
	if err != nil {
		return classify(op, key, err)
	}
	name := filepath.Join(d.path, key)
	dir := filepath.Dir(name)
	// A Delete of the last blob beside this one takes the directory away, and
	// may do so between any two steps of making it.
	for range 100 {
		if err = os.Rename(temp, name); !errors.Is(err, fs.ErrNotExist) {
			break
		}
		if mkErr := os.MkdirAll(dir, 0o700); mkErr != nil && !errors.Is(mkErr, fs.ErrNotExist) && !errors.Is(mkErr, fs.ErrExist) {
			err = mkErr
			break
		}
	}
	if err != nil {
		_ = os.Remove(temp) // the first error is the one that matters
		if errors.Is(err, syscall.ENOTDIR) {
			return fault.Wrap(fault.Internal, op, key, err) // below another key
		}
		return classify(op, key, err)
	}
	return classify(op, key, syncDir(dir))
}

func syncDir(dir string) error {
	f, err := os.Open(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil // deleted meanwhile: so was the blob
	}
	if err != nil {
		return err
	}
	err = f.Sync()
	_ = f.Close() // opened for reading
	if errors.Is(err, syscall.EINVAL) || errors.Is(err, syscall.ENOTSUP) {
		return nil // the file system keeps names in its own way
	}
	return err
}

// Get implements Store.
func (d *Dir) Get(ctx context.Context, key string) ([]byte, error) {
	const op = "load blob"
	if err := Check(ctx, op, key); err != nil {
		return nil, err
	}
	data, err := os.ReadFile(filepath.Join(d.path, key))
	if errors.Is(err, syscall.EISDIR) {
		err = fs.ErrNotExist
	}
	return data, classify(op, key, err)
}

// List implements Store. It holds the names of one directory of each level in
// memory at a time.
func (d *Dir) List(ctx context.Context, prefix string, fn func(key string) error) error {
	dir, _ := path.Split(prefix)
	return d.list(ctx, strings.TrimSuffix(dir, "/"), prefix, fn)
}

// Survey implements Surveyor.
func (d *Dir) Survey(ctx context.Context, prefix string, fn func(Info) error) error {
	return d.List(ctx, prefix, func(key string) error {
		fi, err := os.Lstat(filepath.Join(d.path, key))
		switch {
		case errors.Is(err, fs.ErrNotExist):
			return nil // deleted meanwhile
		case err != nil:
			return classify("look at blob", key, err)
		}
		return fn(Info{Key: key, Size: fi.Size(), Modified: fi.ModTime()})
	})
}

func (d *Dir) list(ctx context.Context, dir, prefix string, fn func(key string) error) error {
	const op = "list blobs"
	if err := ctx.Err(); err != nil {
		return fault.Wrap(fault.KindOf(err), op, prefix, err)
	}
	names, err := readNames(filepath.Join(d.path, dir))
	switch err = classify(op, prefix, err); {
	case fault.Is(err, fault.NotFound):
		return nil // nothing has such a prefix, or it was deleted meanwhile
	case err != nil:
		return err
	}
	for _, name := range names {
		key := path.Join(dir, name)
		if below := strings.HasSuffix(name, "/"); below {
			if strings.HasPrefix(key+"/", prefix) || strings.HasPrefix(prefix, key+"/") {
				err = d.list(ctx, key, prefix, fn)
			}
		} else if strings.HasPrefix(key, prefix) {
			err = fn(key)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// readNames returns the sorted names in a directory; those of directories end
// with a slash, which puts them where their keys belong.
func readNames(dir string) ([]string, error) {
	f, err := os.Open(dir)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	var names []string
	for {
		page, err := f.ReadDir(1000)
		for _, e := range page {
			switch {
			case strings.HasPrefix(e.Name(), "."):
			case e.IsDir():
				names = append(names, e.Name()+"/")
			default:
				names = append(names, e.Name())
			}
		}
		if errors.Is(err, io.EOF) {
			slices.Sort(names)
			return names, nil
		}
		if err != nil {
			return nil, err
		}
	}
}

// Delete implements Store. Directories go with their last blob.
func (d *Dir) Delete(ctx context.Context, keys ...string) error {
	const op = "delete blob"
	for _, key := range keys {
		if err := Check(ctx, op, key); err != nil {
			return err
		}
		err := os.Remove(filepath.Join(d.path, key))
		if errors.Is(err, syscall.ENOTEMPTY) || errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ENOTDIR) {
			continue // there is no such blob
		}
		if err != nil {
			return classify(op, key, err)
		}
		for dir := path.Dir(key); dir != "."; dir = path.Dir(dir) {
			if os.Remove(filepath.Join(d.path, dir)) != nil {
				break // there is more in it
			}
		}
	}
	return nil
}

func classify(op, key string, err error) error {
	if err == nil {
		return nil
	}
	k := fault.Internal
	switch {
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, syscall.ENOTDIR):
		k = fault.NotFound
	case errors.Is(err, fs.ErrPermission), errors.Is(err, syscall.EROFS):
		k = fault.Permission
	case errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.EDQUOT):
		return Full(op, key, err)
	default:
		for _, no := range []syscall.Errno{syscall.EIO, syscall.ESTALE, syscall.ETIMEDOUT, syscall.EAGAIN, syscall.EMFILE, syscall.ENFILE} {
			if errors.Is(err, no) {
				k = fault.Transient
			}
		}
	}
	return fault.Wrap(k, op, key, err)
}
