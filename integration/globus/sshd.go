package globus

import (
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/gridferry/gridferry/integration/harness"
)

// An SSHServer is a running OpenSSH server that lets in whoever runs the tests,
// by a key made for it, and that starts Debian's GridFTP server for sshftp://.
type SSHServer struct {
	*harness.Process

	Host    string
	Port    int
	User    string
	Root    string // a tree for tests; sessions may leave it
	Command string // what a client runs there to speak GridFTP

	dir string
}

// NewSSHServer starts an SSH server. root is a new directory when empty.
func NewSSHServer(t testing.TB, root string) *SSHServer {
	t.Helper()
	sshd, gridftp := harness.Need(t, "sshd"), harness.Need(t, "globus-gridftp-server")
	u, err := user.Current()
	if err != nil {
		t.Fatal(err)
	}
	if root == "" {
		root = t.TempDir()
	}
	s := &SSHServer{Host: "127.0.0.1", Port: harness.FreePort(t), User: u.Username, Root: root, dir: t.TempDir()}
	s.keys(t)
	s.Command = s.path("sshftp")
	s.write(t, "sshftp", 0o700, fmt.Sprintf("#!/bin/sh\nexec %s -ssh -c %s\n", gridftp, s.path("gridftp.conf")))
	s.write(t, "gridftp.conf", 0o600, "hostname 127.0.0.1\nallow_root 1\nanonymous_user root\n")
	s.write(t, "sshd_config", 0o600, strings.Join([]string{
		"ListenAddress " + s.Host,
		fmt.Sprintf("Port %d", s.Port),
		"HostKey " + s.path("host"),
		"AuthorizedKeysFile " + s.path("user.pub"),
		"PidFile none",
		"PasswordAuthentication no",
		"KbdInteractiveAuthentication no",
		"PermitRootLogin prohibit-password",
		"StrictModes no", // the keys are below a directory that all may write
		"UsePAM no",
		"Subsystem sftp internal-sftp",
	}, "\n")+"\n")
	if os.Getuid() == 0 {
		// sshd insists on it for its separation of privileges; an init script
		// makes it where there is one.
		if err := os.MkdirAll("/run/sshd", 0o755); err != nil {
			t.Fatal(err)
		}
	}
	s.Process = harness.Start(t, harness.Command{
		Path: sshd, // it wants its own absolute path, to run itself again
		Args: []string{"-D", "-e", "-f", s.path("sshd_config")},
	})
	s.Ready(startLimit, harness.Listening(s.Host, s.Port, "SSH-2.0"))
	return s
}

func (s *SSHServer) keys(t testing.TB) {
	t.Helper()
	for _, name := range []string{"host", "user"} {
		out, err := exec.Command(harness.Need(t, "ssh-keygen"), "-q", "-t", "ed25519", "-N", "", "-f", s.path(name)).CombinedOutput()
		if err != nil {
			t.Fatalf("ssh-keygen: %v\n%s", err, out)
		}
	}
	public, err := os.ReadFile(s.path("host.pub"))
	if err != nil {
		t.Fatal(err)
	}
	s.write(t, "known_hosts", 0o600, fmt.Sprintf("[%s]:%d %s", s.Host, s.Port, public))
}

// KeyFile holds the private key that the server lets in.
func (s *SSHServer) KeyFile() string { return s.path("user") }

// KnownHosts is a file that vouches for the server's key.
func (s *SSHServer) KnownHosts() string { return s.path("known_hosts") }

// SSH is an ssh command line, without the host, that logs in to the server and
// reads nobody's configuration.
func (s *SSHServer) SSH() []string {
	return []string{
		"ssh", "-F", "none", "-p", strconv.Itoa(s.Port), "-i", s.KeyFile(),
		"-o", "IdentitiesOnly=yes", "-o", "BatchMode=yes",
		"-o", "UserKnownHostsFile=" + s.KnownHosts(), "-l", s.User,
	}
}

// URL names a file below Root, or Root itself when the name is empty.
func (s *SSHServer) URL(name string) string {
	u := url.URL{Scheme: "sshftp", User: url.User(s.User), Host: fmt.Sprintf("%s:%d", s.Host, s.Port), Path: s.Root + "/" + name}
	return u.String()
}

// Path is where a file below Root is.
func (s *SSHServer) Path(name string) string { return filepath.Join(s.Root, name) }

func (s *SSHServer) path(name string) string { return filepath.Join(s.dir, name) }

func (s *SSHServer) write(t testing.TB, name string, mode os.FileMode, content string) {
	t.Helper()
	if err := os.WriteFile(s.path(name), []byte(content), mode); err != nil {
		t.Fatal(err)
	}
}
