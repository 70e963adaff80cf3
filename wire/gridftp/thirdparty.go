package gridftp

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/gridferry/gridferry/wire/gsi"
)

// Limits of a third-party run.
const (
	DefaultWindow = 100
	MaxWindow     = 1000 // files; the Globus server refuses more than 1,000 queued commands (G6)
	maxQueued     = 900  // commands in flight at one server
	MaxParallel   = 64
)

// Options shape a third-party run; zero fields have the defaults.
type Options struct {
	Mode        Mode // 0 is ExtendedBlock where both servers have it, else Stream
	Parallelism int  // data connections, 1 to MaxParallel; 0 is 1. Extended block mode alone
	Window      int  // files in flight, 1 to MaxWindow; 0 is DefaultWindow. In stream mode it is always 1
	Auth        DataAuth
	Prot        gsi.Protection // 0 is gsi.Clear
	Buffer      int            // TCP buffer in bytes; 0 leaves it to the servers
	Striped     bool           // SPAS and SPOR: all stripes of both servers

	// Checksum names an algorithm both servers have; each then computes it of
	// every file that was moved, in its place in the pipeline. Of a part, the
	// part's checksum.
	Checksum string

	Markers   time.Duration // between progress markers, in whole seconds; 0 is the servers' choice
	FirstByte time.Duration // silence allowed before the first byte: 60 s
	Stall     time.Duration // silence allowed afterwards: 120 s
}

func (o Options) normalize(src, dst *Client) (Options, error) {
	extended := src.knowsExtended() && dst.knowsExtended()
	if o.Mode == 0 {
		o.Mode = Stream
		if extended {
			o.Mode = ExtendedBlock
		}
	}
	if o.Parallelism == 0 {
		o.Parallelism = 1
	}
	if o.Window == 0 {
		o.Window = DefaultWindow
	}
	if o.Mode == Stream {
		o.Window = 1
	}
	if o.Prot == 0 {
		o.Prot = gsi.Clear
	}
	if o.FirstByte <= 0 {
		o.FirstByte = time.Minute
	}
	if o.Stall <= 0 {
		o.Stall = 2 * time.Minute
	}
	switch {
	case o.Mode != Stream && o.Mode != ExtendedBlock:
		return o, fmt.Errorf("gridftp: transfer mode %q is not S or E", rune(o.Mode))
	case o.Mode == ExtendedBlock && !extended:
		return o, errors.New("gridftp: extended block mode needs GridFTP servers at both ends")
	case o.Parallelism < 1 || o.Parallelism > MaxParallel:
		return o, fmt.Errorf("gridftp: parallelism %d is not between 1 and %d", o.Parallelism, MaxParallel)
	case o.Parallelism > 1 && o.Mode == Stream:
		return o, errors.New("gridftp: parallel connections need extended block mode")
	case o.Striped && o.Mode == Stream:
		return o, errors.New("gridftp: stripes need extended block mode")
	case o.Window < 1 || o.Window > MaxWindow:
		return o, fmt.Errorf("gridftp: window %d is not between 1 and %d", o.Window, MaxWindow)
	case o.Buffer < 0 || o.Markers < 0:
		return o, errors.New("gridftp: a negative buffer or marker interval")
	}
	return o, nil
}

// knowsExtended reports whether the server has extended block mode, which no
// FEAT line of its own announces.
func (c *Client) knowsExtended() bool { return c.features.Has("PARALLEL") || c.features.Has("ERET") }

// A File is one file to be moved from one server to another.
type File struct {
	Source, Dest string
	Size         int64    // of the whole file at the source, as expected; -1 is unknown
	Have         RangeSet // what the destination holds already, with nothing to be moved there again
	Part         *Range   // move only these bytes, to the same place in the destination, which keeps the rest; nil is the whole file
	Key          int      // the caller's own
}

// expected returns how many bytes a run must move, or -1.
func (f *File) expected() int64 {
	switch {
	case f.Part != nil:
		return f.Part.Len()
	case f.Size < 0:
		return -1
	}
	return f.Size - f.Have.Bytes()
}

