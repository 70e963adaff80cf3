package sftp_test

import (
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	xssh "golang.org/x/crypto/ssh"

	"github.com/gridferry/gridferry/endpoints"
	driver "github.com/gridferry/gridferry/endpoints/sftp"
	"github.com/gridferry/gridferry/fault"
	"github.com/gridferry/gridferry/integration/harness"
	"github.com/gridferry/gridferry/integration/sftp"
)

// wants fails unless err is of that kind and says all of these.
func wants(t *testing.T, what string, err error, kind fault.Kind, say ...string) {
	t.Helper()
	if !fault.Is(err, kind) {
		t.Errorf("%s is %s, want %s: %v", what, fault.KindOf(err), kind, err)
		return
	}
	for _, s := range say {
		if !strings.Contains(err.Error(), s) {
			t.Errorf("%s: %v\nwant %q in it", what, err, s)
		}
	}
	t.Logf("%s: %v", what, err)
}

// Who is not let in reads why, and what to do.
func TestLoginsRefused(t *testing.T) {
	d, server := newDriver(t), sftp.NewServer(t)
	dir := t.TempDir()
	file := func(name, text string) string {
		path := filepath.Join(dir, name)
		must(t, os.WriteFile(path, []byte(text), 0o600))
		return path
	}
	guarded := filepath.Join(dir, "guarded")
	sftp.NewKey(t, guarded, "-N", "pass phrase")
	sftp.NewKey(t, filepath.Join(dir, "stranger"))
	stranger, err := os.ReadFile(filepath.Join(dir, "stranger.pub"))
	must(t, err)
	host := fmt.Sprintf("[127.0.0.1]:%d ", server.Port)
	fingerprint := func(public string) string {
		key, _, _, _, err := xssh.ParseAuthorizedKey([]byte(public))
		must(t, err)
		return xssh.FingerprintSHA256(key)
	}
	for _, c := range []struct {
		name       string
		id         driver.Identity
		knownHosts string
		jump       string
		kind       fault.Kind
		say        []string
	}{
		{name: "wrong key", id: sftp.Identity(server.OtherKey()), kind: fault.Credential,
			say: []string{"log in to lab#ssh", "does not let in \"" + server.User + "\"", "permission denied", "ssh-ed25519 SHA256:", "authorized_keys"}},
		{name: "no key", id: driver.Identity{Owner: "ada"}, kind: fault.Credential, say: []string{"nothing to log in with", "ssh_key"}},
		{name: "pass phrase", id: sftp.Identity(guarded), kind: fault.Credential, say: []string{guarded, "pass phrase", "ssh-agent"}},
		{name: "no file", id: sftp.Identity(filepath.Join(dir, "gone")), kind: fault.Credential, say: []string{"no such file"}},
		{name: "no agent", id: driver.Identity{Owner: "ada", Keys: func(ctx context.Context) ([]xssh.Signer, func(), error) {
			return driver.AgentKeys(ctx, filepath.Join(dir, "no-agent"))
		}}, kind: fault.Credential, say: []string{"reach the ssh-agent"}},
		{name: "unknown host", id: sftp.Identity(server.KeyFile()), knownHosts: file("empty", ""), kind: fault.Credential,
			say: []string{"is not known", "ssh-ed25519 " + fingerprint(server.HostKey(t)), fmt.Sprintf("ssh-keyscan -p %d 127.0.0.1 >> %s", server.Port, filepath.Join(dir, "empty"))}},
		{name: "no known hosts", id: sftp.Identity(server.KeyFile()), knownHosts: filepath.Join(dir, "none"), kind: fault.Credential, say: []string{"is not known"}},
		{name: "changed host key", id: sftp.Identity(server.KeyFile()), knownHosts: file("changed", host+string(stranger)), kind: fault.Credential,
			say: []string{"has changed", fingerprint(server.HostKey(t)), fingerprint(string(stranger)), "ssh-keygen -R", "ssh-keyscan", "in between"}},
		{name: "revoked host key", id: sftp.Identity(server.KeyFile()), knownHosts: file("revoked", "@revoked * "+server.HostKey(t)+"\n"), kind: fault.Credential, say: []string{"is revoked"}},
		{name: "unreadable known hosts", id: sftp.Identity(server.KeyFile()), knownHosts: file("odd", host+"ssh-ed25519 !!\n"), kind: fault.Credential, say: []string{filepath.Join(dir, "odd") + ":1"}},
		{name: "jump nowhere", id: sftp.Identity(server.KeyFile()), jump: fmt.Sprintf("127.0.0.1:%d", harness.FreePort(t)), kind: fault.Transient, say: []string{"log in to lab#ssh", "connection refused"}},
	} {
		rec := server.Record("")
		if c.knownHosts != "" {
			rec.Options["known_hosts"] = c.knownHosts
		}
		if c.jump != "" {
			rec.Options["jump"] = c.jump
		}
		_, err := d.Open(t.Context(), rec, c.id)
		wants(t, c.name, err, c.kind, c.say...)
	}
	rec := server.Record("")
	rec.Servers = []string{fmt.Sprintf("127.0.0.1:%d", harness.FreePort(t))}
	_, err = d.Open(t.Context(), rec, sftp.Identity(server.KeyFile()))
	wants(t, "nobody there", err, fault.Transient, "connection refused")
	_, err = d.Open(t.Context(), server.Record("/no/such/directory"), sftp.Identity(server.KeyFile()))
	wants(t, "missing root", err, fault.NotFound, "/no/such/directory", "no such file or directory")
	_, err = d.Open(t.Context(), server.Record("/etc/passwd"), sftp.Identity(server.KeyFile()))
	wants(t, "root that is a file", err, fault.NotFound, "no directory")

	shell := sftp.NewServer(t, "ForceCommand /bin/cat")
	_, err = d.Open(t.Context(), shell.Record(""), sftp.Identity(shell.KeyFile()))
	wants(t, "a server that runs something else", err, fault.Unsupported, "forced command")
}

