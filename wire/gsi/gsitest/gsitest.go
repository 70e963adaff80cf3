// Package gsitest gives tests a certificate authority, with its trust directory
// and credential files on disk. Programs that are no tests use gsi.Authority.
package gsitest

import (
	"path/filepath"
	"testing"

	"github.com/gridferry/gridferry/wire/gsi"
)

// A CA is an authority whose trust directory is written and whose methods end
// the test on failure.
type CA struct {
	Dir string // the trust directory, for X509_CERT_DIR and gsi.LoadTrust

	authority *gsi.Authority
	t         testing.TB
	files     string
}

// NewCA makes an authority with the DN /O=Test/CN=Test CA in a directory of its
// own.
func NewCA(t testing.TB) *CA {
	t.Helper()
	return NewCAOf(t, "Test")
}

// NewCAOf makes the authority of another organisation: its DN is
// /O=org/CN=org CA, and all that it issues is below /O=org.
func NewCAOf(t testing.TB, org string) *CA {
	t.Helper()
	authority, err := gsi.NewAuthority(org)
	if err != nil {
		t.Fatal(err)
	}
	files := t.TempDir()
	ca := &CA{Dir: filepath.Join(files, "certificates"), authority: authority, t: t, files: files}
	if err := authority.WriteTrustDir(ca.Dir); err != nil {
		t.Fatal(err)
	}
	return ca
}

// Root is the authority's certificate with the key that signs, for tests that
// make what Host, User and Proxy do not.
func (ca *CA) Root() *gsi.Credential { return ca.authority.Root() }

// Trust trusts this authority alone.
func (ca *CA) Trust() *gsi.Trust { return ca.authority.Trust() }

// Host issues a host credential for localhost, 127.0.0.1, ::1 and the names.
func (ca *CA) Host(names ...string) *gsi.Credential {
	ca.t.Helper()
	c, err := ca.authority.Host(append([]string{"localhost", "127.0.0.1", "::1"}, names...)...)
	if err != nil {
		ca.t.Fatal(err)
	}
	return c
}

// User issues the credential of /O=Test/CN=cn.
func (ca *CA) User(cn string) *gsi.Credential {
	ca.t.Helper()
	c, err := ca.authority.User(cn)
	if err != nil {
		ca.t.Fatal(err)
	}
	return c
}

// Proxy makes an ordinary proxy of a credential.
func (ca *CA) Proxy(c *gsi.Credential) *gsi.Credential {
	ca.t.Helper()
	proxy, err := c.NewProxy(gsi.ProxyOptions{})
	if err != nil {
		ca.t.Fatal(err)
	}
	return proxy
}

// ProxyFile writes a credential as one file, for X509_USER_PROXY, and returns
// its path.
func (ca *CA) ProxyFile(c *gsi.Credential) string {
	ca.t.Helper()
	path := filepath.Join(ca.files, c.Fingerprint()[:16]+".proxy")
	if err := c.SaveProxy(path); err != nil {
		ca.t.Fatal(err)
	}
	return path
}

// PairFiles writes a credential as a certificate and a key file, for
// X509_USER_CERT and X509_USER_KEY, and returns their paths.
func (ca *CA) PairFiles(c *gsi.Credential) (cert, key string) {
	ca.t.Helper()
	stem := filepath.Join(ca.files, c.Fingerprint()[:16])
	cert, key = stem+".cert.pem", stem+".key.pem"
	if err := c.SavePair(cert, key); err != nil {
		ca.t.Fatal(err)
	}
	return cert, key
}
