package credentials

import (
	"context"
	"encoding/pem"
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gridferry/gridferry/endpoints"
	"github.com/gridferry/gridferry/fault"
	"github.com/gridferry/gridferry/transfer"
	"github.com/gridferry/gridferry/wire/gsi"
	"github.com/gridferry/gridferry/wire/gsi/gsitest"
	"github.com/gridferry/gridferry/wire/myproxy"
)

// world is everything behind a Service, in memory.
type world struct {
	*Service
	ca *gsitest.CA

	mu          sync.Mutex
	kept        map[string]transfer.Activation // by owner and domain
	pems        map[string][]byte
	delegations map[string][2]string // by id: owner and domain, and the key
	identities  []transfer.Identity
	waiting     map[string][]transfer.TaskID // by owner and domain
	ended       []transfer.TaskID
	refuses     map[transfer.TaskID]int // how often a task cannot be told
	told        []transfer.TaskID
	toldEarly   bool // before the credential was kept
	closed      []string
	logon       *transfer.MyProxyLogon
}

func key(owner, domain string) string { return owner + " " + domain }

func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{
		ca: gsitest.NewCA(t), kept: map[string]transfer.Activation{}, pems: map[string][]byte{}, delegations: map[string][2]string{},
		waiting: map[string][]transfer.TaskID{}, refuses: map[transfer.TaskID]int{},
	}
	w.Service = New(Config{
		Vault: w, Identities: w, Waiters: w, Releaser: w, Resolver: w, Sessions: w,
		Trust: func() (*gsi.Trust, error) { return w.ca.Trust(), nil },
		MyProxy: func(_ context.Context, _ *gsi.Trust, l transfer.MyProxyLogon) (*gsi.Credential, error) {
			w.logon = &l
			if l.Passphrase != "right" {
				return nil, fault.New(fault.Credential, "log on", l.Server, "invalid pass phrase")
			}
			return w.ca.Proxy(w.ca.User("Ada")), nil
		},
	})
	return w
}

func (w *world) Put(_ context.Context, a transfer.Activation, pem []byte) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.kept[key(a.Owner, a.Domain)], w.pems[key(a.Owner, a.Domain)] = a, pem
	return nil
}

func (w *world) Delete(_ context.Context, owner, domain string) (transfer.Activation, error) {
	a, ok := w.kept[key(owner, domain)]
	if !ok {
		return a, fault.New(fault.NotFound, "delete", domain, "none")
	}
	delete(w.kept, key(owner, domain))
	return a, nil
}

func (w *world) List(_ context.Context, owner string) ([]transfer.Activation, error) {
	var found []transfer.Activation
	for _, a := range w.kept {
		if a.Owner == owner {
			found = append(found, a)
		}
	}
	slices.SortFunc(found, func(a, b transfer.Activation) int { return strings.Compare(a.Domain, b.Domain) })
	return found, nil
}

func (w *world) PutDelegation(_ context.Context, owner, domain, id string, secret []byte, _ time.Time) error {
	w.delegations[key(owner, id)] = [2]string{domain, string(secret)}
	return nil
}

func (w *world) TakeDelegation(_ context.Context, owner, id string) (string, []byte, error) {
	d, ok := w.delegations[key(owner, id)]
	if !ok {
		return "", nil, fault.New(fault.NotFound, "take", id, "none")
	}
	delete(w.delegations, key(owner, id))
	return d[0], []byte(d[1]), nil
}

func (w *world) AddIdentity(_ context.Context, id transfer.Identity) (transfer.Identity, error) {
	id.ID = "id"
	w.identities = append(w.identities, id)
	return id, nil
}

func (w *world) Identities(context.Context, string) ([]transfer.Identity, error) {
	return w.identities, nil
}

func (w *world) RemoveIdentity(context.Context, string, string) error { return nil }

func (w *world) WaitersOf(_ context.Context, owner, domain string) ([]transfer.TaskID, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.waiting[key(owner, domain)], nil
}

