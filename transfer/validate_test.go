package transfer

import (
	"strings"
	"testing"
	"time"

	"github.com/gridferry/gridferry/endpoints"
	"github.com/gridferry/gridferry/fault"
)

var noon = time.Date(2026, 5, 4, 12, 0, 0, 0, time.UTC)

// refused checks that err is Invalid, is about the field and says the words.
func refused(t *testing.T, err error, field string, words ...string) {
	t.Helper()
	if !fault.Is(err, fault.Invalid) {
		t.Fatalf("error %v is not Invalid", err)
	}
	if e := err.(*fault.Error); e.Path != field {
		t.Errorf("error %q is about %q, not %q", err, e.Path, field)
	}
	for _, w := range words {
		if !strings.Contains(err.Error(), w) {
			t.Errorf("error %q should say %q", err, w)
		}
	}
}

func TestValidateAccepts(t *testing.T) {
	const a, b = "gsiftp://a", "gsiftp://b"
	for name, r := range map[string]Request{
		"shorthand":              {Source: a + "/x", Destination: b + "/x"},
		"records":                {Source: "ada#dtn:/x", Destination: "tape:/~/x"},
		"tree to tree":           {Source: a + "/x/", Destination: b + "/x/", Recursive: true},
		"root to a folder":       {Source: a + "/", Destination: b + "/x", Recursive: true},
		"file into a directory":  {Source: a + "/x", Destination: b + "/d/"},
		"same name elsewhere":    {Source: a + "/x", Destination: a + "/y"},
		"prefix that is no path": {Source: a + "/x", Destination: a + "/xy", Recursive: true},
		"two files, one directory": {Items: []Item{
			{Source: a + "/x", Destination: b + "/d/"}, {Source: a + "/y", Destination: b + "/d/"}}},
		"one source, two destinations": {Items: []Item{
			{Source: a + "/x", Destination: b + "/1"}, {Source: a + "/x", Destination: b + "/2"}}},
		"every option": {Source: a + "/x", Destination: b + "/y", Recursive: true, Label: "Läuft, in einer Zeile",
			Sync: "2", Verify: "checksum", Symlinks: "ignore", OnError: "retry", Route: "auto", DeleteExtra: true, MaxDelete: "5%",
			Filters: []Filter{{Name: "*.dat", Type: "file"}, {Exclude: true, Name: "*"}}, ModifyWindow: Duration(2 * time.Second),
			Deadline: noon.Add(time.Minute), Tuning: Policy{Name: "auto", Concurrency: 64, Parallelism: 64, Pipelining: 1000}},
		"source in the destination, nothing deleted": {Source: a + "/x/y", Destination: a + "/x", Recursive: true},
	} {
		if err := r.Validate(noon); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestValidateRefuses(t *testing.T) {
	const a, b = "gsiftp://a", "gsiftp://b"
	with := func(change func(*Request)) Request {
		r := Request{Source: a + "/x", Destination: b + "/x", Recursive: true}
		change(&r)
		return r
	}
	items := func(it ...Item) Request { return Request{Items: it} }
	for _, tc := range []struct {
		name  string
		req   Request
		field string
		words []string
	}{
		{"nothing", Request{}, "items", []string{"source and destination"}},
		{"no destination", Request{Source: a + "/x"}, "destination", []string{"is empty"}},
		{"unknown scheme", with(func(r *Request) { r.Source = "gopher://h/x" }), "source", []string{"gopher", "gsiftp://"}},
		{"relative path", with(func(r *Request) { r.Destination = "dtn:x" }), "destination", []string{"relative", "dtn:/x"}},
		{"file without a host", with(func(r *Request) { r.Source = "file:///data" }), "source", []string{"names no host", "file://HOST/path"}},
		{"control character", with(func(r *Request) { r.Destination = b + "/a%0Db" }), "destination", []string{"U+000D"}},
		{"item's field", items(Item{Source: a + "/x", Destination: b + "/x"}, Item{Source: a + "/../x", Destination: b + "/y"}), "items[1].source", []string{`".."`}},
		{"same source and destination", Request{Source: a + "/x", Destination: "gsiftp://A:2811//x"}, "destination", []string{"same as the source"}},
		{"same directory", Request{Source: a + "/d/x", Destination: a + "/d/"}, "destination", []string{"same as the source"}},
		{"destination inside the source", Request{Source: a + "/x", Destination: a + "/x/y", Recursive: true}, "destination", []string{"inside the source"}},
		{"destination inside the root", Request{Source: a + "/", Destination: a + "/y", Recursive: true}, "destination", []string{"inside the source"}},
		{"destination inside another item's source", items(Item{Source: a + "/x", Destination: a + "/y", Recursive: true}, Item{Source: a + "/f", Destination: a + "/x/f"}), "items[1].destination", []string{"inside the source /x"}},
		{"destination is another item's source", items(Item{Source: a + "/x", Destination: a + "/y"}, Item{Source: a + "/y", Destination: a + "/z"}), "items[0].destination", []string{"source of items[1]"}},
		{"source inside a destination that is cleaned", with(func(r *Request) { r.Source, r.Destination, r.DeleteExtra = a+"/x/y", a+"/x", true }), "source", []string{"delete_extra"}},
		{"nested destinations", items(Item{Source: a + "/x", Destination: b + "/d", Recursive: true}, Item{Source: a + "/y", Destination: b + "/d/e", Recursive: true}), "items[1].destination", []string{"nested", "items[0]"}},
		{"nested destinations, inner first", items(Item{Source: a + "/y", Destination: b + "/d/e/f"}, Item{Source: a + "/x", Destination: b + "/d", Recursive: true}), "items[0].destination", []string{"nested", "items[1]"}},
		{"duplicate item", items(Item{Source: a + "/x", Destination: b + "/x"}, Item{Source: a + "//x", Destination: b + "/x"}), "items[1].source", []string{"same item as items[0]"}},
		{"one destination for two", items(Item{Source: a + "/1/x", Destination: b + "/d/"}, Item{Source: a + "/2/x", Destination: b + "/d/"}), "items[1].destination", []string{"items[0]"}},
		{"two sources' endpoints", items(Item{Source: a + "/x", Destination: b + "/x"}, Item{Source: "gsiftp://a:5000/y", Destination: b + "/y"}), "items[1].source", []string{"same two endpoints"}},
		{"two destinations' endpoints", items(Item{Source: a + "/x", Destination: b + "/x"}, Item{Source: a + "/y", Destination: "ftp://b/y"}), "items[1].destination", []string{"same two endpoints"}},
		{"directory without recursive", Request{Source: a + "/x/", Destination: b + "/x"}, "source", []string{"recursive"}},
		{"root without recursive", Request{Source: a, Destination: b + "/x"}, "source", []string{"recursive"}},
		{"shorthand and items", Request{Source: a + "/x", Destination: b + "/x", Items: []Item{{}}}, "items", []string{"together"}},
		{"recursive and items", Request{Recursive: true, Items: []Item{{}}}, "recursive", []string{"into the items"}},
		{"too many items", Request{Items: make([]Item, MaxItems+1)}, "items", []string{"10001", "10000"}},
		{"three-line label", with(func(r *Request) { r.Label = "one\r\ntwo\nthree" }), "label", []string{"3 lines", "one line"}},
		{"long label", with(func(r *Request) { r.Label = strings.Repeat("é", 129) }), "label", []string{"129 characters", "128"}},
		{"tab in a label", with(func(r *Request) { r.Label = "a\tb" }), "label", []string{"U+0009"}},
		{"label that is not UTF-8", with(func(r *Request) { r.Label = "\xff" }), "label", []string{"UTF-8"}},
		{"past deadline", with(func(r *Request) { r.Deadline = noon.Add(-time.Hour) }), "deadline", []string{"2026-05-04T11:00:00Z is past", "after 2026-05-04T12:00:00Z"}},
		{"deadline now", with(func(r *Request) { r.Deadline = noon }), "deadline", []string{"is past"}},
		{"unknown sync", with(func(r *Request) { r.Sync = "4" }), "sync", []string{`"4" is not known`, "always, exists, size, mtime, checksum, 0, 1, 2, 3"}},
		{"misspelt verify", with(func(r *Request) { r.Verify = "cheksum" }), "verify", []string{`did you mean "checksum"?`}},
		{"unknown symlinks", with(func(r *Request) { r.Symlinks = "follow" }), "symlinks", []string{"ignore, keep, copy"}},
		{"unknown on_error", with(func(r *Request) { r.OnError = "shrug" }), "on_error", []string{"retry, skip, fail"}},
		{"misspelt route", with(func(r *Request) { r.Route = "thirdparty" }), "route", []string{`did you mean "third-party"?`}},
		{"unknown policy", with(func(r *Request) { r.Tuning.Name = "turbo" }), "tuning.name", []string{"auto, classic"}},
		{"cc too high", with(func(r *Request) { r.Tuning.Concurrency = 65 }), "tuning.cc", []string{"65", "1 to 64"}},
		{"p negative", with(func(r *Request) { r.Tuning.Parallelism = -1 }), "tuning.p", []string{"1 to 64"}},
		{"pp too high", with(func(r *Request) { r.Tuning.Pipelining = 1001 }), "tuning.pp", []string{"1 to 1000"}},
		{"max_delete alone", with(func(r *Request) { r.MaxDelete = "5" }), "max_delete", []string{"delete_extra"}},
		{"max_delete of nothing", with(func(r *Request) { r.DeleteExtra, r.MaxDelete = true, "%" }), "max_delete", []string{`"100"`, `"5%"`}},
		{"delete_extra for a file", with(func(r *Request) { r.DeleteExtra, r.Recursive = true, false }), "delete_extra", []string{"recursive"}},
		{"empty filter", with(func(r *Request) { r.Filters = []Filter{{Name: "*"}, {}} }), "filters[1].name", []string{"*.tmp"}},
		{"filter with a slash", with(func(r *Request) { r.Filters = []Filter{{Name: "a/*"}} }), "filters[0].name", []string{"slash"}},
		{"filter that is no glob", with(func(r *Request) { r.Filters = []Filter{{Name: "x[a"}} }), "filters[0].name", []string{"not a glob"}},
		{"filter of an unknown type", with(func(r *Request) { r.Filters = []Filter{{Name: "*", Type: "link"}} }), "filters[0].type", []string{"file or dir"}},
		{"too many filters", with(func(r *Request) { r.Filters = make([]Filter, MaxFilters+1) }), "filters", []string{"1001"}},
		{"negative window", with(func(r *Request) { r.ModifyWindow = -1 }), "modify_window", []string{`"0s" to "24h"`}},
		{"newline in a credential id", with(func(r *Request) { r.SourceCredential = "env\n" }), "source_credential", []string{"U+000A"}},
		{"newline in an address", with(func(r *Request) { r.Notify = "a@b\r\nBcc: c@d" }), "notify", []string{"U+000D"}},
		{"very long owner", with(func(r *Request) { r.Owner = strings.Repeat("x", 1025) }), "owner", []string{"1025"}},
	} {
		t.Run(tc.name, func(t *testing.T) { refused(t, tc.req.Validate(noon), tc.field, tc.words...) })
	}
}

func TestNormalised(t *testing.T) {
	got := Request{
		Source: "gsiftp://a/x/f%20g", Destination: "gsiftp://b/d/",
		Sync: "3", Verify: "checksum", Symlinks: "ignore", OnError: "retry", Route: "auto", Tuning: Policy{Name: "auto", Parallelism: 4},
	}.Normalised(noon)
	if got.Source != "" || got.Destination != "" || len(got.Items) != 1 {
		t.Fatalf("shorthand is left: %+v", got)
	}
	if want := (Item{Source: "gsiftp://a/x/f%20g", Destination: "gsiftp://b/d/f%20g"}); got.Items[0] != want {
		t.Errorf("item %+v, want %+v", got.Items[0], want)
	}
	if got.Sync != SyncChecksum || got.Verify != VerifyChecksum || got.Symlinks != SymlinksIgnore || got.OnError != OnErrorRetry || got.Route != RouteAuto || got.Tuning != (Policy{Parallelism: 4}) {
		t.Errorf("enumerations are not canonical: %+v", got)
	}
	if want := noon.Add(7 * 24 * time.Hour); !got.Deadline.Equal(want) {
		t.Errorf("deadline %v, want %v", got.Deadline, want)
	}
	again := got.Normalised(noon.Add(time.Hour))
	if len(again.Items) != 1 || again.Items[0] != got.Items[0] || !again.Deadline.Equal(got.Deadline) {
		t.Errorf("normalising again changes %+v to %+v", got, again)
	}
}

func TestNormalisedHidesNothingFromValidate(t *testing.T) {
	both := Request{Source: "dtn:/a", Destination: "tape:/a", Items: []Item{{Source: "dtn:/b", Destination: "tape:/b"}}}
	refused(t, both.Normalised(noon).Validate(noon), "items", "together")
}

func TestNormalisedLeavesTheRequestAlone(t *testing.T) {
	items := []Item{{Source: "dtn:/a", Destination: "tape:/d/"}}
	if got := (Request{Items: items}).Normalised(noon); got.Items[0].Destination != "tape:/d/a" {
		t.Errorf("destination %q", got.Items[0].Destination)
	}
	if items[0].Destination != "tape:/d/" {
		t.Error("the caller's items were changed")
	}
}

func TestValidateDelete(t *testing.T) {
	ok := DeleteRequest{Paths: []string{"gsiftp://a/x", "gsiftp://a/y/z", "gsiftp://a/xy"}, Recursive: true}
	if err := ok.Validate(noon); err != nil {
		t.Error(err)
	}
	for _, tc := range []struct {
		name  string
		req   DeleteRequest
		field string
		word  string
	}{
		{"nothing", DeleteRequest{}, "paths", "1 to 10000"},
		{"bad location", DeleteRequest{Paths: []string{"dtn:/a", "/b"}}, "paths[1]", "endpoint"},
		{"no host", DeleteRequest{Paths: []string{"file:///a"}}, "paths[0]", "names no host"},
		{"two endpoints", DeleteRequest{Paths: []string{"dtn:/a", "tape:/b"}}, "paths[1]", "one endpoint"},
		{"everything", DeleteRequest{Paths: []string{"gsiftp://h"}, Recursive: true}, "paths[0]", "everything"},
		{"the whole home", DeleteRequest{Paths: []string{"dtn:/~/"}, Recursive: true}, "paths[0]", "everything"},
		{"twice", DeleteRequest{Paths: []string{"dtn:/a", "dtn:/a/"}}, "paths[1]", "paths[0]"},
		{"nested", DeleteRequest{Paths: []string{"dtn:/a/b/c", "dtn:/a"}}, "paths[0]", "inside paths[1]"},
		{"label", DeleteRequest{Paths: []string{"dtn:/a"}, Label: "a\nb"}, "label", "2 lines"},
		{"deadline", DeleteRequest{Paths: []string{"dtn:/a"}, Deadline: noon.Add(-1)}, "deadline", "past"},
		{"credential", DeleteRequest{Paths: []string{"dtn:/a"}, Credential: "\x00"}, "credential", "U+0000"},
	} {
		t.Run(tc.name, func(t *testing.T) { refused(t, tc.req.Validate(noon), tc.field, tc.word) })
	}
}

func TestValidateChange(t *testing.T) {
	label, long := "new", "a\nb\nc"
	later, past, zero := noon.Add(time.Hour), noon.Add(-time.Hour), time.Time{}
	if err := (Change{Label: &label, Deadline: &later, Tuning: &Policy{Name: "classic"}}).Validate(noon); err != nil {
		t.Error(err)
	}
	for _, tc := range []struct {
		name   string
		change Change
		field  string
	}{
		{"nothing", Change{}, "change"},
		{"label", Change{Label: &long}, "label"},
		{"past deadline", Change{Deadline: &past}, "deadline"},
		{"zero deadline", Change{Deadline: &zero}, "deadline"},
		{"tuning", Change{Tuning: &Policy{Pipelining: 5000}}, "tuning.pp"},
	} {
		t.Run(tc.name, func(t *testing.T) { refused(t, tc.change.Validate(noon), tc.field) })
	}
}

func TestMaxDelete(t *testing.T) {
	for _, tc := range []struct {
		text          string
		extras, total int64
		want          bool
	}{
		{"", 1e9, 1, true},
		{"0", 0, 10, true}, {"0", 1, 10, false},
		{"100", 100, 100, true}, {"100", 101, 1e6, false},
		{"5%", 5, 100, true}, {"5%", 6, 100, false}, {"0.5%", 1, 200, true}, {"0.5%", 2, 200, false},
		{"0%", 0, 0, true}, {"0%", 1, 100, false}, {"100%", 100, 100, true},
	} {
		b, err := ParseMaxDelete(tc.text)
		if err != nil {
			t.Errorf("%q: %v", tc.text, err)
		} else if got := b.Allows(tc.extras, tc.total); got != tc.want {
			t.Errorf("%q allows %d of %d: %v", tc.text, tc.extras, tc.total, got)
		}
	}
	for _, text := range []string{"%", "-1", "+1", "-1%", "101%", "5 %", "1e2", "1e2%", "0x5%", "Inf%", "NaN%", "1_0%", "many", "99999999999999999999"} {
		if b, err := ParseMaxDelete(text); err == nil {
			t.Errorf("ParseMaxDelete(%q) = %+v", text, b)
		}
	}
}

func TestCheckItem(t *testing.T) {
	plain, recursive := Item{Source: "dtn:/x"}, Item{Source: "dtn:/x", Recursive: true}
	for _, tc := range []struct {
		name string
		item Item
		typ  endpoints.Type
		kind fault.Kind
		word string
	}{
		{"file", plain, endpoints.File, "", ""},
		{"directory, recursive", recursive, endpoints.Dir, "", ""},
		{"link", recursive, endpoints.Link, "", ""},
		{"directory", plain, endpoints.Dir, fault.Invalid, "set recursive"},
		{"file, recursive", recursive, endpoints.File, fault.Invalid, "is a file"},
		{"device", plain, endpoints.Other, fault.Unsupported, "device"},
	} {
		err := CheckItem(tc.item, endpoints.Entry{Name: "/x", Type: tc.typ})
		if fault.KindOf(err) != tc.kind || err != nil && !strings.Contains(err.Error(), tc.word) {
			t.Errorf("%s: %v", tc.name, err)
		}
	}
}

func TestCheckedNamesTheCallersFields(t *testing.T) {
	_, err := Request{Source: "gsiftp://a/x", Destination: "relative"}.Checked(noon)
	if err == nil || !strings.Contains(err.Error(), "destination") || strings.Contains(err.Error(), "items[") {
		t.Errorf("the shorthand's error does not name its field: %v", err)
	}
	_, err = Request{Items: []Item{
		{Source: "gsiftp://a/1/x", Destination: "gsiftp://b/d/"},
		{Source: "gsiftp://a/2/x", Destination: "gsiftp://b/d/"},
	}}.Checked(noon)
	if !fault.Is(err, fault.Invalid) {
		t.Errorf("two files completed to one destination were let through: %v", err)
	}
}
