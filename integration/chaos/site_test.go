package chaos

import (
	"context"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"net/mail"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/log"

	"github.com/gridferry/gridferry/integration/globus"
	"github.com/gridferry/gridferry/integration/harness"
	"github.com/gridferry/gridferry/integration/tree"
	"github.com/gridferry/gridferry/service"
	"github.com/gridferry/gridferry/transfer"
	"github.com/gridferry/gridferry/wire/gsi/gsitest"
)

// suggest is the length of a history, in events, at which this Temporal asks
// for continue-as-new. The daemon that is tested has no knob for it.
const suggest = 24

// account is whom the servers' sessions belong to: not root, to whom nothing
// would be forbidden.
const account = "nobody"

// A site is Temporal, two GridFTP servers on hosts of their own, two workers
// that share a data directory, and a mail server.
type site struct {
	t        *testing.T
	plan     plan
	dir      string // of all that is kept when the seed fails
	mark     string // in the environment of every process
	temporal *harness.Temporal
	client   client.Client
	service  *service.Service
	net      *harness.Network
	ends     [2]*end
	workers  [2]*worker
	conf     string
	proxy    string
	mail     string // a maildir
	disk     string // the destination's, with little to spare
	made     tree.Summary
}

// An end is a server and what it serves.
type end struct {
	*harness.Process
	host   *harness.Host
	port   int
	root   string
	globus *globus.Server // nil: the server is ours
	log    *sessions
}

func (e *end) url() string {
	return fmt.Sprintf("gsiftp://%s%s/", net.JoinHostPort(e.host.Address, strconv.Itoa(e.port)), e.root)
}

// A worker is a process of the daemon.
type worker struct {
	*harness.Process
	clock   *wallClock
	down    bool // on purpose
	frozen  bool
	again   time.Time // to be started, after it ended by itself
	started int
}

func newSite(t *testing.T, p plan, dir string) *site {
	t.Helper()
	harness.NeedRoot(t, "it makes network namespaces and file systems")
	s := &site{t: t, plan: p, dir: dir, mark: fmt.Sprintf("GRIDFERRY_CHAOS=%d-%d", os.Getpid(), p.seed), net: harness.NewNetwork(t)}
	// The servers' user has to find the authorities, which are in the test's
	// directory.
	must(t, os.Chmod(filepath.Dir(t.TempDir()), 0o755))
	s.temporal = harness.NewTemporal(t, harness.TemporalOptions{Flags: []string{"-dynamic-config", fmt.Sprintf("limit.historyCount.suggestContinueAsNew=%d", suggest)}})
	var err error
	s.client, err = client.Dial(client.Options{
		HostPort: s.temporal.Address, Namespace: s.temporal.Namespace, Logger: log.NewStructuredLogger(slog.New(slog.DiscardHandler)),
	})
	must(t, err)
	t.Cleanup(s.client.Close)
	s.service = service.New(s.client, service.Options{})

	s.makeDisk()
	src := filepath.Join(dir, "src")
	must(t, os.Mkdir(src, 0o755))
	s.made, err = tree.Make(src, p.tree, nil)
	must(t, err)
	ca := gsitest.NewCA(t)
	s.ends[0] = s.serve(ca, 0, "from", src)
	s.ends[1] = s.serve(ca, 1, "to", filepath.Join(s.disk, "dst"))
	s.proxy = ca.ProxyFile(ca.Proxy(ca.User("Ada")))

	mailbox := s.mailServer()
	s.conf = filepath.Join(dir, "gridferryd.yaml")
	must(t, os.WriteFile(s.conf, fmt.Appendf(nil, `roles: [control, data]
data_dir: %q
trust_dir: %q
notify: {from: ferry@example.org, smtp: {server: %q, tls: none}}
`, filepath.Join(dir, "data"), ca.Dir, mailbox), 0o600))
	for i := range s.workers {
		s.workers[i] = &worker{}
		s.workers[i].Process = harness.Start(t, harness.Command{
			Name: fmt.Sprintf("worker-%d", i), Path: harness.Binary(t, "gridferryd"), Args: []string{"run", "--config", s.conf},
			Env: harness.Environment(append(s.temporal.Env(), "X509_USER_PROXY="+s.proxy, s.mark)...),
		})
		s.workers[i].Ready(time.Minute, func() error {
			if n := strings.Count(s.workers[i].Log(), "worker started"); n < 2 {
				return fmt.Errorf("%d of its 2 roles are served", n)
			}
			return nil
		})
		s.workers[i].takeClock(t)
	}
	return s
}

