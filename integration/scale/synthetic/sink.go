package synthetic

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"hash"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"
	"sync"
	"syscall"

	"github.com/gridferry/gridferry/endpoints"
	"github.com/gridferry/gridferry/fault"
	"github.com/gridferry/gridferry/transfer"
)

// Sink is a Disk to be written to. It computes the SHA-256 of what it is sent
// while it comes, as an object store does, and tells it when it is asked.
type Sink struct {
	disk  *Disk
	noise *noise

	mu   sync.Mutex
	sums map[string][sha256.Size]byte // of what was written, until they are asked for

	writers sync.Pool
}

var _ endpoints.Checksummer = (*Sink)(nil)

// NewSink returns the sink over a disk.
func NewSink(d *Disk) *Sink {
	s := &Sink{disk: d, noise: newNoise(), sums: map[string][sha256.Size]byte{}}
	s.writers.New = func() any { return &writer{sum: sha256.New()} }
	return s
}

// Caps implements endpoints.Storage.
func (s *Sink) Caps() endpoints.Caps {
	return endpoints.Caps{Kind: "synthetic", Checksums: []string{"sha256"}, MaxName: 255}
}

// target is what a path means: a node, and of a temporary name the file that
// stands for it on disk.
type target struct {
	node
	temp string
}

func (s *Sink) find(op, p string) (target, error) {
	if err := endpoints.CheckPath(op, p); err != nil {
		return target{}, err
	}
	at, temp := p, ""
	if last := path.Base(p); strings.HasPrefix(last, ".") {
		t, ok := transfer.ParseTempName(last)
		if !ok {
			return target{}, fault.Wrap(fault.NotFound, op, p, fs.ErrNotExist)
		}
		at, temp = path.Join(path.Dir(p), t.Name), filepath.Join(s.disk.temps, last)
	}
	x, ok := s.disk.tree.find(at)
	if !ok {
		return target{}, fault.Wrap(fault.NotFound, op, p, fs.ErrNotExist)
	}
	return target{x, temp}, nil
}

// state is what is at a target now.
func (s *Sink) state(op, p string, x target) (state, error) {
	if x.kind == root {
		return right, nil
	}
	var now state
	var err error
	if x.temp == "" {
		now, err = s.disk.get(x.node)
	} else {
		var b []byte
		if b, err = os.ReadFile(x.temp); errors.Is(err, fs.ErrNotExist) {
			err = nil
		}
		if len(b) == 1 {
			now = state(b[0])
		}
	}
	if err != nil {
		return 0, fault.Wrap(fault.Internal, op, p, err)
	}
	return now, nil
}

func (s *Sink) set(op, p string, x target, now state) error {
	var err error
	if x.temp == "" {
		err = s.disk.set(x.node, now)
	} else {
		err = os.WriteFile(x.temp, []byte{byte(now)}, 0o644)
	}
	if err != nil {
		return fault.Wrap(fault.Internal, op, p, err)
	}
	return nil
}

func (s *Sink) there(op, p string) (target, state, error) {
	x, err := s.find(op, p)
	if err != nil {
		return x, 0, err
	}
	now, err := s.state(op, p, x)
	if err == nil && now.what() == absent {
		err = fault.Wrap(fault.NotFound, op, p, fs.ErrNotExist)
	}
	return x, now, err
}

func (s *Sink) entry(name string, x node, now state) endpoints.Entry {
	e := entry(name, x)
	if x.kind == file && now.what() == partial {
		e.Size = 0
	}
	return e
}

// Stat implements endpoints.Storage.
func (s *Sink) Stat(_ context.Context, p string) (endpoints.Entry, error) {
	x, now, err := s.there("stat", p)
	if err != nil {
		return endpoints.Entry{}, err
	}
	return s.entry(p, x.node, now), nil
}

// List implements endpoints.Storage. It leaves temporary names out.
func (s *Sink) List(ctx context.Context, p string, page func([]endpoints.Entry) error) error {
	x, _, err := s.there("list", p)
	if err != nil {
		return err
	}
	if x.kind == file {
		return fault.Wrap(fault.NotFound, "list", p, syscall.ENOTDIR)
	}
	for _, c := range s.disk.tree.children(x.node) {
		for from := c.from; from < c.to; from += pageSize {
			part := span{c.kind, from, min(from+pageSize, c.to)}
			states, err := s.disk.span(part)
			if err != nil {
				return fault.Wrap(fault.Internal, "list", p, err)
			}
			var entries []endpoints.Entry
			for i, b := range states {
				if child := (node{c.kind, from + int64(i)}); state(b).what() != absent {
					entries = append(entries, s.entry(name(child), child, state(b)))
				}
			}
			if err := errors.Join(ctx.Err(), page(entries)); err != nil {
				return err
			}
		}
	}
	return nil
}

// Open implements endpoints.Storage: there is nothing here that could be read.
func (s *Sink) Open(_ context.Context, p string, _, _ int64) (io.ReadCloser, error) {
	return nil, fault.New(fault.Unsupported, "open", p, "a sink keeps no bytes")
}

