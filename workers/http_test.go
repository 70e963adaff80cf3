package workers

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/gridferry/gridferry/config"
	"github.com/gridferry/gridferry/endpoints"
	"github.com/gridferry/gridferry/endpoints/http"
	"github.com/gridferry/gridferry/fault"
	"github.com/gridferry/gridferry/wire/gsi/gsitest"
)

func TestWebURLs(t *testing.T) {
	o := s3Opener(t, &config.Config{})
	for url, want := range map[string]endpoints.Record{
		"https://data.example.org:443":    {Kind: http.Kind, Scheme: "https", Servers: []string{"data.example.org:443"}},
		"davs://ada@dcache.example.org:1": {Kind: http.Kind, Scheme: "davs", Servers: []string{"dcache.example.org:1"}, User: "ada"},
	} {
		rec, err := o.Resolve(t.Context(), url)
		if err != nil || rec.Kind != want.Kind || rec.Scheme != want.Scheme || rec.User != want.User || rec.Servers[0] != want.Servers[0] {
			t.Errorf("%s: %+v, %v", url, rec, err)
		}
	}
}

// Who may not use a credential does not get it, and no error has it.
func TestWebIdentities(t *testing.T) {
	const secret = "no-log-has-this"
	dir := t.TempDir()
	file := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	ca := gsitest.NewCA(t)
	proxy := ca.ProxyFile(ca.Proxy(ca.User("Ada")))
	t.Setenv("BEARER_TOKEN", "")
	t.Setenv("BEARER_TOKEN_FILE", file("bt", secret+"\n"))
	everybody := []string{"*"}
	o := s3Opener(t, &config.Config{Credentials: map[string]config.Credential{
		"token":    {Owners: []string{"ada"}, TokenFile: file("token", secret+"\n")},
		"words":    {Owners: everybody, TokenFile: file("words", secret+" and "+secret)},
		"password": {Owners: everybody, PasswordFile: file("password", secret+"\n")},
		"proxy":    {Owners: everybody, Proxy: proxy},
		"keys":     {Owners: everybody, AWSFile: "/keys"},
		"env":      {Owners: []string{"ada"}},
	}})
	whose, nobodys := endpoints.Record{Name: "lab#web", Kind: http.Kind, User: "ada"}, endpoints.Record{Name: "lab#web", Kind: http.Kind}
	seen := map[string]bool{}
	for _, c := range []struct {
		rec               endpoints.Record
		owner, credential string
		kind              fault.Kind
		has               string
	}{
		{whose, "ada", "", "", "nothing"},
		{whose, "ada", "file:token", "", "token"},
		{whose, "eve", "file:token", fault.Permission, ""},
		{whose, "ada", "file:words", fault.Credential, ""},
		{whose, "eve", "file:password", "", "password"},
		{nobodys, "eve", "file:password", fault.Credential, ""},
		{nobodys, "eve", "file:proxy", "", "certificate"},
		{whose, "eve", "file:keys", fault.Credential, ""},
		{whose, "ada", "env", "", "token"},
		{whose, "eve", "env", fault.Permission, ""},
	} {
		id, err := o.webIdentity(c.rec, c.owner, c.credential)
		if c.kind != "" {
			if !fault.Is(err, c.kind) || strings.Contains(err.Error(), secret) {
				t.Errorf("%s with %q: %v", c.owner, c.credential, err)
			}
			continue
		}
		has := "nothing"
		switch {
		case id.Token == secret:
			has = "token"
		case id.Password == secret:
			has = "password"
		case id.Certificate != nil:
			has = "certificate"
		}
		if err != nil || has != c.has || seen[id.Fingerprint] || (id.Fingerprint == "") != (has == "nothing") {
			t.Errorf("%s with %q: %s, fingerprint %q, %v", c.owner, c.credential, has, id.Fingerprint, err)
		}
		seen[id.Fingerprint] = true
	}
}
