package data

import (
	"context"
	"errors"
	"io"
)

// SendStream sends what source gives, in the order it gives it, over one
// connection whose end is the file's end. It returns how many bytes it sent.
// After an error the Set is closed; otherwise it can be used again.
func (s *Set) SendStream(ctx context.Context, source Source, config Config, progress func(Range)) (int64, error) {
	return s.stream(ctx, config, func(c *conn, w *watch) (int64, error) { return sendStream(c, source, w, progress) }, (*conn).finish)
}

func sendStream(c *conn, source Source, w *watch, progress func(Range)) (int64, error) {
	var sent int64
	moved := func(off int64, n int) {
		sent += int64(n)
		w.moved.Add(int64(n))
		if progress != nil && n > 0 {
			progress(Range{off, off + int64(n)})
		}
	}
	if file, ok := source.(*FileSource); ok && file.file != nil && c.tcp != nil {
		for {
			off, n, last := file.claim(blockSize)
			if n > 0 {
				if err := copyFile(c, file, off, n); err != nil {
					return sent, err
				}
				moved(off, n)
			}
			if last {
				return sent, nil
			}
		}
	}
	for {
		off, n, err := source.Next(c.buffer()[:blockSize])
		if n > 0 {
			if _, err := c.Write(c.buffer()[:n]); err != nil {
				return sent, err
			}
			moved(off, n)
		}
		if errors.Is(err, io.EOF) {
			return sent, nil
		}
		if err != nil {
			return sent, &SourceError{err}
		}
	}
}

// ReceiveStream receives one file over one connection until the peer closes it,
// and writes it to sink from offset on. Over TLS an end without close_notify is
// an error; without TLS a peer that died may look like one that has finished.
// It returns how many bytes came. After an error the Set is closed.
func (s *Set) ReceiveStream(ctx context.Context, sink io.WriterAt, offset int64, config Config, o ReceiveOptions) (int64, error) {
	ended := func(*conn) error { return nil } // by the peer
	return s.stream(ctx, config, func(c *conn, w *watch) (int64, error) { return receiveStream(c, sink, offset, w, o) }, ended)
}

// stream has move take one file over a connection of its own, and finish end
// that when all is well. It returns what move says of bytes. After an error the
// Set is closed.
func (s *Set) stream(ctx context.Context, config Config, move func(*conn, *watch) (int64, error), finish func(*conn) error) (int64, error) {
	config = config.withDefaults()
	c, err := s.first(ctx, config)
	if err != nil {
		_ = s.Close()
		return 0, err
	}
	w := newWatch(ctx, config.Stall, nil)
	w.add(c)
	n, err := move(c, w)
	if err != nil {
		err = w.cause(err)
	}
	err = errors.Join(err, w.end())
	if err == nil {
		err = finish(c)
	}
	s.remove(c)
	if err != nil {
		_ = s.Close()
	}
	return n, err
}

func receiveStream(c *conn, sink io.WriterAt, offset int64, w *watch, o ReceiveOptions) (int64, error) {
	var received int64
	for {
		n, err := fill(c, c.buffer(), w)
		if n > 0 {
			end := offset + int64(n)
			if o.MaxOffset > 0 && end > o.MaxOffset {
				return received, &SinkError{errors.New("the stream is longer than it may be")}
			}
			if _, err := sink.WriteAt(c.buffer()[:n], offset); err != nil {
				return received, &SinkError{err}
			}
			received += int64(n)
			if o.Progress != nil {
				o.Progress(Range{offset, end})
			}
			offset = end
		}
		switch {
		case err == io.EOF:
			return received, nil
		case errors.Is(err, io.ErrUnexpectedEOF): // TLS without close_notify
			return received, ErrTruncated
		case err != nil:
			return received, err
		}
	}
}

// fill reads until buf is full or the connection ends. Every read counts as
// movement: a slow peer is not a stalled one.
func fill(c *conn, buf []byte, w *watch) (n int, err error) {
	for n < len(buf) && err == nil {
		var m int
		m, err = c.Read(buf[n:])
		n += m
		w.moved.Add(int64(m))
	}
	return n, err
}
