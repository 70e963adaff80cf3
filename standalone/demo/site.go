package demo

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/url"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/google/uuid"
	"go.temporal.io/api/enums/v1"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/log"

	"github.com/gridferry/gridferry/service"
	"github.com/gridferry/gridferry/standalone/temporal"
	"github.com/gridferry/gridferry/starter"
	"github.com/gridferry/gridferry/transfer"
	"github.com/gridferry/gridferry/wire/gsi"
	"github.com/gridferry/gridferry/workflows"
)

// A site is what a facility would run, on loopback: Temporal in this process,
// and the daemon in processes of its own, with configuration files of the kind
// that an operator writes.
type site struct {
	temporal     *temporal.Server
	client       client.Client
	source, dest *server
	worker       *daemon
	died         chan error // a daemon ended by itself

	work, trust, proxy string
}

// A server is a GridFTP server that is a daemon.
type server struct {
	*daemon
	port int
}

func (s *server) url(path string) string { return fmt.Sprintf("gsiftp://localhost:%d%s", s.port, path) }

// readyWithin bounds the start of each part.
const readyWithin = time.Minute

func (d *demo) startSite(ctx context.Context) (*site, error) {
	s := &site{work: d.work, died: make(chan error, 3)}
	if err := s.start(ctx, d); err != nil {
		s.stop()
		return nil, err
	}
	return s, nil
}

func (s *site) start(ctx context.Context, d *demo) error {
	d.say("Starting Temporal and its Web UI.")
	if err := s.startTemporal(ctx); err != nil {
		return err
	}
	d.say("Temporal is at %s, its Web UI at %s.", s.temporal.Address(), s.temporal.UI())
	d.say("Starting two GridFTP servers, with host certificates of a throw-away authority.")
	if err := s.issue(); err != nil {
		return err
	}
	var err error
	if s.source, err = s.startServer(d, "source", d.Source, true); err != nil {
		return err
	}
	if s.dest, err = s.startServer(d, "destination", d.Destination, false); err != nil {
		return err
	}
	d.say("Starting a worker.")
	s.worker, err = s.startDaemon(d, "worker", fmt.Sprintf("roles: [control, data]\ndata_dir: %q\ntrust_dir: %q\ntemporal: {ui: %q}\nnotify: {stdout: true}\n",
		filepath.Join(s.work, "state"), s.trust, s.temporal.UI()),
		"TEMPORAL_ADDRESS="+s.temporal.Address(), "TEMPORAL_NAMESPACE="+s.temporal.Namespace(), "X509_USER_PROXY="+s.proxy)
	return err
}

func (s *site) startTemporal(ctx context.Context) (err error) {
	attributes := make(map[string]enums.IndexedValueType)
	for _, name := range workflows.Attributes() {
		attributes[name] = enums.INDEXED_VALUE_TYPE_KEYWORD
	}
	// The ports that Temporal's tools try by themselves, where they are free.
	s.temporal, err = temporal.Start(ctx, temporal.Options{
		File: filepath.Join(s.work, "temporal.db"), Port: port(7233), UIPort: port(8233), SearchAttributes: attributes, LogLevel: "error",
	})
	if err != nil {
		return err
	}
	s.client, err = client.DialContext(ctx, client.Options{
		HostPort: s.temporal.Address(), Namespace: s.temporal.Namespace(), Logger: log.NewStructuredLogger(slog.New(slog.DiscardHandler)),
	})
	return err
}

// issue makes the authority, and certificates for the hosts and for one user.
func (s *site) issue() error {
	authority, err := gsi.NewAuthority("gridferry demo")
	if err != nil {
		return err
	}
	s.trust = filepath.Join(s.work, "certificates")
	if err := authority.WriteTrustDir(s.trust); err != nil {
		return err
	}
	host, err := authority.Host("localhost", "127.0.0.1", "::1")
	if err != nil {
		return err
	}
	if err := host.SavePair(s.path("host.cert"), s.path("host.key")); err != nil {
		return err
	}
	person, err := authority.User("Ada")
	if err != nil {
		return err
	}
	proxy, err := person.NewProxy(gsi.ProxyOptions{Lifetime: 12 * time.Hour})
	if err != nil {
		return err
	}
	s.proxy = s.path("proxy.pem")
	if err := proxy.SaveProxy(s.proxy); err != nil {
		return err
	}
	account, err := user.Current()
	if err != nil {
		return err
	}
	return os.WriteFile(s.path("gridmap"), []byte(fmt.Sprintf("%q %s\n", person.Identity(), account.Username)), 0o644)
}

func (s *site) path(name string) string { return filepath.Join(s.work, name) }

func (s *site) startServer(d *demo, name, root string, readOnly bool) (*server, error) {
	srv := &server{port: port(0)}
	var conf strings.Builder
	fmt.Fprintf(&conf, "roles: [gridftp]\ndata_dir: %q\ntrust_dir: %q\n", s.path(name+"-state"), s.trust)
	fmt.Fprintf(&conf, "gridftp:\n  listen: 127.0.0.1:%d\n  cert: %q\n  key: %q\n  gridmap: %q\n  root: %q\n  read_only: %t\n",
		srv.port, s.path("host.cert"), s.path("host.key"), s.path("gridmap"), root, readOnly)
	var err error
	if srv.daemon, err = s.startDaemon(d, name, conf.String()); err != nil {
		return nil, err
	}
	return srv, srv.listening(srv.port)
}

// A daemon is a running gridferryd.
type daemon struct {
	name  string
	cmd   *exec.Cmd
	log   string // what it says on standard error
	out   string // and on standard output: the notices to owners
	ended chan struct{}
}

