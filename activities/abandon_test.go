package activities

import (
	"fmt"
	"slices"
	"testing"

	"github.com/gridferry/gridferry/endpoints/memory"
	"github.com/gridferry/gridferry/transfer"
)

func TestCopyAbandoned(t *testing.T) {
	w := newWorld(t)
	w.mixedTree()
	req := w.request(func(r *transfer.Request) { r.Tuning.Concurrency = 1 })
	wk := w.walk(req, defaultWalkSizes)
	in := w.copyInput(wk, wk.Chunks[0], req)
	p := w.process(0)
	d := w.gated("victim")
	w.dst.Faults().Hook(func(ctx ctxType, op memory.Op, name string, off int64) error {
		if op == memory.Write && off >= 48<<10 {
			p.kill()
		}
		return passes(ctx, string(op))
	})
	go d.copy(p.context(t.Context()), in, nil)
	<-p.dead
	w.finish(wk, req, true)
	w.noStrays()
	want := tree(t, w.src, "/from")
	for name, b := range tree(t, w.dst, "/to") {
		if want[name] != b && name != "/replaced" {
			t.Errorf("%s is left with bytes that are not proven", name)
		}
	}
}

// TestAbandonSparesStrangers: of an attempt that was killed nobody knows how
// far into its window it came. What another has put under one of those names
// since is not ours to remove.
func TestAbandonSparesStrangers(t *testing.T) {
	w := newWorld(t)
	for i := range 20 {
		put(t, w.src, fmt.Sprintf("/from/%02d", i), content(uint64(i), 500))
	}
	req := w.request(func(r *transfer.Request) { r.Tuning.Concurrency = 1 })
	wk := w.walk(req, defaultWalkSizes)
	in := w.copyInput(wk, wk.Chunks[0], req)
	p := w.process(0)
	d := w.gated("victim")
	writes := 0
	w.dst.Faults().Hook(func(ctx ctxType, op memory.Op, name string, off int64) error {
		if op == memory.Write {
			if writes++; writes > 3 {
				p.kill()
			}
		}
		return passes(ctx, string(op))
	})
	go d.copy(p.context(t.Context()), in, nil)
	<-p.dead
	w.dst.Faults().Clear()

	source := func(name string) []byte { b, _ := get(t, w.src, "/from/"+name); return b }
	for name, data := range map[string][]byte{
		"19": []byte("somebody's notes"),
		"18": content(99, 500), // the same size, other bytes
		"17": content(99, 900), // longer
		"16": source("16"),     // the same file, by another way
		"15": source("15")[:200],
	} {
		replace(t, w.dst, "/to/"+name, data)
	}
	res := w.finish(wk, req, true)
	for name, stays := range map[string]bool{"19": true, "18": true, "17": true, "16": true, "15": false} {
		if _, ok := get(t, w.dst, "/to/"+name); ok != stays {
			t.Errorf("%s is there: %v", name, ok)
		}
		told := slices.Contains(res.Unproven, "/to/"+name)
		if told != (stays && name != "16") {
			t.Errorf("%s was told of: %v", name, told)
		}
	}
	w.noStrays()
}
