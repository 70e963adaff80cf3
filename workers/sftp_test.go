package workers

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/gridferry/gridferry/config"
	"github.com/gridferry/gridferry/endpoints"
	"github.com/gridferry/gridferry/endpoints/sftp"
	"github.com/gridferry/gridferry/fault"
)

func TestSFTPURLs(t *testing.T) {
	rec, err := s3Opener(t, &config.Config{}).Resolve(t.Context(), "sftp://ada@ssh.example.org:2022")
	if err != nil || rec.Kind != sftp.Kind || rec.User != "ada" || strings.Join(rec.Servers, "") != "ssh.example.org:2022" || rec.Site != "" {
		t.Errorf("%+v, %v", rec, err)
	}
}

// Who may not use a key does not get it, and each key is a fingerprint of its own.
func TestSSHIdentities(t *testing.T) {
	home := t.TempDir()
	t.Setenv("HOME", home)
	t.Setenv("SSH_AUTH_SOCK", "")
	key := func(name string) string {
		file := filepath.Join(home, name)
		if out, err := exec.Command("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", file).CombinedOutput(); err != nil {
			t.Skipf("needs ssh-keygen: %v: %s", err, out)
		}
		return file
	}
	if err := os.Mkdir(filepath.Join(home, ".ssh"), 0o700); err != nil {
		t.Fatal(err)
	}
	lab, own := key("lab"), key(".ssh/id_ed25519")
	password := filepath.Join(home, "password")
	if err := os.WriteFile(password, []byte("open sesame\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	o := s3Opener(t, &config.Config{Credentials: map[string]config.Credential{
		"lab":   {Owners: []string{"ada"}, SSHKey: lab},
		"all":   {Owners: []string{"*"}, SSHKey: own},
		"word":  {Owners: []string{"*"}, PasswordFile: password},
		"agent": {Owners: []string{"*"}, SSHAgent: filepath.Join(home, "no-agent")},
		"proxy": {Owners: []string{"*"}, Proxy: "/tmp/x509"},
	}})
	rec := endpoints.Record{Name: "lab#ssh", Kind: sftp.Kind, Servers: []string{"h"}}
	seen := map[string]string{}
	for _, c := range []struct {
		owner, credential string
		kind              fault.Kind // of finding it
		keys              string     // in the error of loading it; "-" is none
	}{
		{"ada", "file:lab", "", "-"},
		{"eve", "file:lab", fault.Permission, ""},
		{"eve", "file:all", "", "-"},
		{"ada", "file:agent", "", "reach the ssh-agent"},
		{"ada", "file:proxy", fault.Credential, ""},
		{"ada", "file:gone", fault.Credential, ""},
		{"ada", "", fault.Permission, ""},
		{o.account, "", "", "-"},
	} {
		id, err := o.sshIdentity(rec, c.owner, c.credential)
		if c.kind != "" {
			if !fault.Is(err, c.kind) {
				t.Errorf("%s with %q: %v", c.owner, c.credential, err)
			}
			continue
		}
		if err != nil {
			t.Errorf("%s with %q: %v", c.owner, c.credential, err)
			continue
		}
		if other, twice := seen[id.Fingerprint]; twice {
			t.Errorf("%q has the fingerprint of %q", c.credential, other)
		}
		seen[id.Fingerprint] = c.credential
		keys, _, err := id.Keys(t.Context())
		if c.keys == "-" && (err != nil || len(keys) != 1) || c.keys != "-" && (err == nil || !strings.Contains(err.Error(), c.keys)) {
			t.Errorf("%s with %q: %d keys, %v", c.owner, c.credential, len(keys), err)
		}
	}
	id, err := o.sshIdentity(rec, "ada", "file:word")
	if err != nil || id.Password != "open sesame" || id.Keys != nil {
		t.Errorf("a password: %v, %v", id.Keys != nil, err)
	}
}
