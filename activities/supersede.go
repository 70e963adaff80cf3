package activities

import (
	"context"
	"slices"
	"strings"

	"github.com/gridferry/gridferry/transfer"
)

// supersede takes the lines of files that are to be copied again out of the
// results of the chunk that had copied them. They get new ones, with the
// chunk that does it: nobody should find two, and the first of them wrong.
func (f *finisher) supersede(ctx context.Context, chunk string, redo []transfer.File) error {
	again := make(map[string]bool, len(redo))
	for _, file := range redo {
		again[strings.ToValidUTF8(file.Dest, "?")] = true
	}
	r, err := newResultReader(ctx, f.d.Blobs, f.in.Task)
	if err != nil {
		return err
	}
	var keys []string
	err = f.d.Blobs.List(ctx, resultsPrefix(f.in.Task)+chunk+"/", func(key string) error {
		keys = append(keys, key)
		return nil
	})
	if err != nil || len(keys) == 0 {
		return err
	}
	group, err := r.group(ctx, chunk, keys)
	if err != nil {
		return err
	}
	for _, p := range group.pages {
		lines, err := r.lines(ctx, p)
		if err != nil {
			return err
		}
		rest := slices.DeleteFunc(slices.Clone(lines), func(l transfer.Result) bool { return again[l.Dest] })
		if len(rest) == len(lines) {
			continue
		}
		// The same page: its index says no less than is true of it.
		if err := putLines(ctx, f.d.Blobs, p.key, rest); err != nil {
			return err
		}
	}
	return nil
}
