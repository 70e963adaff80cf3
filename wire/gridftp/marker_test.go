package gridftp

import (
	"testing"
	"time"
)

func TestPerfMarker(t *testing.T) {
	// As the Globus server sends it.
	r := Reply{112, []string{"Perf Marker", " Timestamp: 1105234234.5", " Stripe Index: 1", " Stripe Bytes Transferred: 1048576", " Total Stripe Count: 2", "End."}}
	want := PerfMarker{Time: time.Unix(1105234234, 5e8), Stripe: 1, Bytes: 1 << 20, Stripes: 2}
	if got, err := ParsePerfMarker(r); err != nil || got != want {
		t.Errorf("got %+v, %v; want %+v", got, err, want)
	}
	if got, err := ParsePerfMarker(want.Reply()); err != nil || got != want {
		t.Errorf("own form: got %+v, %v; want %+v", got, err, want)
	}
	for name, r := range map[string]Reply{
		"no count":       {112, []string{"Perf Marker", " Stripe Index: 0", "End"}},
		"negative count": {112, []string{"Perf Marker", " Stripe Bytes Transferred: -1", "End"}},
		"other code":     {111, []string{"Perf Marker", " Stripe Bytes Transferred: 1", "End"}},
		"bad time":       {112, []string{"Perf Marker", " Timestamp: now", " Stripe Bytes Transferred: 1", "End"}},
		"no stripes":     {112, []string{"Perf Marker", " Stripe Bytes Transferred: 1", " Total Stripe Count: 0", "End"}},
		"stripe":         {112, []string{"Perf Marker", " Stripe Bytes Transferred: 1", " Stripe Index: 99999999", "End"}},
		"one line":       {112, []string{"Perf Marker"}},
	} {
		if got, err := ParsePerfMarker(r); err == nil {
			t.Errorf("%s: got %+v, want an error", name, got)
		}
	}
}

func TestRangeMarker(t *testing.T) {
	got, err := ParseRangeMarker(Reply{111, []string{"Range Marker 0-1024,2048-4096"}})
	if err != nil || got.String() != "0-1024,2048-4096" {
		t.Errorf("got %v, %v", got, err)
	}
	if got, err = ParseRangeMarker(RangeMarker(got)); err != nil || got.Bytes() != 3072 {
		t.Errorf("own form: got %v, %v", got, err)
	}
	for _, r := range []Reply{{111, []string{"Range 0-1"}}, {111, []string{"Range Marker 1-0"}}, {112, []string{"Range Marker 0-1"}}, {111, []string{"Range Marker 0-1", "End"}}} {
		if got, err := ParseRangeMarker(r); err == nil {
			t.Errorf("%v: got %v, want an error", r, got)
		}
	}
}

func FuzzMarkers(f *testing.F) {
	f.Add("112-Perf Marker\r\n Timestamp: 1105234234.5\r\n Stripe Bytes Transferred: 5\r\n112 End\r\n")
	f.Add("111 Range Marker 0-5,7-9\r\n")
	f.Fuzz(func(t *testing.T, in string) {
		r, err := ReadReply(reader(in))
		if err != nil {
			return
		}
		if m, err := ParsePerfMarker(r); err == nil {
			m.Time = m.Time.Truncate(time.Second / 10)
			if again, err := ParsePerfMarker(m.Reply()); err != nil || again.Bytes != m.Bytes || again.Stripe != m.Stripe {
				t.Fatalf("%+v read back as %+v, %v", m, again, err)
			}
		}
		if s, err := ParseRangeMarker(r); err == nil {
			if again, err := ParseRangeMarker(RangeMarker(s)); err != nil || again.String() != s.String() {
				t.Fatalf("%v read back as %v, %v", s, again, err)
			}
		}
	})
}
