package secrets

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/gridferry/gridferry/integration/globus"
	"github.com/gridferry/gridferry/integration/harness"
	"github.com/gridferry/gridferry/integration/myproxy"
	"github.com/gridferry/gridferry/service"
	"github.com/gridferry/gridferry/transfer"
	"github.com/gridferry/gridferry/wire/gsi/gsitest"
)

// A site has one daemon that takes credentials, one that moves data and has no
// store, two GridFTP servers, a MyProxy server, and Temporal.
type site struct {
	t        *testing.T
	ca       *gsitest.CA
	temporal *harness.Temporal
	database string // Temporal's
	myproxy  *myproxy.Server
	src, dst *globus.Server
	control  *harness.Process
	worker   *harness.Process
	data     string // the control daemon's directory
	own      string // the worker's
	socket   string
	command  string // its program
	tasks    *service.Service
	said     []string // by commands
}

// The endpoints. Each is a security domain of its own.
const (
	viaMyProxy = "lab#myproxy"
	viaProxy   = "lab#proxy"
	viaSigned  = "lab#signed"
	unready    = "lab#unready" // whose MyProxy server does not answer
)

func newSite(t *testing.T) *site {
	t.Helper()
	s := &site{t: t, ca: gsitest.NewCA(t), data: t.TempDir(), own: t.TempDir(), command: harness.Binary(t, "gridferry")}
	s.temporal = harness.NewTemporal(t, harness.TemporalOptions{})
	s.tasks = service.New(s.temporal.Client(), service.Options{Namespace: s.temporal.Namespace})
	s.database = argument(t, s.temporal.PID(), "-db")
	s.myproxy = myproxy.NewServer(t, myproxy.Options{CA: s.ca})
	s.src, s.dst = globus.NewServer(t, globus.Options{CA: s.ca}), globus.NewServer(t, globus.Options{CA: s.ca})

	open, err := os.MkdirTemp("", "secrets") // the name of a socket is short
	must(t, err)
	t.Cleanup(func() { os.RemoveAll(open) })
	s.socket = filepath.Join(open, "api.sock")
	port := harness.FreePort(t)
	cert, key := s.ca.PairFiles(s.ca.Host())
	s.control = s.start("control", fmt.Sprintf(`
roles: [control]
data_dir: %q
trust_dir: %q
log: {level: debug}
notify: {stdout: true, owners: {"*": "ada@example.org"}}
endpoints:
  %s: {kind: gridftp, servers: [%q], myproxy: %q}
  %s: {kind: gridftp, servers: [%q]}
  %s: {kind: gridftp, servers: [%q]}
  %s: {kind: gridftp, servers: [%q], myproxy: "127.0.0.1:1"}
api:
  socket: %q
  listen: "127.0.0.1:%d"
  cert: %q
  key: %q
  movers: [/O=Test/CN=mover.example.org]
`, s.data, s.ca.Dir, viaMyProxy, s.src.Addr(), s.myproxy.Addr(), viaProxy, s.src.Addr(), viaSigned, s.dst.Addr(), unready, s.src.Addr(),
		s.socket, port, cert, key))
	mover := s.ca.User("mover.example.org")
	cert, key = s.ca.PairFiles(mover)
	s.worker = s.start("worker", fmt.Sprintf(`
roles: [data]
data_dir: %q
trust_dir: %q
log: {level: debug}
service: {url: "https://localhost:%d", cert: %q, key: %q}
`, s.own, s.ca.Dir, port, cert, key))
	return s
}

func (s *site) start(name, conf string) *harness.Process {
	s.t.Helper()
	path := filepath.Join(s.t.TempDir(), name+".yaml")
	must(s.t, os.WriteFile(path, []byte(conf), 0o600))
	p := harness.Start(s.t, harness.Command{
		Name: name, Path: harness.Binary(s.t, "gridferryd"), Args: []string{"run", "--config", path},
		Env: harness.Environment(append(s.temporal.Env(), "X509_USER_PROXY=/nonexistent/proxy")...),
	})
	p.Ready(time.Minute, func() error {
		if !strings.Contains(p.Log(), "worker started") {
			return errors.New("it serves no queue")
		}
		return nil
	})
	return p
}

// argument is what a process was given for a flag.
func argument(t *testing.T, pid int, flag string) string {
	t.Helper()
	line, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
	must(t, err)
	_, rest, ok := strings.Cut(string(line), "\x00"+flag+"\x00")
	if !ok {
		t.Fatalf("%q has no %s", line, flag)
	}
	value, _, _ := strings.Cut(rest, "\x00")
	return value
}

// keyset is where the sealing key is.
func (s *site) keyset() string { return filepath.Join(s.data, "vault.keyset") }

// run runs the command, keeps what it says, and returns that and the exit code.
func (s *site) run(stdin string, args ...string) (output string, code int) {
	s.t.Helper()
	cmd := exec.Command(s.command, args...)
	cmd.Stdin = strings.NewReader(stdin)
	cmd.Env = harness.Environment(append(s.temporal.Env(), "GRIDFERRY_SERVICE=unix:"+s.socket, "X509_CERT_DIR="+s.ca.Dir)...)
	out, err := cmd.CombinedOutput()
	if exit := new(exec.ExitError); err != nil && !errors.As(err, &exit) {
		s.t.Fatalf("gridferry: %v", err)
	}
	s.said = append(s.said, string(out))
	return string(out), cmd.ProcessState.ExitCode()
}

// good is run for what must succeed.
func (s *site) good(stdin string, args ...string) {
	s.t.Helper()
	if said, code := s.run(stdin, args...); code != 0 {
		s.t.Fatalf("gridferry %s ended with %d: %s", strings.Join(args[:min(2, len(args))], " "), code, said)
	}
}

// submit starts a transfer between two locations.
func (s *site) submit(label, source, destination string) transfer.TaskID {
	s.t.Helper()
	id := uuid.NewString()
	s.good("", "transfer", "-r", source, destination, "--task-id", id, "--label", label, "--fail-fast")
	return transfer.TaskID(id)
}

// becomes waits for a status.
func (s *site) becomes(id transfer.TaskID, want transfer.Status) {
	s.t.Helper()
	harness.Eventually(s.t, time.Minute, func() error {
		task, err := s.tasks.Task(s.t.Context(), id)
		if err == nil && task.Status != want {
			err = fmt.Errorf("task %s is %s, not %s: %s", id, task.Status, want, task.Verdict)
		}
		return err
	})
}

// account is whose tasks and credentials they are.
func account(t *testing.T) string {
	t.Helper()
	u, err := user.Current()
	must(t, err)
	return u.Username
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