// Certificates, agents, jump hosts, and authorities that vouch for hosts.
func TestWaysToLogIn(t *testing.T) {
	dir := t.TempDir()
	authority := filepath.Join(dir, "authority")
	sftp.NewKey(t, authority)
	gate := sftp.NewServer(t)
	server := sftp.NewServer(t, "TrustedUserCAKeys "+authority+".pub")
	known, err := os.ReadFile(gate.KnownHosts())
	must(t, err)
	f, err := os.OpenFile(server.KnownHosts(), os.O_APPEND|os.O_WRONLY, 0)
	must(t, err)
	_, err = f.Write(known)
	must(t, err)
	must(t, f.Close())
	works := func(name string, rec endpoints.Record, id driver.Identity) {
		t.Helper()
		d := newDriver(t)
		s, err := d.Open(t.Context(), rec, id)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			return
		}
		defer s.Close()
		if _, err := s.Stat(t.Context(), "/"); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}

	certified := filepath.Join(dir, "certified")
	sftp.NewKey(t, certified)
	run(t, "ssh-keygen", "-q", "-s", authority, "-I", "ada", "-n", server.User, certified+".pub")
	works("a certificate", server.Record(""), sftp.Identity(certified))

	socket := filepath.Join(dir, "agent")
	harness.Start(t, harness.Command{Path: harness.Need(t, "ssh-agent"), Args: []string{"-D", "-a", socket}})
	harness.Eventually(t, 10*time.Second, func() error {
		c, err := net.Dial("unix", socket)
		if err == nil {
			err = c.Close()
		}
		return err
	})
	add := exec.Command(harness.Need(t, "ssh-add"), "-q", server.KeyFile())
	add.Env = append(os.Environ(), "SSH_AUTH_SOCK="+socket)
	if out, err := add.CombinedOutput(); err != nil {
		t.Fatalf("ssh-add: %v: %s", err, out)
	}
	works("an agent", server.Record(""), driver.Identity{Owner: "ada", Fingerprint: "agent", Keys: func(ctx context.Context) ([]xssh.Signer, func(), error) {
		return driver.AgentKeys(ctx, socket)
	}})

	both := func(context.Context) ([]xssh.Signer, func(), error) {
		one, err := driver.LoadKey(gate.KeyFile(), "")
		if err != nil {
			return nil, nil, err
		}
		two, err := driver.LoadKey(server.KeyFile(), "")
		return append(one, two...), nil, err
	}
	rec := server.Record("")
	rec.Options["jump"] = gate.User + "@" + gate.Addr
	works("a jump host", rec, driver.Identity{Owner: "ada", Fingerprint: "both", Keys: both})
	if !strings.Contains(gate.Log(), "Accepted publickey") {
		t.Errorf("nobody came by way of the jump host: %s", gate.Log())
	}

	run(t, "ssh-keygen", "-q", "-s", authority, "-h", "-I", "host", "-n", "127.0.0.1", server.HostKeyFile()+".pub")
	vouched := sftp.NewServer(t, "HostCertificate "+server.HostKeyFile()+"-cert.pub", "HostKey "+server.HostKeyFile())
	public, err := os.ReadFile(authority + ".pub")
	must(t, err)
	rec = vouched.Record("")
	rec.Options["known_hosts"] = filepath.Join(dir, "authorities")
	must(t, os.WriteFile(rec.Options["known_hosts"], []byte("@cert-authority ["+strings.Replace(vouched.Addr, ":", "]:", 1)+" "+string(public)), 0o600))
	works("an authority of host keys", rec, sftp.Identity(vouched.KeyFile()))
}

