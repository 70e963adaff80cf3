package gsi

import (
	"bytes"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func mustProxy(t testing.TB, c *Credential, o ProxyOptions) *Credential {
	t.Helper()
	proxy, err := c.NewProxy(o)
	if err != nil {
		t.Fatal(err)
	}
	return proxy
}

func TestNewProxy(t *testing.T) {
	f := newForgery(t)
	user := f.end("Ada")
	proxy := mustProxy(t, user, ProxyOptions{Lifetime: 10 * time.Minute})
	peer, err := f.trust().Verify(proxy.Chain, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	if peer.Identity != user.Identity() || peer.Limited {
		t.Errorf("the peer is %s, limited %v", peer.Identity, peer.Limited)
	}
	leaf := proxy.Chain[0]
	if cn := leaf.SerialNumber.String(); DN(leaf.RawSubject) != user.Identity()+"/CN="+cn {
		t.Errorf("subject %s, serial number %s", DN(leaf.RawSubject), cn)
	}
	if !bytes.Equal(leaf.RawIssuer, user.Chain[0].RawSubject) {
		t.Error("the issuer's name was changed")
	}
	if left := time.Until(leaf.NotAfter); left > 10*time.Minute || left < 9*time.Minute {
		t.Errorf("lives for %v", left)
	}
	if leaf.NotBefore.Before(user.Chain[0].NotBefore) {
		t.Error("the proxy starts before its issuer")
	}
	if len(leaf.Extensions) != 2 || len(leaf.AuthorityKeyId) != 0 {
		t.Errorf("extensions are %v", leaf.Extensions)
	}
}

func TestProxyNeverOutlives(t *testing.T) {
	f := newForgery(t)
	soon := time.Now().Add(time.Minute).Truncate(time.Second).UTC()
	// The first proxy outlives what it was made from; ours must mind both.
	chain := f.proxy(f.end("Ada", func(c *x509.Certificate) { c.NotAfter = soon }))
	if got := mustProxy(t, chain, ProxyOptions{Lifetime: 48 * time.Hour}).Chain[0].NotAfter; !got.Equal(soon) {
		t.Errorf("ends %v, want %v", got, soon)
	}
	expired := f.end("Ada", func(c *x509.Certificate) { c.NotAfter = time.Now().Add(-time.Second) })
	if _, err := expired.NewProxy(ProxyOptions{}); err == nil || !strings.Contains(err.Error(), "expired on") {
		t.Errorf("of an expired credential: %v", err)
	}
}

func TestLimitedIsSticky(t *testing.T) {
	f := newForgery(t)
	limited := mustProxy(t, f.end("Ada"), ProxyOptions{Limited: true})
	again := mustProxy(t, limited, ProxyOptions{})
	peer, err := f.trust().Verify(again.Chain, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	if !peer.Limited {
		t.Error("a full proxy was made of a limited one")
	}
}

func TestProxyAsOpenSSL(t *testing.T) {
	needOpenSSL(t)
	a, err := NewAuthority("OpenSSL")
	if err != nil {
		t.Fatal(err)
	}
	user, err := a.User("Ada")
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	if err := a.WriteTrustDir(filepath.Join(dir, "certificates")); err != nil {
		t.Fatal(err)
	}
	proxy := mustProxy(t, mustProxy(t, user, ProxyOptions{}), ProxyOptions{Limited: true})
	path := filepath.Join(dir, "proxy.pem")
	if err := proxy.SaveProxy(path); err != nil {
		t.Fatal(err)
	}
	// -CApath finds the root by the hashed name we gave its file.
	out, err := exec.Command("openssl", "verify", "-allow_proxy_certs", "-no-CAfile", "-no-CAstore",
		"-CApath", filepath.Join(dir, "certificates"), "-untrusted", path, path).CombinedOutput()
	if err != nil || !strings.Contains(string(out), "OK") {
		t.Errorf("openssl verify: %v\n%s", err, out)
	}
}

func TestSignProxyRefuses(t *testing.T) {
	f := newForgery(t)
	user := f.end("Ada")
	request, err := NewProxyRequest(0)
	if err != nil {
		t.Fatal(err)
	}
	weakKey, err := rsa.GenerateKey(rand.Reader, 1024)
	if err != nil {
		t.Fatal(err)
	}
	weak, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{}, weakKey)
	if err != nil {
		t.Fatal(err)
	}
	forged := bytes.Clone(request.CSR())
	forged[len(forged)-1] ^= 1
	for name, tc := range map[string]struct {
		issuer *Credential
		csr    []byte
		word   string
	}{
		"junk":             {user, []byte("junk"), "sign proxy"},
		"forged signature": {user, forged, "not signed by its own key"},
		"weak key":         {user, weak, "1024 bits"},
		"authority":        {f.ca, request.CSR(), "certificate authority"},
	} {
		if _, err := tc.issuer.SignProxy(tc.csr, ProxyOptions{}); err == nil || !strings.Contains(err.Error(), tc.word) {
			t.Errorf("%s: error %v", name, err)
		}
	}
	for _, bits := range []int{1024, -1, 16384} {
		if _, err := NewProxyRequest(bits); err == nil {
			t.Errorf("a key of %d bits was made", bits)
		}
	}
}

func TestCompleteRefuses(t *testing.T) {
	f := newForgery(t)
	user := f.end("Ada")
	request, err := NewProxyRequest(0)
	if err != nil {
		t.Fatal(err)
	}
	other, err := NewProxyRequest(0)
	if err != nil {
		t.Fatal(err)
	}
	der, err := user.SignProxy(request.CSR(), ProxyOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := request.Complete(der, user.Chain[0].Raw); err != nil {
		t.Errorf("the right chain: %v", err)
	}
	for name, err := range map[string]error{
		"another key":    second(other.Complete(der, user.Chain[0].Raw)),
		"no chain":       second(request.Complete(der)),
		"another issuer": second(request.Complete(der, f.end("Bob").Chain[0].Raw)),
		"junk":           second(request.Complete([]byte("junk"), user.Chain[0].Raw)),
		"trailing bytes": second(request.Complete(append(der[:len(der):len(der)], 0), user.Chain[0].Raw)),
	} {
		if err == nil {
			t.Errorf("%s was taken", name)
		}
	}
}

func second[T any](_ T, err error) error { return err }

func TestEphemeral(t *testing.T) {
	c, err := NewEphemeral("gridferry data", time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	blob, err := c.DCSC()
	if err != nil {
		t.Fatal(err)
	}
	got, err := ParseDCSC(blob)
	if err != nil {
		t.Fatal(err)
	}
	sameCredential(t, got, c)
	trust, err := got.SelfTrust()
	if err != nil {
		t.Fatal(err)
	}
	peer, err := trust.Verify(c.Chain, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	if peer.Identity != "/CN=gridferry data" {
		t.Errorf("identity %s", peer.Identity)
	}
	other, err := NewEphemeral("gridferry data", time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := trust.Verify(other.Chain, time.Now()); err == nil {
		t.Error("another ephemeral authority is trusted")
	}
	if _, err := newForgery(t).end("Ada").SelfTrust(); err == nil {
		t.Error("a chain without a root trusts itself")
	}
	for _, bad := range []string{"", "???", base64.StdEncoding.EncodeToString([]byte("junk")), strings.Repeat("A", 2*maxCredential)} {
		if _, err := ParseDCSC(bad); err == nil {
			t.Errorf("%.8q was taken", bad)
		}
	}
}

func FuzzSignProxy(f *testing.F) {
	c, err := NewEphemeral("Ada", time.Hour)
	if err != nil {
		f.Fatal(err)
	}
	request, err := NewProxyRequest(0)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(request.CSR())
	f.Fuzz(func(t *testing.T, csr []byte) {
		der, err := c.SignProxy(csr, ProxyOptions{})
		if err != nil {
			return
		}
		cert, err := x509.ParseCertificate(der)
		if err != nil {
			t.Fatal(err)
		}
		if err := checkProxy(append([]*x509.Certificate{cert}, c.Chain...), 0); err != nil {
			t.Errorf("we do not believe our own proxy: %v", err)
		}
	})
}
