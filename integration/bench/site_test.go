package bench

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/gridferry/gridferry/integration/globus"
	"github.com/gridferry/gridferry/integration/harness"
	"github.com/gridferry/gridferry/integration/wan"
	"github.com/gridferry/gridferry/wire/gsi/gsitest"
)

// A site is all that takes part in a comparison. The trees of the two servers
// are there as the worker's own, too, and the destination's by ssh, unless the
// servers are far away.
type site struct {
	src, dst *globus.Server
	far      bool
	env      []string // of the command and, through it, of the peers
	flags    []string // of the command, that say what there is
	sshd     *globus.SSHServer
	store    *store // if there is one
}

// host is what the worker's own files are called.
const host = "bench"

// newSite keeps the trees below dir, or below a temporary directory. With a
// network the servers are hosts of it; with stores there is an object store, too.
func newSite(t *testing.T, dir string, network *wan.Network, stores bool) *site {
	t.Helper()
	for _, peer := range []string{"globus-url-copy", "ssh"} { // which brings scp
		harness.Need(t, peer)
	}
	roots := make(map[string]string)
	for _, name := range []string{"source", "destination"} {
		root, err := os.MkdirTemp(dir, "gridferry-"+name+"-")
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			if err := os.RemoveAll(root); err != nil {
				t.Error(err)
			}
		})
		roots[name] = root
	}
	ca := gsitest.NewCA(t)
	// As a site runs them: at their full level, each command is a write to
	// the log.
	quiet := []string{"log_level ERROR,WARN"}
	s := &site{far: network != nil}
	server := func(name string) *globus.Server {
		o := globus.Options{CA: ca, Root: roots[name], Conf: quiet}
		if s.far {
			h := network.Host(name)
			// In a namespace they must say that they have started.
			o.Conf = []string{"log_level ERROR,WARN,INFO"}
			o.Namespace, o.Address = h.Namespace, h.Address
		}
		return globus.NewServer(t, o)
	}
	s.src, s.dst = server("source"), server("destination")
	proxy := ca.ProxyFile(ca.Proxy(ca.User("Ada")))
	temporal := harness.NewTemporal(t, harness.TemporalOptions{})

	path := programs(t)
	servers := []*harness.Process{s.src.Process, s.dst.Process}
	env := temporal.Env()
	if s.far {
		env = append(env, "GLOBUS_HOSTNAME="+network.Address)
	} else {
		s.sshd = globus.NewSSHServer(t, roots["destination"])
		servers = append(servers, s.sshd.Process)
		path = clients(t, s.sshd) + ":" + path
		env = append(env, "SSH_AUTH_SOCK="+agent(t, s.sshd))
	}
	conf := ""
	if stores {
		s.store = newStore(t, dir)
		servers = append(servers, s.store.Process)
		path = s.store.clients(t) + ":" + path
		env = append(env, s.store.env(t)...)
		conf = s.store.conf(t, s.sshd)
	}
	worker := startWorker(t, temporal, ca, proxy, conf, s.src.Root, s.dst.Root)
	s.env = globus.ClientEnv(ca, proxy, append(env, "PATH="+path+":"+os.Getenv("PATH"))...)
	for _, p := range servers {
		s.flags = append(s.flags, "--server-pid", strconv.Itoa(p.PID()))
	}
	s.flags = append(s.flags, "--service-pid", strconv.Itoa(worker.PID()), "--temporal-pid", strconv.Itoa(temporal.PID()))
	return s
}

// programs is a directory with the null client, built from this checkout.
func programs(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	if out, err := exec.Command("go", "build", "-o", dir, "./nullcopy").CombinedOutput(); err != nil {
		harness.Lacking(t, fmt.Sprintf("needs the go command to build the null client: %v: %s", err, out))
	}
	return dir
}

