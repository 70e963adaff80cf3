package durability

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	enumspb "go.temporal.io/api/enums/v1"
	workflowpb "go.temporal.io/api/workflow/v1"
	"go.temporal.io/api/workflowservice/v1"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/log"

	"github.com/gridferry/gridferry/integration/globus"
	"github.com/gridferry/gridferry/integration/harness"
	"github.com/gridferry/gridferry/integration/tree"
	"github.com/gridferry/gridferry/service"
	"github.com/gridferry/gridferry/transfer"
	"github.com/gridferry/gridferry/wire/gsi/gsitest"
)

// atOnce is how many tests run at the same time. Most of the time they wait: for
// heartbeats to be missed, for servers that nobody stopped to have come to
// their end. Full-sized trees want too much space for many at once.
func atOnce() int64 { return size(16, 4) }

func TestMain(m *testing.M) {
	flag.Parse()
	err := flag.Set("test.parallel", fmt.Sprint(atOnce()))
	if err == nil {
		originals.dir, err = os.MkdirTemp("", "durability")
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(2)
	}
	code := m.Run()
	if err := os.RemoveAll(originals.dir); err != nil {
		fmt.Fprintln(os.Stderr, err)
	}
	os.Exit(code)
}

// originals are trees that several tests transfer, made once.
var originals struct {
	mu  sync.Mutex
	dir string
}

// original is a tree that nobody may change.
func original(t *testing.T, spec tree.Spec) string {
	t.Helper()
	originals.mu.Lock()
	defer originals.mu.Unlock()
	dir := filepath.Join(originals.dir, fmt.Sprintf("%d-%d", spec.Seed, spec.Bytes))
	err := os.Mkdir(dir, 0o755)
	if errors.Is(err, fs.ErrExist) {
		return dir
	}
	must(t, err)
	_, err = tree.Make(dir, spec, nil)
	must(t, err)
	return dir
}

// copyOf is a tree that the test may change.
func copyOf(t *testing.T, dir string) string {
	t.Helper()
	own := t.TempDir()
	must(t, os.CopyFS(own, os.DirFS(dir)))
	return own
}

// Moments of milliseconds are not to be caught on a machine that ten other
// tests keep from running: one of them at a time builds its site, and one is
// busy until something of it is stopped.
var building, atWork sync.Mutex

// hurry waits for its turn to be busy.
func hurry() (done func()) {
	atWork.Lock()
	return atWork.Unlock
}

// soak says that the bars are run at their full size.
func soak() bool { return os.Getenv("GRIDFERRY_SOAK") != "" }

// size is how much a test moves, in bytes.
func size(ordinary, full int64) int64 {
	if soak() {
		return full
	}
	return ordinary
}

const mib = 1 << 20

// resendLimit is how much of one large file may be sent again after a kill.
const resendLimit = 64 * mib

// A site is what a facility runs: Temporal, two GridFTP servers that others
// wrote, and worker processes that share a data directory.
type site struct {
	t        *testing.T
	temporal *harness.Temporal
	client   client.Client
	service  *service.Service
	src, dst *globus.Server

	dir   string // of the workers' data
	conf  string // their configuration file
	proxy string
}

// siteOptions change what a site is made of.
type siteOptions struct {
	src, dst globus.Options // their CA is the site's
}

func newSite(t *testing.T, o siteOptions) *site {
	t.Helper()
	building.Lock()
	defer building.Unlock()
	s := &site{t: t, temporal: harness.NewTemporal(t, harness.TemporalOptions{}), dir: t.TempDir()}
	// The log of a client whose server is killed is full of that.
	var err error
	s.client, err = client.Dial(client.Options{
		HostPort: s.temporal.Address, Namespace: s.temporal.Namespace, Logger: log.NewStructuredLogger(slog.New(slog.DiscardHandler)),
	})
	must(t, err)
	t.Cleanup(s.client.Close)
	s.service = service.New(s.client, service.Options{})

	ca := gsitest.NewCA(t)
	o.src.CA, o.dst.CA = ca, ca
	s.src, s.dst = globus.NewServer(t, o.src), globus.NewServer(t, o.dst)
	s.proxy = ca.ProxyFile(ca.Proxy(ca.User("Ada")))
	s.conf = filepath.Join(t.TempDir(), "gridferryd.yaml")
	must(t, os.WriteFile(s.conf, fmt.Appendf(nil, "roles: [control, data]\ndata_dir: %q\ntrust_dir: %q\n", s.dir, ca.Dir), 0o600))
	return s
}

// worker starts a worker process and waits until it serves its queues.
func (s *site) worker(name string) *harness.Process {
	s.t.Helper()
	p := harness.Start(s.t, harness.Command{
		Name: name, Path: harness.Binary(s.t, "gridferryd"), Args: []string{"run", "--config", s.conf},
		Env: harness.Environment(append(s.temporal.Env(), "X509_USER_PROXY="+s.proxy)...),
	})
	p.Ready(time.Minute, func() error {
		if n := strings.Count(p.Log(), "worker started"); n < 2 {
			return fmt.Errorf("%d of its 2 roles are served", n)
		}
		return nil
	})
	return p
}

// submit starts a transfer of the source's whole tree, or of one file in it.
func (s *site) submit(req transfer.Request) transfer.TaskID {
	s.t.Helper()
	if req.Source == "" {
		req.Source, req.Destination, req.Recursive = s.src.URL(""), s.dst.URL(""), true
	}
	id, err := s.service.Submit(s.t.Context(), "", req)
	must(s.t, err)
	return id
}

