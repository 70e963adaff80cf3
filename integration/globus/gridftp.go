// Package globus starts, for tests, the peers that others wrote: the Grid
// Community Toolkit's GridFTP server and client as Debian ships them, and the
// plain FTP and SSH servers that gridferry must get along with. Each runs on a
// free port with a tree and configuration of its own, for root or not, and ends
// with its test.
package globus

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/gridferry/gridferry/integration/harness"
	"github.com/gridferry/gridferry/wire/gsi/gsitest"
)

// Identity is whom a server maps to the account that runs the tests unless
// Options say otherwise: gsitest's CA.User("Ada").
const Identity = "/O=Test/CN=Ada"

// Name and password of the one account that plain FTP servers know.
const (
	PlainUser     = "ada"
	PlainPassword = "ferry"

	// The Globus server reads passwords in DES crypt only.
	plainPasswordDES = "gfRJiWwvGU5bw"
)

// startLimit is generous: a busy machine takes seconds to start a server.
const startLimit = 30 * time.Second

// Options of a GridFTP server.
type Options struct {
	CA *gsitest.CA // issues the host certificate; needed unless Plain

	Identities []string // DNs that may log in; Identity alone when nil
	Plain      bool     // ftp:// with no GSI: anonymous, or PlainUser
	Account    string   // whom identities are mapped to; whoever runs the test when empty. Another wants root
	Root       string   // the only tree it serves; a new directory when empty
	Address    string   // listens here, for control and data; 127.0.0.1 when empty
	Namespace  string   // network namespace to run in
	Conf       []string // more lines of its configuration file, as "blocksize 65536"
	Env        []string // more of its environment, as "GLOBUS_TCP_PORT_RANGE=21000,21099"
}

// A Server is a running globus-gridftp-server.
type Server struct {
	*harness.Process

	Host string // as in Options.Address
	Port int    // of the control channel
	Root string // the tree; paths on the wire are paths of this machine

	account string // Options.Account
	plain   bool
	dir     string // configuration and logs
	t       testing.TB
}

// NewServer starts a GridFTP server and waits until it answers.
func NewServer(t testing.TB, o Options) *Server {
	t.Helper()
	program := harness.Need(t, "globus-gridftp-server")
	s := &Server{t: t, Host: o.Address, Port: harness.FreePort(t), Root: o.Root, account: o.Account, plain: o.Plain, dir: t.TempDir()}
	if s.account == "" {
		s.account = s.runner().Username
	}
	if s.Host == "" {
		s.Host = "127.0.0.1"
	}
	if s.Root == "" {
		s.Root = t.TempDir()
	}

	conf := append(s.conf(), o.Conf...)
	env := []string{}
	if o.Plain {
		conf = append(conf, s.plainConf()...)
	} else {
		env = append(env, s.gsiEnv(o)...)
	}
	s.write("gridftp.conf", strings.Join(conf, "\n")+"\n")
	s.Process = harness.Start(t, harness.Command{
		Path: program,
		// Without -c it would read /etc/gridftp.conf.
		Args:      []string{"-s", "-c", filepath.Join(s.dir, "gridftp.conf")},
		Env:       harness.Environment(append(env, o.Env...)...),
		Dir:       s.dir,
		Namespace: o.Namespace,
	})
	if o.Namespace == "" {
		s.Ready(startLimit, harness.Listening(s.Host, s.Port, "220"))
	} else {
		// The test's own namespace may have no route to it.
		s.Ready(startLimit, s.saidStarted)
	}
	return s
}

// Restart ends the server and its sessions at once, starts it again on the same
// port, and waits until it answers.
func (s *Server) Restart() {
	s.t.Helper()
	s.Process.Restart()
	s.Ready(startLimit, harness.Listening(s.Host, s.Port, "220"))
}

