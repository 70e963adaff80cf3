package credentials

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"time"

	"github.com/google/uuid"

	"github.com/gridferry/gridferry/fault"
	"github.com/gridferry/gridferry/transfer"
	"github.com/gridferry/gridferry/wire/gsi"
)

// delegationTime is how long the key of a delegation waits for its proxy.
const delegationTime = 10 * time.Minute

// keyBits is of the key, which lives as long as its proxy: some days at most.
const keyBits = 2048

const opDelegate = "delegate to"

// Delegate implements transfer.Credentials.
func (s *Service) Delegate(ctx context.Context, owner, endpoint string) (transfer.Delegation, error) {
	_, domain, err := s.domain(ctx, opDelegate, endpoint)
	if err != nil {
		return transfer.Delegation{}, err
	}
	key, err := rsa.GenerateKey(rand.Reader, keyBits)
	if err != nil {
		return transfer.Delegation{}, fault.Wrap(fault.Internal, opDelegate, endpoint, err)
	}
	// Whoever signs chooses the name of the proxy (RFC 3820, 3.4).
	csr, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{
		Subject: pkix.Name{CommonName: "proxy request"}, SignatureAlgorithm: x509.SHA256WithRSA,
	}, key)
	if err != nil {
		return transfer.Delegation{}, fault.Wrap(fault.Internal, opDelegate, endpoint, err)
	}
	secret := pem.EncodeToMemory(&pem.Block{Type: "RSA PRIVATE KEY", Bytes: x509.MarshalPKCS1PrivateKey(key)})
	defer clear(secret)
	id := uuid.NewString()
	if err := s.config.Vault.PutDelegation(ctx, owner, domain, id, secret, s.config.Now().Add(delegationTime)); err != nil {
		return transfer.Delegation{}, err
	}
	return transfer.Delegation{ID: id, Request: pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE REQUEST", Bytes: csr})}, nil
}

// signed joins the key of a delegation with the proxy that was signed for it.
// The key is taken out of the vault: an answer that was refused needs a new
// request.
func (s *Service) signed(ctx context.Context, owner, domain string, d transfer.Delegated) (*gsi.Credential, error) {
	if bytes.Contains(d.Chain, []byte("PRIVATE KEY-----")) {
		return nil, fault.New(fault.Invalid, opDelegate, d.ID, "a private key came with the certificates, and none is wanted")
	}
	of, key, err := s.config.Vault.TakeDelegation(ctx, owner, d.ID)
	if fault.Is(err, fault.NotFound) {
		return nil, &fault.Error{Kind: fault.NotFound, Op: opDelegate, Path: d.ID, Err: errors.New("there is no such request, or it is older than some minutes"), Hint: "begin again"}
	}
	if err != nil {
		return nil, err
	}
	defer clear(key)
	if of != domain {
		return nil, fault.New(fault.Invalid, opDelegate, d.ID, "the request was for another endpoint; begin again")
	}
	c, err := gsi.ParseCredential(append(append(bytes.Clone(d.Chain), '\n'), key...))
	return c, unusable(err)
}
