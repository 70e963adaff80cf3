package sftp_test

import (
	"context"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/log"

	"github.com/gridferry/gridferry/integration/harness"
	"github.com/gridferry/gridferry/integration/sftp"
	"github.com/gridferry/gridferry/integration/tree"
	"github.com/gridferry/gridferry/service"
	"github.com/gridferry/gridferry/transfer"
)

// A site is Temporal, a server behind a line, and a worker that reaches it and a
// directory of this host.
type site struct {
	t       *testing.T
	service *service.Service
	server  *sftp.Server
	line    *sftp.Line
	files   string // what the worker may reach of this host
	worker  *harness.Process
}

func newSite(t *testing.T) *site {
	t.Helper()
	temporal := harness.NewTemporal(t, harness.TemporalOptions{})
	s := &site{t: t, server: sftp.NewServer(t), files: t.TempDir()}
	s.line = sftp.NewLine(t, s.server)
	c, err := client.Dial(client.Options{
		HostPort: temporal.Address, Namespace: temporal.Namespace, Logger: log.NewStructuredLogger(slog.New(slog.DiscardHandler)),
	})
	must(t, err)
	t.Cleanup(c.Close)
	s.service = service.New(c, service.Options{})
	dir, home := t.TempDir(), t.TempDir()
	must(t, os.Mkdir(filepath.Join(home, ".ssh"), 0o700))
	known, err := os.ReadFile(s.server.KnownHosts())
	must(t, err)
	must(t, os.WriteFile(filepath.Join(home, ".ssh/known_hosts"), known, 0o600))
	conf := filepath.Join(dir, "gridferryd.yaml")
	must(t, os.WriteFile(conf, fmt.Appendf(nil, `
roles: [control, data, site]
site: here
data_dir: %q
roots: {"*": [%q]}
credentials:
  env: {owners: ["*"]}
  key: {owners: ["*"], ssh_key: %q}
  stranger: {owners: ["*"], ssh_key: %q}
endpoints:
  lab#ssh: {kind: sftp, servers: [%q], user: %q, credential: "file:key"}
  lab#root: {kind: sftp, servers: [%q], user: %q, credential: "file:key", root: %q}
  lab#closed: {kind: sftp, servers: [%q], user: %q, credential: "file:stranger"}
`, filepath.Join(dir, "data"), s.files, s.server.KeyFile(), s.server.OtherKey(),
		s.line.Addr, s.server.User, s.line.Addr, s.server.User, s.server.Files, s.line.Addr, s.server.User), 0o600))
	key, err := os.ReadFile(s.server.KeyFile())
	must(t, err)
	must(t, os.WriteFile(filepath.Join(home, ".ssh/id_ed25519"), key, 0o600))
	s.worker = harness.Start(t, harness.Command{
		Name: "worker", Path: harness.Binary(t, "gridferryd"), Args: []string{"run", "--config", conf},
		Env: harness.Environment(append(temporal.Env(), "HOME="+home, "SSH_AUTH_SOCK=")...),
	})
	s.worker.Ready(time.Minute, func() error {
		if n := strings.Count(s.worker.Log(), "worker started"); n < 3 {
			return fmt.Errorf("%d of its 3 roles are served", n)
		}
		return nil
	})
	return s
}

func (s *site) submit(req transfer.Request) transfer.TaskID {
	s.t.Helper()
	id, err := s.service.Submit(s.t.Context(), "", req)
	must(s.t, err)
	return id
}

func (s *site) wait(id transfer.TaskID) transfer.Task {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(s.t.Context(), 2*time.Minute)
	defer cancel()
	task, err := s.service.Wait(ctx, id)
	if err != nil {
		now, _ := s.service.Task(s.t.Context(), id)
		s.t.Fatalf("wait for the task: %v; it is %s, %s: %s", err, now.Status, now.Phase, now.Verdict)
	}
	return task
}

// succeeds transfers a tree, and every file of it verified.
func (s *site) succeeds(from, to string) transfer.Task {
	s.t.Helper()
	begun := time.Now()
	task := s.wait(s.submit(transfer.Request{Source: from, Destination: to, Recursive: true, PreserveTime: true}))
	if task.Status != transfer.Succeeded || task.Progress.FilesUnverified != 0 {
		s.t.Fatalf("%s to %s is %s, %d files unverified: %s", from, to, task.Status, task.Progress.FilesUnverified, task.Verdict)
	}
	s.t.Logf("%s to %s: %d files, %d MiB in %v, %d faults", from, to, task.Progress.FilesDone, task.Progress.BytesDone/mib,
		time.Since(begun).Round(time.Millisecond), task.Progress.Faults)
	return task
}

func (s *site) here(dir string) string { return "file://here" + dir }

