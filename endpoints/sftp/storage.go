package sftp

import (
	"context"
	"errors"
	"io/fs"
	"math"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/pkg/sftp"

	"github.com/gridferry/gridferry/endpoints"
	"github.com/gridferry/gridferry/fault"
)

type (
	info    = os.FileInfo
	statVFS = sftp.StatVFS
)

// Storage is a place that one identity has logged in to.
type Storage struct {
	driver      *Driver
	pool        *pool
	opts        options
	name        string
	domain      string
	fingerprint string
	caps        endpoints.Caps
	says        []string // see Says
	home        string   // of the login, as the server sees it
	top         string   // the root without symbolic links, where there is one

	life context.Context
	end  context.CancelCauseFunc

	fresh  *fresh
	inside *inside
}

var (
	_ endpoints.TimeSetter    = (*Storage)(nil)
	_ endpoints.ModeSetter    = (*Storage)(nil)
	_ endpoints.Linker        = (*Storage)(nil)
	_ endpoints.SpaceReporter = (*Storage)(nil)
	_ endpoints.Credentialed  = (*Storage)(nil)
	_ endpoints.SelfDescriber = (*Storage)(nil)
)

// Caps implements endpoints.Storage.
func (s *Storage) Caps() endpoints.Caps { return s.caps }

// Says implements endpoints.SelfDescriber: the extensions.
func (s *Storage) Says() []string { return s.says }

// Fingerprint implements endpoints.Credentialed.
func (s *Storage) Fingerprint() string { return s.fingerprint }

// Close implements endpoints.Storage. Connections stay with the driver for a
// while, for the next one.
func (s *Storage) Close() error {
	s.end(errClosed)
	return nil
}

// Home is the directory of the login; of a storage with a root, the root where
// that is elsewhere.
func (s *Storage) Home(context.Context) (string, error) {
	if s.opts.root == "" {
		return s.home, nil
	}
	if rest, ok := below(s.home, s.top); ok {
		return "/" + rest, nil
	}
	return "/", nil
}

// below cuts dir off p.
func below(p, dir string) (rest string, ok bool) {
	if p == dir {
		return "", true
	}
	return strings.CutPrefix(p, strings.TrimSuffix(dir, "/")+"/")
}

// real is a path as the server has it.
func (s *Storage) real(p string) string {
	switch {
	case s.opts.root == "":
		return p
	case p == "/":
		return s.opts.root
	}
	return s.opts.root + p
}

// enter begins a call at p: it lends a connection, which the caller releases.
func (s *Storage) enter(ctx context.Context, op, p string) (*conn, error) {
	if err := endpoints.CheckPath(op, p); err != nil {
		return nil, err
	}
	if err := s.live(ctx, op, p); err != nil {
		return nil, err
	}
	c, err := s.pool.get(ctx)
	if err != nil {
		return nil, s.refused(ctx, "log in to", err)
	}
	return c, nil
}

func (s *Storage) live(ctx context.Context, op, p string) error {
	if err := ctx.Err(); err != nil {
		return fault.Wrap(fault.KindOf(err), op, p, err)
	}
	if s.life.Err() != nil {
		return fault.Wrap(fault.Transient, op, p, errClosed)
	}
	return nil
}

// change runs a request that changes something at p.
func (s *Storage) change(ctx context.Context, op, p string, a access, request func(c *conn, real string) error) error {
	return s.ask(ctx, op, p, false, a, request)
}

// ask runs a request that changes p itself or, where it follows, what p leads to.
func (s *Storage) ask(ctx context.Context, op, p string, follows bool, a access, request func(c *conn, real string) error) error {
	c, err := s.enter(ctx, op, p)
	if err != nil {
		return err
	}
	defer c.release()
	if err := s.within(ctx, c, op, p, follows); err != nil {
		return err
	}
	return s.classify(ctx, c, op, p, do(ctx, s, c, func() error { return request(c, s.real(p)) }), a)
}

