// Package myproxy starts, for tests, Debian's MyProxy server: as the repository
// of credentials that it mostly is, or as an online authority. Each has a
// configuration and a store of its own and ends with its test.
package myproxy

import (
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/gridferry/gridferry/integration/harness"
	"github.com/gridferry/gridferry/wire/gsi/gsitest"
)

// Options of a server.
type Options struct {
	CA *gsitest.CA // issues the host certificate

	// Issuer makes it an online authority too, for users whose stored
	// credential it does not have: it issues certificates for whatever name it
	// is given, /O=Test/CN=name, to those who say Password. That wants root,
	// for PAM is configured in a mount namespace of the server's own.
	Issuer   *Issuer
	Password string

	Conf []string // more lines of its configuration file
}

// A Server is Debian's myproxy-server. It runs as inetd would run it, a process
// for each connection: as a daemon it would leave the test's process group.
type Server struct {
	Host string
	Port int

	t       testing.TB
	dir     string
	program string
	args    []string
	env     []string

	mu  sync.Mutex
	log strings.Builder
}

// NewServer starts a server.
func NewServer(t testing.TB, o Options) *Server {
	t.Helper()
	s := &Server{t: t, dir: t.TempDir(), program: harness.Need(t, "myproxy-server")}
	if o.CA == nil {
		t.Fatal("a MyProxy server needs Options.CA")
	}
	cert, key := o.CA.PairFiles(o.CA.Host(hostNames(t)...))
	s.env = harness.Environment(
		"X509_CERT_DIR="+o.CA.Dir, "X509_USER_CERT="+cert, "X509_USER_KEY="+key,
	)
	conf := append([]string{
		`accepted_credentials "*"`, `authorized_retrievers "*"`, `default_retrievers "*"`,
		`authorized_renewers "*"`, `default_renewers "none"`,
		"cert_dir " + o.CA.Dir,
	}, o.Conf...)
	if o.Issuer != nil {
		conf = append(conf, s.authority(o)...)
	}
	store := filepath.Join(s.dir, "store")
	if err := os.Mkdir(store, 0o700); err != nil {
		t.Fatal(err)
	}
	s.args = append(s.args, "-d", "-c", s.write("myproxy-server.config", strings.Join(conf, "\n")+"\n", 0o600), "-s", store)
	s.listen()
	return s
}

// hostNames are what Debian's clients want a server on a loopback address to be
// called: they look its name up and then take the machine's own.
func hostNames(t testing.TB) []string {
	name, err := os.Hostname()
	if err != nil {
		t.Fatal(err)
	}
	return []string{name}
}

// authority configures certificate issuing, and PAM.
func (s *Server) authority(o Options) []string {
	harness.NeedRoot(s.t, "an online authority authenticates by PAM, which is configured in a mount namespace of its own")
	unshare := harness.Need(s.t, "unshare")
	pam := filepath.Join(s.dir, "pam.d")
	if err := os.Mkdir(pam, 0o755); err != nil {
		s.t.Fatal(err)
	}
	// pam_exec ends what it gives with a NUL.
	check := s.write("check", "#!/bin/sh\n[ \"$(tr -d '\\0')\" = \""+o.Password+"\" ]\n", 0o700)
	s.write("pam.d/myproxy", "auth required pam_exec.so quiet expose_authtok "+check+"\naccount required pam_permit.so\n", 0o644)
	s.args = []string{"--mount", "--", "sh", "-c", `mount --bind "$0" /etc/pam.d && exec "$@"`, pam, s.program}
	s.program = unshare

	return []string{
		`pam "sufficient"`,
		"certificate_issuer_cert " + o.Issuer.Cert,
		"certificate_issuer_key " + o.Issuer.Key,
		"certificate_serialfile " + filepath.Join(s.dir, "serial"),
		"certificate_mapapp " + s.write("map", "#!/bin/sh\nprintf '/O=Test/CN=%s\\n' \"$1\"\n", 0o755),
	}
}

func (s *Server) write(name, content string, mode os.FileMode) string {
	s.t.Helper()
	path := filepath.Join(s.dir, name)
	if err := os.WriteFile(path, []byte(content), mode); err != nil {
		s.t.Fatal(err)
	}
	return path
}

func (s *Server) listen() {
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		s.t.Fatal(err)
	}
	s.Host, s.Port = "localhost", l.Addr().(*net.TCPAddr).Port
	var all sync.WaitGroup
	all.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				if !errors.Is(err, net.ErrClosed) {
					s.t.Errorf("MyProxy server: %v", err)
				}
				return
			}
			all.Go(func() { s.serve(conn.(*net.TCPConn)) })
		}
	})
	s.t.Cleanup(func() {
		l.Close()
		all.Wait()
		if s.t.Failed() {
			s.t.Logf("myproxy-server said:\n%s", s.Log())
		}
	})
}

func (s *Server) serve(conn *net.TCPConn) {
	socket, err := conn.File()
	conn.Close()
	if err != nil {
		s.t.Errorf("MyProxy server: %v", err)
		return
	}
	defer socket.Close()
	cmd := exec.Command(s.program, s.args...)
	cmd.Env, cmd.Stdin, cmd.Dir = s.env, socket, s.dir
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	out, err := cmd.CombinedOutput()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.log.Write(out)
	if err != nil {
		fmt.Fprintln(&s.log, "myproxy-server:", err) // as after every refusal
	}
}

// Addr is host:port.
func (s *Server) Addr() string { return net.JoinHostPort(s.Host, strconv.Itoa(s.Port)) }

// Log is what the server has said about the connections that have ended.
func (s *Server) Log() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.log.String()
}
