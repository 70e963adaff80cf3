package activities

import (
	"fmt"
	"slices"
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

// A folder of which nothing is to be copied is as an empty one, and one with
// something that failed, or with another folder, is not.
func TestFilteredFolderWhereNoFolderIsEmpty(t *testing.T) {
	for name, sizes := range map[string]walkSizes{"whole": defaultWalkSizes, "tiny": tinySizes} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, func(_, dst *memory.Options) { dst.NoEmptyDirs = true })
			for i := range 11 { // several runs, and batches, of the tiny sizes
				put(t, w.src, fmt.Sprintf("/from/left/%02d.tmp", i), nil)
				put(t, w.src, fmt.Sprintf("/from/kept/%02d.tmp", i), nil)
			}
			put(t, w.src, "/from/kept/00.dat", content(1, 100))
			put(t, w.src, "/from/outer/inner/x.tmp", nil)
			put(t, w.src, "/from/there/x.tmp", nil)
			put(t, w.dst, "/to/there/y", nil)
			put(t, w.src, "/from/wrong/x.tmp", nil)
			if err := w.src.Open().Symlink(t.Context(), "nowhere", "/from/wrong/link"); err != nil {
				t.Fatal(err)
			}
			req := w.request(func(r *transfer.Request) {
				r.Filters, r.Symlinks = []transfer.Filter{{Exclude: true, Name: "*.tmp"}}, transfer.SymlinksCopy
			})
			wk := w.walk(req, sizes)
			if wk.Found.EntriesIgnored != 25+2 || wk.Errors != 1 {
				t.Errorf("found: %+v, %d errors", wk.Found, wk.Errors)
			}
			var ignored []string
			for at, r := range w.results() {
				if r.Status == "ignored" {
					ignored = append(ignored, at)
				}
			}
			slices.Sort(ignored)
			if want := []string{"/from/left", "/from/outer/inner"}; !slices.Equal(ignored, want) {
				t.Errorf("the results say that %v are ignored, and not %v", ignored, want)
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
