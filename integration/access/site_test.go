package access

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/gridferry/gridferry/integration/globus"
	"github.com/gridferry/gridferry/integration/harness"
	"github.com/gridferry/gridferry/integration/tree"
	"github.com/gridferry/gridferry/transfer"
	"github.com/gridferry/gridferry/wire/gsi"
	"github.com/gridferry/gridferry/wire/gsi/gsitest"
)

// A site has GridFTP servers at two organisations, each of which believes its
// own authority only and knows its users by its own names, and one daemon
// without any credential.
type site struct {
	t            *testing.T
	temporal     *harness.Temporal
	northCA      *gsitest.CA
	southCA      *gsitest.CA
	north, south *globus.Server // "north#dtn" and "south#dtn"
	daemon       *harness.Process
	open         string // a directory that every user may enter: the socket, the command
	gridferry    string
	data         string // the daemon's
	conf         string // its configuration file
}

// The accounts that type commands; Debian has both.
const (
	ada = "nobody"
	bob = "daemon"
)

// Who they are to the servers.
const (
	northAda = "/O=North/CN=Ada"
	northBob = "/O=North/CN=Bob"
	southAda = "/O=South/CN=Countess of Lovelace"
)

// options are more lines of the daemon's configuration.
type options struct {
	api       []string // below "api:"
	endpoints []string // below "endpoints:"
}

// newSite starts everything.
func newSite(t *testing.T, o func(*site) options) *site {
	t.Helper()
	harness.NeedRoot(t, "commands are typed by several users")
	s := &site{t: t, temporal: harness.NewTemporal(t, harness.TemporalOptions{}), northCA: gsitest.NewCAOf(t, "North"), southCA: gsitest.NewCAOf(t, "South")}
	s.north = globus.NewServer(t, globus.Options{CA: s.northCA, Identities: []string{northAda, northBob}})
	s.south = globus.NewServer(t, globus.Options{CA: s.southCA, Identities: []string{southAda}})

	// Directories of t.TempDir are for their owner alone.
	var err error
	s.open, err = os.MkdirTemp("", "access")
	must(t, err)
	t.Cleanup(func() { os.RemoveAll(s.open) })
	must(t, os.Chmod(s.open, 0o755))
	s.gridferry = filepath.Join(s.open, "gridferry")
	program, err := os.ReadFile(harness.Binary(t, "gridferry"))
	must(t, err)
	must(t, os.WriteFile(s.gridferry, program, 0o755))

	trust := t.TempDir() // of both authorities
	for _, ca := range []*gsitest.CA{s.northCA, s.southCA} {
		must(t, os.CopyFS(trust, os.DirFS(ca.Dir)))
	}
	var more options
	if o != nil {
		more = o(s)
	}
	s.conf = filepath.Join(t.TempDir(), "gridferryd.yaml")
	s.data = t.TempDir()
	must(t, os.WriteFile(s.conf, fmt.Appendf(nil, `
roles: [control, data]
data_dir: %q
trust_dir: %q
endpoints:
  north#dtn: {kind: gridftp, servers: [%q]}
  south#dtn: {kind: gridftp, servers: [%q]}
  %s
api:
  socket: %s
  %s
`, s.data, trust, s.north.Addr(), s.south.Addr(), strings.Join(more.endpoints, "\n  "), s.socket(), strings.Join(more.api, "\n  ")), 0o600))
	s.daemon = s.start("gridferryd")
	return s
}

// start starts a daemon on the site's store, without any credential.
func (s *site) start(name string) *harness.Process {
	s.t.Helper()
	p := harness.Start(s.t, harness.Command{
		Name: name, Path: harness.Binary(s.t, "gridferryd"), Args: []string{"run", "--config", s.conf},
		// A variable that is set is binding: not even root's own proxy counts.
		Env: harness.Environment(append(s.temporal.Env(), "X509_USER_PROXY=/nonexistent/proxy")...),
	})
	p.Ready(time.Minute, func() error {
		if n := strings.Count(p.Log(), "worker started"); n < 2 {
			return fmt.Errorf("%d of its 2 roles are served", n)
		}
		return nil
	})
	return p
}

