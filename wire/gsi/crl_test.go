package gsi

import (
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/pem"
	"math/big"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// list signs a revocation list of the serial numbers, valid for an hour but for
// the edits.
func (f *forgery) list(revoked []*big.Int, edit ...func(*x509.RevocationList)) []byte {
	f.t.Helper()
	now := time.Now()
	template := &x509.RevocationList{Number: big.NewInt(1), ThisUpdate: now.Add(-time.Minute), NextUpdate: now.Add(time.Hour)}
	for _, serial := range revoked {
		template.RevokedCertificateEntries = append(template.RevokedCertificateEntries,
			x509.RevocationListEntry{SerialNumber: serial, RevocationTime: now.Add(-time.Hour), ReasonCode: 1})
	}
	for _, e := range edit {
		e(template)
	}
	der, err := x509.CreateRevocationList(rand.Reader, template, f.ca.Chain[0], f.ca.Key)
	if err != nil {
		f.t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "X509 CRL", Bytes: der})
}

// trustFiles are the files of a trust directory, where HASH stands for the hash
// of the forgery's authority. The authority itself, and a policy that lets it
// sign for everybody, are there unless files say otherwise.
type trustFiles map[string]string

func (f *forgery) write(dir string, files trustFiles) {
	f.t.Helper()
	hash, err := subjectHash(f.ca.Chain[0].RawSubject)
	if err != nil {
		f.t.Fatal(err)
	}
	all := trustFiles{
		"HASH.0":              string(encodeCertificate(f.ca.Chain[0])),
		"HASH.signing_policy": "access_id_CA X509 '" + DN(f.ca.Chain[0].RawSubject) + "' pos_rights globus CA:sign cond_subjects globus '*'",
	}
	for name, content := range files {
		all[name] = content
	}
	for name, content := range all {
		path := filepath.Join(dir, replaceHash(name, hash))
		if content == "" {
			continue
		}
		if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
			f.t.Fatal(err)
		}
	}
}

func replaceHash(name, hash string) string {
	if len(name) > 4 && name[:4] == "HASH" {
		return hash + name[4:]
	}
	return name
}

func (f *forgery) load(o TrustOptions, files trustFiles) *Trust {
	f.t.Helper()
	dir := f.t.TempDir()
	f.write(dir, files)
	trust, err := o.Load(dir)
	if err != nil {
		f.t.Fatal(err)
	}
	return trust
}

