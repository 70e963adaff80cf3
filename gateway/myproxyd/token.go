package myproxyd

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
)

// Tokens verifies OpenID Connect tokens: of an issuer, for an audience, whose
// claim names the user who is logged on as. It needs no client secret.
//
// It stands on coreos/go-oidc, which finds the issuer's keys, follows their
// rotation and checks signatures, times and audience; these are not the
// protocols to write again.
type Tokens struct {
	Issuer   string // its URL, as in the tokens
	Audience string // that tokens must be for
	Claim    string // that must be the user's name, "preferred_username" or "sub"

	client *http.Client

	mu       sync.Mutex
	verifier *oidc.IDTokenVerifier // nil until the issuer was reached
}

// fetchLimit bounds a request to the issuer.
const fetchLimit = 10 * time.Second

// NewTokens returns a verifier. The issuer is asked for its keys when the first
// token comes: it may be out of reach when the server starts.
func NewTokens(issuer, audience, claim string) *Tokens {
	return &Tokens{Issuer: issuer, Audience: audience, Claim: claim, client: &http.Client{Timeout: fetchLimit}}
}

// looksLikeToken tells a JWT from a pass phrase: three parts of base64, the
// first of which is a JSON object.
func looksLikeToken(secret []byte) bool {
	return bytes.HasPrefix(secret, []byte("eyJ")) && bytes.Count(secret, []byte(".")) == 2
}

// Verify implements Verifier.
func (t *Tokens) Verify(ctx context.Context, a Attempt) error {
	verifier, err := t.reach(ctx)
	if err != nil {
		return err
	}
	token, err := verifier.Verify(oidc.ClientContext(ctx, t.client), string(a.Secret))
	var expired *oidc.TokenExpiredError
	switch {
	case errors.As(err, &expired):
		reason := fmt.Sprintf("the token expired on %s", expired.Expiry.UTC().Format(time.RFC3339))
		return &Wrong{Reason: reason, Words: reason}
	case err != nil && strings.Contains(err.Error(), "fetching keys"):
		// go-oidc has no type for it, and it is nobody's fault who logs on.
		return fmt.Errorf("fetch the keys of %s: %w", t.Issuer, err)
	case err != nil:
		return &Wrong{Reason: err.Error()}
	}
	var claims map[string]any
	if err := token.Claims(&claims); err != nil {
		return &Wrong{Reason: "the token's claims are no JSON object"}
	}
	name, _ := claims[t.Claim].(string)
	switch verified, said := claims["email_verified"].(bool); {
	case name == "":
		return &Wrong{Reason: fmt.Sprintf("the token has no claim %s", t.Claim), Words: "the token does not say who you are: it has no claim " + t.Claim}
	case t.Claim == "email" && said && !verified:
		return &Wrong{Reason: "the address in the token is not verified"}
	case name != a.User:
		return &Wrong{Reason: fmt.Sprintf("the token is of another user, %q", name), Words: "the token is another user's: authentication failed"}
	}
	return nil
}

// reach asks the issuer for its configuration, once.
func (t *Tokens) reach(ctx context.Context) (*oidc.IDTokenVerifier, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.verifier == nil {
		// The key set keeps this context for as long as it lives, which is
		// longer than the conversation that asks for it first.
		provider, err := oidc.NewProvider(oidc.ClientContext(context.WithoutCancel(ctx), t.client), t.Issuer)
		if err != nil {
			return nil, fmt.Errorf("ask %s for its configuration: %w", t.Issuer, err)
		}
		t.verifier = provider.Verifier(&oidc.Config{ClientID: t.Audience})
	}
	return t.verifier, nil
}
