package gsi

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509/pkix"
	"testing"
	"time"
)

func TestVerifyWeakKeys(t *testing.T) {
	f := newForgery(t)
	end := func(key crypto.Signer, issuer *Credential) *Credential {
		t.Helper()
		c, err := issue(endTemplate(pkix.Name{CommonName: "Ada"}, newValidity(time.Hour)), key, issuer)
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	authority := func(key crypto.Signer) *Credential {
		t.Helper()
		c, err := issue(authorityTemplate(pkix.Name{CommonName: "Keys"}, newValidity(time.Hour)), key, nil)
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	rsaKey := func(bits int) crypto.Signer {
		t.Helper()
		key, err := rsa.GenerateKey(rand.Reader, bits)
		if err != nil {
			t.Fatal(err)
		}
		return key
	}
	weak, strong := rsaKey(1024), rsaKey(2048)
	p224, err := ecdsa.GenerateKey(elliptic.P224(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	_, edwards, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	for name, tc := range map[string]struct {
		root, end crypto.Signer
		reason    Reason
		word      string
	}{
		"RSA":                 {strong, strong, "", ""},
		"Ed25519":             {edwards, edwards, "", ""},
		"P-224":               {p224, p224, "", ""},
		"weak certificate":    {strong, weak, ReasonWeakKey, "ask its authority"},
		"weak root":           {weak, strong, ReasonWeakKey, "renew its own"},
		"weak root, EC below": {weak, p224, ReasonWeakKey, "/CN=Keys"},
	} {
		ca := authority(tc.root)
		_, err := NewTrust(ca.Chain[0]).Verify(end(tc.end, ca).Chain, time.Now())
		t.Run(name, func(t *testing.T) { wantRefusal(t, err, tc.reason, tc.word) })
	}
	user := end(weak, f.ca)
	_, err = f.trust().Verify(f.proxy(user).Chain, time.Now())
	wantRefusal(t, err, ReasonWeakKey, "ask its authority")
}

func TestRequireFull(t *testing.T) {
	f := newForgery(t)
	verify := func(c *Credential) *Peer {
		t.Helper()
		peer, err := f.trust().Verify(c.Chain, time.Now())
		if err != nil {
			t.Fatal(err)
		}
		return peer
	}
	user := f.end("Ada")
	wantRefusal(t, verify(user).RequireFull(), "", "")
	wantRefusal(t, verify(f.proxy(user)).RequireFull(), "", "")
	wantRefusal(t, verify(f.proxy(user, f.withInfo(noPathLength, oidLimited, nil))).RequireFull(), ReasonLimited, "without -limited")
}