// dir makes a directory among the site's files.
func (s *site) dir(name string) string {
	s.t.Helper()
	dir := filepath.Join(s.files, name)
	must(s.t, os.Mkdir(dir, 0o755))
	return dir
}

// same compares two trees, and the times of their files in seconds, as the
// protocol has them.
func same(t *testing.T, want, got string) {
	t.Helper()
	n, diffs, err := tree.Compare(want, got)
	must(t, err)
	for _, d := range diffs[:min(len(diffs), 20)] {
		t.Errorf("%v", d)
	}
	if n == 0 {
		t.Error("nothing was compared")
	}
	must(t, filepath.WalkDir(want, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		rel, err := filepath.Rel(want, path)
		if err != nil {
			return err
		}
		a, errA := os.Stat(path)
		b, errB := os.Stat(filepath.Join(got, rel))
		if errA != nil || errB != nil || a.ModTime().Unix() != b.ModTime().Unix() {
			t.Errorf("%s is of %v, and its copy of %v", rel, a.ModTime(), b.ModTime())
		}
		return nil
	}))
}

// age gives the files of a tree times of long ago.
func age(t *testing.T, dir string) {
	t.Helper()
	at := time.Date(2001, 2, 3, 4, 5, 6, 0, time.UTC)
	must(t, filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			at = at.Add(time.Hour)
			err = os.Chtimes(path, time.Time{}, at)
		}
		return err
	}))
}

// A tree of all sorts of files goes to the server and comes back the same, by
// URL and by name.
func TestTreesThereAndBack(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	src := s.dir("src")
	_, err := tree.Make(src, tree.Spec{Seed: 1, Files: 300, Bytes: 100 * mib, Large: []int64{0, 1, 70*mib + 1, 7 * mib}, Odd: true, Deep: 4, Empties: 3}, nil)
	must(t, err)
	age(t, src)
	url := "sftp://" + s.server.User + "@" + s.line.Addr + s.server.Files
	s.succeeds(s.here(src), url+"/in")
	same(t, src, filepath.Join(s.server.Files, "in"))
	back := s.dir("back")
	s.succeeds("lab#root:/in", s.here(back))
	same(t, src, back)

	// What is there already is not copied again, in either direction.
	for from, to := range map[string]string{s.here(src): "lab#ssh:" + s.server.Files + "/in", url + "/in": s.here(back)} {
		task := s.wait(s.submit(transfer.Request{Source: from, Destination: to, Recursive: true, Sync: transfer.SyncModified}))
		if task.Status != transfer.Succeeded || task.Progress.BytesDone > 0 && task.Progress.FilesDone != task.Progress.FilesSkipped {
			t.Errorf("a sync to %s is %s and copies: %+v", to, task.Status, task.Progress)
		}
	}

	// From there to there, and over what is there.
	s.succeeds("lab#root:/in", "lab#root:/copy")
	s.succeeds(s.here(src), "lab#root:/copy")
	same(t, src, filepath.Join(s.server.Files, "copy"))
}

// All connections are cut in the middle of a task. Files that were on them are
// looked at once more a minute later: their server may not have noticed before.
func TestTaskOnACutLine(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	src := s.dir("src")
	_, err := tree.Make(src, tree.Spec{Seed: 2, Files: 100, Bytes: 90 * mib, Large: []int64{70 * mib}, Deep: 2}, nil)
	must(t, err)
	cut := after(s.line, 10*mib, s.line.Cut)
	if task := s.succeeds(s.here(src), "lab#root:/in"); task.Progress.Faults == 0 {
		t.Error("the cut is not told of")
	}
	<-cut
	same(t, src, filepath.Join(s.server.Files, "in"))
	if left, err := filepath.Glob(filepath.Join(s.server.Files, "in", ".*gridferry*")); err != nil || len(left) > 0 {
		t.Errorf("left: %v, %v", left, err)
	}
}

// A task that is not let in waits for another credential, and says so.
func TestTaskWithAWrongKey(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	must(t, os.WriteFile(filepath.Join(s.files, "f"), []byte("x"), 0o600))
	id := s.submit(transfer.Request{Source: s.here(s.files + "/f"), Destination: "lab#closed:" + s.server.Files + "/f"})
	var task transfer.Task
	harness.Eventually(t, time.Minute, func() error {
		var err error
		if task, err = s.service.Task(t.Context(), id); err == nil && task.Status != transfer.Inactive {
			err = fmt.Errorf("the task is %s: %s", task.Status, task.Verdict)
		}
		return err
	})
	t.Log(task.Verdict)
	if !strings.Contains(task.Verdict, "does not let in") || !strings.Contains(task.Verdict, "lab#closed") {
		t.Errorf("the task says: %s", task.Verdict)
	}
	must(t, s.service.Cancel(t.Context(), id))
}
