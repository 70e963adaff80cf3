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
	Base   int        `json:"base,omitempty"`   // number of the first of Runs: those before it were merged
	Total  int        `json:"total"`

	small []endpoints.Entry // of a spool without runs
}

// spoolSizes bound what a spool holds in memory, in entries.
type spoolSizes struct {
	small int // a directory of no more stays in memory, which is also the length of a run
	block int // entries that are read at once, for each run
	merge int // runs that are read at once
	bytes int // that the paths of small entries may take, at both ends; 0 is any number
}

var defaultSpoolSizes = spoolSizes{small: 20_000, block: 1_000, merge: 24, bytes: 8 << 20}

// of returns the sizes for one directory: the longer its path, the less of it
// is in memory at a time, because each name is put behind it.
func (s spoolSizes) of(p pendingDir) spoolSizes {
	if s.bytes > 0 {
		s.small = max(min(s.small, s.bytes/(100+len(p.Source)+len(p.Dest))), 1)
	}
	return s
}

// fit is n, or less if that would be too much.
func (s spoolSizes) fit(n int) int {
	if s.bytes == 0 {
		return n
	}
	return min(n, s.small)
}

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
	return fmt.Sprintf("%s/%06d-%06d", sp.Prefix, sp.Base+run, block)
}

// spill moves what is in memory to a run of its own.
func (sp *spool) spill(ctx context.Context, blobs blob.Store, prefix string, sizes spoolSizes) error {
	sp.Prefix = prefix
	sortEntries(sp.small)
	sp.Runs = append(sp.Runs, nil)
	for block := range slices.Chunk(sp.small, sizes.block) {
		if err := sp.put(ctx, blobs, block); err != nil {
			return err
		}
	}
	sp.small = sp.small[:0]
	return nil
}

// spooled says whether the entries are in the blob store.
func (sp *spool) spooled() bool { return sp != nil && len(sp.Runs) > 0 }

// merge makes longer runs of the spool's until sizes.merge of them can be read
// at once: memory holds a block of each. The blocks that are merged stay until
// the task's blobs go, for a walk that is done again begins with them.
func (sp *spool) merge(ctx context.Context, blobs blob.Store, sizes spoolSizes) error {
	for sizes.merge > 1 && sp.spooled() && len(sp.Runs) > sizes.merge {
		from := &spool{Prefix: sp.Prefix, Runs: sp.Runs[:sizes.merge], Base: sp.Base}
		r, err := from.read(ctx, blobs, "")
		if err != nil {
			return err
		}
		run := &spool{Prefix: sp.Prefix, Base: sp.Base + len(sp.Runs), Runs: [][]string{nil}}
		block := make([]endpoints.Entry, 0, sizes.block)
		for ; err == nil && r.ok; err = r.advance() {
			if block = append(block, r.head); len(block) == sizes.block {
				if err := run.put(ctx, blobs, block); err != nil {
					return err
				}
				block = block[:0]
			}
		}
		if err == nil && len(block) > 0 {
			err = run.put(ctx, blobs, block)
		}
		if err != nil {
			return err
		}
		sp.Base += sizes.merge
		sp.Runs = append(slices.Clone(sp.Runs[sizes.merge:]), run.Runs[0])
	}
	return nil
}

// put appends a block to the last run.
func (sp *spool) put(ctx context.Context, blobs blob.Store, block []endpoints.Entry) error {
	run := len(sp.Runs) - 1
	packed := make([]endpoints.Entry, len(block))
	for i, e := range block {
		packed[i] = packEntry(e)
	}
	if err := putLines(ctx, blobs, sp.blockKey(run, len(sp.Runs[run])), packed); err != nil {
		return err
	}
	sp.Runs[run] = append(sp.Runs[run], packed[0].Name)
	return nil
}

// mark is a place in a spool: an entry of a block of a run.
type mark struct {
	Run   int `json:"r,omitempty"`
	Block int `json:"b,omitempty"`
	Entry int `json:"e,omitempty"`
}

// asListed says that a directory's names can be handed over as they were
// listed, run by run: there is nothing to compare them with.
func (p pendingDir) asListed() bool {
	return p.Listed.spooled() && p.Destinies.count() == 0 && p.After == ""
}

// source reads what the source has of a directory, from where it was left.
func (p pendingDir) source(ctx context.Context, blobs blob.Store, asListed bool) (*entryReader, error) {
	if !asListed {
		return p.Listed.read(ctx, blobs, p.After)
	}
	r := &entryReader{ctx: ctx, blobs: blobs, sp: p.Listed, runs: make([]runReader, len(p.Listed.Runs)), asListed: true}
	if p.At == nil {
		return r, r.advance()
	}
	r.run = p.At.Run
	r.runs[r.run].next = p.At.Block
	if err := r.fill(r.run); err != nil {
		return nil, err
	}
	r.runs[r.run].entries = r.runs[r.run].entries[p.At.Entry:]
	return r, r.advance()
}

// mark is where the head is.
func (r *entryReader) mark() *mark {
	rr := &r.runs[r.run]
	return &mark{Run: r.run, Block: rr.next - 1, Entry: rr.size - len(rr.entries) - 1}
}

// entryReader hands out entries in the order of their names, or as they were
// listed.
type entryReader struct {
	ctx   context.Context
	blobs blob.Store
	sp    *spool
	runs  []runReader
	heap  []int // of runs that have entries, by the name of the first
	head  endpoints.Entry
	ok    bool

	asListed bool
	run      int // that is being read as listed
}

type runReader struct {
	next    int               // block
	size    int               // of the block before
	entries []endpoints.Entry // left of it
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
	for i := range r.runs {
		if len(r.runs[i].entries) > 0 {
			r.heap = append(r.heap, i)
		}
	}
	for i := len(r.heap)/2 - 1; i >= 0; i-- {
		r.sink(i)
	}
	return r, r.advance()
}

// before says which of two runs has the lesser name.
func (r *entryReader) before(a, b int) bool {
	return r.runs[r.heap[a]].entries[0].Name < r.runs[r.heap[b]].entries[0].Name
}

// sink moves the run at i of the heap below those with lesser names.
func (r *entryReader) sink(i int) {
	for {
		least := i
		for _, child := range []int{2*i + 1, 2*i + 2} {
			if child < len(r.heap) && r.before(child, least) {
				least = child
			}
		}
		if least == i {
			return
		}
		r.heap[i], r.heap[least] = r.heap[least], r.heap[i]
		i = least
	}
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
	rr.entries, rr.size = entries, len(entries)
	rr.next++
	return nil
}

// advance puts the next entry at the head.
func (r *entryReader) advance() error {
	if r.asListed {
		return r.advanceAsListed()
	}
	if r.ok = len(r.heap) > 0; !r.ok {
		return nil
	}
	least := r.heap[0]
	rr := &r.runs[least]
	r.head, rr.entries = rr.entries[0], rr.entries[1:]
	if len(rr.entries) == 0 {
		if err := r.fill(least); err != nil {
			return err
		}
	}
	if len(rr.entries) == 0 {
		last := len(r.heap) - 1
		r.heap[0], r.heap = r.heap[last], r.heap[:last]
	}
	if len(r.heap) > 0 {
		r.sink(0)
	}
	return nil
}

func (r *entryReader) advanceAsListed() error {
	for r.ok = false; r.run < len(r.runs); r.run++ {
		rr := &r.runs[r.run]
		if len(rr.entries) == 0 {
			if err := r.fill(r.run); err != nil {
				return err
			}
		}
		if len(rr.entries) > 0 {
			r.head, rr.entries, r.ok = rr.entries[0], rr.entries[1:], true
			return nil
		}
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