// Stat implements endpoints.Storage.
func (s *Storage) Stat(ctx context.Context, p string) (endpoints.Entry, error) {
	const op = "stat"
	c, err := s.enter(ctx, op, p)
	if err != nil {
		return endpoints.Entry{}, err
	}
	defer c.release()
	if err := s.within(ctx, c, op, p, false); err != nil {
		return endpoints.Entry{}, err
	}
	fi, err := call(ctx, s, c, func() (info, error) { return c.sftp.Lstat(s.real(p)) }, nil)
	if err != nil {
		return endpoints.Entry{}, s.classify(ctx, c, op, p, err, reads)
	}
	e := statEntry(p, fi)
	if e.Type == endpoints.Link {
		if e.Target, err = call(ctx, s, c, func() (string, error) { return c.sftp.ReadLink(s.real(p)) }, nil); err != nil {
			return endpoints.Entry{}, s.classify(ctx, c, op, p, err, reads)
		}
	}
	return e, nil
}

// Mkdir implements endpoints.Storage.
func (s *Storage) Mkdir(ctx context.Context, p string) error {
	const op = "make directory"
	if p == "/" {
		return fault.New(fault.Exists, op, p, "the directory exists")
	}
	return s.change(ctx, op, p, makes, func(c *conn, real string) error { return c.sftp.Mkdir(real) })
}

// Remove implements endpoints.Storage.
func (s *Storage) Remove(ctx context.Context, p string) error {
	const op = "remove"
	if p == "/" && s.live(ctx, op, p) == nil {
		return fault.New(fault.Permission, op, p, "this is the directory that is served")
	}
	c, err := s.enter(ctx, op, p)
	if err != nil {
		return err
	}
	defer c.release()
	if err := s.within(ctx, c, op, p, false); err != nil {
		return err
	}
	s.fresh.forget(p)
	// The library's Remove tries both ways, and tells of the second one.
	err = do(ctx, s, c, func() error { return removeFile(c.sftp, s.real(p)) })
	if err == nil || errors.Is(err, fs.ErrNotExist) || ctx.Err() != nil || s.life.Err() != nil {
		return s.classify(ctx, c, op, p, err, reads)
	}
	return s.classify(ctx, c, op, p, err, writes)
}

// removeFile removes a file or an empty directory.
func removeFile(c *sftp.Client, real string) error {
	err := c.Remove(real)
	var pe *fs.PathError
	if errors.As(err, &pe) {
		return pe.Err
	}
	return err
}

// Rename implements endpoints.Storage.
func (s *Storage) Rename(ctx context.Context, from, to string) error {
	const op = "rename"
	if err := endpoints.CheckPath(op, to); err != nil {
		return err
	}
	c, err := s.enter(ctx, op, from)
	if err != nil {
		return err
	}
	defer c.release()
	for _, p := range []string{from, to} {
		if err := s.within(ctx, c, op, p, false); err != nil {
			return err
		}
		s.fresh.forget(p)
	}
	if !c.extension(extPosixRename) {
		return s.renameFree(ctx, c, from, to)
	}
	err = do(ctx, s, c, func() error { return c.sftp.PosixRename(s.real(from), s.real(to)) })
	if errors.Is(err, fs.ErrNotExist) {
		if _, gone := call(ctx, s, c, func() (info, error) { return c.sftp.Lstat(s.real(from)) }, nil); gone != nil {
			return s.classify(ctx, c, op, from, err, reads)
		}
	}
	return s.classify(ctx, c, op, to, err, writes)
}

// renameFree renames to a name that is free. Version 3 of the protocol replaces
// nothing, and to remove what is there first would leave a moment without.
func (s *Storage) renameFree(ctx context.Context, c *conn, from, to string) error {
	const op = "rename"
	if from == to {
		_, err := call(ctx, s, c, func() (info, error) { return c.sftp.Lstat(s.real(from)) }, nil)
		return s.classify(ctx, c, op, from, err, reads)
	}
	fi, err := call(ctx, s, c, func() (info, error) { return c.sftp.Lstat(s.real(to)) }, nil)
	switch {
	case err == nil && fi.IsDir():
		return fault.New(fault.Exists, op, to, "a directory has that name")
	case err == nil:
		return &fault.Error{Kind: fault.Unsupported, Op: op, Path: to,
			Err: errors.New("the server replaces no file that is there (it has no " + extPosixRename + ")"), Hint: "remove the file, or choose another name"}
	}
	err = do(ctx, s, c, func() error { return c.sftp.Rename(s.real(from), s.real(to)) })
	return s.classify(ctx, c, op, from, err, writes)
}

