package globus_test

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/gridferry/gridferry/integration/globus"
	"github.com/gridferry/gridferry/wire/gsi/gsitest"
)

// content is what the tests copy.
var content = bytes.Repeat([]byte("gridferry"), 100_000)

func local(t testing.TB, name string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, content, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func wantContent(t testing.TB, path string) {
	t.Helper()
	got, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, content) {
		t.Errorf("%s holds %d other bytes than were sent", path, len(got))
	}
}

func TestThirdParty(t *testing.T) {
	for _, address := range []string{"127.0.0.1", "::1"} {
		t.Run(address, func(t *testing.T) {
			ca := gsitest.NewCA(t)
			env := globus.ClientEnv(ca, ca.ProxyFile(ca.Proxy(ca.User("Ada"))))
			src := globus.NewServer(t, globus.Options{CA: ca, Address: address})
			dst := globus.NewServer(t, globus.Options{CA: ca, Address: address})

			args := []string{}
			if address == "::1" {
				args = append(args, "-ipv6")
			}
			globus.URLCopy(t, env, append(args, "file://"+local(t, "x"), src.URL("in"))...)
			globus.URLCopy(t, env, append(args, "-p", "3", src.URL("in"), dst.URL("out"))...)
			wantContent(t, dst.Path("out"))

			got := dst.Transfers()
			if len(got) != 1 || got[0].File != dst.Path("out") || got[0].Type != "STOR" || got[0].Code != 226 ||
				got[0].Bytes != int64(len(content)) || got[0].End.Before(got[0].Start) {
				t.Errorf("the destination's log says %+v", got)
			}
			if got := src.Moved("RETR", "/in"); got != int64(len(content)) {
				t.Errorf("the source's log says that %d bytes were read", got)
			}
		})
	}
}

func TestRefusesStrangers(t *testing.T) {
	ca := gsitest.NewCA(t)
	env := globus.ClientEnv(ca, ca.ProxyFile(ca.Proxy(ca.User("Eve"))))
	s := globus.NewServer(t, globus.Options{CA: ca})
	out, err := globus.TryURLCopy(t, env, "file://"+local(t, "x"), s.URL("in"))
	if err == nil || !strings.Contains(out, "530") {
		t.Errorf("a stranger's copy ended with %v", err)
	}
	s.Allow("/O=Test/CN=Eve")
	globus.URLCopy(t, env, "file://"+local(t, "x"), s.URL("in"))
}

func TestPlain(t *testing.T) {
	s := globus.NewServer(t, globus.Options{Plain: true})
	globus.URLCopy(t, globus.ClientEnv(nil, ""), "file://"+local(t, "x"), s.URL("in"))
	wantContent(t, s.Path("in"))
	named := strings.Replace(s.URL("in2"), "ftp://", "ftp://"+globus.PlainUser+":"+globus.PlainPassword+"@", 1)
	globus.URLCopy(t, globus.ClientEnv(nil, ""), "file://"+local(t, "x"), named)
	wantContent(t, s.Path("in2"))
}

func TestKillFreezeRestart(t *testing.T) {
	s := globus.NewServer(t, globus.Options{Plain: true})
	env := globus.ClientEnv(nil, "")
	s.Kill()
	if _, err := globus.TryURLCopy(t, env, "file://"+local(t, "x"), s.URL("in")); err == nil {
		t.Error("a killed server takes files")
	}
	s.Restart()
	s.Freeze()
	s.Thaw()
	globus.URLCopy(t, env, "file://"+local(t, "x"), s.URL("in"))
	wantContent(t, s.Path("in"))
}

func TestFTPServers(t *testing.T) {
	for name, start := range map[string]func(testing.TB, string) *globus.FTPServer{
		"vsftpd":  globus.NewVsftpd,
		"proftpd": globus.NewProftpd,
	} {
		t.Run(name, func(t *testing.T) {
			s := start(t, "")
			globus.URLCopy(t, globus.ClientEnv(nil, ""), "file://"+local(t, "x"), s.URL("in"))
			wantContent(t, s.Path("in"))
			back := filepath.Join(t.TempDir(), "out")
			globus.URLCopy(t, globus.ClientEnv(nil, ""), s.URL("in"), "file://"+back)
			wantContent(t, back)
		})
	}
}

func TestSSHServer(t *testing.T) {
	s := globus.NewSSHServer(t, "")
	ssh := s.SSH()
	cmd := exec.Command(ssh[0], append(ssh[1:], s.Host, s.Command)...)
	cmd.Stdin = strings.NewReader("SITE HELP\r\nQUIT\r\n")
	out, err := cmd.CombinedOutput()
	if err != nil || !strings.HasPrefix(string(out), "220 ") || !strings.Contains(string(out), "\n211 Goodbye") {
		t.Errorf("GridFTP over SSH: %v\n%s", err, out)
	}
}
