package bench_test

import (
	"bytes"
	"encoding/json"
	"encoding/xml"
	"errors"
	"flag"
	"io"
	"math"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/gridferry/gridferry/bench"
)

var update = flag.Bool("update", false, "write the golden files")

func number(v float64) *float64 { return &v }

// rounds are samples of one contender after a warm-up of hours.
func rounds(name string, seconds ...float64) []bench.Sample {
	samples := []bench.Sample{{Contender: name, Warmup: true, Seconds: 9999}}
	for i, s := range seconds {
		samples = append(samples, bench.Sample{Contender: name, Round: i, Seconds: s, Client: number(s / 10), Server: number(s / 2)})
	}
	return samples
}

func contenders(t *testing.T) []bench.Contender {
	return []bench.Contender{bench.Ours(), peer(t, "guc"), peer(t, "guc-fast"), peer(t, "scp"), peer(t, "null"), peer(t, "gridferry-classic")}
}

func join(lists ...[]bench.Sample) (all []bench.Sample) {
	for _, l := range lists {
		all = append(all, l...)
	}
	return all
}

func TestSummarise(t *testing.T) {
	class := bench.Class{Files: 100, Size: 1000}
	samples := join(
		rounds("guc", 8, 8, 8, 8, 8), rounds("guc-fast", 3, 2, 2, 2.5, 2), rounds("gridferry", 4, 4, 4, 4, 4), rounds("gridferry-classic", 1, 1, 1, 1, 1),
		rounds("scp", 1, 1), []bench.Sample{{Contender: "scp", Round: 2, Error: "lost connection"}},
	)
	sum := bench.Summarise(class, contenders(t), samples, nil)

	var order []string
	for _, r := range sum.Rows {
		order = append(order, r.Contender)
	}
	if got := strings.Join(order, " "); got != "gridferry gridferry-classic guc-fast guc scp" {
		t.Errorf("the rows are %s", got)
	}
	ours, fast, failed := sum.Rows[0], sum.Rows[2], sum.Rows[4]
	if ours.Files != 25 || ours.Bytes != 25_000 || ours.Rounds != 5 || ours.Ratio != nil || ours.Bounds != nil {
		t.Errorf("gridferry: %+v", ours)
	}
	if math.Abs(*ours.ServerCPU-0.02) > 1e-12 || math.Abs(*ours.ClientCPU-0.004) > 1e-12 {
		t.Errorf("CPU a file: %v, %v", *ours.ServerCPU, *ours.ClientCPU)
	}
	if fast.Seconds != 2 || fast.IQR != (bench.Interval{Low: 2, High: 2.5}) || *fast.Ratio != 0.5 {
		t.Errorf("guc-fast: %+v", fast)
	}
	if failed.Error != "lost connection" || failed.Rounds != 0 || failed.Seconds != 0 || failed.Ratio != nil {
		t.Errorf("scp: %+v", failed)
	}
	// A variant of gridferry is not its peer, and what failed is nobody's.
	if b := sum.Best; b == nil || b.Contender != "guc-fast" || b.Ratio != 0.5 || b.Bounds == nil || b.Bounds.Low != 0.5 || b.Bounds.High != 0.75 {
		t.Errorf("best: %+v %+v", b, b.Bounds)
	}
}

// Who turns out best by luck is chosen anew in each draw, so the bounds against
// the best lie no higher than those against the one that was chosen.
func TestBoundsAllowForTheChoiceOfTheBest(t *testing.T) {
	samples := join(rounds("gridferry", 2, 2, 2, 2, 2), rounds("guc", 1, 3, 1, 3, 1.1), rounds("guc-fast", 3, 1, 3, 1, 1.2))
	sum := bench.Summarise(bench.Class{Files: 1, Size: 1}, contenders(t), samples, nil)
	if sum.Best.Bounds.High >= sum.Rows[1].Bounds.High {
		t.Errorf("against the best %+v, against %s %+v", *sum.Best.Bounds, sum.Rows[1].Contender, *sum.Rows[1].Bounds)
	}
}

func TestWithoutAComparison(t *testing.T) {
	class := bench.Class{Files: 1, Size: 1}
	alone := bench.Summarise(class, contenders(t), rounds("gridferry", 1, 2), nil)
	broken := bench.Summarise(class, contenders(t), join(rounds("guc", 1), []bench.Sample{{Contender: "gridferry", Warmup: true, Error: "no worker"}}), nil)
	for name, sum := range map[string]bench.Summary{"alone": alone, "broken": broken} {
		if sum.Best != nil || bench.Headline(sum) != "no comparison" {
			t.Errorf("%s: %+v", name, sum.Best)
		}
	}
	if broken.Rows[0].Contender != "guc" || broken.Rows[1].Error != "no worker" {
		t.Errorf("broken: %+v", broken.Rows)
	}
	if once := bench.Summarise(class, contenders(t), join(rounds("guc", 1), rounds("gridferry", 2)), nil); once.Best.Bounds != nil || once.Best.Ratio != 0.5 {
		t.Errorf("one round: %+v", once.Best)
	}
	unknown := rounds("gridferry", 1, 2)
	unknown[1].Server = nil
	if row := bench.Summarise(class, contenders(t), unknown, nil).Rows[0]; row.ServerCPU != nil || row.ClientCPU == nil {
		t.Errorf("CPU time that one sample lacks: %+v", row)
	}
}

