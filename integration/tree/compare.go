package tree

import (
	"bytes"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"sort"
)

// Difference is one name at which two trees are not the same.
type Difference struct {
	Path string // relative to the roots
	What string // "missing", "stray", "differs at byte 17", ...
}

func (d Difference) String() string { return fmt.Sprintf("%q: %s", d.Path, d.What) }

// Compare walks two trees and reads every file in both. It returns the number
// of bytes that are equal and, in order of path, what differs in got. Times
// and modes are not compared.
func Compare(want, got string) (equal int64, diffs []Difference, err error) {
	wants, err := names(want)
	if err != nil {
		return 0, nil, err
	}
	gots, err := names(got)
	if err != nil {
		return 0, nil, err
	}
	for path := range gots {
		if _, ok := wants[path]; !ok {
			diffs = append(diffs, Difference{path, "stray"})
		}
	}
	c := comparer{a: make([]byte, 256<<10), b: make([]byte, 256<<10)}
	for path, typ := range wants {
		other, ok := gots[path]
		switch {
		case !ok:
			diffs = append(diffs, Difference{path, "missing"})
		case other != typ:
			diffs = append(diffs, Difference{path, fmt.Sprintf("is %v, not %v", other, typ)})
		case typ.IsRegular():
			n, what, err := c.files(filepath.Join(want, path), filepath.Join(got, path))
			if err != nil {
				return equal, diffs, err
			}
			equal += n
			if what != "" {
				diffs = append(diffs, Difference{path, what})
			}
		case typ == fs.ModeSymlink:
			a, _ := os.Readlink(filepath.Join(want, path))
			b, _ := os.Readlink(filepath.Join(got, path))
			if a != b {
				diffs = append(diffs, Difference{path, fmt.Sprintf("links to %q, not %q", b, a)})
			}
		}
	}
	sort.Slice(diffs, func(i, j int) bool { return diffs[i].Path < diffs[j].Path })
	return equal, diffs, nil
}

func names(root string) (map[string]fs.FileMode, error) {
	found := map[string]fs.FileMode{}
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(root, path)
		if err != nil {
			return err
		}
		found[rel] = d.Type()
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("list %s: %w", root, err)
	}
	return found, nil
}

type comparer struct{ a, b []byte }

// files compares two files; what is empty when they are equal.
func (c *comparer) files(want, got string) (n int64, what string, err error) {
	w, err := os.Open(want)
	if err != nil {
		return 0, "", err
	}
	defer w.Close()
	g, err := os.Open(got)
	if err != nil {
		return 0, "", err
	}
	defer g.Close()
	for {
		na, erra := io.ReadFull(w, c.a)
		nb, errb := io.ReadFull(g, c.b)
		if !bytes.Equal(c.a[:na], c.b[:nb]) {
			for i := range min(na, nb) {
				if c.a[i] != c.b[i] {
					return n, fmt.Sprintf("differs at byte %d", n+int64(i)), nil
				}
			}
			return n, fmt.Sprintf("sizes differ: one ends at byte %d", n+int64(min(na, nb))), nil
		}
		n += int64(na)
		if ended(erra) && ended(errb) {
			return n, "", nil
		}
		for _, e := range []error{erra, errb} {
			if e != nil && !ended(e) {
				return n, "", e
			}
		}
	}
}

func ended(err error) bool { return err == io.EOF || err == io.ErrUnexpectedEOF }
