package myproxyd

import (
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"math/big"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

// A provider is an OpenID Connect issuer, as far as tokens are verified.
type provider struct {
	*httptest.Server
	key  *rsa.PrivateKey
	down bool // serves nothing
}

func newProvider(t *testing.T) *provider {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	p := &provider{key: key}
	p.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if p.down {
			http.Error(w, "down", http.StatusServiceUnavailable)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		var answer any
		switch r.URL.Path {
		case "/.well-known/openid-configuration":
			answer = map[string]any{"issuer": p.URL, "jwks_uri": p.URL + "/keys", "id_token_signing_alg_values_supported": []string{"RS256"}}
		case "/keys":
			n := base64.RawURLEncoding.EncodeToString(key.N.Bytes())
			e := base64.RawURLEncoding.EncodeToString(big.NewInt(int64(key.E)).Bytes())
			answer = map[string]any{"keys": []any{map[string]any{"kty": "RSA", "kid": "one", "use": "sig", "alg": "RS256", "n": n, "e": e}}}
		}
		if err := json.NewEncoder(w).Encode(answer); err != nil {
			t.Error(err)
		}
	}))
	t.Cleanup(p.Close)
	return p
}

// token makes one for ada; edit may spoil it.
func (p *provider) token(t *testing.T, edit map[string]any) []byte {
	t.Helper()
	claims := map[string]any{
		"iss": p.URL, "aud": "gridferry", "sub": "1234", "preferred_username": "ada",
		"iat": time.Now().Unix(), "exp": time.Now().Add(time.Hour).Unix(),
	}
	for k, v := range edit {
		claims[k] = v
	}
	part := func(v any) string {
		text, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		return base64.RawURLEncoding.EncodeToString(text)
	}
	signed := part(map[string]any{"alg": "RS256", "kid": "one", "typ": "JWT"}) + "." + part(claims)
	sum := sha256.Sum256([]byte(signed))
	signature, err := rsa.SignPKCS1v15(rand.Reader, p.key, crypto.SHA256, sum[:])
	if err != nil {
		t.Fatal(err)
	}
	return []byte(signed + "." + base64.RawURLEncoding.EncodeToString(signature))
}

func TestTokens(t *testing.T) {
	p := newProvider(t)
	tokens := NewTokens(p.URL, "gridferry", "preferred_username")
	spoiled := p.token(t, nil)
	if at := &spoiled[len(spoiled)-10]; *at == 'A' {
		*at = 'B'
	} else {
		*at = 'A'
	}
	other := newProvider(t)
	other.URL = p.URL // as it says of itself
	for name, c := range map[string]struct {
		token  []byte
		reason string
		right  bool
	}{
		"right":           {token: p.token(t, nil), right: true},
		"one of several":  {token: p.token(t, map[string]any{"aud": []string{"web", "gridferry"}}), right: true},
		"expired":         {token: p.token(t, map[string]any{"exp": time.Now().Add(-time.Hour).Unix()}), reason: "expired on"},
		"other audience":  {token: p.token(t, map[string]any{"aud": "web"}), reason: "audience"},
		"other issuer":    {token: p.token(t, map[string]any{"iss": "https://elsewhere.example"}), reason: "issued by a different provider"},
		"other user":      {token: p.token(t, map[string]any{"preferred_username": "eve"}), reason: "another user"},
		"no claim":        {token: p.token(t, map[string]any{"preferred_username": 7}), reason: "no claim"},
		"not yet":         {token: p.token(t, map[string]any{"nbf": time.Now().Add(time.Hour).Unix()}), reason: "before the nbf"},
		"spoiled":         {token: spoiled, reason: "signature"},
		"key of others":   {token: other.token(t, nil), reason: "signature"},
		"no token at all": {token: []byte("correct horse"), reason: "malformed"},
		"none":            {token: []byte("eyJhbGciOiJub25lIn0." + strings.Split(string(p.token(t, nil)), ".")[1] + "."), reason: "malformed"},
	} {
		t.Run(name, func(t *testing.T) {
			err := tokens.Verify(t.Context(), Attempt{User: "ada", Secret: c.token})
			var wrong *Wrong
			switch {
			case c.right:
				if err != nil {
					t.Error(err)
				}
			case !errors.As(err, &wrong) || !strings.Contains(wrong.Reason, c.reason):
				t.Errorf("%v, want %q", err, c.reason)
			}
		})
	}
}

func TestTokensOfAnUnverifiedAddress(t *testing.T) {
	p := newProvider(t)
	tokens := NewTokens(p.URL, "gridferry", "email")
	for _, verified := range []bool{true, false} {
		err := tokens.Verify(t.Context(), Attempt{User: "ada@example.org", Secret: p.token(t, map[string]any{"email": "ada@example.org", "email_verified": verified})})
		if (err == nil) != verified {
			t.Errorf("verified %v: %v", verified, err)
		}
	}
}

// TestTokensWhileTheIssuerIsDown is no failure of who logs on.
func TestTokensWhileTheIssuerIsDown(t *testing.T) {
	p := newProvider(t)
	tokens := NewTokens(p.URL, "gridferry", "sub")
	p.down = true
	var wrong *Wrong
	attempt := Attempt{User: "1234", Secret: p.token(t, nil)}
	if err := tokens.Verify(t.Context(), attempt); err == nil || errors.As(err, &wrong) {
		t.Errorf("without a configuration: %v", err)
	}
	p.down = false
	if _, err := tokens.reach(t.Context()); err != nil {
		t.Fatal(err)
	}
	p.down = true
	if err := tokens.Verify(t.Context(), attempt); err == nil || errors.As(err, &wrong) {
		t.Errorf("without keys: %v", err)
	}
	p.down = false
	// go-oidc hands out a request's answer before it forgets the request, so
	// who asks at once may still be given the failure.
	var err error
	for deadline := time.Now().Add(10 * time.Second); time.Now().Before(deadline); time.Sleep(time.Millisecond) {
		if err = tokens.Verify(t.Context(), attempt); err == nil {
			return
		}
	}
	t.Errorf("once it is up again: %v", err)
}

func TestTokensAndPassphrases(t *testing.T) {
	p := newProvider(t)
	w := newWorld(t, func(c *Config) { c.Tokens = NewTokens(p.URL, "gridferry", "preferred_username") })
	for name, given := range map[string]string{"pass phrase": secret, "token": string(p.token(t, nil))} {
		if words := w.try(t, "ada", given, "192.0.2.1"); words != "" {
			t.Errorf("%s: %s", name, words)
		}
	}
	expired := string(p.token(t, map[string]any{"exp": 1}))
	if words := w.try(t, "ada", expired, "192.0.2.1"); !strings.Contains(words, "token expired") {
		t.Errorf("an expired token: %s", words)
	}
	if strings.Contains(w.log.String(), expired) {
		t.Error("the token is in the log")
	}
}
