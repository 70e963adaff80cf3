package endpoints

import (
	"encoding/json"
	"testing"
	"time"
	_ "time/tzdata"
)

func window(t *testing.T, days, hours, zone string) Window {
	t.Helper()
	w := Window{Zone: zone, Rate: Unlimited}
	if err := w.Days.UnmarshalText([]byte(days)); err != nil {
		t.Fatal(err)
	}
	if err := w.Hours.UnmarshalText([]byte(hours)); err != nil {
		t.Fatal(err)
	}
	if err := w.check(); err != nil {
		t.Fatal(err)
	}
	return w
}

func TestWindowHolds(t *testing.T) {
	const berlin = "Europe/Berlin"
	// 2026-11-20 is a Friday. In Berlin clocks go forward on 2026-03-29 at
	// 02:00 to 03:00, and back on 2026-10-25 at 03:00 to 02:00.
	for _, c := range []struct {
		days, hours, zone, at string
		want                  bool
	}{
		{"mon-fri", "08:00-18:00", "", "2026-11-20T08:00:00Z", true},
		{"mon-fri", "08:00-18:00", "", "2026-11-20T07:59:59Z", false},
		{"mon-fri", "08:00-18:00", "", "2026-11-20T17:59:59Z", true},
		{"mon-fri", "08:00-18:00", "", "2026-11-20T18:00:00Z", false},
		{"mon-fri", "08:00-18:00", "", "2026-11-21T12:00:00Z", false}, // Saturday
		{"mon-fri", "08:00-18:00", berlin, "2026-11-20T07:00:00Z", true},
		{"mon-fri", "08:00-18:00", berlin, "2026-11-20T17:30:00Z", false},
		{"mon-fri", "08:00-18:00", berlin, "2026-07-17T06:00:00Z", true}, // summer time
		{"mon-fri", "08:00-18:00", berlin, "2026-07-17T05:59:59Z", false},
		{"sat,sun", "", "", "2026-11-21T23:59:59Z", true},
		{"sat,sun", "", "", "2026-11-23T00:00:00Z", false},
		{"sat-mon", "", "", "2026-11-23T00:00:00Z", true}, // over the end of the week
		{"", "00:00-24:00", "", "2026-11-20T00:00:00Z", true},
		// Over midnight the days are those on which it begins.
		{"fri", "22:00-06:00", "", "2026-11-20T22:00:00Z", true},
		{"fri", "22:00-06:00", "", "2026-11-21T05:59:59Z", true},
		{"fri", "22:00-06:00", "", "2026-11-21T06:00:00Z", false},
		{"fri", "22:00-06:00", "", "2026-11-20T05:00:00Z", false},
		{"fri", "22:00-24:00", "", "2026-11-20T23:59:59Z", true},
		{"fri", "22:00-24:00", "", "2026-11-21T00:00:00Z", false},
		{"sun", "22:00-06:00", "", "2026-11-23T01:00:00Z", true}, // into Monday
		// In the night in which an hour is missing, or there twice.
		{"", "01:00-04:00", berlin, "2026-03-29T00:30:00Z", true},  // 01:30
		{"", "02:00-03:00", berlin, "2026-03-29T01:00:00Z", false}, // 03:00: the whole window is missing
		{"", "01:00-04:00", berlin, "2026-03-29T01:30:00Z", true},  // 03:30
		{"", "01:00-04:00", berlin, "2026-03-29T02:00:00Z", false}, // 04:00
		{"", "02:00-03:00", berlin, "2026-10-25T00:30:00Z", true},  // 02:30 of summer
		{"", "02:00-03:00", berlin, "2026-10-25T01:30:00Z", true},  // 02:30 again
		{"", "02:00-03:00", berlin, "2026-10-25T02:00:00Z", false}, // 03:00
	} {
		at, err := time.Parse(time.RFC3339, c.at)
		if err != nil {
			t.Fatal(err)
		}
		if got := window(t, c.days, c.hours, c.zone).Holds(at); got != c.want {
			t.Errorf("%s %s %s at %s: %v", c.days, c.hours, c.zone, c.at, got)
		}
	}
}

func TestRateAt(t *testing.T) {
	l := Limits{Rate: 100, Windows: []Window{window(t, "mon-fri", "08:00-18:00", ""), {Days: 1, Rate: Unlimited}}}
	l.Windows[0].Rate = 20
	for at, want := range map[string]int64{"2026-11-20T12:00:00Z": 20, "2026-11-20T20:00:00Z": 100, "2026-11-22T12:00:00Z": 0} {
		when, _ := time.Parse(time.RFC3339, at)
		if got := l.RateAt(when); got != want {
			t.Errorf("at %s: %d, want %d", at, got, want)
		}
	}
	if !l.Limited() || (Limits{Windows: []Window{{Rate: Unlimited}}}).Limited() || (Limits{Sessions: 4}).Limited() {
		t.Error("Limited is wrong")
	}
}