// makeDisk mounts a file system for the destination, of which the rest can be
// taken away.
func (s *site) makeDisk() {
	s.t.Helper()
	s.disk = filepath.Join(s.dir, "disk")
	must(s.t, os.Mkdir(s.disk, 0o755))
	size := 2*s.plan.tree.Bytes + 256*mib // a file may be there twice: partly, under another attempt's name
	s.run("mount", "-t", "tmpfs", "-o", fmt.Sprintf("size=%d,mode=755", size), "chaos", s.disk)
	s.t.Cleanup(func() {
		// What served it may need a moment to be gone.
		harness.Eventually(s.t, 20*time.Second, func() error {
			out, err := exec.Command("umount", s.disk).CombinedOutput()
			if err != nil {
				return fmt.Errorf("%w: %s", err, out)
			}
			return nil
		})
	})
	u, err := user.Lookup(account)
	must(s.t, err)
	dst := filepath.Join(s.disk, "dst")
	must(s.t, os.Mkdir(dst, 0o755))
	must(s.t, os.Chown(dst, number(s.t, u.Uid), number(s.t, u.Gid)))
}

func number(t *testing.T, s string) int {
	t.Helper()
	n, err := strconv.Atoi(s)
	must(t, err)
	return n
}

// serve starts the server of an end.
func (s *site) serve(ca *gsitest.CA, which int, name, root string) *end {
	s.t.Helper()
	e := &end{host: s.net.Host(name), root: root}
	if s.plan.ours != which {
		e.globus = globus.NewServer(s.t, globus.Options{
			CA: ca, Address: e.host.Address, Namespace: e.host.Namespace, Root: root, Account: account, Env: []string{s.mark},
		})
		e.Process, e.port = e.globus.Process, e.globus.Port
		e.log = &sessions{read: e.globus.SessionLogFrom, count: map[string]int{}, open: map[string]string{}}
		return e
	}
	e.port = harness.FreePort(s.t)
	cert, key := ca.PairFiles(ca.Host(e.host.Address))
	u, err := user.Current()
	must(s.t, err)
	gridmap, conf := filepath.Join(s.dir, "gridmap"), filepath.Join(s.dir, "gridftpd.yaml")
	must(s.t, os.WriteFile(gridmap, fmt.Appendf(nil, "%q %s\n", globus.Identity, u.Username), 0o600))
	// Paths are those of this machine, as at the others' server.
	must(s.t, os.WriteFile(conf, fmt.Appendf(nil, "roles: [gridftp]\ndata_dir: %q\ntrust_dir: %q\nlog: {level: debug}\ngridftp: {listen: %q, root: /, cert: %q, key: %q, gridmap: %q}\n",
		filepath.Join(s.dir, "gridftpd"), ca.Dir, net.JoinHostPort(e.host.Address, strconv.Itoa(e.port)), cert, key, gridmap), 0o600))
	e.Process = harness.Start(s.t, harness.Command{
		Name: "gridftpd", Path: harness.Binary(s.t, "gridferryd"), Args: []string{"run", "--config", conf},
		Env: harness.Environment("GLOBUS_HOSTNAME="+e.host.Address, s.mark), Namespace: e.host.Namespace,
	})
	e.Ready(time.Minute, harness.Listening(e.host.Address, e.port, "220"))
	e.log = &sessions{read: func(n int64) string { return e.Log()[n:] }, count: map[string]int{}, open: map[string]string{}}
	return e
}

