package transfer

import (
	"strings"
	"testing"

	"github.com/gridferry/gridferry/endpoints"
)

func TestExcluded(t *testing.T) {
	data := []Filter{{Name: "keep.tmp"}, {Exclude: true, Name: "*.tmp", Type: "file"}, {Exclude: true, Name: ".git", Type: "dir"}, {Exclude: true, Name: "core"}}
	only := []Filter{{Name: "*", Type: "dir"}, {Name: "*.h5"}, {Exclude: true, Name: "*"}}
	for _, tc := range []struct {
		name    string
		filters []Filter
		entry   string
		typ     endpoints.Type
		want    bool
	}{
		{"no filters", nil, "x.tmp", endpoints.File, false},
		{"none matches", data, "x.dat", endpoints.File, false},
		{"first match wins", data, "keep.tmp", endpoints.File, false},
		{"second match", data, "x.tmp", endpoints.File, true},
		{"files only", data, "x.tmp", endpoints.Dir, false},
		{"directories only", data, ".git", endpoints.Dir, true},
		{"directories only, a file", data, ".git", endpoints.File, false},
		{"links count as files", data, "x.tmp", endpoints.Link, true},
		{"any type", data, "core", endpoints.Dir, true},
		{"whole name", data, "core.1", endpoints.File, false},
		{"case matters", data, "X.TMP", endpoints.File, false},
		{"star takes a leading dot", []Filter{{Exclude: true, Name: "*"}}, ".x", endpoints.File, true},
		{"include only, match", only, "a.h5", endpoints.File, false},
		{"include only, other", only, "a.txt", endpoints.File, true},
		{"include only, directory", only, "d", endpoints.Dir, false},
	} {
		reason, got := Excluded(tc.filters, tc.entry, tc.typ)
		if got != tc.want || got != (reason != "") {
			t.Errorf("%s: %v, %q", tc.name, got, reason)
		}
	}
	if reason, _ := Excluded(data, "x.tmp", endpoints.File); reason != `excluded by filters[1] "*.tmp"` {
		t.Errorf("reason %q", reason)
	}
}

func TestParseFilter(t *testing.T) {
	for text, want := range map[string]Filter{
		"*.tmp":      {Exclude: true, Name: "*.tmp"},
		"-*.tmp":     {Exclude: true, Name: "*.tmp"},
		"+*.h5":      {Name: "*.h5"},
		"-dir:.git":  {Exclude: true, Name: ".git", Type: "dir"},
		"+file:*":    {Name: "*", Type: "file"},
		"file:x":     {Exclude: true, Name: "x", Type: "file"},
		"-[^a]x":     {Exclude: true, Name: "[^a]x"},
		"link:x":     {Exclude: true, Name: "link:x"},
		"-file:dir:": {Exclude: true, Name: "dir:", Type: "file"},
	} {
		if got, err := ParseFilter(text); err != nil || got != want {
			t.Errorf("ParseFilter(%q) = %+v, %v", text, got, err)
		}
	}
	for text, word := range map[string]string{"": "empty", "-": "empty", "+dir:": "empty", "a/b": "slash", "[": "glob", "a\nb": "U+000A", `\`: "glob"} {
		if got, err := ParseFilter(text); err == nil || !strings.Contains(err.Error(), word) {
			t.Errorf("ParseFilter(%q) = %+v, %v", text, got, err)
		}
	}
}

func FuzzParseFilter(f *testing.F) {
	for _, s := range []string{"*.tmp", "-dir:.git", "+file:[a-z]*", "[", `\`, "a/b", "-", "", "[^]]", "?\x00"} {
		f.Add(s, "name.tmp")
	}
	f.Fuzz(func(t *testing.T, text, name string) {
		filter, err := ParseFilter(text)
		if err != nil {
			return
		}
		if err := (Request{Source: "a:/x", Destination: "b:/x", Filters: []Filter{filter}}).Validate(noon); err != nil {
			t.Fatalf("%q: %v", text, err)
		}
		_, file := Excluded([]Filter{filter}, name, endpoints.File)
		_, dir := Excluded([]Filter{filter}, name, endpoints.Dir)
		if filter.Type == "" && file != dir {
			t.Fatalf("%q treats files and directories apart", text)
		}
	})
}
