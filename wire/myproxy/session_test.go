package myproxy

import (
	"context"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"io"
	"log/slog"
	"math/big"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/gridferry/gridferry/wire/gsi"
	"github.com/gridferry/gridferry/wire/gsi/gsitest"
)

const (
	user   = "ada"
	secret = "correct horse"
)

// An issuer is an Authority for one user, whose certificates last an hour
// unless it is told otherwise.
type issuer struct {
	root *gsi.Credential
	err  error         // of issuing
	life time.Duration // 0 is an hour
	wait chan struct{} // when not nil, Admit waits for it or for the context
	last Login         // as of the last Admit, without the pass phrase
}

func newIssuer(t testing.TB) *issuer {
	t.Helper()
	key, err := newKeyRequest(0)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "Online CA"}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.key.Public(), key.key)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return &issuer{root: &gsi.Credential{Chain: []*x509.Certificate{cert}, Key: key.key}}
}

func (i *issuer) Admit(ctx context.Context, l Login) (Issue, error) {
	if i.wait != nil {
		select {
		case <-i.wait:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	right := l.User == user && string(l.Passphrase) == secret
	l.Passphrase = nil
	i.last = l
	if !right {
		return nil, &Refused{WordsWrongPassphrase}
	}
	return func(_ context.Context, csr *x509.CertificateRequest) ([]*x509.Certificate, error) {
		if i.err != nil {
			return nil, i.err
		}
		life := i.life
		if life == 0 {
			life = time.Hour
		}
		template := &x509.Certificate{
			SerialNumber: big.NewInt(2), Subject: pkix.Name{Organization: []string{"Test"}, CommonName: l.User},
			NotBefore: time.Now().Add(-time.Minute), NotAfter: time.Now().Add(life), KeyUsage: x509.KeyUsageDigitalSignature, BasicConstraintsValid: true,
		}
		der, err := x509.CreateCertificate(rand.Reader, template, i.root.Chain[0], csr.PublicKey, i.root.Key)
		if err != nil {
			return nil, err
		}
		cert, err := x509.ParseCertificate(der)
		return []*x509.Certificate{cert}, err
	}, nil
}

// A world is a server and a client that trusts it.
type world struct {
	ca     *gsitest.CA
	issuer *issuer
	server *Server
	client *Client
	log    *strings.Builder
}

func newWorld(t *testing.T, edit func(*ServerConfig)) *world {
	t.Helper()
	w := &world{ca: gsitest.NewCA(t), issuer: newIssuer(t), log: new(strings.Builder)}
	host := w.ca.Host()
	config := ServerConfig{
		Identity:  func() (*gsi.Credential, *gsi.Trust, error) { return host, w.ca.Trust(), nil },
		Authority: w.issuer,
		Logger:    slog.New(slog.NewTextHandler(w.log, nil)),
	}
	if edit != nil {
		edit(&config)
	}
	var err error
	if w.server, err = NewServer(config); err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- w.server.Serve(l) }()
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		if err := w.server.Shutdown(ctx); err != nil {
			t.Errorf("shut down: %v", err)
		}
		if err := <-done; !errors.Is(err, ErrClosed) {
			t.Errorf("serve: %v", err)
		}
		if strings.Contains(w.log.String(), secret) {
			t.Errorf("the pass phrase is in the log:\n%s", w.log)
		}
	})
	w.client = &Client{Server: l.Addr().String(), Trust: w.ca.Trust()}
	return w
}

// refused checks an error's kind, and that no pass phrase is in it.
func refused(t *testing.T, err error, want Refusal, words string) {
	t.Helper()
	var e *Error
	if !errors.As(err, &e) {
		t.Errorf("%v (%T), want an *Error that is %s", err, err, want)
		return
	}
	if e.Refusal != want || !strings.Contains(err.Error(), words) || strings.Contains(err.Error(), secret) {
		t.Errorf("%s: %v, want %s and %q", e.Refusal, err, want, words)
	}
}

func request1() Request { return Request{User: user, Passphrase: []byte(secret)} }

