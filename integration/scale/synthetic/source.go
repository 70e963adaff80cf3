package synthetic

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"sync"
	"syscall"

	"github.com/gridferry/gridferry/endpoints"
	"github.com/gridferry/gridferry/fault"
)

// pageSize is how many entries a page of a listing holds.
const pageSize = 1000

// Source is a Tree to be read. It is read-only and knows no checksums.
type Source struct {
	tree    Tree
	noise   *noise
	readers sync.Pool // what a file is made of, so that the test's garbage is not the worker's memory
}

// NewSource returns the source that holds a tree.
func NewSource(t Tree) *Source {
	s := &Source{tree: t, noise: newNoise()}
	s.readers.New = func() any { return &reader{from: s} }
	return s
}

// Caps implements endpoints.Storage.
func (s *Source) Caps() endpoints.Caps { return endpoints.Caps{Kind: "synthetic", MaxName: 255} }

func (s *Source) find(op, p string) (node, error) {
	if err := endpoints.CheckPath(op, p); err != nil {
		return node{}, err
	}
	x, ok := s.tree.find(p)
	if !ok {
		return node{}, fault.Wrap(fault.NotFound, op, p, fs.ErrNotExist)
	}
	return x, nil
}

// Stat implements endpoints.Storage.
func (s *Source) Stat(_ context.Context, p string) (endpoints.Entry, error) {
	x, err := s.find("stat", p)
	if err != nil {
		return endpoints.Entry{}, err
	}
	return entry(p, x), nil
}

// List implements endpoints.Storage.
func (s *Source) List(ctx context.Context, p string, page func([]endpoints.Entry) error) error {
	x, err := s.find("list", p)
	if err != nil {
		return err
	}
	if x.kind == file {
		return fault.Wrap(fault.NotFound, "list", p, syscall.ENOTDIR)
	}
	entries := make([]endpoints.Entry, 0, pageSize)
	for _, c := range s.tree.children(x) {
		for n := c.from; n < c.to; n++ {
			child := node{c.kind, n}
			if entries = append(entries, entry(name(child), child)); len(entries) == pageSize {
				if err := errors.Join(ctx.Err(), page(entries)); err != nil {
					return err
				}
				entries = entries[:0]
			}
		}
	}
	return page(entries)
}

// Open implements endpoints.Storage.
func (s *Source) Open(_ context.Context, p string, offset, length int64) (io.ReadCloser, error) {
	x, err := s.find("open", p)
	if err != nil {
		return nil, err
	}
	if x.kind != file {
		return nil, fault.Wrap(fault.NotFound, "open", p, syscall.EISDIR)
	}
	r := s.readers.Get().(*reader)
	r.left = s.noise.content(x.n, r.buf[:])
	r.left = r.left[min(offset, int64(len(r.left))):]
	if length >= 0 && length < int64(len(r.left)) {
		r.left = r.left[:length]
	}
	return r, nil
}

type reader struct {
	from *Source
	buf  [maxSize]byte
	left []byte
}

func (r *reader) Read(p []byte) (int, error) {
	if len(r.left) == 0 {
		return 0, io.EOF
	}
	n := copy(p, r.left)
	r.left = r.left[n:]
	return n, nil
}

// Close implements io.Closer. It is called once.
func (r *reader) Close() error {
	r.left = nil
	r.from.readers.Put(r)
	return nil
}

func readOnly(op, p string) error { return fault.Wrap(fault.Permission, op, p, syscall.EROFS) }

// Create implements endpoints.Storage.
func (s *Source) Create(_ context.Context, p string, _ endpoints.CreateOptions) (endpoints.Writer, error) {
	return nil, readOnly("create", p)
}

// Mkdir implements endpoints.Storage.
func (s *Source) Mkdir(_ context.Context, p string) error { return readOnly("mkdir", p) }

// Rename implements endpoints.Storage.
func (s *Source) Rename(_ context.Context, from, _ string) error { return readOnly("rename", from) }

// Remove implements endpoints.Storage.
func (s *Source) Remove(_ context.Context, p string) error { return readOnly("remove", p) }

// Close implements endpoints.Storage.
func (s *Source) Close() error { return nil }
