package gsi

import (
	"bytes"
	"crypto"
	"crypto/ecdh"
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func mustPEM(t testing.TB, c *Credential) []byte {
	t.Helper()
	data, err := c.EncodePEM()
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func sameCredential(t *testing.T, got, want *Credential) {
	t.Helper()
	if len(got.Chain) != len(want.Chain) {
		t.Fatalf("chain of %d, want %d", len(got.Chain), len(want.Chain))
	}
	for i := range got.Chain {
		if !got.Chain[i].Equal(want.Chain[i]) {
			t.Errorf("certificate %d is %s", i, DN(got.Chain[i].RawSubject))
		}
	}
	if !got.Key.Public().(interface{ Equal(crypto.PublicKey) bool }).Equal(want.Key.Public()) {
		t.Error("another key")
	}
}

func TestCredentialAccessors(t *testing.T) {
	f := newForgery(t)
	soon := time.Now().Add(time.Minute).Truncate(time.Second).UTC()
	user := f.end("Ada", func(c *x509.Certificate) { c.NotAfter = soon })
	proxy := f.proxy(user)
	if got := proxy.Identity(); got != "/O=Forged/CN=Ada" {
		t.Errorf("identity %q", got)
	}
	if !proxy.EEC().Equal(user.Chain[0]) {
		t.Error("the end-entity certificate is another")
	}
	if !proxy.NotAfter().Equal(soon) {
		t.Errorf("not after %v, want %v", proxy.NotAfter(), soon)
	}
	sum := sha256.Sum256(proxy.Chain[0].Raw)
	if got := proxy.Fingerprint(); got != hex.EncodeToString(sum[:]) {
		t.Errorf("fingerprint %s", got)
	}
	if got := len(proxy.TLSCertificate().Certificate); got != 2 {
		t.Errorf("%d certificates for TLS", got)
	}
}

func TestCredentialPrintsNoKey(t *testing.T) {
	c := newForgery(t).end("Ada")
	secret := c.Key.(*ecdsa.PrivateKey)
	scalar, err := secret.Bytes()
	if err != nil {
		t.Fatal(err)
	}
	for _, format := range []string{"%v", "%+v", "%#v", "%s"} {
		text := fmt.Sprintf(format, c)
		if !strings.Contains(text, "/O=Forged/CN=Ada") || strings.Contains(text, hex.EncodeToString(scalar[:4])) || strings.Contains(text, "PrivateKey") {
			t.Errorf("%s prints %s", format, text)
		}
	}
}

func TestParseCredential(t *testing.T) {
	f := newForgery(t)
	proxy := f.proxy(f.end("Ada"))
	data := mustPEM(t, proxy)

	t.Run("round trip", func(t *testing.T) {
		got, err := ParseCredential(data)
		if err != nil {
			t.Fatal(err)
		}
		sameCredential(t, got, proxy)
	})
	t.Run("order of a proxy file", func(t *testing.T) {
		var order []string
		for rest := data; ; {
			var block *pem.Block
			if block, rest = pem.Decode(rest); block == nil {
				break
			}
			order = append(order, block.Type)
		}
		if got := strings.Join(order, ", "); got != "CERTIFICATE, PRIVATE KEY, CERTIFICATE" {
			t.Errorf("blocks are %s", got)
		}
	})

	sec1, err := x509.MarshalECPrivateKey(proxy.Key.(*ecdsa.PrivateKey))
	if err != nil {
		t.Fatal(err)
	}
	block := func(kind string, der []byte) []byte { return pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}) }
	certs, key := pemBlocks(data, true), pemBlocks(data, false)
	t.Run("key first, comments, curve parameters", func(t *testing.T) {
		text := bytes.Join([][]byte{[]byte("Bag Attributes\n"), block("EC PARAMETERS", []byte{6, 0}), block("EC PRIVATE KEY", sec1), []byte("subject=\n"), certs}, nil)
		got, err := ParseCredential(text)
		if err != nil {
			t.Fatal(err)
		}
		sameCredential(t, got, proxy)
	})

	other := pemBlocks(mustPEM(t, f.end("Bob")), false)
	encrypted := pem.EncodeToMemory(&pem.Block{Type: "RSA PRIVATE KEY", Headers: map[string]string{"Proc-Type": "4,ENCRYPTED", "DEK-Info": "DES-EDE3-CBC,00"}, Bytes: []byte{1}})
	for name, tc := range map[string]struct {
		data []byte
		word string
	}{
		"empty":               {nil, "no PEM certificate"},
		"no key":              {certs, "no PEM private key"},
		"no certificate":      {key, "no PEM certificate"},
		"two keys":            {append(append(certs[:len(certs):len(certs)], key...), key...), "more than one private key"},
		"another's key":       {append(certs[:len(certs):len(certs)], other...), "does not belong"},
		"damaged certificate": {block("CERTIFICATE", []byte{0x30, 1}), "certificate 1"},
		"damaged key":         {append(certs[:len(certs):len(certs)], block("PRIVATE KEY", []byte("hunter2"))...), "damaged"},
		"too many":            {bytes.Repeat(encodeCertificate(proxy.Chain[0]), maxChain+1), "more than 32"},
		"too long":            {make([]byte, maxCredential+1), "bytes"},
		"pass phrase":         {append(certs[:len(certs):len(certs)], encrypted...), "pass phrase"},
		"pass phrase, PKCS#8": {append(certs[:len(certs):len(certs)], block("ENCRYPTED PRIVATE KEY", []byte{1})...), "grid-proxy-init"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := ParseCredential(tc.data)
			if err == nil || !strings.Contains(err.Error(), tc.word) {
				t.Fatalf("error %v, want %q in it", err, tc.word)
			}
			if strings.Contains(err.Error(), "hunter2") {
				t.Errorf("the error quotes the key: %v", err)
			}
		})
	}
}

