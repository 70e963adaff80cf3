package activities

import (
	"testing"
)

// TestRedoneFileHasOneResult changes the source of a file that is verified
// again at the end of the task: what is recorded of it is the second copy.
func TestRedoneFileHasOneResult(t *testing.T) {
	w := newWorld(t)
	for _, name := range []string{"a", "b", "c", "d"} {
		put(t, w.src, "/from/"+name, content(1, 700))
	}
	req := w.request()
	wk := w.walk(req, defaultWalkSizes)
	p := w.process(12)
	d := w.gated("victim")
	go d.copy(p.context(t.Context()), w.copyInput(wk, wk.Chunks[0], req), nil)
	<-p.dead
	if res := w.copyOne(wk, wk.Chunks[0], req); !res.Complete || !res.Late {
		t.Fatalf("the successor: %+v", res)
	}
	first := w.results()
	for _, name := range []string{"a", "b", "c", "d"} {
		replace(t, w.src, "/from/"+name, content(2, 700))
	}
	fin := w.finish(wk, req, false)
	if len(fin.Redo) == 0 {
		t.Fatal("nothing was copied again")
	}
	changed := 0
	for name, r := range w.results() { // which fails for two lines of one file
		if r.Status != statusCopied {
			t.Errorf("%s is %s", name, r.Status)
		}
		if r.Checksum != first[name].Checksum {
			changed++
		}
	}
	var redone int64
	for _, c := range fin.Redo {
		redone += c.Files
	}
	if n := len(w.results()); n != 4 || int64(changed) != redone {
		t.Errorf("%d lines of results, %d of them other than before, and %d files were copied again", n, changed, redone)
	}
}
