package transfer

import (
	"fmt"
	"strings"
	"testing"
)

// uniform is n files of one size.
func uniform(n, size int64) Stats {
	return Stats{Files: n, Bytes: n * size, Min: size, Max: size}
}

func TestTuneClassic(t *testing.T) {
	small, medium, large := Tuning{Concurrency: 2, Parallelism: 2, Pipelining: 20}, Tuning{Concurrency: 2, Parallelism: 4, Pipelining: 10}, Tuning{Concurrency: 2, Parallelism: 8, Pipelining: 5}
	for _, tc := range []struct {
		name  string
		stats Stats
		class Class
		want  Tuning
	}{
		{"100 small files", uniform(100, 1000), Medium, medium},
		{"101 small files", uniform(101, 1000), Small, small},
		{"101 empty files", uniform(101, 0), Small, small},
		{"101 files, mean one byte under 50 MB", uniform(101, 49_999_999), Small, small},
		{"101 files, mean a fraction under 50 MB", Stats{Files: 101, Bytes: 101*50_000_000 - 1, Min: 49_999_999, Max: 50_000_000}, Small, small},
		{"101 files, mean of 50 MB", uniform(101, 50_000_000), Medium, medium},
		{"50 MiB is not under 50 MB", uniform(101, 50<<20), Medium, medium},
		{"250 MB", uniform(3, 250_000_000), Medium, medium},
		{"a byte over 250 MB", uniform(3, 250_000_001), Large, large},
		{"one large file", uniform(1, 1<<40), Large, large},
		{"large files and one of 250 MB", uniform(9, 1<<30).Add(250_000_000), Medium, medium},
		{"mixed, mean under 50 MB", uniform(1000, 1).Add(1 << 30), Small, small},
		{"mixed, mean over 50 MB", uniform(100, 1).Add(1 << 40), Medium, medium},
		{"nothing", Stats{}, Medium, medium},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if got := tc.stats.Class(); got != tc.class {
				t.Errorf("class %s, want %s", got, tc.class)
			}
			got := Tune(Policy{Name: "classic"}, tc.stats, Setting{})
			if !strings.HasPrefix(got.Reason, "classic: ") {
				t.Errorf("reason %q", got.Reason)
			}
			if got.Reason = ""; got != tc.want {
				t.Errorf("got %+v, want %+v", got, tc.want)
			}
			stream := Tune(Policy{Name: "classic"}, tc.stats, Setting{StreamDest: true})
			cc := 2
			if tc.class == Small {
				cc = 8
			}
			if !strings.Contains(stream.Reason, "stream mode") {
				t.Errorf("reason %q", stream.Reason)
			}
			if stream.Reason = ""; stream != (Tuning{Concurrency: cc, Parallelism: 1, Pipelining: 1}) {
				t.Errorf("stream mode: %+v, want concurrency %d only", stream, cc)
			}
		})
	}
}

func TestTuneReasons(t *testing.T) {
	for _, tc := range []struct {
		name   string
		policy Policy
		stats  Stats
		at     Setting
		want   string
	}{
		{"small", Policy{Name: "classic"}, uniform(3000, 20_000), Setting{}, "classic: 3000 files, more than 100, with a mean of 20.0 kB, under 50 MB"},
		{"large", Policy{Name: "classic"}, uniform(1, 1<<30), Setting{}, "classic: all files over 250 MB, the smallest 1.1 GB"},
		{"few", Policy{Name: "classic"}, uniform(1, 10), Setting{}, "classic: 1 file with a mean of 10 B, not more than 100"},
		{"between", Policy{Name: "classic"}, uniform(2, 100e6), Setting{}, "classic: 2 files, neither small on average nor all over 250 MB (mean 100.0 MB, smallest 100.0 MB)"},
		{"fixed in part", Policy{Name: "classic", Pipelining: 50}, uniform(1, 10), Setting{}, "classic: 1 file with a mean of 10 B, not more than 100; pp=50 as asked"},
		{"fixed", Policy{Concurrency: 3, Parallelism: 2, Pipelining: 1}, uniform(1, 10), Setting{}, "cc=3, p=2, pp=1 as asked"},
		{"auto", Policy{}, uniform(3000, 20_000), Setting{}, "auto: 3000 files, mean 20.0 kB (tiny): few sessions to begin with, and what is measured decides"},
	} {
		if got := Tune(tc.policy, tc.stats, tc.at).Reason; got != tc.want {
			t.Errorf("%s: reason\n%q, want\n%q", tc.name, got, tc.want)
		}
	}
}

func TestTuneFixed(t *testing.T) {
	for _, name := range []string{"", "auto", "classic"} {
		got := Tune(Policy{Name: name, Concurrency: 5, Pipelining: 7}, uniform(1, 10), Setting{StreamDest: true})
		if got.Concurrency != 5 || got.Parallelism != 1 || got.Pipelining != 7 || got.MaxConcurrency != 0 {
			t.Errorf("%q: %+v", name, got)
		}
	}
}

func TestStats(t *testing.T) {
	got := StatsOf([]File{{Size: 5}, {Size: 0}, {Size: 9}})
	if want := (Stats{Files: 3, Bytes: 14, Min: 0, Max: 9}); got != want || got.Mean() != 4 {
		t.Errorf("%+v, mean %d", got, got.Mean())
	}
	if (Stats{}).Mean() != 0 {
		t.Error("mean of nothing")
	}
}

func ExampleTune() {
	t := Tune(Policy{Name: "classic"}, StatsOf([]File{{Size: 300e6}, {Size: 400e6}}), Setting{})
	fmt.Println(t.Concurrency, t.Parallelism, t.Pipelining, t.Reason)
	// Output: 2 8 5 classic: all files over 250 MB, the smallest 300.0 MB
}
