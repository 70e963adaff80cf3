package synthetic

import (
	"context"
	"io"
	"path"
	"testing"

	"github.com/gridferry/gridferry/endpoints"
	"github.com/gridferry/gridferry/fault"
)

// TestSourceListsItsTree walks each shape as anybody would, and finds every
// file once, at its place, as long as it was listed.
func TestSourceListsItsTree(t *testing.T) {
	for _, tree := range []Tree{{2500, Wide}, {2500, Flat}, {2500, Deep}, {1200, Many}} {
		s := NewSource(tree)
		files, dirs := 0, int64(0)
		var list func(dir string)
		list = func(dir string) {
			err := s.List(t.Context(), dir, func(page []endpoints.Entry) error {
				for _, e := range page {
					p := path.Join(dir, e.Name)
					if at, err := s.Stat(t.Context(), p); err != nil || at.Type != e.Type || at.Size != e.Size {
						t.Fatalf("%v: %s is listed as %+v and is %+v, %v", tree, p, e, at, err)
					}
					if e.Type == endpoints.Dir {
						dirs++
						defer list(p)
						continue
					}
					files++
				}
				return nil
			})
			if err != nil {
				t.Fatal(err)
			}
		}
		list("/")
		if int64(files) != tree.Files || dirs != tree.Dirs() {
			t.Errorf("%v: %d files and %d directories, not %d", tree, files, dirs, tree.Dirs())
		}
		for _, p := range []string{"/nothing", "/f00000001x", "/g1", tree.Path(0) + "/x", "/g00000/d000/f00009999", "/d000/f1"} {
			if _, err := s.Stat(t.Context(), p); !fault.Is(err, fault.NotFound) {
				t.Errorf("%v: %s: %v", tree, p, err)
			}
		}
	}
}

// TestSinkKnowsRightFromWrong: what the sink says it holds is what it was sent.
func TestSinkKnowsRightFromWrong(t *testing.T) {
	tree := Tree{20, Flat}
	disk, err := OpenDisk(t.TempDir(), tree)
	if err != nil {
		t.Fatal(err)
	}
	defer disk.Close()
	source, sink := NewSource(tree), NewSink(disk)
	send := func(from, to string) {
		t.Helper()
		in, err := source.Open(context.Background(), from, 0, -1)
		if err != nil {
			t.Fatal(err)
		}
		data, err := io.ReadAll(in)
		if err != nil {
			t.Fatal(err)
		}
		w, err := sink.Create(t.Context(), to, endpoints.CreateOptions{})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write(data); err != nil {
			t.Fatal(err)
		}
		if err := w.Commit(); err != nil {
			t.Fatal(err)
		}
	}
	for n := range tree.Files - 3 {
		send(tree.Path(n), tree.Path(n))
	}
	send(tree.Path(0), tree.Path(0))
	temp := "/.f00000017.gridferry-0123456789ab-7"
	send(tree.Path(17), temp)
	if tally, err := disk.Tally(); err != nil || tally.Right != 17 || tally.Again != 1 || tally.Temps != 1 || tally.Wrong != "" {
		t.Fatalf("%+v, %v", tally, err)
	}
	if err := sink.Rename(t.Context(), temp, tree.Path(17)); err != nil {
		t.Fatal(err)
	}
	if _, err := sink.Create(t.Context(), tree.Path(18), endpoints.CreateOptions{}); err != nil { // killed before its Commit
		t.Fatal(err)
	}
	send(tree.Path(1), tree.Path(19))
	tally, err := disk.Tally()
	if err != nil || tally.Right != 18 || tally.Begun != 1 || tally.Bad != 1 || tally.Temps != 0 || tally.Wrong == "" {
		t.Errorf("%+v, %v", tally, err)
	}
	if err := sink.Rename(t.Context(), tree.Path(2), tree.Path(3)); err == nil {
		t.Error("a file was renamed over another")
	}
}
