package activities

import (
	"testing"
	"time"

	"github.com/gridferry/gridferry/endpoints/memory"
	"github.com/gridferry/gridferry/fault"
	"github.com/gridferry/gridferry/transfer"
)

// TestWalkRefusedForAWhile forbids a directory at either end for less long than
// it is tried: what else there is comes first, and then all is there.
func TestWalkRefusedForAWhile(t *testing.T) {
	for name, forbid := range map[string]func(w *world){
		"list": func(w *world) {
			w.src.Faults().Fail(memory.List, "/from/closed", transfer.TriesRefused-1, refuse(fault.Permission, "/from/closed"))
		},
		"make": func(w *world) {
			w.dst.Faults().Fail(memory.Mkdir, "/to/closed", transfer.TriesRefused-1, refuse(fault.Permission, "/to/closed"))
		},
	} {
		t.Run(name, bubble(func(t *testing.T) {
			w := newWorld(t)
			put(t, w.src, "/from/open/a", []byte("a"))
			put(t, w.src, "/from/closed/b", []byte("b"))
			put(t, w.src, "/from/closed/deeper/c", []byte("c"))
			forbid(w)
			req := w.request()
			probe := w.probe(w.worker("prober"), req)
			sizes := defaultWalkSizes
			sizes.delay = 20 * time.Millisecond
			var faults int64
			var found transfer.Progress
			in := WalkInput{Task: testTask, Ends: w.ends(), Request: req, Probe: probe}
			for step := range 10 {
				res, err := w.worker("walker").walkStep(w.ctx(), in, sizes)
				if err != nil || res.Errors > 0 || res.Blocked != nil {
					t.Fatalf("step %d: %+v, %v", step, res, err)
				}
				if step == 0 && (len(res.Chunks) != 1 || res.Chunks[0].Files != 1 || res.Cursor == "") {
					t.Errorf("the first step hands over %+v", res.Chunks)
				}
				for _, f := range res.Faults {
					faults += f.Count
				}
				found = found.Add(res.Found)
				if in.Cursor = res.Cursor; res.Cursor == "" {
					break
				}
			}
			if found.Files != 3 || faults != transfer.TriesRefused-1 {
				t.Errorf("%d files were found, with %d faults", found.Files, faults)
			}
		}))
	}
}

// TestWalkRefusedAndSkipped does not wait where the request says to go on
// without.
func TestWalkRefusedAndSkipped(t *testing.T) {
	w := newWorld(t)
	put(t, w.src, "/from/closed/b", []byte("b"))
	w.src.Faults().Fail(memory.List, "/from/closed", -1, refuse(fault.Permission, "/from/closed"))
	wk := w.walk(w.request(func(r *transfer.Request) { r.OnError = transfer.OnErrorSkip }), defaultWalkSizes)
	if wk.Errors != 1 || len(wk.Faults) != 1 || wk.Faults[0].Count != 1 {
		t.Errorf("it was tried again: %+v", wk.Faults)
	}
}
