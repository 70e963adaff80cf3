package gridftp

import (
	"context"
	"errors"
	"io"

	"github.com/gridferry/gridferry/wire/gridftp/data"
)

// readAhead is how many bytes of blocks that came early a reader holds, for
// each of its parallel connections.
const readAhead = 4 << 20

// Open reads length bytes of a file from offset, in order; length -1 is to the
// end. A shorter file ends with io.EOF. The session is the reader's until it
// is closed; closing it before its end costs the session.
func (c *Client) Open(ctx context.Context, path string, offset, length int64, o TransferOptions) (io.ReadCloser, error) {
	if err := c.checkName(path); err != nil {
		return nil, err
	}
	t := Transfer{Path: path}
	switch {
	case length >= 0:
		t.Part = &Range{Off: offset, End: offset + length}
	case offset > 0:
		t.Have = NewRangeSet(Range{Off: 0, End: offset})
	}
	ctx, cancel := context.WithCancel(ctx)
	in, out := io.Pipe()
	ordered := data.NewOrdered(out, offset, readAhead*max(1, o.Parallelism))
	t.Sink = ordered
	r := &fileReader{PipeReader: in, cancel: cancel, done: make(chan struct{})}
	go func() {
		defer close(r.done)
		_, err := c.Get(ctx, t, o)
		if err == nil {
			err = ordered.Close()
		}
		_ = out.CloseWithError(err) // nil is io.EOF
	}()
	return r, nil
}

type fileReader struct {
	*io.PipeReader
	cancel context.CancelFunc
	done   chan struct{}
}

// Close ends the reading. It returns when the session is at rest.
func (r *fileReader) Close() error {
	_ = r.PipeReader.CloseWithError(errClosedEarly)
	r.cancel()
	<-r.done
	return nil
}

var errClosedEarly = errors.New("gridftp: closed before the end")

// A Writer writes a file, or a part of one, in order. The session is the
// writer's until Commit or Abort has returned.
type Writer struct {
	pipe   *io.PipeWriter
	cancel context.CancelFunc
	done   chan struct{}
	err    error // how the Put ended; valid once done is closed
}

// Create writes a file. With part nil it replaces the file; otherwise it
// writes part.Off and on, and leaves the rest as it is. size is how many bytes
// are coming, or -1.
func (c *Client) Create(ctx context.Context, path string, part *Range, size int64, o TransferOptions) (*Writer, error) {
	if err := c.checkName(path); err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(ctx)
	in, out := io.Pipe()
	w := &Writer{pipe: out, cancel: cancel, done: make(chan struct{})}
	offset := int64(0)
	if part != nil {
		offset = part.Off
	}
	go func() {
		defer close(w.done)
		_, w.err = c.Put(ctx, Transfer{Path: path, Part: part, Size: size, Source: data.NewStreamSource(in, offset)}, o)
		err := w.err
		if err == nil {
			err = io.ErrClosedPipe
		}
		_ = in.CloseWithError(err)
	}()
	return w, nil
}

// Write implements io.Writer. It fails with the server's refusal, where there
// is one.
func (w *Writer) Write(p []byte) (int, error) { return w.pipe.Write(p) }

// Commit ends the file, and returns when the server says that it has it.
func (w *Writer) Commit() error {
	_ = w.pipe.Close() // a PipeWriter's Close does not fail
	<-w.done
	w.cancel()
	return w.err
}

// Abort gives the file up, and with it the session, unless Commit was called
// before.
func (w *Writer) Abort() error {
	_ = w.pipe.CloseWithError(errClosedEarly)
	w.cancel()
	<-w.done
	return nil
}
