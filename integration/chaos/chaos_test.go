package chaos

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"text/tabwriter"
	"time"

	"google.golang.org/protobuf/encoding/protojson"
)

// options are the command line's.
var options struct {
	seeds, events, atOnce int
	first                 uint64
	dir                   string
	keep                  bool
}

func TestMain(m *testing.M) {
	flag.IntVar(&options.seeds, "seeds", 3, "how many seeds to run")
	flag.Uint64Var(&options.first, "first", 1, "the first of them")
	flag.IntVar(&options.events, "events", 4, "how many events a seed has, at least; fewer than ten make small seeds")
	flag.IntVar(&options.atOnce, "at-once", 3, "how many seeds run at the same time")
	flag.StringVar(&options.dir, "dir", "", "`directory` for what the seeds work with, and for what failing ones leave")
	flag.BoolVar(&options.keep, "keep", false, "keep what seeds leave that did not fail, too")
	flag.Parse()
	if err := flag.Set("test.parallel", fmt.Sprint(options.atOnce)); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(2)
	}
	os.Exit(m.Run())
}

// A row is what a seed came to.
type row struct {
	plan    plan
	passed  bool
	struck  []strike
	runs    int
	faults  int64
	bytes   int64
	again   again
	seconds float64
	kept    string
}

// TestChaos runs the seeds and reports what they met.
func TestChaos(t *testing.T) {
	var mu sync.Mutex
	var rows []row
	t.Run("seed", func(t *testing.T) {
		for i := range options.seeds {
			seed := options.first + uint64(i)
			t.Run(fmt.Sprint(seed), func(t *testing.T) {
				t.Parallel()
				r := &row{plan: draw(seed, options.events)}
				defer func() {
					mu.Lock()
					defer mu.Unlock()
					r.passed = !t.Failed()
					rows = append(rows, *r)
				}()
				run(t, r)
			})
		}
	})
	report(t, rows)
}

// run takes one seed from its plan to what it came to.
func run(t *testing.T, r *row) {
	began := time.Now()
	dir, err := os.MkdirTemp(options.dir, fmt.Sprintf("chaos-%d-", r.plan.seed))
	must(t, err)
	must(t, os.Chmod(dir, 0o755)) // the servers' user has to get through
	t.Cleanup(func() {            // the last one: nothing is mounted there any more
		if !t.Failed() && !options.keep {
			must(t, os.RemoveAll(dir))
		}
	})
	s := newSite(t, r.plan, dir)
	d := &drive{watch: &watch{site: s, runs: map[string]time.Time{}, heard: map[string]int{}}}
	t.Cleanup(func() { d.keep(r) })
	t.Logf("seed %d: %v, %d files, %d MiB, %d events", r.plan.seed, r.plan, s.made.Files, s.made.Bytes/mib, len(r.plan.events))
	d.limit(crawl)
	d.id = s.submit()
	d.run()
	task := d.end()
	r.seconds = time.Since(d.began).Seconds()
	d.mailed()
	r.struck, r.runs, r.faults = d.struck, len(d.runs), task.Progress.Faults
	r.bytes = d.content()
	d.counts(task)
	d.processes()
	d.mailedOnce()
	r.again = d.sentTwice()
	d.budget(r)
	if !d.lasted {
		t.Errorf("the transfer was over before all had struck")
	}
	d.note("%d files, %d bytes, %d faults, %d runs, %d kills; sent again: %v; %.0f s in all", task.Progress.FilesDone, task.Progress.BytesDone, r.faults, r.runs,
		r.kills(), r.again, time.Since(began).Seconds())
}

// keep shows what happened, and keeps what a failed seed has left.
func (d *drive) keep(r *row) {
	t := d.t
	t.Logf("seed %d, %v:\n  %s", r.plan.seed, r.plan, strings.Join(d.notes, "\n  "))
	if !t.Failed() && !options.keep {
		return
	}
	r.kept = d.dir
	write := func(name, text string) {
		if err := os.WriteFile(filepath.Join(d.dir, name), []byte(text), 0o600); err != nil {
			t.Error(err)
		}
	}
	write("drive.log", strings.Join(d.notes, "\n"))
	for i, w := range d.workers {
		if w != nil {
			write(fmt.Sprintf("worker-%d.log", i), w.Log())
		}
	}
	for i, e := range d.ends {
		write(endName(i)+".log", e.Log())
		if e.globus != nil {
			write(endName(i)+".sessions.log", e.globus.SessionLog())
			transfers, _ := json.MarshalIndent(e.globus.Transfers(), "", " ")
			write(endName(i)+".transfers.json", string(transfers))
		}
	}
	write("temporal.log", d.temporal.Log())
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second) // the test's own is over
	defer cancel()
	var histories []string
	for run := range d.runs {
		for events := d.client.GetWorkflowHistory(ctx, string(d.id), run, false, 0); events.HasNext(); {
			e, err := events.Next()
			if err != nil {
				break
			}
			histories = append(histories, protojson.Format(e))
		}
	}
	write("histories.json", strings.Join(histories, "\n"))
	if err := os.CopyFS(filepath.Join(d.dir, "dst"), os.DirFS(d.ends[1].root)); err != nil {
		t.Errorf("keep the destination: %v", err)
	}
	t.Logf("what is left is in %s; to repeat it:\n  go test ./integration/chaos -count 1 -v -run TestChaos -seeds 1 -first %d -events %d", d.dir, r.plan.seed, options.events)
}

// report prints the table, and how often each phase was met.
func report(t *testing.T, rows []row) {
	var b strings.Builder
	w := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "seed\t\twhat\tevents\thits by phase\truns\tfaults\tMiB\tkills\tMiB again\ts of work a kill\tchanged\tstream mode\tseconds\t")
	hits, kinds := make([]int, phases), map[kind]int{}
	passed := 0
	for _, r := range rows {
		own := make([]int, phases)
		for _, s := range r.struck {
			kinds[s.kind]++
			if s.evidence != "" {
				own[s.phase]++
				hits[s.phase]++
			}
		}
		verdict := "FAILED"
		if r.passed {
			verdict = "ok"
			passed++
		}
		fmt.Fprintf(w, "%d\t%s\t%v\t%d\t%s\t%d\t%d\t%.1f\t%d\t%.1f\t%.2f\t%.1f\t%.1f\t%.0f\t%s\n", r.plan.seed, verdict, r.plan, len(r.struck), strings.Trim(fmt.Sprint(own), "[]"),
			r.runs, r.faults, float64(r.bytes)/mib, r.kills(), float64(r.again.bytes)/mib, r.plan.work(r.again.bytes)/float64(max(1, r.kills())), float64(r.again.fresh)/mib,
			float64(r.again.stream)/mib, r.seconds, r.kept)
	}
	w.Flush()
	fmt.Fprintf(&b, "\n%d of %d seeds passed. Hits by phase:", passed, len(rows))
	for p, n := range hits {
		fmt.Fprintf(&b, " %v %d,", phase(p), n)
		if n == 0 && len(rows) >= 3 {
			t.Errorf("nothing has struck in the phase %q", phase(p))
		}
	}
	fmt.Fprintf(&b, "\nEvents: %v\n", kinds)
	t.Logf("\n%s", b.String())
}
