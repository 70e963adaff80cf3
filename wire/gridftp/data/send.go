package data

import (
	"context"
	"errors"
	"io"
	"sync"
	"sync/atomic"
)

// SendOptions tune one sending.
type SendOptions struct {
	Parallelism int // connections to use, at least; more that are open are used too. 0 is 1
	Block       int // bytes in a block, at most 256 KiB; 0 is that

	// Shift is added to the offsets of blocks, for a part of a file that the
	// receiver counts from its beginning.
	Shift int64

	// Close announces that the connections end with this file, and ends them.
	// Otherwise they are kept for the next one.
	Close bool

	// Progress, when not nil, hears of every block that was handed to the
	// network, from several goroutines.
	Progress func(Range)
}

// Send sends what source gives in extended block mode, over connections that it
// dials as needed, and returns how many bytes it sent. After an error the Set
// is closed.
func (s *Set) Send(ctx context.Context, source Source, config Config, o SendOptions) (int64, error) {
	config = config.withDefaults()
	n, err := s.send(ctx, source, config, o)
	if err != nil {
		_ = s.Close()
	}
	return n, err
}

func (s *Set) send(ctx context.Context, source Source, config Config, o SendOptions) (int64, error) {
	if s.Passive() {
		return 0, ErrDirection
	}
	conns, err := s.connect(ctx, config, min(max(o.Parallelism, 1), config.MaxConns))
	if err != nil {
		return 0, err
	}
	w := newWatch(ctx, config.Stall, nil)
	for _, c := range conns {
		w.add(c)
	}
	job := &sending{watch: w, source: source, block: blockSize, conns: len(conns), shift: o.Shift, progress: o.Progress}
	if o.Block > 0 && o.Block < blockSize {
		job.block = o.Block
	}
	job.file, _ = source.(*FileSource)
	if o.Close {
		job.end = FlagClose
	}
	var wg sync.WaitGroup
	for _, c := range conns[1:] {
		wg.Go(func() { job.run(c, FlagEOD) })
	}
	job.run(conns[0], FlagEOD|FlagEOF)
	wg.Wait()
	if err := w.end(); err != nil {
		return job.sent.Load(), err
	}
	if o.Close {
		for _, c := range conns {
			wg.Go(func() { _ = c.finish() })
		}
		wg.Wait()
		s.Drop()
	}
	return job.sent.Load(), nil
}

// connect returns the open connections and as many new ones as make them n.
func (s *Set) connect(ctx context.Context, config Config, n int) ([]*conn, error) {
	conns, err := s.take()
	if err != nil || len(conns) >= n {
		return conns, err
	}
	fresh := make([]*conn, n-len(conns))
	errs := make([]error, len(fresh))
	var wg sync.WaitGroup
	for i := range fresh {
		wg.Go(func() { fresh[i], errs[i] = s.dial(ctx, config) })
	}
	wg.Wait()
	for _, err := range errs {
		if err != nil {
			return nil, err
		}
	}
	return append(conns, fresh...), nil
}

// sending is one file on its way out over several connections.
type sending struct {
	watch    *watch
	file     *FileSource // source, when it can be read at several places at once
	block    int
	conns    int
	shift    int64
	end      Flags // beside the end of data
	progress func(Range)
	sent     atomic.Int64

	mu     sync.Mutex // one reader of source at a time
	source Source
	ended  bool
}

// run sends blocks over one connection until there are no more, and then the
// end of data.
func (j *sending) run(c *conn, end Flags) {
	if err := j.blocks(c, end|j.end); err != nil {
		j.watch.fail(j.watch.cause(err))
	}
}

func (j *sending) blocks(c *conn, end Flags) error {
	last := Header{Flags: end}
	if end&FlagEOF != 0 {
		last.Offset = int64(j.conns)
	}
	for {
		out, off, n, done, err := j.next(c)
		if err != nil {
			return err
		}
		// The end of data goes with the last block, so that a small file is
		// one packet.
		if done {
			out = last.Append(out)
		}
		if len(out) > 0 {
			if _, err := c.Write(out); err != nil {
				return err
			}
		}
		if n > 0 {
			j.moved(off, n)
		}
		if done {
			return nil
		}
	}
}

func (j *sending) moved(off int64, n int) {
	j.watch.moved.Add(int64(n))
	j.sent.Add(int64(n))
	if j.progress != nil {
		j.progress(Range{off, off + int64(n)})
	}
}

// next returns a block with its header, ready to be written, and what of the
// file it holds. done says that this connection has no more to send.
func (j *sending) next(c *conn) (out []byte, off int64, n int, done bool, err error) {
	buf := c.buffer()
	body := buf[HeaderSize : HeaderSize+j.block]
	if j.file != nil {
		off, n, done = j.file.claim(j.block)
		if n == 0 {
			return buf[:0], 0, 0, true, nil
		}
		if c.tcp != nil && j.file.file != nil && n >= sendfileWorth {
			return buf[:0], 0, 0, done, j.sendfile(c, off, n)
		}
		if err = j.file.readAt(body[:n], off); err != nil {
			err = &SourceError{err}
		}
	} else {
		off, n, done, err = j.read(body)
	}
	if err != nil || n == 0 {
		return buf[:0], 0, 0, done, err
	}
	Header{Count: int64(n), Offset: off + j.shift}.Append(buf[:0])
	return buf[:HeaderSize+n], off, n, done, nil
}

// sendfileWorth is the size in bytes from which a block is moved by the kernel:
// below it, one more call costs more than the copy it saves.
const sendfileWorth = 64 << 10

func (j *sending) sendfile(c *conn, off int64, n int) error {
	head := Header{Count: int64(n), Offset: off + j.shift}.Append(c.buffer()[:0])
	if _, err := c.Write(head); err != nil {
		return err
	}
	if err := copyFile(c, j.file, off, n); err != nil {
		return err
	}
	j.moved(off, n)
	return nil
}

// read takes the next bytes of a source that only one may read at a time.
func (j *sending) read(buf []byte) (off int64, n int, done bool, err error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.ended {
		return 0, 0, true, nil
	}
	off, n, err = j.source.Next(buf)
	if errors.Is(err, io.EOF) {
		j.ended, err = true, nil
	} else if err != nil {
		err = &SourceError{err}
	}
	return off, n, j.ended, err
}

// copyFile moves n bytes of the file to a connection in the clear, by the
// kernel if it can.
func copyFile(c *conn, file *FileSource, off int64, n int) error {
	moved, err := sendfile(c.tcp, file.file, off, int64(n))
	switch {
	case errors.Is(err, errors.ErrUnsupported):
	case errors.Is(err, ErrTruncatedFile):
		return &SourceError{err}
	case err != nil:
		return err
	}
	for n -= int(moved); n > 0; {
		off += moved
		part := c.buffer()[:min(n, blockSize)]
		if err := file.readAt(part, off); err != nil {
			return &SourceError{err}
		}
		if _, err := c.Write(part); err != nil {
			return err
		}
		moved = int64(len(part))
		n -= len(part)
	}
	return nil
}
