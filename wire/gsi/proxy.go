package gsi

import (
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/binary"
	"errors"
	"fmt"
	"math/big"
	"strconv"
	"time"
)

const (
	defaultLifetime = 12 * time.Hour // grid-proxy-init's
	defaultBits     = 2048

	// minBits and maxBits bound the RSA keys made and signed here: OpenSSL's
	// security level 2 refuses less than 2048, and crypto/tls more than 8192.
	minBits = 2048
	maxBits = 8192

	// backdate is how far a new certificate's validity starts in the past, for
	// the peers whose clocks are behind ours.
	backdate = 5 * time.Minute
)

// ProxyOptions shape a new proxy. The zero value is an ordinary one.
type ProxyOptions struct {
	// Lifetime from now; 0 means 12 hours. The proxy never outlives a
	// certificate it was made from.
	Lifetime time.Duration
	// Bits of the new RSA key, 2048 to 8192; 0 means 2048. SignProxy, which
	// makes no key, ignores it.
	Bits int
	// Limited makes a limited proxy: gatekeepers refuse to start jobs for it.
	// A proxy of a limited proxy is limited whatever is asked.
	Limited bool
}

// NewProxy makes an RFC 3820 proxy of the credential, with a new RSA key. A
// server asked to delegate makes a key of the leaf's size and kind, and fails
// for other kinds than RSA: of an EC credential, delegate through such a proxy.
func (c *Credential) NewProxy(o ProxyOptions) (*Credential, error) {
	request, err := NewProxyRequest(o.Bits)
	if err != nil {
		return nil, err
	}
	der, err := c.SignProxy(request.CSR(), o)
	if err != nil {
		return nil, err
	}
	chain := [][]byte{der}
	for _, cert := range c.Chain {
		chain = append(chain, cert.Raw)
	}
	return request.Complete(chain...)
}

// A ProxyRequest is a key waiting for its proxy certificate: the receiving
// half of a delegation.
type ProxyRequest struct {
	key *rsa.PrivateKey
	csr []byte
}

// NewProxyRequest makes an RSA key of that many bits (2048 to 8192; 0 means
// 2048) and a request for it.
func NewProxyRequest(bits int) (*ProxyRequest, error) {
	if bits == 0 {
		bits = defaultBits
	}
	if bits < minBits || bits > maxBits {
		return nil, fmt.Errorf("make proxy key: %d bits asked, %d to %d possible", bits, minBits, maxBits)
	}
	key, err := rsa.GenerateKey(rand.Reader, bits)
	if err != nil {
		return nil, fmt.Errorf("make proxy key: %w", err)
	}
	// The issuer chooses the name; what is asked for here is ignored by all.
	csr, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{
		Subject:            pkix.Name{CommonName: "proxy request"},
		SignatureAlgorithm: x509.SHA256WithRSA,
	}, key)
	if err != nil {
		return nil, fmt.Errorf("make proxy request: %w", err)
	}
	return &ProxyRequest{key: key, csr: csr}, nil
}

// CSR returns the PKCS#10 request, in DER.
func (r *ProxyRequest) CSR() []byte { return r.csr }

// Complete joins the key with the signed proxy and the chain it was made from
// (DER, leaf first). It refuses a leaf for another key or one that is no proxy
// of what follows; whether the chain is trusted is not asked here.
func (r *ProxyRequest) Complete(chainDER ...[]byte) (*Credential, error) {
	if len(chainDER) < 2 || len(chainDER) > maxChain {
		return nil, fmt.Errorf("receive proxy: a chain of %d certificates, 2 to %d possible", len(chainDER), maxChain)
	}
	c := &Credential{Key: r.key}
	for i, der := range chainDER {
		cert, err := x509.ParseCertificate(der)
		if err != nil {
			return nil, fmt.Errorf("receive proxy: certificate %d: %w", i+1, err)
		}
		c.Chain = append(c.Chain, cert)
	}
	if !r.key.PublicKey.Equal(c.Chain[0].PublicKey) {
		return nil, errors.New("receive proxy: the certificate is for another key than the one requested")
	}
	if err := checkProxy(c.Chain, 0); err != nil {
		return nil, fmt.Errorf("receive proxy: %w", err)
	}
	return c, nil
}

// SignProxy makes a proxy certificate for the key of a PKCS#10 request, in DER:
// the granting half of a delegation. The request must be signed by its own key;
// its name and extensions are ignored. RSA keys from 2048 to 8192 bits and the
// usual curves are accepted.
func (c *Credential) SignProxy(csrDER []byte, o ProxyOptions) ([]byte, error) {
	request, err := x509.ParseCertificateRequest(csrDER)
	if err != nil {
		return nil, fmt.Errorf("sign proxy: %w", err)
	}
	if err := request.CheckSignature(); err != nil {
		return nil, fmt.Errorf("sign proxy: the request is not signed by its own key: %w", err)
	}
	if key, ok := request.PublicKey.(*rsa.PublicKey); ok {
		if bits := key.N.BitLen(); bits < minBits || bits > maxBits {
			return nil, fmt.Errorf("sign proxy: the request has an RSA key of %d bits, %d to %d are accepted", bits, minBits, maxBits)
		}
	}
	return c.proxyFor(request.PublicKey, request.RawSubjectPublicKeyInfo, o, time.Now())
}

func (c *Credential) proxyFor(key crypto.PublicKey, spki []byte, o ProxyOptions, now time.Time) ([]byte, error) {
	issuer := c.Chain[0]
	if issuer.IsCA {
		return nil, fmt.Errorf("sign proxy: %s is a certificate authority, which cannot have proxies", DN(issuer.RawSubject))
	}
	lifetime := o.Lifetime
	if lifetime == 0 {
		lifetime = defaultLifetime
	}
	notBefore, end := now.Add(-backdate), now.Add(lifetime)
	if notBefore.Before(issuer.NotBefore) {
		notBefore = issuer.NotBefore
	}
	if limit := c.NotAfter(); end.After(limit) {
		end = limit
	}
	if !end.After(now) {
		return nil, fmt.Errorf("sign proxy: the credential expired on %s", c.NotAfter().UTC().Format(time.RFC3339))
	}

	// The serial number doubles as the CN. Deriving it from the key makes it
	// unique per issuer, as RFC 3820 section 3.4 wants, without keeping count.
	sum := sha256.Sum256(spki)
	serial := max(1, int64(binary.BigEndian.Uint32(sum[:4])&0x7fffffff))
	subject, err := withCommonName(issuer.RawSubject, strconv.FormatInt(serial, 10))
	if err != nil {
		return nil, fmt.Errorf("sign proxy: %w", err)
	}
	info, err := encodeProxyInfo(o.Limited || isLimited(issuer))
	if err != nil {
		return nil, fmt.Errorf("sign proxy: %w", err)
	}
	template := &x509.Certificate{
		SerialNumber:    big.NewInt(serial),
		RawSubject:      subject,
		NotBefore:       notBefore,
		NotAfter:        end,
		KeyUsage:        x509.KeyUsageDigitalSignature | x509.KeyUsageKeyEncipherment,
		ExtraExtensions: []pkix.Extension{{Id: oidProxyCertInfo, Critical: true, Value: info}},
	}
	// A parent without its own extensions, so that none of them (an authority
	// key identifier) is carried into the proxy.
	parent := &x509.Certificate{RawSubject: issuer.RawSubject, PublicKey: issuer.PublicKey}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, key, c.Key)
	if err != nil {
		return nil, fmt.Errorf("sign proxy: %w", err)
	}
	return der, nil
}
