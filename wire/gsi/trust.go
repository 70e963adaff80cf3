package gsi

import (
	"bytes"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"time"
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
	ReasonPathLength       Reason = "proxy path length"    // a proxy was made of one that forbids it
	ReasonLimited          Reason = "limited proxy"        // a full proxy was made of a limited one
	ReasonLegacyProxy      Reason = "legacy proxy"         // older than RFC 3820
	ReasonCertificate      Reason = "unusable certificate" // anything else X.509 forbids
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

// A Peer is the verified other side.
type Peer struct {
	Identity string              // DN of the end-entity certificate, as DN renders it
	Chain    []*x509.Certificate // as presented, leaf first
	Limited  bool                // it came with a limited proxy
	Expires  time.Time           // earliest end in the chain it presented
}

// EEC returns the peer's end-entity certificate.
func (p *Peer) EEC() *x509.Certificate { return eec(p.Chain) }

// A Trust is a set of certificate authorities. It is not changed after it was
// made and may be shared by goroutines.
type Trust struct {
	roots         *x509.CertPool
	intermediates []*x509.Certificate // known, but trusted only under a root
	skipped       []string            // files that could not be read, for the error that follows from it
}

// NewTrust trusts these certificates, and nothing else.
func NewTrust(roots ...*x509.Certificate) *Trust {
	t := &Trust{roots: x509.NewCertPool()}
	for _, cert := range roots {
		t.roots.AddCert(cert)
	}
	return t
}

// DefaultTrustDir returns the directory of CA certificates where the Globus
// tools look: X509_CERT_DIR, else ~/.globus/certificates if there is one, else
// /etc/grid-security/certificates.
func DefaultTrustDir() string {
	if dir := os.Getenv("X509_CERT_DIR"); dir != "" {
		return dir
	}
	if home, err := os.UserHomeDir(); err == nil {
		dir := filepath.Join(home, ".globus", "certificates")
		if info, err := os.Stat(dir); err == nil && info.IsDir() {
			return dir
		}
	}
	return "/etc/grid-security/certificates"
}

var hashedName = regexp.MustCompile(`^[0-9a-f]{8}\.[0-9]+$`)

// LoadTrust reads every CA certificate in a directory: files named HASH.0 as
// OpenSSL names them, *.pem and *.crt. Self-issued ones become roots, others
// count only under a root. A file that cannot be read or parsed is passed over,
// since one odd CA must not disable the others, and is named when a peer then
// turns out to have an unknown authority. No root at all is an error.
func LoadTrust(dir string) (*Trust, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, fmt.Errorf("load trusted authorities: %w", err)
	}
	t := NewTrust()
	seen := make(map[string]bool) // one CA has several names in such a directory
	roots := 0
	for _, entry := range entries {
		name := entry.Name()
		if ext := filepath.Ext(name); ext != ".pem" && ext != ".crt" && !hashedName.MatchString(name) {
			continue
		}
		certs, err := loadCertificates(filepath.Join(dir, name))
		if err != nil {
			t.skipped = append(t.skipped, fmt.Sprintf("%s (%v)", name, err))
			continue
		}
		for _, cert := range certs {
			if seen[string(cert.Raw)] {
				continue
			}
			seen[string(cert.Raw)] = true
			if bytes.Equal(cert.RawSubject, cert.RawIssuer) {
				t.roots.AddCert(cert)
				roots++
			} else {
				t.intermediates = append(t.intermediates, cert)
			}
		}
	}
	if roots == 0 {
		return nil, fmt.Errorf("load trusted authorities: no root certificate in %s%s", dir, t.skippedNote())
	}
	return t, nil
}

func (t *Trust) skippedNote() string {
	if len(t.skipped) == 0 {
		return ""
	}
	return "; these files there could not be used: " + strings.Join(t.skipped, ", ")
}

func loadCertificates(path string) ([]*x509.Certificate, error) {
	data, err := readLimited(path)
	if err != nil {
		return nil, err
	}
	var certs []*x509.Certificate
	for {
		var block *pem.Block
		if block, data = pem.Decode(data); block == nil {
			break
		}
		if block.Type != "CERTIFICATE" {
			continue
		}
		cert, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, err
		}
		certs = append(certs, cert)
	}
	if len(certs) == 0 {
		return nil, errors.New("no PEM certificate in it")
	}
	return certs, nil
}