func TestLimitTexts(t *testing.T) {
	for text, want := range map[string]ByteRate{
		"100MB/s": 100_000_000, "1.5 GiB/s": 3 << 29, "1Gbit/s": 125_000_000, "unlimited": Unlimited, "1B/s": 1,
		"": 0, "100": 0, "100MB": 0, "-1MB/s": 0, "0MB/s": 0, "1e3MB/s": 0, "9999999999GB/s": 0, "100mb/s": 0,
	} {
		var r ByteRate
		if err := r.UnmarshalText([]byte(text)); (err == nil) != (want != 0) || r != want {
			t.Errorf("%q: %d, %v", text, r, err)
		}
	}
	for text, want := range map[string]LoginRate{
		"30/min": {30, time.Minute}, "5/s": {5, time.Second}, "1000/h": {1000, time.Hour}, "0/s": {}, "30": {}, "3/day": {}, "x/s": {},
	} {
		var l LoginRate
		if err := l.UnmarshalText([]byte(text)); (err == nil) != (want.N != 0) || l != want {
			t.Errorf("%q: %v, %v", text, l, err)
		}
	}
	for _, text := range []string{"8-18", "08:00", "24:00-08:00", "08:00-25:00", "08:60-09:00", "a-b"} {
		if new(Hours).UnmarshalText([]byte(text)) == nil {
			t.Errorf("hours %q are taken", text)
		}
	}
	for _, text := range []string{"monday", "mon-", "mon;tue", ","} {
		if new(Days).UnmarshalText([]byte(text)) == nil {
			t.Errorf("days %q are taken", text)
		}
	}
	for what, w := range map[string]Window{"no rate": {}, "no zone": {Zone: "Mars/Base", Rate: 1e6}, "the host's zone": {Zone: "Local", Rate: 1e6}, "a crawl": {Rate: 1}} {
		if (Limits{Windows: []Window{w}}).Check() == nil {
			t.Errorf("a window with %s is taken", what)
		}
	}
}

// TestLimitsTravel: records go to workers without a configuration as JSON.
func TestLimitsTravel(t *testing.T) {
	w := window(t, "mon-fri", "22:00-06:00", "Europe/Berlin")
	w.Rate = Unlimited
	rec := Record{Name: "lab#dtn", Limits: Limits{Sessions: 4, Logins: LoginRate{30, time.Minute}, Rate: 1 << 20, Windows: []Window{w}}}
	text, err := json.Marshal(rec)
	if err != nil {
		t.Fatal(err)
	}
	var back Record
	if err := json.Unmarshal(text, &back); err != nil {
		t.Fatal(err)
	}
	if got := back.Limits; got.Sessions != 4 || got.Logins != rec.Limits.Logins || got.Rate != 1<<20 || len(got.Windows) != 1 || got.Windows[0] != w {
		t.Errorf("%s became %+v", text, got)
	}
	if plain, err := json.Marshal(Record{Name: "lab#dtn"}); err != nil || string(plain) != `{"name":"lab#dtn","kind":""}` {
		t.Errorf("without limits: %s", plain)
	}
}

// TestRations: what is used in any stretch of time is what is allowed in it.
func TestRations(t *testing.T) {
	l := Limits{Logins: LoginRate{30, time.Minute}, Rate: 1000}
	draw, _ := l.DrawLogin("lab#dtn")
	now := time.Date(2026, 11, 20, 12, 0, 0, 0, time.UTC)
	var ration time.Time
	var used []time.Time
	for range 200 { // everybody asks at once
		use, after := draw.Next(ration, now)
		ration = after
		if use.Before(now) {
			use = now
		}
		used = append(used, use)
	}
	atOnce := 0
	for i, from := range used {
		n := 0
		for _, u := range used[i:] {
			if u.Before(from.Add(time.Minute)) {
				n++
			}
		}
		if n > 30 {
			t.Fatalf("%d logins within a minute", n)
		}
		if from.Equal(now) {
			atOnce++
		}
	}
	if atOnce != 7 {
		t.Errorf("%d logins at once", atOnce)
	}
	bytes, ok := l.DrawBytes("lab#dtn", 500, now)
	if !ok || bytes.Cost() != 500*time.Millisecond {
		t.Errorf("%+v costs %s", bytes, bytes.Cost())
	}
	if _, ok := (Limits{}).DrawBytes("lab#dtn", 500, now); ok {
		t.Error("no limit is one")
	}
}
