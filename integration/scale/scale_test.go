package scale

import (
	"context"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.temporal.io/sdk/client"

	"github.com/gridferry/gridferry/integration/harness"
	"github.com/gridferry/gridferry/integration/scale/synthetic"
	"github.com/gridferry/gridferry/service"
	"github.com/gridferry/gridferry/transfer"
)

var (
	nFiles  = flag.Int64("files", 0, "files to move; 0 is 20,000, or a million with GRIDFERRY_SOAK")
	nKills  = flag.Int("kills", 1, "how often to kill the worker on the way")
	shape   = flag.String("shape", string(synthetic.Wide), "how the files lie in directories: wide, flat, deep or many")
	base    = flag.Int64("baseline", 0, "files of a smaller run before, whose cost per file is the measure; 0 is none")
	profile = flag.String("profile", "", "`address` at which the worker serves profiles (net/http/pprof)")
)

// The bars.
const (
	maxEvents = 4096
	maxBytes  = 4 << 20
	maxMemory = 512 << 20
	minRate   = 20_000    // files a second; asked of runs that are long against a lost worker's 20 s
	longRun   = 5_000_000 // has the machine to itself: what takes time is judged
	maxGrowth = 1.2       // of the processor time per file, against that at a million
	maxLookup = time.Second
)

func soak() bool { return os.Getenv("GRIDFERRY_SOAK") != "" }

// site is a Temporal server, one worker, and a disk that survives it.
type site struct {
	t        *testing.T
	temporal *harness.Temporal
	client   client.Client
	service  *service.Service
	worker   *harness.Process
	disk     *synthetic.Disk
	tree     synthetic.Tree
	state    string

	workerUse, temporalUse usage
}

func newSite(t *testing.T, tree synthetic.Tree) *site {
	s := &site{t: t, tree: tree, state: t.TempDir()}
	at := t.TempDir()
	var err error
	if s.disk, err = synthetic.OpenDisk(at, tree); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.disk.Close() })
	s.temporal = harness.NewTemporal(t, harness.TemporalOptions{})
	s.client = s.temporal.Client()
	s.service = service.New(s.client, service.Options{})
	s.worker = startWorker(t, workerConfig{
		Temporal: s.temporal.Address, Namespace: s.temporal.Namespace, State: s.state, Disk: at, Tree: tree, Profile: *profile,
	})
	return s
}

func (s *site) look() {
	s.workerUse.look(s.worker.PID())
	s.temporalUse.look(s.temporal.PID())
}

func (s *site) tally() synthetic.Tally {
	s.t.Helper()
	tally, err := s.disk.Tally()
	if err != nil {
		s.t.Fatal(err)
	}
	return tally
}

// move moves the tree and kills the worker on the way, at even distances.
func (s *site) move(req transfer.Request, kills int) (task transfer.Task, took time.Duration) {
	s.t.Helper()
	begun := time.Now()
	id, err := s.service.Submit(s.t.Context(), "", req)
	if err != nil {
		s.t.Fatal(err)
	}
	type end struct {
		task transfer.Task
		err  error
	}
	ended := make(chan end, 1)
	ctx, cancel := context.WithCancel(s.t.Context())
	defer cancel()
	go func() {
		task, err := s.service.Wait(ctx, id)
		ended <- end{task, err}
	}()
	// A look reads a byte of each file.
	tick := time.NewTicker(time.Duration(max(s.tree.Files/10_000, 20)) * time.Millisecond)
	defer tick.Stop()
	killed := 0
	for {
		select {
		case e := <-ended:
			took := time.Since(begun)
			s.look()
			if e.err != nil {
				s.t.Fatal(e.err)
			}
			if killed < kills {
				s.t.Errorf("the transfer ended after %d of %d kills", killed, kills)
			}
			return e.task, took
		case <-s.worker.Done():
			s.t.Fatal("the worker ended by itself")
		case <-tick.C:
		}
		s.look()
		if killed == kills {
			continue
		}
		if n := s.tally().Right; n >= s.tree.Files*int64(killed+1)/int64(kills+1) {
			s.t.Logf("%v: killing the worker, %d files are there", time.Since(begun).Round(time.Millisecond), n)
			s.look()
			s.worker.Restart()
			s.workerUse.gone()
			killed++
		}
	}
}

