package sftp_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/gridferry/gridferry/integration/harness"
	"github.com/gridferry/gridferry/integration/host"
	"github.com/gridferry/gridferry/integration/sftp"
	"github.com/gridferry/gridferry/integration/tree"
	"github.com/gridferry/gridferry/transfer"
)

// A site is a host with a worker that reaches a server behind a line.
type site struct {
	*host.Host
	t      *testing.T
	server *sftp.Server
	line   *sftp.Line
}

func newSite(t *testing.T) *site {
	t.Helper()
	s := &site{t: t, server: sftp.NewServer(t)}
	s.line = sftp.NewLine(t, s.server)
	home := t.TempDir()
	must(t, os.Mkdir(filepath.Join(home, ".ssh"), 0o700))
	for to, from := range map[string]string{"known_hosts": s.server.KnownHosts(), "id_ed25519": s.server.KeyFile()} {
		text, err := os.ReadFile(from)
		must(t, err)
		must(t, os.WriteFile(filepath.Join(home, ".ssh", to), text, 0o600))
	}
	at := fmt.Sprintf("kind: sftp, servers: [%q], user: %q", s.line.Addr, s.server.User)
	s.Host = host.New(t, host.Config{
		Credentials: fmt.Sprintf(`
  env: {owners: ["*"]}
  key: {owners: ["*"], ssh_key: %q}
  stranger: {owners: ["*"], ssh_key: %q}
`, s.server.KeyFile(), s.server.OtherKey()),
		Endpoints: fmt.Sprintf(`
  lab#ssh: {%s, credential: "file:key"}
  lab#root: {%s, credential: "file:key", root: %q}
  lab#closed: {%s, credential: "file:stranger"}
`, at, at, s.server.Files, at),
	})
	s.Daemon(t, "worker", "HOME="+home, "SSH_AUTH_SOCK=")
	return s
}

// succeeds transfers a tree, and every file of it verified.
func (s *site) succeeds(from, to string) transfer.Task {
	s.t.Helper()
	return s.Succeeds(s.t, transfer.Request{Source: from, Destination: to, Recursive: true, PreserveTime: true})
}

// dir makes a directory among the site's files.
func (s *site) dir(name string) string {
	s.t.Helper()
	dir := filepath.Join(s.Files, name)
	must(s.t, os.Mkdir(dir, 0o755))
	return dir
}

// same compares two trees, and the times of their files in seconds, as the
// protocol has them.
func same(t *testing.T, want, got string) {
	t.Helper()
	harness.SameTree(t, want, got)
	harness.SameTimes(t, want, got, time.Second)
}

// A tree of all sorts of files goes to the server and comes back the same, by
// URL and by name.
func TestTreesThereAndBack(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	src := s.dir("src")
	_, err := tree.Make(src, tree.Spec{Seed: 1, Files: 300, Bytes: 100 * mib, Large: []int64{0, 1, 70*mib + 1, 7 * mib}, Odd: true, Deep: 4, Empties: 3}, nil)
	must(t, err)
	harness.Age(t, src, time.Date(2001, 2, 3, 4, 5, 6, 0, time.UTC))
	url := "sftp://" + s.server.User + "@" + s.line.Addr + s.server.Files
	s.succeeds(host.Here(src), url+"/in")
	same(t, src, filepath.Join(s.server.Files, "in"))
	back := s.dir("back")
	s.succeeds("lab#root:/in", host.Here(back))
	same(t, src, back)

	// What is there already is not copied again, in either direction.
	for from, to := range map[string]string{host.Here(src): "lab#ssh:" + s.server.Files + "/in", url + "/in": host.Here(back)} {
		task := s.Transfer(t, transfer.Request{Source: from, Destination: to, Recursive: true, Sync: transfer.SyncModified})
		if task.Status != transfer.Succeeded || task.Progress.BytesDone > 0 && task.Progress.FilesDone != task.Progress.FilesSkipped {
			t.Errorf("a sync to %s is %s and copies: %+v", to, task.Status, task.Progress)
		}
	}

	// From there to there, and over what is there.
	s.succeeds("lab#root:/in", "lab#root:/copy")
	s.succeeds(host.Here(src), "lab#root:/copy")
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
	cut := s.line.After(10*mib, s.line.Cut)
	if task := s.succeeds(host.Here(src), "lab#root:/in"); task.Progress.Faults == 0 {
		t.Error("the cut is not told of")
	}
	<-cut
	same(t, src, filepath.Join(s.server.Files, "in"))
	if left, err := filepath.Glob(filepath.Join(s.server.Files, "in", ".*gridferry*")); err != nil || len(left) > 0 {
		t.Errorf("left: %v, %v", left, err)
	}
}

// On the way back it is the source that fails, and the worker writes to its own
// disk.
func TestTaskBackOnACutLine(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	src, back := filepath.Join(s.server.Files, "src"), s.dir("back")
	must(t, os.Mkdir(src, 0o755))
	_, err := tree.Make(src, tree.Spec{Seed: 2, Files: 100, Bytes: 90 * mib, Large: []int64{70 * mib}, Deep: 2}, nil)
	must(t, err)
	cut := s.line.After(10*mib, s.line.Cut)
	if task := s.succeeds("lab#root:/src", host.Here(back)); task.Progress.Faults == 0 {
		t.Error("the cut is not told of")
	}
	<-cut
	same(t, src, back)
}

// A task that is not let in waits for another credential, and says so.
func TestTaskWithAWrongKey(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	must(t, os.WriteFile(filepath.Join(s.Files, "f"), []byte("x"), 0o600))
	id := s.Submit(t, transfer.Request{Source: host.Here(s.Files + "/f"), Destination: "lab#closed:" + s.server.Files + "/f"})
	var task transfer.Task
	harness.Eventually(t, time.Minute, func() error {
		var err error
		if task, err = s.Service.Task(t.Context(), id); err == nil && task.Status != transfer.Inactive {
			err = fmt.Errorf("the task is %s: %s", task.Status, task.Verdict)
		}
		return err
	})
	for _, word := range []string{"does not let in", "lab#closed", "authorized_keys", "put that right"} {
		if !strings.Contains(task.Verdict, word) {
			t.Errorf("the task does not say %q: %s", word, task.Verdict)
		}
	}
	if strings.Contains(task.Verdict, "endpoint activate") {
		t.Errorf("nobody can activate a key: %s", task.Verdict)
	}
	must(t, s.Service.Cancel(t.Context(), id))
}
