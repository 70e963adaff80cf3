package api_test

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"os/user"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/gridferry/gridferry/endpoints"
	"github.com/gridferry/gridferry/fault"
	"github.com/gridferry/gridferry/gateway/api"
	"github.com/gridferry/gridferry/wire/gsi"
	"github.com/gridferry/gridferry/wire/gsi/gsitest"
)

// site is a server on both of its doors, with a user ada behind a certificate.
type site struct {
	ca     *gsitest.CA
	config api.Config
}

func newSite(t *testing.T) *site {
	t.Helper()
	ca := gsitest.NewCA(t)
	host := ca.Host()
	return &site{ca: ca, config: api.Config{
		Socket: filepath.Join(shortDir(t), "s"),
		Listen: "127.0.0.1:0",
		Host:   func() (*gsi.Credential, error) { return host, nil },
		Trust:  func() (*gsi.Trust, error) { return ca.Trust(), nil },
		User: func(dn string) (string, error) {
			return map[string]string{"/O=Test/CN=Ada": "ada"}[dn], nil
		},
	}}
}

// shortDir is a directory whose sockets have names that a kernel takes.
func shortDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "api")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}

// start serves, with a route that answers who asked.
func (s *site) start(t *testing.T) *api.Server {
	t.Helper()
	server := api.New(s.config)
	server.Route("GET /peer", func(r *http.Request) (any, error) {
		p, _ := api.PeerOf(r.Context())
		_, err := p.Owner(r.URL.Query().Get("owner"))
		return map[string]any{"user": p.User, "dn": p.DN, "local": p.Local, "chain": len(p.Chain)}, err
	})
	if err := server.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		if err := server.Close(ctx); err != nil {
			t.Error(err)
		}
	})
	return server
}

