// Package posix is storage in the file system of this host, as its kernel
// shows it to this process. It serves trees, each confined to a directory:
// neither ".." nor a symbolic link, whoever makes it and whenever, leads
// outside.
package posix

import (
	"context"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/singleflight"

	"github.com/gridferry/gridferry/endpoints"
	"github.com/gridferry/gridferry/fault"
)

// Options say what is served.
type Options struct {
	// Mounts maps paths of the storage to directories of the host. {"/": dir}
	// makes dir the root; {dir: dir} shows a directory under its own name,
	// and of what is above it no more than the way down.
	Mounts map[string]string

	// NoSync leaves files and names to the kernel's own time: a host that
	// crashes loses what was committed shortly before.
	NoSync bool

	// Sparse leaves holes where zeros would be written. Without, holes are kept
	// of files that come from this host, and made nowhere else.
	Sparse bool
}

// Storage serves the mounts. It has every ability but third-party transfers.
type Storage struct {
	mounts  []mount // longest path first
	noSync  bool
	sparse  bool
	closed  atomic.Bool
	buffers sync.Pool // of [copyBuffer]byte

	allocating singleflight.Group // by path
}

type mount struct {
	at   string // "/" or "/a/b"
	tree tree
}

var (
	_ endpoints.Checksummer   = (*Storage)(nil)
	_ endpoints.TimeSetter    = (*Storage)(nil)
	_ endpoints.ModeSetter    = (*Storage)(nil)
	_ endpoints.Linker        = (*Storage)(nil)
	_ endpoints.HardLinker    = (*Storage)(nil)
	_ endpoints.SpaceReporter = (*Storage)(nil)
)

// Open opens the mounts, which must exist.
func Open(opts Options) (*Storage, error) {
	s := &Storage{noSync: opts.NoSync, sparse: opts.Sparse, buffers: sync.Pool{New: func() any { return new([copyBuffer]byte) }}}
	for at, dir := range opts.Mounts {
		if err := endpoints.CheckPath("mount", at); err != nil {
			return nil, s.abandon(err)
		}
		if !filepath.IsAbs(dir) {
			return nil, s.abandon(fault.New(fault.Invalid, "mount", dir, "the directory is not absolute"))
		}
		t, err := openTree(dir)
		if err != nil {
			return nil, s.abandon(classify("mount", dir, err, false))
		}
		s.mounts = append(s.mounts, mount{at, t})
	}
	if len(s.mounts) == 0 {
		return nil, fault.New(fault.Permission, "open", "the file system", "no directory is served")
	}
	slices.SortFunc(s.mounts, func(a, b mount) int { return len(b.at) - len(a.at) })
	return s, nil
}

func (s *Storage) abandon(err error) error {
	_ = s.Close() // it only held directories open
	return err
}

// maxName is NAME_MAX of every file system that Linux users meet.
const maxName = 255

// Caps tells what the file system can do.
func (s *Storage) Caps() endpoints.Caps {
	return endpoints.Caps{
		Kind:      "posix",
		Ranges:    true,
		Times:     true,
		Modes:     true,
		Links:     true,
		Checksums: endpoints.Algorithms(),
		FoldsCase: runtime.GOOS == "darwin",
		MaxName:   maxName,

		Multiplexed: true,
	}
}

// Close implements endpoints.Storage.
func (s *Storage) Close() error {
	if s.closed.Swap(true) {
		return nil
	}
	for _, m := range s.mounts {
		_ = m.tree.Close() // a directory opened for reading has nothing to lose
	}
	return nil
}

// live is asked before each call and each block.
func (s *Storage) live(ctx context.Context, op, path string) error {
	if err := ctx.Err(); err != nil {
		return fault.Wrap(fault.KindOf(err), op, path, err)
	}
	if s.closed.Load() {
		return fault.New(fault.Transient, op, path, "the storage is closed")
	}
	return nil
}

// at finds the tree that holds a path, and the path's name in it. The tree is
// nil for a directory above the mounts, which is shown and cannot be changed.
func (s *Storage) at(ctx context.Context, op, p string) (tree, string, error) {
	if err := endpoints.CheckPath(op, p); err != nil {
		return nil, "", err
	}
	if err := s.live(ctx, op, p); err != nil {
		return nil, "", err
	}
	for _, m := range s.mounts {
		switch {
		case p == m.at:
			return m.tree, ".", nil
		case m.at == "/":
			return m.tree, p[1:], nil
		case strings.HasPrefix(p, m.at+"/"):
			return m.tree, p[len(m.at)+1:], nil
		}
	}
	if len(s.below(p)) > 0 {
		return nil, "", nil
	}
	return nil, "", &fault.Error{
		Kind: fault.Permission, Op: op, Path: p,
		Err:  fmt.Errorf("outside of the directories that are served"),
		Hint: "served are: " + s.served(),
	}
}

// inTree is at for calls that change something.
func (s *Storage) inTree(ctx context.Context, op, p string) (tree, string, error) {
	t, name, err := s.at(ctx, op, p)
	if err == nil && t == nil {
		return nil, "", fault.New(fault.Permission, op, p, "the directory is above those that are served")
	}
	return t, name, err
}