func (w *world) Forget(_ context.Context, task transfer.TaskID) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.ended = append(w.ended, task)
	return nil
}

func (w *world) Release(_ context.Context, task transfer.TaskID) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if strings.HasPrefix(string(task), "ended") {
		return fault.New(fault.NotFound, "tell", string(task), "no such workflow")
	}
	if w.refuses[task] > 0 {
		w.refuses[task]--
		return fault.New(fault.Transient, "tell", string(task), "unavailable")
	}
	w.told = append(w.told, task)
	w.toldEarly = w.toldEarly || len(w.kept) == 0
	return nil
}

func (w *world) CloseActivation(a transfer.Activation) { w.closed = append(w.closed, a.Fingerprint) }

func (w *world) Resolve(_ context.Context, endpoint string) (endpoints.Record, error) {
	records := map[string]endpoints.Record{
		"lab#dtn":   {Name: "lab#dtn", Kind: "gridftp", Servers: []string{"dtn"}, MyProxy: "myproxy.lab"},
		"lab#dtn2":  {Name: "lab#dtn2", Kind: "gridftp", Servers: []string{"dtn2"}, MyProxy: "MyProxy.lab:7512"},
		"far#dtn":   {Name: "far#dtn", Kind: "gridftp", Servers: []string{"far"}},
		"lab#robot": {Name: "lab#robot", Kind: "gridftp", Servers: []string{"dtn"}, Credential: "file:robot"},
		"ftp://old": {Kind: "gridftp", Scheme: "ftp", Servers: []string{"old"}},
		"lab#disk":  {Name: "lab#disk", Kind: "posix", Site: "h"},
	}
	rec, ok := records[endpoint]
	if !ok {
		return rec, fault.New(fault.NotFound, "find endpoint", endpoint, "none")
	}
	return rec, nil
}