func (s *site) startDaemon(d *demo, name, conf string, env ...string) (*daemon, error) {
	file := s.path(name + ".yaml")
	if err := os.WriteFile(file, []byte(conf), 0o644); err != nil {
		return nil, err
	}
	p := &daemon{name: name, log: s.path(name + ".log"), out: s.path(name + ".out"), ended: make(chan struct{})}
	errors, err := os.Create(p.log)
	if err != nil {
		return nil, err
	}
	defer errors.Close()
	out, err := os.Create(p.out)
	if err != nil {
		return nil, err
	}
	defer out.Close()
	p.cmd = exec.Command(filepath.Join(d.Bin, "gridferryd"), "run", "--config", file)
	p.cmd.Env = append([]string{"PATH=" + os.Getenv("PATH"), "HOME=" + s.work}, env...)
	p.cmd.Stdout, p.cmd.Stderr = out, errors
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // an interrupt is for us to pass on, in order
	if err := p.cmd.Start(); err != nil {
		return nil, fmt.Errorf("start the %s: %w", name, err)
	}
	go func() {
		err := p.cmd.Wait()
		close(p.ended)
		s.died <- fmt.Errorf("the %s ended (%v); its last words: %s", name, err, p.lastWords())
	}()
	return p, nil
}

// listening waits until the daemon takes connections.
func (p *daemon) listening(port int) error {
	deadline := time.Now().Add(readyWithin)
	for {
		conn, err := net.DialTimeout("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(port)), time.Second)
		if err == nil {
			return conn.Close()
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("the %s server does not answer: %w; its last words: %s", p.name, err, p.lastWords())
		}
		select {
		case <-p.ended:
			return fmt.Errorf("the %s server ended; its last words: %s", p.name, p.lastWords())
		case <-time.After(20 * time.Millisecond):
		}
	}
}

func (p *daemon) lastWords() string {
	data, err := os.ReadFile(p.log)
	if err != nil {
		return err.Error()
	}
	return strings.TrimSpace(string(data[max(0, len(data)-2000):]))
}

// stop ends the daemon as an operator would, and then as a kernel would.
func (p *daemon) stop() {
	if p == nil {
		return
	}
	_ = p.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-p.ended:
	case <-time.After(15 * time.Second):
		_ = p.cmd.Process.Kill()
		<-p.ended
	}
}

func (s *site) stop() {
	s.worker.stop()
	for _, srv := range []*server{s.source, s.dest} {
		if srv != nil {
			srv.stop()
		}
	}
	if s.client != nil {
		s.client.Close()
	}
	if s.temporal != nil {
		_ = s.temporal.Stop()
	}
}

// failure is the end of a daemon that may explain another failure.
func (s *site) failure() error {
	select {
	case err := <-s.died:
		return err
	default:
		return nil
	}
}

func (s *site) newID() transfer.TaskID { return transfer.TaskID(uuid.NewString()) }

func (s *site) taskURL(id transfer.TaskID) string {
	return fmt.Sprintf("%s/namespaces/%s/workflows/%s", s.temporal.UI(), s.temporal.Namespace(), url.PathEscape(string(id)))
}

// program is the command line on this site, whose next task has that id.
func (s *site) program(d *demo, id transfer.TaskID) starter.Program {
	owner := "demo"
	if account, err := user.Current(); err == nil {
		owner = account.Username
	}
	return starter.Program{
		Version: "demonstration",
		Owner:   owner,
		Connect: func(context.Context, starter.Connection) (transfer.Service, func(), error) {
			return service.New(s.client, service.Options{Namespace: s.temporal.Namespace()}), func() {}, nil
		},
		NewID:    func() transfer.TaskID { return id },
		Now:      time.Now,
		Stdin:    strings.NewReader(""),
		Stdout:   d.Stdout,
		Stderr:   d.Stderr,
		Terminal: d.Terminal,
		Poll:     500 * time.Millisecond,
	}
}

// suggest prints commands that work as long as the site is up.
func (s *site) suggest(d *demo, id transfer.TaskID) {
	gridferry := filepath.Join(d.Bin, "gridferry")
	address := s.temporal.Address()
	d.say("\nEverything stays up until you press Ctrl-C. Try, in another terminal:")
	d.say("\n  export TEMPORAL_ADDRESS=%s", address)
	d.say("  %s ls %s", gridferry, s.source.url("/"))
	d.say("  %s events %s", gridferry, id)
	d.say("  %s plan -r %s %s", gridferry, s.source.url("/"), s.dest.url("/again/"))
	d.say("  %s transfer -r %s %s --wait", gridferry, s.source.url("/"), s.dest.url("/again/"))
	d.say("\n  temporal workflow list --query 'WorkflowType=\"Transfer\"'")
	d.say("  temporal workflow query --workflow-id %s --type status", id)
	d.say("  temporal workflow start --type Transfer --task-queue %s --workflow-id mine \\", transfer.QueueControl)
	d.say("    --input '{\"source\":\"%s\",\"destination\":\"%s\",\"recursive\":true}'", s.source.url("/"), s.dest.url("/mine/"))
	d.say("\n  export X509_CERT_DIR=%s X509_USER_PROXY=%s", s.trust, s.proxy)
	d.say("  globus-url-copy -list %s", s.source.url("/"))
	d.say("  globus-url-copy -p 4 -cd -r %s %s", s.source.url("/"), s.dest.url("/by-globus/"))
}

// port returns want when nothing listens there, and else a free one.
func port(want int) int {
	l, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", want))
	if err != nil {
		if l, err = net.Listen("tcp", "127.0.0.1:0"); err != nil {
			return want // whoever listens there says why
		}
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port
}
