package gsi

import (
	"crypto/x509"
	"fmt"
	"time"
)

func checkTime(cert *x509.Certificate, now time.Time) error {
	if now.After(cert.NotAfter) {
		renewal := "ask its authority for a new one"
		if isProxy(cert) {
			renewal = "make a new proxy, for example with grid-proxy-init or myproxy-logon"
		}
		return refuse(ReasonExpired, cert, "it expired on %s: %s", cert.NotAfter.UTC().Format(time.RFC3339), renewal)
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
	if info.language.Equal(oidIndependent) {
		return refuse(ReasonProxyRule, cert, "it is an independent proxy, which has none of its maker's rights (RFC 3820, 3.8.2), and nobody gave it others: make an ordinary one, for example with grid-proxy-init")
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
	if err := checkDigest(cert); err != nil {
		return err
	}
	if err := issuer.CheckSignature(cert.SignatureAlgorithm, cert.RawTBSCertificate, cert.Signature); err != nil {
		return refuseFor(ReasonSignature, cert, fmt.Errorf("its signature by %s: %w", DN(issuer.RawSubject), err))
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
		return refuse(ReasonPathLength, chain[0], "it is number %d of the proxies below %s, which allows %d: make one of a proxy without such a limit, or of the certificate itself",
			below, DN(chain[i+1].RawSubject), info.pathLength)
	}
	if info.limited() && !isLimited(chain[i]) {
		return refuse(ReasonLimited, chain[i], "it is a full proxy made of a limited one: make it limited too, or of a full one")
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
