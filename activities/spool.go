package activities

import (
	"context"
	"fmt"
	"slices"
	"sort"
	"strings"

	"github.com/gridferry/gridferry/blob"
	"github.com/gridferry/gridferry/endpoints"
	"github.com/gridferry/gridferry/transfer"
)

// A spool is the whole listing of one directory, sorted by name. Listings have
// no order of their own and cannot be resumed, so a listing is spooled to its
// end before any entry of it is used. Small ones stay in memory; a large one
// goes to the blob store as sorted runs of blocks, and is merged when read.
type spool struct {
	Prefix string     `json:"prefix,omitempty"` // of the blocks' keys
	Runs   [][]string `json:"runs,omitempty"`   // first name of each block of each run, packed
	Total  int        `json:"total"`

	small []endpoints.Entry // of a spool without runs
}

// spoolSizes bound what a spool holds in memory, in entries.
type spoolSizes struct {
	small int // a directory of no more stays in memory, which is also the length of a run
	block int // entries that are read at once, for each run
}

var defaultSpoolSizes = spoolSizes{small: 20_000, block: 1_000}

// spoolDir lists dir into a spool.
func spoolDir(ctx context.Context, s endpoints.Storage, dir string, blobs blob.Store, prefix string, sizes spoolSizes) (*spool, error) {
	sp := &spool{}
	err := s.List(ctx, dir, func(page []endpoints.Entry) error {
		for _, e := range page {
			if len(sp.small) == sizes.small {
				if err := sp.spill(ctx, blobs, prefix, sizes); err != nil {
					return err
				}
			}
			sp.small = append(sp.small, e)
			sp.Total++
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	if len(sp.Runs) > 0 {
		if err := sp.spill(ctx, blobs, prefix, sizes); err != nil {
			return nil, err
		}
	}
	sortEntries(sp.small)
	return sp, nil
}

func sortEntries(entries []endpoints.Entry) {
	slices.SortFunc(entries, func(a, b endpoints.Entry) int { return strings.Compare(a.Name, b.Name) })
}

func (sp *spool) blockKey(run, block int) string {
	return fmt.Sprintf("%s/%06d-%06d", sp.Prefix, run, block)
}

// spill moves what is in memory to a run of its own.
func (sp *spool) spill(ctx context.Context, blobs blob.Store, prefix string, sizes spoolSizes) error {
	sp.Prefix = prefix
	sortEntries(sp.small)
	var firsts []string
	for block := range slices.Chunk(sp.small, sizes.block) {
		packed := make([]endpoints.Entry, len(block))
		for i, e := range block {
			packed[i] = packEntry(e)
		}
		if err := putLines(ctx, blobs, sp.blockKey(len(sp.Runs), len(firsts)), packed); err != nil {
			return err
		}
		firsts = append(firsts, packed[0].Name)
	}
	sp.Runs = append(sp.Runs, firsts)
	sp.small = sp.small[:0]
	return nil
}

// spooled says whether the entries are in the blob store.
func (sp *spool) spooled() bool { return sp != nil && len(sp.Runs) > 0 }

// entryReader hands out entries in the order of their names.
type entryReader struct {
	ctx   context.Context
	blobs blob.Store
	sp    *spool
	runs  []runReader
	head  endpoints.Entry
	ok    bool
}

type runReader struct {
	next    int // block
	entries []endpoints.Entry
}

// read returns a reader that stands at the first name greater than after. A
// nil spool has no entries.
func (sp *spool) read(ctx context.Context, blobs blob.Store, after string) (*entryReader, error) {
	r := &entryReader{ctx: ctx, blobs: blobs, sp: sp}
	switch {
	case sp == nil:
		return r, nil
	case !sp.spooled():
		r.runs = []runReader{{entries: sp.small}}
	default:
		r.runs = make([]runReader, len(sp.Runs))
		for i, firsts := range sp.Runs {
			// The block before the first one that begins beyond after may hold
			// the name that comes next.
			n := sort.Search(len(firsts), func(b int) bool { return transfer.UnpackName(firsts[b]) > after })
			r.runs[i].next = max(n-1, 0)
			if err := r.fill(i); err != nil {
				return nil, err
			}
		}
	}
	for i := range r.runs {
		for after != "" {
			entries := r.runs[i].entries
			n := sort.Search(len(entries), func(k int) bool { return entries[k].Name > after })
			r.runs[i].entries = entries[n:]
			if n < len(entries) || !sp.spooled() || r.runs[i].next >= len(sp.Runs[i]) {
				break
			}
			if err := r.fill(i); err != nil {
				return nil, err
			}
		}
	}
	return r, r.advance()
}

// fill reads the next block of a run.
func (r *entryReader) fill(run int) error {
	rr := &r.runs[run]
	if !r.sp.spooled() || rr.next >= len(r.sp.Runs[run]) {
		rr.entries = nil
		return nil
	}
	entries, err := getLines[endpoints.Entry](r.ctx, r.blobs, r.sp.blockKey(run, rr.next))
	if err != nil {
		return err
	}
	for i := range entries {
		entries[i].Name, entries[i].Target = transfer.UnpackName(entries[i].Name), transfer.UnpackName(entries[i].Target)
	}
	rr.entries = entries
	rr.next++
	return nil
}

// advance puts the entry with the least name at the head.
func (r *entryReader) advance() error {
	least := -1
	for i := range r.runs {
		if len(r.runs[i].entries) == 0 {
			continue
		}
		if least < 0 || r.runs[i].entries[0].Name < r.runs[least].entries[0].Name {
			least = i
		}
	}
	if r.ok = least >= 0; !r.ok {
		return nil
	}
	rr := &r.runs[least]
	r.head, rr.entries = rr.entries[0], rr.entries[1:]
	if len(rr.entries) == 0 {
		return r.fill(least)
	}
	return nil
}

// both is a name that the source, the destination or both have.
type both struct {
	name     string
	src, dst *endpoints.Entry
}

// joined hands fn the names of two listings in order, until it says false.
func joined(src, dst *entryReader, fn func(both) (bool, error)) error {
	for src.ok || dst.ok {
		var b both
		switch {
		case !dst.ok || src.ok && src.head.Name < dst.head.Name:
			e := src.head
			b = both{name: e.Name, src: &e}
		case !src.ok || dst.head.Name < src.head.Name:
			e := dst.head
			b = both{name: e.Name, dst: &e}
		default:
			s, d := src.head, dst.head
			b = both{name: s.Name, src: &s, dst: &d}
		}
		more, err := fn(b)
		if err != nil || !more {
			return err
		}
		if b.src != nil {
			if err := src.advance(); err != nil {
				return err
			}
		}
		if b.dst != nil {
			if err := dst.advance(); err != nil {
				return err
			}
		}
	}
	return nil
}
