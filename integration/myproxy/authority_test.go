package myproxy_test

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/gridferry/gridferry/integration/globus"
	"github.com/gridferry/gridferry/integration/harness"
	debian "github.com/gridferry/gridferry/integration/myproxy"
	"github.com/gridferry/gridferry/wire/gsi"
	"github.com/gridferry/gridferry/wire/gsi/gsitest"
	"github.com/gridferry/gridferry/wire/myproxy"
)

// An authority is our own online one, "gridferryd myproxy".
type authority struct {
	*harness.Process
	port   int
	ca     *gsitest.CA // of hosts
	issuer *debian.Issuer
}

// verify is a command that knows one user and one pass phrase.
const verify = `IFS= read -r given && [ "$GRIDFERRY_USER" = ` + user + ` ] && [ "$given" = "` + secret + `" ]`

func newAuthority(t *testing.T, more string, command ...string) *authority {
	t.Helper()
	a := &authority{port: harness.FreePort(t), ca: gsitest.NewCA(t), issuer: debian.NewIssuer(t, "Online CA")}
	a.issuer.TrustIn(a.ca.Dir)
	name, err := os.Hostname()
	if err != nil {
		t.Fatal(err)
	}
	// Debian's client looks up the name of a loopback address, and then takes
	// the machine's own.
	cert, key := a.ca.PairFiles(a.ca.Host(name))
	list := make([]string, len(command))
	for i, arg := range command {
		list[i] = strconv.Quote(arg)
	}
	dir := t.TempDir()
	conf := filepath.Join(dir, "gridferryd.yaml")
	text := fmt.Sprintf(`data_dir: %s
trust_dir: %s
myproxy:
  listen: 127.0.0.1:%d
  cert: %s
  key: %s
  ca_cert: %s
  ca_key: %s
  subject: /O=Test/OU=online/CN={user}
  roots: %s
  command: [%s]
%s`, dir, a.ca.Dir, a.port, cert, key, a.issuer.Cert, a.issuer.Key, a.ca.Dir, strings.Join(list, ", "), more)
	if err := os.WriteFile(conf, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	a.Process = harness.Start(t, harness.Command{Path: harness.Binary(t, "gridferryd"), Args: []string{"myproxy", "-c", conf}})
	a.Ready(30*time.Second, func() error {
		conn, err := net.Dial("tcp", a.addr())
		if err == nil {
			conn.Close()
		}
		return err
	})
	t.Cleanup(func() {
		if err := a.Terminate(20 * time.Second); err != nil {
			t.Errorf("gridferryd ended with %v", err)
		}
		if strings.Contains(a.Log(), secret) {
			t.Error("the log has the pass phrase")
		}
	})
	return a
}

func (a *authority) addr() string { return fmt.Sprintf("localhost:%d", a.port) }

// logon runs Debian's myproxy-logon, which leaves a credential in file.
func (a *authority) logon(t *testing.T, file, passphrase string, more ...string) (string, error) {
	t.Helper()
	args := append([]string{"--pshost", "localhost", "--psport", strconv.Itoa(a.port), "--username", user, "--stdin_pass", "--out", file}, more...)
	cmd := exec.Command(harness.Need(t, "myproxy-logon"), args...)
	cmd.Env = harness.Environment("X509_CERT_DIR="+a.ca.Dir, "X509_USER_PROXY=/nonexistent")
	cmd.Stdin = strings.NewReader(passphrase + "\n")
	out, err := cmd.CombinedOutput()
	return string(out), err
}

// TestServesDebiansClient logs on with Debian's client at our authority, and
// with what that issues at Debian's GridFTP servers.
func TestServesDebiansClient(t *testing.T) {
	a := newAuthority(t, "", "/bin/sh", "-c", verify)
	file := filepath.Join(t.TempDir(), "credential")
	out, err := a.logon(t, file, secret, "--proxy_lifetime", "2")
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	c, err := gsi.LoadProxy(file)
	if err != nil {
		t.Fatal(err)
	}
	const identity = "/O=Test/OU=online/CN=" + user
	if c.Identity() != identity || (time.Until(c.NotAfter())-2*time.Hour).Abs() > time.Minute {
		t.Errorf("issued a %s", c)
	}
	if !strings.Contains(a.Log(), "certificate issued") || !strings.Contains(a.Log(), c.Chain[0].SerialNumber.Text(16)) {
		t.Errorf("the log does not tell of it:\n%s", a.Log())
	}

	env := globus.ClientEnv(a.ca, file)
	src := globus.NewServer(t, globus.Options{CA: a.ca, Identities: []string{identity}})
	dst := globus.NewServer(t, globus.Options{CA: a.ca, Identities: []string{identity}})
	content := filepath.Join(t.TempDir(), "x")
	if err := os.WriteFile(content, []byte("certified"), 0o600); err != nil {
		t.Fatal(err)
	}
	globus.URLCopy(t, env, "file://"+content, src.URL("in"))
	globus.URLCopy(t, env, src.URL("in"), dst.URL("out"))
	if got, err := os.ReadFile(dst.Path("out")); err != nil || string(got) != "certified" {
		t.Errorf("%q, %v", got, err)
	}
}

func TestRefusesDebiansClient(t *testing.T) {
	a := newAuthority(t, "  failures: {user: 3}\n", "/bin/sh", "-c", verify)
	file := filepath.Join(t.TempDir(), "credential")
	for range 3 {
		out, err := a.logon(t, file, "wrong horse")
		if err == nil || !strings.Contains(out, "invalid pass phrase") {
			t.Errorf("%v\n%s", err, out)
		}
	}
	out, err := a.logon(t, file, secret)
	if err == nil || !strings.Contains(out, "too many failures") {
		t.Errorf("%v\n%s", err, out)
	}
	if _, err := os.Stat(file); err == nil {
		t.Error("there is a credential")
	}
	c := &myproxy.Client{Server: a.addr(), Trust: a.ca.Trust()}
	_, err = c.Logon(t.Context(), myproxy.Request{User: user, Passphrase: []byte(secret)})
	refused(t, err, myproxy.Denied)
}

// TestTrustRoots fetches them with Debian's client, into a directory that had
// the host's authority alone.
func TestTrustRoots(t *testing.T) {
	a := newAuthority(t, "", "/bin/sh", "-c", verify)
	roots, err := (&myproxy.Client{Server: a.addr(), Trust: a.ca.Trust()}).TrustRoots(t.Context())
	if err != nil || len(roots) != 8 {
		t.Errorf("%d files, %v", len(roots), err)
	}
	file := filepath.Join(t.TempDir(), "credential")
	a.ca.Dir = gsiDir(t, a.ca.Dir)
	out, err := a.logon(t, file, secret, "--trustroots")
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	c, err := gsi.LoadProxy(file)
	if err != nil {
		t.Fatal(err)
	}
	trust, err := gsi.LoadTrust(a.ca.Dir)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := trust.Verify(c.Chain, time.Now()); err != nil {
		t.Errorf("with the roots that were fetched: %v", err)
	}
}

// gsiDir copies the authority of hosts out of a trust directory.
func gsiDir(t *testing.T, from string) string {
	t.Helper()
	dir := t.TempDir()
	entries, err := os.ReadDir(from)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		content, err := os.ReadFile(filepath.Join(from, e.Name()))
		if err != nil {
			t.Fatal(err)
		}
		if strings.HasSuffix(e.Name(), ".0") {
			if c, err := exec.Command(harness.Need(t, "openssl"), "x509", "-noout", "-subject", "-in", filepath.Join(from, e.Name())).Output(); err != nil {
				t.Fatal(err)
			} else if strings.Contains(string(c), "Online CA") {
				continue
			}
		} else if strings.Contains(string(content), "Online CA") {
			continue
		}
		if err := os.WriteFile(filepath.Join(dir, e.Name()), content, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// TestPAM verifies pass phrases as the manual says for PAM.
func TestPAM(t *testing.T) {
	harness.NeedRoot(t, "PAM is configured in a mount namespace of its own")
	harness.Need(t, "pamtester")
	dir := t.TempDir()
	check := filepath.Join(dir, "check")
	pam := filepath.Join(dir, "pam.d")
	if err := os.Mkdir(pam, 0o755); err != nil {
		t.Fatal(err)
	}
	for path, text := range map[string]string{
		check:                           "#!/bin/sh\n[ \"$(tr -d '\\0')\" = '" + secret + "' ] && [ \"$PAM_USER\" = " + user + " ]\n",
		filepath.Join(pam, "gridferry"): "auth required pam_exec.so quiet expose_authtok " + check + "\naccount required pam_permit.so\n",
	} {
		if err := os.WriteFile(path, []byte(text), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	a := newAuthority(t, "", harness.Need(t, "unshare"), "--mount", "--", "sh", "-c",
		`mount --bind "$0" /etc/pam.d && exec pamtester gridferry "$GRIDFERRY_USER" authenticate acct_mgmt`, pam)
	c := &myproxy.Client{Server: a.addr(), Trust: a.ca.Trust()}
	if _, err := c.Logon(t.Context(), myproxy.Request{User: user, Passphrase: []byte(secret)}); err != nil {
		t.Error(err)
	}
	_, err := c.Logon(t.Context(), myproxy.Request{User: user, Passphrase: []byte("wrong horse")})
	refused(t, err, myproxy.WrongPassphrase)
	_, err = c.Logon(t.Context(), myproxy.Request{User: "eve", Passphrase: []byte(secret)})
	refused(t, err, myproxy.WrongPassphrase)
}
