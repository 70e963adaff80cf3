package activities

import (
	"context"
	"errors"
	"io"
	"os"

	"github.com/gridferry/gridferry/endpoints"
	"github.com/gridferry/gridferry/fault"
)

// directStride is how many bytes the kernel is told to copy at a time: what is
// hashed beside it is still in its cache.
const directStride = 8 << 20

// whole moves a small part at once.
func (r *relay) whole(ctx context.Context, in io.Reader, out io.Writer, part endpoints.Range) error {
	n := part.Len()
	b := r.forSmall(n)
	if err := r.read(ctx, in, b); err != nil {
		r.atSource = true
		return err
	}
	if r.hash != nil {
		r.hash.Write(b)
	}
	if n > 0 {
		if err := r.pay(ctx, n); err != nil {
			return err
		}
		if _, err := out.Write(b); err != nil {
			return err
		}
	}
	// The last word of the source is waited for beside what the destination does.
	if err := r.atEnd(in, part); err != nil {
		r.atSource = true
		return err
	}
	return nil
}

// block is some bytes on their way through a pump, or what ended it.
type block struct {
	b   []byte
	err error
}

// plain moves a part of which no digest is wanted. That others do as much, and
// what the kernel and the drivers have under way, keep both sides busy.
func (r *relay) plain(ctx context.Context, in io.Reader, out io.Writer, part endpoints.Range) error {
	bufs, err := r.c.d.blocks.take(ctx, 1)
	if err != nil {
		return err
	}
	defer r.c.d.blocks.give(bufs)
	for left := part.Len(); left > 0; {
		b := bufs[0][:min(left, relayBlock)]
		left -= int64(len(b))
		if err := r.read(ctx, in, b); err != nil {
			r.atSource = true
			return err
		}
		if err := r.pay(ctx, int64(len(b))); err != nil {
			return err
		}
		if _, err := out.Write(b); err != nil {
			return err
		}
		r.passed(int64(len(b)))
	}
	if err := r.atEnd(in, part); err != nil {
		r.atSource = true
		return err
	}
	return nil
}

// stream moves a part. It is read, hashed and written at the same time, block
// after block; each side is as far ahead of the next as there are blocks. Where
// it fails, reading ends.
func (r *relay) stream(ctx context.Context, in io.Reader, out io.Writer, part endpoints.Range) (err error) {
	n := part.Len()
	bufs, err := r.c.d.blocks.take(ctx, int(min((n+relayBlock-1)/relayBlock, relayAhead)))
	if err != nil {
		return err
	}
	free := make(chan []byte, len(bufs))
	for _, b := range bufs {
		free <- b
	}
	stopped := make(chan struct{})
	read := make(chan block, len(bufs)+1) // and the last word
	go func() {
		defer close(read)
		for left := n; left > 0; {
			var b []byte
			select {
			case b = <-free:
			case <-stopped:
				return
			}
			b = b[:min(left, relayBlock)]
			left -= int64(len(b))
			err := r.read(ctx, in, b)
			read <- block{b, err}
			if err != nil {
				return
			}
		}
		if err := r.atEnd(in, part); err != nil {
			read <- block{nil, err}
		}
	}()
	full := read
	if r.hash != nil {
		full = make(chan block, cap(read))
		go func() {
			defer close(full)
			for got := range read {
				if got.err == nil {
					r.hash.Write(got.b)
				}
				full <- got
			}
		}()
	}
	defer func() {
		if err != nil {
			r.in.stop()
		}
		close(stopped)
		for range full { // the blocks and the digest are ours again when it has ended
		}
		r.c.d.blocks.give(bufs)
	}()
	for got := range full {
		if got.err != nil {
			r.atSource = true
			return got.err
		}
		if err := r.pay(ctx, int64(len(got.b))); err != nil {
			return err
		}
		if _, err := out.Write(got.b); err != nil {
			return err
		}
		r.passed(int64(len(got.b)))
		free <- got.b[:relayBlock]
	}
	return nil
}

// direct has the kernel move a part from one file of this host to another. It is
// hashed beside that.
func (r *relay) direct(ctx context.Context, f *os.File, out endpoints.FileWriter, part endpoints.Range) error {
	r.in.end = part.End // its position is not what reading would have made it
	if r.hash == nil {
		return r.copyFile(ctx, f, out, part, func(endpoints.Range) {})
	}
	bufs, err := r.c.d.blocks.take(ctx, 1)
	if err != nil {
		return err
	}
	defer r.c.d.blocks.give(bufs)
	steps := make(chan endpoints.Range, 1)
	hashed := make(chan error, 1)
	go func() { hashed <- r.hashSteps(f, steps, bufs[0]) }()
	err = r.copyFile(ctx, f, out, part, func(step endpoints.Range) { steps <- step })
	close(steps)
	if hashErr := <-hashed; err == nil && hashErr != nil {
		r.atSource, err = true, hashErr
	}
	return err
}

// copyFile tells of each step before it is taken.
func (r *relay) copyFile(ctx context.Context, f *os.File, out endpoints.FileWriter, part endpoints.Range, next func(endpoints.Range)) error {
	for off := part.Off; off < part.End; {
		n := min(part.End-off, directStride)
		if err := r.pay(ctx, n); err != nil {
			return err
		}
		next(endpoints.Range{Off: off, End: off + n})
		err := out.CopyFile(f, off, n)
		var src *endpoints.SourceError
		switch {
		case errors.Is(err, io.ErrUnexpectedEOF):
			r.atSource = true
			return r.short()
		case errors.As(err, &src):
			r.atSource = true
			return fault.Wrap(src.Kind, "read", r.f.Source, src.Err)
		case err != nil:
			return err
		}
		r.passed(n)
		off += n
	}
	return nil
}

// hashSteps adds ranges of a file to the digest.
func (r *relay) hashSteps(f *os.File, steps <-chan endpoints.Range, buf []byte) (err error) {
	for step := range steps {
		for off := step.Off; off < step.End && err == nil; {
			b := buf[:min(step.End-off, int64(len(buf)))]
			if _, err = f.ReadAt(b, off); err != nil {
				break
			}
			r.hash.Write(b)
			off += int64(len(b))
		}
	}
	switch {
	case errors.Is(err, io.EOF):
		return r.short()
	case err != nil:
		var pe *os.PathError
		if errors.As(err, &pe) {
			err = pe.Err // without the host's own path
		}
		return fault.Wrap(fault.Transient, "read", r.f.Source, err)
	}
	return nil
}
