package data

import (
	"errors"
	"io"
	"math"
	"sync"
	"syscall"
)

// A Range is the bytes of a file from Off up to, and not including, End.
type Range struct{ Off, End int64 }

// A Source gives the bytes to send. It is used by one goroutine at a time.
type Source interface {
	// Next fills buf from its start and returns how many bytes it put there
	// and where in the file they belong. It returns io.EOF, with the last
	// bytes or after them, when there are no more.
	Next(buf []byte) (off int64, n int, err error)
}

// NewStreamSource gives what r holds, as the bytes from offset on.
func NewStreamSource(r io.Reader, offset int64) Source {
	return &streamSource{r: r, off: offset}
}

type streamSource struct {
	r   io.Reader
	off int64
}

func (s *streamSource) Next(buf []byte) (int64, int, error) {
	off := s.off
	n, err := io.ReadFull(s.r, buf)
	s.off += int64(n)
	if errors.Is(err, io.ErrUnexpectedEOF) {
		err = io.EOF
	}
	return off, n, err
}

// A FileSource gives ranges of a file that can be read anywhere. Connections
// in parallel read it at the same time, and where the file has a descriptor
// (an *os.File, or a type that embeds one) and the connection is in the clear,
// the kernel moves its bytes without showing them to this process.
type FileSource struct {
	r    io.ReaderAt
	file syscall.Conn // nil without a descriptor

	mu     sync.Mutex
	ranges []Range // what is still to be given
}

// NewFileSource gives the ranges of r, in their order. A range may not reach
// beyond the end of the file: see ErrTruncatedFile.
func NewFileSource(r io.ReaderAt, ranges ...Range) *FileSource {
	s := &FileSource{r: r}
	for _, rg := range ranges {
		if rg.Off < rg.End {
			s.ranges = append(s.ranges, rg)
		}
	}
	s.file, _ = r.(syscall.Conn)
	return s
}

// ErrTruncatedFile says that the file ended before a range that was promised:
// somebody cut it while it was sent.
var ErrTruncatedFile = errors.New("the file became shorter while it was sent")

// Next implements Source.
func (s *FileSource) Next(buf []byte) (int64, int, error) {
	off, n, last := s.claim(len(buf))
	if err := s.readAt(buf[:n], off); err != nil {
		return off, 0, err
	}
	if last {
		return off, n, io.EOF
	}
	return off, n, nil
}

// claim hands out the next n bytes, at most limit, to one caller. last says that
// nothing is left after them; then n may be 0.
func (s *FileSource) claim(limit int) (off int64, n int, last bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.ranges) == 0 {
		return 0, 0, true
	}
	r := &s.ranges[0]
	off = r.Off
	n = int(min(int64(limit), r.End-r.Off, math.MaxInt32))
	if r.Off += int64(n); r.Off == r.End {
		s.ranges = s.ranges[1:]
	}
	return off, n, len(s.ranges) == 0
}

func (s *FileSource) readAt(buf []byte, off int64) error {
	n, err := s.r.ReadAt(buf, off)
	switch {
	case n == len(buf):
		return nil
	case err == nil || errors.Is(err, io.EOF):
		return ErrTruncatedFile
	}
	return err
}
