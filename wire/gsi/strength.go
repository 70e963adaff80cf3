package gsi

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"crypto/x509"
)

// What keys may be: 112 bits of security at least, OpenSSL's level 2, which
// Debian's Globus servers and clients ask for of every certificate in a chain,
// proxies and roots included. So 2048 bits of RSA (minBits), and every curve
// that crypto/x509 knows. The upper bound keeps a peer from making us compute.
const maxVerifiedBits = 16384

// checkStrength refuses a certificate whose key is too weak to trust.
func checkStrength(cert *x509.Certificate) error {
	switch key := cert.PublicKey.(type) {
	case *rsa.PublicKey:
		bits := key.N.BitLen()
		if bits < minBits {
			return refuse(ReasonWeakKey, cert, "its RSA key has %d bits, and less than %d are too weak: %s", bits, minBits, strongerKey(cert))
		}
		if bits > maxVerifiedBits {
			return refuse(ReasonWeakKey, cert, "its RSA key has %d bits, more than %d", bits, maxVerifiedBits)
		}
	case *ecdsa.PublicKey, ed25519.PublicKey:
	default: // DSA among them
		return refuse(ReasonWeakKey, cert, "its key is of a kind that is not accepted (%v): %s", cert.PublicKeyAlgorithm, strongerKey(cert))
	}
	return nil
}

// checkDigest refuses a signature that somebody might have got for another
// certificate than this. Roots are trusted for being there, whoever signed them.
func checkDigest(cert *x509.Certificate) error {
	switch a := cert.SignatureAlgorithm; a {
	case x509.MD2WithRSA, x509.MD5WithRSA, x509.SHA1WithRSA, x509.DSAWithSHA1, x509.ECDSAWithSHA1:
		if sameName(cert.RawSubject, cert.RawIssuer) {
			return nil
		}
		renewal := "its authority has to sign a new one with SHA-256 or better"
		if isProxy(cert) {
			renewal = "make a new proxy with a current tool"
		}
		return refuse(ReasonSignature, cert, "it is signed with %v, which is too weak: %s", a, renewal)
	}
	return nil
}

func strongerKey(cert *x509.Certificate) string {
	switch {
	case isProxy(cert):
		return "make a new proxy, for example with grid-proxy-init -bits 2048"
	case cert.IsCA:
		return "its authority has to renew its own certificate"
	}
	return "ask its authority for a certificate for an RSA key of 2048 bits or a P-256 key"
}