// wait waits for a task to end as it should.
func (s *site) wait(id transfer.TaskID, limit time.Duration, want transfer.Status) transfer.Task {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(s.t.Context(), limit)
	defer cancel()
	task, err := s.service.Wait(ctx, id)
	if err != nil {
		now, _ := s.service.Task(s.t.Context(), id)
		s.t.Fatalf("wait for the task: %v; it is %s, %s: %s", err, now.Status, now.Phase, now.Verdict)
	}
	if task.Status != want {
		s.t.Fatalf("the task is %s, not %s: %s", task.Status, want, task.Verdict)
	}
	return task
}

// describe returns what Temporal knows of a task's workflow.
func (s *site) describe(id transfer.TaskID) *workflowservice.DescribeWorkflowExecutionResponse {
	s.t.Helper()
	d, err := s.client.DescribeWorkflowExecution(s.t.Context(), string(id), "")
	must(s.t, err)
	return d
}

// pending returns the activities of a type that Temporal takes for running.
func (s *site) pending(id transfer.TaskID, activity string) []*workflowpb.PendingActivityInfo {
	s.t.Helper()
	var found []*workflowpb.PendingActivityInfo
	for _, a := range s.describe(id).GetPendingActivities() {
		if a.GetActivityType().GetName() == activity && a.GetState() == enumspb.PENDING_ACTIVITY_STATE_STARTED {
			found = append(found, a)
		}
	}
	return found
}

func (s *site) running(id transfer.TaskID) bool {
	return s.describe(id).GetWorkflowExecutionInfo().GetStatus() == enumspb.WORKFLOW_EXECUTION_STATUS_RUNNING
}

// events returns everything that was recorded of a task.
func (s *site) events(id transfer.TaskID) []transfer.Event {
	s.t.Helper()
	var all []transfer.Event
	for page := (transfer.Page{Limit: 1000}); ; {
		e, err := s.service.Events(s.t.Context(), id, page)
		must(s.t, err)
		if all = append(all, e.Events...); e.Next == "" {
			return all
		}
		page.Token = e.Next
	}
}

// results returns how each file of a task ended.
func (s *site) results(id transfer.TaskID) []transfer.Result {
	s.t.Helper()
	var all []transfer.Result
	for page := (transfer.Page{Limit: 1000}); ; {
		r, err := s.service.Results(s.t.Context(), id, transfer.ResultQuery{Page: page})
		must(s.t, err)
		if all = append(all, r.Results...); r.Next == "" {
			return all
		}
		page.Token = r.Next
	}
}

// sent is how many bytes of a file the source says it has sent, all attempts.
func (s *site) sent(suffix string) int64 {
	s.t.Helper()
	return s.src.Moved("RETR", suffix) + s.src.Moved("ERET", suffix)
}

// temps returns the temporary names at the destination, with the sizes of
// their files.
func (s *site) temps() map[string]int64 {
	found := make(map[string]int64)
	_ = filepath.WalkDir(s.dst.Root, func(path string, d fs.DirEntry, err error) error {
		if err == nil && transfer.IsTempName(d.Name()) {
			if info, err := d.Info(); err == nil { // else it was just renamed
				found[path] = info.Size()
			}
		}
		return nil
	})
	return found
}

// temp returns the temporary name of one file and its size; 0 when there is none.
func (s *site) temp(name string) (path string, size int64) {
	dir, base := filepath.Split(s.dst.Path(name))
	entries, err := os.ReadDir(dir)
	if err != nil {
		return "", 0
	}
	for _, e := range entries {
		if t, ok := transfer.ParseTempName(e.Name()); ok && t.Name == base {
			if info, err := e.Info(); err == nil && info.Size() >= size {
				path, size = filepath.Join(dir, e.Name()), info.Size()
			}
		}
	}
	return path, size
}

// same compares both trees byte for byte; nothing more may be at the destination.
func (s *site) same() {
	s.t.Helper()
	equal, diffs, err := tree.Compare(s.src.Root, s.dst.Root)
	must(s.t, err)
	for _, d := range diffs[:min(len(diffs), 20)] {
		s.t.Errorf("%v", d)
	}
	if equal == 0 {
		s.t.Errorf("nothing was compared")
	}
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// names returns everything below a directory.
func names(t testing.TB, root string) []string {
	t.Helper()
	var found []string
	err := filepath.WalkDir(root, func(path string, _ fs.DirEntry, err error) error {
		if path != root {
			found = append(found, path)
		}
		return err
	})
	must(t, err)
	return found
}

// paused returns nil when a task is paused and nothing of it is under way.
func (s *site) paused(id transfer.TaskID) error {
	task, err := s.service.Task(s.t.Context(), id)
	if err != nil {
		return err
	}
	if busy := len(s.describe(id).GetPendingActivities()); !task.Paused || busy > 0 {
		return fmt.Errorf("it is %s, with %d activities", task.Verdict, busy)
	}
	return nil
}

// retried counts the activities that Temporal tried more than once, as it does
// when a worker is no longer heard of.
func (s *site) retried(id transfer.TaskID) (n int) {
	s.t.Helper()
	events := s.client.GetWorkflowHistory(s.t.Context(), string(id), "", false, enumspb.HISTORY_EVENT_FILTER_TYPE_ALL_EVENT)
	for events.HasNext() {
		e, err := events.Next()
		must(s.t, err)
		if e.GetActivityTaskStartedEventAttributes().GetAttempt() > 1 {
			n++
		}
	}
	return n
}
