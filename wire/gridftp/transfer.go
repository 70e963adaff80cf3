package gridftp

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/gridferry/gridferry/wire/gridftp/data"
	"github.com/gridferry/gridferry/wire/gsi"
)

// TransferOptions shape transfers between a server and this process; zero
// fields have the defaults. Authentication and protection of the data channel
// are the session's configuration's unless they are set here.
type TransferOptions struct {
	// Mode 0 is Stream for Get, in which we dial and no firewall of ours
	// matters, unless there is Parallelism; and ExtendedBlock for Put where the
	// server has it. A Get in extended block mode has the server dial us.
	Mode        Mode
	Parallelism int // data connections, 1 to MaxParallel; 0 is 1. Extended block mode alone
	Window      int // files whose commands are sent ahead, 1 to MaxWindow; 0 is DefaultWindow. In stream mode always 1
	Auth        DataAuth
	Prot        gsi.Protection
	Buffer      int           // TCP buffer in bytes; 0 leaves it to the system
	Connect     time.Duration // to make a data connection, or wait for the first: 60 s
	Stall       time.Duration // silence allowed on the data channel: 120 s
}

// A Transfer is one file to be got or put.
type Transfer struct {
	Path string

	// Sink, of a Get, takes the bytes at their offsets in the file; in extended
	// block mode from several goroutines and in any order (see data.Ordered).
	Sink io.WriterAt
	// Source, of a Put, gives them.
	Source data.Source

	// Part moves only these bytes of the file; a Put leaves the rest as it is.
	// Nil is the whole file, which a Put replaces.
	Part *Range
	// Have, of a Get, is not moved. Not together with Part.
	Have RangeSet
	// Size, of a Put, is how many bytes are coming; -1 is unknown. A hint.
	Size int64
	Key  int // the caller's own

	// Progress, when not nil, hears of bytes that moved, from several
	// goroutines.
	Progress func(Range)
}

// Transferred is how one file ended.
type Transferred struct {
	Transfer
	Bytes int64
	Err   error // *ReplyError when the server refused it
}

// Get gets one file and returns how many bytes came.
func (c *Client) Get(ctx context.Context, t Transfer, o TransferOptions) (int64, error) {
	return c.transferOne(ctx, false, t, o)
}

// Put puts one file and returns how many bytes were sent.
func (c *Client) Put(ctx context.Context, t Transfer, o TransferOptions) (int64, error) {
	return c.transferOne(ctx, true, t, o)
}

func (c *Client) transferOne(ctx context.Context, put bool, t Transfer, o TransferOptions) (int64, error) {
	var result Transferred
	taken := false
	err := c.transfer(ctx, put, o, func(context.Context) (Transfer, bool) {
		first := !taken
		taken = true
		return t, first
	}, func(r Transferred) { result = r })
	if err == nil {
		err = result.Err
	}
	return result.Bytes, err
}

// GetAll gets the files that next hands out until it says false. Up to
// Options.Window commands are sent ahead of the replies. done hears of every
// file in order; a file that the server refused does not end the run. Both
// functions are called from the calling goroutine.
func (c *Client) GetAll(ctx context.Context, o TransferOptions, next func(context.Context) (Transfer, bool), done func(Transferred)) error {
	return c.transfer(ctx, false, o, next, done)
}

// PutAll is GetAll in the other direction. Unlike in a third-party run nothing
// can be mispaired: this process sends a file's bytes only once the server has
// said that it is ready for them.
func (c *Client) PutAll(ctx context.Context, o TransferOptions, next func(context.Context) (Transfer, bool), done func(Transferred)) error {
	return c.transfer(ctx, true, o, next, done)
}