func pemOf(t *testing.T, c *gsi.Credential) []byte {
	t.Helper()
	text, err := c.EncodePEM()
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func TestAProxyActivatesTheDomain(t *testing.T) {
	w := newWorld(t)
	proxy := w.ca.Proxy(w.ca.User("Ada"))
	a, err := w.Activate(t.Context(), transfer.ActivateRequest{Owner: "ada", Endpoint: "lab#dtn", Proxy: pemOf(t, proxy)})
	if err != nil {
		t.Fatal(err)
	}
	want := transfer.Activation{
		Owner: "ada", Domain: "myproxy://myproxy.lab:7512", Kind: "proxy", Subject: "/O=Test/CN=Ada", Issuer: "/O=Test/CN=Test CA",
		Fingerprint: proxy.Fingerprint(), Given: a.Given, Expires: proxy.NotAfter(),
	}
	if !a.Expires.Equal(want.Expires) || a.Fingerprint != want.Fingerprint || a.Domain != want.Domain || a.Kind != want.Kind || a.Subject != want.Subject || a.Issuer != want.Issuer || a.Owner != want.Owner {
		t.Errorf("got  %+v\nwant %+v", a, want)
	}
	if kept, err := gsi.ParseCredential(w.pems[key("ada", a.Domain)]); err != nil || kept.Fingerprint() != proxy.Fingerprint() {
		t.Errorf("what the vault has: %v, %v", kept, err)
	}
	// The other endpoint of the same MyProxy server is activated with it.
	for endpoint, n := range map[string]int{"lab#dtn2": 1, "far#dtn": 0, "": 1} {
		if got, err := w.Activations(t.Context(), "ada", endpoint); err != nil || len(got) != n {
			t.Errorf("%q: %v, %v; want %d", endpoint, got, err, n)
		}
	}
	if err := w.Deactivate(t.Context(), "ada", "lab#dtn2"); err != nil || !slices.Equal(w.closed, []string{proxy.Fingerprint()}) {
		t.Errorf("deactivated: %v, sessions closed of %v", err, w.closed)
	}
	if err := w.Deactivate(t.Context(), "ada", "lab#dtn"); !fault.Is(err, fault.NotFound) {
		t.Errorf("deactivated again: %v", err)
	}
}

func TestWhatIsNotTaken(t *testing.T) {
	w := newWorld(t)
	ada := w.ca.User("Ada")
	limited, err := ada.NewProxy(gsi.ProxyOptions{Limited: true})
	if err != nil {
		t.Fatal(err)
	}
	mixed := append(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: ada.Chain[0].Raw}), pemOf(t, w.ca.Proxy(w.ca.User("Bob")))...)
	later := func() time.Time { return time.Now().Add(48 * time.Hour) }
	for _, tc := range []struct {
		name     string
		endpoint string
		proxy    []byte
		now      func() time.Time
		kind     fault.Kind
		says     string
	}{
		{"no certificate", "lab#dtn", []byte("hello"), nil, fault.Invalid, "no PEM certificate"},
		{"another's key", "lab#dtn", mixed, nil, fault.Invalid, "the private key does not belong to the first certificate, /O=Test/CN=Ada"},
		{"no key", "lab#dtn", pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: ada.Chain[0].Raw}), nil, fault.Invalid, "no PEM private key"},
		{"limited", "lab#dtn", pemOf(t, limited), nil, fault.Credential, "without -limited"},
		{"another authority", "lab#dtn", pemOf(t, gsitest.NewCA(t).User("Ada")), nil, fault.Credential, "not trusted"},
		{"expired", "lab#dtn", pemOf(t, w.ca.Proxy(ada)), later, fault.Credential, "it expired on"},
		{"a certificate of a year", "lab#dtn", pemOf(t, ada), nil, fault.Credential, "no key is kept here for so long"},
		{"no such endpoint", "lab#none", pemOf(t, w.ca.Proxy(ada)), nil, fault.NotFound, ""},
		{"plain FTP", "ftp://old", pemOf(t, w.ca.Proxy(ada)), nil, fault.Invalid, "needs no activation"},
		{"a directory", "lab#disk", pemOf(t, w.ca.Proxy(ada)), nil, fault.Invalid, "needs no activation"},
		{"an operator's credential", "lab#robot", pemOf(t, w.ca.Proxy(ada)), nil, fault.Invalid, "file:robot"},
		{"nothing", "lab#dtn", nil, nil, fault.Invalid, "exactly one"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			w.config.Now = time.Now
			if tc.now != nil {
				w.config.Now = tc.now
			}
			_, err := w.Activate(t.Context(), transfer.ActivateRequest{Owner: "ada", Endpoint: tc.endpoint, Proxy: tc.proxy})
			if !fault.Is(err, tc.kind) || !strings.Contains(err.Error(), tc.says) {
				t.Errorf("%s: %v", fault.KindOf(err), err)
			}
			if len(w.kept) > 0 {
				t.Error("it was kept")
			}
		})
	}
}

