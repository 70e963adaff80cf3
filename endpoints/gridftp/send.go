package gridftp

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/gridferry/gridferry/endpoints"
	"github.com/gridferry/gridferry/fault"
	wire "github.com/gridferry/gridferry/wire/gridftp"
	"github.com/gridferry/gridferry/wire/gsi"
)

// Reaches implements endpoints.ThirdParty.
func (s *Storage) Reaches(dst endpoints.Storage) error {
	const op = "send straight to"
	d, ok := dst.(*Storage)
	switch {
	case !ok:
		return fault.New(fault.Unsupported, op, dst.Caps().Kind, "a GridFTP server sends to GridFTP servers only")
	case s.caps.StreamOnly:
		return fault.New(fault.Unsupported, op, d.name, s.name+" is a plain FTP server, and these refuse to connect to each other")
	case d.caps.StreamOnly:
		return fault.New(fault.Unsupported, op, d.name, "it is a plain FTP server, and these take data from their clients only")
	}
	return nil
}

// Send implements endpoints.ThirdParty.
func (s *Storage) Send(ctx context.Context, dst endpoints.Storage, opts endpoints.SendOptions, next func() (endpoints.Send, bool), done func(endpoints.Sent), progress func(endpoints.SendProgress)) error {
	if err := s.Reaches(dst); err != nil {
		return err
	}
	d := dst.(*Storage)
	if opts.Encrypt && (s.config.Scheme != wire.GSIFTP || d.config.Scheme != wire.GSIFTP) {
		return fault.New(fault.Unsupported, "encrypt transfers to", d.name, "both ends must be gsiftp for private data channels")
	}
	edit := func(c *wire.Config) {
		if opts.Encrypt {
			makePrivate(c)
		}
	}
	paired, err := s.gate.inPairs(ctx, d.gate)
	if err != nil {
		return err
	}
	from, err := s.sessionWith(ctx, edit)
	if err != nil {
		paired()
		return err
	}
	defer s.release(from)
	to, err := d.sessionWith(ctx, func(c *wire.Config) {
		edit(c)
		c.Beside = from
	})
	paired()
	if err != nil {
		return err
	}
	defer d.release(to)
	r := &sendRun{src: s, dst: d, done: done, progress: progress}
	r.next = func() (endpoints.Send, bool) {
		if s.leaving(from) || d.leaving(to) || s.crowded(from) || d.crowded(to) {
			return endpoints.Send{}, false // whoever has more begins another run, elsewhere
		}
		return next()
	}
	err = wire.ThirdParty(ctx, from, to, r.options(opts), r.take, wire.Observer{Progress: r.moved, Done: r.ended})
	return r.finish(ctx, err)
}

// sendRun is one call of Send.
type sendRun struct {
	src, dst *Storage
	next     func() (endpoints.Send, bool)
	done     func(endpoints.Sent)
	progress func(endpoints.SendProgress)

	mu    sync.Mutex
	taken []endpoints.Send

	told    int  // of taken, how many done was told of
	anybyte bool // some byte has moved, so that there was a data channel
	// bad holds the outcomes from the first one on that is not good: whose
	// fault it was is known only when the run has returned.
	bad []wire.Outcome
}

func (r *sendRun) options(o endpoints.SendOptions) wire.Options {
	w := wire.Options{
		Parallelism: o.Parallelism, Window: o.Pipelining, Buffer: o.Buffer, Checksum: o.Checksum,
		FirstByte: r.src.driver.config.Blocked, Stall: o.Stall,
	}
	// What is stricter of what the two records say.
	for _, s := range []*Storage{r.src, r.dst} {
		if s.config.Prot != 0 && s.config.Prot != gsi.Clear {
			w.Prot = s.config.Prot
		}
		if s.config.DataAuth == wire.AuthNone {
			w.Auth = wire.AuthNone
		}
	}
	for _, s := range []*Storage{r.src, r.dst} {
		if s.config.DataAuth == wire.AuthSelf {
			w.Auth = wire.AuthSelf
		}
	}
	if o.Encrypt || r.src.isPrivate() || r.dst.isPrivate() {
		w.Prot = gsi.Private
	}
	if w.Prot != 0 && w.Prot != gsi.Clear {
		w.Auth = wire.AuthSelf
	}
	return w
}

func (s *Storage) isPrivate() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.private
}

