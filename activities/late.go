package activities

import (
	"context"
	"maps"
	"slices"

	"github.com/gridferry/gridferry/endpoints"
	"github.com/gridferry/gridferry/fault"
	"github.com/gridferry/gridferry/transfer"
)

// lateFiles verifies files again that an attempt may have written to after it
// was thought dead, and removes the temporary names that it may have made.
func (f *finisher) lateFiles(ctx context.Context, chunk string, led *ledger, files []transfer.File) error {
	caps := f.ends.dst.Caps()
	epochs := map[int][]int64{}
	for _, l := range led.Late {
		epochs[l.File] = append(epochs[l.File], l.Epoch)
	}
	var redo []transfer.File
	err := f.each(slices.Sorted(maps.Keys(epochs)), func(i int) error {
		file := files[i]
		names := generations(file, f.in.Task, led, caps)
		for _, epoch := range epochs[i] {
			names = append(names, tempPath(file, f.in.Task, epoch, caps))
		}
		if err := f.remove(ctx, names...); err != nil {
			return err
		}
		if !led.Done.has(i) {
			if led.Ranged == nil && ownName(file, f.in.Options.Atomic, caps) {
				return f.removeOurs(ctx, file)
			}
			return nil
		}
		right, err := f.right(ctx, file)
		if err != nil {
			return err
		}
		f.mu.Lock()
		defer f.mu.Unlock()
		f.res.Verified++
		if !right {
			file.Exists, file.Check = true, false
			redo = append(redo, file)
		}
		return nil
	})
	if err != nil || len(redo) == 0 {
		return err
	}
	transfer.Sort(redo)
	stats := transfer.StatsOf(redo)
	c := transfer.Chunk{ID: chunk + "r", Files: stats.Files, Bytes: stats.Bytes, Class: stats.Class()}
	c.Sheet = sheetKey(f.in.Task, c.ID, newRun())
	c.Tuning = transfer.Tune(transfer.Policy{}, stats, f.in.Probe.Setting())
	if err := putLines(ctx, f.d.Blobs, c.Sheet, redo); err != nil {
		return err
	}
	if err := f.supersede(ctx, chunk, redo); err != nil {
		return err
	}
	f.res.Redo = append(f.res.Redo, c)
	return nil
}

// right compares a file at the destination with its source.
func (f *finisher) right(ctx context.Context, file transfer.File) (bool, error) {
	there, err := stat(ctx, f.ends.dst, file.Dest)
	switch {
	case fault.Is(err, fault.NotFound):
		return false, nil
	case err != nil:
		return false, err
	case file.Link != "":
		return there.Type == endpoints.Link, nil
	case there.Type != endpoints.File || there.Size != file.Size:
		return false, nil
	}
	alg := commonAlgorithm(f.ends, f.in.Probe.Checksum)
	var sums [2]string
	for n, at := range []struct {
		end  *place
		path string
	}{{f.ends.src, file.Source}, {f.ends.dst, file.Dest}} {
		if sums[n], err = checksum(ctx, at.end, at.path, alg); err != nil {
			if k := fault.KindOf(err); k == fault.Unsupported || n == 0 && ofOneName(k) {
				// The source is gone, or no one can read it: the size is all
				// there is to compare.
				f.mu.Lock()
				f.unproven(file.Dest)
				f.mu.Unlock()
				return true, nil
			}
			return false, err
		}
	}
	return sums[0] == sums[1], nil
}
