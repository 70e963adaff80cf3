package myproxyd

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"fmt"
	"log/slog"
	"math/big"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/gridferry/gridferry/wire/gsi"
	"github.com/gridferry/gridferry/wire/myproxy"
)

const secret = "correct horse"

// password is a Verifier for one pass phrase.
type password string

func (p password) Verify(_ context.Context, a Attempt) error {
	switch string(a.Secret) {
	case string(p):
		return nil
	case "broken":
		return errors.New("the directory server is down")
	}
	return &Wrong{Reason: "it is another"}
}

// newCA makes an authority's credential of a small key.
func newCA(t *testing.T, edit func(*x509.Certificate)) *gsi.Credential {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{Organization: []string{"Test"}, CommonName: "CA"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(48 * time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	if edit != nil {
		edit(template)
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return &gsi.Credential{Chain: []*x509.Certificate{cert}, Key: key}
}

func subject(t *testing.T, text string) Subject {
	t.Helper()
	s, err := ParseSubject(text)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

type world struct {
	*Authority
	ca    *gsi.Credential
	log   *strings.Builder
	clock time.Time
}

func newWorld(t *testing.T, edit func(*Config)) *world {
	t.Helper()
	w := &world{ca: newCA(t, nil), log: new(strings.Builder), clock: time.Now()}
	config := Config{
		CA:      func() (*gsi.Credential, error) { return w.ca, nil },
		Subject: subject(t, "/DC=org/DC=example/O=Test/CN={user}"), MaxLifetime: 12 * time.Hour, Passphrases: password(secret),
		Failures: Failures{User: 3, Address: 5, Window: time.Minute},
		Logger:   slog.New(slog.NewTextHandler(w.log, nil)),
	}
	if edit != nil {
		edit(&config)
	}
	var err error
	if w.Authority, err = New(config); err != nil {
		t.Fatal(err)
	}
	w.now = func() time.Time { return w.clock }
	t.Cleanup(func() {
		if strings.Contains(w.log.String(), secret) {
			t.Errorf("the pass phrase is in the log:\n%s", w.log)
		}
	})
	return w
}

// try is an attempt; it returns what the client hears.
func (w *world) try(t *testing.T, user, secret, from string) string {
	t.Helper()
	issue, err := w.Admit(t.Context(), myproxy.Login{User: user, Passphrase: []byte(secret), From: netip.MustParseAddr(from)})
	var refused *myproxy.Refused
	switch {
	case errors.As(err, &refused):
		return refused.Words
	case err != nil:
		return "internal: " + err.Error()
	case issue == nil:
		t.Error("admitted, with no right to a certificate")
	}
	return ""
}

func request(t *testing.T, key crypto.Signer) *x509.CertificateRequest {
	t.Helper()
	// It asks for things that it must not get.
	der, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{Subject: pkix.Name{CommonName: "root"}, DNSNames: []string{"bank.example"}}, key)
	if err != nil {
		t.Fatal(err)
	}
	r, err := x509.ParseCertificateRequest(der)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func ecKey(t *testing.T, curve elliptic.Curve) crypto.Signer {
	t.Helper()
	key, err := ecdsa.GenerateKey(curve, rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func TestIssue(t *testing.T) {
	w := newWorld(t, nil)
	for name, c := range map[string]struct{ asked, want time.Duration }{
		"as asked":        {time.Hour, time.Hour},
		"none asked":      {0, 12 * time.Hour},
		"more than there": {1000 * time.Hour, 12 * time.Hour},
	} {
		t.Run(name, func(t *testing.T) {
			issue, err := w.Admit(t.Context(), myproxy.Login{User: "ada", Passphrase: []byte(secret), Lifetime: c.asked, From: netip.MustParseAddr("192.0.2.1")})
			if err != nil {
				t.Fatal(err)
			}
			chain, err := issue(t.Context(), request(t, ecKey(t, elliptic.P256())))
			if err != nil {
				t.Fatal(err)
			}
			leaf := chain[0]
			if len(chain) != 1 || gsi.DN(leaf.RawSubject) != "/DC=org/DC=example/O=Test/CN=ada" || leaf.IsCA || len(leaf.DNSNames) != 0 ||
				leaf.KeyUsage != x509.KeyUsageDigitalSignature|x509.KeyUsageKeyEncipherment {
				t.Errorf("issued %s, %+v", gsi.DN(leaf.RawSubject), leaf)
			}
			if left := leaf.NotAfter.Sub(w.clock); (left - c.want).Abs() > time.Second {
				t.Errorf("it lasts %s, want %s", left, c.want)
			}
			if _, err := gsi.NewTrust(w.ca.Chain[0]).Verify(chain, time.Now()); err != nil {
				t.Error(err)
			}
			line := "msg=\"certificate issued\" user=ada address=192.0.2.1 subject=\"/DC=org/DC=example/O=Test/CN=ada\" serial=" + leaf.SerialNumber.Text(16)
			if !strings.Contains(w.log.String(), line) {
				t.Errorf("the log has no line %s:\n%s", line, w.log)
			}
		})
	}
}

func TestIssueNotBeyondTheAuthority(t *testing.T) {
	w := newWorld(t, nil)
	w.ca = newCA(t, func(c *x509.Certificate) {
		c.NotAfter = time.Now().Add(time.Hour)
		c.NotBefore = time.Now().Add(-time.Minute)
	})
	chain, err := w.issue("ada", 0, request(t, ecKey(t, elliptic.P256())))
	if err != nil {
		t.Fatal(err)
	}
	if ca := w.ca.Chain[0]; !chain[0].NotAfter.Equal(ca.NotAfter) || !chain[0].NotBefore.Equal(ca.NotBefore) {
		t.Errorf("%s to %s", chain[0].NotBefore, chain[0].NotAfter)
	}
	w.clock = w.clock.Add(2 * time.Hour)
	if _, err := w.issue("ada", 0, request(t, ecKey(t, elliptic.P256()))); err == nil || !strings.Contains(err.Error(), "expired") {
		t.Errorf("an expired authority: %v", err)
	}
}

func TestIssueThroughIntermediate(t *testing.T) {
	w := newWorld(t, nil)
	root := w.ca
	key := ecKey(t, elliptic.P256())
	template := &x509.Certificate{
		SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: "Online CA"}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, root.Chain[0], key.Public(), root.Key)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	w.ca = &gsi.Credential{Chain: []*x509.Certificate{cert, root.Chain[0]}, Key: key}
	chain, err := w.issue("ada", 0, request(t, ecKey(t, elliptic.P256())))
	if err != nil || len(chain) != 2 {
		t.Fatalf("%d certificates, %v", len(chain), err)
	}
	if _, err := gsi.NewTrust(root.Chain[0]).Verify(chain, time.Now()); err != nil {
		t.Error(err)
	}
}

func TestIssueRefusesKeys(t *testing.T) {
	w := newWorld(t, nil)
	weak, err := rsa.GenerateKey(rand.Reader, 1024)
	if err != nil {
		t.Fatal(err)
	}
	_, odd, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	for name, key := range map[string]crypto.Signer{"RSA-1024": weak, "P-224": ecKey(t, elliptic.P224()), "Ed25519": odd} {
		var refused *myproxy.Refused
		if _, err := w.issue("ada", 0, request(t, key)); !errors.As(err, &refused) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestNewRefuses(t *testing.T) {
	for name, c := range map[string]struct {
		edit func(*x509.Certificate)
		conf func(*Config)
		want string
	}{
		"no authority": {edit: func(c *x509.Certificate) { c.IsCA = false }, want: "no authority"},
		"not for that": {edit: func(c *x509.Certificate) { c.KeyUsage = x509.KeyUsageCRLSign }, want: "not for signing"},
		"expired":      {edit: func(c *x509.Certificate) { c.NotAfter = time.Now().Add(-time.Minute) }, want: "expired"},
		"early":        {edit: func(c *x509.Certificate) { c.NotBefore = time.Now().Add(time.Minute) }, want: "not valid before"},
		"no verifier":  {conf: func(c *Config) { c.Passphrases = nil }, want: "nobody could log on"},
		"no lifetime":  {conf: func(c *Config) { c.MaxLifetime = 0 }, want: "too short"},
		"no key":       {conf: func(c *Config) { c.CA = func() (*gsi.Credential, error) { return nil, errors.New("no such file") } }, want: "no such file"},
	} {
		ca := newCA(t, c.edit)
		config := Config{CA: func() (*gsi.Credential, error) { return ca, nil }, MaxLifetime: time.Hour, Passphrases: password(secret)}
		if c.conf != nil {
			c.conf(&config)
		}
		if _, err := New(config); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestAdmitRefuses(t *testing.T) {
	w := newWorld(t, nil)
	if words := w.try(t, "ada", secret, "192.0.2.1"); words != "" {
		t.Error(words)
	}
	// None of them says whether the user exists.
	for _, c := range [][2]string{{"ada", "wrong"}, {"ada", ""}, {"../ada", secret}, {"-v", secret}, {"a/CN=b", secret}, {strings.Repeat("a", 129), secret}} {
		if words := w.try(t, c[0], c[1], "192.0.2.1"); words != myproxy.WordsWrongPassphrase {
			t.Errorf("%q: %q", c, words)
		}
	}
	if words := w.try(t, "ada", "broken", "192.0.2.1"); !strings.HasPrefix(words, "internal: verify ada's pass phrase: the directory") {
		t.Error(words)
	}
}

func TestFailuresOfAUser(t *testing.T) {
	w := newWorld(t, nil)
	for i := range 3 {
		// What cannot be told counts for nothing, nor does what was right.
		w.try(t, "ada", "broken", "192.0.2.1")
		w.try(t, "ada", secret, "192.0.2.1")
		if words := w.try(t, "ada", "wrong", fmt.Sprintf("192.0.2.%d", i)); words != myproxy.WordsWrongPassphrase {
			t.Fatal(words)
		}
	}
	if words := w.try(t, "ada", secret, "192.0.2.9"); !strings.Contains(words, "too many failures to log on: try again in") {
		t.Errorf("after three failures: %q", words)
	}
	if words := w.try(t, "eve", secret, "192.0.2.9"); words != "" {
		t.Errorf("another user: %q", words)
	}
	w.clock = w.clock.Add(time.Minute)
	if words := w.try(t, "ada", secret, "192.0.2.9"); words != "" {
		t.Errorf("after the window: %q", words)
	}
}

func TestFailuresOfAnAddress(t *testing.T) {
	w := newWorld(t, nil)
	for i := range 5 {
		w.try(t, fmt.Sprintf("user%d", i), "wrong", fmt.Sprintf("2001:db8::%d", i))
	}
	if words := w.try(t, "ada", secret, "2001:db8::ffff"); !strings.Contains(words, "too many") {
		t.Errorf("the same network: %q", words)
	}
	if words := w.try(t, "ada", secret, "2001:db8:0:1::1"); words != "" {
		t.Errorf("another network: %q", words)
	}
}

// TestFailuresAtOnce lets many try before any has failed.
func TestFailuresAtOnce(t *testing.T) {
	verifier := make(waiting)
	w := newWorld(t, func(c *Config) { c.Passphrases = verifier })
	done := make(chan string)
	for range 10 {
		go func() { done <- w.try(t, "ada", "wrong", "192.0.2.1") }()
	}
	for range 7 {
		if words := <-done; !strings.Contains(words, "too many") {
			t.Errorf("beyond the limit: %q", words)
		}
	}
	close(verifier)
	for range 3 {
		if words := <-done; words != myproxy.WordsWrongPassphrase {
			t.Errorf("within the limit: %q", words)
		}
	}
}

// waiting is a Verifier that says no once it is closed.
type waiting chan struct{}

func (w waiting) Verify(context.Context, Attempt) error {
	<-w
	return &Wrong{Reason: "it is another"}
}

func TestLimiterSharesBuckets(t *testing.T) {
	l := newLimiter(1, time.Minute)
	now := time.Now()
	for i := range 4 * buckets {
		l.take(fmt.Sprint(i), now)
	}
	if len(l.buckets) != buckets {
		t.Errorf("%d buckets", len(l.buckets))
	}
	if l.take("0", now) == 0 {
		t.Error("many names made it forget one")
	}
}
