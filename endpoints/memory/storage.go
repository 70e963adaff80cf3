package memory

import (
	"context"
	"encoding/hex"
	"errors"
	"io"
	pathpkg "path"
	"slices"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/gridferry/gridferry/endpoints"
	"github.com/gridferry/gridferry/fault"
)

// Storage is a login to a Disk. It has every ability.
type Storage struct {
	disk   *Disk
	closed atomic.Bool
}

var (
	_ endpoints.Checksummer   = (*Storage)(nil)
	_ endpoints.TimeSetter    = (*Storage)(nil)
	_ endpoints.ModeSetter    = (*Storage)(nil)
	_ endpoints.Linker        = (*Storage)(nil)
	_ endpoints.SpaceReporter = (*Storage)(nil)
	_ endpoints.ThirdParty    = (*Storage)(nil)
)

// pageSize is how many entries a page of a listing holds.
const pageSize = 1000

// maxName is the longest name, as on most file systems.
const maxName = 255

// Caps tells what the disk can do.
func (s *Storage) Caps() endpoints.Caps {
	return endpoints.Caps{
		Kind:       "memory",
		Server:     s.disk.opts.Server,
		StreamOnly: s.disk.opts.StreamOnly,
		Ranges:     !s.disk.opts.StreamOnly && s.disk.opts.Parts.Most == 0,
		Times:      true,
		Modes:      true,
		Links:      true,
		Checksums:  slices.Clone(s.disk.opts.Checksums),
		MaxName:    maxName,
		Parts:      s.disk.opts.Parts,

		Multiplexed: true,
		NoEmptyDirs: s.disk.opts.NoEmptyDirs,
		OneAnswer:   s.disk.opts.OneAnswer,
	}
}

// enter is the beginning of every call.
func (s *Storage) enter(ctx context.Context, op Op, path string) error {
	if err := endpoints.CheckPath(string(op), path); err != nil {
		return err
	}
	if len(pathpkg.Base(path)) > maxName {
		return fault.Wrap(fault.Invalid, string(op), path, syscall.ENAMETOOLONG)
	}
	return s.live(ctx, op, path, 0)
}

func (s *Storage) live(ctx context.Context, op Op, path string, offset int64) error {
	if err := ctx.Err(); err != nil {
		return fault.Wrap(fault.KindOf(err), string(op), path, err)
	}
	if s.closed.Load() {
		return fault.New(fault.Transient, string(op), path, "the storage is closed")
	}
	return s.disk.faults.check(ctx, op, path, offset)
}

func failed(op Op, path string, err error, writes bool) error {
	if err == nil {
		return nil
	}
	return fault.Wrap(kind(err, writes), string(op), path, err)
}

func (n *node) entry(name string) endpoints.Entry {
	e := endpoints.Entry{Name: name, Type: n.typ, ModTime: n.modTime, Mode: n.mode, Target: n.target}
	if n.typ == endpoints.File {
		e.Size = int64(len(n.data))
	}
	return e
}

// Stat implements endpoints.Storage.
func (s *Storage) Stat(ctx context.Context, path string) (endpoints.Entry, error) {
	if err := s.enter(ctx, Stat, path); err != nil {
		return endpoints.Entry{}, err
	}
	s.disk.mu.RLock()
	defer s.disk.mu.RUnlock()
	n, err := s.disk.find(path, false)
	if err != nil {
		return endpoints.Entry{}, failed(Stat, path, err, false)
	}
	e := n.entry(path)
	e.Offline = s.disk.archive.offline(path)
	return e, nil
}

// List implements endpoints.Storage. The order is a different one each time,
// so that nobody comes to depend on it.
func (s *Storage) List(ctx context.Context, path string, page func([]endpoints.Entry) error) error {
	if err := s.enter(ctx, List, path); err != nil {
		return err
	}
	s.disk.mu.RLock()
	n, err := s.disk.find(path, true)
	if err == nil && n.typ != endpoints.Dir {
		err = syscall.ENOTDIR
	}
	var all []endpoints.Entry
	if err == nil {
		all = make([]endpoints.Entry, 0, len(n.children))
		for name, child := range n.children {
			e := child.entry(name)
			e.Offline = s.disk.archive.offline(pathpkg.Join(path, name))
			all = append(all, e)
		}
	}
	s.disk.mu.RUnlock()
	if err != nil {
		return failed(List, path, err, false)
	}
	for p := range slices.Chunk(all, pageSize) {
		if err := s.live(ctx, List, path, 0); err != nil {
			return err
		}
		if err := page(p); err != nil {
			return err
		}
	}
	return nil
}