func (o TransferOptions) normalize(c *Client, put bool) (TransferOptions, error) {
	if o.Mode == 0 {
		o.Mode = Stream
		if (put || o.Parallelism > 1) && c.knowsExtended() {
			o.Mode = ExtendedBlock
		}
	}
	if o.Parallelism == 0 {
		o.Parallelism = 1
	}
	if o.Window == 0 {
		o.Window = DefaultWindow
	}
	if o.Auth == AuthAuto {
		o.Auth = c.config.DataAuth
	}
	if o.Prot == 0 {
		o.Prot = c.config.Prot
	}
	if o.Connect <= 0 {
		o.Connect = time.Minute
	}
	if o.Stall <= 0 {
		o.Stall = 2 * time.Minute
	}
	switch {
	case o.Mode != Stream && o.Mode != ExtendedBlock:
		return o, fmt.Errorf("gridftp: transfer mode %q is not S or E", rune(o.Mode))
	case o.Mode == ExtendedBlock && !c.knowsExtended():
		return o, fmt.Errorf("gridftp: %s does not have extended block mode", c.config.Addr)
	case o.Parallelism < 1 || o.Parallelism > MaxParallel:
		return o, fmt.Errorf("gridftp: parallelism %d is not between 1 and %d", o.Parallelism, MaxParallel)
	case o.Parallelism > 1 && o.Mode == Stream:
		return o, errors.New("gridftp: parallel connections need extended block mode")
	case o.Window < 1 || o.Window > MaxWindow:
		return o, fmt.Errorf("gridftp: window %d is not between 1 and %d", o.Window, MaxWindow)
	}
	if o.Mode == Stream {
		o.Window = 1
	}
	o.Window = min(o.Window, maxQueued/2) // a REST and the transfer
	return o, nil
}

// transfer runs transfers in one direction.
func (c *Client) transfer(ctx context.Context, put bool, o TransferOptions, next func(context.Context) (Transfer, bool), done func(Transferred)) error {
	o, err := o.normalize(c, put)
	if err != nil {
		return err
	}
	want := shape{mode: o.Mode, dial: put || o.Mode == Stream, parallelism: o.Parallelism, buffer: o.Buffer, auth: o.Auth, prot: o.Prot}
	var ahead []*ticket
	for more := true; ; {
		// Until there are open connections, one file at a time: see serve.
		window := 1
		if ch := c.told.channel; ch != nil && ch.shape == want && ch.set.Connected() > 0 {
			window = o.Window
		}
		var fresh []*ticket
		for more && len(ahead)+len(fresh) < window {
			var t Transfer
			if t, more = next(ctx); more {
				fresh = append(fresh, &ticket{Transfer: t, put: put})
			}
		}
		ahead = append(ahead, fresh...)
		if len(ahead) == 0 {
			return nil
		}
		if err := c.ask(ctx, want, o, fresh); err != nil {
			return c.giveUp(ahead, err, done)
		}
		t := ahead[0]
		err := c.serve(ctx, t, o)
		if err != nil && (c.Err() != nil || !isRefusal(err)) {
			_ = c.ctl.fail(err) // what is queued at the server has lost its other end
			return c.giveUp(ahead, err, done)
		}
		ahead = ahead[1:]
		done(Transferred{t.Transfer, t.bytes, err})
		if len(ahead) > 0 && t.channel.set.Closed() {
			// A file that broke off took the connections with it, and what was
			// sent ahead has no others.
			return c.giveUp(ahead, c.ctl.fail(fmt.Errorf("gridftp: session given up after a file broke off: %w", err)), done)
		}
	}
}

// giveUp reports the files that a lost session leaves undone.
func (c *Client) giveUp(ahead []*ticket, err error, done func(Transferred)) error {
	for _, t := range ahead {
		done(Transferred{t.Transfer, t.bytes, err})
	}
	return err
}

func isRefusal(err error) bool {
	var refusal *ReplyError
	return errors.As(err, &refusal)
}

// A ticket is a transfer whose commands were sent.
type ticket struct {
	Transfer
	put     bool
	lines   []string // the last one is the transfer itself
	bytes   int64
	offset  int64 // where the bytes begin in the file; of blocks, what is to be added to their offsets
	shift   int64 // what is added to the offsets of blocks that are sent
	limit   int64 // bytes after which a stream is cut off; -1 is none
	channel *channel
}

