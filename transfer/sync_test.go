package transfer

import (
	"testing"
	"time"

	"github.com/gridferry/gridferry/endpoints"
)

func TestDecide(t *testing.T) {
	file := func(size int64, mtime time.Time) endpoints.Entry {
		return endpoints.Entry{Type: endpoints.File, Size: size, ModTime: mtime}
	}
	link := func(target string) endpoints.Entry { return endpoints.Entry{Type: endpoints.Link, Target: target} }
	dir := endpoints.Entry{Type: endpoints.Dir}
	other := endpoints.Entry{Type: endpoints.Other}
	later := noon.Add(2 * time.Second)
	// The verdicts for the rules always, exists, size, mtime, checksum.
	type row [5]Verdict
	for _, tc := range []struct {
		name     string
		src, dst endpoints.Entry
		exists   bool
		window   time.Duration
		want     row
	}{
		{"not there", file(1, noon), endpoints.Entry{}, false, 0, row{Copy, Copy, Copy, Copy, Copy}},
		{"the same", file(1, noon), file(1, noon), true, 0, row{Copy, Skip, Skip, Skip, NeedChecksum}},
		{"destination newer", file(1, noon), file(1, later), true, 0, row{Copy, Skip, Skip, Skip, NeedChecksum}},
		{"source newer", file(1, later), file(1, noon), true, 0, row{Copy, Skip, Skip, Copy, NeedChecksum}},
		{"source newer, within the window", file(1, later), file(1, noon), true, 2 * time.Second, row{Copy, Skip, Skip, Skip, NeedChecksum}},
		{"source newer within the second of whole ones", file(1, noon.Add(700*time.Millisecond)), file(1, noon), true, 0, row{Copy, Skip, Skip, Skip, NeedChecksum}},
		{"source newer by parts of a second", file(1, noon.Add(700*time.Millisecond)), file(1, noon.Add(300*time.Millisecond)), true, 0, row{Copy, Skip, Skip, Copy, NeedChecksum}},
		{"source newer by more than the window", file(1, later), file(1, noon), true, time.Second, row{Copy, Skip, Skip, Copy, NeedChecksum}},
		{"size differs", file(2, noon), file(1, later), true, 0, row{Copy, Skip, Copy, Copy, Copy}},
		{"source's time unknown", file(1, time.Time{}), file(1, noon), true, 0, row{Copy, Skip, Skip, Copy, NeedChecksum}},
		{"destination's time unknown", file(1, noon), file(1, time.Time{}), true, 0, row{Copy, Skip, Skip, Copy, NeedChecksum}},
		{"same link", link("a"), link("a"), true, 0, row{Copy, Skip, Skip, Skip, Skip}},
		{"other link", link("a"), link("b"), true, 0, row{Copy, Skip, Copy, Copy, Copy}},
		{"file over link", file(1, noon), link("a"), true, 0, row{Copy, Skip, Copy, Copy, Copy}},
		{"file over directory", file(1, noon), dir, true, 0, row{Conflict, Conflict, Conflict, Conflict, Conflict}},
		{"directory over file", dir, file(1, noon), true, 0, row{Conflict, Conflict, Conflict, Conflict, Conflict}},
		{"file over device", file(1, noon), other, true, 0, row{Conflict, Conflict, Conflict, Conflict, Conflict}},
		{"directory over directory", dir, dir, true, 0, row{Skip, Skip, Skip, Skip, Skip}},
	} {
		for i, rule := range []Sync{SyncAlways, SyncExists, SyncSize, SyncModified, SyncChecksum} {
			got := Decide(rule, tc.src, tc.dst, tc.exists, tc.window)
			if got.Verdict != tc.want[i] || got.Reason == "" {
				t.Errorf("%s, rule %q: %+v, want %s", tc.name, rule, got, tc.want[i])
			}
		}
	}
	if got := Decide("1", file(1, later), file(1, noon), true, 0); got.Verdict != Skip {
		t.Errorf("level 1 by number: %+v", got)
	}
}
