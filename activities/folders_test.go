package activities

import (
	"strings"
	"testing"

	"github.com/gridferry/gridferry/endpoints/memory"
	"github.com/gridferry/gridferry/fault"
	"github.com/gridferry/gridferry/transfer"
)

// A tree goes to where no folder is empty: those that are empty are told of, and
// nothing of it is a fault.
func TestCopyToWhereNoFolderIsEmpty(t *testing.T) {
	for name, sizes := range map[string]walkSizes{"whole": defaultWalkSizes, "tiny": tinySizes} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, func(_, dst *memory.Options) { dst.NoEmptyDirs = true })
			want := w.mixedTree()
			delete(want, "/hollow/")
			req := w.request(func(r *transfer.Request) { r.PreserveTime = true })
			wk := w.walk(req, sizes)
			w.copyAll(wk, req)
			if fin := w.finish(wk, req, false); len(fin.Faults) != 0 {
				t.Errorf("faults: %+v", fin.Faults)
			}
			sameTree(t, tree(t, w.dst, "/to"), want)
			if wk.Found.EntriesIgnored != 1 || wk.Errors != 0 {
				t.Errorf("found: %+v, %d errors", wk.Found, wk.Errors)
			}
			if r := w.results()["/from/hollow"]; r.Status != "ignored" || r.Fault == nil || !strings.Contains(r.Fault.Message, "nothing in it") {
				t.Errorf("the results say of the empty one: %+v", r)
			}
			w.noStrays()
			again := w.walk(req, sizes)
			if again.Found.EntriesIgnored != 1 || again.Errors != 0 {
				t.Errorf("found when it is walked again: %+v, %d errors", again.Found, again.Errors)
			}
		})
	}
}

// Who asks for a folder alone hears that there is none now.
func TestMakingAFolderWhereNoneIsEmpty(t *testing.T) {
	w := newWorld(t, func(_, dst *memory.Options) { dst.NoEmptyDirs = true })
	put(t, w.dst, "/taken", nil)
	for path, want := range map[string]fault.Kind{"/new": fault.Unsupported, "/taken": fault.Exists} {
		_, err := w.worker("browser").Browse(t.Context(), BrowseInput{Op: BrowseMkdir, Endpoint: "dst", Path: path})
		if FaultOf(err).Kind != want {
			t.Errorf("%s: %v", path, err)
		}
	}
}
