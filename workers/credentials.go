package workers

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/gridferry/gridferry/config"
	"github.com/gridferry/gridferry/endpoints"
	"github.com/gridferry/gridferry/endpoints/gridftp"
	"github.com/gridferry/gridferry/fault"
	"github.com/gridferry/gridferry/transfer"
	wire "github.com/gridferry/gridferry/wire/gridftp"
	"github.com/gridferry/gridferry/wire/gsi"
)

// Vault has the credentials that owners have activated.
type Vault interface {
	// Open returns the owner's credential in a security domain, with its PEM
	// form. NotFound when there is none that has not expired.
	Open(ctx context.Context, owner, domain string) (transfer.Activation, []byte, error)
}

// UseVault makes the opener log in with what owners have activated, where
// neither a request nor a record names a credential. It is called before the
// first Open.
func (o *Opener) UseVault(v Vault) { o.vault = v }

// Trust returns the authorities that this opener believes.
func (o *Opener) Trust() (*gsi.Trust, error) { return o.authorities.read(o.config.Load()) }

// identity finds what to log in with, and lets only those have it whose it is.
// Its Credential errors say of which domain, and which one was tried.
func (o *Opener) identity(ctx context.Context, rec endpoints.Record, owner, credential string) (id gridftp.Identity, err error) {
	defer func() { err = blame(err, rec, id) }()
	id.Owner = owner
	scheme := wire.Scheme(rec.Scheme)
	if credential == "" {
		credential = rec.Credential
	}
	if credential == "" && scheme == wire.FTP {
		return id, nil // anonymous, or a name without a password
	}
	if credential == "" && scheme != wire.SSHFTP && o.vault != nil {
		if id.Credential, id.Lent, err = o.activated(ctx, rec, owner); err != nil {
			return id, err
		}
		id.Trust, err = o.Trust()
		return id, err
	}
	if credential == "" {
		credential = config.CredentialEnv
	}
	s, err := o.secret(credential, owner)
	if err != nil {
		return id, err
	}
	switch scheme {
	case wire.FTP:
		id.Password, err = s.password()
		return id, err
	case wire.SSHFTP:
		return id, nil // ssh has the keys of whom this process runs as; the id only says who may
	}
	if id.Credential, err = s.certificate(); err != nil {
		return id, err
	}
	if err := o.lives(id.Credential, credential, "renew it where the worker finds it"); err != nil {
		return id, err
	}
	id.Trust, err = o.Trust()
	return id, err
}

// activated is the owner's credential of the record's domain. Where there is
// none, it is the worker's own, if that is the owner's to use.
func (o *Opener) activated(ctx context.Context, rec endpoints.Record, owner string) (*gsi.Credential, *gridftp.Lent, error) {
	domain := rec.SecurityDomain()
	hint := "gridferry endpoint activate " + nameOf(rec)
	a, pem, err := o.vault.Open(ctx, owner, domain)
	if fault.Is(err, fault.NotFound) {
		o.closeUsed(owner, domain) // somebody has deactivated it, perhaps through another process
		c, err := o.own(owner, domain, hint)
		return c, nil, err
	}
	if err != nil {
		return nil, nil, err
	}
	c, err := gsi.ParseCredential(pem)
	if err != nil {
		return nil, nil, &fault.Error{Kind: fault.Credential, Op: opUse, Path: domain, Err: err, Hint: hint}
	}
	o.used.add(owner, domain, c.Fingerprint(), a.Expires, o.now())
	var lent *gridftp.Lent
	if c.Fingerprint() != a.Fingerprint { // the vault is another host's, which signed a proxy
		lent = &gridftp.Lent{Fingerprint: a.Fingerprint, Expires: a.Expires}
	}
	return c, lent, o.lives(c, domain, hint)
}

// own is the worker's own credential for an owner who has activated none.
func (o *Opener) own(owner, domain, hint string) (*gsi.Credential, error) {
	s, err := o.secret(config.CredentialEnv, owner)
	var c *gsi.Credential
	if err == nil {
		c, err = s.certificate()
	}
	switch {
	case err == nil:
		return c, o.lives(c, config.CredentialEnv, hint)
	case fault.Is(err, fault.Permission) || errors.Is(err, gsi.ErrNoCredential):
		return nil, &fault.Error{Kind: fault.Credential, Op: opUse, Path: domain,
			Err: fmt.Errorf("%q has activated none, or it has expired", owner), Hint: hint}
	}
	return nil, &fault.Error{Kind: fault.Credential, Op: opUse, Path: domain,
		Err: fmt.Errorf("%q has activated none, or it has expired, and the worker's own cannot be used: %w", owner, err), Hint: hint}
}

// lives refuses a credential that has expired.
func (o *Opener) lives(c *gsi.Credential, what, hint string) error {
	end := c.NotAfter()
	if o.now().Before(end) {
		return nil
	}
	return &fault.Error{Kind: fault.Credential, Op: opUse, Path: what, Err: fmt.Errorf("it expired at %s", end.UTC().Format(time.RFC3339)), Hint: hint}
}

// nameOf is what a person activates.
func nameOf(rec endpoints.Record) string {
	if rec.Name != "" || len(rec.Servers) == 0 {
		return rec.Name
	}
	scheme := rec.Scheme
	if scheme == "" {
		scheme = string(wire.GSIFTP)
	}
	return scheme + "://" + rec.Servers[0]
}

