package notify

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/gridferry/gridferry/integration/harness"
	"github.com/gridferry/gridferry/integration/host"
	"github.com/gridferry/gridferry/transfer"
)

// A site is a host whose daemon tells of tasks, and which has a file to move.
type site struct {
	*host.Host
	t *testing.T
}

// newSite makes a site; notify is that section of its configuration.
func newSite(t *testing.T, notify string) *site {
	t.Helper()
	s := &site{t: t, Host: host.New(t, host.Config{
		TrustDir: t.TempDir(),
		More:     fmt.Sprintf("temporal: {ui: http://temporal.example.org:8233}\nnotify: {%s}\n", notify),
	})}
	must(t, os.WriteFile(filepath.Join(s.Files, "results.dat"), []byte("42\n"), 0o600))
	return s
}

// submit starts a transfer of one file.
func (s *site) submit(name, notify string) transfer.TaskID {
	s.t.Helper()
	path := filepath.Join(s.Files, name)
	return s.Submit(s.t, transfer.Request{
		Source: host.Here(path), Destination: host.Here(path + ".copy"),
		Owner: "ada", Label: "beam time 7", Notify: notify, OnError: transfer.OnErrorFail,
	})
}

// ended waits for what the owner is told of; the workflow goes on until he is.
func (s *site) ended(id transfer.TaskID) transfer.Task {
	s.t.Helper()
	var task transfer.Task
	harness.Eventually(s.t, 3*time.Minute, func() (err error) {
		task, err = s.Service.Task(s.t.Context(), id)
		if err == nil && task.Status != transfer.Succeeded && task.Status != transfer.Failed {
			err = fmt.Errorf("the task is %s, %s: %s", task.Status, task.Phase, task.Verdict)
		}
		return err
	})
	return task
}
