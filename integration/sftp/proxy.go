package sftp

import (
	"errors"
	"net"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// Line is a line to a server that can be cut, and fall silent.
type Line struct {
	Addr  string       // 127.0.0.1:PORT
	Bytes atomic.Int64 // that went over it, in both directions
	Rate  atomic.Int64 // bytes a second in each direction of each connection; 0 is no limit
	Made  atomic.Int64 // connections, so far

	mu     sync.Mutex
	conns  map[net.Conn]struct{}
	silent chan struct{} // closed while the line is in order
	marks  []mark
}

// mark is a number of bytes that somebody waits for.
type mark struct {
	at int64
	fn func()
}

// NewLine leads to a server, which is known at its other end, too.
func NewLine(t testing.TB, s *Server) *Line {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	line := &Line{Addr: l.Addr().String(), conns: map[net.Conn]struct{}{}, silent: make(chan struct{})}
	close(line.silent)
	s.know(t, line.Addr)
	var copies sync.WaitGroup
	copies.Go(func() {
		for {
			in, err := l.Accept()
			if err != nil {
				return
			}
			out, err := net.Dial("tcp", s.Addr)
			if err != nil {
				_ = in.Close() // as the server's would be
				continue
			}
			line.Made.Add(1)
			line.mu.Lock()
			line.conns[in], line.conns[out] = struct{}{}, struct{}{}
			line.mu.Unlock()
			copies.Go(func() { line.copy(in, out) })
			copies.Go(func() { line.copy(out, in) })
		}
	})
	t.Cleanup(func() {
		_ = l.Close() // nobody comes any more
		line.Speak()
		line.Cut()
		copies.Wait()
	})
	return line
}

func (l *Line) copy(to, from net.Conn) {
	defer func() {
		_ = errors.Join(to.Close(), from.Close()) // the other direction may have done it
		l.mu.Lock()
		defer l.mu.Unlock()
		delete(l.conns, from)
	}()
	b := make([]byte, 32<<10)
	for {
		n, err := from.Read(b)
		l.mu.Lock()
		wait := l.silent
		l.mu.Unlock()
		<-wait
		if rate := l.Rate.Load(); rate > 0 {
			time.Sleep(time.Duration(int64(n) * int64(time.Second) / rate))
		}
		l.count(int64(n))
		if _, writeErr := to.Write(b[:n]); err != nil || writeErr != nil {
			return
		}
	}
}

// After calls fn, once, when that many more bytes have gone over the line, and
// before the last of them are handed on. done is closed when fn is over.
func (l *Line) After(n int64, fn func()) (done <-chan struct{}) {
	over := make(chan struct{})
	l.mu.Lock()
	defer l.mu.Unlock()
	l.marks = append(l.marks, mark{l.Bytes.Load() + n, func() { defer close(over); fn() }})
	return over
}

func (l *Line) count(n int64) {
	l.mu.Lock()
	now := l.Bytes.Add(n)
	var reached []mark
	l.marks = slices.DeleteFunc(l.marks, func(m mark) bool {
		if m.at > now {
			return false
		}
		reached = append(reached, m)
		return true
	})
	l.mu.Unlock()
	for _, m := range reached {
		m.fn()
	}
}

// Cut drops all connections.
func (l *Line) Cut() {
	l.mu.Lock()
	defer l.mu.Unlock()
	for c := range l.conns {
		_ = c.Close() // it may be closed already
	}
}

// Hush lets nothing through any more, and closes nothing. Speak ends that.
func (l *Line) Hush() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.silent = make(chan struct{})
}

// Speak lets everything through again.
func (l *Line) Speak() {
	l.mu.Lock()
	defer l.mu.Unlock()
	select {
	case <-l.silent:
	default:
		close(l.silent)
	}
}
