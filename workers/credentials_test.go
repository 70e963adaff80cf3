package workers

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/gridferry/gridferry/config"
	"github.com/gridferry/gridferry/endpoints"
	"github.com/gridferry/gridferry/fault"
	"github.com/gridferry/gridferry/transfer"
	"github.com/gridferry/gridferry/wire/gsi"
	"github.com/gridferry/gridferry/wire/gsi/gsitest"
)

// safe is a Vault of one credential.
type safe struct {
	owner, domain string
	given         *gsi.Credential
	fails         error
}

func (s *safe) Open(_ context.Context, owner, domain string) (transfer.Activation, []byte, error) {
	if s.fails != nil {
		return transfer.Activation{}, nil, s.fails
	}
	if s.given == nil || owner != s.owner || domain != s.domain {
		return transfer.Activation{}, nil, fault.New(fault.NotFound, "open credential for", domain, "there is none")
	}
	pem, err := s.given.EncodePEM()
	return transfer.Activation{Owner: owner, Domain: domain, Fingerprint: s.given.Fingerprint(), Expires: s.given.NotAfter()}, pem, err
}

func TestActivatedCredentialsAreFirst(t *testing.T) {
	ca := gsitest.NewCA(t)
	own := ca.Proxy(ca.User("Worker"))
	t.Setenv("X509_USER_PROXY", ca.ProxyFile(own))
	o := newOpener(t, &config.Config{TrustDir: ca.Dir, Credentials: map[string]config.Credential{
		"robot": {Owners: []string{config.Everybody}, Proxy: ca.ProxyFile(ca.Proxy(ca.User("Robot")))},
	}})
	s := &safe{owner: "ann", domain: "lab#dtn", given: ca.Proxy(ca.User("Ann"))}
	o.UseVault(s)
	lab := endpoints.Record{Name: "lab#dtn", Kind: "gridftp", Servers: []string{"dtn"}}
	far := endpoints.Record{Kind: "gridftp", Scheme: "gsiftp", Servers: []string{"far:2811"}}
	set := lab
	set.Credential = "file:robot"
	for _, x := range []struct {
		name              string
		rec               endpoints.Record
		owner, credential string
		want              string // DN, or what the error says
	}{
		{"activated", lab, "ann", "", "/O=Test/CN=Ann"},
		{"asked for another", lab, "ann", "file:robot", "/O=Test/CN=Robot"},
		{"the record says which", set, "ann", "", "/O=Test/CN=Robot"},
		{"not activated there", far, "ann", "", "gridferry endpoint activate gsiftp://far:2811"},
		{"another's", lab, "bob", "", `"bob" has activated none`},
		{"the worker's own, for its user", far, "worker", "", "/O=Test/CN=Worker"},
	} {
		id, err := o.identity(t.Context(), x.rec, x.owner, x.credential)
		if err == nil && (id.Credential.Identity() != x.want || id.Trust == nil || id.Owner != x.owner) {
			t.Errorf("%s: %s, want %s", x.name, id.Credential.Identity(), x.want)
		}
		if err == nil {
			continue
		}
		var which *endpoints.CredentialError
		if !fault.Is(err, fault.Credential) || !strings.Contains(err.Error(), x.want) || !errors.As(err, &which) || which.Domain != x.rec.SecurityDomain() || which.Fingerprint != "" {
			t.Errorf("%s: %v, about %+v; want %q", x.name, err, which, x.want)
		}
	}

	o.now = func() time.Time { return time.Now().Add(1000 * time.Hour) }
	_, err := o.identity(t.Context(), lab, "ann", "")
	var which *endpoints.CredentialError
	if !fault.Is(err, fault.Credential) || !errors.As(err, &which) || which.Fingerprint != s.given.Fingerprint() || which.Domain != "lab#dtn" {
		t.Errorf("expired: %v, about %+v", err, which)
	}
	o.now = time.Now

	s.fails = fault.New(fault.Transient, "read keyset", "kms", "no answer")
	if _, err := o.identity(t.Context(), lab, "ann", ""); !fault.Is(err, fault.Transient) {
		t.Errorf("the key is out of reach: %v", err)
	}
}

// TestWithoutAnyCredential has a worker without one of its own.
func TestWithoutAnyCredential(t *testing.T) {
	ca := gsitest.NewCA(t)
	for _, name := range []string{"X509_USER_PROXY", "X509_USER_CERT", "X509_USER_KEY"} {
		t.Setenv(name, "")
	}
	t.Setenv("HOME", t.TempDir())
	t.Setenv("X509_USER_PROXY", filepath.Join(t.TempDir(), "none"))
	o := newOpener(t, &config.Config{TrustDir: ca.Dir})
	o.UseVault(&safe{})
	lab := endpoints.Record{Name: "lab#dtn", Kind: "gridftp", Servers: []string{"dtn"}}
	for _, owner := range []string{"ann", "worker"} {
		var which *endpoints.CredentialError
		if _, err := o.identity(t.Context(), lab, owner, ""); !fault.Is(err, fault.Credential) || !errors.As(err, &which) || which.Domain != "lab#dtn" {
			t.Errorf("%s: %v, about %+v", owner, err, which)
		}
	}
}

// TestSessionsEndWithTheirActivation follows which credentials have sessions
// that would have to end.
func TestSessionsEndWithTheirActivation(t *testing.T) {
	ca := gsitest.NewCA(t)
	o := newOpener(t, &config.Config{TrustDir: ca.Dir})
	first, second := ca.Proxy(ca.User("Ann")), ca.Proxy(ca.User("Ann"))
	s := &safe{owner: "ann", domain: "lab#dtn", given: first}
	o.UseVault(s)
	lab := endpoints.Record{Name: "lab#dtn", Kind: "gridftp", Servers: []string{"dtn"}}
	open := func() error {
		_, err := o.identity(t.Context(), lab, "ann", "")
		return err
	}
	for range 2 {
		if err := open(); err != nil {
			t.Fatal(err)
		}
	}
	s.given = second
	if err := open(); err != nil {
		t.Fatal(err)
	}
	key := usedKey{"ann", "lab#dtn"}
	if got := o.used.by[key]; len(got) != 2 || got[0].fingerprint != first.Fingerprint() || got[1].fingerprint != second.Fingerprint() {
		t.Errorf("logged in with %v", got)
	}
	s.given = nil // another process has deactivated it
	if err := open(); !fault.Is(err, fault.Credential) || len(o.used.by) != 0 {
		t.Errorf("%v; sessions are still kept of %v", err, o.used.by)
	}
	o.used.add("ann", "lab#dtn", "a", time.Unix(100, 0), time.Unix(50, 0))
	o.used.add("ann", "lab#dtn", "b", time.Unix(200, 0), time.Unix(150, 0))
	if got := o.used.take("ann", "lab#dtn"); len(got) != 1 || got[0] != "b" {
		t.Errorf("what has expired needs no closing: %v", got)
	}
}

// A worker that serves many owners does not remember all that it ever had.
func TestUsedForgetsWhatHasExpired(t *testing.T) {
	var u used
	begun := time.Unix(0, 0)
	for i := range 1000 {
		now := begun.Add(time.Duration(i) * time.Hour)
		u.add(fmt.Sprint("owner ", i), "lab#dtn", "a", now.Add(12*time.Hour), now)
	}
	if len(u.by) != 12 {
		t.Errorf("%d owners are remembered", len(u.by))
	}
	if got := u.take("owner 988", "lab#dtn"); len(got) != 1 {
		t.Errorf("a session that still lives is not known: %v", got)
	}
}
