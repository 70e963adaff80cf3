package posix

import (
	"bytes"
	"errors"
	"io"
	"os"

	"github.com/gridferry/gridferry/endpoints"
)

var _ endpoints.FileWriter = (*writer)(nil)

// grain is how long a run of zeros is looked for, in bytes and from multiples of
// itself in the file: every file system's blocks divide it.
const grain = 64 << 10

// copyBuffer is how many bytes are copied at a time where the kernel does not.
const copyBuffer = 256 << 10

// CopyFile implements endpoints.FileWriter. Where the file system shares blocks
// between files, or its server copies by itself, copy_file_range(2) has it do
// so. It moves f's position.
func (w *writer) CopyFile(f *os.File, off, n int64) error {
	if err := w.live(); err != nil {
		return err
	}
	at, err := w.f.Seek(0, io.SeekCurrent)
	if err != nil {
		return classify("write", w.path, err, true)
	}
	shift := at - off
	full, err := dense(f)
	if err != nil {
		return ofSource(err)
	}
	for end := off + n; off < end; {
		if err := w.live(); err != nil {
			return err
		}
		from, to, err := off, end, error(nil)
		if !full {
			from, to, err = extent(f, off, end)
		}
		err = ofSource(err)
		if err == nil && from > off {
			err = w.hole(off+shift, from-off)
		}
		if err == nil && to > from {
			err = w.copyData(f, from, from+shift, to-from)
		}
		var src *endpoints.SourceError
		if errors.Is(err, io.ErrUnexpectedEOF) || errors.As(err, &src) {
			return err
		}
		if err != nil {
			return classify("write", w.path, err, true)
		}
		off = to
	}
	_, err = w.f.Seek(at+n, io.SeekStart)
	return classify("write", w.path, err, true)
}

// ofSource says whose error it is.
func ofSource(err error) error {
	if err == nil || errors.Is(err, io.ErrUnexpectedEOF) {
		return err
	}
	k := kind(err, false)
	var pe *os.PathError
	if errors.As(err, &pe) {
		err = pe.Err // without the host's own path
	}
	return &endpoints.SourceError{Kind: k, Err: err}
}

// copyData copies n bytes of f from off to the offset at.
func (w *writer) copyData(f *os.File, off, at, n int64) error {
	copied, err := copyRange(w.f, f, at, off, n)
	off, at, n = off+copied, at+copied, n-copied
	if err != nil && !errors.Is(err, errors.ErrUnsupported) {
		return err
	}
	if n == 0 {
		return nil
	}
	buf, _ := w.s.buffers.Get().(*[copyBuffer]byte)
	defer w.s.buffers.Put(buf)
	for n > 0 {
		b := buf[:min(n, copyBuffer)]
		got, err := f.ReadAt(b, off)
		if got == 0 && err == io.EOF {
			return io.ErrUnexpectedEOF
		}
		if err != nil && err != io.EOF {
			return ofSource(err)
		}
		if _, err := w.f.WriteAt(b[:got], at); err != nil {
			return err
		}
		off, at, n = off+int64(got), at+int64(got), n-int64(got)
	}
	return nil
}

// hole makes n bytes at an offset read as zeros without writing them, where
// that can be.
func (w *writer) hole(at, n int64) error {
	w.reach = max(w.reach, at+n)
	if !w.keeps {
		return nil // nothing is there
	}
	err := punch(w.f, at, n)
	if !errors.Is(err, errors.ErrUnsupported) {
		return err
	}
	zeros := make([]byte, min(n, copyBuffer))
	for n > 0 {
		b := zeros[:min(n, copyBuffer)]
		if _, err := w.f.WriteAt(b, at); err != nil {
			return err
		}
		at, n = at+int64(len(b)), n-int64(len(b))
	}
	return nil
}

// extend makes the file as long as it is to be when what it ends in was not
// written.
func (w *writer) extend() error {
	if w.reach == 0 {
		return nil
	}
	fi, err := w.f.Stat()
	if err != nil || fi.Size() >= w.reach {
		return err
	}
	if !w.keeps {
		return w.f.Truncate(w.reach)
	}
	// Others may be writing what comes after: truncating to a length that was
	// too short a moment ago would take that from them. A byte of what is ours
	// can only make the file longer.
	_, err = w.f.WriteAt([]byte{0}, w.reach-1)
	return err
}

// writeSparse writes b at the file's position and leaves out runs of zeros.
func (w *writer) writeSparse(b []byte) (int, error) {
	at, err := w.f.Seek(0, io.SeekCurrent)
	if err != nil {
		return 0, err
	}
	done := 0
	var zeros [grain]byte
	for done < len(b) {
		length, empty := runOf(b[done:], at+int64(done), zeros[:])
		if empty {
			err = w.hole(at+int64(done), int64(length))
		} else {
			_, err = w.f.WriteAt(b[done:done+length], at+int64(done))
		}
		if err != nil {
			return done, err
		}
		done += length
	}
	_, err = w.f.Seek(at+int64(done), io.SeekStart)
	return done, err
}

// runOf says how many bytes at the beginning of b, which belongs at an offset,
// are to be treated alike, and whether they are whole grains of zeros.
func runOf(b []byte, at int64, zeros []byte) (length int, empty bool) {
	for length < len(b) {
		n := min(len(b)-length, grain-int((at+int64(length))%grain))
		zero := n == grain && bytes.Equal(b[length:length+n], zeros)
		if length > 0 && zero != empty {
			break
		}
		empty = zero
		length += n
	}
	return length, empty
}