// TestADelegationMovesNoKey signs the service's request as the command does.
func TestADelegationMovesNoKey(t *testing.T) {
	w := newWorld(t)
	ada := w.ca.Proxy(w.ca.User("Ada"))
	begin := func() transfer.Delegation {
		t.Helper()
		d, err := w.Delegate(t.Context(), "ada", "far#dtn")
		if err != nil {
			t.Fatal(err)
		}
		return d
	}
	sign := func(d transfer.Delegation) []byte {
		t.Helper()
		block, _ := pem.Decode(d.Request)
		if block == nil || block.Type != "CERTIFICATE REQUEST" {
			t.Fatalf("the request is %q", d.Request)
		}
		der, err := ada.SignProxy(block.Bytes, gsi.ProxyOptions{Lifetime: time.Hour})
		if err != nil {
			t.Fatal(err)
		}
		chain := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
		for _, c := range ada.Chain {
			chain = append(chain, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.Raw})...)
		}
		return chain
	}
	activate := func(owner, endpoint string, d transfer.Delegated) (transfer.Activation, error) {
		return w.Activate(t.Context(), transfer.ActivateRequest{Owner: owner, Endpoint: endpoint, Signed: &d})
	}

	d := begin()
	answer := transfer.Delegated{ID: d.ID, Chain: sign(d)}
	if _, err := activate("eve", "far#dtn", answer); !fault.Is(err, fault.NotFound) {
		t.Errorf("another's delegation: %v", err)
	}
	a, err := activate("ada", "far#dtn", answer)
	if err != nil || a.Kind != "delegated" || a.Domain != "far#dtn" || a.Subject != "/O=Test/CN=Ada" {
		t.Fatalf("%+v, %v", a, err)
	}
	if left := time.Until(a.Expires); left > time.Hour || left < 50*time.Minute {
		t.Errorf("it expires in %s", left)
	}
	if _, err := activate("ada", "far#dtn", answer); !fault.Is(err, fault.NotFound) {
		t.Errorf("the same again: %v", err)
	}
	other := begin()
	if _, err := activate("ada", "lab#dtn", transfer.Delegated{ID: other.ID, Chain: sign(other)}); !fault.Is(err, fault.Invalid) {
		t.Errorf("for another endpoint: %v", err)
	}
	third := begin()
	if _, err := activate("ada", "far#dtn", transfer.Delegated{ID: third.ID, Chain: answer.Chain}); !fault.Is(err, fault.Invalid) {
		t.Errorf("a proxy for another key: %v", err)
	}
	if _, err := activate("ada", "far#dtn", transfer.Delegated{ID: begin().ID, Chain: pemOf(t, ada)}); !fault.Is(err, fault.Invalid) || !strings.Contains(err.Error(), "none is wanted") {
		t.Errorf("with a key: %v", err)
	}
}