func TestLogon(t *testing.T) {
	w := newWorld(t, nil)
	r := request1()
	r.Lifetime, r.Name = 2*time.Hour, "night"
	c, err := w.client.Logon(t.Context(), r)
	if err != nil {
		t.Fatal(err)
	}
	if c.Identity() != "/O=Test/CN=ada" {
		t.Errorf("logged on as %s", c.Identity())
	}
	// As good as any: it makes proxies, and they verify.
	proxy, err := c.NewProxy(gsi.ProxyOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := gsi.NewTrust(w.issuer.root.Chain[0]).Verify(proxy.Chain, time.Now()); err != nil {
		t.Error(err)
	}
	if l := w.issuer.last; l.Lifetime != 2*time.Hour || l.Name != "night" || !l.From.IsLoopback() || l.Peer != nil {
		t.Errorf("the authority was told %+v", l)
	}

	w.client.Credential = w.ca.User("Ada")
	if _, err := w.client.Logon(t.Context(), r); err != nil {
		t.Fatal(err)
	}
	if p := w.issuer.last.Peer; p == nil || p.Identity != "/O=Test/CN=Ada" {
		t.Errorf("with a certificate, the authority was told %+v", w.issuer.last)
	}
}

func TestLogonRefused(t *testing.T) {
	w := newWorld(t, nil)
	ctx := t.Context()
	_, err := w.client.Logon(ctx, Request{User: user, Passphrase: []byte("wrong")})
	refused(t, err, WrongPassphrase, "the server says: invalid pass phrase")
	_, err = w.client.Logon(ctx, Request{Passphrase: []byte(secret)})
	refused(t, err, Misused, "no user is named")
	_, err = w.client.Logon(ctx, Request{User: user, Passphrase: []byte(secret + "\n")})
	refused(t, err, Misused, "line break")
	_, err = w.client.Logon(ctx, Request{User: user, Passphrase: []byte(secret), Lifetime: -time.Second})
	refused(t, err, Misused, "lifetime")
	_, err = w.client.Logon(ctx, Request{User: user, Passphrase: []byte(secret), Bits: 1024})
	refused(t, err, Misused, "1024 bits")

	w.issuer.err = errors.New("the disk with the key is gone")
	_, err = w.client.Logon(ctx, request1())
	refused(t, err, Rejected, "cannot do this now")
	if strings.Contains(err.Error(), "disk") || !strings.Contains(w.log.String(), "disk") {
		t.Errorf("what is the operator's business: client %v, log %s", err, w.log)
	}
	w.issuer.err = &Refused{"the key in the request is too weak"}
	_, err = w.client.Logon(ctx, request1())
	refused(t, err, Rejected, "too weak")
	w.issuer.err, w.issuer.life = nil, -time.Second
	_, err = w.client.Logon(ctx, request1())
	refused(t, err, Expired, "expired on")
}

func TestTrust(t *testing.T) {
	w := newWorld(t, nil)
	other := *w.client
	other.Trust = gsitest.NewCA(t).Trust()
	_, err := other.Logon(t.Context(), request1())
	refused(t, err, Untrusted, "")
	var trust *gsi.TrustError
	if !errors.As(err, &trust) || trust.Reason != gsi.ReasonUnknownAuthority {
		t.Errorf("the cause is %v", err)
	}
	other = *w.client
	other.Identity = "/O=Test/CN=another"
	_, err = other.Logon(t.Context(), request1())
	refused(t, err, Untrusted, "another")
	other.Identity = "/O=Test/CN=localhost"
	if _, err = other.Logon(t.Context(), request1()); err != nil {
		t.Error(err)
	}
}

func TestUnreachable(t *testing.T) {
	w := newWorld(t, nil)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	w.client.Server = l.Addr().String()
	l.Close()
	_, err = w.client.Logon(t.Context(), request1())
	refused(t, err, Unreachable, "refused")
	w.client.Dial = func(context.Context, string, string) (net.Conn, error) { return nil, io.EOF }
	_, err = w.client.TrustRoots(t.Context())
	refused(t, err, Unreachable, "")
}

// TestSilence is a server that accepts and says nothing, and one whose
// authority hangs.
func TestSilence(t *testing.T) {
	w := newWorld(t, nil)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	silent := *w.client
	silent.Server, silent.Timeout = l.Addr().String(), 50*time.Millisecond
	_, err = silent.Logon(t.Context(), request1())
	refused(t, err, Unreachable, "timeout")

	w.issuer.wait = make(chan struct{})
	defer close(w.issuer.wait)
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
	defer cancel()
	_, err = w.client.Logon(ctx, request1())
	refused(t, err, Unreachable, "cut off")
	if !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("the cause is %v", err)
	}
}

