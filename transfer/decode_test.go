package transfer

import (
	"encoding/json"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/gridferry/gridferry/fault"
)

func TestDecodeRequest(t *testing.T) {
	got, err := DecodeRequest([]byte(`{
		"items": [{"source": "dtn:/a", "destination": "tape:/a", "recursive": true}],
		"sync": 2, "verify": "size", "modify_window": "2s", "deadline": "2026-05-05T00:00:00Z",
		"filters": [{"exclude": true, "name": "*.tmp"}], "tuning": {"name": "classic", "cc": 4}}`))
	if err != nil {
		t.Fatal(err)
	}
	want := Request{
		Items: []Item{{Source: "dtn:/a", Destination: "tape:/a", Recursive: true}},
		Sync:  SyncModified, Verify: VerifySize, ModifyWindow: Duration(2 * time.Second), Deadline: time.Date(2026, 5, 5, 0, 0, 0, 0, time.UTC),
		Filters: []Filter{{Exclude: true, Name: "*.tmp"}}, Tuning: Policy{Name: "classic", Concurrency: 4},
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
}

func TestDecodeRequestRefuses(t *testing.T) {
	for _, tc := range []struct {
		name, text, field string
		words             []string
	}{
		{"nothing", "", "request", []string{"is empty"}},
		{"no object", `[]`, "request", []string{"not a JSON object"}},
		{"null", ` null `, "request", []string{"null"}},
		{"unfinished", `{"source": "a"`, "request", []string{"unexpected EOF"}},
		{"two objects", `{} {}`, "request", []string{"goes on after its end"}},
		{"unknown field", `{"sourse": "dtn:/a"}`, "sourse", []string{"is not a field", `did you mean "source"?`}},
		{"unknown field, camel case", `{"deleteExtra": true}`, "deleteExtra", []string{`did you mean "delete_extra"?`}},
		{"unknown field, case", `{"Source": "dtn:/a"}`, "Source", []string{`did you mean "source"?`}},
		{"unknown field, nothing near", `{"colour": "red"}`, "colour", []string{"fields are source, destination"}},
		{"unknown field in an item", `{"items": [{}, {"from": "x"}]}`, "items[1].from", []string{"fields are source, destination, recursive"}},
		{"unknown field in the tuning", `{"tuning": {"ccc": 4}}`, "tuning.ccc", []string{`did you mean "tuning.cc"?`}},
		{"field twice", `{"label": "a", "label": "b"}`, "label", []string{"twice"}},
		{"wrong type", `{"recursive": "yes"}`, "recursive", []string{"JSON string", "true or false"}},
		{"wrong type in an item", `{"items": [{"source": 7}]}`, "items[0].source", []string{"JSON number", "a string"}},
		{"item that is null", `{"items": [null]}`, "items[0]", []string{"null"}},
		{"list that is none", `{"items": {}}`, "items", []string{"not a list"}},
		{"fraction", `{"tuning": {"p": 1.5}}`, "tuning.p", []string{"whole number"}},
		{"duration that is a number", `{"modify_window": 2}`, "modify_window", []string{`"36h"`}},
		{"duration without a unit", `{"modify_window": "2"}`, "modify_window", []string{"number and a unit"}},
		{"time without a zone", `{"deadline": "tomorrow"}`, "deadline", []string{"2006-01-02T15:04:05Z"}},
		{"sync that is a truth", `{"sync": true}`, "sync", []string{"0 to 3"}},
		{"too long", `{"label": "` + strings.Repeat("x", MaxRequest) + `"}`, "request", []string{"at most"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			_, err := DecodeRequest([]byte(tc.text))
			refused(t, err, tc.field, tc.words...)
		})
	}
}

func TestDecodeOthers(t *testing.T) {
	if d, err := DecodeDeleteRequest([]byte(`{"paths": ["dtn:/a"], "recursive": true}`)); err != nil || len(d.Paths) != 1 || !d.Recursive {
		t.Errorf("%+v, %v", d, err)
	}
	_, err := DecodeDeleteRequest([]byte(`{"path": "dtn:/a"}`))
	refused(t, err, "path", `did you mean "paths"?`)
	if c, err := DecodeChange([]byte(`{"label": "", "tuning": {"pp": 5}}`)); err != nil || c.Label == nil || c.Deadline != nil || c.Tuning.Pipelining != 5 {
		t.Errorf("%+v, %v", c, err)
	}
	_, err = DecodeChange([]byte(`{"tuning": {"depth": 5}}`))
	refused(t, err, "tuning.depth", "name, cc, p, pp")
}

func TestSyncJSON(t *testing.T) {
	for text, want := range map[string]Sync{
		`0`: SyncExists, `1`: SyncSize, `2`: SyncModified, `3`: SyncChecksum, `"3"`: SyncChecksum,
		`"always"`: SyncAlways, `""`: SyncAlways, `"mtime"`: SyncModified,
		`7`: "7", `"later"`: "later", // kept for Validate
	} {
		var got Sync
		if err := json.Unmarshal([]byte(text), &got); err != nil || got != want {
			t.Errorf("%s: %q, %v; want %q", text, got, err, want)
		}
	}
}

func TestDurations(t *testing.T) {
	for text, want := range map[string]time.Duration{
		"90s": 90 * time.Second, "36h": 36 * time.Hour, "7d": 7 * 24 * time.Hour, "1d12h": 36 * time.Hour, "0d": 0, "-5m": -5 * time.Minute, "0": 0,
	} {
		if got, err := ParseDuration(text); err != nil || got != want {
			t.Errorf("ParseDuration(%q) = %v, %v", text, got, err)
		}
	}
	for _, text := range []string{"", "7", "d", "1.5d", "-1d", "1d-1h", "1d1d", "7 d", "99999d", "106752d", "week"} {
		if got, err := ParseDuration(text); err == nil {
			t.Errorf("ParseDuration(%q) = %v", text, got)
		}
	}
	text, err := json.Marshal(Request{ModifyWindow: Duration(90 * time.Minute)})
	if err != nil || string(text) != `{"modify_window":"1h30m0s"}` {
		t.Errorf("%s, %v", text, err)
	}
}

func TestRequestSurvivesJSON(t *testing.T) {
	want := Request{Source: "dtn:/a", Destination: "tape:/a", Sync: SyncChecksum, OnError: OnErrorSkip, Deadline: noon}.Normalised(noon)
	text, err := json.Marshal(want)
	if err != nil {
		t.Fatal(err)
	}
	got, err := DecodeRequest(text)
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("%s became %+v, %v", text, got, err)
	}
}

func FuzzDecodeRequest(f *testing.F) {
	for _, s := range []string{
		`{}`, `{"source":"dtn:/a","destination":"b:/c"}`, `{"items":[{"source":"a"}]}`, `{"sync":3}`, `{"tuning":{"cc":1}}`,
		`{"deadline":"2026-05-05T00:00:00Z"}`, `{"modify_window":"7d"}`, `{"filters":[{"name":"*"}]}`, `null`, `[`, `{"a":{"b":[1]}}`, `{"":0}`,
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		r, err := DecodeRequest(text)
		if err != nil {
			if e, ok := err.(*fault.Error); !ok || e.Kind != fault.Invalid || e.Path == "" {
				t.Fatalf("%q: %#v", text, err)
			}
			return
		}
		if err := r.Validate(noon); err != nil && !fault.Is(err, fault.Invalid) {
			t.Fatalf("%q: %v", text, err)
		}
	})
}
