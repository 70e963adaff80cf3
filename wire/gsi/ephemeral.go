package gsi

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"errors"
	"fmt"
	"math/big"
	"time"
)

// NewEphemeral makes a credential for data channels alone: a certificate for
// CN=name and the throw-away authority that signed it, both in the chain. Given
// to a server by DCSC, it lets two ends recognise each other while no key that
// the user or a host lives by leaves its place. lifetime counts from now.
//
// Keys are P-256: a pair costs well under a millisecond, where RSA would cost
// more than the rest of a login.
func NewEphemeral(name string, lifetime time.Duration) (*Credential, error) {
	// A random name, for a peer that sees two such authorities must not mix
	// them up.
	tag := make([]byte, 8)
	if _, err := rand.Read(tag); err != nil {
		return nil, fmt.Errorf("make ephemeral credential: %w", err)
	}
	validity := newValidity(lifetime)
	ca, err := newECCertificate(authorityTemplate(pkix.Name{CommonName: fmt.Sprintf("ephemeral authority %x", tag)}, validity), nil)
	if err != nil {
		return nil, fmt.Errorf("make ephemeral credential: %w", err)
	}
	end, err := newECCertificate(endTemplate(pkix.Name{CommonName: name}, validity), ca)
	if err != nil {
		return nil, fmt.Errorf("make ephemeral credential: %w", err)
	}
	return end, nil
}

// validity is a certificate's first and last moment.
type validity struct{ from, to time.Time }

func newValidity(lifetime time.Duration) validity {
	now := time.Now()
	return validity{now.Add(-backdate), now.Add(lifetime)}
}

func authorityTemplate(subject pkix.Name, v validity) *x509.Certificate {
	return &x509.Certificate{
		Subject:               subject,
		NotBefore:             v.from,
		NotAfter:              v.to,
		IsCA:                  true,
		BasicConstraintsValid: true,
		KeyUsage:              x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
	}
}

func endTemplate(subject pkix.Name, v validity) *x509.Certificate {
	return &x509.Certificate{
		Subject:               subject,
		NotBefore:             v.from,
		NotAfter:              v.to,
		BasicConstraintsValid: true,
		KeyUsage:              x509.KeyUsageDigitalSignature | x509.KeyUsageKeyEncipherment,
		ExtKeyUsage:           []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth, x509.ExtKeyUsageServerAuth},
	}
}

func newECCertificate(template *x509.Certificate, issuer *Credential) (*Credential, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	return issue(template, key, issuer)
}

// issue signs template for key; a nil issuer means that it signs itself. The
// issuer's chain follows the new certificate.
func issue(template *x509.Certificate, key crypto.Signer, issuer *Credential) (*Credential, error) {
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 120))
	if err != nil {
		return nil, err
	}
	template.SerialNumber = serial.Add(serial, big.NewInt(1))
	parent, signer := template, key
	if issuer != nil {
		parent, signer = issuer.Chain[0], issuer.Key
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, key.Public(), signer)
	if err != nil {
		return nil, err
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, err
	}
	c := &Credential{Chain: []*x509.Certificate{cert}, Key: key}
	if issuer != nil {
		c.Chain = append(c.Chain, issuer.Chain...)
	}
	return c, nil
}

// DCSC returns the argument of a "DCSC P" command: the credential, key and all,
// as base64 of its PEM form. It is a secret.
func (c *Credential) DCSC() (string, error) {
	data, err := c.EncodePEM()
	if err != nil {
		return "", err
	}
	return base64.StdEncoding.EncodeToString(data), nil
}

// ParseDCSC reads the argument of a "DCSC P" command.
func ParseDCSC(blob string) (*Credential, error) {
	if len(blob) > base64.StdEncoding.EncodedLen(maxCredential) {
		return nil, fmt.Errorf("parse DCSC credential: more than %d bytes", maxCredential)
	}
	data, err := base64.StdEncoding.DecodeString(blob)
	if err != nil {
		return nil, errors.New("parse DCSC credential: it is not base64")
	}
	return ParseCredential(data)
}

// SelfTrust trusts the authorities in the credential's own chain: what a DCSC
// credential with an ephemeral authority is checked against, at both ends. It
// fails when the chain holds no root: such a credential counts by the ordinary
// authorities.
func (c *Credential) SelfTrust() (*Trust, error) {
	var roots []*x509.Certificate
	for _, cert := range c.Chain {
		if cert.IsCA && bytes.Equal(cert.RawSubject, cert.RawIssuer) {
			roots = append(roots, cert)
		}
	}
	if len(roots) == 0 {
		return nil, errors.New("the credential's chain holds no root certificate to trust")
	}
	return NewTrust(roots...), nil
}
