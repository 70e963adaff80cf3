package durability

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/gridferry/gridferry/integration/tree"
)

// writeContent makes a file of bytes that no other version of it has.
func writeContent(path string, version uint64, bytes int64) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	_, err = io.Copy(f, io.LimitReader(tree.Content(version, 1<<40), bytes))
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	return err
}

// change makes new versions of every third file below root, of the same size:
// large ones are written over where they are, while servers may be reading
// them, and small ones are replaced. What they were is kept below old.
func change(root, old string) (changed int, err error) {
	n := 0
	err = filepath.WalkDir(root, func(path string, d os.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		large := info.Size() >= 16*mib
		if n++; info.Size() == 0 || n%3 != 0 && !large {
			return nil
		}
		rel, err := filepath.Rel(root, path)
		if err != nil {
			return err
		}
		kept := filepath.Join(old, rel)
		if err := os.MkdirAll(filepath.Dir(kept), 0o755); err != nil {
			return err
		}
		changed++
		if !large {
			fresh := kept + ".new"
			if err := errors.Join(os.Link(path, kept), writeContent(fresh, 2, info.Size())); err != nil {
				return err
			}
			return os.Rename(fresh, path)
		}
		if err := copyFile(kept, path); err != nil {
			return err
		}
		return overwrite(path, info.Size())
	})
	return changed, err
}

// overwrite writes a new version over a file.
func overwrite(path string, bytes int64) error {
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	_, err = io.Copy(f, io.LimitReader(tree.Content(2, 1<<40), bytes))
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	return err
}

func copyFile(to, from string) error {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := os.Create(to)
	if err != nil {
		return err
	}
	_, err = io.Copy(out, in)
	if cerr := out.Close(); err == nil {
		err = cerr
	}
	return err
}

// flip turns every bit of one byte of a file.
func flip(path string, offset int64) error {
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	var b [1]byte
	_, err = f.ReadAt(b[:], offset)
	if err == nil {
		_, err = f.WriteAt([]byte{^b[0]}, offset)
	}
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	if err != nil {
		return fmt.Errorf("flip a byte of %s: %w", path, err)
	}
	return nil
}