func report(t *testing.T) bench.Report {
	small, large, requests := bench.Class{Files: 1000, Size: 1 << 10}, bench.Class{Files: 4, Size: 256 << 20}, bench.Class{Files: 100, Size: 1, Each: true}
	r := bench.Report{
		Started: time.Date(2026, 5, 4, 12, 0, 0, 0, time.UTC), Version: "v1.0.0", Machine: bench.Machine{System: "linux/amd64", CPUs: 2, Load: number(0.4)},
		Source: "gsiftp://a/<s>/", Destination: "gsiftp://b/d/", Rounds: 3, Warmup: 1, Contenders: contenders(t),
		Programs: []bench.Program{{Name: "globus-url-copy", Path: "/usr/bin/globus-url-copy", Version: "10.12"}},
		LeftOut:  []bench.LeftOut{{Name: "rsync", Reason: "not on the PATH"}, {Name: "guc-fast-pp", Class: &large, Reason: "its flags make no difference to one file"}},
		NotAsked: []string{"guc-p4", "cp"},
		Remarks:  []string{"Shared machine."}, Seconds: 700,
		Results: []bench.Result{
			{Class: small, Samples: join(rounds("gridferry", 1, 1.5, 1), rounds("guc", 20), rounds("guc-fast", 2, 2.2, 2), []bench.Sample{{Contender: "scp", Warmup: true, Error: "exit status 1: no route & no host"}}), Dropped: []bench.Dropped{{Contender: "guc", Fastest: "guc-fast", Share: 0.104}, {Contender: "rsync", Round: -1, Fastest: "guc-fast", Share: 0.4, Stopped: true}}},
			{Class: large, Samples: join(rounds("gridferry", 0.8, 0.9, 0.8), rounds("guc", 120, 121, 119), rounds("guc-fast", 0.75, 0.7, 0.8), rounds("null", 0.6, 0.6, 0.7)), Rounds: []bench.Round{{Round: -1}, {Before: number(0.3), After: number(1.25), Others: number(0.034)}, {Round: 1, Before: number(1.3), After: number(1.4)}}},
			{Class: requests, Verify: true, Samples: join(rounds("gridferry", 10, 11, 12), rounds("scp", 30, 31, 32))},
		},
	}
	for i, res := range r.Results {
		r.Results[i].Summary = bench.Summarise(res.Class, r.Contenders, res.Samples, res.Dropped)
	}
	return r
}

func TestTable(t *testing.T) {
	var got bytes.Buffer
	if err := bench.WriteTable(&got, report(t)); err != nil {
		t.Fatal(err)
	}
	golden(t, "testdata/table.txt", got.Bytes())
}

func TestSVG(t *testing.T) {
	var got bytes.Buffer
	if err := bench.WriteSVG(&got, report(t), false); err != nil {
		t.Fatal(err)
	}
	golden(t, "testdata/rates.svg", got.Bytes())
}

// A drawing must be well-formed whatever was measured, nothing included.
func TestSVGIsWellFormed(t *testing.T) {
	empty := report(t)
	empty.Results = nil
	failed := report(t)
	failed.Results = []bench.Result{{Class: bench.Class{Files: 1}, Summary: bench.Summary{Rows: []bench.Row{{Contender: "guc", Error: "no"}}}}}
	zero := report(t) // empty files have no rate
	zero.Results = []bench.Result{{Class: bench.Class{Files: 9}, Samples: rounds("gridferry", 1, 2)}}
	zero.Results[0].Summary = bench.Summarise(zero.Results[0].Class, zero.Contenders, zero.Results[0].Samples, nil)
	one := report(t)
	one.Results = one.Results[:1]
	for name, r := range map[string]bench.Report{"empty": empty, "failed": failed, "zero": zero, "one": one} {
		var b bytes.Buffer
		if err := bench.WriteSVG(&b, r, false); err != nil {
			t.Fatal(err)
		}
		if strings.Contains(b.String(), "NaN") || strings.Contains(b.String(), "Inf") {
			t.Errorf("%s: not a number in %s", name, b.String())
		}
		d := xml.NewDecoder(&b)
		for {
			if _, err := d.Token(); errors.Is(err, io.EOF) {
				break
			} else if err != nil {
				t.Fatalf("%s: %v", name, err)
			}
		}
	}
}

// A report is kept and read again by other tools.
func TestReportAsJSON(t *testing.T) {
	text, err := json.Marshal(report(t))
	if err != nil {
		t.Fatal(err)
	}
	var again bench.Report
	if err := json.Unmarshal(text, &again); err != nil {
		t.Fatal(err)
	}
	if got := again.Results[0].Summary.Best; got == nil || got.Contender != "guc-fast" || got.Bounds == nil {
		t.Errorf("best: %+v", got)
	}
	if null := again.Results[1].Summary.Null; null == nil || null.Contender != "null" {
		t.Errorf("beside the null client: %+v", null)
	}
	if len(again.Results[1].Samples) != 16 {
		t.Errorf("%d samples", len(again.Results[1].Samples))
	}
}

func golden(t *testing.T, name string, got []byte) {
	t.Helper()
	if *update {
		if err := os.WriteFile(name, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("%s differs (-update writes it):\n%s", name, got)
	}
}