// Symlink implements endpoints.Linker. The target is written as it is.
func (s *Storage) Symlink(ctx context.Context, target, p string) error {
	const op = "make symbolic link"
	if !s.caps.Links {
		return fault.New(fault.Unsupported, op, p, "it is not known in which order this server takes the two names")
	}
	if target == "" || len(target) > endpoints.MaxPath || strings.ContainsRune(target, 0) {
		return fault.New(fault.Invalid, op, p, "that is no target")
	}
	return s.change(ctx, op, p, makes, func(c *conn, real string) error { return c.sftp.Symlink(target, real) })
}

// SetModTime implements endpoints.TimeSetter. The protocol tells times in whole
// seconds since 1970, and knows none after 2106.
func (s *Storage) SetModTime(ctx context.Context, p string, t time.Time) error {
	const op = "set the time of"
	if !fits(t) {
		return fault.New(fault.Unsupported, op, p, "SFTP knows no times before 1970 or after 2106")
	}
	if err := s.live(ctx, op, p); err != nil {
		return err
	}
	if s.fresh.has(p, t) {
		return nil
	}
	return s.follow(ctx, op, p, func(c *conn, real string) error { return c.sftp.Chtimes(real, time.Now(), t) })
}

func fits(t time.Time) bool { return t.Unix() > 0 && t.Unix() <= math.MaxUint32 }

// SetMode implements endpoints.ModeSetter.
func (s *Storage) SetMode(ctx context.Context, p string, mode uint32) error {
	return s.follow(ctx, "set the mode of", p, func(c *conn, real string) error {
		return c.sftp.Chmod(real, os.FileMode(mode&0o7777))
	})
}

// follow runs a request that changes what p leads to.
func (s *Storage) follow(ctx context.Context, op, p string, request func(c *conn, real string) error) error {
	return s.ask(ctx, op, p, true, reads, request)
}

// Free implements endpoints.SpaceReporter.
func (s *Storage) Free(ctx context.Context, p string) (int64, error) {
	const op = "ask for free space at"
	c, err := s.enter(ctx, op, p)
	if err != nil {
		return 0, err
	}
	defer c.release()
	if !c.extension(extStatVFS) {
		return 0, fault.New(fault.Unsupported, op, p, "the server does not tell (it has no "+extStatVFS+")")
	}
	vfs, err := call(ctx, s, c, func() (*statVFS, error) { return c.sftp.StatVFS(s.real(p)) }, nil)
	if err != nil {
		return 0, s.classify(ctx, c, op, p, err, reads)
	}
	if free := vfs.Bavail * vfs.Frsize; vfs.Frsize == 0 || free/vfs.Frsize == vfs.Bavail {
		return int64(min(free, math.MaxInt64)), nil
	}
	return math.MaxInt64, nil
}

// fresh remembers with what times files were written, so that setting them
// again asks nobody.
type fresh struct {
	mu   sync.Mutex
	seen map[string]int64 // by path, in seconds
}

// freshMost is how many files may be between being written and being dealt with.
const freshMost = 4096

func newFresh() *fresh { return &fresh{seen: map[string]int64{}} }

func (f *fresh) put(p string, t time.Time) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(f.seen) >= freshMost {
		clear(f.seen) // what is forgotten is set once more
	}
	f.seen[p] = t.Unix()
}

// has tells that p was given that time as it was written, once.
func (f *fresh) has(p string, t time.Time) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	at, ok := f.seen[p]
	delete(f.seen, p)
	return ok && at == t.Unix()
}

func (f *fresh) forget(p string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.seen, p)
}
