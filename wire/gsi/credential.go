package gsi

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"time"
)

// maxCredential bounds a credential file or blob, in bytes, and maxChain the
// number of certificates in a chain. Proxies with VOMS attributes reach some
// tens of kilobytes.
const (
	maxCredential = 1 << 20
	maxChain      = 32
)

// A Credential is a certificate chain and the key of its leaf: a host's or
// person's certificate, or a proxy with what it was made from. It is not
// changed after it was made and may be shared by goroutines.
type Credential struct {
	Chain []*x509.Certificate // leaf first, each signed by the next; the root may be absent
	Key   crypto.Signer       // the leaf's private key
}

// String names the holder and never shows the key, so that a credential may
// end up in a log line.
func (c *Credential) String() string {
	return fmt.Sprintf("credential of %s, valid until %s", c.Identity(), c.NotAfter().UTC().Format(time.RFC3339))
}

// GoString is String: %#v shows no key either.
func (c *Credential) GoString() string { return c.String() }

// ParseCredential reads a credential from PEM: certificates, leaf first, and
// the leaf's private key anywhere among them (a proxy file has it second).
// Errors never quote the input.
func ParseCredential(data []byte) (*Credential, error) {
	if len(data) > maxCredential {
		return nil, fmt.Errorf("parse credential: more than %d bytes", maxCredential)
	}
	c := new(Credential)
	for {
		var block *pem.Block
		if block, data = pem.Decode(data); block == nil {
			break
		}
		switch block.Type {
		case "CERTIFICATE":
			if len(c.Chain) == maxChain {
				return nil, fmt.Errorf("parse credential: more than %d certificates", maxChain)
			}
			cert, err := x509.ParseCertificate(block.Bytes)
			if err != nil {
				return nil, fmt.Errorf("parse credential: certificate %d: %w", len(c.Chain)+1, err)
			}
			c.Chain = append(c.Chain, cert)
		case "RSA PRIVATE KEY", "EC PRIVATE KEY", "PRIVATE KEY", "ENCRYPTED PRIVATE KEY":
			if c.Key != nil {
				return nil, errors.New("parse credential: more than one private key")
			}
			key, err := parseKey(block)
			if err != nil {
				return nil, fmt.Errorf("parse credential: %w", err)
			}
			c.Key = key
		}
	}
	if len(c.Chain) == 0 {
		return nil, errors.New("parse credential: no PEM certificate in it")
	}
	if c.Key == nil {
		return nil, errors.New("parse credential: no PEM private key in it")
	}
	return c, c.checkKey()
}

// ErrEncryptedKey says that a private key is protected by a pass phrase, which
// a program that runs unattended cannot ask for.
var ErrEncryptedKey = errors.New("the private key is protected by a pass phrase: make a proxy of it first, for example with grid-proxy-init")

func parseKey(block *pem.Block) (crypto.Signer, error) {
	if block.Type == "ENCRYPTED PRIVATE KEY" || block.Headers["DEK-Info"] != "" {
		return nil, ErrEncryptedKey
	}
	var key any
	var err error
	switch block.Type {
	case "RSA PRIVATE KEY":
		key, err = x509.ParsePKCS1PrivateKey(block.Bytes)
	case "EC PRIVATE KEY":
		key, err = x509.ParseECPrivateKey(block.Bytes)
	default:
		key, err = x509.ParsePKCS8PrivateKey(block.Bytes)
	}
	if err != nil {
		// The cause is left out: nothing derived from key bytes is shown.
		return nil, errors.New("the private key is damaged or of an unknown kind")
	}
	switch key := key.(type) {
	case *rsa.PrivateKey:
		return key, nil
	case *ecdsa.PrivateKey:
		return key, nil
	case ed25519.PrivateKey:
		return key, nil
	}
	return nil, fmt.Errorf("the private key is of a kind that cannot sign (%T)", key)
}

// checkKey refuses a key that is not the leaf's, which TLS would report much
// later and at the peer.
func (c *Credential) checkKey() error {
	public, ok := c.Key.Public().(interface{ Equal(crypto.PublicKey) bool })
	if !ok || !public.Equal(c.Chain[0].PublicKey) {
		return fmt.Errorf("parse credential: the private key does not belong to the first certificate, %s", DN(c.Chain[0].RawSubject))
	}
	return nil
}

// LoadProxy reads a credential from one file holding certificates and key, as
// grid-proxy-init writes it. The file must not be open to group or others.
func LoadProxy(path string) (*Credential, error) {
	data, err := readSecret(path)
	if err != nil {
		return nil, err
	}
	c, err := ParseCredential(data)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return c, nil
}

// LoadPair reads a credential from a certificate file, which may hold the
// chain, and a key file, which must not be open to group or others.
func LoadPair(certPath, keyPath string) (*Credential, error) {
	certs, err := readLimited(certPath)
	if err != nil {
		return nil, err
	}
	key, err := readSecret(keyPath)
	if err != nil {
		return nil, err
	}
	// Only the certificates of the one and the key of the other: people point
	// both names at files that hold more.
	c, err := ParseCredential(append(pemBlocks(certs, true), pemBlocks(key, false)...))
	if err != nil {
		return nil, fmt.Errorf("%s and %s: %w", certPath, keyPath, err)
	}
	return c, nil
}

// pemBlocks returns the PEM blocks of data that are certificates, or those
// that are not.
func pemBlocks(data []byte, certificates bool) []byte {
	var out bytes.Buffer
	for {
		var block *pem.Block
		if block, data = pem.Decode(data); block == nil {
			return out.Bytes()
		}
		if (block.Type == "CERTIFICATE") == certificates {
			_ = pem.Encode(&out, block) // a bytes.Buffer does not fail, and the headers were just parsed
		}
	}
}

