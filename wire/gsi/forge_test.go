package gsi

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"errors"
	"math/big"
	"os/exec"
	"strconv"
	"strings"
	"testing"
	"time"
)

// forgery is a small CA whose certificates a test can spoil before they are
// signed. Its keys are P-256: a test makes dozens.
type forgery struct {
	t  *testing.T
	ca *Credential
	n  int64
}

func newForgery(t *testing.T, edit ...func(*x509.Certificate)) *forgery {
	f := &forgery{t: t}
	template := authorityTemplate(pkix.Name{Organization: []string{"Forged"}, CommonName: "CA"}, newValidity(time.Hour))
	for _, e := range edit {
		e(template)
	}
	ca, err := newECCertificate(template, nil)
	if err != nil {
		t.Fatal(err)
	}
	f.ca = ca
	return f
}

func (f *forgery) trust() *Trust { return NewTrust(f.ca.Chain[0]) }

// end issues an end-entity certificate, its CA not in the chain.
func (f *forgery) end(cn string, edit ...func(*x509.Certificate)) *Credential {
	f.t.Helper()
	template := endTemplate(pkix.Name{Organization: []string{"Forged"}, CommonName: cn}, newValidity(time.Hour))
	for _, e := range edit {
		e(template)
	}
	c, err := newECCertificate(template, f.ca)
	if err != nil {
		f.t.Fatal(err)
	}
	c.Chain = c.Chain[:1]
	return c
}

// proxy makes a correct proxy of issuer, but for the edits. The ProxyCertInfo
// is template.ExtraExtensions[0].
func (f *forgery) proxy(issuer *Credential, edit ...func(*x509.Certificate)) *Credential {
	f.t.Helper()
	f.n++
	subject, err := withCommonName(issuer.Chain[0].RawSubject, strconv.FormatInt(f.n, 10))
	if err != nil {
		f.t.Fatal(err)
	}
	now := newValidity(time.Hour)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(f.n),
		RawSubject:   subject,
		NotBefore:    now.from,
		NotAfter:     now.to,
		KeyUsage:     x509.KeyUsageDigitalSignature,
		ExtraExtensions: []pkix.Extension{
			{Id: oidProxyCertInfo, Critical: true, Value: f.info(noPathLength, oidInheritAll, nil)},
		},
	}
	for _, e := range edit {
		e(template)
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		f.t.Fatal(err)
	}
	parent := &x509.Certificate{RawSubject: issuer.Chain[0].RawSubject, PublicKey: issuer.Chain[0].PublicKey}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, key.Public(), issuer.Key)
	if err != nil {
		f.t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		f.t.Fatal(err)
	}
	return &Credential{Chain: append([]*x509.Certificate{cert}, issuer.Chain...), Key: key}
}

// info encodes a ProxyCertInfo of any shape.
func (f *forgery) info(pathLength int, language asn1.ObjectIdentifier, policy []byte) []byte {
	f.t.Helper()
	p := proxyPolicyASN1{Language: language, Policy: policy}
	var der []byte
	var err error
	if pathLength == noPathLength {
		der, err = asn1.Marshal(struct{ Policy proxyPolicyASN1 }{p})
	} else {
		der, err = asn1.Marshal(struct {
			Length int
			Policy proxyPolicyASN1
		}{pathLength, p})
	}
	if err != nil {
		f.t.Fatal(err)
	}
	return der
}

// withInfo is an edit that replaces the ProxyCertInfo.
func (f *forgery) withInfo(pathLength int, language asn1.ObjectIdentifier, policy []byte) func(*x509.Certificate) {
	return func(c *x509.Certificate) { c.ExtraExtensions[0].Value = f.info(pathLength, language, policy) }
}

// withExtension is an edit that adds one.
func withExtension(oid asn1.ObjectIdentifier, critical bool, value []byte) func(*x509.Certificate) {
	return func(c *x509.Certificate) {
		c.ExtraExtensions = append(c.ExtraExtensions, pkix.Extension{Id: oid, Critical: critical, Value: value})
	}
}

// marshalName encodes a name for template.RawSubject.
func marshalName(t *testing.T, name pkix.Name) []byte {
	t.Helper()
	der, err := asn1.Marshal(name.ToRDNSequence())
	if err != nil {
		t.Fatal(err)
	}
	return der
}

func needOpenSSL(t *testing.T) {
	t.Helper()
	if _, err := exec.LookPath("openssl"); err != nil {
		t.Skip("needs the openssl command")
	}
}

// wantRefusal checks that err is a refusal for that reason with word in its
// sentence, or nil when the reason is empty.
func wantRefusal(t *testing.T, err error, reason Reason, word string) {
	t.Helper()
	var refused *TrustError
	switch {
	case reason == "" && err != nil:
		t.Errorf("refused: %v", err)
	case reason != "" && !errors.As(err, &refused):
		t.Errorf("error is %v (%T), want a refusal for %q", err, err, reason)
	case reason != "" && (refused.Reason != reason || !strings.Contains(refused.Error(), word)):
		t.Errorf("refused for %q: %v\nwant %q with %q in it", refused.Reason, err, reason, word)
	}
}
