package activities

import (
	"context"
	"time"

	"github.com/gridferry/gridferry/blob"
)

// lister writes a list of any length as pages.
type lister[T any] struct {
	blobs blob.Store
	size  int // lines of a page
	key   func(page int) string
	lines []T
	keys  []string                  // of the pages written
	wrote func(page int, lines []T) // hears of each page; may be nil
}

func newLister[T any](blobs blob.Store, size int, key func(page int) string) *lister[T] {
	return &lister[T]{blobs: blobs, size: size, key: key}
}

// add adds lines, and writes the pages that are full.
func (l *lister[T]) add(ctx context.Context, lines ...T) error {
	l.lines = append(l.lines, lines...)
	for len(l.lines) >= l.size {
		if err := l.put(ctx, l.size); err != nil {
			return err
		}
	}
	return nil
}

// flush writes what is left as a shorter page.
func (l *lister[T]) flush(ctx context.Context) error {
	if len(l.lines) == 0 {
		return nil
	}
	return l.put(ctx, len(l.lines))
}

func (l *lister[T]) put(ctx context.Context, n int) error {
	key := l.key(len(l.keys))
	if err := putLines(ctx, l.blobs, key, l.lines[:n]); err != nil {
		return err
	}
	if l.wrote != nil {
		l.wrote(len(l.keys), l.lines[:n])
	}
	l.keys = append(l.keys, key)
	l.lines = append([]T(nil), l.lines[n:]...)
	return nil
}

// resultsPage is how many files' results make a page.
const resultsPage = 1000

// maxListed bounds the lists inside results of activities, which stay in
// histories.
const maxListed = 25

// extraName is a name that only the destination has. A list of them has each
// directory before what is in it.
type extraName struct {
	Path string `json:"p"` // packed
	Dir  bool   `json:"d,omitempty"`
	Size int64  `json:"n,omitempty"`
}

// dirTimes are what a directory at the destination gets at the end.
type dirTimes struct {
	Path    string    `json:"p"` // packed
	ModTime time.Time `json:"m,omitzero"`
	Mode    uint32    `json:"o,omitempty"`
}
