// Package sftp starts OpenSSH servers, and holds the driver and tasks to them.
package sftp

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"

	"github.com/gridferry/gridferry/endpoints"
	driver "github.com/gridferry/gridferry/endpoints/sftp"
	"github.com/gridferry/gridferry/integration/harness"
)

// Server is Debian's sshd, which lets in whoever runs the tests.
type Server struct {
	*harness.Process

	Port  int
	Addr  string // 127.0.0.1:PORT
	User  string
	Files string // an empty directory for tests
	keys  string
}

// NewServer starts a server that ends with the test. lines are added to the
// front of its configuration, where they count first.
func NewServer(t testing.TB, lines ...string) *Server {
	t.Helper()
	sshd := harness.Need(t, "sshd")
	u, err := user.Current()
	must(t, err)
	s := &Server{Port: harness.FreePort(t), User: u.Username, Files: t.TempDir(), keys: t.TempDir()}
	s.Addr = fmt.Sprintf("127.0.0.1:%d", s.Port)
	for _, name := range []string{"host", "user", "other"} {
		NewKey(t, s.path(name))
	}
	s.know(t, s.Addr)
	config := append(lines, "ListenAddress 127.0.0.1", fmt.Sprintf("Port %d", s.Port), "HostKey "+s.path("host"),
		"AuthorizedKeysFile "+s.path("user.pub"), "PidFile none", "PasswordAuthentication no", "KbdInteractiveAuthentication no",
		"PermitRootLogin prohibit-password", "UsePAM no", "Subsystem sftp internal-sftp", "MaxStartups 100",
		"StrictModes no", // the keys are below a directory that all may write
	)
	must(t, os.WriteFile(s.path("sshd_config"), []byte(strings.Join(config, "\n")+"\n"), 0o600))
	if os.Getuid() == 0 {
		// sshd insists on it; an init script makes it where there is one.
		must(t, os.MkdirAll("/run/sshd", 0o755))
	}
	s.Process = harness.Start(t, harness.Command{Path: sshd, Args: []string{"-D", "-e", "-f", s.path("sshd_config")}})
	s.Ready(30*time.Second, harness.Listening("127.0.0.1", s.Port, "SSH-2.0"))
	return s
}

// NewKey makes a key pair, in file and file.pub.
func NewKey(t testing.TB, file string, args ...string) {
	t.Helper()
	args = append([]string{"-q", "-t", "ed25519", "-f", file}, args...)
	if !strings.Contains(strings.Join(args, " "), "-N") {
		args = append(args, "-N", "")
	}
	if out, err := exec.Command(harness.Need(t, "ssh-keygen"), args...).CombinedOutput(); err != nil {
		t.Fatalf("ssh-keygen: %v\n%s", err, out)
	}
}

func (s *Server) path(name string) string { return filepath.Join(s.keys, name) }

// KeyFile holds a key that the server lets in, OtherKey one that it does not.
func (s *Server) KeyFile() string  { return s.path("user") }
func (s *Server) OtherKey() string { return s.path("other") }

// HostKeyFile holds the server's own key.
func (s *Server) HostKeyFile() string { return s.path("host") }

// KnownHosts is a file that vouches for the server.
func (s *Server) KnownHosts() string { return s.path("known_hosts") }

// HostKey is the server's public key, as in its file.
func (s *Server) HostKey(t testing.TB) string {
	t.Helper()
	text, err := os.ReadFile(s.path("host.pub"))
	must(t, err)
	return strings.TrimSpace(string(text))
}

// know lets the file of known hosts vouch for the server at another address.
func (s *Server) know(t testing.TB, addr string) {
	t.Helper()
	host, port, _ := strings.Cut(addr, ":")
	f, err := os.OpenFile(s.KnownHosts(), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	must(t, err)
	_, err = fmt.Fprintf(f, "[%s]:%s %s\n", host, port, s.HostKey(t))
	must(t, err)
	must(t, f.Close())
}

// Record is the endpoint of a part of the server.
func (s *Server) Record(root string) endpoints.Record {
	return endpoints.Record{Name: "lab#ssh", Kind: driver.Kind, Servers: []string{s.Addr}, User: s.User, Root: root,
		Options: map[string]string{"known_hosts": s.KnownHosts()}}
}

// Identity logs in with the key of a file.
func Identity(file string) driver.Identity {
	sum := sha256.Sum256([]byte(file))
	return driver.Identity{Owner: "ada", Fingerprint: hex.EncodeToString(sum[:8]), Keys: func(context.Context) ([]ssh.Signer, func(), error) {
		keys, err := driver.LoadKey(file, "")
		return keys, nil, err
	}}
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
