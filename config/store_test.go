package config_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/gridferry/gridferry/config"
)

func TestStoreAndVault(t *testing.T) {
	dir := t.TempDir()
	write := func(name string, mode os.FileMode) string {
		t.Helper()
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte("x\n"), mode); err != nil {
			t.Fatal(err)
		}
		return path
	}
	secret, open := write("secret", 0o600), write("open", 0o644)
	for what, c := range map[string]struct {
		text string
		want string // in the one complaint; empty: none
	}{
		"nothing":                  {"", ""},
		"PostgreSQL":               {"store: {url: postgres://me@db.example.org/gridferry, password_file: " + secret + "}", ""},
		"PostgreSQL on a socket":   {"store: {url: 'postgres:///gridferry?host=/run/postgresql'}", ""},
		"a password in the URL":    {"store: {url: 'postgres://me:planted@db.example.org/x'}", "store.password_file"},
		"a password beside it":     {"store: {url: 'postgres://db.example.org/x?password=planted'}", "store.password_file"},
		"not a URL":                {"store: {url: 'postgres://me:planted@[/x'}", "not a URL"},
		"no database":              {"store: {url: 'postgres://db.example.org'}", "names no database"},
		"another kind":             {"store: {url: 'mysql://db.example.org/x'}", "mysql"},
		"two stores":               {"store: {url: 'postgres:///x', path: /var/lib/store.db}", "one place"},
		"a password for a file":    {"store: {password_file: " + secret + "}", "has no password"},
		"a password for everybody": {"store: {url: 'postgres:///x', password_file: " + open + "}", "chmod 600"},
		"keys to come":             {"vault: {keyset_file: " + filepath.Join(dir, "none") + "}", ""},
		"keys for everybody":       {"vault: {keyset_file: " + open + "}", "chmod 600"},
		"keys that KMS wraps":      {"vault: {keyset_env: KEYS, kms_key: alias/gridferry}", ""},
		"keys in two places":       {"vault: {keyset_env: KEYS, keyset_file: " + secret + "}", "one place"},
	} {
		path := filepath.Join(dir, "gridferryd.yaml")
		if err := os.WriteFile(path, []byte("data_dir: "+dir+"\n"+c.text+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		cfg, err := config.Load(config.Options{Path: path, Environ: []string{}})
		if err != nil {
			t.Errorf("%s: %v", what, err)
			continue
		}
		problems := cfg.Check(nil)
		switch {
		case c.want == "" && len(problems) > 0:
			t.Errorf("%s: %v", what, problems)
		case c.want != "" && (len(problems) != 1 || !strings.Contains(problems.Error(), c.want)):
			t.Errorf("%s: %v, want one with %q", what, problems, c.want)
		case strings.Contains(problems.Error(), "planted"):
			t.Errorf("%s: the password is told: %v", what, problems)
		}
		if want := filepath.Join(dir, "vault.keyset"); what == "nothing" && cfg.Vault.KeysetFile != want {
			t.Errorf("the keyset is in %s, want %s", cfg.Vault.KeysetFile, want)
		}
	}
}
