package trust_test

import (
	"bytes"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/pem"
	"math/big"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/gridferry/gridferry/wire/gsi"
)

// Object identifiers of proxies: RFC 3820, the draft before it, and Globus's.
var (
	oidProxyCertInfo = asn1.ObjectIdentifier{1, 3, 6, 1, 5, 5, 7, 1, 14}
	oidDraftInfo     = asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 3536, 1, 222}
	oidInheritAll    = asn1.ObjectIdentifier{1, 3, 6, 1, 5, 5, 7, 21, 1}
	oidIndependent   = asn1.ObjectIdentifier{1, 3, 6, 1, 5, 5, 7, 21, 2}
	oidLimited       = asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 3536, 1, 1, 1, 9}
	oidCommonName    = asn1.ObjectIdentifier{2, 5, 4, 3}
)

// A forger makes credentials that no honest tool makes. Its keys are few, since
// RSA keys are slow to make, and what is tested does not look at them.
type forger struct {
	t        testing.TB
	strong   [3]*rsa.PrivateKey
	weak     *rsa.PrivateKey
	issued   int64
	notAfter time.Time
}

func newForger(t testing.TB) *forger {
	f := &forger{t: t, issued: 1000, notAfter: time.Now().Add(24 * time.Hour)}
	for i := range f.strong {
		f.strong[i] = f.key(2048)
	}
	f.weak = f.key(1024)
	return f
}

func (f *forger) key(bits int) *rsa.PrivateKey {
	f.t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, bits)
	if err != nil {
		f.t.Fatal(err)
	}
	return key
}

// end issues an end-entity certificate by ca.
func (f *forger) end(ca *gsi.Credential, name pkix.Name, edit ...func(*forged)) *gsi.Credential {
	f.t.Helper()
	return f.sign(ca, &forged{key: f.strong[0], Certificate: &x509.Certificate{
		Subject:               name,
		BasicConstraintsValid: true,
		KeyUsage:              x509.KeyUsageDigitalSignature | x509.KeyUsageKeyEncipherment,
	}}, edit)
}

// authority issues an authority; without an issuer it is a root.
func (f *forger) authority(issuer *gsi.Credential, name pkix.Name, edit ...func(*forged)) *gsi.Credential {
	f.t.Helper()
	return f.sign(issuer, &forged{key: f.strong[1], Certificate: &x509.Certificate{
		Subject:               name,
		IsCA:                  true,
		BasicConstraintsValid: true,
		KeyUsage:              x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
	}}, edit)
}

// proxy makes an RFC 3820 proxy of issuer.
func (f *forger) proxy(issuer *gsi.Credential, edit ...func(*forged)) *gsi.Credential {
	f.t.Helper()
	n := len(issuer.Chain)
	return f.sign(issuer, &forged{key: f.strong[n%len(f.strong)], cn: big.NewInt(f.issued).String(), Certificate: &x509.Certificate{
		KeyUsage:        x509.KeyUsageDigitalSignature,
		ExtraExtensions: []pkix.Extension{{Id: oidProxyCertInfo, Critical: true, Value: f.info(-1, oidInheritAll)}},
	}}, edit)
}

// forged is a certificate to be.
type forged struct {
	*x509.Certificate
	key *rsa.PrivateKey
	cn  string // of a proxy: its name is the issuer's and this
}

