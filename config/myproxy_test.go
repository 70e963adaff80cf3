package config_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/gridferry/gridferry/config"
)

func TestMyProxy(t *testing.T) {
	dir := t.TempDir()
	write := func(name string, mode os.FileMode) string {
		t.Helper()
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte("#!/bin/sh\n"), mode); err != nil {
			t.Fatal(err)
		}
		return path
	}
	cert, key, program := write("cert", 0o644), write("key", 0o600), write("check", 0o755)
	parts := "cert: " + cert + ", key: " + key + ", ca_cert: " + cert + ", ca_key: " + key + `, subject: "/CN={user}"`
	for what, c := range map[string]struct {
		text string
		want string // in the one complaint; empty: none
	}{
		"a command":            {"{" + parts + ", command: [" + program + ", -x]}", ""},
		"tokens":               {"{" + parts + `, oidc: {issuer: "https://id.example.org", audience: grid}}`, ""},
		"tokens of this host":  {"{" + parts + `, oidc: {issuer: "http://127.0.0.1:8080/x", audience: grid}}`, ""},
		"nobody can log on":    {"{" + parts + "}", "nobody could log on"},
		"no subject":           {"{" + strings.Split(parts, ", subject")[0] + ", command: [" + program + "]}", "myproxy.subject"},
		"an open key":          {"{" + strings.ReplaceAll(parts, "ca_key: "+key, "ca_key: "+cert) + ", command: [" + program + "]}", "myproxy.ca_key"},
		"a relative command":   {"{" + parts + ", command: [sh]}", "not an absolute path"},
		"no program":           {"{" + parts + ", command: [" + cert + "]}", "not a program"},
		"an issuer in clear":   {"{" + parts + `, oidc: {issuer: "http://id.example.org", audience: grid}}`, "use https"},
		"an issuer of nothing": {"{" + parts + `, oidc: {issuer: "id.example.org", audience: grid}}`, "not a URL"},
		"no audience":          {"{" + parts + `, oidc: {issuer: "https://id.example.org"}}`, "myproxy.oidc.audience"},
		"negative failures":    {"{" + parts + ", command: [" + program + "], failures: {user: -1}}", "myproxy.failures.user"},
		"negative window":      {"{" + parts + ", command: [" + program + "], failures: {window: -1m}}", "window"},
	} {
		path := filepath.Join(dir, "gridferryd.yaml")
		if err := os.WriteFile(path, []byte("data_dir: "+dir+"\nroles: [myproxy]\nmyproxy: "+c.text+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		cfg, err := config.Load(config.Options{Path: path, Environ: []string{}})
		if err != nil {
			if c.want == "" || !strings.Contains(err.Error(), c.want) {
				t.Errorf("%s: %v", what, err)
			}
			continue
		}
		problems := cfg.Check(nil)
		switch {
		case c.want == "" && len(problems) > 0:
			t.Errorf("%s: %v", what, problems)
		case c.want != "" && !strings.Contains(problems.Error(), c.want):
			t.Errorf("%s: %v, want %q", what, problems, c.want)
		}
		if m := cfg.MyProxy; m.Listen != ":7512" || time.Duration(m.MaxLifetime) != 12*time.Hour || m.OIDC.Claim != "preferred_username" {
			t.Errorf("%s: the defaults are %+v", what, m)
		}
	}
}
