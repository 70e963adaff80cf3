package data

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync/atomic"
	"time"

	"github.com/gridferry/gridferry/wire/gsi"
)

// ReceiveOptions bound and observe one receiving.
type ReceiveOptions struct {
	// MaxOffset is the first byte that may not be written; 0 is no bound.
	MaxOffset int64

	// Progress, when not nil, hears of everything that the sink took, from
	// several goroutines.
	Progress func(Range)
}

// Receive receives one file in extended block mode and returns how many bytes
// came. It is done when every connection that the sender used has said so. The
// sink is written to by several goroutines; one that also has an Abort(error),
// as Ordered has, is told when the transfer fails. After an error the Set is
// closed.
func (s *Set) Receive(ctx context.Context, sink io.WriterAt, config Config, o ReceiveOptions) (int64, error) {
	n, err := s.receive(ctx, sink, config.withDefaults(), o)
	if err != nil {
		_ = s.Close()
	}
	return n, err
}

// receiving is one file on its way in over several connections.
type receiving struct {
	watch    *watch
	sink     io.WriterAt
	limit    int64
	progress func(Range)
	received atomic.Int64
	results  chan result
}

// A result is how one connection ended its part.
type result struct {
	conn  *conn
	fresh bool  // it was made during this transfer
	eod   bool  // it said end of data
	eods  int64 // how many the file has, when it said end of file; else 0
	used  bool  // it brought something for this file
	err   error // why it ended, other than by end of data; io.EOF: the peer closed it
}

func (s *Set) receive(ctx context.Context, sink io.WriterAt, config Config, o ReceiveOptions) (int64, error) {
	if !s.Passive() {
		return 0, ErrDirection
	}
	conns, err := s.take()
	if err != nil {
		return 0, err
	}
	var abort func(error)
	if a, ok := sink.(interface{ Abort(error) }); ok {
		abort = a.Abort
	}
	w := newWatch(ctx, config.Stall, abort)
	r := &receiving{watch: w, sink: sink, limit: o.MaxOffset, progress: o.Progress, results: make(chan result)}
	running := 0
	start := func(c *conn, fresh bool) {
		w.add(c)
		running++
		go func() {
			res := r.run(c)
			res.fresh = fresh
			r.results <- res
		}()
	}
	for _, c := range conns {
		start(c, false)
	}
	secured := make(chan securing)
	handshakes := 0
	// Only the first connection has a time to come by: of more of them, and of
	// a connection that was kept, nothing is known but that bytes must move.
	connect := time.NewTimer(config.Connect)
	defer connect.Stop()

	var expected, eods int64
	failed := w.failed
	for failed != nil && (expected == 0 || eods < expected) {
		select {
		case raw := <-s.accepted:
			if running+handshakes >= config.MaxConns {
				_ = raw.Close()
				w.fail(fmt.Errorf("%w: more than %d", ErrTooMany, config.MaxConns))
				break
			}
			handshakes++
			go func() {
				hctx, cancel := context.WithTimeout(ctx, config.Connect)
				defer cancel()
				c, err := s.secure(hctx, raw, config, gsi.DataServer)
				secured <- securing{c, err}
			}()
		case done := <-secured:
			handshakes--
			if done.err != nil {
				w.fail(done.err)
				break
			}
			start(done.conn, true)
		case res := <-r.results:
			running--
			if res.err != nil {
				s.remove(res.conn)
				// A connection kept from an earlier file may go silently. One that
				// was made for this file and brought nothing tells that the
				// sender gave up, unless others go on.
				gone := res.fresh && running+handshakes == 0
				if res.used || gone || !errors.Is(res.err, io.EOF) {
					w.fail(r.cause(res))
				}
				break
			}
			if res.conn.spent {
				s.remove(res.conn)
			}
			if res.eod {
				eods++
			}
			if res.eods > 0 {
				if res.eods > int64(config.MaxConns) {
					w.fail(fmt.Errorf("%w: the sender used %d, at most %d are allowed", ErrTooMany, res.eods, config.MaxConns))
				}
				expected = res.eods
			}
		case <-connect.C:
			if running+handshakes == 0 && eods == 0 {
				w.fail(s.noConnection(config))
			}
		case <-s.quit:
			w.fail(ErrClosed)
		case <-failed:
			failed = nil
		}
	}
	// Connections that took no part wait for a header; they keep what they
	// have of it and go on with the next file.
	w.interrupt()
	for ; running > 0; running-- {
		res := <-r.results
		if res.used {
			w.fail(ErrOverlap)
		}
		if res.used || !isTimeout(res.err) {
			s.remove(res.conn)
		}
	}
	for ; handshakes > 0; handshakes-- {
		<-secured // kept for the next file, or closed
	}
	err = w.end()
	return r.received.Load(), err
}

type securing struct {
	conn *conn
	err  error
}

func isTimeout(err error) bool {
	var t interface{ Timeout() bool }
	return errors.As(err, &t) && t.Timeout()
}

func (r *receiving) cause(res result) error {
	if errors.Is(res.err, io.EOF) || errors.Is(res.err, io.ErrUnexpectedEOF) {
		return ErrTruncated
	}
	return r.watch.cause(res.err)
}

// run takes blocks from one connection until its end of data.
func (r *receiving) run(c *conn) result {
	res := result{conn: c}
	for {
		h, err := c.readHeader()
		if err != nil {
			res.err = err
			return res
		}
		res.used = true
		r.watch.moved.Add(1)
		if h.Flags&FlagEOF != 0 {
			res.eods = h.Offset
		} else if h.Count > 0 {
			if err := r.body(c, h); err != nil {
				res.err = err
				return res
			}
		}
		if h.Flags&(FlagEOD|FlagClose) != 0 {
			c.spent = h.Flags&FlagClose != 0
			res.eod = h.Flags&FlagEOD != 0
			return res
		}
	}
}

// readHeader reads a block's header, or the rest of one that an earlier call
// had begun.
func (c *conn) readHeader() (Header, error) {
	for c.have < HeaderSize {
		n, err := c.Read(c.header[c.have:])
		c.have += n
		if err != nil && c.have < HeaderSize {
			if errors.Is(err, io.EOF) && c.have > 0 {
				err = io.ErrUnexpectedEOF
			}
			return Header{}, err
		}
	}
	c.have = 0
	return ParseHeader(c.header)
}

// body moves a block's data to the sink, in pieces: its size is the sender's
// choice, and our memory is not. Bytes are read and written rather than spliced
// from socket to file, which took half as much processor time again when it was
// measured: the kernel copies them into the page cache all the same, through a
// pipe.
func (r *receiving) body(c *conn, h Header) error {
	if r.limit > 0 && h.Offset+h.Count > r.limit {
		return &ProtocolError{h, fmt.Sprintf("it lies beyond byte %d", r.limit)}
	}
	buf := c.buffer()
	for off, end := h.Offset, h.Offset+h.Count; off < end; {
		part := buf[:min(end-off, int64(len(buf)))]
		n, err := fill(c, part, r.watch)
		if n > 0 {
			if _, err := r.sink.WriteAt(part[:n], off); err != nil {
				return &SinkError{err}
			}
			r.received.Add(int64(n))
			if r.progress != nil {
				r.progress(Range{off, off + int64(n)})
			}
			off += int64(n)
		}
		if err != nil && off < end {
			if errors.Is(err, io.EOF) {
				err = io.ErrUnexpectedEOF
			}
			return err
		}
	}
	return nil
}
