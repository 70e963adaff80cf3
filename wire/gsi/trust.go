package gsi

import (
	"crypto/sha256"
	"crypto/x509"
	"errors"
	"slices"
	"time"
)

// A Peer is the verified other side.
type Peer struct {
	Identity string              // DN of the end-entity certificate, as DN renders it
	Chain    []*x509.Certificate // as presented, leaf first
	Limited  bool                // it came with a limited proxy
	Expires  time.Time           // earliest end in the chain it presented
}

// EEC returns the peer's end-entity certificate.
func (p *Peer) EEC() *x509.Certificate { return eec(p.Chain) }

// RequireFull refuses, as a *TrustError, a peer that came with a limited proxy:
// its maker wanted it good for moving data, and not for acting for him in other
// ways, as in storing a credential of his.
func (p *Peer) RequireFull() error {
	if p.Limited {
		return refuse(ReasonLimited, p.Chain[0], "it is a limited proxy, and this needs a full one: make one without -limited, for example with grid-proxy-init")
	}
	return nil
}

// A Trust is a set of certificate authorities. It is not changed after it was
// made and may be shared by goroutines.
type Trust struct {
	roots         *x509.CertPool
	rootCerts     []trustedCertificate
	intermediates []*x509.Certificate // known, but trusted only under a root

	options  TrustOptions
	policies map[string]*policyFile // by the hash of the authority's name; nil: authorities may sign for anybody
	crls     map[string][]*crl      // by the same
	badCRLs  map[string]error       // that are there but cannot be read, by the same
	skipped  []string               // files that could not be read, for the error that follows from it
	digest   [sha256.Size]byte      // of all that was read
}

type trustedCertificate struct {
	file string // empty when it came from elsewhere
	cert *x509.Certificate
}

type policyFile struct {
	name   string
	policy *signingPolicy
	err    error // why there is no policy
}

// NewTrust trusts these certificates, for whatever they sign, and nothing else.
func NewTrust(roots ...*x509.Certificate) *Trust {
	t := &Trust{roots: x509.NewCertPool()}
	for _, cert := range roots {
		t.roots.AddCert(cert)
		t.rootCerts = append(t.rootCerts, trustedCertificate{cert: cert})
	}
	return t
}

// Verify judges a chain (leaf first, each signed by the next; the root may be
// absent) at time now. It walks the proxies by the rules of RFC 3820 section 4
// down to the end-entity certificate, and hands that to crypto/x509. What that
// finds trusted is then held against the strength of keys, the revocation lists
// and the signing policies. Errors are *TrustError. Extended key usage is not
// asked: on the grid host certificates act as clients and persons' as servers.
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
		if err := checkStrength(cert); err != nil {
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

func (t *Trust) verifyEEC(end *x509.Certificate, rest []*x509.Certificate, now time.Time) error {
	// crypto/x509 would say that it knows no authority.
	if err := checkDigest(end); err != nil {
		return err
	}
	pool := x509.NewCertPool()
	for _, cert := range t.intermediates {
		pool.AddCert(cert)
	}
	for _, cert := range rest {
		pool.AddCert(cert)
	}
	chains, err := end.Verify(x509.VerifyOptions{
		Roots:         t.roots,
		Intermediates: pool,
		CurrentTime:   now,
		KeyUsages:     []x509.ExtKeyUsage{x509.ExtKeyUsageAny},
	})
	if err == nil {
		return t.checkChains(chains, now)
	}
	var unknown x509.UnknownAuthorityError
	var invalid x509.CertificateInvalidError
	var insecure x509.InsecureAlgorithmError
	e := refuseFor(ReasonCertificate, end, err)
	switch {
	case errors.As(err, &insecure):
		e = refuse(ReasonSignature, end, "%v", err)
	case errors.As(err, &unknown) && t.knows(end.RawIssuer):
		e = refuse(ReasonUnknownAuthority, end, "its authority %s is not trusted here with the key that signed it (%v): if the authority has a new one, an administrator installs its new certificate in the trust directory",
			DN(end.RawIssuer), err)
	case errors.As(err, &unknown):
		e = refuse(ReasonUnknownAuthority, end, "its authority %s is not trusted here (%v): an administrator who trusts it installs its certificate and signing policy in the trust directory%s",
			DN(end.RawIssuer), err, t.skippedNote())
	case errors.As(err, &invalid) && invalid.Reason == x509.Expired:
		e = refuse(ReasonExpired, invalid.Cert, "this authority's certificate is outside its validity (%v): an administrator installs a new one in the trust directory", err)
	case errors.As(err, &invalid) && invalid.Reason == x509.TooManyIntermediates:
		e = refuse(ReasonPathLength, end, "more authorities stand between it and its root than one of them allows: ask for a certificate of an authority higher up")
	}
	e.Err = err
	return e
}

// knows reports whether there is a root of that name.
func (t *Trust) knows(authority []byte) bool {
	return slices.ContainsFunc(t.rootCerts, func(root trustedCertificate) bool { return sameName(root.cert.RawSubject, authority) })
}

// checkChains accepts an end-entity certificate that has one way to a root on
// which everything is in order.
func (t *Trust) checkChains(chains [][]*x509.Certificate, now time.Time) error {
	var first error
	for _, chain := range chains {
		err := t.checkChain(chain, now)
		if err == nil {
			return nil
		}
		if first == nil {
			first = err
		}
	}
	return first
}

func (t *Trust) checkChain(chain []*x509.Certificate, now time.Time) error {
	for i, cert := range chain {
		issuer := chain[min(i+1, len(chain)-1)] // a root may revoke itself
		if err := checkStrength(cert); err != nil {
			return err
		}
		if err := t.checkRevocation(cert, issuer, now); err != nil {
			return err
		}
		if err := t.checkPolicy(cert); err != nil {
			return err
		}
	}
	return nil
}

// checkPolicy asks whether the issuer of cert may sign for its name. Roots need
// no leave.
func (t *Trust) checkPolicy(cert *x509.Certificate) error {
	if t.policies == nil || sameName(cert.RawSubject, cert.RawIssuer) {
		return nil
	}
	hash, err := subjectHash(cert.RawIssuer)
	if err != nil {
		return refuseFor(ReasonCertificate, cert, err)
	}
	authority, subject := DN(cert.RawIssuer), DN(cert.RawSubject)
	switch file := t.policies[hash]; {
	case file == nil && t.options.AllowMissingPolicy:
		return nil
	case file == nil:
		return refuse(ReasonSigningPolicy, cert, "its authority %s has no file %s.signing_policy here, which says for whom it may sign: install it beside the authority's certificate", authority, hash)
	case file.err != nil:
		e := refuse(ReasonSigningPolicy, cert, "the signing policy %s of its authority %s cannot be used: %v", file.name, authority, file.err)
		e.Err = file.err
		return e
	case !file.policy.allows(authority, subject):
		return refuse(ReasonSigningPolicy, cert, "its authority %s may not sign for this name: the signing policy %s allows %s; a certificate of another name is needed, or another authority's",
			authority, file.name, file.policy.patterns(authority))
	}
	return nil
}