// Create implements endpoints.Storage.
func (s *Sink) Create(_ context.Context, p string, opts endpoints.CreateOptions) (endpoints.Writer, error) {
	x, err := s.find("create", p)
	if err != nil {
		return nil, errors.Join(err, s.disk.complain("create %q", p))
	}
	now, err := s.state("create", p, x)
	switch {
	case err != nil:
		return nil, err
	case x.kind != file:
		return nil, fault.Wrap(fault.Exists, "create", p, syscall.EISDIR)
	case opts.Offset > 0 || opts.Update:
		return nil, fault.New(fault.Unsupported, "create", p, "a sink takes files from their beginning")
	case opts.Exclusive && now.what() != absent:
		return nil, fault.Wrap(fault.Exists, "create", p, syscall.EEXIST)
	}
	now = now&^whatIs | partial
	if err := s.set("create", p, x, now); err != nil {
		return nil, err
	}
	w := s.writers.Get().(*writer)
	*w = writer{s: s, path: p, x: x, now: now, got: w.got[:0], sum: w.sum}
	w.sum.Reset()
	return w, nil
}

type writer struct {
	s    *Sink
	path string
	x    target
	now  state
	got  []byte // no more than is needed to know that it is too much
	sum  hash.Hash
	want [maxSize]byte
}

func (w *writer) Write(b []byte) (int, error) {
	w.sum.Write(b)
	w.got = append(w.got, b[:min(len(b), maxSize+1-len(w.got))]...)
	return len(b), nil
}

func (w *writer) Commit() error {
	s, what := w.s, right
	if !bytes.Equal(w.got, s.noise.content(w.x.n, w.want[:])) {
		what = bad
		if err := s.disk.complain("commit %q: %d bytes that are not its own", w.path, len(w.got)); err != nil {
			return fault.Wrap(fault.Internal, "commit", w.path, err)
		}
	}
	if err := s.set("commit", w.path, w.x, w.now.completed(what)); err != nil {
		return err
	}
	var sum [sha256.Size]byte
	w.sum.Sum(sum[:0])
	s.mu.Lock()
	s.sums[w.path] = sum
	s.mu.Unlock()
	s.writers.Put(w)
	return nil
}

// Abort implements endpoints.Writer: what is there stays partial.
func (w *writer) Abort() error { return nil }

// Checksum implements endpoints.Checksummer. Of a file that another process
// has completed it is computed anew, from the tree, whose bytes those are.
func (s *Sink) Checksum(_ context.Context, p, alg string, offset, length int64, _ func()) (string, error) {
	if alg != "sha256" || offset != 0 || length >= 0 {
		return "", fault.New(fault.Unsupported, "checksum", p, "a sink knows the SHA-256 of whole files")
	}
	s.mu.Lock()
	sum, ok := s.sums[p]
	delete(s.sums, p)
	s.mu.Unlock()
	if !ok {
		x, now, err := s.there("checksum", p)
		if err != nil {
			return "", err
		}
		if now.what() != right {
			return "", fault.New(fault.Unsupported, "checksum", p, "a sink keeps no bytes")
		}
		sum = sha256.Sum256(s.noise.content(x.n, make([]byte, maxSize)))
	}
	return hex.EncodeToString(sum[:]), nil
}

// Mkdir implements endpoints.Storage.
func (s *Sink) Mkdir(_ context.Context, p string) error {
	x, err := s.find("mkdir", p)
	if err != nil {
		return errors.Join(err, s.disk.complain("mkdir %q", p))
	}
	now, err := s.state("mkdir", p, x)
	switch {
	case err != nil:
		return err
	case now.what() != absent || x.kind == file:
		return fault.Wrap(fault.Exists, "mkdir", p, syscall.EEXIST)
	}
	return s.set("mkdir", p, x, right)
}

// Rename implements endpoints.Storage.
func (s *Sink) Rename(_ context.Context, from, to string) error {
	x, now, err := s.there("rename", from)
	if err != nil {
		return err
	}
	y, err := s.find("rename", to)
	if err != nil {
		return err
	}
	if x.temp == "" || y.node != x.node || now.what() != right {
		return errors.Join(s.disk.complain("rename %q to %q, which is %d", from, to, now.what()), fault.New(fault.Invalid, "rename", from, "is not a complete file of that name"))
	}
	old, err := s.state("rename", to, y)
	if err != nil {
		return err
	}
	if err := s.set("rename", to, y, old.completed(now.what())); err != nil {
		return err
	}
	return s.Remove(context.Background(), from)
}

// Remove implements endpoints.Storage.
func (s *Sink) Remove(_ context.Context, p string) error {
	x, now, err := s.there("remove", p)
	if err != nil {
		return err
	}
	if x.temp != "" {
		err = os.Remove(x.temp)
	} else {
		err = s.disk.set(x.node, now&^whatIs)
	}
	if err != nil {
		return fault.Wrap(fault.Internal, "remove", p, err)
	}
	return nil
}

// Close implements endpoints.Storage.
func (s *Sink) Close() error { return nil }