// Open implements endpoints.Storage.
func (s *Storage) Open(ctx context.Context, path string, offset, length int64) (io.ReadCloser, error) {
	if err := s.enter(ctx, Open, path); err != nil {
		return nil, err
	}
	if offset < 0 || length < -1 {
		return nil, failed(Open, path, syscall.EINVAL, false)
	}
	s.disk.mu.RLock()
	defer s.disk.mu.RUnlock()
	n, err := s.disk.file(path)
	if err != nil {
		return nil, failed(Open, path, err, false)
	}
	if n.becomes != nil {
		return nil, fault.New(fault.Unsupported, string(Open), path, "the file is on its way, and not to be read before it is whole")
	}
	if s.disk.archive.offline(path) {
		return nil, fault.Wrap(fault.Unsupported, string(Open), path, endpoints.ErrOffline)
	}
	return &reader{s: s, ctx: ctx, path: path, node: n, off: offset, left: length}, nil
}

// file finds a file to be read. The caller holds mu.
func (d *Disk) file(path string) (*node, error) {
	n, err := d.find(path, true)
	if err == nil && n.typ != endpoints.File {
		err = syscall.EISDIR
	}
	return n, err
}

type reader struct {
	s    *Storage
	ctx  context.Context
	path string
	node *node
	off  int64
	left int64 // -1 is to the end
}

func (r *reader) Read(p []byte) (int, error) {
	if err := r.s.live(r.ctx, Read, r.path, r.off); err != nil {
		return 0, err
	}
	if r.left >= 0 && int64(len(p)) > r.left {
		p = p[:r.left]
	}
	r.s.disk.mu.RLock()
	defer r.s.disk.mu.RUnlock()
	if r.left == 0 || r.off >= int64(len(r.node.data)) {
		return 0, io.EOF
	}
	n := copy(p, r.node.data[r.off:])
	r.off += int64(n)
	if r.left > 0 {
		r.left -= int64(n)
	}
	return n, nil
}

func (r *reader) Close() error { return nil }

// Create implements endpoints.Storage.
func (s *Storage) Create(ctx context.Context, path string, opts endpoints.CreateOptions) (endpoints.Writer, error) {
	if err := s.enter(ctx, Create, path); err != nil {
		return nil, err
	}
	if opts.Offset < 0 {
		return nil, failed(Create, path, syscall.EINVAL, true)
	}
	if opts.Offset > 0 && s.disk.opts.StreamOnly {
		return nil, fault.New(fault.Unsupported, string(Create), path, "this disk writes files from their beginning only")
	}
	isObject := s.disk.opts.Parts.Most > 0
	if isObject && (opts.Offset > 0 || opts.Update) && opts.Becomes == nil {
		return nil, fault.New(fault.Unsupported, string(Create), path, "this disk writes files as a whole")
	}
	s.disk.mu.Lock()
	defer s.disk.mu.Unlock()
	s.disk.lead(path)
	n, parent, name, err := s.disk.resolve(path, !opts.Exclusive)
	switch {
	case err != nil:
		return nil, failed(Create, path, err, true)
	case n == nil:
		n = s.disk.newNode(endpoints.File)
		parent.children[name] = n
	case opts.Exclusive:
		return nil, failed(Create, path, syscall.EEXIST, true)
	case n.typ != endpoints.File:
		return nil, failed(Create, path, syscall.EISDIR, true)
	case !opts.Update && opts.Offset == 0:
		s.disk.used -= int64(len(n.data))
		n.data, n.modTime = nil, s.disk.opts.Now().UTC()
	}
	if isObject && opts.Becomes != nil && opts.Becomes.Size > s.disk.opts.Parts.Least {
		n.becomes = opts.Becomes
	}
	return &writer{s: s, ctx: ctx, path: path, node: n, off: opts.Offset, from: opts.Offset}, nil
}

type writer struct {
	s     *Storage
	ctx   context.Context
	path  string
	node  *node
	off   int64
	from  int64 // where it began
	ended bool
}