func (f *File) check(mode Mode) error {
	switch {
	case f.Part != nil && (f.Part.Off < 0 || f.Part.End <= f.Part.Off):
		return fmt.Errorf("gridftp: the part %v of %s is not a range", *f.Part, f.Source)
	case f.Part != nil && len(f.Have) > 0:
		return fmt.Errorf("gridftp: %s is to be moved in part and restarted, of which a server does one", f.Source)
	case f.Size >= 0 && len(f.Have) > 0 && f.Have[len(f.Have)-1].End > f.Size:
		return fmt.Errorf("gridftp: the destination is said to hold more of %s than its %d bytes", f.Source, f.Size)
	case mode == Stream && (len(f.Have) > 1 || len(f.Have) == 1 && f.Have[0].Off != 0):
		return fmt.Errorf("gridftp: stream mode restarts %s from an offset only, not with gaps", f.Source)
	}
	return nil
}

// A Side is one of the two servers of a run.
type Side string

// The sides.
const (
	SourceSide Side = "source"
	DestSide   Side = "destination"
)

// An Outcome is how one file ended. With neither Err nor Suspect, both servers
// said that the transfer is complete, and every count they gave is the one
// expected.
type Outcome struct {
	File
	Index     int    // among the files of the run, from 0
	Bytes     int64  // that were moved; -1 when neither server counted
	SourceSum string // the checksums, when they were asked for
	DestSum   string
	// SumErr says why a checksum is missing: a server's refusal, which leaves
	// the transfer as good as it was.
	SumErr error

	Err     error // of the one file that ended the run
	Suspect bool  // not proven: under its destination's name there may be nothing, a part, or another file's bytes
}

// Progress tells of a file on its way.
type Progress struct {
	Index  int
	File   File
	Bytes  int64    // moved so far in this run, as far as is known
	Ranges RangeSet // what the destination has safe, Have included
}

// An Observer hears of a run. Its functions may be nil, are called one at a
// time, and hold up the run while they work.
type Observer struct {
	Progress func(Progress)
	// Done is called once for every file taken, in the order they were taken.
	Done func(Outcome)
}

// ThirdParty moves the files that next hands out, until it says false, from
// src to dst: the bytes go from server to server. In extended block mode one
// set of data connections serves all files, and up to Options.Window of them
// are under way at once: their commands are sent without waiting for replies.
//
// Servers pair the queued commands of such a run by order alone, so that a
// refusal at one side makes every later file go under the wrong name, and the
// servers say 226 to it (G1). Therefore anything but success ends the run:
// both sessions are closed, and the error, a *PipelineError, tells which file
// was refused and which names are suspect. Files that Observer.Done reported
// before are safe. The caller removes or rewrites the suspect ones, with new
// sessions; a file found suspect time and again is best tried with a window of
// 1, where only one can be at fault.
//
// next is called from another goroutine than the Observer's functions. It
// should not take long, and must not wait for a file it gave to be done: files
// are asked for in batches. Cancelling ctx ends the run in the
// same way. Neither session can be used for anything else meanwhile.
func ThirdParty(ctx context.Context, src, dst *Client, options Options, next func(context.Context) (File, bool), observe Observer) error {
	options, err := options.normalize(src, dst)
	if err != nil {
		return err
	}
	if src == dst {
		return errors.New("gridftp: a third-party transfer needs two sessions")
	}
	p, err := pair(ctx, src, dst, options)
	if err != nil {
		return err
	}
	if options.Mode == Stream {
		return streamRuns(ctx, p, next, observe)
	}
	err = newRun(p, 0, observe).drive(ctx, next)
	p.used = time.Now()
	return err
}

// streamRuns moves files in stream mode, whose data connection lasts for one
// file: each is a run of its own.
func streamRuns(ctx context.Context, p *pairing, next func(context.Context) (File, bool), observe Observer) error {
	for index := 0; ; index++ {
		file, ok := next(ctx)
		if !ok {
			return nil
		}
		if index > 0 {
			if err := p.connect(ctx); err != nil {
				return err
			}
		}
		taken := false
		one := func(context.Context) (File, bool) {
			first := !taken
			taken = true
			return file, first
		}
		if err := newRun(p, index, observe).drive(ctx, one); err != nil {
			return err
		}
	}
}