func TestTrustDirectoryRefuses(t *testing.T) {
	f := newForgery(t)
	user := f.end("Ada")
	proxy := f.proxy(user)
	serial := []*big.Int{user.Chain[0].SerialNumber}
	ended := func(l *x509.RevocationList) { l.ThisUpdate, l.NextUpdate = l.ThisUpdate.Add(-time.Hour), l.ThisUpdate }
	older := func(l *x509.RevocationList) { l.ThisUpdate = l.ThisUpdate.Add(-time.Hour) }
	early := func(l *x509.RevocationList) { l.ThisUpdate = time.Now().Add(time.Minute) }
	partial := func(l *x509.RevocationList) {
		l.ExtraExtensions = append(l.ExtraExtensions, pkix.Extension{Id: asn1.ObjectIdentifier{2, 5, 29, 28}, Critical: true, Value: []byte{0x30, 0}})
	}
	twin := newForgery(t) // of the same name
	for name, tc := range map[string]struct {
		files   trustFiles
		options TrustOptions
		reason  Reason // empty: accepted
		word    string
	}{
		"all in order":               {trustFiles{"HASH.r0": string(f.list(nil))}, TrustOptions{}, "", ""},
		"no list":                    {nil, TrustOptions{}, "", ""},
		"another is revoked":         {trustFiles{"HASH.r0": string(f.list([]*big.Int{big.NewInt(7)}))}, TrustOptions{}, "", ""},
		"revoked":                    {trustFiles{"HASH.r0": string(f.list(serial))}, TrustOptions{}, ReasonRevoked, "key was compromised"},
		"revoked in the second list": {trustFiles{"HASH.r0": string(f.list(nil)), "HASH.r1": string(f.list(serial))}, TrustOptions{}, ReasonRevoked, "new certificate"},
		"the authority is revoked":   {trustFiles{"HASH.r0": string(f.list([]*big.Int{f.ca.Chain[0].SerialNumber}))}, TrustOptions{}, ReasonRevoked, "/O=Forged/CN=CA"},
		"list has ended":             {trustFiles{"HASH.r0": string(f.list(nil, ended))}, TrustOptions{}, ReasonRevocationList, "fetch-crl"},
		"list has ended, overridden": {trustFiles{"HASH.r0": string(f.list(nil, ended))}, TrustOptions{AllowExpiredCRL: true}, "", ""},
		"revoked on an ended list":   {trustFiles{"HASH.r0": string(f.list(serial, ended))}, TrustOptions{AllowExpiredCRL: true}, ReasonRevoked, "revoked"},
		"an ended list and a new":    {trustFiles{"HASH.r0": string(f.list(nil, ended)), "HASH.r1": string(f.list(nil))}, TrustOptions{}, "", ""},
		"a new list and an older":    {trustFiles{"HASH.r0": string(f.list(nil)), "HASH.r1": string(f.list(nil, older))}, TrustOptions{}, "", ""},
		"list of the future":         {trustFiles{"HASH.r0": string(f.list(nil, early))}, TrustOptions{}, ReasonRevocationList, "clock"},
		"list of a twin":             {trustFiles{"HASH.r0": string(twin.list(nil))}, TrustOptions{}, ReasonRevocationList, "not signed"},
		"list in part":               {trustFiles{"HASH.r0": string(f.list(nil, partial))}, TrustOptions{}, ReasonRevocationList, "2.5.29.28"},
		"list damaged":               {trustFiles{"HASH.r0": "garbage"}, TrustOptions{AllowExpiredCRL: true}, ReasonRevocationList, ".r0"},
		"certificate for a list":     {trustFiles{"HASH.r0": string(encodeCertificate(user.Chain[0]))}, TrustOptions{}, ReasonRevocationList, "CERTIFICATE"},
		"list under another name":    {trustFiles{"01234567.r0": string(f.list(serial))}, TrustOptions{}, ReasonRevoked, "revoked"},
		"somebody else's damaged":    {trustFiles{"01234567.r0": "garbage"}, TrustOptions{}, "", ""},

		"outside the policy": {trustFiles{"HASH.signing_policy": "access_id_CA X509 '/O=Forged/CN=CA' pos_rights globus CA:sign cond_subjects globus '\"/O=Other/*\"'"},
			TrustOptions{AllowMissingPolicy: true}, ReasonSigningPolicy, `allows /O=Other/*`},
		"policy of another": {trustFiles{"HASH.signing_policy": "access_id_CA X509 '/O=Other/CN=CA' pos_rights globus CA:sign"},
			TrustOptions{}, ReasonSigningPolicy, "allows nothing"},
		"no policy":             {trustFiles{"HASH.signing_policy": ""}, TrustOptions{}, ReasonSigningPolicy, ".signing_policy here"},
		"no policy, overridden": {trustFiles{"HASH.signing_policy": ""}, TrustOptions{AllowMissingPolicy: true}, "", ""},
		"policy damaged":        {trustFiles{"HASH.signing_policy": "access"}, TrustOptions{AllowMissingPolicy: true}, ReasonSigningPolicy, "cannot be used"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := f.load(tc.options, tc.files).Verify(proxy.Chain, time.Now())
			wantRefusal(t, err, tc.reason, tc.word)
		})
	}
}

// TestRevokedIntermediate: the authorities in between are looked up as well.
func TestRevokedIntermediate(t *testing.T) {
	f := newForgery(t)
	middle, err := newECCertificate(authorityTemplate(pkix.Name{CommonName: "Middle"}, newValidity(time.Hour)), f.ca)
	if err != nil {
		t.Fatal(err)
	}
	user, err := newECCertificate(endTemplate(pkix.Name{CommonName: "Ada"}, newValidity(time.Hour)), middle)
	if err != nil {
		t.Fatal(err)
	}
	verify := func(files trustFiles) error {
		_, err := f.load(TrustOptions{}, files).Verify(user.Chain[:2], time.Now())
		return err
	}
	wantRefusal(t, verify(nil), ReasonSigningPolicy, "/CN=Middle")
	hash, err := subjectHash(middle.Chain[0].RawSubject)
	if err != nil {
		t.Fatal(err)
	}
	policy := trustFiles{hash + ".signing_policy": "access_id_CA X509 /CN=Middle pos_rights globus CA:sign"}
	wantRefusal(t, verify(policy), "", "")
	policy["HASH.r0"] = string(f.list([]*big.Int{middle.Chain[0].SerialNumber}))
	wantRefusal(t, verify(policy), ReasonRevoked, "/CN=Middle")
}

func FuzzParseCRL(f *testing.F) {
	a, err := NewAuthority("Fuzz")
	if err != nil {
		f.Fatal(err)
	}
	der, err := x509.CreateRevocationList(rand.Reader, &x509.RevocationList{
		Number: big.NewInt(1), ThisUpdate: time.Unix(0, 0), NextUpdate: time.Unix(1e9, 0),
		RevokedCertificateEntries: []x509.RevocationListEntry{{SerialNumber: big.NewInt(7), RevocationTime: time.Unix(0, 0), ReasonCode: 1}},
	}, a.root.Chain[0], a.root.Key)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(der)
	f.Add(pem.EncodeToMemory(&pem.Block{Type: "X509 CRL", Bytes: der}))
	f.Fuzz(func(t *testing.T, data []byte) {
		list, err := parseCRL(data)
		if err != nil {
			return
		}
		c := newCRL("fuzzed", list)
		for _, r := range c.revoked {
			r.reasonText()
		}
		_, _ = subjectHash(list.RawIssuer)
	})
}
