package notify

import (
	"fmt"
	"log/slog"
	"os"
	"os/user"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/log"

	"github.com/gridferry/gridferry/integration/harness"
	"github.com/gridferry/gridferry/service"
	"github.com/gridferry/gridferry/transfer"
)

// A site is Temporal and one daemon, which moves files of this host.
type site struct {
	t        *testing.T
	temporal *harness.Temporal
	service  *service.Service
	owner    string
	tree     string // roots allow it
	conf     string
}

// newSite makes a site; notify is that section of its configuration.
func newSite(t *testing.T, notify string) *site {
	t.Helper()
	s := &site{t: t, temporal: harness.NewTemporal(t, harness.TemporalOptions{}), tree: t.TempDir()}
	u, err := user.Current()
	must(t, err)
	s.owner = u.Username
	c, err := client.Dial(client.Options{
		HostPort: s.temporal.Address, Namespace: s.temporal.Namespace, Logger: log.NewStructuredLogger(slog.New(slog.DiscardHandler)),
	})
	must(t, err)
	t.Cleanup(c.Close)
	s.service = service.New(c, service.Options{})
	s.conf = filepath.Join(t.TempDir(), "gridferryd.yaml")
	must(t, os.WriteFile(s.conf, fmt.Appendf(nil, `
site: here
data_dir: %q
trust_dir: %q
roots: {%q: [%q]}
temporal: {ui: http://temporal.example.org:8233}
notify: {%s}
`, t.TempDir(), t.TempDir(), s.owner, s.tree, notify), 0o600))
	must(t, os.WriteFile(filepath.Join(s.tree, "results.dat"), []byte("42\n"), 0o600))
	return s
}

// daemon starts the daemon and waits until it serves its queues.
func (s *site) daemon() *harness.Process {
	s.t.Helper()
	p := harness.Start(s.t, harness.Command{
		Name: "gridferryd", Path: harness.Binary(s.t, "gridferryd"), Args: []string{"run", "--config", s.conf},
		Env: harness.Environment(s.temporal.Env()...),
	})
	p.Ready(time.Minute, func() error {
		if n := strings.Count(p.Log(), "worker started"); n < 3 {
			return fmt.Errorf("%d of its 3 roles are served", n)
		}
		return nil
	})
	return p
}

// submit starts a transfer of one file.
func (s *site) submit(name, notify string) transfer.TaskID {
	s.t.Helper()
	id, err := s.service.Submit(s.t.Context(), "", transfer.Request{
		Source: "file://here" + filepath.Join(s.tree, name), Destination: "file://here" + filepath.Join(s.tree, "copy-of-"+name),
		Owner: s.owner, Label: "beam time 7", Notify: notify, OnError: transfer.OnErrorFail,
	})
	must(s.t, err)
	return id
}

// wait waits for a task to end.
func (s *site) wait(id transfer.TaskID) transfer.Task {
	s.t.Helper()
	var task transfer.Task
	harness.Eventually(s.t, 3*time.Minute, func() (err error) {
		task, err = s.service.Task(s.t.Context(), id)
		if err == nil && task.Status != transfer.Succeeded && task.Status != transfer.Failed {
			err = fmt.Errorf("the task is %s, %s: %s", task.Status, task.Phase, task.Verdict)
		}
		return err
	})
	return task
}
