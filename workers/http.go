package workers

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"os"
	"strings"

	"github.com/gridferry/gridferry/config"
	"github.com/gridferry/gridferry/endpoints"
	"github.com/gridferry/gridferry/endpoints/http"
	"github.com/gridferry/gridferry/fault"
)

// webServer is the endpoint of an http, https, dav or davs URL.
func webServer(scheme, authority string) (endpoints.Record, error) {
	rec := endpoints.Record{Kind: http.Kind, Scheme: scheme}
	if at := strings.LastIndexByte(authority, '@'); at >= 0 {
		rec.User, authority = authority[:at], authority[at+1:]
	}
	rec.Servers = []string{authority}
	return rec, http.Check(rec)
}

func (o *Opener) openHTTP(ctx context.Context, rec endpoints.Record, owner, credential string) (endpoints.Storage, error) {
	id, err := o.webIdentity(rec, owner, credential)
	if err != nil {
		return nil, err
	}
	s, err := o.http.Open(ctx, rec, id)
	if err != nil {
		return nil, err
	}
	return s, nil
}

// webIdentity finds as whom to ask: nobody, unless a credential is named. What
// the web has is public as often as not, and nobody's credential is shown to
// a server that it was not meant for.
func (o *Opener) webIdentity(rec endpoints.Record, owner, credential string) (http.Identity, error) {
	id := http.Identity{Owner: owner}
	if credential == "" {
		credential = rec.Credential
	}
	if credential == "" {
		return id, nil
	}
	s, err := o.secret(credential, owner)
	if err != nil {
		return id, err
	}
	token, err := s.token()
	switch {
	case err != nil:
		return id, fault.Wrap(fault.Credential, opUse, s.id, err)
	case token != "":
		id.Token, id.Fingerprint = token, fingerprintOf(s.id, token)
	case s.from.PasswordFile != "":
		if rec.User == "" {
			return id, &fault.Error{Kind: fault.Credential, Op: opUse, Path: s.id, Err: errors.New("it is a password, and nothing says whose"),
				Hint: "name the user of the endpoint, or write https://USER@HOST/"}
		}
		if id.Password, err = s.password(); err != nil {
			return id, err
		}
		id.Fingerprint = fingerprintOf(s.id, id.Password)
	case s.id != config.CredentialEnv && s.from.Proxy == "" && s.from.Cert == "":
		return id, fault.New(fault.Credential, opUse, s.id, "it is not for the web: that wants token_file, password_file or a certificate")
	default:
		c, err := s.certificate()
		if err != nil {
			return id, err
		}
		if err := o.lives(c, s.id, "renew it where the worker finds it"); err != nil {
			return id, err
		}
		pair := c.TLSCertificate()
		id.Certificate, id.Fingerprint = &pair, c.Fingerprint()
	}
	return id, nil
}

// token is a bearer token: of the file that the configuration names, or of the
// worker's environment, where WLCG's bearer token discovery (1.0) looks for it.
// Empty: the credential is none.
func (s secret) token() (string, error) {
	file := s.from.TokenFile
	if s.id == config.CredentialEnv {
		if token := strings.TrimSpace(os.Getenv("BEARER_TOKEN")); token != "" {
			return token, nil
		}
		file = os.Getenv("BEARER_TOKEN_FILE")
	}
	if file == "" {
		return "", nil
	}
	text, err := os.ReadFile(file)
	if err != nil {
		return "", err
	}
	token := bytes.TrimSpace(text)
	if len(token) == 0 || bytes.ContainsFunc(token, func(r rune) bool { return r <= ' ' || r > '~' }) {
		return "", errors.New("the file does not hold a token, which is one word")
	}
	return string(token), nil
}

// fingerprintOf tells a secret from others without saying what it is.
func fingerprintOf(id, secret string) string {
	sum := sha256.Sum256([]byte(id + "\x00" + secret))
	return hex.EncodeToString(sum[:8])
}
