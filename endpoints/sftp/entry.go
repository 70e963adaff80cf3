package sftp

import (
	"fmt"
	"math"
	"strings"
	"time"

	"github.com/pkg/sftp"

	"github.com/gridferry/gridferry/endpoints"
)

// Types of files in modes, as POSIX has them.
const (
	modeType = 0o170000
	modeFile = 0o100000
	modeDir  = 0o040000
	modeLink = 0o120000
)

// attrs is what the server tells of a name.
type attrs struct {
	size  uint64
	mode  uint32
	mtime uint32 // seconds since 1970
}

func (a attrs) entry(name string) endpoints.Entry {
	e := endpoints.Entry{Name: name, Type: endpoints.Other, Mode: a.mode & 0o7777}
	switch a.mode & modeType {
	case modeFile, 0: // 0: a server without modes
		e.Type, e.Size = endpoints.File, int64(min(a.size, math.MaxInt64))
	case modeDir:
		e.Type = endpoints.Dir
	case modeLink:
		e.Type = endpoints.Link
	}
	if a.mtime != 0 {
		e.ModTime = time.Unix(int64(a.mtime), 0).UTC()
	}
	return e
}

// statEntry is the entry of what the library has asked for.
func statEntry(name string, fi info) endpoints.Entry {
	var a attrs
	if stat, ok := fi.Sys().(*sftp.FileStat); ok {
		a = attrs{stat.Size, stat.Mode, stat.Mtime}
	}
	return a.entry(name)
}

// Flags of ATTRS (draft-ietf-secsh-filexfer-02, 5).
const (
	attrSize     = 1 << 0
	attrOwner    = 1 << 1
	attrMode     = 1 << 2
	attrTimes    = 1 << 3
	attrExtended = 1 << 31
)

// attrs reads the description of a file.
func (f *fields) attrs() attrs {
	var a attrs
	flags := f.uint32()
	if flags&attrSize != 0 {
		a.size = f.uint64()
	}
	if flags&attrOwner != 0 {
		f.uint64()
	}
	if flags&attrMode != 0 {
		a.mode = f.uint32()
	}
	if flags&attrTimes != 0 {
		_, a.mtime = f.uint32(), f.uint32()
	}
	if flags&attrExtended != 0 {
		for n := f.uint32(); n > 0 && !f.bad; n-- {
			f.take(f.uint32())
			f.take(f.uint32())
		}
	}
	return a
}

// parseNames returns the entries of a NAME packet, after its type and id,
// without those of the directory itself and of the one above.
func parseNames(f *fields) ([]endpoints.Entry, error) {
	var entries []endpoints.Entry
	for n := f.uint32(); n > 0 && !f.bad; n-- {
		name, _, a := f.string(), f.take(f.uint32()), f.attrs()
		switch {
		case f.bad || name == "." || name == "..":
		case name == "" || strings.ContainsAny(name, "/\x00"):
			return nil, fmt.Errorf("%w: it lists %q, which is no name", errMalformed, name)
		default:
			entries = append(entries, a.entry(name))
		}
	}
	if f.bad {
		return nil, errMalformed
	}
	return entries, nil
}
