package transfer

import (
	"context"
	"time"
)

// IdentityKind says what proves an identity.
type IdentityKind string

// The kinds of identities.
const (
	IdentityMyProxy IdentityKind = "myproxy" // an account at a MyProxy server
	IdentityProxy   IdentityKind = "proxy"   // a proxy that its owner uploads
	IdentityX509    IdentityKind = "x509"    // a certificate whose key its owner keeps
	IdentityOIDC    IdentityKind = "oidc"    // a subject at an OpenID provider
	IdentitySSH     IdentityKind = "ssh"     // a key that ssh servers know
	IdentityS3      IdentityKind = "s3"      // an access key id
)

// Identity is one of the names under which a user is known somewhere. It
// holds no secret: never a password, a private key or a token.
type Identity struct {
	ID      string       `json:"id"` // chosen by the store
	Owner   string       `json:"owner,omitempty"`
	Kind    IdentityKind `json:"kind"`
	Name    string       `json:"name"`             // user name, DN, subject, key fingerprint or access key id
	Server  string       `json:"server,omitempty"` // MyProxy HOST:PORT, OpenID issuer, S3 endpoint
	Created time.Time    `json:"created,omitzero"`
}

// Activation is a credential that an owner has given for a security domain
// (see endpoints.Record.SecurityDomain), without its secret.
type Activation struct {
	Owner       string    `json:"owner"`
	Domain      string    `json:"domain"`
	Kind        string    `json:"kind"`    // how it was given: "proxy", "myproxy" or "delegated"
	Subject     string    `json:"subject"` // DN of the end-entity certificate
	Issuer      string    `json:"issuer,omitempty"`
	VOMS        []string  `json:"voms,omitempty"` // attributes (FQANs) that it carries
	Fingerprint string    `json:"fingerprint"`    // SHA-256 of the leaf, hexadecimal
	Given       time.Time `json:"given"`
	Expires     time.Time `json:"expires"`
}

// Credentials is what a person can do about identities and credentials. As
// with Service, every door speaks it. Owners see and touch their own only.
type Credentials interface {
	AddIdentity(ctx context.Context, id Identity) (Identity, error)
	Identities(ctx context.Context, owner string) ([]Identity, error)
	RemoveIdentity(ctx context.Context, owner, id string) error

	// Activate gives a credential for the domain of an endpoint and releases
	// every task of the owner that waits for it. One that is given again
	// replaces the former.
	Activate(ctx context.Context, req ActivateRequest) (Activation, error)
	// Delegate begins an activation in which no private key travels: the
	// service makes a key, and the owner signs a proxy for it.
	Delegate(ctx context.Context, owner, endpoint string) (Delegation, error)
	// Deactivate forgets the credential and ends the sessions made with it.
	// NotFound when there is none.
	Deactivate(ctx context.Context, owner, endpoint string) error
	// Activations lists the owner's; of one endpoint's domain, or all.
	Activations(ctx context.Context, owner, endpoint string) ([]Activation, error)
}

// ActivateRequest gives a credential in exactly one of three ways.
type ActivateRequest struct {
	Owner    string `json:"owner,omitempty"`
	Endpoint string `json:"endpoint"` // a name, or scheme and host of a URL

	Proxy   []byte        `json:"proxy,omitempty"` // PEM: leaf, key, chain
	MyProxy *MyProxyLogon `json:"myproxy,omitempty"`
	Signed  *Delegated    `json:"signed,omitempty"`
}

// MyProxyLogon is what the service needs to fetch a credential itself. The
// passphrase is used once and kept nowhere.
type MyProxyLogon struct {
	Server     string   `json:"server,omitempty"` // HOST or HOST:PORT; empty is the endpoint's
	User       string   `json:"user"`
	Passphrase string   `json:"passphrase"`
	Lifetime   Duration `json:"lifetime,omitempty"` // 0 is 12 hours; the server may give less
}

// Delegation is a certificate request whose key the service keeps, for some
// minutes.
type Delegation struct {
	ID      string `json:"id"`
	Request []byte `json:"request"` // PKCS #10, PEM
}

// Delegated answers a Delegation.
type Delegated struct {
	ID    string `json:"id"`
	Chain []byte `json:"chain"` // PEM: the proxy and what it was signed with, no key
}

// Notice tells the owner of a task about one event in its life.
type Notice struct {
	// ID names the event, not the attempt to tell of it: the same event has
	// the same id however often it is tried. It begins with the task's id.
	ID   string     `json:"id"`
	Kind NoticeKind `json:"kind"`
	Task Task       `json:"task"`
	To   string     `json:"to,omitempty"` // from --notify; empty leaves it to the site's map of owners
}

// NoticeKind is what a notice is about.
type NoticeKind string

// The kinds of notices.
const (
	NoticeSucceeded NoticeKind = "succeeded"
	NoticeFailed    NoticeKind = "failed"
	NoticeInactive  NoticeKind = "inactive" // suspended: a credential is wanted
	NoticeExpiring  NoticeKind = "expiring" // a credential ends before the task will
	NoticeWaiting   NoticeKind = "waiting"  // for space
)