// below names what leads from p to a mount.
func (s *Storage) below(p string) []string {
	var names []string
	for _, m := range s.mounts {
		if rest, ok := strings.CutPrefix(m.at, strings.TrimSuffix(p, "/")+"/"); ok && rest != "" {
			name, _, _ := strings.Cut(rest, "/")
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
}

func (s *Storage) served() string {
	var at []string
	for _, m := range s.mounts {
		at = append(at, m.at)
	}
	slices.Sort(at)
	return strings.Join(at, ", ")
}

// Mkdir implements endpoints.Storage.
func (s *Storage) Mkdir(ctx context.Context, p string) error {
	const op = "make directory"
	t, name, err := s.at(ctx, op, p)
	if err != nil {
		return err
	}
	if t == nil || name == "." {
		return fault.New(fault.Exists, op, p, "the directory exists")
	}
	if err := t.Mkdir(name, 0o777); err != nil {
		return classify(op, p, err, true)
	}
	return s.syncDir(t, op, p, path.Dir(name))
}

// Rename implements endpoints.Storage. The new name is durable when it
// returns.
func (s *Storage) Rename(ctx context.Context, from, to string) error {
	const op = "rename"
	t, name, name2, err := s.inOneTree(ctx, op, from, to)
	if err != nil {
		return err
	}
	if err := t.Rename(name, name2); err != nil {
		return classify(op, from+" to "+to, err, true)
	}
	if err := s.syncDir(t, op, to, path.Dir(name2)); err != nil || path.Dir(name) == path.Dir(name2) {
		return err
	}
	return s.syncDir(t, op, from, path.Dir(name))
}

// Remove implements endpoints.Storage.
func (s *Storage) Remove(ctx context.Context, p string) error {
	const op = "remove"
	t, name, err := s.inTree(ctx, op, p)
	if err != nil {
		return err
	}
	if name == "." {
		return fault.New(fault.Permission, op, p, "this is the directory that is served")
	}
	err = t.Remove(name)
	if isErrno(err, errNotDir) {
		return fault.Wrap(fault.NotFound, op, p, err) // nothing to remove is no conflict
	}
	return classify(op, p, err, true)
}

// inOneTree is inTree for two names of one file.
func (s *Storage) inOneTree(ctx context.Context, op, from, to string) (t tree, name, name2 string, err error) {
	if t, name, err = s.inTree(ctx, op, from); err != nil {
		return t, "", "", err
	}
	t2, name2, err := s.inTree(ctx, op, to)
	if err == nil && t != t2 {
		err = fault.New(fault.Unsupported, op, from, "the new name is in another of the directories that are served")
	}
	return t, name, name2, err
}

// Symlink implements endpoints.Linker. The target is written as it is; one
// that leads outside is a link that nobody can follow here.
func (s *Storage) Symlink(ctx context.Context, target, p string) error {
	const op = "make symbolic link"
	t, name, err := s.inTree(ctx, op, p)
	if err != nil {
		return err
	}
	if err := t.Symlink(target, name); err != nil {
		return classify(op, p, err, true)
	}
	return s.syncDir(t, op, p, path.Dir(name))
}

// Link implements endpoints.HardLinker.
func (s *Storage) Link(ctx context.Context, from, to string) error {
	const op = "make hard link"
	t, name, name2, err := s.inOneTree(ctx, op, from, to)
	if err != nil {
		return err
	}
	if err := t.Link(name, name2); err != nil {
		return classify(op, from+" to "+to, err, true)
	}
	return s.syncDir(t, op, to, path.Dir(name2))
}

// SetModTime implements endpoints.TimeSetter.
func (s *Storage) SetModTime(ctx context.Context, p string, mtime time.Time) error {
	const op = "set the time of"
	t, name, err := s.inTree(ctx, op, p)
	if err != nil {
		return err
	}
	return classify(op, p, t.Chtimes(name, time.Time{}, mtime), false)
}

// SetMode implements endpoints.ModeSetter.
func (s *Storage) SetMode(ctx context.Context, p string, mode uint32) error {
	const op = "set the mode of"
	t, name, err := s.inTree(ctx, op, p)
	if err != nil {
		return err
	}
	return classify(op, p, t.Chmod(name, fileMode(mode)), false)
}

// syncDir makes the names in a directory durable.
func (s *Storage) syncDir(t tree, op, p, dir string) error {
	if s.noSync {
		return nil
	}
	f, err := t.OpenFile(dir, os.O_RDONLY, 0)
	if err != nil {
		if os.IsPermission(err) {
			return nil // a drop box: names may be made in it and not be read
		}
		return classify(op, p, err, true)
	}
	err = f.Sync()
	_ = f.Close() // opened for reading
	if isErrno(err, errInvalid) || isErrno(err, errNotSup) {
		return nil // the file system keeps names in its own way
	}
	return classify(op, p, err, true)
}
