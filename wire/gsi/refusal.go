package gsi

import (
	"crypto/x509"
	"fmt"
)

// A Reason says why a certificate was refused.
type Reason string

// The reasons.
const (
	ReasonUnknownAuthority Reason = "unknown authority"    // no trusted CA stands behind it
	ReasonExpired          Reason = "expired"              // a certificate in the chain has ended
	ReasonNotYetValid      Reason = "not yet valid"        // a certificate starts in the future: often a clock
	ReasonSignature        Reason = "bad signature"        // a signature is wrong, or of a kind too weak to accept
	ReasonProxyRule        Reason = "proxy rule"           // a rule of RFC 3820 is broken
	ReasonPathLength       Reason = "path length"          // a proxy or an authority was made of one that forbids it
	ReasonLimited          Reason = "limited proxy"        // a full proxy was made of a limited one
	ReasonLegacyProxy      Reason = "legacy proxy"         // older than RFC 3820
	ReasonCertificate      Reason = "unusable certificate" // anything else X.509 forbids
	ReasonSigningPolicy    Reason = "signing policy"       // its authority may not sign for this name, or has no policy
	ReasonRevoked          Reason = "revoked"              // its authority took it back
	ReasonRevocationList   Reason = "revocation list"      // there is one, and it cannot be used
	ReasonWeakKey          Reason = "weak key"             // too short, or of an odd kind
	ReasonHost             Reason = "host name"            // the certificate is for another host
	ReasonIdentity         Reason = "identity"             // the certificate is for another holder
)

// A TrustError says whose certificate was refused and why.
type TrustError struct {
	Reason  Reason
	Subject string // DN of the certificate at fault; empty when there was none
	Detail  string // a clause that completes the sentence
	Err     error  // the cause below, may be nil
}

// Error renders one sentence.
func (e *TrustError) Error() string {
	subject := e.Subject
	if subject == "" {
		subject = "the peer"
	}
	return fmt.Sprintf("certificate of %s refused: %s", subject, e.Detail)
}

// Unwrap returns the cause.
func (e *TrustError) Unwrap() error { return e.Err }

func refuse(reason Reason, cert *x509.Certificate, format string, args ...any) *TrustError {
	e := &TrustError{Reason: reason, Detail: fmt.Sprintf(format, args...)}
	if cert != nil {
		e.Subject = DN(cert.RawSubject)
	}
	return e
}

// refuseFor is refuse with a cause that makes the clause.
func refuseFor(reason Reason, cert *x509.Certificate, err error) *TrustError {
	e := refuse(reason, cert, "%v", err)
	e.Err = err
	return e
}