// ask sends the commands of tickets, after making sure of a data channel.
func (c *Client) ask(ctx context.Context, want shape, o TransferOptions, tickets []*ticket) error {
	if len(tickets) == 0 {
		return nil
	}
	ch, err := c.openChannel(ctx, want)
	if err != nil {
		return err
	}
	ch.config.Connect, ch.config.Stall = o.Connect, o.Stall
	var lines []string
	for _, t := range tickets {
		if err := c.checkName(t.Path); err != nil {
			return err
		}
		if err := t.plan(want.mode, c.features.Has("ERET"), c.features.Has("ESTO")); err != nil {
			return err
		}
		t.channel = ch
		lines = append(lines, t.lines...)
	}
	return c.ctl.send(lines...)
}

// plan decides by which commands a transfer is asked for.
func (t *ticket) plan(mode Mode, eret, esto bool) error {
	t.limit = -1
	verb := "RETR "
	if t.put {
		verb = "STOR "
	}
	switch {
	case t.Part != nil && len(t.Have) > 0:
		return fmt.Errorf("gridftp: %s is to be moved in part and restarted, of which a server does one", t.Path)
	case t.Part != nil && (t.Part.Off < 0 || t.Part.End < t.Part.Off):
		return fmt.Errorf("gridftp: the part %v of %s is not a range", *t.Part, t.Path)
	case t.Part != nil && t.put && esto:
		// The server adds A's number to the blocks' own offsets, which therefore
		// count from the part's beginning. A 0 and offsets in the file would do
		// as well, but for this: when the control connection breaks during a
		// transfer, a Globus server may write the last block that came in where
		// A says. Only at the beginning of the part does that spoil nothing
		// that is not sent again.
		if mode == ExtendedBlock {
			t.shift = -t.Part.Off
		}
		t.lines = []string{fmt.Sprintf("ESTO A %d %s", t.Part.Off, t.Path)}
	case t.Part != nil && !t.put && eret:
		// A part's blocks count from its beginning.
		t.offset = t.Part.Off
		t.lines = []string{fmt.Sprintf("ERET P %d %d %s", t.Part.Off, t.Part.Len(), t.Path)}
	case t.Part != nil:
		// Plain FTP knows where to begin, but not where to end.
		t.offset, t.limit = t.Part.Off, t.Part.Len()
		t.lines = []string{fmt.Sprintf("REST %d", t.offset), verb + t.Path}
	case len(t.Have) > 0 && mode == Stream:
		if len(t.Have) > 1 || t.Have[0].Off != 0 {
			return fmt.Errorf("gridftp: stream mode restarts %s from an offset only, not with gaps", t.Path)
		}
		t.offset = t.Have[0].End
		t.lines = []string{fmt.Sprintf("REST %d", t.offset), verb + t.Path}
	case len(t.Have) > 0:
		t.lines = []string{"REST " + t.Have.String(), verb + t.Path}
	case t.put && t.Size >= allocateFrom:
		t.lines = []string{fmt.Sprintf("ALLO %d", t.Size), verb + t.Path}
	default:
		t.lines = []string{verb + t.Path}
	}
	return nil
}

// serve sees one transfer through: the replies to what comes before it, its
// bytes, and the server's last word. A refusal that leaves the session in order
// is a *ReplyError while Err is nil.
func (c *Client) serve(ctx context.Context, t *ticket, o TransferOptions) error {
	end, err := c.begin(ctx)
	if err != nil {
		return err
	}
	defer end()
	// Fresh connections are made, and their handshakes done, before the server
	// says that it is ready. Over connections that are open already, nothing
	// may be sent or taken before it does: it might refuse this file, and mean
	// the next one.
	carrier := c.newCarrier(ctx, t)
	defer carrier.stop()
	if carrier.eager {
		carrier.start()
	}
	for _, line := range t.lines[:len(t.lines)-1] {
		if _, err := c.reply(line, nil); err != nil {
			// ALLO is advice. But a transfer that was to follow a REST is on
			// its way now, and would go to the wrong place.
			if !isRefusal(err) || c.Err() != nil || strings.HasPrefix(line, "REST ") {
				return c.ctl.fail(err)
			}
		}
	}
	return carrier.finish(t.lines[len(t.lines)-1], o)
}
