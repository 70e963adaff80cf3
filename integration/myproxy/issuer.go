package myproxy

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"fmt"
	"math/big"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/gridferry/gridferry/integration/harness"
	"github.com/gridferry/gridferry/wire/gsi"
)

// An Issuer is the authority behind an online one: unlike those of gsitest its
// key is on disk.
type Issuer struct {
	Cert, Key string // PEM files

	certificate *x509.Certificate
	t           testing.TB
}

// NewIssuer makes an authority, /O=Test/CN=name.
func NewIssuer(t testing.TB, name string) *Issuer {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1),
		Subject:      pkix.Name{Organization: []string{"Test"}, CommonName: name},
		NotBefore:    time.Now().Add(-time.Hour), NotAfter: time.Now().Add(30 * 24 * time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	i := &Issuer{t: t}
	if i.certificate, err = x509.ParseCertificate(der); err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	i.Cert, i.Key = filepath.Join(dir, "issuer.pem"), filepath.Join(dir, "issuer.key")
	if err := (&gsi.Credential{Chain: []*x509.Certificate{i.certificate}, Key: key}).SavePair(i.Cert, i.Key); err != nil {
		t.Fatal(err)
	}
	return i
}

// Trust trusts this authority alone.
func (i *Issuer) Trust() *gsi.Trust { return gsi.NewTrust(i.certificate) }

// TrustIn adds the authority to a trust directory.
func (i *Issuer) TrustIn(dir string) {
	i.t.Helper()
	cert, err := os.ReadFile(i.Cert)
	if err != nil {
		i.t.Fatal(err)
	}
	policy := fmt.Sprintf("access_id_CA X509 '%s'\npos_rights globus CA:sign\ncond_subjects globus '\"/O=Test/*\"'\n", gsi.DN(i.certificate.RawSubject))
	for _, kind := range []string{"-subject_hash", "-subject_hash_old"} {
		out, err := exec.Command(harness.Need(i.t, "openssl"), "x509", "-noout", kind, "-in", i.Cert).Output()
		if err != nil {
			i.t.Fatal(err)
		}
		hash := filepath.Join(dir, strings.TrimSpace(string(out)))
		if err := os.WriteFile(hash+".0", cert, 0o644); err != nil {
			i.t.Fatal(err)
		}
		if err := os.WriteFile(hash+".signing_policy", []byte(policy), 0o644); err != nil {
			i.t.Fatal(err)
		}
	}
}
