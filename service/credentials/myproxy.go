package credentials

import (
	"context"
	"errors"
	"time"

	"github.com/gridferry/gridferry/endpoints"
	"github.com/gridferry/gridferry/fault"
	"github.com/gridferry/gridferry/transfer"
	"github.com/gridferry/gridferry/wire/gsi"
	"github.com/gridferry/gridferry/wire/myproxy"
)

// defaultLife is what a MyProxy server is asked for; it may give less.
const defaultLife = 12 * time.Hour

// fetch logs on for an owner, and remembers the account, without its pass
// phrase, among the owner's identities.
func (s *Service) fetch(ctx context.Context, owner string, l transfer.MyProxyLogon, rec endpoints.Record, trust *gsi.Trust) (*gsi.Credential, error) {
	if l.Server == "" {
		l.Server = rec.MyProxy
	}
	bad := func(field, wrong, hint string) error {
		return &fault.Error{Kind: fault.Invalid, Op: opActivate, Path: field, Err: errors.New(wrong), Hint: hint}
	}
	switch {
	case l.Server == "":
		return nil, bad("myproxy.server", "the endpoint's configuration names no MyProxy server", "name one with --server HOST")
	case l.User == "" || l.Passphrase == "":
		return nil, bad("myproxy", "a user and a pass phrase are wanted", "")
	case l.Lifetime < 0 || time.Duration(l.Lifetime) > maxLife:
		return nil, bad("myproxy.lifetime", time.Duration(l.Lifetime).String()+" is out of range", "ask for 12h, or up to 32 days where the server gives it")
	case l.Lifetime == 0:
		l.Lifetime = transfer.Duration(defaultLife)
	}
	c, err := s.config.MyProxy(ctx, trust, l)
	if err != nil {
		return nil, err
	}
	if _, err := s.config.Identities.AddIdentity(ctx, transfer.Identity{Owner: owner, Kind: transfer.IdentityMyProxy, Name: l.User, Server: l.Server}); err != nil && !fault.Is(err, fault.Exists) {
		s.config.Logger.Warn("an identity was not remembered", "owner", owner, "error", err)
	}
	return c, nil
}

// LogOn is MyProxy over the network.
func LogOn(ctx context.Context, trust *gsi.Trust, l transfer.MyProxyLogon) (*gsi.Credential, error) {
	client := &myproxy.Client{Server: l.Server, Trust: trust}
	passphrase := []byte(l.Passphrase)
	defer clear(passphrase)
	c, err := client.Logon(ctx, myproxy.Request{User: l.User, Passphrase: passphrase, Lifetime: time.Duration(l.Lifetime)})
	if err == nil {
		return c, nil
	}
	kind, hint := fault.Internal, ""
	var said *myproxy.Error
	if errors.As(err, &said) {
		kind, hint = kindOf(said.Refusal)
	}
	return nil, &fault.Error{Kind: kind, Err: err, Hint: hint}
}

// kindOf is where the refusals of MyProxy servers become kinds.
func kindOf(r myproxy.Refusal) (kind fault.Kind, hint string) {
	switch r {
	case myproxy.Unreachable:
		return fault.Transient, ""
	case myproxy.WrongPassphrase:
		return fault.Credential, "check user and pass phrase"
	case myproxy.NoCredential:
		return fault.Credential, "check the user; myproxy-init stores a credential there"
	case myproxy.Expired:
		return fault.Credential, "store a new credential there with myproxy-init"
	case myproxy.Untrusted:
		return fault.Credential, "an operator says under trust_dir which authorities are believed"
	case myproxy.Misused:
		return fault.Invalid, ""
	case myproxy.Unsupported:
		return fault.Unsupported, ""
	}
	return fault.Credential, ""
}
