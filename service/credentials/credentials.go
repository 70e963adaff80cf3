// Package credentials implements transfer.Credentials: it takes credentials in,
// judges them, gives them to the vault, and tells the tasks that wait. It keeps
// nothing itself, and what a task does when it was told is the task's business.
package credentials

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"sync"
	"time"

	"github.com/gridferry/gridferry/endpoints"
	"github.com/gridferry/gridferry/fault"
	"github.com/gridferry/gridferry/transfer"
	"github.com/gridferry/gridferry/wire/gsi"
)

// Vault keeps credentials sealed; see package vault.
type Vault interface {
	Put(ctx context.Context, a transfer.Activation, pem []byte) error
	Delete(ctx context.Context, owner, domain string) (transfer.Activation, error)
	List(ctx context.Context, owner string) ([]transfer.Activation, error)
	PutDelegation(ctx context.Context, owner, domain, id string, key []byte, expires time.Time) error
	TakeDelegation(ctx context.Context, owner, id string) (domain string, key []byte, err error)
}

// Identities keeps the names that users are known by; the store does.
type Identities interface {
	// AddIdentity returns it with its id; the one that is there already when
	// the owner has the same again.
	AddIdentity(ctx context.Context, id transfer.Identity) (transfer.Identity, error)
	Identities(ctx context.Context, owner string) ([]transfer.Identity, error)
	// RemoveIdentity is NotFound when the owner has none of that id.
	RemoveIdentity(ctx context.Context, owner, id string) error
}

// Waiters knows the tasks that wait; see activities.Waiters, which they
// register with.
type Waiters interface {
	WaitersOf(ctx context.Context, owner, domain string) ([]transfer.TaskID, error)
	Forget(ctx context.Context, task transfer.TaskID) error
}

// Releaser tells a task that a credential it waits for is there. NotFound when
// the task has ended.
type Releaser interface {
	Release(ctx context.Context, task transfer.TaskID) error
}

// Sessions are those of this process, which end with their credential.
type Sessions interface {
	CloseActivation(a transfer.Activation)
}

// Resolver finds endpoints; an endpoints.Opener is one.
type Resolver interface {
	Resolve(ctx context.Context, endpoint string) (endpoints.Record, error)
}

// MyProxy obtains a credential for a pass phrase. The authorities that it
// believes are the caller's.
type MyProxy func(ctx context.Context, trust *gsi.Trust, logon transfer.MyProxyLogon) (*gsi.Credential, error)

// Config is what a Service is made of. All but Sessions, Logger and Now is
// wanted.
type Config struct {
	Vault      Vault
	Identities Identities
	Waiters    Waiters
	Releaser   Releaser
	Resolver   Resolver
	Trust      func() (*gsi.Trust, error) // asked for each credential
	MyProxy    MyProxy                    // nil is LogOn

	Sessions Sessions     // nil: this process has none
	Logger   *slog.Logger // nil is none
	Now      func() time.Time
}

// Service is transfer.Credentials. It is safe for concurrent use.
type Service struct{ config Config }

var _ transfer.Credentials = (*Service)(nil)

