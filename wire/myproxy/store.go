package myproxy

import (
	"bytes"
	"context"
	"encoding/pem"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/gridferry/gridferry/wire/gsi"
)

// A Deposit says how a credential is stored. Who stores it is Client.Credential,
// which owns it from then on.
type Deposit struct {
	User        string
	Passphrase  []byte // protects it; the caller's to clear
	Name        string // among the user's credentials; empty is the usual one
	Description string

	// Lifetime of what is stored, from now; 0 means 7 days. It never outlives
	// the credential it is made of. StoreKey ignores it.
	Lifetime time.Duration
	// Delegations from it last this long at most; 0 means 12 hours.
	Delegations time.Duration
	// Retrievers and Renewers are patterns of DNs ("*" is anybody) of who may
	// obtain a credential with, and without, the pass phrase; empty leaves it to
	// the server.
	Retrievers, Renewers string
}

// What myproxy-init asks for.
const (
	defaultStored      = 7 * 24 * time.Hour
	defaultDelegations = 12 * time.Hour
)

func (d *Deposit) request(command Command) *request {
	q := &request{
		command: command, user: d.User, passphrase: d.Passphrase, name: d.Name, description: d.Description,
		lifetime: d.Delegations, retrievers: d.Retrievers, renewers: d.Renewers,
	}
	if q.lifetime == 0 {
		q.lifetime = defaultDelegations
	}
	return q
}

// Store leaves a proxy of Client.Credential at the server, as myproxy-init
// does. A credential of the same user and name is replaced.
func (c *Client) Store(ctx context.Context, d Deposit) error {
	q := d.request(CommandPut)
	if err := c.needCredential(q); err != nil {
		return err
	}
	lifetime := d.Lifetime
	if lifetime == 0 {
		lifetime = defaultStored
	}
	return c.converse(ctx, q, func(s *session, _ *response) error {
		csr, err := s.certificateRequest()
		if err != nil {
			return err
		}
		leaf, err := c.Credential.SignProxy(csr, gsi.ProxyOptions{Lifetime: lifetime})
		if err != nil {
			return misused("%w", err)
		}
		chain := [][]byte{leaf}
		for _, cert := range c.Credential.Chain {
			chain = append(chain, cert.Raw)
		}
		message, err := encodeChain(chain)
		if err != nil {
			return misused("%w", err)
		}
		if err := s.send(message); err != nil {
			return err
		}
		_, err = s.answer()
		return err
	})
}

// certificateRequest reads a PKCS#10 request, or the refusal in its place.
func (s *session) certificateRequest() ([]byte, error) {
	start, err := s.in.Peek(len(version0))
	if err != nil {
		return nil, err
	}
	if string(start) == version0 {
		if _, err := s.answer(); err != nil {
			return nil, err
		}
		return nil, malformed("it agreed, and sent no certificate request")
	}
	return readDER(s.in)
}

// StoreKey leaves a long-lived credential at the server, as myproxy-store does:
// PEM certificates and their private key, which must be encrypted under the
// deposit's pass phrase already. What is sent is read nowhere here but for that.
func (c *Client) StoreKey(ctx context.Context, d Deposit, credential []byte) error {
	q := d.request(CommandStore)
	if err := c.needCredential(q); err != nil {
		return err
	}
	if err := checkEncrypted(credential); err != nil {
		return c.misuse(q, err)
	}
	return c.converse(ctx, q, func(s *session, _ *response) error {
		message := append(bytes.Clone(credential), 0)
		defer clear(message)
		if err := s.send(message); err != nil {
			return err
		}
		_, err := s.answer()
		return err
	})
}

// checkEncrypted wants certificates and one encrypted key.
func checkEncrypted(credential []byte) error {
	if len(credential) >= maxRequest {
		return errors.New("the credential is too long for MyProxy")
	}
	certs, keys := 0, 0
	for rest := credential; ; {
		var block *pem.Block
		if block, rest = pem.Decode(rest); block == nil {
			break
		}
		switch {
		case block.Type == "CERTIFICATE":
			certs++
		case block.Type == "ENCRYPTED PRIVATE KEY", block.Headers["DEK-Info"] != "":
			keys++
		case strings.HasSuffix(block.Type, "PRIVATE KEY"):
			return errors.New("the private key is not encrypted, and would lie at the server for its operator to use")
		}
	}
	if certs == 0 || keys != 1 {
		return errors.New("it takes a certificate and one encrypted private key, in PEM")
	}
	return nil
}

// needCredential refuses what no server does for an anonymous client.
func (c *Client) needCredential(q *request) error {
	if c.Credential == nil {
		return c.misuse(q, errors.New("it takes a credential to prove whose it is"))
	}
	if end := c.Credential.NotAfter(); time.Now().After(end) {
		return c.misuse(q, fmt.Errorf("the credential of %s, which proves whose it is, expired on %s", c.Credential.Identity(), end.UTC().Format(time.RFC3339)))
	}
	return nil
}

func (c *Client) misuse(q *request, err error) error {
	_, address := c.address()
	return &Error{Refusal: Misused, Command: q.command, Server: address, User: q.user, Err: err}
}