// Verify judges a chain (leaf first, each signed by the next; the root may be
// absent) at time now. It walks the proxies by the rules of RFC 3820 section 4
// down to the end-entity certificate, and hands that to crypto/x509. Errors are
// *TrustError. Extended key usage is not asked: on the grid host certificates
// act as clients and persons' as servers.
func (t *Trust) Verify(chain []*x509.Certificate, now time.Time) (*Peer, error) {
	if len(chain) == 0 {
		return nil, refuse(ReasonCertificate, nil, "it presented none")
	}
	if len(chain) > maxChain {
		return nil, refuse(ReasonCertificate, chain[0], "its chain has %d certificates, more than %d", len(chain), maxChain)
	}
	for _, cert := range chain {
		if err := checkTime(cert, now); err != nil {
			return nil, err
		}
		if !isProxy(cert) {
			break // the authorities' dates are crypto/x509's to check: it may find another path
		}
	}
	proxies := 0
	for ; isProxy(chain[proxies]); proxies++ {
		if proxies+1 == len(chain) {
			return nil, refuse(ReasonProxyRule, chain[proxies], "the certificate that this proxy was made from was not presented")
		}
		if err := checkProxy(chain, proxies); err != nil {
			return nil, err
		}
	}
	end := chain[proxies]
	if isLegacyProxy(end, chain[proxies+1:]) {
		return nil, refuse(ReasonLegacyProxy, end, "it is a proxy from before RFC 3820, which is no longer accepted: make a new one with grid-proxy-init -rfc or a current tool")
	}
	if err := t.verifyEEC(end, chain[proxies+1:], now); err != nil {
		return nil, err
	}
	return &Peer{
		Identity: DN(end.RawSubject),
		Chain:    chain,
		Limited:  proxies > 0 && isLimited(chain[0]),
		Expires:  notAfter(chain[:proxies+1]),
	}, nil
}

func checkTime(cert *x509.Certificate, now time.Time) error {
	if now.After(cert.NotAfter) {
		return refuse(ReasonExpired, cert, "it expired on %s", cert.NotAfter.UTC().Format(time.RFC3339))
	}
	if now.Before(cert.NotBefore) {
		return refuse(ReasonNotYetValid, cert, "it is valid only from %s, and it is %s here: is a clock wrong?",
			cert.NotBefore.UTC().Format(time.RFC3339), now.UTC().Format(time.RFC3339))
	}
	return nil
}

// checkProxy checks chain[i], a proxy, against chain[i+1], its issuer: all of
// RFC 3820 section 4 but the dates. That a proxy lies inside its issuer's
// validity need not be asked: every certificate is checked against the clock.
func checkProxy(chain []*x509.Certificate, i int) error {
	cert, issuer := chain[i], chain[i+1]
	value, critical, ok := extension(cert, oidProxyCertInfo)
	if !ok {
		return refuse(ReasonProxyRule, cert, "it is not a proxy: it has no ProxyCertInfo")
	}
	if !critical {
		return refuse(ReasonProxyRule, cert, "its ProxyCertInfo is not marked critical (RFC 3820, 3.8)")
	}
	info, err := parseProxyInfo(value)
	if err != nil {
		return refuse(ReasonProxyRule, cert, "%v", err)
	}
	if !info.language.Equal(oidInheritAll) && !info.language.Equal(oidLimited) {
		return refuse(ReasonProxyRule, cert, "its policy language %s is not known here", info.language)
	}
	if len(info.policy) != 0 {
		return refuse(ReasonProxyRule, cert, "it carries a policy, which its policy language forbids (RFC 3820, 3.8.2)")
	}
	if issuer.IsCA {
		return refuse(ReasonProxyRule, cert, "it was issued by a certificate authority, which cannot have proxies (RFC 3820, 3.1)")
	}
	if !sameName(cert.RawIssuer, issuer.RawSubject) {
		return refuse(ReasonProxyRule, cert, "its issuer is not the next certificate in the chain, %s", DN(issuer.RawSubject))
	}
	if _, ok := extraCommonName(cert.RawSubject, issuer.RawSubject); !ok {
		return refuse(ReasonProxyRule, cert, "its name is not its issuer's and one CN (RFC 3820, 3.4)")
	}
	if cert.IsCA {
		return refuse(ReasonProxyRule, cert, "it claims to be a certificate authority (RFC 3820, 3.7)")
	}
	if cert.Version != 3 {
		return refuse(ReasonProxyRule, cert, "it is not an X.509 version 3 certificate")
	}
	if err := checkProxyExtensions(cert); err != nil {
		return err
	}
	for _, c := range []*x509.Certificate{cert, issuer} {
		if _, _, has := extension(c, oidKeyUsage); has && c.KeyUsage&x509.KeyUsageDigitalSignature == 0 {
			return refuse(ReasonProxyRule, c, "its key usage lacks digitalSignature (RFC 3820, 3.6)")
		}
	}
	if cert.KeyUsage&x509.KeyUsageCertSign != 0 {
		return refuse(ReasonProxyRule, cert, "its key usage has keyCertSign (RFC 3820, 3.6)")
	}
	// Certificate.CheckSignature, unlike Certificate.Verify, still takes SHA-1.
	switch cert.SignatureAlgorithm {
	case x509.SHA1WithRSA, x509.ECDSAWithSHA1, x509.DSAWithSHA1:
		return refuse(ReasonSignature, cert, "it is signed with SHA-1 (%v), which is too weak", cert.SignatureAlgorithm)
	}
	if err := issuer.CheckSignature(cert.SignatureAlgorithm, cert.RawTBSCertificate, cert.Signature); err != nil {
		e := refuse(ReasonSignature, cert, "its signature by %s: %v", DN(issuer.RawSubject), err)
		e.Err = err
		return e
	}
	return checkIssuingProxy(chain, i)
}