func (s *Server) conf() []string {
	conf := []string{
		fmt.Sprintf("port %d", s.Port),
		"hostname " + s.Host, // of the control, the data and the internal interface
		"home_dir " + s.Root,
		// Paths stay absolute: this is no change of root.
		"restrict_paths " + s.Root + ",RW/dev/null,R/dev/zero",
		"log_module stdio:buffer=0:interval=0", // its logs lag 5 s otherwise
		"log_single " + s.path("server.log"),
		"log_transfer " + s.path("transfer.log"),
		"log_level ALL",
		"control_preauth_timeout 30",
		"connections_max 200",
	}
	if os.Getuid() == 0 {
		// Root's entry in the shadow file is disabled on an ordinary Debian.
		conf = append(conf, "allow_root 1", "allow_disabled_login 1")
	}
	return conf
}

func (s *Server) plainConf() []string {
	u := s.runner()
	s.write("passwd", fmt.Sprintf("%s:%s:%s:%s::%s:/bin/sh\n", PlainUser, plainPasswordDES, u.Uid, u.Gid, s.Root))
	return []string{"allow_anonymous 1", "anonymous_user " + u.Username, "pw_file " + s.path("passwd"), "auth_level 0"}
}

func (s *Server) gsiEnv(o Options) []string {
	if o.CA == nil {
		s.t.Fatal("a GridFTP server needs Options.CA or Options.Plain")
	}
	if o.Identities == nil {
		o.Identities = []string{Identity}
	}
	s.write("gridmap", "")
	for _, dn := range o.Identities {
		s.Allow(dn)
	}
	cert, key := o.CA.PairFiles(o.CA.Host(s.Host))
	return []string{
		"X509_CERT_DIR=" + o.CA.Dir,
		"X509_USER_CERT=" + cert,
		"X509_USER_KEY=" + key,
		"GRIDMAP=" + s.path("gridmap"),
		"GLOBUS_HOSTNAME=" + s.Host,
	}
}

// Allow lets one more identity log in, from its next session on.
func (s *Server) Allow(dn string) {
	s.t.Helper()
	f, err := os.OpenFile(s.path("gridmap"), os.O_APPEND|os.O_WRONLY, 0o600)
	if err == nil {
		_, err = fmt.Fprintf(f, "%q %s\n", dn, s.account)
		err = errors.Join(err, f.Close())
	}
	if err != nil {
		s.t.Fatal(err)
	}
}

func (s *Server) runner() *user.User {
	u, err := user.Current()
	if err != nil {
		s.t.Fatal(err)
	}
	return u
}

func (s *Server) saidStarted() error {
	if !strings.Contains(s.SessionLog(), "Server started") {
		return fmt.Errorf("no word of a start in %s", s.path("server.log"))
	}
	return nil
}

// Addr is the control channel's host:port.
func (s *Server) Addr() string { return net.JoinHostPort(s.Host, strconv.Itoa(s.Port)) }

// URL names a file below Root, or Root itself when the name is empty.
func (s *Server) URL(name string) string {
	u := url.URL{Scheme: "gsiftp", Host: s.Addr(), Path: s.Root + "/" + name}
	if s.plain {
		u.Scheme = "ftp"
	}
	return u.String()
}

// Path is where a file below Root is, on the wire and on this machine.
func (s *Server) Path(name string) string { return filepath.Join(s.Root, name) }

// SessionLog is the server's account of every session: commands and replies.
func (s *Server) SessionLog() string { return s.read("server.log") }

// SessionLogFrom is SessionLog without its first n bytes, for those who look
// often.
func (s *Server) SessionLogFrom(n int64) string {
	f, err := os.Open(s.path("server.log"))
	if os.IsNotExist(err) {
		return ""
	}
	var rest []byte
	if err == nil {
		defer f.Close()
		if _, err = f.Seek(n, io.SeekStart); err == nil {
			rest, err = io.ReadAll(f)
		}
	}
	if err != nil {
		s.t.Fatal(err)
	}
	return string(rest)
}

func (s *Server) path(name string) string { return filepath.Join(s.dir, name) }

func (s *Server) read(name string) string {
	b, err := os.ReadFile(s.path(name))
	if err != nil && !os.IsNotExist(err) {
		s.t.Fatal(err)
	}
	return string(b)
}

func (s *Server) write(name, content string) {
	s.t.Helper()
	if err := os.WriteFile(s.path(name), []byte(content), 0o600); err != nil {
		s.t.Fatal(err)
	}
}