func (f *forger) sign(issuer *gsi.Credential, c *forged, edit []func(*forged)) *gsi.Credential {
	f.t.Helper()
	f.issued++
	c.SerialNumber = big.NewInt(f.issued)
	c.NotBefore, c.NotAfter = time.Now().Add(-time.Hour), f.notAfter
	for _, e := range edit {
		e(c)
	}
	// A parent without its extensions: proxies have no authority key id.
	parent, signer := c.Certificate, any(c.key)
	if issuer != nil {
		parent, signer = &x509.Certificate{RawSubject: issuer.Chain[0].RawSubject, PublicKey: issuer.Key.Public()}, issuer.Key
	}
	if c.cn != "" {
		c.RawSubject = f.extend(issuer.Chain[0].RawSubject, c.cn)
	}
	der, err := x509.CreateCertificate(rand.Reader, c.Certificate, parent, c.key.Public(), signer)
	if err != nil {
		f.t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		f.t.Fatal(err)
	}
	made := &gsi.Credential{Chain: []*x509.Certificate{cert}, Key: c.key}
	if issuer == nil {
		return made
	}
	for _, cert := range issuer.Chain {
		if !bytes.Equal(cert.RawSubject, cert.RawIssuer) { // nobody presents roots
			made.Chain = append(made.Chain, cert)
		}
	}
	return made
}

func (f *forger) extend(name []byte, cn string) []byte {
	f.t.Helper()
	var rdns []asn1.RawValue
	if _, err := asn1.Unmarshal(name, &rdns); err != nil {
		f.t.Fatal(err)
	}
	last := f.marshal(pkix.RelativeDistinguishedNameSET{{Type: oidCommonName, Value: cn}})
	return f.marshal(append(rdns, asn1.RawValue{FullBytes: last}))
}

// info encodes a ProxyCertInfo; a negative length is left out.
func (f *forger) info(length int, language asn1.ObjectIdentifier) []byte {
	f.t.Helper()
	policy := struct{ Language asn1.ObjectIdentifier }{language}
	if length < 0 {
		return f.marshal(struct{ Policy any }{policy})
	}
	return f.marshal(struct {
		Length int
		Policy any
	}{length, policy})
}

func (f *forger) marshal(v any) []byte {
	f.t.Helper()
	der, err := asn1.Marshal(v)
	if err != nil {
		f.t.Fatal(err)
	}
	return der
}

// withInfo is an edit: another ProxyCertInfo.
func (f *forger) withInfo(length int, language asn1.ObjectIdentifier) func(*forged) {
	return func(c *forged) { c.ExtraExtensions[0].Value = f.info(length, language) }
}

// list writes a revocation list of ca's into the trust directory.
func (f *forger) list(dir string, ca *gsi.Credential, end time.Time, revoked ...*x509.Certificate) {
	f.t.Helper()
	template := &x509.RevocationList{Number: big.NewInt(1), ThisUpdate: time.Now().Add(-2 * time.Hour), NextUpdate: end}
	for _, cert := range revoked {
		template.RevokedCertificateEntries = append(template.RevokedCertificateEntries,
			x509.RevocationListEntry{SerialNumber: cert.SerialNumber, RevocationTime: time.Now().Add(-time.Hour), ReasonCode: 1})
	}
	issuer := *ca.Chain[0]
	if issuer.SubjectKeyId == nil {
		issuer.SubjectKeyId = []byte{1}
	}
	der, err := x509.CreateRevocationList(rand.Reader, template, &issuer, ca.Key)
	if err != nil {
		f.t.Fatal(err)
	}
	f.write(filepath.Join(dir, f.hash(ca)+".r0"), pem.EncodeToMemory(&pem.Block{Type: "X509 CRL", Bytes: der}))
}

// trusted installs ca in the trust directory, with a signing policy.
func (f *forger) trusted(dir string, ca *gsi.Credential, subjects string) {
	f.t.Helper()
	stem := filepath.Join(dir, f.hash(ca))
	f.write(stem+".0", certificates(ca.Chain[:1]))
	f.write(stem+".signing_policy", []byte("access_id_CA X509 '"+gsi.DN(ca.Chain[0].RawSubject)+"'\npos_rights globus CA:sign\ncond_subjects globus '\""+subjects+"\"'\n"))
}

func (f *forger) write(path string, data []byte) {
	f.t.Helper()
	if err := os.WriteFile(path, data, 0o644); err != nil {
		f.t.Fatal(err)
	}
}

func certificates(chain []*x509.Certificate) []byte {
	var out []byte
	for _, cert := range chain {
		out = append(out, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: cert.Raw})...)
	}
	return out
}
