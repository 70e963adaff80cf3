package workers

import (
	"context"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/gridferry/gridferry/config"
	"github.com/gridferry/gridferry/endpoints"
	"github.com/gridferry/gridferry/endpoints/memory"
	"github.com/gridferry/gridferry/fault"
	"github.com/gridferry/gridferry/wire/gsi/gsitest"
)

func newOpener(t *testing.T, c *config.Config) *Opener {
	t.Helper()
	o, err := NewOpener(c, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	o.account = "worker"
	t.Cleanup(o.Close)
	return o
}

func reload(t *testing.T, o *Opener, c *config.Config) {
	t.Helper()
	if err := o.Reload(c); err != nil {
		t.Fatal(err)
	}
}

func TestResolve(t *testing.T) {
	dtn := endpoints.Record{Name: "lab#dtn", Kind: "gridftp", Servers: []string{"a", "b"}}
	o := newOpener(t, &config.Config{Endpoints: map[string]endpoints.Record{"lab#dtn": dtn}})
	for endpoint, want := range map[string]endpoints.Record{
		"lab#dtn":                   dtn,
		"gsiftp://dtn.example:2811": {Kind: "gridftp", Scheme: "gsiftp", Servers: []string{"dtn.example:2811"}},
		"ftp://ada@ftp.example:21":  {Kind: "gridftp", Scheme: "ftp", User: "ada", Servers: []string{"ftp.example:21"}},
		"sshftp://[2001:db8::1]:22": {Kind: "gridftp", Scheme: "sshftp", Servers: []string{"[2001:db8::1]:22"}},
		"file://node1.example":      {Kind: "posix", Site: "node1.example"},
	} {
		got, err := o.Resolve(t.Context(), endpoint)
		if err != nil || got.Name != want.Name || got.Kind != want.Kind || got.Scheme != want.Scheme || got.User != want.User || got.Site != want.Site ||
			strings.Join(got.Servers, " ") != strings.Join(want.Servers, " ") {
			t.Errorf("%s: %+v, %v", endpoint, got, err)
		}
	}
	for endpoint, kind := range map[string]fault.Kind{"nobody#here": fault.NotFound, "gopher://a:70": fault.Invalid, "file://": fault.Invalid, "gsiftp://": fault.Invalid} {
		if _, err := o.Resolve(t.Context(), endpoint); !fault.Is(err, kind) {
			t.Errorf("%s: %v, want %s", endpoint, err, kind)
		}
	}
	reload(t, o, &config.Config{})
	if _, err := o.Resolve(t.Context(), "lab#dtn"); !fault.Is(err, fault.NotFound) {
		t.Errorf("after it was taken out of the configuration: %v", err)
	}
}

func TestRootsAreTheirOwners(t *testing.T) {
	base := t.TempDir()
	for _, d := range []string{"ann", "pub/x", "secret"} {
		if err := os.MkdirAll(filepath.Join(base, d), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	o := newOpener(t, &config.Config{Site: "here", Roots: map[string][]string{
		"ann":            {base + "/ann", base + "/not-there"},
		config.Everybody: {base + "/pub"},
	}})
	url := endpoints.Record{Kind: "posix", Site: "Here"}
	see := func(rec endpoints.Record, owner, path string) error {
		s, err := o.Open(t.Context(), rec, owner, "")
		if err != nil {
			return err
		}
		defer s.Close()
		_, err = s.Stat(t.Context(), path)
		return err
	}
	for _, c := range []struct {
		rec         endpoints.Record
		owner, path string
		want        fault.Kind
	}{
		{url, "ann", base + "/ann", ""},
		{url, "ann", base + "/pub/x", ""},
		{url, "bob", base + "/pub", ""},
		{url, "bob", base + "/ann", fault.Permission},
		{url, "ann", base + "/secret", fault.Permission},
		{url, "ann", "/etc", fault.Permission},
		{endpoints.Record{Kind: "posix", Site: "elsewhere"}, "ann", "/", fault.Unsupported},
		{endpoints.Record{Kind: "posix"}, "ann", "/", fault.Invalid},
		{endpoints.Record{Kind: "posix", Site: "here", Root: base + "/pub"}, "bob", "/x", ""},
		{endpoints.Record{Kind: "posix", Site: "here", Root: base + "/pub/x"}, "bob", "/", ""},
		{endpoints.Record{Kind: "posix", Site: "here", Root: base + "/pubx"}, "bob", "/", fault.Permission},
		{endpoints.Record{Kind: "posix", Site: "here", Root: base + "/ann"}, "bob", "/", fault.Permission},
		{endpoints.Record{Kind: "posix", Site: "here", Options: map[string]string{"colour": "red"}}, "bob", "/", fault.Invalid},
		{endpoints.Record{Kind: "tape"}, "bob", "/", fault.Invalid},
	} {
		if err := see(c.rec, c.owner, c.path); fault.KindOf(err) != c.want {
			t.Errorf("%s of %+v as %s: %v, want %q", c.path, c.rec, c.owner, err, c.want)
		}
	}
	reload(t, o, &config.Config{Site: "here"})
	if err := see(url, "ann", "/"); !fault.Is(err, fault.Permission) || !strings.Contains(err.Error(), "roots") {
		t.Errorf("nothing is allowed to anybody: %v", err)
	}
}

// closedPort is an address where nobody listens: an Opener that gets as far as
// dialling it has passed the credential.
func closedPort(t *testing.T) string {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

func TestCredentialsAreTheirOwners(t *testing.T) {
	ca := gsitest.NewCA(t)
	dir := t.TempDir()
	file := func(name string) string { return filepath.Join(dir, name) }
	if err := ca.Proxy(ca.User("Robot")).SaveProxy(file("proxy")); err != nil {
		t.Fatal(err)
	}
	if err := ca.User("Pair").SavePair(file("cert"), file("key")); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file("password"), []byte("open sesame\nnot this"), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("X509_USER_PROXY", file("proxy"))
	c := &config.Config{TrustDir: ca.Dir, Credentials: map[string]config.Credential{
		"robot": {Owners: []string{"ann"}, Proxy: file("proxy")},
		"pair":  {Owners: []string{config.Everybody}, Cert: file("cert"), Key: file("key")},
		"word":  {Owners: []string{"ann"}, PasswordFile: file("password")},
		"gone":  {Owners: []string{"ann"}, Proxy: file("gone")},
	}}
	o := newOpener(t, c)
	gsiftp := endpoints.Record{Kind: "gridftp", Servers: []string{closedPort(t)}}
	ftp := endpoints.Record{Kind: "gridftp", Scheme: "ftp", User: "ada", Servers: gsiftp.Servers}
	own := gsiftp
	own.Credential = "file:robot"
	const passed = fault.Transient // nobody listens
	for _, x := range []struct {
		rec               endpoints.Record
		owner, credential string
		want              fault.Kind
	}{
		{gsiftp, "ann", "file:robot", passed},
		{gsiftp, "bob", "file:robot", fault.Permission},
		{own, "ann", "", passed},
		{own, "bob", "", fault.Permission},
		{own, "bob", "file:pair", passed},
		{gsiftp, "bob", "file:pair", passed},
		{gsiftp, "ann", "file:nobody", fault.Credential},
		{gsiftp, "ann", "file:gone", fault.Credential},
		{gsiftp, "ann", "file:word", fault.Credential},
		{gsiftp, "ann", "secret", fault.Credential},
		{gsiftp, "worker", "", passed},
		{gsiftp, "", "", passed},
		{gsiftp, "ann", "", fault.Permission},
		{gsiftp, "ann", "env", fault.Permission},
		{ftp, "ann", "", passed},
		{ftp, "ann", "file:word", passed},
		{ftp, "bob", "file:word", fault.Permission},
		{ftp, "ann", "file:robot", fault.Credential},
		{endpoints.Record{Kind: "gridftp", Scheme: "sshftp", Servers: []string{"h"}}, "ann", "", fault.Permission},
	} {
		s, err := o.Open(t.Context(), x.rec, x.owner, x.credential)
		if s != nil || fault.KindOf(err) != x.want {
			t.Errorf("%s with %q as %q: %v, want %s", x.rec.Scheme, x.credential, x.owner, err, x.want)
		}
		if err != nil && strings.Contains(err.Error(), "sesame") {
			t.Errorf("a password in an error: %v", err)
		}
	}
	// The configuration can give the worker's own to others.
	c.Credentials[config.CredentialEnv] = config.Credential{Owners: []string{"bob"}}
	for owner, want := range map[string]fault.Kind{"bob": passed, "worker": fault.Permission} {
		if _, err := o.Open(t.Context(), gsiftp, owner, ""); fault.KindOf(err) != want {
			t.Errorf("the worker's own as %s: %v, want %s", owner, err, want)
		}
	}
	o.now = func() time.Time { return time.Now().Add(1000 * time.Hour) }
	if _, err := o.Open(t.Context(), gsiftp, "ann", "file:robot"); !fault.Is(err, fault.Credential) || !strings.Contains(err.Error(), "expired") {
		t.Errorf("an expired credential: %v", err)
	}
	o.now = time.Now
	reload(t, o, &config.Config{TrustDir: dir + "/nowhere", Credentials: c.Credentials})
	if _, err := o.Open(t.Context(), gsiftp, "ann", "file:robot"); !fault.Is(err, fault.Credential) || !strings.Contains(err.Error(), "trust_dir") {
		t.Errorf("no authorities: %v", err)
	}
}

func TestPasswordIsTheFirstLine(t *testing.T) {
	name := filepath.Join(t.TempDir(), "p")
	if err := os.WriteFile(name, []byte("two words\r\nmore\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if got, err := (secret{"file:p", config.Credential{PasswordFile: name}}).password(); got != "two words" || err != nil {
		t.Errorf("%q, %v", got, err)
	}
}

func TestOwnerOfATaskWithoutOne(t *testing.T) {
	o := newOpener(t, &config.Config{})
	asked := ""
	o.drivers["memory"] = func(_ context.Context, _ endpoints.Record, owner, _ string) (endpoints.Storage, error) {
		asked = owner
		return memory.NewDisk(memory.Options{}).Open(), nil
	}
	if _, err := o.Open(t.Context(), endpoints.Record{Kind: "memory"}, "", ""); err != nil || asked != "worker" {
		t.Errorf("opened for %q, %v", asked, err)
	}
}

func TestCheckRecord(t *testing.T) {
	for want, rec := range map[string]endpoints.Record{
		"":                       {Name: "a", Kind: "posix", Site: "h", Root: "/data", Options: map[string]string{"sync": "off"}},
		"a site":                 {Name: "a", Kind: "posix", Root: "/data"},
		"a root":                 {Name: "a", Kind: "posix", Site: "h"},
		"neither servers":        {Name: "a", Kind: "posix", Site: "h", Root: "/data", Servers: []string{"h"}},
		"the options are sparse": {Name: "a", Kind: "posix", Site: "h", Root: "/data", Options: map[string]string{"sync": "perhaps"}},
		"at least one server":    {Name: "a", Kind: "gridftp"},
		`"tape" is none`:         {Name: "a", Kind: "tape"},
	} {
		err := CheckRecord(rec)
		if (want == "") != (err == nil) || err != nil && (!fault.Is(err, fault.Invalid) || !strings.Contains(err.Error(), want)) {
			t.Errorf("%+v: %v, want %q", rec, err, want)
		}
	}
}

// The stage command of an endpoint is this host's own to name.
func TestStageCommandsAreTheHostsOwn(t *testing.T) {
	dir := t.TempDir()
	rec := endpoints.Record{Name: "lab#tape", Kind: KindPosix, Site: "here", Root: dir, Options: map[string]string{optionStage: "/bin/true"}}
	c := &config.Config{Site: "here", Roots: map[string][]string{"*": {dir}}, Endpoints: map[string]endpoints.Record{rec.Name: rec}}
	o, err := NewOpener(c, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	defer o.Close()
	s, err := o.Open(t.Context(), rec, "ada", "")
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if _, ok := s.(endpoints.Stager); !ok {
		t.Error("it stages nothing")
	}
	other := rec
	other.Options = map[string]string{optionStage: "/bin/false"}
	if _, err := o.Open(t.Context(), other, "ada", ""); !fault.Is(err, fault.Permission) || !strings.Contains(err.Error(), "/bin/false") {
		t.Errorf("another command: %v", err)
	}
	other.Options = map[string]string{optionStage: "true"}
	if err := CheckRecord(other); !fault.Is(err, fault.Invalid) {
		t.Errorf("a relative command: %v", err)
	}
}
