package gsi

import (
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestVerifyAccepts(t *testing.T) {
	f := newForgery(t)
	user := f.end("Ada")
	limited := f.withInfo(noPathLength, oidLimited, nil)
	only := func(usage x509.ExtKeyUsage) func(*x509.Certificate) {
		return func(c *x509.Certificate) { c.ExtKeyUsage = []x509.ExtKeyUsage{usage} }
	}
	for name, tc := range map[string]struct {
		chain   []*x509.Certificate
		limited bool
	}{
		"end entity":                 {chain: user.Chain},
		"with its root":              {chain: append(user.Chain[:1:1], f.ca.Chain[0])},
		"proxy":                      {chain: f.proxy(user).Chain},
		"proxy of a proxy":           {chain: f.proxy(f.proxy(user)).Chain},
		"limited":                    {chain: f.proxy(user, limited).Chain, limited: true},
		"limited of limited":         {chain: f.proxy(f.proxy(user, limited), limited).Chain, limited: true},
		"path length just enough":    {chain: f.proxy(f.proxy(f.proxy(user, f.withInfo(2, oidInheritAll, nil)))).Chain},
		"path length zero as leaf":   {chain: f.proxy(user, f.withInfo(0, oidInheritAll, nil)).Chain},
		"for servers only":           {chain: f.end("Ada", only(x509.ExtKeyUsageServerAuth)).Chain},
		"for clients only":           {chain: f.proxy(f.end("Ada", only(x509.ExtKeyUsageClientAuth))).Chain},
		"no key usage":               {chain: f.proxy(user, func(c *x509.Certificate) { c.KeyUsage = 0 }).Chain},
		"name in other string types": {chain: f.proxy(user, func(c *x509.Certificate) { c.RawSubject = retype(t, c.RawSubject) }).Chain},
	} {
		t.Run(name, func(t *testing.T) {
			peer, err := f.trust().Verify(tc.chain, time.Now())
			if err != nil {
				t.Fatal(err)
			}
			if peer.Identity != "/O=Forged/CN=Ada" {
				t.Errorf("identity %q", peer.Identity)
			}
			if peer.Limited != tc.limited {
				t.Errorf("limited = %v, want %v", peer.Limited, tc.limited)
			}
			if DN(peer.EEC().RawSubject) != peer.Identity {
				t.Errorf("end-entity certificate is %s", DN(peer.EEC().RawSubject))
			}
		})
	}
}

// retype encodes a name again with all its strings in UTF-8, as some Java tools
// do when they make a proxy.
func retype(t *testing.T, raw []byte) []byte {
	t.Helper()
	name, err := parseName(raw)
	if err != nil {
		t.Fatal(err)
	}
	for _, rdn := range name {
		for i := range rdn {
			rdn[i].Value = asn1.RawValue{Class: asn1.ClassUniversal, Tag: asn1.TagUTF8String, Bytes: rdn[i].Value.Bytes}
		}
	}
	der, err := asn1.Marshal(name)
	if err != nil {
		t.Fatal(err)
	}
	return der
}

func TestVerifyRefuses(t *testing.T) {
	f := newForgery(t)
	user, other := f.end("Ada"), f.end("Bob")
	twin := f.end("Ada") // same name, another key
	stranger := newForgery(t).end("Ada")
	unknown := asn1.ObjectIdentifier{1, 2, 3, 4}
	join := func(a *Credential, rest ...*x509.Certificate) []*x509.Certificate {
		return append(a.Chain[:1:1], rest...)
	}
	named := func(name pkix.Name) func(*x509.Certificate) {
		return func(c *x509.Certificate) { c.RawSubject = marshalName(t, name) }
	}
	legacy := func(cn string) *Credential {
		return f.proxy(user, func(c *x509.Certificate) {
			raw, err := withCommonName(user.Chain[0].RawSubject, cn)
			if err != nil {
				t.Fatal(err)
			}
			c.RawSubject, c.ExtraExtensions = raw, nil
		})
	}
	long := user
	for range maxChain {
		long = f.proxy(long)
	}
	for name, tc := range map[string]struct {
		chain  []*x509.Certificate
		reason Reason
		word   string // what the sentence must say
	}{
		"nothing":           {nil, ReasonCertificate, "none"},
		"too long":          {long.Chain, ReasonCertificate, "more than"},
		"unknown authority": {stranger.Chain, ReasonUnknownAuthority, "/O=Forged/CN=CA"},
		"proxy of a stranger": {f.proxy(stranger).Chain, ReasonUnknownAuthority,
			"with the key that signed it"},
		"expired end entity": {f.proxy(f.end("Ada", func(c *x509.Certificate) { c.NotAfter = time.Now().Add(-time.Minute) })).Chain,
			ReasonExpired, "expired on"},
		"expired proxy": {f.proxy(user, func(c *x509.Certificate) { c.NotAfter = time.Now().Add(-time.Minute) }).Chain,
			ReasonExpired, "expired on"},
		"expired proxy in the middle": {f.proxy(f.proxy(user, func(c *x509.Certificate) { c.NotAfter = time.Now().Add(-time.Minute) })).Chain,
			ReasonExpired, "expired on"},
		"proxy of the future": {f.proxy(user, func(c *x509.Certificate) { c.NotBefore = time.Now().Add(time.Minute) }).Chain,
			ReasonNotYetValid, "clock"},
		"end entity of the future": {f.end("Ada", func(c *x509.Certificate) { c.NotBefore = time.Now().Add(time.Minute) }).Chain,
			ReasonNotYetValid, "clock"},
		"issued by another": {join(f.proxy(user), other.Chain[0]), ReasonProxyRule, "/CN=Bob"},
		"issuer missing":    {f.proxy(user).Chain[:1], ReasonProxyRule, "not presented"},
		"signed by a twin":  {join(f.proxy(user), twin.Chain[0]), ReasonSignature, "signature"},
		"signed with SHA-1": {f.proxy(user, func(c *x509.Certificate) { c.SignatureAlgorithm = x509.ECDSAWithSHA1 }).Chain,
			ReasonSignature, "SHA1"},
		"info not critical": {f.proxy(user, func(c *x509.Certificate) { c.ExtraExtensions[0].Critical = false }).Chain,
			ReasonProxyRule, "critical"},
		"info damaged": {f.proxy(user, func(c *x509.Certificate) { c.ExtraExtensions[0].Value = []byte{0x30, 0} }).Chain,
			ReasonProxyRule, "ProxyCertInfo"},
		"negative path length": {f.proxy(user, f.withInfo(-2, oidInheritAll, nil)).Chain, ReasonProxyRule, "negative"},
		"name unrelated":       {f.proxy(user, named(pkix.Name{CommonName: "Ada"})).Chain, ReasonProxyRule, "one CN"},
		"name the issuer's": {f.proxy(user, named(pkix.Name{Organization: []string{"Forged"}, CommonName: "Ada"})).Chain,
			ReasonProxyRule, "one CN"},
		"name longer by an OU": {f.proxy(user, func(c *x509.Certificate) {
			c.RawSubject = extend(t, user, pkix.Name{OrganizationalUnit: []string{"x"}})
		}).Chain,
			ReasonProxyRule, "one CN"},
		"name longer by two": {f.proxy(user, func(c *x509.Certificate) {
			c.RawSubject = extend(t, user, pkix.Name{OrganizationalUnit: []string{"x"}, CommonName: "1"})
		}).Chain, ReasonProxyRule, "one CN"},
		"independent":        {f.proxy(user, f.withInfo(noPathLength, oidIndependent, nil)).Chain, ReasonProxyRule, "independent"},
		"restricted":         {f.proxy(user, f.withInfo(noPathLength, unknown, []byte("ask"))).Chain, ReasonProxyRule, "policy language"},
		"inherits, with ifs": {f.proxy(user, f.withInfo(noPathLength, oidInheritAll, []byte("but"))).Chain, ReasonProxyRule, "policy"},
		"proxy of a CA":      {f.proxy(f.ca).Chain, ReasonProxyRule, "certificate authority"},
		"proxy that is a CA": {f.proxy(user, func(c *x509.Certificate) { c.IsCA, c.BasicConstraintsValid = true, true }).Chain,
			ReasonProxyRule, "certificate authority"},
		"subject alternative name": {f.proxy(user, func(c *x509.Certificate) { c.DNSNames = []string{"localhost"} }).Chain,
			ReasonProxyRule, "subject alternative name"},
		"issuer alternative name": {f.proxy(user, withExtension(oidIssuerAlt, false, []byte{0x30, 0})).Chain,
			ReasonProxyRule, "issuer alternative name"},
		"proxy cannot sign": {f.proxy(user, func(c *x509.Certificate) { c.KeyUsage = x509.KeyUsageKeyEncipherment }).Chain,
			ReasonProxyRule, "digitalSignature"},
		"end entity cannot sign": {f.proxy(f.end("Ada", func(c *x509.Certificate) { c.KeyUsage = x509.KeyUsageKeyEncipherment })).Chain,
			ReasonProxyRule, "digitalSignature"},
		"proxy signs certificates": {f.proxy(user, func(c *x509.Certificate) { c.KeyUsage |= x509.KeyUsageCertSign }).Chain,
			ReasonProxyRule, "keyCertSign"},
		"unknown critical extension": {f.proxy(user, withExtension(unknown, true, []byte{5, 0})).Chain,
			ReasonProxyRule, "1.2.3.4"},
		"unknown critical extension in the end entity": {f.end("Ada", withExtension(unknown, true, []byte{5, 0})).Chain,
			ReasonCertificate, "critical extension"},
		"path length 0": {f.proxy(f.proxy(user, f.withInfo(0, oidInheritAll, nil))).Chain, ReasonPathLength, "allows 0"},
		"path length 1": {f.proxy(f.proxy(f.proxy(user, f.withInfo(1, oidInheritAll, nil)))).Chain, ReasonPathLength, "allows 1"},
		"full of limited": {f.proxy(f.proxy(user, f.withInfo(noPathLength, oidLimited, nil))).Chain,
			ReasonLimited, "limited"},
		"legacy proxy":          {legacy("proxy").Chain, ReasonLegacyProxy, "before RFC 3820"},
		"legacy limited proxy":  {legacy("limited proxy").Chain, ReasonLegacyProxy, "before RFC 3820"},
		"proxy of legacy proxy": {f.proxy(legacy("proxy")).Chain, ReasonLegacyProxy, "before RFC 3820"},
		"draft proxy": {f.proxy(user, func(c *x509.Certificate) { c.ExtraExtensions[0].Id = oidDraftInfo }).Chain,
			ReasonLegacyProxy, "before RFC 3820"},
		"issued by an end entity": {f.proxy(user, func(c *x509.Certificate) { c.ExtraExtensions = nil }).Chain,
			ReasonUnknownAuthority, ""},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := f.trust().Verify(tc.chain, time.Now())
			wantRefusal(t, err, tc.reason, tc.word)
		})
	}
}

