package gsi

import (
	"crypto/sha256"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"sync"
	"time"
)

// maxCRL bounds a revocation list's file, in bytes. The largest of the grid's
// authorities have a few megabytes.
const maxCRL = 64 << 20

// A crl is a certificate revocation list, from a file HASH.rN (RFC 5280, 5).
type crl struct {
	file    string
	list    *x509.RevocationList
	revoked map[string]revocation // by serial number, in decimal

	mu      sync.Mutex
	signers map[[sha256.Size]byte]error // by certificate: whether it signed the list
}

type revocation struct {
	at     time.Time
	reason int
}

// parseCRL reads a list in PEM, as the Globus tools want it, or in DER.
func parseCRL(data []byte) (*x509.RevocationList, error) {
	der := data
	if block, _ := pem.Decode(data); block != nil {
		if block.Type != "X509 CRL" {
			return nil, fmt.Errorf("a revocation list belongs here, not a %s", block.Type)
		}
		der = block.Bytes
	}
	list, err := x509.ParseRevocationList(der)
	if err != nil {
		return nil, err
	}
	for _, e := range list.Extensions {
		// One for a part of the certificates only, or for another authority's:
		// who does not know what it says must not use it (RFC 5280, 5.2).
		if e.Critical {
			return nil, fmt.Errorf("its critical extension %s is not known here", e.Id)
		}
	}
	return list, nil
}

func newCRL(file string, list *x509.RevocationList) *crl {
	c := &crl{file: file, list: list, revoked: make(map[string]revocation, len(list.RevokedCertificateEntries)), signers: make(map[[sha256.Size]byte]error)}
	for _, e := range list.RevokedCertificateEntries {
		c.revoked[e.SerialNumber.String()] = revocation{e.RevocationTime, e.ReasonCode}
	}
	list.RevokedCertificateEntries = nil // the map is enough, and such lists are long
	return c
}

// signedBy checks the list's signature, once for each certificate.
func (c *crl) signedBy(issuer *x509.Certificate) error {
	key := sha256.Sum256(issuer.Raw)
	c.mu.Lock()
	defer c.mu.Unlock()
	err, known := c.signers[key]
	if !known {
		err = c.list.CheckSignatureFrom(issuer)
		if len(c.signers) < maxChain { // peers choose what they present
			c.signers[key] = err
		}
	}
	return err
}

// reasonText names a reason code (RFC 5280, 5.3.1).
func (r revocation) reasonText() string {
	switch r.reason {
	case 1:
		return ", because its key was compromised"
	case 2:
		return ", because the authority was compromised"
	case 3:
		return ", because its holder's affiliation changed"
	case 4:
		return ", because another has taken its place"
	case 5:
		return ", because it is no longer needed"
	case 6:
		return ", for the time being"
	case 9:
		return ", because a privilege was withdrawn"
	}
	return ""
}

// checkRevocation looks for cert in the lists of its issuer. As for the Globus
// tools, an authority without a list revokes nothing, and one whose list has
// ended has nothing that counts, unless the site decided otherwise.
func (t *Trust) checkRevocation(cert, issuer *x509.Certificate, now time.Time) error {
	hash, err := subjectHash(cert.RawIssuer)
	if err != nil {
		return refuseFor(ReasonCertificate, cert, err)
	}
	var newest *crl
	unusable := t.badCRLs[hash]
	for _, c := range t.crls[hash] {
		if !sameName(c.list.RawIssuer, cert.RawIssuer) {
			continue
		}
		if err := c.signedBy(issuer); err != nil {
			unusable = fmt.Errorf("the revocation list %s is not signed by its authority %s as it must be (%w): fetch it again, for example with fetch-crl", c.file, DN(issuer.RawSubject), err)
			continue
		}
		if c.list.ThisUpdate.After(now) {
			unusable = fmt.Errorf("the revocation list %s of its authority starts only at %s: is a clock wrong?", c.file, c.list.ThisUpdate.UTC().Format(time.RFC3339))
			continue
		}
		if r, ok := c.revoked[cert.SerialNumber.String()]; ok {
			return refuse(ReasonRevoked, cert, "its authority %s revoked it on %s%s (serial number %s): a new certificate is needed from that authority",
				DN(issuer.RawSubject), r.at.UTC().Format(time.RFC3339), r.reasonText(), cert.SerialNumber)
		}
		if newest == nil || c.list.ThisUpdate.After(newest.list.ThisUpdate) {
			newest = c
		}
	}
	switch {
	case newest == nil && unusable != nil:
		return refuseFor(ReasonRevocationList, cert, unusable)
	case newest == nil:
		return nil
	case !newest.list.NextUpdate.IsZero() && now.After(newest.list.NextUpdate) && !t.options.AllowExpiredCRL:
		return refuse(ReasonRevocationList, cert, "the revocation list %s of its authority %s ended on %s, so nobody here knows whether it was revoked: fetch a new list, for example with fetch-crl",
			newest.file, DN(issuer.RawSubject), newest.list.NextUpdate.UTC().Format(time.RFC3339))
	}
	return nil
}
