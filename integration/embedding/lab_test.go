package embedding

import (
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/worker"

	"github.com/gridferry/gridferry/integration/globus"
	"github.com/gridferry/gridferry/integration/harness"
	"github.com/gridferry/gridferry/integration/tree"
	"github.com/gridferry/gridferry/wire/gsi/gsitest"
)

// lab is where the analysis runs: an instrument and an archive with real
// GridFTP servers, Temporal, gridferry's daemon near the scratch directory, and
// a worker of the analysis.
type lab struct {
	t          *testing.T
	temporal   *harness.Temporal
	client     client.Client // of the namespace that gridferry lives in
	instrument *globus.Server
	archive    *globus.Server
	scratch    string
}

// newLab starts everything but the analysis. A slow lab's instrument sends some
// MB a second, which leaves time to interrupt it.
func newLab(t *testing.T, slow bool) *lab {
	t.Helper()
	ca := gsitest.NewCA(t)
	l := &lab{t: t, scratch: t.TempDir()}
	options := globus.Options{CA: ca}
	if slow {
		host := harness.NewNetwork(t).Host("instrument")
		limit(t, host, "48mbit")
		options.Address, options.Namespace = host.Address, host.Namespace
	}
	l.instrument = globus.NewServer(t, options)
	l.archive = globus.NewServer(t, globus.Options{CA: ca})
	l.temporal = harness.NewTemporal(t, harness.TemporalOptions{})
	l.client = l.temporal.Client()

	conf := filepath.Join(t.TempDir(), "gridferryd.yaml")
	text := fmt.Sprintf(`
data_dir: %q
site: lab
trust_dir: %q
credentials: {env: {owners: ["*"]}}
roots: {"*": [%q]}
`, t.TempDir(), ca.Dir, l.scratch)
	if err := os.WriteFile(conf, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	proxy := ca.ProxyFile(ca.Proxy(ca.User("Ada")))
	harness.Start(t, harness.Command{
		Path: harness.Binary(t, "gridferryd"),
		Args: []string{"run", "--config", conf},
		Env:  harness.Environment(append(l.temporal.Env(), "X509_USER_PROXY="+proxy)...),
	})
	return l
}

// limit bounds what a host sends.
func limit(t *testing.T, host *harness.Host, rate string) {
	t.Helper()
	out, err := exec.Command("ip", "netns", "exec", host.Namespace,
		"tc", "qdisc", "add", "dev", "eth0", "root", "tbf", "rate", rate, "burst", "64kb", "latency", "200ms").CombinedOutput()
	if err != nil {
		harness.Lacking(t, fmt.Sprintf("needs tc and the tbf queueing discipline: %s", out))
	}
}

// work serves the analysis, and what else is registered, in a namespace.
func work(t *testing.T, c client.Client, more ...func(worker.Registry)) {
	t.Helper()
	w := NewWorker(c)
	for _, register := range more {
		register(w)
	}
	if err := w.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(w.Stop)
}

// measure makes the instrument's data.
func (l *lab) measure(spec tree.Spec) {
	l.t.Helper()
	dir := l.instrument.Path("run7")
	if err := os.Mkdir(dir, 0o755); err != nil {
		l.t.Fatal(err)
	}
	if _, err := tree.Make(dir, spec, nil); err != nil {
		l.t.Fatal(err)
	}
}

// input asks for the analysis of what the instrument has measured.
func (l *lab) input() Input {
	scratch := url.URL{Scheme: "file", Host: "lab", Path: l.scratch}
	return Input{
		Raw:     l.instrument.URL("run7/"),
		Results: l.archive.URL("results"),
		Scratch: scratch.String(), ScratchPath: l.scratch,
	}
}

// start starts the analysis with an id of its own.
func (l *lab) start(c client.Client, id string, workflow any, in Input) client.WorkflowRun {
	l.t.Helper()
	run, err := c.ExecuteWorkflow(l.t.Context(), client.StartWorkflowOptions{ID: id, TaskQueue: Queue}, workflow, in)
	if err != nil {
		l.t.Fatal(err)
	}
	return run
}

// awaitHalf waits until a transfer is at the largest file: what is copied of it
// stands under a temporary name.
func (l *lab) awaitHalf() {
	l.t.Helper()
	var largest string
	var size int64
	err := filepath.WalkDir(l.instrument.Path("run7"), func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		info, err := d.Info()
		if err == nil && info.Size() > size {
			largest, size = d.Name(), info.Size()
		}
		return err
	})
	if err != nil {
		l.t.Fatal(err)
	}
	harness.Eventually(l.t, 2*time.Minute, func() error {
		for _, name := range l.temporaries() {
			if strings.HasPrefix(filepath.Base(name), "."+largest) {
				return nil
			}
		}
		return fmt.Errorf("no part of %s is in %s", largest, l.scratch)
	})
}

// temporaries lists the names that only a transfer under way may leave.
func (l *lab) temporaries() (names []string) {
	l.t.Helper()
	err := filepath.WalkDir(l.scratch, func(path string, _ fs.DirEntry, err error) error {
		if os.IsNotExist(err) {
			return nil // renamed meanwhile
		}
		if strings.Contains(filepath.Base(path), ".gridferry-") {
			names = append(names, path)
		}
		return err
	})
	if err != nil {
		l.t.Fatal(err)
	}
	return names
}

// clean checks what an interrupted transfer left: whole files, and no others.
func (l *lab) clean(id string) {
	l.t.Helper()
	if names := l.temporaries(); len(names) > 0 {
		l.t.Errorf("left behind: %q", names)
	}
	_, differences, err := tree.Compare(l.instrument.Path("run7"), filepath.Join(l.scratch, id, "raw"))
	if err != nil && !os.IsNotExist(err) {
		l.t.Fatal(err)
	}
	for _, d := range differences {
		if d.What != "missing" {
			l.t.Errorf("the scratch directory is not as it should be: %v", d)
		}
	}
}
