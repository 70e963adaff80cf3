package activities

import (
	"errors"
	"path"
	"strings"

	"github.com/gridferry/gridferry/fault"
	"github.com/gridferry/gridferry/transfer"
)

// namedError is an error that speaks of a file by the name that it will have.
// Storage knows the temporary one, which says nothing to whoever reads of it.
type namedError struct {
	err        error
	temp, name string // last elements of paths
}

func (e *namedError) Error() string { return e.of(e.err.Error()) }
func (e *namedError) Unwrap() error { return e.err }

// of gives text or a path the file's own name. Some have made it fit to be
// printed already.
func (e *namedError) of(text string) string {
	text = strings.ReplaceAll(text, e.temp, e.name)
	return strings.ReplaceAll(text, strings.ToValidUTF8(e.temp, "?"), strings.ToValidUTF8(e.name, "?"))
}

// named has an error of what is written to temp speak of dest, in the same
// directory. One that speaks of something else stays as it is.
func named(err error, temp, dest string) error {
	if err == nil || temp == dest {
		return err
	}
	n := &namedError{err: err, temp: path.Base(temp), name: path.Base(dest)}
	if n.Error() == err.Error() {
		return err
	}
	return n
}

// named is for what befell file i. The caller holds mu.
func (c *copier) named(i int, err error) error { return named(err, c.tempName(i), c.files[i].Dest) }

// namedByPath is named for an error of which only its path says what file it is of. A
// temporary name that had to be shortened gives a shortened one.
func namedByPath(err error) error {
	dir, last := path.Split(pathOf(err))
	temp, ok := transfer.ParseTempName(last)
	if !ok {
		return err
	}
	return named(err, dir+last, dir+temp.Name)
}

// pathOf is the path that an error is about, as people know it; empty where it
// does not say.
func pathOf(err error) string {
	f, ok := errors.AsType[*fault.Error](err)
	if !ok {
		return ""
	}
	if n, ok := errors.AsType[*namedError](err); ok {
		return n.of(f.Path)
	}
	return f.Path
}