// check fails the test where the disk does not hold the tree.
func (s *site) check(task transfer.Task) synthetic.Tally {
	s.t.Helper()
	p, got := task.Progress, s.tally()
	if task.Status != transfer.Succeeded || p.FilesDone != s.tree.Files || p.Files != s.tree.Files || p.FilesUnverified > 0 || p.FilesFailed > 0 {
		s.t.Errorf("the task: %s (%s), %+v", task.Status, task.Verdict, p)
	}
	if got.Right != s.tree.Files || got.Bad+got.Begun > 0 || got.Dirs != s.tree.Dirs() || got.Temps > 0 || got.Wrong != "" {
		s.t.Errorf("the sink: %+v, want %d files and %d directories", got, s.tree.Files, s.tree.Dirs())
	}
	return got
}

// run is one workflow run, as long as its history is.
type run struct {
	id            string
	events, bytes int64
}

// runs are those of a task, each of which continues another.
func (s *site) runs(id transfer.TaskID) []run {
	s.t.Helper()
	var runs []run
	next := ""
	for {
		d, err := s.client.DescribeWorkflowExecution(s.t.Context(), string(id), next)
		if err != nil {
			s.t.Fatal(err)
		}
		info := d.GetWorkflowExecutionInfo()
		runs = append(runs, run{info.GetExecution().GetRunId(), info.GetHistoryLength(), info.GetHistorySizeBytes()})
		h := s.client.GetWorkflowHistory(s.t.Context(), string(id), runs[len(runs)-1].id, false, 0)
		if !h.HasNext() {
			s.t.Fatal("a run without events")
		}
		first, err := h.Next()
		if err != nil {
			s.t.Fatal(err)
		}
		if next = first.GetWorkflowExecutionStartedEventAttributes().GetContinuedExecutionRunId(); next == "" {
			return runs
		}
	}
}

func (s *site) request() transfer.Request {
	return transfer.Request{Source: synthetic.SourceName + ":/", Destination: synthetic.SinkName + ":/", Recursive: true}
}

// together runs a test beside others where it waits most of its time, for a
// lost worker's heartbeats, and measures little.
func together(t *testing.T) {
	if *nFiles == 0 && !soak() {
		t.Parallel()
	}
}

// cost is the processor time that a file takes, of the worker and Temporal
// together.
func (s *site) cost() time.Duration {
	return (s.workerUse.total() + s.temporalUse.total()) / time.Duration(s.tree.Files)
}

// lookups finds the results of some files and returns how long the slowest took.
func (s *site) lookups(id transfer.TaskID) time.Duration {
	s.t.Helper()
	const some = 7
	var slowest time.Duration
	for i := range int64(some) {
		p := s.tree.Path(i * (s.tree.Files - 1) / (some - 1))
		begun := time.Now()
		got, err := s.service.Results(s.t.Context(), id, transfer.ResultQuery{Path: p})
		slowest = max(slowest, time.Since(begun))
		if err != nil || len(got.Results) != 1 || got.Results[0].Dest != p || got.Results[0].Status != "copied" || got.Results[0].Checksum == "" {
			s.t.Errorf("the result of %s: %+v, %v", p, got, err)
		}
	}
	return slowest
}