var errEnded = errors.New("the write has ended")

func (w *writer) Write(p []byte) (int, error) {
	if w.ended {
		return 0, fault.Wrap(fault.Internal, string(Write), w.path, errEnded)
	}
	if err := w.s.live(w.ctx, Write, w.path, w.off); err != nil {
		return 0, err
	}
	n, err := w.put(p, w.off)
	w.off += int64(n)
	return n, err
}

// WriteAt implements io.WriterAt.
func (w *writer) WriteAt(p []byte, off int64) (int, error) {
	if err := w.s.live(w.ctx, Write, w.path, off); err != nil {
		return 0, err
	}
	return w.put(p, off)
}

func (w *writer) put(p []byte, off int64) (int, error) {
	d := w.s.disk
	d.mu.Lock()
	defer d.mu.Unlock()
	if grow := off + int64(len(p)) - int64(len(w.node.data)); grow > 0 {
		if d.opts.Capacity > 0 && d.used+grow > d.opts.Capacity {
			return 0, failed(Write, w.path, syscall.ENOSPC, true)
		}
		d.used += grow
		w.node.data = append(w.node.data, make([]byte, grow)...)
	}
	copy(w.node.data[off:], p)
	w.node.modTime = d.opts.Now().UTC()
	return len(p), nil
}

func (w *writer) Commit() error {
	if w.ended {
		return fault.Wrap(fault.Internal, string(Commit), w.path, errEnded)
	}
	w.ended = true
	w.s.disk.mu.RLock()
	b := w.node.becomes
	w.s.disk.mu.RUnlock()
	if b != nil {
		r := endpoints.Range{Off: w.from, End: w.off}
		if w.s.disk.opts.Parts.Inside(r, b.Size) != r {
			return fault.New(fault.Invalid, string(Commit), w.path, "the range is no whole parts")
		}
	}
	return w.s.live(w.ctx, Commit, w.path, w.off)
}

func (w *writer) Abort() error {
	w.ended = true
	return nil
}

// Mkdir implements endpoints.Storage.
func (s *Storage) Mkdir(ctx context.Context, path string) error {
	return s.make(ctx, Mkdir, path, endpoints.Dir, "")
}

// Symlink implements endpoints.Linker.
func (s *Storage) Symlink(ctx context.Context, target, path string) error {
	return s.make(ctx, Symlink, path, endpoints.Link, target)
}

func (s *Storage) make(ctx context.Context, op Op, path string, t endpoints.Type, target string) error {
	if err := s.enter(ctx, op, path); err != nil {
		return err
	}
	s.disk.mu.Lock()
	defer s.disk.mu.Unlock()
	if op != Mkdir {
		s.disk.lead(path)
	}
	n, parent, name, err := s.disk.resolve(path, false)
	switch {
	case n != nil:
		return failed(op, path, syscall.EEXIST, true)
	case op == Mkdir && s.disk.opts.NoEmptyDirs && (err == nil || err == syscall.ENOENT):
		return nil
	case err != nil:
		return failed(op, path, err, true)
	}
	n = s.disk.newNode(t)
	n.target = target
	parent.children[name] = n
	return nil
}

// Rename implements endpoints.Storage.
func (s *Storage) Rename(ctx context.Context, from, to string) error {
	if err := s.enter(ctx, Rename, from); err != nil {
		return err
	}
	if err := endpoints.CheckPath(string(Rename), to); err != nil {
		return err
	}
	s.disk.mu.Lock()
	defer s.disk.mu.Unlock()
	n, parent, name, err := s.disk.resolve(from, false)
	if err == nil && (n == nil || parent == nil) {
		err = syscall.ENOENT
	}
	if err != nil {
		return failed(Rename, from, err, true)
	}
	s.disk.lead(to)
	old, toParent, toName, err := s.disk.resolve(to, false)
	switch {
	case err != nil:
		return failed(Rename, to, err, true)
	case old == n:
		return nil
	case toParent == nil, old != nil && (old.typ == endpoints.Dir) != (n.typ == endpoints.Dir):
		return failed(Rename, to, syscall.EISDIR, true)
	case old != nil && len(old.children) > 0:
		return failed(Rename, to, syscall.ENOTEMPTY, true)
	case n.holds(toParent):
		return failed(Rename, to, syscall.EINVAL, true)
	}
	if n.becomes != nil && to == n.becomes.Path {
		if int64(len(n.data)) != n.becomes.Size {
			return fault.New(fault.Integrity, string(Rename), from, "the file is not whole")
		}
		n.becomes = nil
	}
	if old != nil {
		s.disk.used -= int64(len(old.data))
	}
	delete(parent.children, name)
	toParent.children[toName] = n
	s.disk.leave(from)
	return nil
}

