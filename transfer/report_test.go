package transfer

import (
	"reflect"
	"testing"
	"time"
)

func TestFormatBytes(t *testing.T) {
	for n, want := range map[int64]string{
		0: "0 B", 999: "999 B", 1000: "1.0 kB", 1049: "1.0 kB", 1050: "1.1 kB", 999_949: "999.9 kB", 999_950: "1.0 MB", 256e6: "256.0 MB",
		1 << 30: "1.1 GB", 5e12: "5.0 TB", 1<<63 - 1: "9.2 EB", -1: "-1 B", -1500: "-1.5 kB",
	} {
		if got := FormatBytes(n); got != want {
			t.Errorf("FormatBytes(%d) = %q, want %q", n, got, want)
		}
	}
	if got := FormatRate(117.3e6); got != "117.3 MB/s" {
		t.Errorf("FormatRate: %q", got)
	}
}

func TestFormatDuration(t *testing.T) {
	for d, want := range map[time.Duration]string{
		0: "0s", 400 * time.Millisecond: "0s", 59*time.Second + 600*time.Millisecond: "1m00s", 45 * time.Second: "45s", 185 * time.Second: "3m05s",
		2*time.Hour + 7*time.Minute + 9*time.Second: "2h07m", 76 * time.Hour: "3d04h",
	} {
		if got := FormatDuration(d); got != want {
			t.Errorf("FormatDuration(%v) = %q, want %q", d, got, want)
		}
	}
}

func TestRateAndETA(t *testing.T) {
	if got := Rate(1000, 2*time.Second); got != 500 {
		t.Errorf("rate %v", got)
	}
	if got := Rate(1000, 0); got != 0 {
		t.Errorf("rate without time %v", got)
	}
	for _, tc := range []struct {
		rest int64
		rate float64
		want time.Duration
	}{{1000, 100, 10 * time.Second}, {1001, 100, 11 * time.Second}, {1, 1e9, time.Second}, {0, 100, 0}, {-5, 100, 0}, {100, 0, 0}, {1 << 62, 1e-9, 0}} {
		if got := ETA(tc.rest, tc.rate); got != tc.want {
			t.Errorf("ETA(%d, %v) = %v, want %v", tc.rest, tc.rate, got, tc.want)
		}
	}
}

func TestProgress(t *testing.T) {
	p := Progress{Files: 10, Bytes: 1000, FilesDone: 2, BytesDone: 150, BytesInFlight: 50}.WithRate(noon, noon.Add(2*time.Second))
	if p.Rate != 100 || p.ETA != Duration(8*time.Second) || p.Percent() != 20 {
		t.Errorf("%+v, %d %%", p, p.Percent())
	}
	p.Walking = true
	if p = p.WithRate(noon, noon.Add(time.Second)); p.ETA != 0 || p.Rate != 200 {
		t.Errorf("while walking: %+v", p)
	}
	for _, tc := range []struct {
		name string
		p    Progress
		want int
	}{
		{"nothing", Progress{}, 0},
		{"empty files", Progress{Files: 4, FilesDone: 1}, 25},
		{"all bytes, not all files", Progress{Files: 4, FilesDone: 3, Bytes: 10, BytesDone: 10}, 99},
		{"more than all in flight", Progress{Files: 4, Bytes: 10, BytesDone: 10, BytesInFlight: 10}, 99},
		{"done", Progress{Files: 4, FilesDone: 4, Bytes: 10, BytesDone: 10}, 100},
		{"done, empty files", Progress{Files: 4, FilesDone: 4}, 100},
	} {
		if got := tc.p.Percent(); got != tc.want {
			t.Errorf("%s: %d %%, want %d", tc.name, got, tc.want)
		}
	}
}

// TestProgressAddsEveryCount fails when a count is added to Progress and
// forgotten in Add.
func TestProgressAddsEveryCount(t *testing.T) {
	var p Progress
	v := reflect.ValueOf(&p).Elem()
	for i := range v.NumField() {
		if v.Field(i).Type() == reflect.TypeFor[int64]() {
			v.Field(i).SetInt(int64(i + 1))
		}
	}
	sum := reflect.ValueOf(p.Add(p))
	for i := range v.NumField() {
		if v.Field(i).Type() == reflect.TypeFor[int64]() && sum.Field(i).Int() != 2*int64(i+1) {
			t.Errorf("Add forgets %s", v.Type().Field(i).Name)
		}
	}
}
