package transfer

import (
	"fmt"
	"path"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"

	"github.com/gridferry/gridferry/endpoints"
)

// Names finds destination names that would overwrite one another. It is used
// for what the items of a request turned out to be, and for the names of one
// directory. The zero Names compares byte by byte.
type Names struct {
	// FoldsCase is the storage's Caps.FoldsCase. Such storages (those of macOS
	// and Windows) take Unicode's composed and decomposed forms for the same
	// name as well.
	FoldsCase bool

	files map[string]named // by folded destination
	dirs  map[string]named // those added, and the parents of everything added
}

type named struct{ source, dest string }

// Collision is one destination for two sources.
type Collision struct {
	Source string // of the entry that came second and must not be written
	Dest   string
	Other  string // the source that has the name already
	Reason string
}

// String describes the collision in a line.
func (c Collision) String() string {
	return fmt.Sprintf("%s to %s: %s", c.Source, c.Dest, c.Reason)
}

// Add takes a destination, a cleaned path, for a source. ok is false when the
// name is taken: it is then not added, and c says by what. Directories may
// share a name exactly, since their contents are merged.
func (n *Names) Add(source, dest string, t endpoints.Type) (c Collision, ok bool) {
	if n.files == nil {
		n.files, n.dirs = make(map[string]named), make(map[string]named)
	}
	key := n.fold(dest)
	clash := func(other named, reason string) (Collision, bool) {
		return Collision{Source: source, Dest: dest, Other: other.source, Reason: reason}, false
	}
	if other, taken := n.files[key]; taken {
		switch {
		case t == endpoints.Dir:
			return clash(other, "a file of that name comes from "+other.source)
		case other.dest != dest:
			return clash(other, fmt.Sprintf("%s comes from %s, and the destination takes the names for one", other.dest, other.source))
		}
		return clash(other, "comes from "+other.source+" as well")
	}
	if other, taken := n.dirs[key]; taken {
		switch {
		case t != endpoints.Dir:
			return clash(other, "a directory of that name comes from "+other.source)
		case other.dest != dest:
			return clash(other, fmt.Sprintf("%s comes from %s, and the destination takes the names for one", other.dest, other.source))
		}
	}
	for up := path.Dir(dest); up != "/" && up != "."; up = path.Dir(up) {
		if other, taken := n.files[n.fold(up)]; taken {
			return clash(other, fmt.Sprintf("%s is a file that comes from %s", other.dest, other.source))
		}
	}
	for up := path.Dir(dest); up != "/" && up != "."; up = path.Dir(up) {
		k := n.fold(up)
		if _, known := n.dirs[k]; known {
			break
		}
		n.dirs[k] = named{source, up}
	}
	if t == endpoints.Dir {
		n.dirs[key] = named{source, dest}
	} else {
		n.files[key] = named{source, dest}
	}
	return Collision{}, true
}

func (n *Names) fold(p string) string {
	if !n.FoldsCase || !utf8.ValidString(p) { // bytes that are no text have no case
		return p
	}
	// Folding can undo composition (and the other way around), so the form is
	// restored after it.
	return norm.NFC.String(strings.Map(smallestFold, norm.NFC.String(p)))
}

// smallestFold picks one rune for all that are equal but for case.
func smallestFold(r rune) rune {
	least := r
	for f := unicode.SimpleFold(r); f != r; f = unicode.SimpleFold(f) {
		least = min(least, f)
	}
	return least
}
