package gsi

import (
	"crypto/x509"
	"encoding/pem"
	"errors"
	"io"
	"testing"
	"time"
)

// fuzzed is an authority, a person and a proxy that fuzzing begins with.
func fuzzed(f *testing.F) (trust *Trust, proxy *Credential) {
	f.Helper()
	a, err := NewAuthority("Fuzz")
	if err != nil {
		f.Fatal(err)
	}
	user, err := a.User("Ada")
	if err != nil {
		f.Fatal(err)
	}
	if proxy, err = user.NewProxy(ProxyOptions{}); err != nil {
		f.Fatal(err)
	}
	return a.Trust(), proxy
}

// FuzzVerify judges one damaged certificate at the head of a good chain, and
// again as an end-entity certificate.
func FuzzVerify(f *testing.F) {
	trust, proxy := fuzzed(f)
	good := make(map[string]bool)
	for _, cert := range proxy.Chain {
		f.Add(cert.Raw)
		good[string(cert.RawTBSCertificate)] = true
	}
	f.Fuzz(func(t *testing.T, der []byte) {
		cert, err := x509.ParseCertificate(der)
		if err != nil {
			return
		}
		for _, chain := range [][]*x509.Certificate{{cert}, append([]*x509.Certificate{cert}, proxy.Chain...), append([]*x509.Certificate{cert}, proxy.EEC())} {
			peer, err := trust.Verify(chain, time.Now())
			if err == nil && !good[string(cert.RawTBSCertificate)] {
				t.Fatalf("a certificate that nobody signed is trusted as %s", peer.Identity)
			}
			var refused *TrustError
			if err != nil && !errors.As(err, &refused) {
				t.Fatalf("not a refusal: %v", err)
			}
		}
		_ = MatchHost(cert, "dtn.example.org")
		_, _ = voms([]*x509.Certificate{cert})
	})
}

// FuzzParseTrustFile reads the certificates of a trust directory.
func FuzzParseTrustFile(f *testing.F) {
	_, proxy := fuzzed(f)
	for _, cert := range proxy.Chain {
		f.Add(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: cert.Raw}))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		certs, err := parseCertificates(data)
		if (err == nil) != (len(certs) > 0) {
			t.Fatalf("%d certificates with %v", len(certs), err)
		}
	})
}

// said is a peer whose tokens are known beforehand, and who hears nothing.
type said struct{ tokens [][]byte }

func (s *said) WriteToken([]byte) error { return nil }

func (s *said) ReadToken() ([]byte, error) {
	if len(s.tokens) == 0 {
		return nil, io.ErrUnexpectedEOF
	}
	token := s.tokens[0]
	s.tokens = s.tokens[1:]
	return token, nil
}

// FuzzHandshake says anything to both sides of a handshake.
func FuzzHandshake(f *testing.F) {
	trust, proxy := fuzzed(f)
	// A true first token, and its likes in two.
	var first said
	record := recorder{&first}
	_, _ = ClientHandshake(record, ClientConfig{Credential: proxy, Trust: trust, ServerName: "localhost"})
	hello := first.tokens[0]
	f.Add(hello, []byte{}, []byte{})
	f.Add(hello[:100], hello[100:], []byte{22, 3, 3, 0, 4, 2, 0, 0, 0})
	f.Add([]byte{21, 3, 3, 0, 2, 2, 40}, []byte{0}, []byte("0"))
	f.Fuzz(func(t *testing.T, a, b, c []byte) {
		tokens := [][]byte{a, b, c}
		if _, err := ServerHandshake(&said{tokens}, ServerConfig{Credential: proxy, Trust: trust}); err == nil {
			t.Fatal("a server took whoever never answered it")
		}
		if _, err := ClientHandshake(&said{tokens}, ClientConfig{Credential: proxy, Trust: trust, ServerName: "localhost"}); err == nil {
			t.Fatal("a client took whoever never answered it")
		}
	})
}

// recorder keeps what is written, and answers nothing.
type recorder struct{ *said }

func (r recorder) WriteToken(token []byte) error {
	r.tokens = append(r.tokens, append([]byte(nil), token...))
	return nil
}

func (r recorder) ReadToken() ([]byte, error) { return nil, io.ErrUnexpectedEOF }
