package activities

import (
	"context"
	"encoding/hex"
	"errors"
	"io"

	"github.com/gridferry/gridferry/endpoints"
)

// unread is how many parts of a file may be written and not be read back.
const unread = 4

// readBack computes the digest of a file at the destination part by part, while
// the next parts are being written. It is for storage of this host, where that
// costs no network, and a processor that would be idle. A nil readBack is of
// other storage, and does nothing.
type readBack struct {
	r      *relay
	parts  chan endpoints.Range
	cancel context.CancelFunc
	done   chan struct{}
	digest string // when done is closed; empty when it could not be read
}

func (r *relay) readBack(ctx context.Context) *readBack {
	ctx, cancel := context.WithCancel(ctx)
	b := &readBack{r: r, parts: make(chan endpoints.Range, unread), cancel: cancel, done: make(chan struct{})}
	go b.run(ctx)
	return b
}

// add tells of a part that was committed, in the order of the file.
func (b *readBack) add(part endpoints.Range) {
	if b == nil {
		return
	}
	select {
	case b.parts <- part:
	case <-b.done: // given up
	}
}

// sum waits for the digest of all parts.
func (b *readBack) sum() string {
	if b == nil {
		return ""
	}
	close(b.parts)
	<-b.done
	return b.digest
}

// stop gives up what is not read yet, and returns when nothing reads any more.
func (b *readBack) stop() {
	if b != nil {
		b.cancel()
		<-b.done
	}
}

func (b *readBack) run(ctx context.Context) {
	defer close(b.done)
	h := endpoints.NewHash(b.r.alg)
	var at int64
	failed := false
	for {
		select {
		case part, ok := <-b.parts:
			switch {
			case !ok && !failed && at == b.r.f.Size:
				b.digest = hex.EncodeToString(h.Sum(nil))
				return
			case !ok:
				return
			case !failed && part.Off == at:
				failed = b.read(ctx, h, part) != nil
				at = part.End
			default:
				failed = true // it will be read as a whole
			}
		case <-ctx.Done():
			return
		}
	}
}

func (b *readBack) read(ctx context.Context, h io.Writer, part endpoints.Range) error {
	d := b.r.c.d
	bufs, err := d.blocks.take(ctx, 1)
	if err != nil {
		return err
	}
	defer d.blocks.give(bufs)
	in, err := b.r.c.ends.dst.Open(ctx, b.r.path, part.Off, part.Len())
	if err != nil {
		return err
	}
	n, err := io.CopyBuffer(h, struct{ io.Reader }{in}, bufs[0])
	if err == nil && n != part.Len() {
		err = io.ErrUnexpectedEOF
	}
	return errors.Join(err, in.Close())
}
