package activities

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/gridferry/gridferry/endpoints"
	"github.com/gridferry/gridferry/fault"
	"github.com/gridferry/gridferry/transfer"
)

// arrival is a file whose bytes are all at the destination, under path, and
// what is known of them.
type arrival struct {
	path               string
	alg                string
	sourceSum, destSum string
	relayed            bool // read by us: the source may have changed meanwhile
	parts              bool // moved in parts: the same
}

// proven says that nothing is left to do for a file: it is at its own name,
// and as verified as was asked. The caller holds mu.
func (c *copier) proven(i int, a arrival) bool {
	o, f := c.in.Options, c.files[i]
	if a.path != f.Dest || a.relayed || a.parts || o.PreserveTime || o.PreserveMode {
		return false
	}
	return o.Verify != transfer.VerifyChecksum || a.sourceSum != "" && a.sourceSum == a.destSum
}

// proveLater has a helper verify a file and give it its name. The caller holds mu.
func (c *copier) proveLater(i int, a arrival) {
	c.chore(func(ctx context.Context) { c.prove(ctx, i, a) })
}

func (c *copier) prove(ctx context.Context, i int, a arrival) {
	if c.in.Chunk.Ranged.IsRange() {
		c.proveRange(ctx, i)
		return
	}
	atSource, err := c.verifyAndName(ctx, i, &a)
	c.settle(ctx, i, a, atSource, err)
}

// settle notes that a file is copied, or deals with what kept a helper from
// seeing to that.
func (c *copier) settle(ctx context.Context, i int, a arrival, atSource bool, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if err == nil {
		c.arrived(i, a, statusCopied)
		return
	}
	c.afterHelp(ctx, i, err, atSource)
}

// afterHelp deals with a helper's error. It has tried for long enough, and on
// the file alone. The caller holds mu.
func (c *copier) afterHelp(ctx context.Context, i int, err error, atSource bool) {
	kind := fault.KindOf(err)
	err = c.named(i, err)
	if ofOneName(kind) || kind == fault.Integrity || kind == fault.Invalid {
		c.trouble(i, err, atSource, true)
		return
	}
	c.temp.set(i)
	c.back(i)
	if ctx.Err() == nil && !c.stop {
		c.note(err, c.files[i].Dest)
		c.blockLocked(err)
	}
}

// verifyAndName checks a file where it is, gives it its times and mode, and
// renames it. What it returns in a is how it was verified.
func (c *copier) verifyAndName(ctx context.Context, i int, a *arrival) (atSource bool, err error) {
	c.mu.Lock()
	f := c.files[i]
	c.mu.Unlock()
	o := c.in.Options
	if o.Verify == transfer.VerifyChecksum {
		if err := c.sums(ctx, f.Source, a); err != nil {
			return false, err
		}
		if a.sourceSum != a.destSum {
			return false, fault.New(fault.Integrity, "verify", f.Dest,
				fmt.Sprintf("the %s of the source is %s and that of the destination %s", a.alg, a.sourceSum, a.destSum))
		}
	}
	if a.sourceSum == "" && o.Verify != transfer.VerifyNone && (a.relayed || a.parts || o.Verify == transfer.VerifyChecksum) {
		e, err := stat(ctx, c.ends.dst, a.path)
		if err != nil {
			return false, err
		}
		if e.Size != f.Size {
			return false, fault.New(fault.Integrity, "verify", f.Dest, fmt.Sprintf("the destination has %d bytes and the source %d", e.Size, f.Size))
		}
	}
	// Checksums that both ends computed after the last byte agree only if the
	// source was the same all along. Any other way has to look.
	if o.Verify != transfer.VerifyNone && (a.relayed || a.parts && a.sourceSum == "") {
		e, err := stat(ctx, c.ends.src, f.Source)
		if err != nil {
			return true, err
		}
		if !(version{f.Size, f.ModTime}).same(version{e.Size, e.ModTime}) {
			return true, fault.New(fault.Integrity, "read", f.Source, "the file changed while it was being copied")
		}
	}
	if err := c.attributes(ctx, f, a.path); err != nil {
		return false, err
	}
	if a.path != f.Dest {
		return false, c.rename(ctx, a.path, f.Dest)
	}
	return false, nil
}

func stat(ctx context.Context, s endpoints.Storage, p string) (e endpoints.Entry, err error) {
	err = insist(ctx, patience, func() (err error) {
		e, err = s.Stat(ctx, p)
		return err
	})
	return e, err
}

// sums fills in the checksums that are missing. Both stay empty when an end
// neither computes one nor lets its file be read.
func (c *copier) sums(ctx context.Context, source string, a *arrival) error {
	if a.alg == "" {
		a.alg = commonAlgorithm(c.ends, c.in.Probe.Checksum)
	}
	type answer struct {
		sum string
		err error
	}
	src := answer{sum: a.sourceSum}
	fromSource := make(chan answer, 1)
	if a.sourceSum == "" {
		go func() {
			sum, err := checksum(ctx, c.ends.src, source, a.alg)
			fromSource <- answer{sum, err}
		}()
	}
	var destErr error
	destSum := a.destSum
	if destSum == "" {
		destSum, destErr = checksum(ctx, c.ends.dst, a.path, a.alg)
	}
	if a.sourceSum == "" {
		src = <-fromSource
	}
	for _, err := range []error{src.err, destErr} {
		switch {
		case fault.Is(err, fault.Unsupported):
			a.sourceSum, a.destSum = "", ""
			return nil
		case err != nil:
			return err
		}
	}
	a.sourceSum, a.destSum = src.sum, destSum
	return nil
}