// startWorker takes more lines of configuration.
func startWorker(t *testing.T, temporal *harness.Temporal, ca *gsitest.CA, proxy, more string, roots ...string) *harness.Process {
	t.Helper()
	conf := filepath.Join(t.TempDir(), "gridferryd.yaml")
	text := fmt.Appendf(nil, "roles: [control, data, site]\nsite: %s\ndata_dir: %q\ntrust_dir: %q\nroots: {\"*\": [%q, %q]}\n%s", host, t.TempDir(), ca.Dir, roots[0], roots[1], more)
	if err := os.WriteFile(conf, text, 0o600); err != nil {
		t.Fatal(err)
	}
	worker := harness.Start(t, harness.Command{
		Path: harness.Binary(t, "gridferryd"), Args: []string{"run", "--config", conf},
		Env: harness.Environment(append(temporal.Env(), "X509_USER_PROXY="+proxy)...),
	})
	worker.Ready(time.Minute, func() error {
		// Control, data, and the queue of its own files.
		if n := strings.Count(worker.Log(), "worker started"); n < 3 {
			return fmt.Errorf("%d of its 3 queues are served", n)
		}
		return nil
	})
	return worker
}

// clients is a directory with an ssh and a scp that log in to the server:
// neither has an option for all of that in the environment.
func clients(t *testing.T, sshd *globus.SSHServer) string {
	t.Helper()
	dir := t.TempDir()
	conf := filepath.Join(dir, "config")
	write := func(name, content string) {
		if err := os.WriteFile(name, []byte(content), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	write(conf, fmt.Sprintf("IdentityFile %s\nIdentitiesOnly yes\nUserKnownHostsFile %s\n", sshd.KeyFile(), sshd.KnownHosts()))
	for _, name := range []string{"ssh", "scp", "sftp"} {
		if path, err := exec.LookPath(name); err == nil {
			write(filepath.Join(dir, name), fmt.Sprintf("#!/bin/sh\nexec %s -F %s \"$@\"\n", path, conf))
		}
	}
	return dir
}

// agent starts an ssh-agent that holds the key for the server, for older
// versions of rclone, and returns its socket.
func agent(t *testing.T, sshd *globus.SSHServer) (socket string) {
	t.Helper()
	program, err := exec.LookPath("ssh-agent")
	if err != nil {
		return ""
	}
	dir, err := os.MkdirTemp("", "agent-") // the path of a socket has 108 bytes at most
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	socket = filepath.Join(dir, "socket")
	harness.Start(t, harness.Command{Path: program, Args: []string{"-D", "-a", socket}}).Ready(10*time.Second, func() error {
		cmd := exec.Command("ssh-add", "-q", sshd.KeyFile())
		cmd.Env = harness.Environment("SSH_AUTH_SOCK=" + socket)
		if out, err := cmd.CombinedOutput(); err != nil {
			return fmt.Errorf("ssh-add: %w: %s", err, out)
		}
		return nil
	})
	return socket
}

// args are the command's, with more flags.
func (s *site) args(r route, flags ...string) []string {
	own := func(root string) string { return "file://" + host + root + "/" }
	src, dst := s.src.URL(""), s.dst.URL("")
	places := []string{"--source-dir", s.src.Root, "--destination-dir", s.dst.Root}
	switch r {
	case local:
		src, dst = own(s.src.Root), own(s.dst.Root)
	case put:
		src = own(s.src.Root)
	case toStore, fromStore, toSSH:
		return slices.Concat(s.storeArgs(r), s.flags, flags)
	case thirdParty:
		if !s.far {
			places = append(places, "--source-as", "file://"+s.src.Root, "--destination-as", s.sshd.URL(""))
		}
	}
	return slices.Concat([]string{"bench", src, dst}, places, s.flags, flags)
}

// compare runs the command, and returns what it prints on standard output.
func (s *site) compare(t *testing.T, r route, flags ...string) string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), harness.Binary(t, "gridferry"), s.args(r, flags...)...)
	var out, said bytes.Buffer
	cmd.Env, cmd.Stdout, cmd.Stderr = s.env, &out, &said
	if testing.Verbose() {
		cmd.Stderr = os.Stderr // hours are long without a word
	}
	// It cleans up when it is interrupted.
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	cmd.WaitDelay = time.Minute
	if err := cmd.Run(); err != nil {
		t.Fatalf("gridferry %q: %v\n%s%s", cmd.Args[1:], err, out.Bytes(), said.Bytes())
	}
	return out.String()
}