// TestScale moves very many small files, and asks of it what the bars say.
func TestScale(t *testing.T) {
	together(t)
	n := *nFiles
	if n == 0 {
		n = 20_000
		if soak() {
			n = 1_000_000
		}
	}
	var before time.Duration
	if *base > 0 {
		t.Run("baseline", func(t *testing.T) {
			s := newSite(t, synthetic.Tree{Files: *base, Shape: synthetic.Shape(*shape)})
			task, took := s.move(s.request(), 0)
			s.check(task)
			before = s.cost()
			t.Logf("%v in %v, %v of processor time a file", s.tree, took.Round(10*time.Millisecond), before)
		})
	}
	s := newSite(t, synthetic.Tree{Files: n, Shape: synthetic.Shape(*shape)})
	task, took := s.move(s.request(), *nKills)
	tally := s.check(task)

	var out strings.Builder
	line := func(what, format string, args ...any) {
		fmt.Fprintf(&out, "%-34s %s\n", what, fmt.Sprintf(format, args...))
	}
	rate := float64(n) / took.Seconds()
	line("tree", "%v, %d directories", s.tree, s.tree.Dirs())
	line("submission to final report", "%v, %.0f files/s", took.Round(10*time.Millisecond), rate)
	line("worker killed", "%d times", *nKills)
	line("files completed again", "%d", tally.Again)
	line("worker's peak memory", "%.0f MiB", float64(s.workerUse.peak)/(1<<20))
	line("Temporal's peak memory", "%.0f MiB", float64(s.temporalUse.peak)/(1<<20))
	perFile := func(d time.Duration) string {
		return fmt.Sprintf("%v, %.1f us a file", d, float64(d.Microseconds())/float64(n))
	}
	line("worker's processor time", "%s", perFile(s.workerUse.total()))
	line("Temporal's processor time", "%s", perFile(s.temporalUse.total()))

	runs := s.runs(task.ID)
	var longest run
	var events int64
	for _, r := range runs {
		events += r.events
		longest.events, longest.bytes = max(longest.events, r.events), max(longest.bytes, r.bytes)
	}
	line("runs of the workflow", "%d, %d events", len(runs), events)
	line("longest history", "%d events, %d bytes", longest.events, longest.bytes)
	if before > 0 {
		line("processor time per file", "%v, %.2f times that of %d files", s.cost(), float64(s.cost())/float64(before), *base)
	}
	slowest := s.lookups(task.ID)
	line("slowest lookup of a result", "%v", slowest.Round(time.Millisecond))
	files, bytes := diskUse(t, filepath.Dir(s.temporal.Database))
	line("Temporal's database", "%.1f MiB in %d files", float64(bytes)/(1<<20), files)
	files, bytes = diskUse(t, filepath.Join(s.state, "blobs"))
	line("blob store", "%.1f MiB in %d files", float64(bytes)/(1<<20), files)
	t.Logf("\n%s", out.String())

	if longest.events > maxEvents || longest.bytes > maxBytes {
		t.Errorf("a history of %d events and %d bytes", longest.events, longest.bytes)
	}
	if s.workerUse.peak > maxMemory && !raceEnabled {
		t.Errorf("a worker had %d bytes", s.workerUse.peak)
	}
	if n >= longRun && slowest > maxLookup {
		t.Errorf("a lookup took %v", slowest)
	}
	if n >= longRun && before > 0 && float64(s.cost()) > maxGrowth*float64(before) {
		t.Errorf("a file costs %v, and %v when there are fewer", s.cost(), before)
	}
	if n >= longRun && rate < minRate {
		t.Errorf("%.0f files/s, not %d", rate, minRate)
	}
}

// TestShapes: whatever the tree, it arrives, and a worker has the memory.
func TestShapes(t *testing.T) {
	together(t)
	for _, tree := range []synthetic.Tree{
		{Files: 45_000, Shape: synthetic.Flat},
		{Files: 12_000, Shape: synthetic.Deep},
		{Files: 2_000, Shape: synthetic.Many},
	} {
		if soak() {
			tree.Files *= 20
		}
		t.Run(string(tree.Shape), func(t *testing.T) {
			s := newSite(t, tree)
			task, took := s.move(s.request(), 0)
			s.check(task)
			if tree.Shape == synthetic.Flat {
				again := s.request()
				again.Sync = transfer.SyncExists
				task, took := s.move(again, 0)
				if p := task.Progress; p.FilesSkipped != tree.Files || p.Files != 0 {
					t.Errorf("compared with what is there: %+v", p)
				}
				t.Logf("compared with what is there in %v", took.Round(10*time.Millisecond))
			}
			t.Logf("%v in %v, %.0f files/s, the worker's peak memory %d MiB", tree, took.Round(10*time.Millisecond), float64(tree.Files)/took.Seconds(), s.workerUse.peak>>20)
			if s.workerUse.peak > maxMemory && !raceEnabled {
				t.Errorf("the worker had %d bytes", s.workerUse.peak)
			}
		})
	}
}