// commonAlgorithm is what both ends compute, or else one, or else we.
func commonAlgorithm(p *pair, shared string) string {
	if p.dst.Caps().Parts.Most > 0 {
		// A file on its way can perhaps not be read: what its storage computes
		// of it is all that is to be had, and the source is ours to read.
		if alg := endpoints.SharedChecksum(checksums(p.dst), endpoints.Algorithms()); alg != "" && !slices.Contains(checksums(p.dst), shared) {
			return alg
		}
	}
	for _, alg := range []string{
		shared,
		endpoints.SharedChecksum(checksums(p.src), checksums(p.dst)),
		endpoints.SharedChecksum(checksums(p.src), endpoints.Algorithms()),
		endpoints.SharedChecksum(checksums(p.dst), endpoints.Algorithms()),
	} {
		if alg != "" {
			return alg
		}
	}
	return "sha256"
}

// checksum is computed by the storage, or from what it lets us read.
func checksum(ctx context.Context, s *place, p, alg string) (sum string, err error) {
	err = insist(ctx, patience, func() error {
		if cs, ok := s.Storage.(endpoints.Checksummer); ok && slices.Contains(s.Caps().Checksums, alg) {
			sum, err = cs.Checksum(ctx, p, alg, 0, -1, nil)
			return err
		}
		sum, err = endpoints.ReadChecksum(ctx, s, p, alg, 0, -1, nil)
		return err
	})
	return sum, err
}

// attributes sets time and mode where that was asked. An end that has neither
// is a fault to be told, and no reason to refuse the file.
func (c *copier) attributes(ctx context.Context, f transfer.File, p string) error {
	var errs []error
	if c.in.Options.PreserveMode && f.Mode != 0 {
		errs = append(errs, setMode(ctx, c.ends.dst, p, f.Mode))
	}
	if c.in.Options.PreserveTime && !f.ModTime.IsZero() {
		errs = append(errs, setTime(ctx, c.ends.dst, p, f))
	}
	for _, err := range errs {
		switch {
		case fault.Is(err, fault.Unsupported):
			c.mu.Lock()
			c.note(named(err, p, f.Dest), f.Dest)
			c.mu.Unlock()
		case err != nil:
			return err
		}
	}
	return nil
}

func setMode(ctx context.Context, s *place, p string, mode uint32) error {
	m, ok := s.Storage.(endpoints.ModeSetter)
	if !ok || !s.Caps().Modes {
		return fault.New(fault.Unsupported, "set the mode of", p, "the destination has no modes")
	}
	return insist(ctx, patience, func() error { return m.SetMode(ctx, p, mode) })
}

func setTime(ctx context.Context, s *place, p string, f transfer.File) error {
	t, ok := s.Storage.(endpoints.TimeSetter)
	if !ok || !s.Caps().Times {
		return fault.New(fault.Unsupported, "set the time of", p, "the destination sets no times")
	}
	return insist(ctx, patience, func() error { return t.SetModTime(ctx, p, f.ModTime) })
}

// rename gives a verified file its name, if the lease is still ours.
func (c *copier) rename(ctx context.Context, from, to string) error {
	unsure := false // an earlier try may have worked
	return insist(ctx, patience, func() error {
		if err := c.hold.sure(ctx); err != nil {
			return err
		}
		err := c.ends.dst.Rename(ctx, from, to)
		if unsure && fault.Is(err, fault.NotFound) {
			if _, statErr := c.ends.dst.Stat(ctx, to); statErr == nil {
				return nil
			}
		}
		unsure = unsure || passing(err)
		return err
	})
}

// makeLink makes a symbolic link.
func (c *copier) makeLink(ctx context.Context, i int) {
	c.mu.Lock()
	if !c.reserve(i) {
		c.back(i)
		c.mu.Unlock()
		return
	}
	f, p := c.files[i], c.path(i)
	c.mu.Unlock()
	err := c.link(ctx, f, p)
	c.settle(ctx, i, arrival{path: p}, false, err)
}

func (c *copier) link(ctx context.Context, f transfer.File, p string) error {
	l, ok := c.ends.dst.Storage.(endpoints.Linker)
	if !ok || !c.ends.dst.Caps().Links {
		return fault.New(fault.Unsupported, "make a symbolic link at", f.Dest, "the destination has none")
	}
	err := insist(ctx, patience, func() error { return l.Symlink(ctx, f.Link, p) })
	if fault.Is(err, fault.Exists) && p != f.Dest { // of an earlier try in this attempt
		err = errors.Join(c.remove(ctx, p), l.Symlink(ctx, f.Link, p))
	}
	if err != nil || p == f.Dest {
		return err
	}
	return c.rename(ctx, p, f.Dest)
}

// checkFirst compares the checksums of a file that the destination has in the
// same size, and lets it be copied when they differ.
func (c *copier) checkFirst(ctx context.Context, i int) {
	c.mu.Lock()
	f := c.files[i]
	c.mu.Unlock()
	a := arrival{path: f.Dest}
	err := c.sums(ctx, f.Source, &a)
	c.mu.Lock()
	defer c.mu.Unlock()
	if err == nil && a.sourceSum != "" && a.sourceSum == a.destSum {
		c.arrived(i, a, statusSkipped)
		return
	}
	// Whatever stood in the way stands in the way of the copy too, and is
	// dealt with there.
	c.files[i].Check = false
	c.back(i)
}