func (s *site) local(t *testing.T) *api.Client {
	t.Helper()
	c, err := api.NewClient("unix:"+s.config.Socket, api.ClientConfig{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

func (s *site) remote(t *testing.T, server *api.Server, credential *gsi.Credential) *api.Client {
	t.Helper()
	c, err := api.NewClient("https://"+server.Addr().String(), api.ClientConfig{
		Credential: func() (*gsi.Credential, error) { return credential, nil },
		Trust:      s.config.Trust,
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

type who struct {
	User, DN string
	Local    bool
	Chain    int
}

func ask(t *testing.T, c *api.Client, path string) (who, error) {
	t.Helper()
	var w who
	err := c.Do(t.Context(), http.MethodGet, path, nil, &w)
	return w, err
}

func TestTheKernelSaysWhoIsAtTheSocket(t *testing.T) {
	s := newSite(t)
	s.start(t)
	u, err := user.Current()
	if err != nil {
		t.Skip("needs a user with a name:", err)
	}
	got, err := ask(t, s.local(t), "/peer")
	if want := (who{User: u.Username, Local: true}); err != nil || got != want {
		t.Errorf("%+v, %v; want %+v", got, err, want)
	}
	info, err := os.Stat(s.config.Socket)
	if err != nil || info.Mode().Perm() != 0o666 {
		t.Errorf("%v, %v: every user may connect", info.Mode(), err)
	}
	if _, err := ask(t, s.local(t), "/peer?owner=somebody-else"); !fault.Is(err, fault.Permission) {
		t.Errorf("speaking for another: %v", err)
	}
}

func TestACertificateSaysWhoIsFarAway(t *testing.T) {
	s := newSite(t)
	server := s.start(t)
	ada := s.ca.User("Ada")
	for name, c := range map[string]*gsi.Credential{"certificate": ada, "proxy of a proxy": s.ca.Proxy(s.ca.Proxy(ada))} {
		t.Run(name, func(t *testing.T) {
			got, err := ask(t, s.remote(t, server, c), "/peer?owner=ada")
			if want := (who{User: "ada", DN: "/O=Test/CN=Ada", Chain: len(c.Chain)}); err != nil || got != want {
				t.Errorf("%+v, %v; want %+v", got, err, want)
			}
		})
	}
	if _, err := ask(t, s.remote(t, server, ada), "/peer?owner=bob"); !fault.Is(err, fault.Permission) {
		t.Errorf("speaking for another: %v", err)
	}
	if _, err := ask(t, s.remote(t, server, s.ca.User("Eve")), "/peer"); !fault.Is(err, fault.Permission) || !strings.Contains(err.Error(), "/O=Test/CN=Eve") {
		t.Errorf("one who is mapped to nobody: %v", err)
	}
}

func TestWhoIsNotBelievedHearsWhy(t *testing.T) {
	s := newSite(t)
	server := s.start(t)
	limited, err := s.ca.User("Ada").NewProxy(gsi.ProxyOptions{Limited: true})
	if err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct {
		name   string
		shown  *gsi.Credential
		reason string
	}{
		{"another authority", gsitest.NewCA(t).User("Ada"), "is not trusted here"},
		{"a limited proxy", limited, "a limited proxy does not suffice"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			_, err := ask(t, s.remote(t, server, tc.shown), "/peer")
			if !fault.Is(err, fault.Credential) || !strings.Contains(err.Error(), tc.reason) {
				t.Errorf("%v", err)
			}
		})
	}
	t.Run("no certificate", func(t *testing.T) {
		conn, err := tls.Dial("tcp", server.Addr().String(), &tls.Config{InsecureSkipVerify: true})
		if err == nil {
			defer conn.Close()
			_, err = conn.Write([]byte("GET /peer HTTP/1.1\r\nHost: x\r\n\r\n"))
			if err == nil {
				_, err = conn.Read(make([]byte, 1))
			}
		}
		if err == nil || errors.Is(err, io.EOF) {
			t.Errorf("a client without a certificate was served: %v", err)
		}
	})
}

// TestAConnectionDoesNotOutliveTheBelief changes whom the server trusts while
// a client is connected.
func TestAConnectionDoesNotOutliveTheBelief(t *testing.T) {
	s := newSite(t)
	trust := make(chan *gsi.Trust, 1)
	trust <- s.ca.Trust()
	s.config.Trust = func() (*gsi.Trust, error) {
		now := <-trust
		trust <- now
		return now, nil
	}
	server := s.start(t)
	c := s.remote(t, server, s.ca.User("Ada"))
	if _, err := ask(t, c, "/peer"); err != nil {
		t.Fatal(err)
	}
	<-trust
	trust <- gsitest.NewCA(t).Trust()
	if _, err := ask(t, c, "/peer"); !fault.Is(err, fault.Credential) {
		t.Errorf("the authority is not believed any more: %v", err)
	}
}

func TestTheClientChecksTheServer(t *testing.T) {
	s := newSite(t)
	server := s.start(t)
	other := gsitest.NewCA(t)
	c, err := api.NewClient("https://"+server.Addr().String(), api.ClientConfig{
		Credential: func() (*gsi.Credential, error) { return s.ca.User("Ada"), nil },
		Trust:      func() (*gsi.Trust, error) { return other.Trust(), nil },
	})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if _, err := ask(t, c, "/peer"); !fault.Is(err, fault.Credential) || !strings.Contains(err.Error(), "refused") {
		t.Errorf("a server of another authority: %v", err)
	}
}

// TestErrorsKeepTheirKind sends errors of every kind through a route.
func TestErrorsKeepTheirKind(t *testing.T) {
	s := newSite(t)
	var say error
	server := api.New(s.config)
	server.Route("POST /fail", func(*http.Request) (any, error) { return nil, say })
	if err := server.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	defer server.Close(t.Context())
	c := s.local(t)
	for _, kind := range []fault.Kind{fault.NotFound, fault.Exists, fault.Permission, fault.Credential, fault.NoSpace, fault.Integrity, fault.Unsupported, fault.Invalid, fault.Busy, fault.Transient, fault.Canceled} {
		say = &fault.Error{Kind: kind, Op: "do", Path: "/a", Err: errors.New("it broke"), Hint: "mend it"}
		err := c.Do(t.Context(), http.MethodPost, "/fail", nil, nil)
		if !fault.Is(err, kind) || err.Error() != say.Error() {
			t.Errorf("%s: %v", kind, err)
		}
	}
	say = fault.Wrap(fault.Credential, "log in", "x", &endpoints.CredentialError{Domain: "myproxy://m:7512", Fingerprint: "ab", Err: errors.New("expired")})
	err := c.Do(t.Context(), http.MethodPost, "/fail", nil, nil)
	var which *endpoints.CredentialError
	if !errors.As(err, &which) || which.Domain != "myproxy://m:7512" || which.Fingerprint != "ab" || err.Error() != say.Error() {
		t.Errorf("which credential it was: %v", err)
	}
	say = errors.New("secret detail")
	if err := c.Do(t.Context(), http.MethodPost, "/fail", nil, nil); !fault.Is(err, fault.Internal) || strings.Contains(err.Error(), "secret") {
		t.Errorf("an internal error: %v", err)
	}
	if err := c.Do(t.Context(), http.MethodGet, "/nowhere", nil, nil); !fault.Is(err, fault.NotFound) {
		t.Errorf("no such route: %v", err)
	}
}

// TestASocketThatWasLeftIsTaken starts a second server on the socket of a
// first, which then ends.
func TestASocketThatWasLeftIsTaken(t *testing.T) {
	s := newSite(t)
	s.config.Listen = ""
	if err := os.WriteFile(s.config.Socket, []byte("precious"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := api.New(s.config).Start(t.Context()); !fault.Is(err, fault.Permission) {
		t.Fatalf("a file in the socket's place: %v", err)
	}
	if err := os.Remove(s.config.Socket); err != nil {
		t.Fatal(err)
	}
	// A socket that nobody serves any more.
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: s.config.Socket, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	l.SetUnlinkOnClose(false)
	l.Close()

	answer := func(text string) *api.Server {
		server := api.New(s.config)
		server.Route("GET /which", func(*http.Request) (any, error) { return text, nil })
		if err := server.Start(t.Context()); err != nil {
			t.Fatal(err)
		}
		return server
	}
	which := func() string {
		var text string
		if err := s.local(t).Do(t.Context(), http.MethodGet, "/which", nil, &text); err != nil && !fault.Is(err, fault.Transient) {
			t.Fatal(err)
		}
		return text
	}
	first := answer("first")
	second := answer("second")
	defer second.Close(t.Context())
	if got := which(); got != "first" {
		t.Errorf("%q answers, want the first", got)
	}
	if err := first.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	deadline := time.Now().Add(time.Minute)
	for which() != "second" {
		if time.Now().After(deadline) {
			t.Fatal("the second server did not take the socket")
		}
		time.Sleep(20 * time.Millisecond)
	}
}

func TestNamesOfServices(t *testing.T) {
	for _, bad := range []string{"", "unix:", "unix:relative", "http://h:1", "https://h", "https://h:1/path", "https://u@h:1", "h:1"} {
		if _, err := api.NewClient(bad, api.ClientConfig{}); !fault.Is(err, fault.Invalid) {
			t.Errorf("%q: %v", bad, err)
		}
	}
	c, err := api.NewClient("unix:"+filepath.Join(t.TempDir(), "none"), api.ClientConfig{})
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Do(t.Context(), http.MethodGet, "/", nil, nil); !fault.Is(err, fault.Transient) || !strings.Contains(err.Error(), "is gridferryd running") {
		t.Errorf("nobody is there: %v", err)
	}
}
