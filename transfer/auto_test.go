package transfer

import (
	"strings"
	"testing"
	"time"
)

func TestTuneAuto(t *testing.T) {
	const ms = time.Millisecond
	slow := []Known{{Grain: GrainLarge, Concurrency: 4, Rate: 125e6}} // a link of 1 Gb/s
	for _, tc := range []struct {
		name           string
		stats          Stats
		at             Setting
		cc, p, pp, max int
	}{
		{"many tiny files", uniform(10_000, 1000), Setting{}, 2, 1, 400, 8},
		{"tiny files next door", uniform(10_000, 1000), Setting{RTT: ms / 5}, 2, 1, 400, 8},
		{"tiny files far away", uniform(10_000, 1000), Setting{RTT: 50 * ms}, 2, 1, 400, 8},
		{"tiny files on the moon", uniform(10_000, 1000), Setting{RTT: 2600 * ms}, 2, 1, 400, 8},
		{"ten tiny files", uniform(10, 1000), Setting{}, 2, 1, 5, 8},
		{"one tiny file", uniform(1, 1000), Setting{}, 1, 1, 1, 1},
		{"small files", uniform(1000, 10e6), Setting{}, 2, 1, 20, 8},
		{"small files far away", uniform(1000, 10e6), Setting{RTT: 50 * ms}, 2, 8, 20, 8},
		{"files as large as a window", uniform(1000, 2<<20), Setting{RTT: 50 * ms}, 2, 3, 46, 8},
		{"middling files", uniform(100, 100e6), Setting{}, 2, 1, 10, 8},
		{"large files", uniform(100, 1e9), Setting{}, 2, 1, 5, 8},
		{"large files, 10 ms away", uniform(100, 1e9), Setting{RTT: 10 * ms}, 2, 3, 5, 8},
		{"large files far away", uniform(100, 1e9), Setting{RTT: 50 * ms}, 2, 8, 5, 8},
		{"large files far away on a slow link", uniform(100, 1e9), Setting{RTT: 50 * ms, Known: slow}, 4, 2, 5, 8},
		{"what two connections could carry", uniform(100, 1e9), Setting{RTT: 50 * ms, Known: []Known{{Grain: GrainLarge, Concurrency: 2, Rate: 82e6}}}, 2, 2, 5, 8},
		{"what four connections could carry", uniform(100, 1e9), Setting{RTT: 50 * ms, Known: []Known{{Grain: GrainLarge, Concurrency: 2, Rate: 164e6}}}, 2, 4, 5, 8},
		{"large files at the next desk, known to be fast", uniform(100, 1e9), Setting{RTT: ms / 5, Known: []Known{{Grain: GrainLarge, Concurrency: 2, Rate: 3e9}}}, 2, 1, 5, 8},
		{"one large file, of which all take parts", uniform(1, 1e12), Setting{RTT: 50 * ms}, 2, 8, 1, 8},
		{"one large file, relayed", uniform(1, 1e12), Setting{RTT: 50 * ms, Relay: true}, 1, 8, 1, 1},
		{"one large file, relayed in any order", uniform(1, 1e12), Setting{Relay: true, Multiplex: true, Unordered: true}, 4, 1, 1, 8},
		{"tiny files of a store", uniform(10_000, 1000), Setting{Relay: true, Multiplex: true}, 4, 1, 400, 8},
		{"between two servers that take requests side by side", uniform(10_000, 1000), Setting{Multiplex: true}, 2, 1, 400, 8},
		{"one file of few parts", uniform(1, 50<<20), Setting{}, 1, 1, 1, 1},
		{"a limit of four", uniform(10_000, 1000), Setting{Sessions: 4}, 2, 1, 400, 4},
		{"a limit of two", uniform(10_000, 1000), Setting{Sessions: 2}, 2, 1, 400, 2},
		{"a limit of one", uniform(100, 1e9), Setting{Sessions: 1}, 1, 1, 5, 1},
		{"stream mode", uniform(100, 1e9), Setting{StreamDest: true}, 4, 1, 1, 8},
		{"relayed next door", uniform(10_000, 1000), Setting{Relay: true, RTT: ms / 10}, 2, 1, 400, 8},
		{"relayed far away", uniform(10_000, 1000), Setting{Relay: true, RTT: 50 * ms}, 4, 1, 400, 8},
		{"known to want five", uniform(10_000, 1000), Setting{Known: []Known{{Grain: GrainTiny, Concurrency: 5}}}, 4, 1, 400, 8},
		{"known to want one", uniform(10_000, 1000), Setting{Known: []Known{{Grain: GrainTiny, Concurrency: 1}}}, 1, 1, 400, 8},
		{"known of other files", uniform(10_000, 1000), Setting{Known: []Known{{Grain: GrainMedium, Concurrency: 5}}}, 2, 1, 400, 8},
		{"nothing", Stats{}, Setting{}, 2, 1, 400, 8},
	} {
		got := Tune(Policy{}, tc.stats, tc.at)
		if got.Concurrency != tc.cc || got.Parallelism != tc.p || got.Pipelining != tc.pp || got.MaxConcurrency != tc.max {
			t.Errorf("%s: cc=%d p=%d pp=%d, at most %d; want %d, %d, %d, %d", tc.name,
				got.Concurrency, got.Parallelism, got.Pipelining, got.MaxConcurrency, tc.cc, tc.p, tc.pp, tc.max)
		}
		if !strings.HasPrefix(got.Reason, "auto: ") {
			t.Errorf("%s: reason %q", tc.name, got.Reason)
		}
	}
}

// The published 50 and 250 MB are the 10 Gb/s case of seconds of a link.
func TestGrain(t *testing.T) {
	tenth := Setting{Known: []Known{{Grain: GrainLarge, Rate: 125e6}}}
	for _, tc := range []struct {
		at   Setting
		mean int64
		want Grain
	}{
		{Setting{}, 0, GrainTiny}, {Setting{}, 999_999, GrainTiny}, {Setting{}, 1_000_000, GrainSmall},
		{Setting{}, SmallMean - 1, GrainSmall}, {Setting{}, SmallMean, GrainMedium},
		{Setting{}, LargeMin, GrainMedium}, {Setting{}, LargeMin + 1, GrainLarge},
		{tenth, SmallMean/10 - 1, GrainSmall}, {tenth, SmallMean / 10, GrainMedium}, {tenth, LargeMin/10 + 1, GrainLarge},
		{Setting{Known: []Known{{Grain: GrainTiny, Rate: 1e6}}}, SmallMean - 1, GrainSmall}, // what tiny files get says nothing of the link
	} {
		if got := tc.at.Grain(tc.mean); got != tc.want {
			t.Errorf("%d bytes with %v: %s, want %s", tc.mean, tc.at.Known, got, tc.want)
		}
	}
}

func TestStartSaysWhatItIsFrom(t *testing.T) {
	at := Setting{RTT: 50 * time.Millisecond, Known: []Known{{Grain: GrainTiny, Concurrency: 20, Files: 1800, Rate: 1.8e6}}}
	if n, known := at.Start(1000); n != DefaultSessions || !known {
		t.Errorf("%d, %v", n, known)
	}
	const want = "auto: 3000 files, mean 1.0 kB (tiny), 50 ms away: 8 sessions in all, which gave 1800 files/s and 1.8 MB/s here"
	if got := Tune(Policy{}, uniform(3000, 1000), at).Reason; got != want {
		t.Errorf("reason %q", got)
	}
}