func (r *sendRun) take(context.Context) (wire.File, bool) {
	f, ok := r.next()
	if !ok {
		return wire.File{}, false
	}
	r.mu.Lock()
	r.taken = append(r.taken, f)
	r.mu.Unlock()
	w := wire.File{Source: r.src.remote(f.Source), Dest: r.dst.remote(f.Dest), Size: f.Size}
	for _, h := range f.Have {
		w.Have = w.Have.Add(wire.Range(h))
	}
	if f.Part == nil {
		return w, true
	}
	if len(w.Have) == 0 {
		part := wire.Range(*f.Part)
		w.Part = &part
		return w, true
	}
	// A part of which some is there: all that is outside of it counts as
	// being there, too.
	w.Have = w.Have.Add(wire.Range{Off: 0, End: f.Part.Off}, wire.Range{Off: f.Part.End, End: f.Size})
	return w, true
}

func (r *sendRun) file(index int) endpoints.Send {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.taken[index]
}

func (r *sendRun) moved(p wire.Progress) {
	r.anybyte = r.anybyte || p.Bytes > 0
	if r.progress == nil {
		return
	}
	f := r.file(p.Index)
	ranges := make([]endpoints.Range, len(p.Ranges))
	for i, x := range p.Ranges {
		ranges[i] = endpoints.Range(x)
	}
	r.progress(endpoints.SendProgress{Key: f.Key, Bytes: p.Bytes, Ranges: ranges})
}

func (r *sendRun) ended(o wire.Outcome) {
	if o.Err != nil || o.Suspect || len(r.bad) > 0 {
		r.bad = append(r.bad, o)
		return
	}
	f := r.file(o.Index)
	r.anybyte = r.anybyte || o.Bytes > 0
	r.tell(endpoints.Sent{Send: f, Bytes: bytesOf(f, o.Bytes), SourceSum: o.SourceSum, DestSum: o.DestSum})
}

// bytesOf is how much of a file was moved, when neither server has counted.
func bytesOf(f endpoints.Send, counted int64) int64 {
	if counted >= 0 {
		return counted
	}
	part := endpoints.Range{End: f.Size}
	if f.Part != nil {
		part = *f.Part
	}
	var n int64
	for _, m := range endpoints.MissingRanges(part, f.Have) {
		n += m.Len()
	}
	return n
}

func (r *sendRun) tell(s endpoints.Sent) {
	r.told++
	r.done(s)
}

// finish tells of every file that was taken and not proven, and gives the
// run's error its kind.
func (r *sendRun) finish(ctx context.Context, err error) error {
	if err == nil && len(r.bad) == 0 {
		return nil
	}
	var p *wire.PipelineError
	blamed := -1
	if errors.As(err, &p) {
		blamed = p.Index
	}
	var ended error
	for _, o := range r.bad {
		f := r.file(o.Index)
		sent := endpoints.Sent{Send: f, Bytes: max(0, o.Bytes), Suspect: true}
		if o.Err != nil && ctx.Err() == nil {
			sent.AtSource = p != nil && p.Side == wire.SourceSide && o.Index == blamed
			sent.Err = r.classify(ctx, f, o.Err, sent.AtSource)
			if o.Index == blamed {
				ended = sent.Err
			}
		}
		r.tell(sent)
	}
	for r.told < len(r.taken) { // what was taken when the data channel could not be made
		r.tell(endpoints.Sent{Send: r.file(r.told), Suspect: true})
	}
	if ended == nil {
		ended = r.sessionError(ctx, err)
	}
	return ended
}

// classify gives the error of one file its kind.
func (r *sendRun) classify(ctx context.Context, f endpoints.Send, err error, atSource bool) error {
	if blocked := r.blocked(err); blocked != nil {
		return blocked
	}
	if atSource {
		return r.src.fail(ctx, nil, "send", f.Source, err, reads)
	}
	return r.dst.fail(ctx, nil, "store", f.Dest, err, writes)
}

// sessionError gives an error that is not one file's its kind.
func (r *sendRun) sessionError(ctx context.Context, err error) error {
	if ctx.Err() == nil {
		if blocked := r.blocked(err); blocked != nil {
			return blocked
		}
	}
	at := r.src
	var run *wire.PipelineError
	var prepare *wire.SideError
	if errors.As(err, &run) && run.Side == wire.DestSide || errors.As(err, &prepare) && prepare.Side == wire.DestSide {
		at = r.dst
	}
	classified, _ := at.classify(ctx, "send from "+r.src.name+" to", r.dst.name, err, reads)
	return classified
}

// blocked recognises a data channel that never came up.
func (r *sendRun) blocked(err error) error {
	var stall *wire.StallError
	var reply *wire.ReplyError
	never := errors.As(err, &stall) && stall.First || errors.As(err, &reply) && reply.DataChannel()
	if !never || r.anybyte {
		return nil
	}
	return &fault.Error{
		Kind: fault.Transient, Op: "send from " + r.src.name + " to", Path: r.dst.name,
		Err:  fmt.Errorf("%w: %w", endpoints.ErrDataBlocked, err),
		Hint: "open the firewall for data channels from the source's host to the destination's ports, or relay",
	}
}
