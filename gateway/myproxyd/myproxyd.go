// Package myproxyd is an online certificate authority behind MyProxy's
// protocol, for sites that have none: a user name and a pass phrase, or an
// OpenID Connect token, become a certificate of some hours. Nothing is stored;
// who is believed is a command's or an identity provider's business.
//
// It implements wire/myproxy's Authority. It decides two things of its own: who
// has guessed too often, and what a certificate may hold.
package myproxyd

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"regexp"
	"time"

	"github.com/gridferry/gridferry/wire/gsi"
	"github.com/gridferry/gridferry/wire/myproxy"
)

// An Attempt is somebody's claim to be a user.
type Attempt struct {
	User   string // of userName's form
	Secret []byte // a pass phrase or a token; to be forgotten when Verify returns
	From   netip.Addr
}

// A Verifier says whether a claim is true.
type Verifier interface {
	// Verify returns nil for who is right, a *Wrong for who is not, and any
	// other error when it cannot tell, which counts against nobody.
	Verify(ctx context.Context, a Attempt) error
}

// Wrong says that a claim is not true.
type Wrong struct {
	Reason string // for the log
	Words  string // for the client; empty tells it no more than that it is wrong
}

// Error returns the reason.
func (e *Wrong) Error() string { return e.Reason }

// Config is what an authority needs.
type Config struct {
	// CA is asked at each logon for the certificate and key that sign, so that
	// both may change.
	CA      func() (*gsi.Credential, error)
	Subject Subject // whose names are given

	// MaxLifetime of a certificate, which is also given to who asks for none.
	MaxLifetime time.Duration

	// Passphrases and Tokens verify claims; one of them may be nil. What looks
	// like a token goes to Tokens.
	Passphrases, Tokens Verifier

	Failures Failures
	Logger   *slog.Logger // every issuance and every refusal is a line in it
}

// An Authority issues certificates.
type Authority struct {
	config    Config
	users     *limiter
	addresses *limiter
	now       func() time.Time
}

// New returns an authority. That the CA's certificate is fit for it is checked
// here, and again whenever it is used.
func New(config Config) (*Authority, error) {
	if config.Passphrases == nil && config.Tokens == nil {
		return nil, errors.New("nobody could log on: neither pass phrases nor tokens can be verified")
	}
	if config.MaxLifetime < time.Minute {
		return nil, fmt.Errorf("certificates of %s are too short to be of use", config.MaxLifetime)
	}
	if config.Logger == nil {
		config.Logger = slog.Default()
	}
	f := config.Failures.normal()
	a := &Authority{config: config, users: newLimiter(f.User, f.Window), addresses: newLimiter(f.Address, f.Window), now: time.Now}
	ca, err := config.CA()
	if err != nil {
		return nil, err
	}
	return a, fit(ca, a.now())
}

// userName is what a user may be called: names that cannot be taken for an
// option, a path, or a second part of a DN.
var userName = regexp.MustCompile(`^[A-Za-z0-9_][A-Za-z0-9_.@+-]{0,127}$`)

// Admit implements myproxy.Authority.
func (a *Authority) Admit(ctx context.Context, l myproxy.Login) (myproxy.Issue, error) {
	logger := a.config.Logger.With("user", l.User, "address", l.From.String())
	wrong := &myproxy.Refused{Words: myproxy.WordsWrongPassphrase}
	if !userName.MatchString(l.User) {
		logger.Warn("logon refused", "reason", "no user can have this name")
		return nil, wrong
	}
	verifier, method := a.config.Passphrases, "pass phrase"
	if a.config.Tokens != nil && (verifier == nil || looksLikeToken(l.Passphrase)) {
		verifier, method = a.config.Tokens, "token"
	}
	if verifier == nil || len(l.Passphrase) == 0 {
		logger.Warn("logon refused", "reason", "no pass phrase was given")
		return nil, wrong
	}

	// Counted before it is known, so that many at once are no way round it.
	now := a.now()
	wait := max(a.users.take(l.User, now), a.addresses.take(network(l.From), now))
	if wait > 0 {
		a.giveBack(l, now)
		logger.Warn("logon refused", "reason", "too many failures before", "again_in", wait.Round(time.Second).String())
		return nil, &myproxy.Refused{Words: fmt.Sprintf("too many failures to log on: try again in %d minutes", int(wait.Minutes())+1)}
	}
	err := verifier.Verify(ctx, Attempt{User: l.User, Secret: l.Passphrase, From: l.From})
	var no *Wrong
	switch {
	case errors.As(err, &no):
		logger.Warn("logon refused", "reason", no.Reason, "method", method)
		if no.Words != "" {
			wrong.Words = no.Words
		}
		return nil, wrong
	case err != nil:
		a.giveBack(l, now)
		return nil, fmt.Errorf("verify %s's %s: %w", l.User, method, err)
	}
	a.giveBack(l, now)
	return func(_ context.Context, request *x509.CertificateRequest) ([]*x509.Certificate, error) {
		chain, err := a.issue(l.User, l.Lifetime, request)
		if err != nil {
			return nil, err
		}
		leaf := chain[0]
		logger.Info("certificate issued", "subject", gsi.DN(leaf.RawSubject), "serial", leaf.SerialNumber.Text(16),
			"not_after", leaf.NotAfter.UTC().Format(time.RFC3339), "method", method)
		return chain, nil
	}, nil
}

// giveBack undoes the counting of an attempt that was no failure.
func (a *Authority) giveBack(l myproxy.Login, now time.Time) {
	a.users.giveBack(l.User, now)
	a.addresses.giveBack(network(l.From), now)
}

// network is what an address counts as: for IPv6 the 64 bits that one customer
// has to himself.
func network(from netip.Addr) string {
	if from.Is6() {
		if p, err := from.Prefix(64); err == nil {
			return p.String()
		}
	}
	return from.String()
}