func run(t *testing.T, command string, args ...string) {
	t.Helper()
	if out, err := exec.Command(harness.Need(t, command), args...).CombinedOutput(); err != nil {
		t.Fatalf("%s: %v\n%s", command, err, out)
	}
}

// What is refused at a path says which, and why.
func TestPathsRefused(t *testing.T) {
	d, server := newDriver(t), sftp.NewServer(t)
	root := t.TempDir()
	must(t, os.Symlink("/etc", filepath.Join(root, "out")))
	must(t, os.Symlink("/etc/hostname", filepath.Join(root, "file")))
	s := open(t, d, server, server.Record(root))
	ctx := t.Context()
	nothing := func([]endpoints.Entry) error { return nil }

	// No link leads out of a root.
	_, err := s.Stat(ctx, "/out/passwd")
	wants(t, "stat behind a link", err, fault.Permission, "/out/passwd", "leads out")
	wants(t, "list behind a link", s.List(ctx, "/out", nothing), fault.Permission, "leads out")
	_, err = s.Open(ctx, "/file", 0, -1)
	wants(t, "open of a link", err, fault.Permission, "leads out")
	_, err = s.Create(ctx, "/file", endpoints.CreateOptions{Size: 1})
	wants(t, "create over a link", err, fault.Permission, "leads out")
	wants(t, "remove behind a link", s.Remove(ctx, "/out/hostname"), fault.Permission, "leads out")
	wants(t, "mode of a link", s.SetMode(ctx, "/file", 0o600), fault.Permission, "leads out")
	must(t, s.Remove(ctx, "/file"))

	wants(t, "list of a missing directory", s.List(ctx, "/gone", nothing), fault.NotFound, "list /gone", "no such file or directory")
	_, err = s.Create(ctx, "/"+strings.Repeat("n", 300), endpoints.CreateOptions{Size: 1})
	wants(t, "a name that is too long", err, fault.Invalid, "takes no such name")
	wants(t, "a time before 1970", s.SetModTime(ctx, "/out", time.Unix(-5, 0)), fault.Unsupported, "before 1970")
}

// A disk may be full, or read-only.
func TestNoSpace(t *testing.T) {
	harness.NeedRoot(t, "to have a small disk")
	d, full := newDriver(t), sftp.NewServer(t)
	disk := t.TempDir()
	if err := syscall.Mount("tmpfs", disk, "tmpfs", 0, "size=3m"); err != nil {
		harness.Lacking(t, fmt.Sprintf("needs to mount a tmpfs: %v", err))
	}
	t.Cleanup(func() { must(t, syscall.Unmount(disk, 0)) })
	fs := open(t, d, full, full.Record(disk))
	w, err := fs.Create(t.Context(), "/f", endpoints.CreateOptions{Size: 8 << 20})
	must(t, err)
	_, err = io.Copy(struct{ io.Writer }{w}, io.LimitReader(zeros{}, 8<<20))
	if err == nil {
		err = w.Commit()
	}
	wants(t, "writing to a full disk", err, fault.NoSpace, "write /f", "no space")
	must(t, w.Abort())
	must(t, fs.Remove(t.Context(), "/f"))
	harness.Eventually(t, 10*time.Second, func() error { // once the server has closed what was given up
		if n, err := fs.Free(t.Context(), "/"); err != nil || n < 2<<20 || n > 3<<20 {
			return fmt.Errorf("%d bytes are free, %w", n, err)
		}
		return nil
	})
	run(t, "mount", "-o", "remount,ro", disk)
	_, err = fs.Create(t.Context(), "/g", endpoints.CreateOptions{Size: 1})
	wants(t, "a disk that is read-only", err, fault.Permission, "read-only")
}

type zeros struct{}

func (zeros) Read(b []byte) (int, error) { clear(b); return len(b), nil }