// checkProxyExtensions refuses what a proxy must not have. crypto/x509 counts
// ProxyCertInfo among the critical extensions it does not know.
func checkProxyExtensions(cert *x509.Certificate) error {
	for _, oid := range cert.UnhandledCriticalExtensions {
		if !oid.Equal(oidProxyCertInfo) {
			return refuse(ReasonProxyRule, cert, "its critical extension %s is not known here", oid)
		}
	}
	if _, _, has := extension(cert, oidSubjectAlt); has {
		return refuse(ReasonProxyRule, cert, "it has a subject alternative name (RFC 3820, 3.5)")
	}
	if _, _, has := extension(cert, oidIssuerAlt); has {
		return refuse(ReasonProxyRule, cert, "it has an issuer alternative name (RFC 3820, 3.5)")
	}
	return nil
}

// checkIssuingProxy checks what chain[i+1], when it is a proxy itself, allows
// chain[i] to be.
func checkIssuingProxy(chain []*x509.Certificate, i int) error {
	value, _, ok := extension(chain[i+1], oidProxyCertInfo)
	if !ok {
		return nil
	}
	info, err := parseProxyInfo(value)
	if err != nil {
		return refuse(ReasonProxyRule, chain[i+1], "%v", err)
	}
	if below := i + 1; info.pathLength != noPathLength && below > info.pathLength {
		return refuse(ReasonPathLength, chain[0], "%d proxies were made below %s, which allows %d", below, DN(chain[i+1].RawSubject), info.pathLength)
	}
	if info.limited() && !isLimited(chain[i]) {
		return refuse(ReasonLimited, chain[i], "it is a full proxy made of a limited one")
	}
	return nil
}

// isLegacyProxy recognises the proxies of Globus Toolkit 2 (by name alone, and
// so only when what issued it is no authority: a host may be called "proxy")
// and 3 (by an extension of its own).
func isLegacyProxy(cert *x509.Certificate, rest []*x509.Certificate) bool {
	if _, _, ok := extension(cert, oidDraftInfo); ok {
		return true
	}
	cn, ok := extraCommonName(cert.RawSubject, cert.RawIssuer)
	return ok && (cn == "proxy" || cn == "limited proxy") && len(rest) > 0 && !rest[0].IsCA
}

func (t *Trust) verifyEEC(end *x509.Certificate, rest []*x509.Certificate, now time.Time) error {
	pool := x509.NewCertPool()
	for _, cert := range t.intermediates {
		pool.AddCert(cert)
	}
	for _, cert := range rest {
		pool.AddCert(cert)
	}
	_, err := end.Verify(x509.VerifyOptions{
		Roots:         t.roots,
		Intermediates: pool,
		CurrentTime:   now,
		KeyUsages:     []x509.ExtKeyUsage{x509.ExtKeyUsageAny},
	})
	if err == nil {
		return nil
	}
	var unknown x509.UnknownAuthorityError
	var invalid x509.CertificateInvalidError
	var insecure x509.InsecureAlgorithmError
	e := refuse(ReasonCertificate, end, "%v", err)
	switch {
	case errors.As(err, &insecure):
		e = refuse(ReasonSignature, end, "%v", err)
	case errors.As(err, &unknown):
		e = refuse(ReasonUnknownAuthority, end, "its authority %s is not trusted here: %v%s", DN(end.RawIssuer), err, t.skippedNote())
	case errors.As(err, &invalid) && invalid.Reason == x509.Expired:
		e = refuse(ReasonExpired, invalid.Cert, "this authority's certificate is outside its validity: %v", err)
	}
	e.Err = err
	return e
}
