package sftp

import (
	"bytes"
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"sync"
	"time"

	"github.com/pkg/sftp"

	"github.com/gridferry/gridferry/endpoints"
	"github.com/gridferry/gridferry/fault"
)

// Create implements endpoints.Storage. The Writer is also an io.WriterAt.
func (s *Storage) Create(ctx context.Context, p string, opts endpoints.CreateOptions) (endpoints.Writer, error) {
	const op = "create"
	if opts.Offset < 0 {
		return nil, fault.New(fault.Invalid, op, p, "the offset is negative")
	}
	c, err := s.enter(ctx, op, p)
	if err != nil {
		return nil, err
	}
	s.fresh.forget(p)
	f, err := s.create(ctx, c, op, p, opts)
	if err != nil {
		c.release()
		return nil, err
	}
	w := &writer{s: s, c: c, ctx: ctx, path: p, f: f, off: opts.Offset, sync: s.opts.sync && c.extension(extFsync)}
	if whole := !opts.Update && opts.Offset == 0; whole && !opts.ModTime.IsZero() && fits(opts.ModTime) {
		w.modTime = opts.ModTime
	}
	return w, nil
}

func (s *Storage) create(ctx context.Context, c *conn, op, p string, opts endpoints.CreateOptions) (*sftp.File, error) {
	open := func(flags int) (*sftp.File, error) {
		return call(ctx, s, c, func() (*sftp.File, error) { return c.sftp.OpenFile(s.real(p), os.O_WRONLY|os.O_CREATE|flags) }, closeFile)
	}
	if err := s.within(ctx, c, op, p, false); err != nil {
		return nil, err
	}
	flags := 0
	if !opts.Update && opts.Offset == 0 {
		flags = os.O_TRUNC
	}
	if opts.Exclusive {
		f, err := open(os.O_EXCL)
		return f, s.classify(ctx, c, op, p, err, makes)
	}
	if s.opts.root != "" {
		// What is made follows no link; only where there is something already
		// it has to be known where that leads.
		f, err := open(os.O_EXCL)
		if err == nil || errors.Is(err, fs.ErrNotExist) || errors.Is(err, fs.ErrPermission) && flags == 0 {
			return f, s.classify(ctx, c, op, p, err, writes)
		}
		if err := s.within(ctx, c, op, p, true); err != nil {
			return nil, err
		}
	}
	f, err := open(flags)
	return f, s.classify(ctx, c, op, p, err, writes)
}

// writer writes a file, or a range of it, with packets ahead of the server's
// answers.
type writer struct {
	s       *Storage
	c       *conn
	ctx     context.Context
	path    string
	f       *sftp.File
	off     int64 // where buf goes
	buf     []byte
	modTime time.Time // zero: of its own
	sync    bool
	ended   bool

	room    chan struct{} // one for each packet under way; nil until there is one
	sending sync.WaitGroup

	mu  sync.Mutex
	err error // the first that the server told of
}

func (w *writer) live() error {
	if w.ended {
		return fault.New(fault.Internal, "write", w.path, "the write has ended")
	}
	return w.s.live(w.ctx, "write", w.path)
}

// told is what the server has said of earlier packets.
func (w *writer) told() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.err
}

func (w *writer) tell(err error) {
	if err == nil {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.err == nil {
		w.err = err
	}
}

func (w *writer) refused(err error) error {
	return w.s.classify(w.ctx, w.c, "write", w.path, err, writes)
}

func (w *writer) Write(b []byte) (int, error) {
	if err := w.live(); err != nil {
		return 0, err
	}
	total := 0
	for len(b) > 0 {
		if err := w.told(); err != nil {
			return total, w.refused(err)
		}
		if w.buf == nil {
			w.buf = w.s.driver.buffer(w.c.payload)[:0]
		}
		n := min(len(b), w.c.payload-len(w.buf))
		w.buf = append(w.buf, b[:n]...)
		b = b[n:]
		total += n
		if len(w.buf) == w.c.payload {
			if err := w.send(); err != nil {
				return total, err
			}
		}
	}
	return total, nil
}

// send lets the buffer go.
func (w *writer) send() error {
	if w.room == nil {
		w.room = make(chan struct{}, maxAhead)
	}
	select {
	case w.room <- struct{}{}:
	case <-w.ctx.Done():
		return w.live()
	case <-w.s.life.Done():
		return w.live()
	}
	b, at := w.buf, w.off
	w.buf, w.off = nil, w.off+int64(len(b))
	w.c.ask()
	w.sending.Go(func() {
		_, err := w.f.WriteAt(b, at)
		w.c.answered()
		w.tell(err)
		w.s.driver.giveBack(b)
		<-w.room
	})
	return nil
}

// WriteAt implements io.WriterAt; the offset is of the file.
func (w *writer) WriteAt(b []byte, off int64) (int, error) {
	if err := w.live(); err != nil {
		return 0, err
	}
	b = bytes.Clone(b) // the caller has its own back when this returns, also when it is given up
	n, err := call(w.ctx, w.s, w.c, func() (int, error) { return w.f.WriteAt(b, off) }, nil)
	if err != nil {
		return n, w.refused(err)
	}
	return n, nil
}

// Commit makes the bytes as durable as the server does, unless the record wants
// less.
func (w *writer) Commit() error {
	if err := w.live(); err != nil {
		return err
	}
	w.ended = true
	err := do(w.ctx, w.s, w.c, w.finish)
	w.leave()
	return w.refused(err)
}

// finish ends the write at the server.
func (w *writer) finish() error {
	if len(w.buf) > 0 {
		if _, err := w.f.WriteAt(w.buf, w.off); err != nil {
			w.tell(err)
		}
	}
	w.sending.Wait()
	err := w.told()
	dated := make(chan bool, 1)
	if err == nil && !w.modTime.IsZero() {
		go func() { dated <- w.c.sftp.Chtimes(w.s.real(w.path), time.Now(), w.modTime) == nil }()
	} else {
		dated <- false
	}
	if err == nil && w.sync {
		err = w.fsync()
	}
	err = errors.Join(err, w.f.Close())
	if <-dated && err == nil { // else SetModTime will tell why
		w.s.fresh.put(w.path, w.modTime)
	}
	return err
}

// fsync makes the bytes durable. Some file systems do that in their own way,
// and know no such call.
func (w *writer) fsync() error {
	err := w.f.Sync()
	var status *sftp.StatusError
	if errors.As(err, &status) && (status.Code == statusBadMessage || status.Code == statusUnsupported) {
		return nil
	}
	return err
}

// Abort leaves what was written.
func (w *writer) Abort() error {
	if w.ended {
		return nil
	}
	w.ended = true
	w.c.ask()
	go func() {
		closeFile(w.f)
		w.c.answered()
		w.leave()
	}()
	return nil
}

// leave gives back what was lent, when nothing is under way any more.
func (w *writer) leave() {
	go func() {
		w.sending.Wait()
		w.c.release()
	}()
}

var (
	_ io.WriterAt      = (*writer)(nil)
	_ endpoints.Writer = (*writer)(nil)
)
