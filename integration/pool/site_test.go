package pool

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/gridferry/gridferry/integration/globus"
	"github.com/gridferry/gridferry/integration/harness"
	"github.com/gridferry/gridferry/integration/tree"
	"github.com/gridferry/gridferry/service"
	"github.com/gridferry/gridferry/transfer"
	"github.com/gridferry/gridferry/wire/gsi/gsitest"
)

const mib = 1 << 20

// A site is an endpoint lab#src of several servers over one tree, lab#dst of
// one, and workers.
type site struct {
	t        *testing.T
	temporal *harness.Temporal
	service  *service.Service
	ca       *gsitest.CA
	from, to string
	src      []*globus.Server
	dst      *globus.Server
	data     string
	proxy    string
}

func newSite(t *testing.T, servers int) *site {
	t.Helper()
	s := &site{t: t, temporal: harness.NewTemporal(t, harness.TemporalOptions{}), ca: gsitest.NewCA(t), from: t.TempDir(), to: t.TempDir(), data: t.TempDir()}
	s.service = service.New(s.temporal.Client(), service.Options{})
	for range servers {
		s.src = append(s.src, globus.NewServer(t, globus.Options{CA: s.ca, Root: s.from}))
	}
	s.dst = globus.NewServer(t, globus.Options{CA: s.ca, Root: s.to})
	s.proxy = s.ca.ProxyFile(s.ca.Proxy(s.ca.User("Ada")))
	return s
}

// socket is where operators ask.
func (s *site) socket() string { return filepath.Join(s.data, "api.sock") }

// worker starts a daemon with these limits of lab#src and lab#dst, as YAML
// has them.
func (s *site) worker(name string, roles, srcLimits, dstLimits string) *harness.Process {
	s.t.Helper()
	var servers []string
	for _, server := range s.src {
		servers = append(servers, fmt.Sprintf("%q", server.Addr()))
	}
	conf := filepath.Join(s.t.TempDir(), name+".yaml")
	must(s.t, os.WriteFile(conf, fmt.Appendf(nil, `roles: %s
data_dir: %q
trust_dir: %q
api: {socket: %q}
endpoints:
  lab#src: {kind: gridftp, servers: [%s], limits: %s}
  lab#dst: {kind: gridftp, servers: [%q], limits: %s}
`, roles, s.data, s.ca.Dir, s.socket(), strings.Join(servers, ", "), srcLimits, s.dst.Addr(), dstLimits), 0o600))
	p := harness.Start(s.t, harness.Command{
		Name: name, Path: harness.Binary(s.t, "gridferryd"), Args: []string{"run", "--config", conf},
		Env: harness.Environment(append(s.temporal.Env(), "X509_USER_PROXY="+s.proxy)...),
	})
	p.Ready(time.Minute, func() error {
		if !strings.Contains(p.Log(), "role=data") {
			return errors.New("it does not serve the role data")
		}
		return nil
	})
	return p
}

// operator runs a command of the operator's, and returns what it prints.
func (s *site) operator(args ...string) string {
	s.t.Helper()
	p := harness.Start(s.t, harness.Command{
		Name: "gridferry", Path: harness.Binary(s.t, "gridferry"), Args: args,
		Env: harness.Environment(append(s.temporal.Env(), "GRIDFERRY_SERVICE=unix:"+s.socket())...),
	})
	if err := p.Wait(time.Minute); err != nil {
		s.t.Fatalf("gridferry %s: %v\n%s", strings.Join(args, " "), err, p.Log())
	}
	return p.Log()
}

// files makes a tree below from.
func (s *site) files(name string, n int, size int64) {
	s.t.Helper()
	dir := filepath.Join(s.from, name)
	must(s.t, os.Mkdir(dir, 0o755))
	for i := range n {
		f, err := os.Create(filepath.Join(dir, fmt.Sprintf("%05d", i)))
		must(s.t, err)
		_, err = f.WriteString(name + fmt.Sprint(i))
		must(s.t, errors.Join(err, f.Truncate(size), f.Close()))
	}
}

func (s *site) submit(name string, edit func(*transfer.Request)) transfer.TaskID {
	s.t.Helper()
	req := transfer.Request{Source: "lab#src:" + s.from + "/" + name, Destination: "lab#dst:" + s.to + "/" + name, Recursive: true}
	if edit != nil {
		edit(&req)
	}
	id, err := s.service.Submit(s.t.Context(), "", req)
	must(s.t, err)
	return id
}

// until waits for a task to come so far.
func (s *site) until(id transfer.TaskID, limit time.Duration, reached func(transfer.Task) bool) transfer.Task {
	s.t.Helper()
	var task transfer.Task
	harness.Eventually(s.t, limit, func() error {
		ctx, cancel := context.WithTimeout(s.t.Context(), 10*time.Second)
		defer cancel()
		var err error
		if task, err = s.service.Task(ctx, id); err != nil {
			return err
		}
		if !reached(task) {
			return fmt.Errorf("it is %s with %d of %d files: %s", task.Status, task.Progress.FilesDone+task.Progress.FilesInFlight, task.Progress.Files, task.Verdict)
		}
		return nil
	})
	return task
}

// succeeds waits for a task, and compares the trees.
func (s *site) succeeds(id transfer.TaskID, name string, limit time.Duration) transfer.Task {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(s.t.Context(), limit)
	defer cancel()
	task, err := s.service.Wait(ctx, id)
	must(s.t, err)
	if task.Status != transfer.Succeeded {
		s.t.Errorf("the task is %s: %s", task.Status, task.Verdict)
	}
	equal, diffs, err := tree.Compare(filepath.Join(s.from, name), filepath.Join(s.to, name))
	must(s.t, err)
	if equal == 0 || len(diffs) > 0 {
		s.t.Errorf("%d names are equal; differences: %v", equal, diffs)
	}
	return task
}

// events are the descriptions of a task's events of a kind.
func (s *site) events(id transfer.TaskID, code transfer.EventCode) []string {
	s.t.Helper()
	all, err := s.service.Events(s.t.Context(), id, transfer.Page{Limit: 1000})
	must(s.t, err)
	var found []string
	for _, e := range all.Events {
		if e.Code == code {
			found = append(found, e.Description)
		}
	}
	return found
}

var opened = regexp.MustCompile(`(?m)^\[(\d+)\] .*:: New connection from: `)
var ended = regexp.MustCompile(`(?m)^\[(\d+)\] .*:: Closed connection from `)

// atOnce is how many sessions a server had at most at one moment, by its log,
// and how many in all.
func atOnce(log string) (most, all int) {
	sessions := map[string]bool{}
	for line := range strings.Lines(log) {
		if m := opened.FindStringSubmatch(line); m != nil {
			sessions[m[1]] = true
			all++
			most = max(most, len(sessions))
		}
		if m := ended.FindStringSubmatch(line); m != nil {
			delete(sessions, m[1])
		}
	}
	return most, all
}

// sent is how many files a server has sent.
func sent(server *globus.Server) (n int) {
	for _, tr := range server.Transfers() {
		if tr.Type == "RETR" || tr.Type == "ERET" {
			n++
		}
	}
	return n
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
