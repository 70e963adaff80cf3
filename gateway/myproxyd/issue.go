package myproxyd

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"fmt"
	"math/big"
	"time"

	"github.com/gridferry/gridferry/wire/gsi"
	"github.com/gridferry/gridferry/wire/myproxy"
)

// backdate is for peers whose clocks are behind ours.
const backdate = 5 * time.Minute

// RSA keys that are certified, in bits: Globus servers refuse smaller ones, and
// crypto/tls larger ones.
const minBits, maxBits = 2048, 8192

// fit says whether a certificate may sign others.
func fit(ca *gsi.Credential, now time.Time) error {
	cert := ca.Chain[0]
	name := gsi.DN(cert.RawSubject)
	switch {
	case !cert.IsCA || !cert.BasicConstraintsValid:
		return fmt.Errorf("%s is no authority's certificate", name)
	case cert.KeyUsage != 0 && cert.KeyUsage&x509.KeyUsageCertSign == 0:
		return fmt.Errorf("the certificate of %s is not for signing certificates", name)
	case now.After(cert.NotAfter):
		return fmt.Errorf("the certificate of %s expired on %s", name, cert.NotAfter.UTC().Format(time.RFC3339))
	case now.Before(cert.NotBefore):
		return fmt.Errorf("the certificate of %s is not valid before %s", name, cert.NotBefore.UTC().Format(time.RFC3339))
	}
	return nil
}

// issue makes a certificate for the key in request, of which nothing else is
// taken. Who trusts the authority has its root; what lies between is sent along.
func (a *Authority) issue(user string, lifetime time.Duration, request *x509.CertificateRequest) ([]*x509.Certificate, error) {
	if err := checkKey(request.PublicKey); err != nil {
		return nil, err
	}
	ca, err := a.config.CA()
	if err != nil {
		return nil, err
	}
	now := a.now()
	if err := fit(ca, now); err != nil {
		return nil, err
	}
	subject, err := a.config.Subject.name(user)
	if err != nil {
		return nil, err
	}
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 126))
	if err != nil {
		return nil, fmt.Errorf("make a serial number: %w", err)
	}
	if lifetime <= 0 || lifetime > a.config.MaxLifetime {
		lifetime = a.config.MaxLifetime
	}
	issuer := ca.Chain[0]
	template := &x509.Certificate{
		SerialNumber:          serial.Add(serial, big.NewInt(1)),
		RawSubject:            subject,
		NotBefore:             later(now.Add(-backdate), issuer.NotBefore),
		NotAfter:              earlier(now.Add(lifetime), issuer.NotAfter),
		BasicConstraintsValid: true,
		KeyUsage:              x509.KeyUsageDigitalSignature | x509.KeyUsageKeyEncipherment,
		ExtKeyUsage:           []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, issuer, request.PublicKey, ca.Key)
	if err != nil {
		return nil, fmt.Errorf("sign certificate: %w", err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, fmt.Errorf("sign certificate: %w", err)
	}
	chain := []*x509.Certificate{leaf}
	for _, cert := range ca.Chain {
		if !bytes.Equal(cert.RawSubject, cert.RawIssuer) {
			chain = append(chain, cert)
		}
	}
	return chain, nil
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

func earlier(a, b time.Time) time.Time {
	if a.Before(b) {
		return a
	}
	return b
}

func checkKey(key any) error {
	switch key := key.(type) {
	case *rsa.PublicKey:
		if bits := key.N.BitLen(); bits < minBits || bits > maxBits {
			return &myproxy.Refused{Words: fmt.Sprintf("the request is for an RSA key of %d bits: %d to %d are certified", bits, minBits, maxBits)}
		}
		return nil
	case *ecdsa.PublicKey:
		if bits := key.Curve.Params().BitSize; bits < 256 {
			return &myproxy.Refused{Words: fmt.Sprintf("the request is for a key on a curve of %d bits: 256 and more are certified", bits)}
		}
		return nil
	}
	return &myproxy.Refused{Words: "the request is for a key that is neither RSA nor ECDSA"}
}
