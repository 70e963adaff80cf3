package myproxy

import (
	"bufio"
	"bytes"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/gridferry/gridferry/wire/gsi"
)

// encodeChain writes certificates as they go over the wire: a byte that counts
// them, and their DER, leaf first.
func encodeChain(certs [][]byte) ([]byte, error) {
	if len(certs) == 0 || len(certs) > maxChain {
		return nil, fmt.Errorf("a chain of %d certificates, 1 to %d are possible", len(certs), maxChain)
	}
	b := []byte{byte(len(certs))}
	for _, der := range certs {
		b = append(b, der...)
	}
	return b, nil
}

// maxChain is as wire/gsi's: nobody would verify a longer one.
const maxChain = 32

// readChain reads what encodeChain wrote, and not a byte more. In place of
// certificates a server may send a response, and that is what it then returns.
func readChain(r *bufio.Reader) ([][]byte, *response, error) {
	start, err := r.Peek(2)
	if err != nil {
		return nil, nil, err
	}
	// 'V' could count certificates too, but DER does not start with 'E'.
	if string(start) == version0 {
		text, err := readText(r, maxRequest)
		if err != nil {
			return nil, nil, err
		}
		response, err := parseResponse(text)
		return nil, response, err
	}
	n := int(start[0])
	if n == 0 || n > maxChain {
		return nil, nil, malformed("it sent a chain of %d certificates, 1 to %d are possible", n, maxChain)
	}
	if _, err := r.Discard(1); err != nil {
		return nil, nil, err
	}
	var certs [][]byte
	for range n {
		der, err := readDER(r)
		if err != nil {
			return nil, nil, err
		}
		certs = append(certs, der)
	}
	return certs, nil, nil
}

// version0 is how every response starts.
const version0 = "VE"

// readDER reads one DER SEQUENCE of at most maxCert bytes.
func readDER(r io.Reader) ([]byte, error) {
	head := make([]byte, 2, 6)
	if _, err := io.ReadFull(r, head); err != nil {
		return nil, err
	}
	if head[0] != 0x30 {
		return nil, malformed("a certificate starts with %#x", head[0])
	}
	length := int(head[1])
	if length >= 0x80 {
		// Of more than three bytes it would be too long in any case.
		octets := length & 0x7f
		if octets == 0 || octets > 3 {
			return nil, malformed("a certificate has no plausible length")
		}
		head = head[:2+octets]
		if _, err := io.ReadFull(r, head[2:]); err != nil {
			return nil, err
		}
		length = 0
		for _, b := range head[2:] {
			length = length<<8 | int(b)
		}
	}
	if length > maxCert {
		return nil, malformed("a certificate of more than %d bytes", maxCert)
	}
	der := append(head, make([]byte, length)...)
	_, err := io.ReadFull(r, der[len(head):])
	return der, err
}

// readText reads up to a NUL, which it drops.
func readText(r *bufio.Reader, limit int) ([]byte, error) {
	var text []byte
	for {
		part, err := r.ReadSlice(0)
		if len(text)+len(part) > limit {
			return nil, malformed("its response is longer than %d bytes", limit)
		}
		text = append(text, part...)
		if err == nil {
			return bytes.TrimSuffix(text, []byte{0}), nil
		}
		if !errors.Is(err, bufio.ErrBufferFull) {
			return nil, err
		}
	}
}

// A keyRequest is a new key waiting for its certificate. gsi's ProxyRequest
// will not do: it takes proxies only, and an online authority issues
// end-entity certificates.
type keyRequest struct {
	key *rsa.PrivateKey
	csr []byte
}

// The sizes of the RSA keys made here; Globus servers refuse smaller ones.
const (
	defaultBits = 2048
	maxBits     = 8192
)

func newKeyRequest(bits int) (*keyRequest, error) {
	if bits == 0 {
		bits = defaultBits
	}
	if bits < defaultBits || bits > maxBits {
		return nil, misused("an RSA key of %d bits, %d to %d are possible", bits, defaultBits, maxBits)
	}
	key, err := rsa.GenerateKey(rand.Reader, bits)
	if err != nil {
		return nil, &misusedError{fmt.Errorf("make a key: %w", err)}
	}
	// The server chooses the name: whoever logs on cannot ask for one.
	csr, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{
		Subject:            pkix.Name{CommonName: "request"},
		SignatureAlgorithm: x509.SHA256WithRSA,
	}, key)
	if err != nil {
		return nil, &misusedError{fmt.Errorf("make a certificate request: %w", err)}
	}
	return &keyRequest{key: key, csr: csr}, nil
}

// complete joins the key with the chain that the server sent. The chain must
// be sound; but that its authority is unknown here is no reason to refuse it,
// because it is for others to believe in.
func (k *keyRequest) complete(chain [][]byte, trust *gsi.Trust) (*gsi.Credential, error) {
	c := &gsi.Credential{Key: k.key}
	for i, der := range chain {
		cert, err := x509.ParseCertificate(der)
		if err != nil {
			return nil, malformed("certificate %d of those it sent: %w", i+1, err)
		}
		c.Chain = append(c.Chain, cert)
	}
	if !k.key.PublicKey.Equal(c.Chain[0].PublicKey) {
		return nil, malformed("it sent a certificate for another key than the one requested")
	}
	if c.EEC() == nil {
		return nil, malformed("it sent proxies without the certificate they were made of")
	}
	_, err := trust.Verify(c.Chain, time.Now())
	var refused *gsi.TrustError
	switch {
	case err == nil:
		return c, nil
	case errors.As(err, &refused) && refused.Reason == gsi.ReasonUnknownAuthority:
		return c, nil
	case errors.As(err, &refused) && refused.Reason == gsi.ReasonExpired:
		return nil, &expiredError{err}
	}
	return nil, malformed("what it sent is of no use: %w", err)
}

// expiredError marks a credential that had ended when it was handed out.
type expiredError struct{ err error }

func (e *expiredError) Error() string { return e.err.Error() }
func (e *expiredError) Unwrap() error { return e.err }
