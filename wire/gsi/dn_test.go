package gsi

import (
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// awkwardName has what distinguished names come with: several string types,
// letters outside ASCII, spaces, a multi-valued RDN and an unknown attribute.
func awkwardName(t testing.TB) []byte {
	t.Helper()
	str := func(tag int, s string) asn1.RawValue {
		return asn1.RawValue{Class: asn1.ClassUniversal, Tag: tag, Bytes: []byte(s)}
	}
	name := []attributeSET{
		{{asn1.ObjectIdentifier{0, 9, 2342, 19200300, 100, 1, 25}, str(asn1.TagIA5String, "Org")}},
		{{asn1.ObjectIdentifier{2, 5, 4, 6}, str(asn1.TagPrintableString, "DE")}},
		{{asn1.ObjectIdentifier{2, 5, 4, 10}, str(asn1.TagUTF8String, "  Institut  für\tPhysik ")}},
		{{asn1.ObjectIdentifier{2, 5, 4, 11}, str(asn1.TagBMPString, "\x00G\x00r\x00\xe4")}},
		{{asn1.ObjectIdentifier{1, 2, 3, 4, 5}, str(asn1.TagUTF8String, "odd")}},
		{{asn1.ObjectIdentifier{2, 5, 4, 3}, str(asn1.TagT61String, "J\xfcrgen")},
			{asn1.ObjectIdentifier{0, 9, 2342, 19200300, 100, 1, 1}, str(asn1.TagUTF8String, "juergen")}},
		{{asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 9, 1}, str(asn1.TagIA5String, "J@Example.ORG")}},
	}
	der, err := asn1.Marshal(name)
	if err != nil {
		t.Fatal(err)
	}
	return der
}

func TestDN(t *testing.T) {
	want := `/DC=Org/C=DE/O=  Institut  f\xC3\xBCr\x09Physik /OU=\x00G\x00r\x00\xE4/1.2.3.4.5=odd/CN=J\xFCrgen+UID=juergen/emailAddress=J@Example.ORG`
	if got := DN(awkwardName(t)); got != want {
		t.Errorf("DN is\n%s, want\n%s", got, want)
	}
	host := marshalName(t, pkix.Name{CommonName: `host/a+b\x41`})
	if got := DN(host); got != `/CN=host\/a\+b\x5Cx41` {
		t.Errorf("escaped DN is %s", got)
	}
	if got := DN([]byte("not DER")); got != "" {
		t.Errorf("DN of junk is %q", got)
	}
}

// TestNamesAsOpenSSL compares our rendering and hashes with those of the
// program that made the files and gridmaps we read.
func TestNamesAsOpenSSL(t *testing.T) {
	needOpenSSL(t)
	f := newForgery(t)
	for i, raw := range [][]byte{
		awkwardName(t),
		marshalName(t, pkix.Name{Country: []string{"US"}, Organization: []string{"Grid  Test"}, CommonName: " A  b C "}),
		marshalName(t, pkix.Name{Organization: []string{"a+b"}, CommonName: "host/dtn.example.org"}),
	} {
		cert := f.end("x", func(c *x509.Certificate) { c.RawSubject = raw }).Chain[0]
		path := filepath.Join(t.TempDir(), "cert.pem")
		if err := os.WriteFile(path, encodeCertificate(cert), 0o644); err != nil {
			t.Fatal(err)
		}
		out, err := exec.Command("openssl", "x509", "-in", path, "-noout", "-subject", "-nameopt", "compat", "-subject_hash", "-subject_hash_old").CombinedOutput()
		if err != nil {
			t.Fatalf("openssl: %v\n%s", err, out)
		}
		hash, err := subjectHash(raw)
		if err != nil {
			t.Fatal(err)
		}
		want := "subject=" + DN(raw) + "\n" + hash + "\n" + oldSubjectHash(raw) + "\n"
		if got := string(out); got != want {
			t.Errorf("name %d: openssl says\n%swe say\n%s", i, got, want)
		}
	}
}

func TestSameDN(t *testing.T) {
	for _, tc := range []struct {
		a, b string
		same bool
	}{
		{`/O=Grid/CN=Ada`, `/O=Grid/CN=Ada`, true},
		{`/O=Grid/CN=Ada`, `/O=Grid/CN=ada`, false},
		{`/O=Grid/CN=Ada`, `/O=Grid/CN=Ada/CN=proxy`, false},
		{`/O=Grid/CN=host\/dtn.example.org`, `/O=Grid/CN=host/dtn.example.org`, true},
		{`/O=Grid/CN=C\+\+ group`, `/O=Grid/CN=C++ group`, true},
		{`/CN=Ada/emailAddress=a@b`, `/CN=Ada/Email=a@b`, true},
		{`/CN=Ada/emailAddress=a@b`, `/CN=Ada/E=a@b`, true},
		{`/UID=ada/CN=Ada`, `/USERID=ada/CN=Ada`, true},
		{`/CN=Ada+UID=ada`, `/CN=Ada+USERID=ada`, true},
		// One value that looks like two attributes is not two attributes.
		{`/CN=foo\/O=bar`, `/CN=foo/O=bar`, false},
		{`/CN=foo\x5C/O=bar`, `/CN=foo\/O=bar`, false},
		{``, ``, false},
		{`\`, `\`, true},
	} {
		if SameDN(tc.a, tc.b) != tc.same || SameDN(tc.b, tc.a) != tc.same {
			t.Errorf("SameDN(%q, %q) is not %v", tc.a, tc.b, tc.same)
		}
	}
}

func TestSameName(t *testing.T) {
	a := marshalName(t, pkix.Name{Organization: []string{"Grid Test"}, CommonName: "Ada"})
	if b := marshalName(t, pkix.Name{Organization: []string{" grid  TEST"}, CommonName: "ada "}); !sameName(a, b) {
		t.Error("case and spaces told two names apart")
	}
	for _, b := range [][]byte{
		marshalName(t, pkix.Name{Organization: []string{"GridTest"}, CommonName: "Ada"}),
		marshalName(t, pkix.Name{Organization: []string{"Grid Test"}}),
		nil,
	} {
		if sameName(a, b) {
			t.Errorf("%s and %s are taken for one name", DN(a), DN(b))
		}
	}
}

func FuzzName(f *testing.F) {
	f.Add(awkwardName(f))
	f.Add([]byte{0x30, 0})
	f.Fuzz(func(t *testing.T, raw []byte) {
		dn := DN(raw)
		if strings.ContainsFunc(dn, func(r rune) bool { return r < ' ' || r > '~' }) {
			t.Errorf("DN %q is not printable", dn)
		}
		if modernDN(dn) != dn {
			t.Errorf("DN %q is read as %q", dn, modernDN(dn))
		}
		if _, err := canonicalName(raw); err == nil && !sameName(raw, raw) {
			t.Errorf("%x is not itself", raw)
		}
		_, _ = extraCommonName(raw, raw)
		_, _ = withCommonName(raw, "1")
	})
}