func (s *site) socket() string { return filepath.Join(s.open, "socket", "api.sock") }

// A result is how a command ended.
type result struct {
	stdout, stderr string
	code           int
}

// as runs the command as another user of this host, who finds the daemon at
// its socket, and whose proxy is in a file of his own.
func (s *site) as(name string, proxy *gsi.Credential, args ...string) result {
	s.t.Helper()
	return s.typed(name, proxy, "", args...)
}

// typed is as with something on standard input.
func (s *site) typed(name string, proxy *gsi.Credential, stdin string, args ...string) result {
	s.t.Helper()
	uid, gid := account(s.t, name)
	file := "/nonexistent/proxy"
	if proxy != nil {
		file = s.proxyFile(proxy, name)
	}
	cmd := exec.Command(s.gridferry, args...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}}
	cmd.Env = harness.Environment(append(s.temporal.Env(), "GRIDFERRY_SERVICE=unix:"+s.socket(), "X509_USER_PROXY="+file)...)
	cmd.Dir, cmd.Stdin = "/", strings.NewReader(stdin)
	return s.run(cmd)
}

func account(t *testing.T, name string) (uid, gid int) {
	t.Helper()
	u, err := user.Lookup(name)
	must(t, err)
	uid, err = strconv.Atoi(u.Uid)
	must(t, err)
	gid, err = strconv.Atoi(u.Gid)
	must(t, err)
	return uid, gid
}

// proxyFile is a file with a proxy, which is a user's own.
func (s *site) proxyFile(proxy *gsi.Credential, name string) string {
	s.t.Helper()
	uid, gid := account(s.t, name)
	file := filepath.Join(s.open, "proxy-"+uuid.NewString())
	must(s.t, proxy.SaveProxy(file))
	must(s.t, os.Chown(file, uid, gid))
	return file
}

func (s *site) run(cmd *exec.Cmd) result {
	s.t.Helper()
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	err := cmd.Run()
	if exit := new(exec.ExitError); err != nil && !errors.As(err, &exit) {
		s.t.Fatalf("%s: %v", strings.Join(cmd.Args, " "), err)
	}
	return result{stdout.String(), stderr.String(), cmd.ProcessState.ExitCode()}
}

// good fails the test unless a command has succeeded, and returns what it said.
func (s *site) good(r result) string {
	s.t.Helper()
	if r.code != 0 {
		s.t.Fatalf("exit code %d: %s%s", r.code, r.stdout, r.stderr)
	}
	return r.stdout
}

// submit starts a transfer of a tree.
func (s *site) submit(name, source, destination string) transfer.TaskID {
	s.t.Helper()
	id := uuid.NewString()
	s.good(s.as(name, nil, "transfer", "-r", source, destination, "--task-id", id))
	return transfer.TaskID(id)
}

// task is what a user sees of a task.
func (s *site) task(name string, id transfer.TaskID) transfer.Task {
	s.t.Helper()
	var task transfer.Task
	must(s.t, json.Unmarshal([]byte(s.good(s.as(name, nil, "details", string(id), "--json"))), &task))
	return task
}

// becomes waits for a status.
func (s *site) becomes(name string, id transfer.TaskID, want transfer.Status) transfer.Task {
	s.t.Helper()
	var task transfer.Task
	harness.Eventually(s.t, 2*time.Minute, func() error {
		if task = s.task(name, id); task.Status != want {
			return fmt.Errorf("task %s of %s is %s, not %s: %s", id, name, task.Status, want, task.Verdict)
		}
		return nil
	})
	return task
}

// fill makes a small tree at a server and returns its name there.
func fill(t *testing.T, s *globus.Server, name string) {
	t.Helper()
	must(t, os.Mkdir(s.Path(name), 0o755))
	_, err := tree.Make(s.Path(name), tree.Spec{Seed: 7, Files: 40, Bytes: 4 << 20}, nil)
	must(t, err)
}

// same compares two trees byte for byte.
func same(t *testing.T, a, b string) {
	t.Helper()
	equal, diffs, err := tree.Compare(a, b)
	must(t, err)
	if equal == 0 || len(diffs) > 0 {
		t.Errorf("%d files are equal; %v", equal, diffs)
	}
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