// mailServer starts one that others wrote and returns its address.
func (s *site) mailServer() string {
	s.t.Helper()
	address := fmt.Sprintf("127.0.0.1:%d", harness.FreePort(s.t))
	s.mail = filepath.Join(s.dir, "mail")
	p := harness.Start(s.t, harness.Command{
		Name: "aiosmtpd", Path: harness.Need(s.t, "aiosmtpd"), Args: []string{"-n", "-c", "aiosmtpd.handlers.Mailbox", "-l", address, s.mail},
		Env: harness.Environment(s.mark),
	})
	p.Ready(time.Minute, func() error {
		conn, err := net.DialTimeout("tcp", address, time.Second)
		if err == nil {
			err = conn.Close()
		}
		return err
	})
	return address
}

// finalMails counts the mails that tell of the end, and the ids they have.
func (s *site) finalMails() (n int, ids map[string]bool) {
	s.t.Helper()
	files, err := filepath.Glob(filepath.Join(s.mail, "new", "*"))
	must(s.t, err)
	ids = make(map[string]bool)
	for _, name := range files {
		text, err := os.Open(name)
		must(s.t, err)
		m, err := mail.ReadMessage(text)
		must(s.t, err)
		text.Close()
		if subject := m.Header.Get("Subject"); strings.Contains(subject, "succeeded") || strings.Contains(subject, "failed") {
			n++
			ids[m.Header.Get("Message-Id")] = true
		}
	}
	return n, ids
}

// submit starts the transfer of the whole tree.
func (s *site) submit() transfer.TaskID {
	s.t.Helper()
	id, err := s.service.Submit(s.t.Context(), "", transfer.Request{
		Source: s.ends[0].url(), Destination: s.ends[1].url(), Recursive: true, Route: s.plan.route, Atomic: s.plan.atomic,
		PreserveTime: true, Notify: "ada@example.org",
	})
	must(s.t, err)
	return id
}

// there is how many bytes and files there are at the destination, temporary
// ones among them.
func (s *site) there() (bytes int64, files int) {
	_ = filepath.WalkDir(s.ends[1].root, func(_ string, d fs.DirEntry, err error) error {
		if err == nil && d.Type().IsRegular() {
			if info, err := d.Info(); err == nil { // else it was just renamed
				bytes += info.Size()
				files++
			}
		}
		return nil
	})
	return bytes, files
}

// task is what the service says of a task, perhaps nothing.
func (s *site) task(id transfer.TaskID) (transfer.Task, error) {
	ctx, cancel := context.WithTimeout(s.t.Context(), 5*time.Second)
	defer cancel()
	return s.service.Task(ctx, id)
}

// takeClock makes the worker's clock one that can be set.
func (w *worker) takeClock(t *testing.T) {
	t.Helper()
	// A program that has just been started may still be being loaded.
	w.Ready(10*time.Second, func() error {
		maps, err := os.ReadFile(fmt.Sprintf("/proc/%d/maps", w.PID()))
		if err == nil && !strings.Contains(string(maps), "[vdso]") {
			err = fmt.Errorf("no vDSO")
		}
		return err
	})
	w.Freeze()
	clock, err := newWallClock(w.PID())
	must(t, err)
	w.Thaw()
	w.clock = clock
	w.started++
}

// identity is what the worker calls itself at Temporal; empty before it has
// said so.
func (w *worker) identity() string {
	all := identityIn.FindAllStringSubmatch(w.Log(), -1)
	if len(all) == 0 {
		return ""
	}
	return all[len(all)-1][1]
}

var identityIn = regexp.MustCompile(`identity=(\S+)`)

func (s *site) run(name string, args ...string) {
	s.t.Helper()
	if out, err := exec.Command(name, args...).CombinedOutput(); err != nil {
		s.t.Fatalf("%s %s: %v\n%s", name, strings.Join(args, " "), err, out)
	}
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
