package gsi

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"time"
)

// authorityLifetime is that of an Authority and of everything it issues.
const authorityLifetime = 365 * 24 * time.Hour

// An Authority is a small certificate authority for demonstrations and tests:
// its key lives in memory and its certificates are of the kind that the Globus
// tools accept. All its subjects are under /O=name.
type Authority struct {
	name string
	root *Credential
}

// NewAuthority makes an authority with the DN /O=name/CN=name CA.
func NewAuthority(name string) (*Authority, error) {
	template := authorityTemplate(pkix.Name{Organization: []string{name}, CommonName: name + " CA"}, newValidity(authorityLifetime))
	root, err := newRSACertificate(template, nil)
	if err != nil {
		return nil, fmt.Errorf("make authority %s: %w", name, err)
	}
	return &Authority{name: name, root: root}, nil
}

// newRSACertificate makes RSA keys, which a Globus server needs of a client
// that delegates.
func newRSACertificate(template *x509.Certificate, issuer *Credential) (*Credential, error) {
	key, err := rsa.GenerateKey(rand.Reader, defaultBits)
	if err != nil {
		return nil, err
	}
	return issue(template, key, issuer)
}

// Certificate returns the authority's own certificate.
func (a *Authority) Certificate() *x509.Certificate { return a.root.Chain[0] }

// Root returns the authority's certificate with the key that signs, for what is
// not issued here: revocation lists, certificates of other kinds.
func (a *Authority) Root() *Credential { return a.root }

// Trust trusts this authority alone.
func (a *Authority) Trust() *Trust { return NewTrust(a.Certificate()) }

// Host issues a host credential. The names are DNS names and IP addresses; all
// become subject alternative names and the first is the CN.
func (a *Authority) Host(names ...string) (*Credential, error) {
	if len(names) == 0 {
		return nil, errors.New("issue host certificate: no name given")
	}
	template := endTemplate(a.subject(names[0]), newValidity(authorityLifetime))
	for _, name := range names {
		if ip := net.ParseIP(name); ip != nil {
			template.IPAddresses = append(template.IPAddresses, ip)
		} else {
			template.DNSNames = append(template.DNSNames, name)
		}
	}
	return a.issue(template)
}

// User issues a person's credential, /O=name/CN=cn.
func (a *Authority) User(cn string) (*Credential, error) {
	return a.issue(endTemplate(a.subject(cn), newValidity(authorityLifetime)))
}

func (a *Authority) subject(cn string) pkix.Name {
	return pkix.Name{Organization: []string{a.name}, CommonName: cn}
}

func (a *Authority) issue(template *x509.Certificate) (*Credential, error) {
	c, err := newRSACertificate(template, a.root)
	if err != nil {
		return nil, fmt.Errorf("issue certificate for %s: %w", template.Subject.CommonName, err)
	}
	c.Chain = c.Chain[:1] // everybody who trusts the root has it
	return c, nil
}

// WriteTrustDir makes dir, if need be, a directory of trusted authorities as
// OpenSSL and the Globus tools read it: the certificate and its signing policy
// under the present and the former hash of its name.
func (a *Authority) WriteTrustDir(dir string) error {
	cert := a.Certificate()
	hash, err := subjectHash(cert.RawSubject)
	if err != nil {
		return fmt.Errorf("write trust directory: %w", err)
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return fmt.Errorf("write trust directory: %w", err)
	}
	policy := fmt.Sprintf("access_id_CA  X509    '%s'\npos_rights    globus  CA:sign\ncond_subjects globus  '\"/O=%s/*\"'\n", DN(cert.RawSubject), a.name)
	for _, h := range []string{hash, oldSubjectHash(cert.RawSubject)} {
		if err := os.WriteFile(filepath.Join(dir, h+".0"), encodeCertificate(cert), 0o644); err != nil {
			return fmt.Errorf("write trust directory: %w", err)
		}
		if err := os.WriteFile(filepath.Join(dir, h+".signing_policy"), []byte(policy), 0o644); err != nil {
			return fmt.Errorf("write trust directory: %w", err)
		}
	}
	return nil
}