// readSecret refuses a file that others can read, as the Globus tools do: a
// proxy has no pass phrase, its mode is its only protection.
func readSecret(path string) ([]byte, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, fmt.Errorf("read private key: %w", err)
	}
	if mode := info.Mode().Perm(); mode&0o077 != 0 {
		return nil, fmt.Errorf("read private key: %s is open to others (mode %04o): chmod 600 %[1]s", path, mode)
	}
	return readLimited(path)
}

func readLimited(path string) ([]byte, error) {
	data, err := readFile(path, maxCredential)
	if err != nil {
		return nil, fmt.Errorf("read credential: %w", err)
	}
	return data, nil
}

// readFile reads a regular file of limit bytes at most. Anything else could
// block for ever, or not end.
func readFile(path string, limit int64) ([]byte, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("%s is not a regular file", path)
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, limit+1))
	if err != nil {
		return nil, err
	}
	if int64(len(data)) > limit {
		return nil, fmt.Errorf("%s holds more than %d bytes", path, limit)
	}
	return data, nil
}

// ErrNoCredential says that none of the usual places holds a credential.
var ErrNoCredential = errors.New("no credential found: set X509_USER_PROXY, or X509_USER_CERT and X509_USER_KEY, or make a proxy with grid-proxy-init")

// FromEnvironment finds the user's credential where the Globus tools look:
// X509_USER_PROXY; X509_USER_CERT with X509_USER_KEY; /tmp/x509up_u<uid>;
// ~/.globus/usercert.pem with userkey.pem. A variable that is set is binding:
// when what it names is unusable that is the error. ErrNoCredential when there
// is nothing anywhere.
func FromEnvironment() (*Credential, error) {
	if path := os.Getenv("X509_USER_PROXY"); path != "" {
		return LoadProxy(path)
	}
	cert, key := os.Getenv("X509_USER_CERT"), os.Getenv("X509_USER_KEY")
	switch {
	case cert != "" && key != "":
		return LoadPair(cert, key)
	case cert != "" || key != "":
		return nil, errors.New("only one of X509_USER_CERT and X509_USER_KEY is set: set both, or neither")
	}
	proxy := "/tmp/x509up_u" + strconv.Itoa(os.Getuid())
	if _, err := os.Stat(proxy); err == nil {
		return LoadProxy(proxy)
	}
	if home, err := os.UserHomeDir(); err == nil {
		cert, key := filepath.Join(home, ".globus", "usercert.pem"), filepath.Join(home, ".globus", "userkey.pem")
		if _, err := os.Stat(cert); err == nil {
			return LoadPair(cert, key)
		}
	}
	return nil, ErrNoCredential
}

// EncodePEM writes the credential as a proxy file: leaf, key, rest of the
// chain. Whoever stores it gives the file mode 0600. It fails for a key that
// cannot be exported (one held by hardware).
func (c *Credential) EncodePEM() ([]byte, error) {
	// RSA keys in PKCS#1, because older grid tools read nothing else.
	block := new(pem.Block)
	if key, ok := c.Key.(*rsa.PrivateKey); ok {
		block.Type, block.Bytes = "RSA PRIVATE KEY", x509.MarshalPKCS1PrivateKey(key)
	} else {
		der, err := x509.MarshalPKCS8PrivateKey(c.Key)
		if err != nil {
			return nil, fmt.Errorf("encode credential: the private key cannot be exported (%T)", c.Key)
		}
		block.Type, block.Bytes = "PRIVATE KEY", der
	}
	var out []byte
	for i, cert := range c.Chain {
		out = append(out, encodeCertificate(cert)...)
		if i == 0 {
			out = append(out, pem.EncodeToMemory(block)...)
		}
	}
	return out, nil
}

func encodeCertificate(cert *x509.Certificate) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: cert.Raw})
}

// EEC returns the end-entity certificate: the first in the chain that is not a
// proxy. It is nil in a chain of proxies alone, which nobody accepts.
func (c *Credential) EEC() *x509.Certificate { return eec(c.Chain) }

func eec(chain []*x509.Certificate) *x509.Certificate {
	for _, cert := range chain {
		if !isProxy(cert) {
			return cert
		}
	}
	return nil
}

// Identity returns the DN of the end-entity certificate, in DN's form: who the
// holder is, however many proxies lie in between.
func (c *Credential) Identity() string {
	if cert := c.EEC(); cert != nil {
		return DN(cert.RawSubject)
	}
	return ""
}

// NotAfter returns when the credential stops being usable: the earliest end in
// the chain.
func (c *Credential) NotAfter() time.Time { return notAfter(c.Chain) }

func notAfter(chain []*x509.Certificate) time.Time {
	var end time.Time
	for i, cert := range chain {
		if i == 0 || cert.NotAfter.Before(end) {
			end = cert.NotAfter
		}
	}
	return end
}

// Fingerprint returns the SHA-256 of the leaf in lower-case hexadecimal: which
// credential this is, safe to show and to store.
func (c *Credential) Fingerprint() string {
	sum := sha256.Sum256(c.Chain[0].Raw)
	return hex.EncodeToString(sum[:])
}

// TLSCertificate returns the credential in the form crypto/tls wants.
func (c *Credential) TLSCertificate() tls.Certificate {
	out := tls.Certificate{PrivateKey: c.Key, Leaf: c.Chain[0]}
	for _, cert := range c.Chain {
		out.Certificate = append(out.Certificate, cert.Raw)
	}
	return out
}