func TestServerCutsOff(t *testing.T) {
	w := newWorld(t, func(c *ServerConfig) { c.Total = 200 * time.Millisecond })
	w.issuer.wait = make(chan struct{})
	_, err := w.client.Logon(t.Context(), request1())
	var e *Error
	if !errors.As(err, &e) || (e.Refusal != Unreachable && e.Refusal != Rejected) {
		t.Errorf("a hanging authority ended with %v", err)
	}
}

func TestServerIsFull(t *testing.T) {
	w := newWorld(t, func(c *ServerConfig) { c.Connections = 1 })
	w.issuer.wait = make(chan struct{})
	first := make(chan error, 1)
	go func() {
		_, err := w.client.Logon(t.Context(), request1())
		first <- err
	}()
	for len(w.server.places) == 0 {
		time.Sleep(time.Millisecond)
	}
	_, err := w.client.Logon(t.Context(), request1())
	refused(t, err, Unreachable, "")
	close(w.issuer.wait)
	if err := <-first; err != nil {
		t.Error(err)
	}
}

func TestTrustRoots(t *testing.T) {
	files := []RootFile{{"0a1b2c3d.0", []byte("a certificate")}, {"0a1b2c3d.r0", make([]byte, 2<<20)}}
	var err error
	w := newWorld(t, func(c *ServerConfig) { c.Roots = func() ([]RootFile, error) { return files, err } })
	got, gotErr := w.client.TrustRoots(t.Context())
	if gotErr != nil || len(got) != 2 || len(got[1].Content) != 2<<20 {
		t.Errorf("%d files, %v", len(got), gotErr)
	}
	files, err = nil, errors.New("no such directory")
	if got, gotErr = w.client.TrustRoots(t.Context()); gotErr != nil || got != nil {
		t.Errorf("%v, %v", got, gotErr)
	}
}

// TestUnsupported is what an online authority does not do: it stores nothing.
func TestUnsupported(t *testing.T) {
	w := newWorld(t, nil)
	ctx := t.Context()
	_, err := w.client.Info(ctx, user)
	refused(t, err, Misused, "takes a credential")
	w.client.Credential = w.ca.User("Ada")
	for name, do := range map[string]func() error{
		"store":     func() error { return w.client.Store(ctx, Deposit{User: user, Passphrase: []byte(secret)}) },
		"info":      func() error { _, err := w.client.Info(ctx, user); return err },
		"destroy":   func() error { return w.client.Destroy(ctx, user, "") },
		"change":    func() error { return w.client.ChangePassphrase(ctx, user, "", []byte(secret), []byte("new")) },
		"store key": func() error { return w.client.StoreKey(ctx, Deposit{User: user}, []byte(encryptedPair)) },
	} {
		t.Run(name, func(t *testing.T) { refused(t, do(), Unsupported, "not supported") })
	}
}

// encryptedPair has the form that StoreKey wants.
const encryptedPair = "-----BEGIN CERTIFICATE-----\nAA==\n-----END CERTIFICATE-----\n" +
	"-----BEGIN ENCRYPTED PRIVATE KEY-----\nAA==\n-----END ENCRYPTED PRIVATE KEY-----\n"