// blame says in a Credential error which credential it is about.
func blame(err error, rec endpoints.Record, id gridftp.Identity) error {
	var e *fault.Error
	if !fault.Is(err, fault.Credential) || !errors.As(err, &e) || errors.As(err, new(*endpoints.CredentialError)) {
		return err
	}
	about := &endpoints.CredentialError{Domain: rec.SecurityDomain(), Configured: !rec.Activates(), Err: e.Err}
	switch {
	case id.Lent != nil:
		about.Fingerprint = id.Lent.Fingerprint
	case id.Credential != nil:
		about.Fingerprint = id.Credential.Fingerprint()
	}
	blamed := *e
	blamed.Err = about
	return &blamed
}

// CloseActivation ends the sessions that this process has with a credential,
// and with the ones before it in its place.
func (o *Opener) CloseActivation(a transfer.Activation) {
	o.gridftp.CloseCredential(a.Fingerprint)
	o.s3.CloseCredential(a.Fingerprint)
	o.http.CloseCredential(a.Fingerprint)
	o.sftp.CloseCredential(a.Fingerprint)
	o.closeUsed(a.Owner, a.Domain)
}

func (o *Opener) closeUsed(owner, domain string) {
	for _, fingerprint := range o.used.take(owner, domain) {
		o.gridftp.CloseCredential(fingerprint)
	}
}

// used are the activated credentials that this process has logged in with:
// when one is gone from the vault, so are its sessions.
type used struct {
	mu     sync.Mutex
	by     map[usedKey][]usedCredential
	forgot time.Time
}

// forgetEvery bounds what forgetting costs.
const forgetEvery = time.Minute

type usedKey struct{ owner, domain string }

type usedCredential struct {
	fingerprint string
	expires     time.Time
}

// over says that it has expired: sessions end with their credential, and need no
// closing then.
func (c usedCredential) over(now time.Time) bool { return !now.Before(c.expires) }

func (u *used) add(owner, domain, fingerprint string, expires, now time.Time) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.by == nil {
		u.by = map[usedKey][]usedCredential{}
	}
	key := usedKey{owner, domain}
	list := slices.DeleteFunc(u.by[key], func(c usedCredential) bool { return c.fingerprint == fingerprint || c.over(now) })
	u.by[key] = append(list, usedCredential{fingerprint, expires})
	if now.Sub(u.forgot) >= forgetEvery {
		u.forgot = now
		maps.DeleteFunc(u.by, func(_ usedKey, list []usedCredential) bool {
			return !slices.ContainsFunc(list, func(c usedCredential) bool { return !c.over(now) })
		})
	}
}

func (u *used) take(owner, domain string) (fingerprints []string) {
	u.mu.Lock()
	defer u.mu.Unlock()
	key := usedKey{owner, domain}
	for _, c := range u.by[key] {
		fingerprints = append(fingerprints, c.fingerprint)
	}
	delete(u.by, key)
	return fingerprints
}

const opUse = "use credential"

// filePrefix begins the id of a credential that the configuration names.
const filePrefix = "file:"

// A secret is a credential that whoever asked for it may use.
type secret struct {
	id   string
	from config.Credential
}

// secret finds what an id stands for. The worker's own, where nothing is said
// of it, is for the user that the worker runs as.
func (o *Opener) secret(id, owner string) (secret, error) {
	name, isFile := strings.CutPrefix(id, filePrefix)
	if isFile == (name == config.CredentialEnv) {
		return secret{}, fault.New(fault.Credential, opUse, id, `its id is neither "env" nor "file:NAME"`)
	}
	from, ok := o.config.Load().Credentials[name]
	switch {
	case !ok && isFile:
		return secret{}, fault.New(fault.Credential, opUse, id, "the configuration of this worker names no such credential")
	case !ok:
		from.Owners = []string{o.account}
	}
	if !from.For(owner) {
		return secret{}, &fault.Error{Kind: fault.Permission, Op: opUse, Path: id, Err: fmt.Errorf("it is not %q's", owner),
			Hint: "an operator lists its owners under credentials." + name + ".owners"}
	}
	return secret{id, from}, nil
}

// certificate reads the credential for GSI, anew each time: a proxy is renewed
// where it lies.
func (s secret) certificate() (*gsi.Credential, error) {
	var c *gsi.Credential
	var err error
	switch {
	case s.id == config.CredentialEnv:
		c, err = gsi.FromEnvironment()
	case s.from.Proxy != "":
		c, err = gsi.LoadProxy(s.from.Proxy)
	case s.from.Cert != "":
		c, err = gsi.LoadPair(s.from.Cert, s.from.Key)
	case s.from.AWSFile != "":
		err = errors.New("it is for S3, and gsiftp wants a certificate")
	case s.from.TokenFile != "":
		err = errors.New("it is a bearer token, and gsiftp wants a certificate")
	case s.from.SSHKey+s.from.SSHAgent != "":
		err = errors.New("it is for sftp, and gsiftp wants a certificate")
	default:
		err = errors.New("it is a password, and gsiftp wants a certificate")
	}
	if err != nil {
		return nil, fault.Wrap(fault.Credential, opUse, s.id, err)
	}
	return c, nil
}

// password reads a credential that is one.
func (s secret) password() (string, error) {
	if s.from.PasswordFile == "" {
		return "", fault.New(fault.Credential, opUse, s.id, "it is no password")
	}
	text, err := os.ReadFile(s.from.PasswordFile)
	if err != nil {
		return "", fault.Wrap(fault.Credential, opUse, s.id, err)
	}
	line, _, _ := bytes.Cut(text, []byte("\n"))
	return strings.TrimSuffix(string(line), "\r"), nil
}