// holds says whether other is n or somewhere below it.
func (n *node) holds(other *node) bool {
	if n == other {
		return true
	}
	for _, c := range n.children {
		if c.holds(other) {
			return true
		}
	}
	return false
}

// Remove implements endpoints.Storage.
func (s *Storage) Remove(ctx context.Context, path string) error {
	if err := s.enter(ctx, Remove, path); err != nil {
		return err
	}
	s.disk.mu.Lock()
	defer s.disk.mu.Unlock()
	n, parent, name, err := s.disk.resolve(path, false)
	switch {
	case err == syscall.ENOTDIR:
		err = syscall.ENOENT // nothing to remove is no conflict
	case err != nil:
	case n == nil:
		err = syscall.ENOENT
	case parent == nil:
		err = syscall.EINVAL
	case len(n.children) > 0:
		err = syscall.ENOTEMPTY
	}
	if err != nil {
		return failed(Remove, path, err, true)
	}
	delete(parent.children, name)
	s.disk.used -= int64(len(n.data))
	s.disk.leave(path)
	return nil
}

// Close implements endpoints.Storage.
func (s *Storage) Close() error {
	s.closed.Store(true)
	return nil
}

// Checksum implements endpoints.Checksummer.
func (s *Storage) Checksum(ctx context.Context, path, alg string, offset, length int64, alive func()) (string, error) {
	if err := s.enter(ctx, Checksum, path); err != nil {
		return "", err
	}
	h := endpoints.NewHash(alg)
	if h == nil || !slices.Contains(s.disk.opts.Checksums, alg) {
		return "", fault.New(fault.Unsupported, string(Checksum), path, "this disk does not compute "+alg)
	}
	if offset < 0 || length < -1 {
		return "", failed(Checksum, path, syscall.EINVAL, false)
	}
	if alive != nil {
		alive()
	}
	s.disk.mu.RLock()
	defer s.disk.mu.RUnlock()
	n, err := s.disk.file(path)
	if err != nil {
		return "", failed(Checksum, path, err, false)
	}
	if n.becomes != nil && (offset != 0 || length >= 0) {
		return "", fault.New(fault.Unsupported, string(Checksum), path, "of a file on its way only the whole one is known")
	}
	data := n.data[min(offset, int64(len(n.data))):]
	if length >= 0 {
		data = data[:min(length, int64(len(data)))]
	}
	h.Write(data)
	return hex.EncodeToString(h.Sum(nil)), nil
}

// SetModTime implements endpoints.TimeSetter.
func (s *Storage) SetModTime(ctx context.Context, path string, t time.Time) error {
	return s.change(ctx, SetTime, path, func(n *node) { n.modTime = t.UTC() })
}

// SetMode implements endpoints.ModeSetter.
func (s *Storage) SetMode(ctx context.Context, path string, mode uint32) error {
	return s.change(ctx, SetMode, path, func(n *node) { n.mode = mode & 0o7777 })
}

func (s *Storage) change(ctx context.Context, op Op, path string, fn func(*node)) error {
	if err := s.enter(ctx, op, path); err != nil {
		return err
	}
	s.disk.mu.Lock()
	defer s.disk.mu.Unlock()
	n, err := s.disk.find(path, true)
	if err != nil {
		return failed(op, path, err, false)
	}
	fn(n)
	return nil
}

// Free implements endpoints.SpaceReporter. A disk without a capacity has
// room for an exbibyte.
func (s *Storage) Free(ctx context.Context, path string) (int64, error) {
	if err := s.enter(ctx, Stat, path); err != nil {
		return 0, err
	}
	s.disk.mu.RLock()
	defer s.disk.mu.RUnlock()
	if s.disk.opts.Capacity == 0 {
		return 1 << 60, nil
	}
	return s.disk.opts.Capacity - s.disk.used, nil
}
