package mover

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/gridferry/gridferry/fault"
	"github.com/gridferry/gridferry/integration/harness"
	"github.com/gridferry/gridferry/integration/tree"
	"github.com/gridferry/gridferry/service"
	"github.com/gridferry/gridferry/transfer"
	"github.com/gridferry/gridferry/wire/gsi/gsitest"
)

// A site is Temporal and a daemon with the store, which moves nothing itself
// unless it is told to.
type site struct {
	t        *testing.T
	temporal *harness.Temporal
	service  *service.Service
	ca       *gsitest.CA
	daemon   *harness.Process
	socket   string
	proxy    string // Ada's
	command  string // gridferry, built before anything is timed
}

// newSite starts a site, whose daemon has these lines in its configuration.
func newSite(t *testing.T, lines ...string) *site {
	t.Helper()
	s := prepareSite(t, nil)
	s.run(append(lines, fmt.Sprintf("api: {socket: %q}", s.socket))...)
	return s
}

// prepareSite is a site without its daemon. The flags are the Temporal server's.
func prepareSite(t *testing.T, flags []string) *site {
	t.Helper()
	s := &site{t: t, temporal: harness.NewTemporal(t, harness.TemporalOptions{Flags: flags}), ca: gsitest.NewCA(t), command: harness.Binary(t, "gridferry")}
	s.service = service.New(s.temporal.Client(), service.Options{Namespace: s.temporal.Namespace})
	s.proxy = s.ca.ProxyFile(s.ca.Proxy(s.ca.User("Ada")))
	s.socket = filepath.Join(open(t), "api.sock")
	return s
}

// run starts the daemon.
func (s *site) run(lines ...string) {
	s.t.Helper()
	s.daemon = s.start("daemon", "", nil, append(lines,
		fmt.Sprintf("data_dir: %q", s.t.TempDir()), fmt.Sprintf("trust_dir: %q", s.ca.Dir), "site: control")...)
}

// open is a directory that other users can reach.
func open(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	for _, d := range []string{dir, filepath.Dir(dir)} {
		must(t, os.Chmod(d, 0o755))
	}
	return dir
}

// start starts a daemon with a configuration of these lines, and waits until it
// works.
func (s *site) start(name, namespace string, env []string, lines ...string) *harness.Process {
	s.t.Helper()
	conf := filepath.Join(s.t.TempDir(), name+".yaml")
	must(s.t, os.WriteFile(conf, []byte(strings.Join(lines, "\n")+"\n"), 0o600))
	p := harness.Start(s.t, harness.Command{
		Name: name, Path: harness.Binary(s.t, "gridferryd"), Args: []string{"run", "--config", conf}, Namespace: namespace,
		Env: harness.Environment(append(s.temporal.Env(), env...)...),
	})
	p.Ready(time.Minute, func() error {
		if !strings.Contains(p.Log(), "worker started") {
			return errors.New("it serves no queue")
		}
		return nil
	})
	return p
}

// env is that of Ada's commands.
func (s *site) env() []string {
	return harness.Environment(append(s.temporal.Env(),
		"GRIDFERRY_SERVICE=unix:"+s.socket, "X509_USER_PROXY="+s.proxy, "X509_CERT_DIR="+s.ca.Dir)...)
}

// gridferry starts a command.
func (s *site) gridferry(args ...string) *harness.Process {
	s.t.Helper()
	return harness.Start(s.t, harness.Command{Path: s.command, Args: args, Env: s.env()})
}

// succeeds waits for a command to end as it should.
func succeeds(t *testing.T, p *harness.Process, limit time.Duration) {
	t.Helper()
	if err := p.Wait(limit); err != nil {
		t.Fatalf("the command ended with %v:\n%s", err, p.Log())
	}
}

// task waits until a task has come so far.
func (s *site) task(id transfer.TaskID, limit time.Duration, reached func(transfer.Task) bool) transfer.Task {
	s.t.Helper()
	var task transfer.Task
	harness.Eventually(s.t, limit, func() error {
		ctx, cancel := context.WithTimeout(s.t.Context(), 10*time.Second)
		defer cancel()
		var err error
		if task, err = s.service.Task(ctx, id); err != nil && !fault.Is(err, fault.NotFound) {
			return err
		}
		if !reached(task) {
			return fmt.Errorf("it is %s, %s, with %d of %d files: %s", task.Status, task.Phase, task.Progress.FilesDone, task.Progress.Files, task.Verdict)
		}
		return nil
	})
	return task
}

func sameTrees(t *testing.T, want, got string) {
	t.Helper()
	n, diffs, err := tree.Compare(want, got)
	must(t, err)
	for i, d := range diffs {
		if i < 10 {
			t.Errorf("%s", d)
		}
	}
	if len(diffs) > 0 || n == 0 {
		t.Fatalf("%d files are equal, %d names differ", n, len(diffs))
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