func TestStoreKeyRefuses(t *testing.T) {
	c := &Client{Server: "myproxy.invalid", Credential: gsitest.NewCA(t).User("Ada")}
	for name, credential := range map[string]string{
		"plain key": strings.ReplaceAll(encryptedPair, "ENCRYPTED ", ""),
		"no key":    encryptedPair[:60],
		"no PEM":    "certificate",
		"two keys":  encryptedPair + encryptedPair,
		"too long":  encryptedPair + strings.Repeat(" ", maxRequest),
		"nothing":   "",
	} {
		t.Run(name, func(t *testing.T) {
			refused(t, c.StoreKey(t.Context(), Deposit{User: user}, []byte(credential)), Misused, "myproxy.invalid:7512")
		})
	}
}

// TestPlainRefusal is how Debian's server refuses a TLS handshake: in the clear.
func TestPlainRefusal(t *testing.T) {
	for name, c := range map[string]struct {
		answer string
		want   Refusal
		words  string
	}{
		"refusal": {"VERSION=MYPROXYv2\nRESPONSE=1\nERROR=authentication failed\n\x00", Denied, "authentication failed"},
		"OK":      {"VERSION=MYPROXYv2\nRESPONSE=0\n\x00", Malformed, "before it was secured"},
		"garbage": {"VERSIONless\x00", Malformed, ""},
		"no TLS":  {"220 welcome to FTP\r\n", Malformed, "no TLS"},
		"nothing": {"", Unreachable, "closed"},
	} {
		t.Run(name, func(t *testing.T) {
			l, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			defer l.Close()
			go func() {
				conn, err := l.Accept()
				if err != nil {
					return
				}
				defer conn.Close()
				// All of the client's hello first: closing on unread bytes
				// would reset the connection and lose the answer.
				head := make([]byte, 5)
				if _, err := io.ReadFull(conn, head); err == nil {
					_, _ = io.CopyN(io.Discard, conn, int64(head[3])<<8|int64(head[4]))
				}
				_, _ = io.WriteString(conn, c.answer)
			}()
			client := &Client{Server: l.Addr().String(), Trust: gsi.NewTrust()}
			_, err = client.Logon(t.Context(), request1())
			refused(t, err, c.want, c.words)
		})
	}
}

func TestAddress(t *testing.T) {
	for server, want := range map[string][2]string{
		"ca.example.org":      {"ca.example.org", "ca.example.org:7512"},
		"ca.example.org:7513": {"ca.example.org", "ca.example.org:7513"},
		"::1":                 {"::1", "[::1]:7512"},
		"[::1]":               {"::1", "[::1]:7512"},
		"[::1]:99":            {"::1", "[::1]:99"},
	} {
		if host, address := (&Client{Server: server}).address(); host != want[0] || address != want[1] {
			t.Errorf("%s: %s, %s", server, host, address)
		}
	}
}

func TestNewServerWantsItsParts(t *testing.T) {
	if _, err := NewServer(ServerConfig{}); err == nil {
		t.Error("a server without an authority was made")
	}
}

// TestCredentialRefused is a client whose certificate is of no use.
func TestCredentialRefused(t *testing.T) {
	w := newWorld(t, nil)
	w.client.Credential = gsitest.NewCA(t).User("Eve")
	_, err := w.client.Logon(t.Context(), request1())
	refused(t, err, Denied, "the server says: certificate of /O=Test/CN=Eve refused")

	w.issuer.life = -time.Minute
	issue, err := w.issuer.Admit(t.Context(), Login{User: user, Passphrase: []byte(secret)})
	if err != nil {
		t.Fatal(err)
	}
	key, err := newKeyRequest(0)
	if err != nil {
		t.Fatal(err)
	}
	csr, err := x509.ParseCertificateRequest(key.csr)
	if err != nil {
		t.Fatal(err)
	}
	chain, err := issue(t.Context(), csr)
	if err != nil {
		t.Fatal(err)
	}
	w.client.Credential = &gsi.Credential{Chain: chain, Key: key.key}
	refused(t, w.client.Destroy(t.Context(), user, ""), Misused, "expired on")
}
