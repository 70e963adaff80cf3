package renewal

import (
	"context"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/log"

	"github.com/gridferry/gridferry/integration/globus"
	"github.com/gridferry/gridferry/integration/harness"
	"github.com/gridferry/gridferry/integration/tree"
	"github.com/gridferry/gridferry/service"
	"github.com/gridferry/gridferry/transfer"
	"github.com/gridferry/gridferry/wire/gsi"
	"github.com/gridferry/gridferry/wire/gsi/gsitest"
)

// soak says that the bars are run at their full size.
func soak() bool { return os.Getenv("GRIDFERRY_SOAK") != "" }

// proxyLife is how long the proxies live. The last half a minute of one begins
// nothing new.
func proxyLife() time.Duration {
	if soak() {
		return time.Minute
	}
	return 50 * time.Second
}

const (
	mib = 1 << 20

	// lineRate is that of the source's line, in bytes a second.
	lineRate = 3 * mib
)

// treeSpec is what the source has: for four minutes, or for somewhat more than
// two proxies.
func treeSpec() tree.Spec {
	spec := tree.Spec{Seed: 3, Files: 300, Bytes: 300 * mib, Large: []int64{80 * mib}}
	if soak() {
		spec.Files, spec.Bytes = 700, 720*mib
	}
	return spec
}

// A site is Temporal, two GridFTP servers on hosts of their own, a daemon with a
// vault, and somebody's mail server.
type site struct {
	t         *testing.T
	service   *service.Service
	src, dst  *globus.Server
	daemon    *harness.Process
	ca        *gsitest.CA
	env       []string // of the command
	gridferry string
	owner     string
}

// newSite makes a site; notify is that section of the daemon's configuration.
func newSite(t *testing.T, notify string) *site {
	t.Helper()
	// Programs are built now: a proxy must not wait for that.
	gridferry, gridferryd := harness.Binary(t, "gridferry"), harness.Binary(t, "gridferryd")
	network := harness.NewNetwork(t)
	from, to := network.Host("from"), network.Host("to")
	s := &site{t: t, ca: gsitest.NewCA(t), gridferry: gridferry}
	s.src = globus.NewServer(t, globus.Options{CA: s.ca, Address: from.Address, Namespace: from.Namespace})
	s.dst = globus.NewServer(t, globus.Options{CA: s.ca, Address: to.Address, Namespace: to.Namespace})
	_, err := tree.Make(s.src.Root, treeSpec(), nil)
	must(t, err)
	from.Limit(lineRate)

	temporal := harness.NewTemporal(t, harness.TemporalOptions{})
	c, err := client.Dial(client.Options{
		HostPort: temporal.Address, Namespace: temporal.Namespace, Logger: log.NewStructuredLogger(slog.New(slog.DiscardHandler)),
	})
	must(t, err)
	t.Cleanup(c.Close)
	s.service = service.New(c, service.Options{})
	u, err := user.Current()
	must(t, err)
	s.owner = u.Username

	socket := filepath.Join(t.TempDir(), "api.sock")
	conf := filepath.Join(t.TempDir(), "gridferryd.yaml")
	// One activation is for both ends: they are of one domain.
	must(t, os.WriteFile(conf, fmt.Appendf(nil, `
roles: [control, data]
data_dir: %q
trust_dir: %q
endpoints:
  lab#from: {kind: gridftp, servers: [%q], domain: lab}
  lab#to: {kind: gridftp, servers: [%q], domain: lab}
api: {socket: %q}
notify: {from: ferry@example.org, %s}
`, t.TempDir(), s.ca.Dir, s.src.Addr(), s.dst.Addr(), socket, notify), 0o600))
	s.daemon = harness.Start(t, harness.Command{
		Name: "gridferryd", Path: gridferryd, Args: []string{"run", "--config", conf},
		Env: harness.Environment(append(temporal.Env(), "X509_USER_PROXY=/nonexistent/proxy")...),
	})
	s.serves(1)
	s.env = harness.Environment(append(temporal.Env(), "GRIDFERRY_SERVICE=unix:"+socket)...)
	return s
}

// serves waits until the daemon serves its queues, having been started so often.
func (s *site) serves(starts int) {
	s.t.Helper()
	s.daemon.Ready(time.Minute, func() error {
		if n := strings.Count(s.daemon.Log(), "worker started"); n < 2*starts {
			return fmt.Errorf("%d of its 2 roles are served", n-2*(starts-1))
		}
		return nil
	})
}

// activate gives the daemon a fresh proxy and returns when that will end.
func (s *site) activate() time.Time {
	s.t.Helper()
	proxy, err := s.ca.User("Ada").NewProxy(gsi.ProxyOptions{Lifetime: proxyLife()})
	must(s.t, err)
	cmd := exec.Command(s.gridferry, "endpoint", "activate", "lab#from", "--proxy-file", s.ca.ProxyFile(proxy))
	cmd.Env = s.env
	if out, err := cmd.CombinedOutput(); err != nil {
		s.t.Fatalf("activate: %v\n%s", err, out)
	}
	return proxy.NotAfter()
}

