package activities

import (
	"context"
	"slices"
	"time"

	"github.com/gridferry/gridferry/fault"
	"github.com/gridferry/gridferry/transfer"
)

// setDirs gives directories their times and modes: last of all, because every
// file that is made in one changes its time, and the deepest first, because a
// mode may forbid to go further down.
func (f *finisher) setDirs(ctx context.Context, at finishCursor) error {
	line := 0 // from the end
	for k := len(f.in.Dirs) - 1; k >= 0; k-- {
		dirs, err := getLines[dirTimes](ctx, f.d.Blobs, f.in.Dirs[k])
		if err != nil {
			return err
		}
		slices.Reverse(dirs)
		if line+len(dirs) <= at.Line {
			line += len(dirs)
			continue
		}
		dirs = dirs[max(0, at.Line-line):]
		line = max(line, at.Line)
		for batch := range slices.Chunk(dirs, 200) {
			if f.over(ctx) {
				f.res.Cursor = finishCursor{Dirs: true, Line: line}.String()
				return nil
			}
			if err := f.setBatch(ctx, batch); err != nil {
				return f.stopAt(finishCursor{Dirs: true, Line: line}, err)
			}
			line += len(batch)
		}
	}
	return nil
}

func (f *finisher) setBatch(ctx context.Context, dirs []dirTimes) error {
	numbers := make([]int, len(dirs))
	for i := range numbers {
		numbers[i] = i
	}
	// Times first: a mode may forbid to set them. A mode of a parent is set
	// after all that is below, which comes earlier.
	set := func(fn func(d dirTimes, p string) error) error {
		return f.each(numbers, func(i int) error {
			p := transfer.UnpackName(dirs[i].Path)
			err := fn(dirs[i], p)
			if k := fault.KindOf(err); err != nil && (ofOneName(k) || k == fault.Invalid) {
				f.mu.Lock()
				f.faults.add(toFault(err, p, time.Now().UTC()))
				f.mu.Unlock()
				return nil
			}
			return err
		})
	}
	err := set(func(d dirTimes, p string) error {
		if d.ModTime.IsZero() {
			return nil
		}
		return setTime(ctx, f.ends.dst, p, transfer.File{ModTime: d.ModTime})
	})
	if err != nil {
		return err
	}
	for _, d := range dirs { // one by one: the order counts
		if d.Mode == 0 {
			continue
		}
		p := transfer.UnpackName(d.Path)
		if err := setMode(ctx, f.ends.dst, p, d.Mode); err != nil {
			if k := fault.KindOf(err); !ofOneName(k) && k != fault.Invalid {
				return err
			}
			f.faults.add(toFault(err, p, time.Now().UTC()))
		}
	}
	return nil
}
