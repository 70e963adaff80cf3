package bench_test

import (
	"strings"
	"testing"

	"github.com/gridferry/gridferry/bench"
)

// sweep are everybody's runs, the warm-up first: a time for each of gridferry,
// guc, guc-fast and scp, of the null client, and of gridferry-classic.
func sweep(t *testing.T, runs ...[6]float64) (samples []bench.Sample) {
	for i, seconds := range runs {
		for j, c := range contenders(t) {
			if seconds[j] > 0 {
				samples = append(samples, bench.Sample{Contender: c.Name, Round: max(0, i-1), Warmup: i == 0, Seconds: seconds[j]})
			}
		}
	}
	return samples
}

func TestShortlist(t *testing.T) {
	for _, c := range []struct {
		name  string
		round int
		runs  [][6]float64
		want  string
	}{
		{"slower each time", 0, [][6]float64{{1, 4, 2, 2}, {1, 5, 2, 2.1}}, "guc (after round 1: 0.50 of guc-fast)"},
		{"one slow run is an accident", 0, [][6]float64{{1, 2, 2, 2}, {1, 9, 2, 2}}, ""},
		{"slow to warm up", 0, [][6]float64{{1, 9, 2, 2}, {1, 2, 2, 2}}, ""},
		{"slower than gridferry only", 0, [][6]float64{{1, 8, 8, 8}, {1, 8, 8, 8}}, ""},
		{"gridferry and yardsticks have no peers there", 0, [][6]float64{{9, 2, 2, 2, 8, 99}, {9, 2, 2, 2, 8, 99}}, ""},
		{"a little slower", 0, [][6]float64{{1, 2.6, 2, 2}, {1, 2.6, 2, 2}}, ""},
		{"a little slower, twice", 1, [][6]float64{{1, 2.6, 2, 2}, {1, 2.6, 2, 2}, {1, 2.6, 2, 2}}, "guc (after round 2: 0.77 of guc-fast)"},
		{"a little slower, but once", 1, [][6]float64{{1, 2.6, 2, 2}, {1, 2.4, 2, 2}, {1, 2.6, 2, 2}}, ""},
		{"the last time", 2, [][6]float64{{1, 2.3, 2, 2}, {1, 2.3, 2, 2}, {1, 2.3, 2, 2}, {1, 2.3, 2, 2}}, "guc (after round 3: 0.87 of guc-fast)"},
		{"no more", 3, [][6]float64{{1, 9, 2, 2}, {1, 9, 2, 2}, {1, 9, 2, 2}, {1, 9, 2, 2}, {1, 9, 2, 2}}, ""},
		{"who has gone is nobody's measure", 1, [][6]float64{{1, 9, 2, 2}, {1, 9, 2, 2}, {1, 0, 2, 2}}, ""},
		{"by the median", 1, [][6]float64{{1, 9, 2, 3}, {1, 9, 2, 3}, {1, 9, 2, 3}}, "guc (after round 2: 0.22 of guc-fast)"},
		{"what is faster by other means is no measure", 0, [][6]float64{{1, 2, 2, 0.5}, {1, 2, 2, 0.5}}, ""},
		{"without a warm-up", 0, [][6]float64{{}, {1, 4, 2, 2}}, "guc (after round 1: 0.50 of guc-fast)"},
	} {
		var said []string
		for _, d := range bench.Shortlist(contenders(t), sweep(t, c.runs...), c.round) {
			said = append(said, d.String())
		}
		if got := strings.Join(said, ", "); got != c.want {
			t.Errorf("%s: %s, want %s", c.name, got, c.want)
		}
	}
	failed := append(sweep(t, [6]float64{1, 4, 2, 2}, [6]float64{1, 4, 2, 2}), bench.Sample{Contender: "guc-fast", Error: "no"})
	if got := bench.Shortlist(contenders(t), failed, 0); len(got) != 0 {
		t.Errorf("beside one that failed: %v", got)
	}
}

func TestFastestSoFar(t *testing.T) {
	samples := sweep(t, [6]float64{1, 4, 3, 5, 2, 0.5})
	if name, seconds := bench.FastestSoFar(contenders(t), samples, peer(t, "guc")); name != "guc-fast" || seconds != 3 {
		t.Errorf("%s with %g s", name, seconds)
	}
	if name, seconds := bench.FastestSoFar(contenders(t), samples, peer(t, "guc-fast")); name != "guc" || seconds != 4 {
		t.Errorf("beside itself %s with %g s", name, seconds)
	}
	for _, only := range []string{"null", "scp"} {
		if name, _ := bench.FastestSoFar(contenders(t), samples, peer(t, only)); name != "" {
			t.Errorf("%s, the only one of its kind, is measured by %s", only, name)
		}
	}
}

// One that was dropped has figures, and is not the best, however fast it was in
// its rounds: the others were slowed in theirs by what it has not seen.
func TestDroppedAreNotTheBest(t *testing.T) {
	samples := join(rounds("gridferry", 1, 4, 4, 4, 4), rounds("guc", 2), rounds("guc-fast", 1.2, 4, 5, 5, 5))
	sum := bench.Summarise(bench.Class{Files: 1, Size: 1}, contenders(t), samples, []bench.Dropped{{Contender: "guc", Fastest: "guc-fast", Share: 0.6}})
	if b := sum.Best; b == nil || b.Contender != "guc-fast" || b.Ratio != 1.25 || b.Bounds == nil {
		t.Errorf("best: %+v", b)
	}
	// By the round that it shared.
	if r := sum.Rows[1]; r.Contender != "guc" || *r.Ratio != 2 || r.Bounds != nil || r.Rounds != 1 {
		t.Errorf("%+v", r)
	}
}
