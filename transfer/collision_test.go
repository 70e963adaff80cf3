package transfer

import (
	"strings"
	"testing"

	"github.com/gridferry/gridferry/endpoints"
)

func TestNames(t *testing.T) {
	type entry struct {
		source, dest string
		typ          endpoints.Type
	}
	const file, dir, link = endpoints.File, endpoints.Dir, endpoints.Link
	for _, tc := range []struct {
		name        string
		entries     []entry
		plain, fold string // why the last entry collides; empty when it does not
	}{
		{"different names", []entry{{"/1/a", "/d/a", file}, {"/1/b", "/d/b", file}}, "", ""},
		{"the same name", []entry{{"/1/a", "/d/a", file}, {"/2/a", "/d/a", file}}, "comes from /1/a as well", "comes from /1/a as well"},
		{"link and file", []entry{{"/1/a", "/d/a", link}, {"/2/a", "/d/a", file}}, "as well", "as well"},
		{"directories merge", []entry{{"/1/a", "/d/a", dir}, {"/2/a", "/d/a", dir}}, "", ""},
		{"file where a directory is", []entry{{"/1/a", "/d/a", dir}, {"/2/a", "/d/a", file}}, "a directory of that name", "a directory of that name"},
		{"directory where a file is", []entry{{"/1/a", "/d/a", file}, {"/2/a", "/d/a", dir}}, "a file of that name", "a file of that name"},
		{"below a file", []entry{{"/1/a", "/d/a", file}, {"/2/x", "/d/a/b/x", file}}, "/d/a is a file", "/d/a is a file"},
		{"file where a path leads through", []entry{{"/1/x", "/d/a/b/x", file}, {"/2/a", "/d/a", file}}, "a directory of that name", "a directory of that name"},
		{"names that begin alike", []entry{{"/1/a", "/d/a", file}, {"/2/a", "/d/ab/x", file}}, "", ""},
		{"case", []entry{{"/1/a", "/d/README", file}, {"/1/b", "/d/ReadMe", file}}, "", "takes the names for one"},
		{"case of directories", []entry{{"/1/a", "/d/Data", dir}, {"/1/b", "/d/data", dir}}, "", "takes the names for one"},
		{"case of a parent", []entry{{"/1/a", "/d/Data", file}, {"/1/b", "/d/data/x", file}}, "", "is a file"},
		{"Kelvin sign", []entry{{"/1/a", "/d/K", file}, {"/1/b", "/d/k", file}}, "", "takes the names for one"},
		{"composed and decomposed", []entry{{"/1/a", "/d/\u00e9", file}, {"/1/b", "/d/e\u0301", file}}, "", "takes the names for one"},
		{"composed, decomposed and case", []entry{{"/1/a", "/d/\u00c9", file}, {"/1/b", "/d/e\u0301", file}}, "", "takes the names for one"},
		{"bytes that are not UTF-8", []entry{{"/1/a", "/d/\xff", file}, {"/1/b", "/d/\xfe", file}}, "", ""},
		{"at the root", []entry{{"/1/a", "/a", file}, {"/1/b", "/b", file}}, "", ""},
	} {
		for _, folds := range []bool{false, true} {
			want := tc.plain
			if folds {
				want = tc.fold
			}
			names := Names{FoldsCase: folds}
			for i, e := range tc.entries {
				c, ok := names.Add(e.source, e.dest, e.typ)
				if i < len(tc.entries)-1 {
					if !ok {
						t.Fatalf("%s, folds %v: %v", tc.name, folds, c)
					}
					continue
				}
				switch {
				case ok != (want == ""):
					t.Errorf("%s, folds %v: %v, %v", tc.name, folds, ok, c)
				case !ok && (c.Source != e.source || c.Dest != e.dest || c.Other != tc.entries[0].source || !strings.Contains(c.String(), want)):
					t.Errorf("%s, folds %v: %+v should say %q", tc.name, folds, c, want)
				}
			}
		}
	}
}

func TestNamesAfterACollision(t *testing.T) {
	var names Names
	names.Add("/1/a", "/d/a", endpoints.File)
	names.Add("/2/a", "/d/a/b", endpoints.File) // refused: leaves no trace
	if c, ok := names.Add("/3/a", "/d/b", endpoints.File); !ok {
		t.Error(c)
	}
	if c, ok := names.Add("/4/a", "/d/a", endpoints.File); ok || c.Other != "/1/a" {
		t.Errorf("%v, %+v", ok, c)
	}
}
