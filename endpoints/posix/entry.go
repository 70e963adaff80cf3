package posix

import (
	"context"
	"errors"
	"io"
	"os"
	"path"
	"strconv"
	"syscall"

	"github.com/gridferry/gridferry/endpoints"
	"github.com/gridferry/gridferry/fault"
)

// pageSize is how many entries a page of a listing holds.
const pageSize = 1000

// entry describes what FileInfo says. readlink tells the target of a link.
func entry(name string, fi os.FileInfo, readlink func() (string, error)) (endpoints.Entry, error) {
	e := endpoints.Entry{Name: name, ModTime: fi.ModTime().UTC(), Mode: modeBits(fi.Mode())}
	switch fi.Mode().Type() {
	case 0:
		e.Type, e.Size, e.Inode = endpoints.File, fi.Size(), inode(fi)
	case os.ModeDir:
		e.Type = endpoints.Dir
	case os.ModeSymlink:
		e.Type = endpoints.Link
		var err error
		e.Target, err = readlink()
		return e, err
	default:
		e.Type = endpoints.Other
	}
	return e, nil
}

// inode tells which file it is of those that have several names.
func inode(fi os.FileInfo) string {
	st, ok := fi.Sys().(*syscall.Stat_t)
	if !ok || st.Nlink < 2 {
		return ""
	}
	return strconv.FormatUint(uint64(st.Dev), 36) + "." + strconv.FormatUint(st.Ino, 36)
}

// special pairs the bits above the permissions with Go's.
var special = [...]struct {
	bit  uint32
	mode os.FileMode
}{{0o4000, os.ModeSetuid}, {0o2000, os.ModeSetgid}, {0o1000, os.ModeSticky}}

func modeBits(m os.FileMode) uint32 {
	bits := uint32(m.Perm())
	for _, s := range special {
		if m&s.mode != 0 {
			bits |= s.bit
		}
	}
	return bits
}

func fileMode(bits uint32) os.FileMode {
	m := os.FileMode(bits & 0o777)
	for _, s := range special {
		if bits&s.bit != 0 {
			m |= s.mode
		}
	}
	return m
}

// Stat implements endpoints.Storage.
func (s *Storage) Stat(ctx context.Context, p string) (endpoints.Entry, error) {
	const op = "look at"
	t, name, err := s.at(ctx, op, p)
	if err != nil {
		return endpoints.Entry{}, err
	}
	if t == nil {
		return endpoints.Entry{Name: p, Type: endpoints.Dir}, nil
	}
	fi, err := t.Lstat(name)
	if err != nil {
		return endpoints.Entry{}, classify(op, p, err, false)
	}
	e, err := entry(p, fi, func() (string, error) { return t.Readlink(name) })
	return e, classify(op, p, err, false)
}

// List implements endpoints.Storage. Names that go away while they are listed
// are left out.
func (s *Storage) List(ctx context.Context, p string, page func([]endpoints.Entry) error) error {
	const op = "list"
	t, name, err := s.at(ctx, op, p)
	if err != nil {
		return err
	}
	if t == nil {
		var way []endpoints.Entry
		for _, name := range s.below(p) {
			way = append(way, endpoints.Entry{Name: name, Type: endpoints.Dir})
		}
		return page(way)
	}
	f, err := t.OpenFile(name, os.O_RDONLY|syscall.O_DIRECTORY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return classify(op, p, err, false)
	}
	defer f.Close()
	entries := make([]endpoints.Entry, 0, pageSize)
	for {
		if err := s.live(ctx, op, p); err != nil {
			return err
		}
		names, err := f.ReadDir(pageSize)
		if err != nil && !errors.Is(err, io.EOF) {
			return classify(op, p, err, false)
		}
		entries = entries[:0]
		for _, n := range names {
			fi, err := n.Info()
			var e endpoints.Entry
			if err == nil {
				e, err = entry(n.Name(), fi, func() (string, error) { return t.Readlink(path.Join(name, n.Name())) })
			}
			switch {
			case err == nil:
				entries = append(entries, e)
			case !isErrno(err, syscall.ENOENT):
				return classify(op, path.Join(p, n.Name()), err, false)
			}
		}
		if len(entries) > 0 {
			if err := page(entries); err != nil {
				return err
			}
		}
		if err != nil || len(names) == 0 {
			return nil
		}
	}
}

// Free implements endpoints.SpaceReporter: what this user may still write.
func (s *Storage) Free(ctx context.Context, p string) (int64, error) {
	const op = "ask for the free space of"
	t, name, err := s.inTree(ctx, op, p)
	if err != nil {
		return 0, err
	}
	f, err := t.OpenFile(name, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return 0, classify(op, p, err, false)
	}
	defer f.Close()
	conn, err := f.SyscallConn()
	if err != nil {
		return 0, fault.Wrap(fault.Internal, op, p, err)
	}
	var st syscall.Statfs_t
	var statErr error
	err = conn.Control(func(fd uintptr) { statErr = syscall.Fstatfs(int(fd), &st) })
	if err = errors.Join(err, statErr); err != nil {
		return 0, classify(op, p, err, false)
	}
	return int64(st.Bavail) * int64(st.Bsize), nil
}