func TestParseKeyThatCannotSign(t *testing.T) {
	key, err := ecdh.X25519().GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := parseKey(&pem.Block{Type: "PRIVATE KEY", Bytes: der}); err == nil || !strings.Contains(err.Error(), "cannot sign") {
		t.Errorf("error %v", err)
	}
}

func TestFiles(t *testing.T) {
	f := newForgery(t)
	proxy := f.proxy(f.end("Ada"))
	dir := t.TempDir()
	path := filepath.Join(dir, "proxy.pem")
	// A file that is open to others keeps its mode when it is written into.
	if err := os.WriteFile(path, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	if err := proxy.SaveProxy(path); err != nil {
		t.Fatal(err)
	}
	got, err := LoadProxy(path)
	if err != nil {
		t.Fatal(err)
	}
	sameCredential(t, got, proxy)

	cert, key := filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	if err := proxy.SavePair(cert, key); err != nil {
		t.Fatal(err)
	}
	if got, err = LoadPair(cert, key); err != nil {
		t.Fatal(err)
	}
	sameCredential(t, got, proxy)
	if data, err := os.ReadFile(cert); err != nil || bytes.Contains(data, []byte("PRIVATE")) {
		t.Errorf("the certificate file holds the key (%v)", err)
	}
	// Both names may point at the one proxy file.
	if got, err = LoadPair(path, path); err != nil {
		t.Fatal(err)
	}
	sameCredential(t, got, proxy)

	for _, mode := range []os.FileMode{0o640, 0o604, 0o620, 0o777} {
		if err := os.Chmod(path, mode); err != nil {
			t.Fatal(err)
		}
		if _, err := LoadProxy(path); err == nil || !strings.Contains(err.Error(), "chmod 600 "+path) {
			t.Errorf("mode %o: error %v", mode, err)
		}
		if _, err := LoadPair(cert, path); err == nil {
			t.Errorf("mode %o is good enough for a key file", mode)
		}
	}
	if _, err := LoadProxy(filepath.Join(dir, "none")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("missing file: %v", err)
	}
	if err := proxy.SaveProxy(filepath.Join(dir, "none", "proxy.pem")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("missing directory: %v", err)
	}
	if names, err := filepath.Glob(filepath.Join(dir, ".gsi-*")); err != nil || len(names) != 0 {
		t.Errorf("temporary files are left: %v (%v)", names, err)
	}
}

func TestFromEnvironment(t *testing.T) {
	f := newForgery(t)
	ada, bob, eve := f.end("Ada"), f.end("Bob"), f.end("Eve")
	dir := t.TempDir()
	path := func(name string) string { return filepath.Join(dir, name) }
	if err := ada.SaveProxy(path("proxy")); err != nil {
		t.Fatal(err)
	}
	if err := bob.SavePair(path("cert"), path("key")); err != nil {
		t.Fatal(err)
	}
	globus := filepath.Join(dir, ".globus")
	if err := os.Mkdir(globus, 0o700); err != nil {
		t.Fatal(err)
	}
	t.Setenv("HOME", dir)
	for _, name := range []string{"X509_USER_PROXY", "X509_USER_CERT", "X509_USER_KEY"} {
		t.Setenv(name, "")
	}
	expect := func(want *Credential) {
		t.Helper()
		got, err := FromEnvironment()
		if err != nil {
			t.Fatal(err)
		}
		sameCredential(t, got, want)
	}
	if _, err := os.Stat(fmt.Sprintf("/tmp/x509up_u%d", os.Getuid())); err == nil {
		t.Log("the user has a proxy in /tmp: the places after it are not tested")
	} else {
		if _, err := FromEnvironment(); !errors.Is(err, ErrNoCredential) {
			t.Errorf("with nothing anywhere: %v", err)
		}
		if err := eve.SavePair(filepath.Join(globus, "usercert.pem"), filepath.Join(globus, "userkey.pem")); err != nil {
			t.Fatal(err)
		}
		expect(eve)
	}
	t.Setenv("X509_USER_CERT", path("cert"))
	if _, err := FromEnvironment(); err == nil || !strings.Contains(err.Error(), "X509_USER_KEY") {
		t.Errorf("with half a pair: %v", err)
	}
	t.Setenv("X509_USER_KEY", path("key"))
	expect(bob)
	t.Setenv("X509_USER_PROXY", path("proxy"))
	expect(ada)
	t.Setenv("X509_USER_PROXY", path("none"))
	if _, err := FromEnvironment(); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a proxy that is named and missing: %v", err)
	}
}

func FuzzParseCredential(f *testing.F) {
	c, err := NewEphemeral("Ada", time.Hour)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(mustPEM(f, c))
	f.Add(pemBlocks(mustPEM(f, c), false))
	f.Add([]byte("-----BEGIN CERTIFICATE-----\n-----END CERTIFICATE-----\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		c, err := ParseCredential(data)
		if err != nil {
			return
		}
		again, err := ParseCredential(mustPEM(t, c))
		if err != nil {
			t.Fatalf("what was written is not read: %v", err)
		}
		if again.Fingerprint() != c.Fingerprint() {
			t.Error("another leaf after a round trip")
		}
	})
}
