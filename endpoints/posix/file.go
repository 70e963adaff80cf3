package posix

import (
	"context"
	"encoding/hex"
	"errors"
	"io"
	"math"
	"os"
	"path"
	"sync"
	"syscall"
	"time"

	"github.com/gridferry/gridferry/endpoints"
	"github.com/gridferry/gridferry/fault"
)

// stride is how many bytes the kernel copies on its own before the context is
// looked at again.
const stride = 8 << 20

// Open implements endpoints.Storage. What it returns is also an
// endpoints.FileReader and an io.WriterTo, by which the kernel sends the
// bytes to a socket without this process touching them.
func (s *Storage) Open(ctx context.Context, p string, offset, length int64) (io.ReadCloser, error) {
	const op = "open"
	f, err := s.openFile(ctx, op, p, offset, length)
	if err != nil {
		return nil, err
	}
	if length < 0 {
		length = math.MaxInt64 // the end is where the file ends when it is reached
	}
	if _, err := f.Seek(offset, io.SeekStart); err != nil {
		_ = f.Close() // opened for reading
		return nil, classify(op, p, err, false)
	}
	return &reader{s: s, ctx: ctx, path: p, f: f, left: length}, nil
}

// openFile opens a regular file for reading. O_NONBLOCK keeps a pipe without
// a writer from holding the call; to files it means nothing.
func (s *Storage) openFile(ctx context.Context, op, p string, offset, length int64) (*os.File, error) {
	t, name, err := s.at(ctx, op, p)
	switch {
	case err != nil:
		return nil, err
	case offset < 0 || length < -1:
		return nil, fault.New(fault.Invalid, op, p, "the range begins before the file")
	case t == nil:
		return nil, classify(op, p, syscall.EISDIR, false)
	}
	f, err := t.OpenFile(name, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, classify(op, p, err, false)
	}
	if err := regular(f); err != nil {
		_ = f.Close() // opened for reading
		return nil, classify(op, p, err, false)
	}
	return f, nil
}

// regular refuses what is not a plain file, as the kernel would put it.
func regular(f *os.File) error {
	fi, err := f.Stat()
	switch {
	case err != nil:
		return err
	case fi.IsDir():
		return syscall.EISDIR
	case !fi.Mode().IsRegular():
		return syscall.ENXIO
	}
	return nil
}

type reader struct {
	s    *Storage
	ctx  context.Context
	path string
	f    *os.File
	left int64
}

// File implements endpoints.FileReader.
func (r *reader) File() (*os.File, int64) { return r.f, r.left }

func (r *reader) Read(b []byte) (int, error) {
	if err := r.s.live(r.ctx, "read", r.path); err != nil {
		return 0, err
	}
	if r.left == 0 {
		return 0, io.EOF
	}
	n, err := r.f.Read(b[:min(int64(len(b)), r.left)])
	r.left -= int64(n)
	if err != nil && err != io.EOF {
		err = classify("read", r.path, err, false)
	}
	return n, err
}

// WriteTo implements io.WriterTo. Its errors are w's as well as the file's.
func (r *reader) WriteTo(w io.Writer) (int64, error) {
	var total int64
	for r.left > 0 {
		if err := r.s.live(r.ctx, "read", r.path); err != nil {
			return total, err
		}
		want := min(r.left, stride)
		n, err := io.Copy(w, &io.LimitedReader{R: r.f, N: want})
		r.left -= n
		total += n
		var pe *os.PathError
		if errors.As(err, &pe) {
			err = classify("read", r.path, err, false)
		}
		if err != nil || n < want {
			return total, err
		}
	}
	return total, nil
}

func (r *reader) Close() error { return classify("close", r.path, r.f.Close(), false) }

// Create implements endpoints.Storage. The Writer is also an io.ReaderFrom,
// by which the kernel moves bytes from a socket or another file on its own,
// and an io.WriterAt.
func (s *Storage) Create(ctx context.Context, p string, opts endpoints.CreateOptions) (endpoints.Writer, error) {
	const op = "create"
	t, name, err := s.inTree(ctx, op, p)
	if err != nil {
		return nil, err
	}
	if opts.Offset < 0 {
		return nil, fault.New(fault.Invalid, op, p, "the offset is negative")
	}
	flags := os.O_WRONLY | os.O_CREATE | syscall.O_NONBLOCK
	if opts.Exclusive {
		flags |= os.O_EXCL
	} else if !opts.Update && opts.Offset == 0 {
		flags |= os.O_TRUNC
	}
	f, err := t.OpenFile(name, flags, 0o666)
	if err != nil {
		return nil, classify(op, p, err, true)
	}
	w := &writer{s: s, ctx: ctx, path: p, t: t, dir: path.Dir(name), f: f, base: opts.Offset, keeps: opts.Update || opts.Offset > 0}
	w.room = endpoints.Range{Off: opts.Offset, End: opts.Offset + max(0, opts.Size)}
	if b := opts.Becomes; b != nil {
		w.room = endpoints.Range{End: b.Size}
	}
	if err := w.prepare(); err != nil {
		_ = f.Close() // nothing was written
		return nil, classify(op, p, err, true)
	}
	return w, nil
}

type writer struct {
	s     *Storage
	ctx   context.Context
	path  string
	t     tree
	dir   string
	f     *os.File
	base  int64
	room  endpoints.Range // that the bytes announced will take: of a file in parts, the others' as well
	keeps bool            // the file is others' as well, or was there before
	reach int64           // where the last of the holes ends that were left
	ended bool

	allocated sync.Once
	full      error // what came of that
}

