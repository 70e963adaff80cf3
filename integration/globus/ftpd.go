package globus

import (
	"fmt"
	"net"
	"net/url"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/gridferry/gridferry/integration/harness"
)

// An FTPServer is a running server of plain FTP, made by others.
type FTPServer struct {
	*harness.Process

	Host string
	Port int
	Root string // where sessions begin; paths on the wire are paths of this machine

	user *url.Userinfo
}

// NewVsftpd starts vsftpd, for anonymous sessions that may write below Root,
// which is a new directory when empty. It speaks neither MLSD nor MFMT, nor
// checksums.
func NewVsftpd(t testing.TB, root string) *FTPServer {
	t.Helper()
	s := newFTPServer(t, root)
	u, err := user.Current()
	if err != nil {
		t.Fatal(err)
	}
	return s.start(t, "vsftpd", nil,
		"listen=YES",
		"listen_address="+s.Host,
		fmt.Sprintf("listen_port=%d", s.Port),
		"background=NO",
		"run_as_launching_user=YES", // no change of root or user, which only root could make
		"ftp_username="+u.Username,  // of anonymous sessions; its own is of the package, which is not installed
		"anonymous_enable=YES",
		"no_anon_password=YES",
		"anon_root="+s.Root,
		"anon_umask=022",
		"anon_world_readable_only=NO",
		"write_enable=YES",
		"anon_upload_enable=YES",
		"anon_mkdir_write_enable=YES",
		"anon_other_write_enable=YES",
		"mdtm_write=YES",
		"connect_from_port_20=NO",
		// Third-party transfers have a data channel to another host.
		"port_promiscuous=YES",
		"pasv_promiscuous=YES",
		"seccomp_sandbox=NO", // it kills sessions under kernels newer than itself
	)
}

// NewProftpd starts proftpd, for PlainUser with PlainPassword. It speaks MLSD
// and MFMT, but no checksums.
func NewProftpd(t testing.TB, root string) *FTPServer {
	t.Helper()
	s := newFTPServer(t, root)
	s.user = url.UserPassword(PlainUser, PlainPassword)
	u, err := user.Current()
	if err != nil {
		t.Fatal(err)
	}
	g, err := user.LookupGroupId(u.Gid)
	if err != nil {
		t.Fatal(err)
	}
	state := t.TempDir()
	passwd := filepath.Join(state, "passwd")
	entry := fmt.Sprintf("%s:%s:%s:%s::%s:/bin/sh\n", PlainUser, plainPasswordDES, u.Uid, u.Gid, s.Root)
	if err := os.WriteFile(passwd, []byte(entry), 0o600); err != nil {
		t.Fatal(err)
	}
	return s.start(t, "proftpd", []string{"--nodaemon", "--quiet", "--config"},
		"ServerType standalone",
		"DefaultAddress "+s.Host,
		"SocketBindTight on",
		fmt.Sprintf("Port %d", s.Port),
		"User "+u.Username,
		"Group "+g.Name,
		"RootLogin on",
		"RequireValidShell off",
		"AuthOrder mod_auth_file.c",
		"AuthUserFile "+passwd,
		"PidFile "+filepath.Join(state, "pid"),
		"ScoreboardFile "+filepath.Join(state, "scoreboard"),
		"DelayTable none",
		"SystemLog none",
		"TransferLog none",
		"WtmpLog off",
		"UseReverseDNS off",
		"TimesGMT on",
		"AllowOverwrite on",
		"AllowStoreRestart on",
		"AllowRetrieveRestart on",
		"AllowForeignAddress on", // for third-party transfers
		"<IfModule mod_delay.c>",
		"DelayEngine off", // it makes every login as slow as the slowest
		"</IfModule>",
	)
}

func newFTPServer(t testing.TB, root string) *FTPServer {
	t.Helper()
	if root == "" {
		root = t.TempDir()
	}
	return &FTPServer{Host: "127.0.0.1", Port: harness.FreePort(t), Root: root}
}

// start runs a program with args and, last, a file of the lines of conf.
func (s *FTPServer) start(t testing.TB, program string, args []string, conf ...string) *FTPServer {
	t.Helper()
	path := harness.Need(t, program)
	file := filepath.Join(t.TempDir(), program+".conf")
	if err := os.WriteFile(file, []byte(strings.Join(conf, "\n")+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	s.Process = harness.Start(t, harness.Command{
		Path: path,
		Args: append(args, file),
		Env:  harness.Environment(harness.LibraryEnv(path)...),
	})
	s.Ready(startLimit, harness.Listening(s.Host, s.Port, "220"))
	return s
}

// Addr is the control channel's host:port.
func (s *FTPServer) Addr() string { return net.JoinHostPort(s.Host, strconv.Itoa(s.Port)) }

// URL names a file below Root, or Root itself when the name is empty, with the
// user and password where there are any.
func (s *FTPServer) URL(name string) string {
	u := url.URL{Scheme: "ftp", User: s.user, Host: s.Addr(), Path: s.Root + "/" + name}
	return u.String()
}

// Path is where a file below Root is.
func (s *FTPServer) Path(name string) string { return filepath.Join(s.Root, name) }