func extend(t *testing.T, c *Credential, more pkix.Name) []byte {
	t.Helper()
	rdns := append(c.Chain[0].Subject.ToRDNSequence(), more.ToRDNSequence()...)
	der, err := asn1.Marshal(rdns)
	if err != nil {
		t.Fatal(err)
	}
	return der
}

// TestVerifyHostCalledProxy: only the issuer tells a legacy proxy from it.
func TestVerifyHostCalledProxy(t *testing.T) {
	f := newForgery(t)
	host := f.end("", func(c *x509.Certificate) {
		raw, err := withCommonName(f.ca.Chain[0].RawSubject, "proxy")
		if err != nil {
			t.Fatal(err)
		}
		c.RawSubject = raw
	})
	for _, chain := range [][]*x509.Certificate{host.Chain, append(host.Chain, f.ca.Chain...)} {
		if _, err := f.trust().Verify(chain, time.Now()); err != nil {
			t.Error(err)
		}
	}
}

func TestVerifyExpiredAuthority(t *testing.T) {
	f := newForgery(t, func(c *x509.Certificate) { c.NotAfter = time.Now().Add(-time.Second) })
	_, err := f.trust().Verify(f.end("Ada").Chain, time.Now())
	var refused *TrustError
	if !errors.As(err, &refused) || refused.Reason != ReasonExpired || refused.Subject != "/O=Forged/CN=CA" {
		t.Fatalf("error %v", err)
	}
}

