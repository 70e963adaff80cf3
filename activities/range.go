package activities

import (
	"context"
	"slices"
	"strings"

	"github.com/gridferry/gridferry/endpoints"
	"github.com/gridferry/gridferry/fault"
	"github.com/gridferry/gridferry/transfer"
)

// A chunk may be a range of a file (transfer.Ranged): the copier then has one
// file, moves only that range of it, and leaves the rest to others. It writes
// to a name that all ranges of the generation share, always to fixed places
// and never truncating, so that nobody has to come first, and what a dead
// attempt still writes is the same bytes in the same place. So nothing of that
// name is renamed, adopted or removed here: whatever is wrong with the file is
// told to the copy that joins the ranges, see join.go.

// inRanges says that very large files may be cut into ranges: whoever asked for
// chunks knows what to do with them, both ends take them, and chunks are not
// copied one at a time.
func (c *cutter) inRanges() bool {
	caps := c.ends.dst.Caps()
	if !c.ranges || c.policy.Name == transfer.PolicyClassic || !takesRanges(caps) || caps.StreamOnly {
		return false
	}
	return c.probe.Route.Path != transfer.RouteThirdParty || c.ends.src.Caps().Ranges
}

// sharedPath is the name that the ranges of a generation are written to.
func sharedPath(f transfer.File, task transfer.TaskID, generation int, caps endpoints.Caps) string {
	return transfer.SharedTempPath(f.Dest, task, generation, caps.MaxName)
}

// tempName is the temporary name of file i. The caller holds mu.
func (c *copier) tempName(i int) string {
	f, caps := c.files[i], c.ends.dst.Caps()
	if r := c.in.Chunk.Ranged; r != nil {
		return sharedPath(f, c.in.Task, r.Generation, caps)
	}
	return tempPath(f, c.in.Task, c.hold.epoch(), caps)
}

// ofGeneration begins the ledger of a file in ranges, or of a range, and makes
// the file of the sheet that of the generation. The caller holds mu.
func (c *copier) ofGeneration(prev *ledger) {
	r := c.in.Chunk.Ranged
	if r == nil {
		return
	}
	c.led.Ranged = r
	if prev != nil && r.Joins() {
		c.led.Generation = prev.Generation
		// A join writes no bytes: those of its attempts that died are not late.
		c.led.Late = slices.Clone(prev.Late)
	}
	if c.led.Generation <= r.Generation { // else its version is in Changed
		c.files[0].Size, c.files[0].ModTime = r.Size, r.ModTime
	}
}

// whole is what of file i this chunk moves. Where the destination takes whole
// parts only, it is those that begin in the range. The caller holds mu.
func (c *copier) whole(i int) transfer.RangeSet {
	if r := c.in.Chunk.Ranged; r.IsRange() {
		return transfer.NewRangeSet(c.ends.dst.Caps().Parts.Align(r.Range(), r.Size))
	}
	return transfer.NewRangeSet(endpoints.Range{End: c.files[i].Size})
}

// beginRange makes sure that the range is of the version that its generation
// is of, before anything is moved.
func (c *copier) beginRange(ctx context.Context) error {
	if c.led.Done.has(0) {
		return nil
	}
	atSource, err := c.sameVersion(ctx)
	if err == nil {
		return nil
	}
	if !ofFile(err) {
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.upset(0, err, atSource)
	return nil
}

// sameVersion compares the source with what the generation is of.
func (c *copier) sameVersion(ctx context.Context) (atSource bool, err error) {
	c.mu.Lock()
	f := c.files[0]
	c.mu.Unlock()
	now, err := stat(ctx, c.ends.src, f.Source)
	if err == nil && !(version{f.Size, f.ModTime}).same(version{now.Size, now.ModTime}) {
		err = fault.New(fault.Integrity, "read", f.Source, "the file changed while it was being copied")
	}
	return true, err
}

// proveRange ends a range whose bytes are all at the destination. Whether they
// are right is found out when all ranges are there; that the source is still
// what it was spares those which come after.
func (c *copier) proveRange(ctx context.Context, i int) {
	atSource, err := c.sameVersion(ctx)
	c.mu.Lock()
	defer c.mu.Unlock()
	if err != nil {
		c.afterHelp(ctx, i, err, atSource)
		return
	}
	c.state[i] = done
	c.busy--
	delete(c.moving, i)
	delete(c.led.Partial, i)
	c.led.Done.set(i)
	c.led.Bytes += c.in.Chunk.Ranged.Range().Len()
	c.up()
	c.book.dirty = true
	c.changed.Broadcast()
}

// ofFile says that an error is of the file, and not of the session or of the
// endpoint.
func ofFile(err error) bool {
	kind := fault.KindOf(err)
	return ofOneName(kind) || kind == fault.Integrity || kind == fault.Invalid
}

// upset ends the attempt at a range because of a fault that is the whole
// file's: the copy that joins the ranges decides about it. File i is under
// way, or has not been begun. The caller holds mu.
func (c *copier) upset(i int, err error, atSource bool) {
	if c.state[i] == underWay {
		c.busy--
	}
	c.state[i] = toDo
	delete(c.moving, i)
	if c.upsetBy == nil {
		name := c.files[i].Dest
		if atSource {
			name = c.files[i].Source
		}
		c.upsetBy = &FailedFile{Path: strings.ToValidUTF8(name, "?"), Kind: fault.KindOf(err), Message: clip(err.Error()), AtSource: atSource}
	}
	c.halt()
}

// counted is what the chunk counts as done, of all attempts: of a file in
// ranges, the ranges count its bytes, and the join the file. The caller holds mu.
func (c *copier) counted() (files, bytes int64) {
	if c.in.Chunk.Ranged.Joins() {
		return c.led.NDone, 0
	}
	return c.led.NDone, c.led.Bytes
}
