package gridftp

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/gridferry/gridferry/wire/gridftp/data"
)

// lastWordTime is how long a server is given to say why it broke off a transfer,
// after the data channel has failed.
const lastWordTime = 10 * time.Second

// A carrier moves the bytes of one transfer between this process and the
// server, while the control connection is listened to.
type carrier struct {
	client  *Client
	ticket  *ticket
	eager   bool // there are no connections yet
	started bool
	begun   bool // the server has said that it is ready
	ctx     context.Context
	cancel  context.CancelCauseFunc
	moved   chan error // one value, when the bytes have ended
	ended   bool       // that value was taken
}

func (c *Client) newCarrier(ctx context.Context, t *ticket) *carrier {
	k := &carrier{client: c, ticket: t, moved: make(chan error, 1)}
	k.eager = t.channel.shape.mode == Stream || t.channel.set.Connected() == 0
	k.ctx, k.cancel = context.WithCancelCause(ctx)
	return k
}

// start begins to move bytes, once.
func (k *carrier) start() {
	if k.started {
		return
	}
	k.started = true
	go func() { k.moved <- k.ticket.move(k.ctx) }()
}

// stop ends the moving, and returns when it has ended, and why.
func (k *carrier) stop() (err error) {
	k.cancel(errStopped)
	if k.started && !k.ended {
		err = <-k.moved
		k.ended = true
	}
	return err
}

var errStopped = errors.New("gridftp: the transfer was broken off")

// errEnough ends a stream that goes on beyond what was asked for.
var errEnough = errors.New("gridftp: the rest was not asked for")

// A word is what the server said, or why it says nothing more.
type word struct {
	reply Reply
	err   error
}

// finish waits for the end of the bytes and for the server's last word on the
// command, which may come in either order.
func (k *carrier) finish(command string, o TransferOptions) error {
	c := k.client
	if err := c.ctl.setReadDeadline(time.Time{}); err != nil { // the timer below sees to it
		return err
	}
	words := make(chan word)
	go func() {
		for {
			r, err := c.ctl.readReply(nil)
			words <- word{r, err}
			if err != nil || !r.Preliminary() {
				return
			}
		}
	}()
	// Until it is ready, and once the bytes have ended, the server owes a
	// reply; in between package data watches the connections.
	timer := time.NewTimer(c.config.Timeouts.Reply)
	defer timer.Stop()
	if k.eager {
		timer.Stop()
	}
	var moveErr error
	for {
		select {
		case w := <-words:
			if w.err == nil && w.reply.Preliminary() {
				k.begun = true
				if !k.ended {
					timer.Stop()
					k.start()
				}
				continue
			}
			return k.conclude(command, w, moveErr)
		case moveErr = <-k.moved:
			k.ended = true
			timer.Reset(o.Stall) // the server may have much to write yet
			if moveErr != nil {
				timer.Reset(lastWordTime)
			}
		case <-timer.C:
			err := moveErr
			if err == nil {
				err = fmt.Errorf("gridftp: %s: the server does not answer: %w", command, os.ErrDeadlineExceeded)
			}
			_ = c.ctl.fail(err) // ends the reader above, whose word comes next
		}
	}
}

// conclude decides how the transfer ended: w is the server's last word, and
// moveErr why the bytes ended, if they have.
func (k *carrier) conclude(command string, w word, moveErr error) error {
	c := k.client
	if w.err == nil {
		w.err = c.judge(command, w.reply)
	}
	switch {
	case w.err != nil || !k.started:
		if err := k.stop(); errors.Is(err, errEnough) {
			moveErr = err // the server was quicker to complain than we to say that it may
		}
	case !k.ended:
		// Said before we had the last bytes: they are on their way.
		moveErr = <-k.moved
		k.ended = true
	}
	// A refused transfer may have bytes on the wire already: a sender begins
	// without waiting where it can. On a kept channel the next file would get
	// them (G1), and a server that closed its end would refuse that file, too.
	// One that was not read to its end left bytes there as well.
	broken := k.started && (w.err != nil || moveErr != nil)
	if broken || k.ticket.channel.shape.mode == Stream || k.ticket.channel.set.Closed() {
		c.dropChannel()
	}
	k.ticket.channel.used = time.Now()
	var sink *data.SinkError
	var source *data.SourceError
	switch enough := errors.Is(moveErr, errEnough); {
	case c.Err() != nil:
		return c.Err()
	case enough:
		return nil // the server's complaint is about our not taking the rest
	case errors.As(moveErr, &sink), errors.As(moveErr, &source):
		return c.ctl.fail(moveErr) // our own fault; what the server says follows from it
	case w.err != nil:
		return w.err
	case moveErr != nil:
		return c.ctl.fail(moveErr)
	case !k.begun:
		// RFC 959, 5.4 has no such answer: it is the one to something else.
		return c.ctl.fail(fmt.Errorf("gridftp: %s was answered %v without a transfer", command, w.reply))
	}
	return nil
}

// move moves the bytes.
func (t *ticket) move(ctx context.Context) error {
	ch := t.channel
	var progress func(data.Range)
	if t.Progress != nil {
		progress = func(r data.Range) { t.Progress(Range(r)) }
	}
	receive := data.ReceiveOptions{Progress: progress}
	var err error
	switch {
	case t.put && ch.shape.mode == Stream:
		t.bytes, err = ch.set.SendStream(ctx, t.Source, ch.config, progress)
	case t.put:
		t.bytes, err = ch.set.Send(ctx, t.Source, ch.config, data.SendOptions{Parallelism: ch.shape.parallelism, Shift: t.shift, Progress: progress})
	case ch.shape.mode == Stream:
		sink := t.Sink
		if t.limit >= 0 {
			sink = &limited{sink, t.offset + t.limit}
		}
		t.bytes, err = ch.set.ReceiveStream(ctx, sink, t.offset, ch.config, receive)
		if errors.Is(err, errEnough) {
			t.bytes = t.limit
		}
	case t.offset > 0:
		if progress != nil {
			receive.Progress = func(r data.Range) { progress(data.Range{Off: r.Off + t.offset, End: r.End + t.offset}) }
		}
		t.bytes, err = ch.set.Receive(ctx, &shifted{t.Sink, t.offset}, ch.config, receive)
	default:
		t.bytes, err = ch.set.Receive(ctx, t.Sink, ch.config, receive)
	}
	return err
}

// shifted adds to the offsets of what it passes on.
type shifted struct {
	sink io.WriterAt
	by   int64
}

func (s *shifted) WriteAt(p []byte, off int64) (int, error) { return s.sink.WriteAt(p, off+s.by) }

// Abort passes on that the transfer failed, for writers that wait: see
// data.Set.Receive.
func (s *shifted) Abort(err error) {
	if sink, ok := s.sink.(interface{ Abort(error) }); ok {
		sink.Abort(err)
	}
}

// limited is a sink that takes nothing from end on.
type limited struct {
	sink io.WriterAt
	end  int64
}

func (l *limited) WriteAt(p []byte, off int64) (int, error) {
	room := l.end - off
	if int64(len(p)) <= room {
		return l.sink.WriteAt(p, off)
	}
	if room > 0 {
		if n, err := l.sink.WriteAt(p[:room], off); err != nil {
			return n, err
		}
	}
	return int(max(room, 0)), errEnough
}