func TestPeerExpiresWithTheFirst(t *testing.T) {
	f := newForgery(t)
	soon := time.Now().Add(time.Minute).Truncate(time.Second).UTC()
	c := f.proxy(f.proxy(f.end("Ada"), func(c *x509.Certificate) { c.NotAfter = soon }))
	peer, err := f.trust().Verify(c.Chain, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	if !peer.Expires.Equal(soon) {
		t.Errorf("expires %v, want %v", peer.Expires, soon)
	}
}

func TestLoadTrust(t *testing.T) {
	a, err := NewAuthority("Load")
	if err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(t.TempDir(), "certificates")
	if err := a.WriteTrustDir(dir); err != nil {
		t.Fatal(err)
	}
	user := newForgery(t)
	if err := os.WriteFile(filepath.Join(dir, "broken.pem"), []byte("no certificate"), 0o644); err != nil {
		t.Fatal(err)
	}
	trust, err := LoadTrust(dir)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := trust.Verify([]*x509.Certificate{a.Certificate()}, time.Now()); err != nil {
		t.Errorf("its own root: %v", err)
	}
	_, err = trust.Verify(user.end("Ada").Chain, time.Now())
	if err == nil || !strings.Contains(err.Error(), "broken.pem") {
		t.Errorf("an unknown authority does not name the unusable file: %v", err)
	}
}

func TestLoadTrustIntermediate(t *testing.T) {
	f := newForgery(t)
	middle, err := newECCertificate(authorityTemplate(pkix.Name{CommonName: "Middle"}, newValidity(time.Hour)), f.ca)
	if err != nil {
		t.Fatal(err)
	}
	user, err := newECCertificate(endTemplate(pkix.Name{CommonName: "Ada"}, newValidity(time.Hour)), middle)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	write := func(name string, cert *x509.Certificate) {
		if err := os.WriteFile(filepath.Join(dir, name), encodeCertificate(cert), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	write("middle.crt", middle.Chain[0])
	options := TrustOptions{AllowMissingPolicy: true}
	if _, err := options.Load(dir); err == nil || !strings.Contains(err.Error(), "no root") {
		t.Errorf("an intermediate alone was taken for a root: %v", err)
	}
	write("root.pem", f.ca.Chain[0])
	trust, err := options.Load(dir)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := trust.Verify(user.Chain[:1], time.Now()); err != nil {
		t.Errorf("the intermediate in the directory was not used: %v", err)
	}
}

func TestLoadTrustMissing(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "none")
	if _, err := LoadTrust(dir); !errors.Is(err, os.ErrNotExist) || !strings.Contains(err.Error(), dir) {
		t.Errorf("error %v", err)
	}
}

func TestDefaultTrustDir(t *testing.T) {
	home := t.TempDir()
	t.Setenv("HOME", home)
	t.Setenv("X509_CERT_DIR", "")
	if got := DefaultTrustDir(); got != "/etc/grid-security/certificates" {
		t.Errorf("with nothing set: %s", got)
	}
	own := filepath.Join(home, ".globus", "certificates")
	if err := os.MkdirAll(own, 0o755); err != nil {
		t.Fatal(err)
	}
	if got := DefaultTrustDir(); got != own {
		t.Errorf("with a directory of one's own: %s", got)
	}
	t.Setenv("X509_CERT_DIR", "/elsewhere")
	if got := DefaultTrustDir(); got != "/elsewhere" {
		t.Errorf("with the variable: %s", got)
	}
}

func FuzzParseProxyInfo(f *testing.F) {
	for _, limited := range []bool{false, true} {
		der, err := encodeProxyInfo(limited)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(der)
	}
	f.Add([]byte{0x30, 0x0f, 0x02, 0x01, 0x03, 0x30, 0x0a, 0x06, 0x08, 0x2b, 0x06, 0x01, 0x05, 0x05, 0x07, 0x15, 0x01})
	f.Fuzz(func(t *testing.T, der []byte) {
		info, err := parseProxyInfo(der)
		if err == nil && (info.language == nil || info.pathLength < noPathLength) {
			t.Fatalf("accepted %x as %+v", der, info)
		}
	})
}