func (s *site) submit() transfer.TaskID {
	s.t.Helper()
	id, err := s.service.Submit(s.t.Context(), "", transfer.Request{
		Source: "lab#from:" + s.src.Root + "/", Destination: "lab#to:" + s.dst.Root + "/", Recursive: true, Owner: s.owner, Notify: "ada@example.org",
	})
	must(s.t, err)
	return id
}

// becomes waits for a status.
func (s *site) becomes(id transfer.TaskID, limit time.Duration, want transfer.Status) transfer.Task {
	s.t.Helper()
	var task transfer.Task
	harness.Eventually(s.t, limit, func() (err error) {
		if task, err = s.service.Task(s.t.Context(), id); err == nil && task.Status != want {
			err = fmt.Errorf("the task is %s, not %s: %s", task.Status, want, task.Verdict)
		}
		return err
	})
	return task
}

// arrived are the files that are there, with how often each was sent.
func (s *site) arrived() map[string]int {
	s.t.Helper()
	done := make(map[string]int)
	err := filepath.WalkDir(s.dst.Root, func(path string, d fs.DirEntry, err error) error {
		if err == nil && d.Type().IsRegular() && !transfer.IsTempName(d.Name()) {
			done[strings.TrimPrefix(path, s.dst.Root)] = 0
		}
		return err
	})
	must(s.t, err)
	for _, tr := range s.src.Transfers() {
		name := strings.TrimPrefix(tr.File, s.src.Root)
		if n, ok := done[name]; ok && (tr.Type == "RETR" || tr.Type == "ERET") && tr.Bytes > 0 {
			done[name] = n + 1
		}
	}
	return done
}

// sentOfLarge is how many bytes of the one file of that size were sent.
func (s *site) sentOfLarge(size int64) (sent int64) {
	s.t.Helper()
	err := filepath.WalkDir(s.src.Root, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		if info, err := d.Info(); err != nil || info.Size() != size {
			return err
		}
		sent += s.src.Moved("RETR", path) + s.src.Moved("ERET", path)
		return nil
	})
	must(s.t, err)
	return sent
}

// commands counts what both servers were told.
func (s *site) commands() int {
	return strings.Count(s.src.SessionLog(), "[CLIENT]: ") + strings.Count(s.dst.SessionLog(), "[CLIENT]: ")
}

func (s *site) events(id transfer.TaskID, code transfer.EventCode) (n int) {
	s.t.Helper()
	e, err := s.service.Events(s.t.Context(), id, transfer.Page{Limit: 1000})
	must(s.t, err)
	for _, e := range e.Events {
		if e.Code == code {
			n++
		}
	}
	return n
}

// same compares both trees byte for byte.
func (s *site) same() {
	s.t.Helper()
	equal, diffs, err := tree.Compare(s.src.Root, s.dst.Root)
	must(s.t, err)
	if equal == 0 || len(diffs) > 0 {
		s.t.Errorf("%d files are equal; %v", equal, diffs[:min(len(diffs), 10)])
	}
}

// A mailbox is a mail server that others wrote (aiosmtpd).
type mailbox struct {
	t       *testing.T
	address string
	dir     string
}

func newMailbox(t *testing.T) *mailbox {
	t.Helper()
	m := &mailbox{t: t, dir: filepath.Join(t.TempDir(), "mail"), address: fmt.Sprintf("127.0.0.1:%d", harness.FreePort(t))}
	p := harness.Start(t, harness.Command{
		Name: "aiosmtpd", Path: harness.Need(t, "aiosmtpd"), Args: []string{"-n", "-c", "aiosmtpd.handlers.Mailbox", "-l", m.address, m.dir},
		Env: harness.Environment(),
	})
	p.Ready(time.Minute, func() error {
		conn, err := net.DialTimeout("tcp", m.address, time.Second)
		if err == nil {
			err = conn.Close()
		}
		return err
	})
	return m
}

// mails counts those that tell of a suspension.
func (m *mailbox) mails() (inactive int) {
	m.t.Helper()
	files, err := filepath.Glob(filepath.Join(m.dir, "new", "*"))
	must(m.t, err)
	for _, name := range files {
		text, err := os.ReadFile(name)
		must(m.t, err)
		if strings.Contains(string(text), "INACTIVE") {
			inactive++
		}
	}
	return inactive
}

// A sendGrid is a double of the mail service's API.
type sendGrid struct {
	*httptest.Server
	mu       sync.Mutex
	inactive int
}

func newSendGrid(t *testing.T) *sendGrid {
	g := &sendGrid{}
	g.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(io.LimitReader(r.Body, mib))
		if err != nil {
			w.WriteHeader(http.StatusBadRequest)
			return
		}
		g.mu.Lock()
		defer g.mu.Unlock()
		if strings.Contains(string(body), "INACTIVE") {
			g.inactive++
		}
		w.WriteHeader(http.StatusAccepted)
	}))
	t.Cleanup(g.Close)
	return g
}

func (g *sendGrid) mails() int {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.inactive
}

// until sleeps until a moment, or the end of the test.
func until(ctx context.Context, at time.Time) {
	select {
	case <-ctx.Done():
	case <-time.After(time.Until(at)):
	}
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