// New returns a Service.
func New(c Config) *Service {
	if c.MyProxy == nil {
		c.MyProxy = LogOn
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	return &Service{c}
}

// domain is the security domain of an endpoint that is logged in to with a
// certificate. Invalid for others, where an activation would have no effect.
func (s *Service) domain(ctx context.Context, op, endpoint string) (endpoints.Record, string, error) {
	rec, err := s.config.Resolver.Resolve(ctx, endpoint)
	if err != nil {
		return rec, "", err
	}
	switch {
	case len(rec.Servers) == 0 || rec.Scheme != "" && rec.Scheme != "gsiftp":
		return rec, "", fault.New(fault.Invalid, op, endpoint, "nobody logs in there with a certificate, and it needs no activation")
	case rec.Credential != "":
		return rec, "", &fault.Error{Kind: fault.Invalid, Op: op, Path: endpoint, Err: errors.New("its configuration says which credential is used: " + rec.Credential),
			Hint: "an operator takes that out for people to use their own"}
	}
	return rec, rec.SecurityDomain(), nil
}

const opActivate = "activate"

// Activate implements transfer.Credentials.
func (s *Service) Activate(ctx context.Context, req transfer.ActivateRequest) (transfer.Activation, error) {
	rec, domain, err := s.domain(ctx, opActivate, req.Endpoint)
	if err != nil {
		return transfer.Activation{}, err
	}
	trust, err := s.config.Trust()
	if err != nil {
		return transfer.Activation{}, fault.Wrap(fault.Internal, opActivate, req.Endpoint, err)
	}
	given, kind, err := s.given(ctx, req, rec, domain, trust)
	if err != nil {
		return transfer.Activation{}, err
	}
	a, pem, err := s.judged(given, trust, req.Endpoint)
	if err != nil {
		return transfer.Activation{}, err
	}
	a.Owner, a.Domain, a.Kind = req.Owner, domain, kind
	if err := s.config.Vault.Put(ctx, a, pem); err != nil {
		return transfer.Activation{}, err
	}
	s.config.Logger.Info("activated", "owner", a.Owner, "domain", a.Domain, "kind", a.Kind, "subject", a.Subject, "fingerprint", a.Fingerprint, "expires", a.Expires)
	s.release(context.WithoutCancel(ctx), a.Owner, a.Domain)
	return a, nil
}

// The ways in which a credential is given (transfer.Activation.Kind).
const (
	kindProxy     = "proxy"
	kindMyProxy   = "myproxy"
	kindDelegated = "delegated"
)

// given is the credential that a request brings, or tells how to come by.
func (s *Service) given(ctx context.Context, req transfer.ActivateRequest, rec endpoints.Record, domain string, trust *gsi.Trust) (*gsi.Credential, string, error) {
	ways := 0
	for _, is := range []bool{len(req.Proxy) > 0, req.MyProxy != nil, req.Signed != nil} {
		if is {
			ways++
		}
	}
	if ways != 1 {
		return nil, "", fault.New(fault.Invalid, opActivate, req.Endpoint, "exactly one of proxy, myproxy and signed is wanted")
	}
	switch {
	case req.MyProxy != nil:
		c, err := s.fetch(ctx, req.Owner, *req.MyProxy, rec, trust)
		return c, kindMyProxy, err
	case req.Signed != nil:
		c, err := s.signed(ctx, req.Owner, domain, *req.Signed)
		return c, kindDelegated, err
	}
	c, err := gsi.ParseCredential(req.Proxy)
	return c, kindProxy, unusable(err)
}

// unusable is the fault of a credential that was given and is none.
func unusable(err error) error {
	return fault.Wrap(fault.Invalid, "take", "the credential", err)
}

// maxLife is how long a private key may be good for that is kept here. The
// longest proxies that sites give are of some days.
const maxLife = 32 * 24 * time.Hour

// judged decides whether a credential is taken, and describes it. Every
// refusal is a sentence that whoever gave it can act on.
func (s *Service) judged(c *gsi.Credential, trust *gsi.Trust, endpoint string) (transfer.Activation, []byte, error) {
	now := s.config.Now()
	refuse := func(err error, hint string) (transfer.Activation, []byte, error) {
		return transfer.Activation{}, nil, &fault.Error{Kind: fault.Credential, Op: opActivate, Path: endpoint, Err: err, Hint: hint}
	}
	peer, err := trust.Verify(c.Chain, now)
	var untrusted *gsi.TrustError
	switch end := c.NotAfter(); {
	case errors.As(err, &untrusted) && untrusted.Reason == gsi.ReasonExpired:
		return refuse(err, "make a new proxy, for example with grid-proxy-init")
	case errors.As(err, &untrusted) && untrusted.Reason == gsi.ReasonUnknownAuthority:
		return refuse(err, "give the chain with it, or ask an operator to add the authority under trust_dir")
	case err != nil:
		return refuse(err, "")
	case peer.Limited:
		return refuse(errors.New("a limited proxy, which servers do not take for everything"), "make a full one: grid-proxy-init without -limited")
	case !now.Before(end):
		return refuse(errors.New("it expired at "+end.UTC().Format(time.RFC3339)), "make a new proxy")
	case end.Sub(now) > maxLife:
		return refuse(errors.New("its key is good until "+end.UTC().Format(time.DateOnly)+", and no key is kept here for so long"), "make a proxy of it, for example with grid-proxy-init")
	}
	pem, err := c.EncodePEM()
	if err != nil {
		return refuse(err, "")
	}
	return transfer.Activation{
		Subject: peer.Identity, Issuer: gsi.DN(peer.EEC().RawIssuer), VOMS: s.claims(peer), Fingerprint: c.Fingerprint(),
		Given: now.UTC(), Expires: c.NotAfter().UTC(),
	}, pem, nil
}

// claims are the VOMS attributes of a credential. They are shown, and decide
// nothing, so that those that cannot be read do not matter.
func (s *Service) claims(peer *gsi.Peer) []string {
	found, err := peer.VOMS()
	if err != nil {
		s.config.Logger.Info("VOMS attributes cannot be shown", "subject", peer.Identity, "error", err)
	}
	var names []string
	for _, v := range found {
		names = append(names, v.FQANs...)
	}
	return names
}

// The time and number of signals of one release. What is not told in that time
// looks by itself, every minute.
const (
	releaseTime  = 30 * time.Second
	releaseAtOne = 8
	releaseTries = 3
)

// release tells the tasks that wait. The credential is in the vault already, so
// that a task that is told finds it; one that registers after it was put sees
// it without being told.
func (s *Service) release(ctx context.Context, owner, domain string) {
	ctx, cancel := context.WithTimeout(ctx, releaseTime)
	defer cancel()
	log := s.config.Logger.With("owner", owner, "domain", domain)
	tasks, err := s.config.Waiters.WaitersOf(ctx, owner, domain)
	if err != nil {
		log.Error("the tasks that wait for a credential are not known; they look by themselves within a minute", "error", err)
		return
	}
	var telling sync.WaitGroup
	next := make(chan transfer.TaskID)
	for range min(releaseAtOne, len(tasks)) {
		telling.Go(func() {
			for task := range next {
				s.tell(ctx, task, log)
			}
		})
	}
	for _, task := range tasks {
		next <- task
	}
	close(next)
	telling.Wait()
}

func (s *Service) tell(ctx context.Context, task transfer.TaskID, log *slog.Logger) {
	var err error
	for range releaseTries {
		err = s.config.Releaser.Release(ctx, task)
		if fault.Is(err, fault.NotFound) {
			err = s.config.Waiters.Forget(ctx, task) // it has ended
		}
		if err == nil || ctx.Err() != nil {
			break
		}
	}
	if err != nil {
		log.Warn("a task was not told of a credential; it looks by itself within a minute", "task", string(task), "error", err)
		return
	}
	log.Info("a task that waited for a credential was told", "task", string(task))
}

// Deactivate implements transfer.Credentials.
func (s *Service) Deactivate(ctx context.Context, owner, endpoint string) error {
	_, domain, err := s.domain(ctx, "deactivate", endpoint)
	if err != nil {
		return err
	}
	a, err := s.config.Vault.Delete(ctx, owner, domain)
	if fault.Is(err, fault.NotFound) {
		return fault.New(fault.NotFound, "deactivate", endpoint, "it is not activated")
	}
	if err != nil {
		return err
	}
	s.config.Logger.Info("deactivated", "owner", owner, "domain", domain, "fingerprint", a.Fingerprint)
	if s.config.Sessions != nil {
		s.config.Sessions.CloseActivation(a)
	}
	return nil
}

// Activations implements transfer.Credentials.
func (s *Service) Activations(ctx context.Context, owner, endpoint string) ([]transfer.Activation, error) {
	domain := ""
	if endpoint != "" {
		var err error
		if _, domain, err = s.domain(ctx, "look at", endpoint); err != nil {
			return nil, err
		}
	}
	all, err := s.config.Vault.List(ctx, owner)
	if err != nil || domain == "" {
		return all, err
	}
	for _, a := range all {
		if a.Domain == domain {
			return []transfer.Activation{a}, nil
		}
	}
	return nil, nil
}

// maxName bounds what an identity may say of itself, in bytes.
const maxName = 1 << 10

// AddIdentity implements transfer.Credentials.
func (s *Service) AddIdentity(ctx context.Context, id transfer.Identity) (transfer.Identity, error) {
	const op = "add identity"
	server := false
	switch id.Kind {
	case transfer.IdentityMyProxy, transfer.IdentityOIDC, transfer.IdentityS3:
		server = true
	case transfer.IdentityProxy, transfer.IdentityX509:
		if !strings.HasPrefix(id.Name, "/") {
			return id, &fault.Error{Kind: fault.Invalid, Op: op, Path: "name", Err: errors.New("a certificate's holder is wanted"), Hint: "write the DN as /DC=org/CN=Ada; openssl x509 -subject -nameopt compat shows it"}
		}
	case transfer.IdentitySSH:
	default:
		return id, &fault.Error{Kind: fault.Invalid, Op: op, Path: "kind", Err: errors.New("there is no such kind"), Hint: "myproxy, proxy, x509, oidc, ssh or s3"}
	}
	for _, f := range []struct {
		name, value string
		wanted      bool
	}{{"name", id.Name, true}, {"server", id.Server, server}} {
		switch {
		case f.value == "" && f.wanted:
			return id, fault.New(fault.Invalid, op, f.name, "an identity of kind "+string(id.Kind)+" has one")
		// A key that somebody pastes is not even repeated.
		case len(f.value) > maxName || strings.ContainsFunc(f.value, func(r rune) bool { return r < ' ' || r == 0x7f }) || strings.Contains(f.value, "-----BEGIN"):
			return id, fault.New(fault.Invalid, op, f.name, "it is a name that is wanted, in one line: never a key or a password")
		}
	}
	return s.config.Identities.AddIdentity(ctx, id)
}

// RemoveIdentity implements transfer.Credentials.
func (s *Service) RemoveIdentity(ctx context.Context, owner, id string) error {
	return s.config.Identities.RemoveIdentity(ctx, owner, id)
}

// Identities implements transfer.Credentials.
func (s *Service) Identities(ctx context.Context, owner string) ([]transfer.Identity, error) {
	return s.config.Identities.Identities(ctx, owner)
}
