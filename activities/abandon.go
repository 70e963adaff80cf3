package activities

import (
	"context"
	"crypto/sha256"
	"io"

	"github.com/gridferry/gridferry/endpoints"
	"github.com/gridferry/gridferry/fault"
	"github.com/gridferry/gridferry/transfer"
)

// abandon removes what is not proven.
func (f *finisher) abandon(ctx context.Context, led *ledger, files []transfer.File) error {
	caps := f.ends.dst.Caps()
	return f.each(led.suspects(), func(i int) error {
		names := generations(files[i], f.in.Task, led, caps)
		for _, epoch := range led.Epochs {
			names = append(names, tempPath(files[i], f.in.Task, epoch, caps))
		}
		if err := f.remove(ctx, names...); err != nil || led.Ranged != nil || !ownName(files[i], f.in.Options.Atomic, caps) {
			return err
		}
		if led.given(i) {
			return f.remove(ctx, files[i].Dest)
		}
		return f.removeOurs(ctx, files[i])
	})
}

// removeOurs removes a name that was free when the source was walked and that
// we may or may not have used since, if what is there is ours by its looks: a
// beginning of the source. All of the source is right, whoever put it there,
// and stays. Anything else may be somebody else's: it stays too, and is told of.
func (f *finisher) removeOurs(ctx context.Context, file transfer.File) error {
	there, err := stat(ctx, f.ends.dst, file.Dest)
	if fault.Is(err, fault.NotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	same := false // as far as it goes
	switch {
	case file.Link != "":
		same = there.Type == endpoints.Link && there.Target == file.Link
	case there.Type == endpoints.File && there.Size <= file.Size:
		if same, err = f.begins(ctx, file, there.Size); err != nil {
			return err
		}
	}
	switch {
	case same && (file.Link != "" || there.Size == file.Size):
		return nil
	case same:
		return f.remove(ctx, file.Dest)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.unproven(file.Dest)
	return nil
}

// begins says whether the file at the destination is the first n bytes of its
// source; false too when the source cannot be read any more.
func (f *finisher) begins(ctx context.Context, file transfer.File, n int64) (bool, error) {
	var sums [2][sha256.Size]byte
	for i, at := range []struct {
		end  *place
		path string
	}{{f.ends.src, file.Source}, {f.ends.dst, file.Dest}} {
		err := insist(ctx, patience, func() error {
			in, err := at.end.Open(ctx, at.path, 0, n)
			if err != nil {
				return err
			}
			defer in.Close()
			h := sha256.New()
			got, err := io.Copy(h, in)
			if err == nil && got != n {
				err = fault.New(fault.Integrity, "read", at.path, "it has become shorter")
			}
			h.Sum(sums[i][:0])
			return err
		})
		switch k := fault.KindOf(err); {
		case err == nil:
		case ofOneName(k) || k == fault.Integrity || k == fault.Unsupported:
			return false, nil
		default:
			return false, err
		}
	}
	return sums[0] == sums[1], nil
}