func TestMyProxyIsAskedAndTheAccountRemembered(t *testing.T) {
	w := newWorld(t)
	ask := func(endpoint string, l transfer.MyProxyLogon) error {
		_, err := w.Activate(t.Context(), transfer.ActivateRequest{Owner: "ada", Endpoint: endpoint, MyProxy: &l})
		return err
	}
	if err := ask("lab#dtn", transfer.MyProxyLogon{User: "adal", Passphrase: "wrong"}); !fault.Is(err, fault.Credential) || len(w.identities) > 0 {
		t.Errorf("a wrong pass phrase: %v, %v", err, w.identities)
	}
	if err := ask("lab#dtn", transfer.MyProxyLogon{User: "adal", Passphrase: "right"}); err != nil {
		t.Fatal(err)
	}
	if want := (transfer.MyProxyLogon{Server: "myproxy.lab", User: "adal", Passphrase: "right", Lifetime: transfer.Duration(12 * time.Hour)}); *w.logon != want {
		t.Errorf("asked %+v", *w.logon)
	}
	if want := (transfer.Identity{ID: "id", Owner: "ada", Kind: transfer.IdentityMyProxy, Name: "adal", Server: "myproxy.lab"}); len(w.identities) != 1 || w.identities[0] != want {
		t.Errorf("remembered %+v", w.identities)
	}
	for name, l := range map[string]transfer.MyProxyLogon{
		"no server":      {User: "adal", Passphrase: "right"},
		"no user":        {Server: "m", Passphrase: "right"},
		"no pass phrase": {Server: "m", User: "adal"},
		"too long":       {Server: "m", User: "adal", Passphrase: "right", Lifetime: transfer.Duration(365 * 24 * time.Hour)},
	} {
		if err := ask("far#dtn", l); !fault.Is(err, fault.Invalid) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestRefusalsOfMyProxyHaveKinds(t *testing.T) {
	for refusal, want := range map[myproxy.Refusal]fault.Kind{
		myproxy.Unreachable: fault.Transient, myproxy.WrongPassphrase: fault.Credential, myproxy.NoCredential: fault.Credential,
		myproxy.Misused: fault.Invalid, myproxy.Unsupported: fault.Unsupported, myproxy.Denied: fault.Credential,
	} {
		if got, _ := kindOf(refusal); got != want {
			t.Errorf("%s: %s, want %s", refusal, got, want)
		}
	}
	_, err := LogOn(t.Context(), gsi.NewTrust(), transfer.MyProxyLogon{Server: "127.0.0.1:1", User: "ada", Passphrase: "a secret phrase"})
	if !fault.Is(err, fault.Transient) || strings.Contains(err.Error(), "secret") || !errors.As(err, new(*myproxy.Error)) {
		t.Errorf("nobody listens: %v", err)
	}
}

// TestActivationReleasesWhoWaits has tasks of two users and domains waiting:
// told are those of the one, after the credential was kept, once each.
func TestActivationReleasesWhoWaits(t *testing.T) {
	w := newWorld(t)
	var want []transfer.TaskID
	for i := range 20 {
		id := transfer.TaskID("ada-" + string(rune('a'+i)))
		want = append(want, id)
	}
	w.waiting[key("ada", "far#dtn")] = append(slices.Clone(want), "ended-1")
	w.waiting[key("ada", "myproxy://myproxy.lab:7512")] = []transfer.TaskID{"elsewhere"}
	w.waiting[key("bob", "far#dtn")] = []transfer.TaskID{"bobs"}
	w.refuses["ada-c"] = releaseTries - 1
	w.refuses["ada-d"] = releaseTries
	if _, err := w.Activate(t.Context(), transfer.ActivateRequest{Owner: "ada", Endpoint: "far#dtn", Proxy: pemOf(t, w.ca.Proxy(w.ca.User("Ada")))}); err != nil {
		t.Fatalf("one task that cannot be told fails the activation: %v", err)
	}
	slices.Sort(w.told)
	want = slices.DeleteFunc(want, func(id transfer.TaskID) bool { return id == "ada-d" })
	if !slices.Equal(w.told, want) {
		t.Errorf("told %v\nwant %v", w.told, want)
	}
	if w.toldEarly {
		t.Error("a task was told before the credential was kept")
	}
	if !slices.Equal(w.ended, []transfer.TaskID{"ended-1"}) {
		t.Errorf("forgotten: %v", w.ended)
	}
}

func TestIdentitiesAreNames(t *testing.T) {
	w := newWorld(t)
	for name, tc := range map[string]struct {
		id transfer.Identity
		ok bool
	}{
		"myproxy":        {transfer.Identity{Kind: transfer.IdentityMyProxy, Name: "adal", Server: "myproxy.lab"}, true},
		"without server": {transfer.Identity{Kind: transfer.IdentityMyProxy, Name: "adal"}, false},
		"a DN":           {transfer.Identity{Kind: transfer.IdentityX509, Name: "/O=Test/CN=Ada"}, true},
		"no DN":          {transfer.Identity{Kind: transfer.IdentityX509, Name: "Ada"}, false},
		"ssh":            {transfer.Identity{Kind: transfer.IdentitySSH, Name: "SHA256:abc"}, true},
		"a key":          {transfer.Identity{Kind: transfer.IdentitySSH, Name: "-----BEGIN OPENSSH PRIVATE KEY-----b3BlbnNzaC1rZXk"}, false},
		"lines":          {transfer.Identity{Kind: transfer.IdentityS3, Name: "AKIA\nsecret", Server: "s3"}, false},
		"no kind":        {transfer.Identity{Kind: "magic", Name: "x"}, false},
		"no name":        {transfer.Identity{Kind: transfer.IdentitySSH}, false},
	} {
		_, err := w.Service.AddIdentity(t.Context(), tc.id)
		if (err == nil) != tc.ok || err != nil && (!fault.Is(err, fault.Invalid) || strings.Contains(err.Error(), "b3Blb")) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
