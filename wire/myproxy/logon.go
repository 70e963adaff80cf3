package myproxy

import (
	"context"
	"time"

	"github.com/gridferry/gridferry/wire/gsi"
)

// A Request is what it takes to log on.
type Request struct {
	User       string // as the server knows it; often no account's name
	Passphrase []byte // the caller's to clear; or a token, where the server takes one

	// Lifetime that is asked for, in whole seconds; 0 leaves it to the server,
	// which may also give less.
	Lifetime time.Duration
	// Name tells the user's stored credentials apart; the nameless one is the
	// usual one.
	Name string
	// Bits of the new RSA key, 2048 to 8192; 0 means 2048.
	Bits int
}

// Logon obtains a credential: a proxy of a stored one, or a certificate that
// the server issues as an authority. The key is made here and never leaves.
func (c *Client) Logon(ctx context.Context, r Request) (*gsi.Credential, error) {
	var credential *gsi.Credential
	q := &request{command: CommandGet, user: r.User, passphrase: r.Passphrase, lifetime: r.Lifetime, name: r.Name}
	err := c.converse(ctx, q, func(s *session, _ *response) error {
		key, err := newKeyRequest(r.Bits)
		if err != nil {
			return err
		}
		if err := s.send(key.csr); err != nil {
			return err
		}
		chain, refusal, err := readChain(s.in)
		if err != nil {
			return err
		}
		if refusal != nil {
			if err := refusal.err(); err != nil {
				return err
			}
			return malformed("it agreed, and sent no certificate")
		}
		if _, err := s.answer(); err != nil {
			return err
		}
		credential, err = key.complete(chain, c.Trust)
		return err
	})
	if err != nil {
		return nil, err
	}
	return credential, nil
}

// TrustRoots fetches the directory of trusted authorities that the server hands
// out. It is as good as the trust in the server, which must be there already.
func (c *Client) TrustRoots(ctx context.Context) ([]RootFile, error) {
	var files []RootFile
	q := &request{command: CommandTrustRoots}
	err := c.converse(ctx, q, func(_ *session, answer *response) (err error) {
		files, err = answer.roots()
		return err
	})
	if err != nil {
		return nil, err
	}
	return files, nil
}