// worthAllocating is the size from which a file is given its blocks at once:
// in one piece, and refused now rather than at its end when the disk is full.
const worthAllocating = 1 << 20

// allocateStretch is how many bytes are allocated before the context is looked
// at again. tmpfs gives back what a call had when a signal interrupts it; an
// extent of ext4 that is not written yet is no longer.
const allocateStretch = 128 << 20

func (w *writer) prepare() error {
	if err := regular(w.f); err != nil {
		return err
	}
	_, err := w.f.Seek(w.base, io.SeekStart)
	return err
}

// allocate is called when it is known that bytes will be written: what the
// kernel copies may take less room than its size, or none. Whichever part of a
// file comes first allocates all of it and the others wait: allocating and
// writing take the same lock in the kernel, on which they would all be spinning.
func (w *writer) allocate() error {
	w.allocated.Do(func() {
		if w.room.Len() < worthAllocating || w.s.sparse {
			return
		}
		_, err, _ := w.s.allocating.Do(w.path, func() (any, error) { return nil, w.allocateRoom() })
		// Any other error is of a file system that does not know how, or of
		// another part that was given up.
		if isErrno(err, syscall.ENOSPC) || isErrno(err, syscall.EDQUOT) {
			w.full = classify("write", w.path, err, true)
		}
	})
	return w.full
}

func (w *writer) allocateRoom() error {
	if fi, err := w.f.Stat(); err != nil || w.room.Off == 0 && blocks(fi) >= w.room.End {
		return err // an earlier part has allocated it
	}
	for off := w.room.Off; off < w.room.End; off += allocateStretch {
		if err := w.live(); err != nil {
			return err
		}
		if err := allocate(w.f, off, min(allocateStretch, w.room.End-off)); err != nil {
			return err
		}
	}
	return nil
}

// ready is asked before bytes are written.
func (w *writer) ready() error {
	if err := w.live(); err != nil {
		return err
	}
	return w.allocate()
}

func (w *writer) live() error {
	if w.ended {
		return fault.New(fault.Internal, "write", w.path, "the write has ended")
	}
	return w.s.live(w.ctx, "write", w.path)
}

func (w *writer) Write(b []byte) (int, error) {
	if err := w.ready(); err != nil {
		return 0, err
	}
	write := w.f.Write
	if w.s.sparse {
		write = w.writeSparse
	}
	n, err := write(b)
	return n, classify("write", w.path, err, true)
}

// WriteAt implements io.WriterAt; the offset is of the file.
func (w *writer) WriteAt(b []byte, off int64) (int, error) {
	if err := w.ready(); err != nil {
		return 0, err
	}
	n, err := w.f.WriteAt(b, off)
	return n, classify("write", w.path, err, true)
}

// ReadFrom implements io.ReaderFrom. A limited reader is unwrapped, as the
// kernel's ways of copying are found behind one such wrapping only.
func (w *writer) ReadFrom(r io.Reader) (int64, error) {
	if w.s.sparse { // the kernel does not look for zeros
		return io.Copy(struct{ io.Writer }{w}, r)
	}
	left := int64(math.MaxInt64)
	outer, limited := r.(*io.LimitedReader)
	if limited {
		r, left = outer.R, outer.N
	}
	var total int64
	for left > 0 {
		if err := w.ready(); err != nil {
			return total, err
		}
		want := min(left, stride)
		n, err := w.f.ReadFrom(&io.LimitedReader{R: r, N: want})
		total += n
		left -= n
		if limited {
			outer.N -= n
		}
		var pe *os.PathError
		if errors.As(err, &pe) {
			err = classify("write", w.path, err, true)
		}
		if err != nil || n < want {
			return total, err
		}
	}
	return total, nil
}

// Commit makes the bytes and the name durable.
func (w *writer) Commit() error {
	if err := w.live(); err != nil {
		return err
	}
	w.ended = true
	err := w.extend()
	if err == nil && !w.s.noSync {
		err = w.f.Sync()
	}
	if err = errors.Join(err, w.f.Close()); err != nil {
		return classify("write", w.path, err, true)
	}
	return w.s.syncDir(w.t, "write", w.path, w.dir)
}

// Abort leaves what was written.
func (w *writer) Abort() error {
	if w.ended {
		return nil
	}
	w.ended = true
	return classify("close", w.path, w.f.Close(), true)
}

// aliveEvery is how often a checksum says that it is still being computed.
const aliveEvery = time.Second

// Checksum implements endpoints.Checksummer.
func (s *Storage) Checksum(ctx context.Context, p, alg string, offset, length int64, alive func()) (string, error) {
	const op = "compute the checksum of"
	h := endpoints.NewHash(alg)
	if h == nil {
		return "", fault.New(fault.Unsupported, op, p, "no such algorithm: "+alg)
	}
	f, err := s.openFile(ctx, op, p, offset, length)
	if err != nil {
		return "", err
	}
	defer f.Close()
	if length < 0 {
		length = math.MaxInt64 - offset
	}
	part := io.NewSectionReader(f, offset, length)
	buf := make([]byte, 256<<10)
	last := time.Now()
	for {
		if err := s.live(ctx, op, p); err != nil {
			return "", err
		}
		n, err := part.Read(buf)
		h.Write(buf[:n])
		if err == io.EOF {
			return hex.EncodeToString(h.Sum(nil)), nil
		}
		if err != nil {
			return "", classify(op, p, err, false)
		}
		if alive != nil && time.Since(last) >= aliveEvery {
			alive()
			last = time.Now()
		}
	}
}
