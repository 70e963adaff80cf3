package http

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/gridferry/gridferry/endpoints"
	"github.com/gridferry/gridferry/fault"
)

// answer is what a server said no with.
type answer struct {
	status int
	words  string        // its own, beyond those of the status; may be empty
	after  time.Duration // to wait before asking again; 0: it did not say
}

func (a *answer) Error() string {
	text := fmt.Sprintf("the server says %d %s", a.status, http.StatusText(a.status))
	if a.words != "" {
		text += ": " + a.words
	}
	if a.after > 0 {
		text += fmt.Sprintf("; it asks to be left alone for %v", a.after)
	}
	return text
}

// maxWords is how much of a server's own explanation is told.
const maxWords = 200

// refused reads an answer that is not the one that was hoped for, and ends it.
func refused(resp *http.Response) error {
	a := &answer{status: resp.StatusCode}
	if after, ok := parseRetryAfter(resp.Header.Get("Retry-After"), time.Now()); ok {
		a.after = after
	}
	if strings.HasPrefix(resp.Header.Get("Content-Type"), "text/plain") {
		b, err := io.ReadAll(io.LimitReader(resp.Body, maxWords))
		if line, _, _ := bytes.Cut(bytes.TrimSpace(b), []byte("\n")); err == nil && utf8.Valid(line) && bytes.IndexFunc(line, func(r rune) bool { return r < ' ' }) < 0 {
			a.words = string(line)
		}
	}
	discard(resp)
	return a
}

func statusOf(err error) int {
	if a, ok := errors.AsType[*answer](err); ok {
		return a.status
	}
	return 0
}

// errClosed is the cause of what fails because the storage was closed.
var errClosed = errors.New("the storage is closed")

// failed gives an error its kind, and names the credential where that is what
// is wrong.
func (s *Storage) failed(ctx context.Context, op, p string, err error) error {
	if err == nil {
		return nil
	}
	p = s.shown(p)
	switch {
	case s.life.Err() != nil:
		return fault.Wrap(fault.Transient, op, p, errClosed)
	case errors.As(err, new(*fault.Error)):
		return err
	case ctx.Err() != nil:
		return fault.Wrap(fault.KindOf(ctx.Err()), op, p, ctx.Err())
	}
	out := &fault.Error{Op: op, Path: p, Err: err}
	if a, ok := errors.AsType[*answer](err); ok {
		out.Kind, out.Hint = kindOfStatus(a.status)
		if out.Kind == fault.Credential {
			out.Hint = s.credentialHint()
			out.Err = &endpoints.CredentialError{Domain: s.domain, Fingerprint: s.client.id.Fingerprint, Configured: true, Err: err}
		}
		return out
	}
	if r, ok := errors.AsType[refusal](err); ok {
		out.Kind, out.Hint = fault.Unsupported, r.hint
		return out
	}
	out.Kind, out.Hint = kindOfSilence(err)
	return out
}

func (s *Storage) credentialHint() string {
	switch id := s.client.id; {
	case id.Token != "":
		return "the token may have expired: renew it in the file that the endpoint's credential names"
	case id.Password != "":
		return fmt.Sprintf("check the user %q and the password that the endpoint's credential names", s.opts.user)
	case id.Certificate != nil:
		return "the server does not know the owner of the certificate"
	}
	return "the server wants to know who is there: name a credential with a password or a token"
}

// kindOfStatus is what a refusal means where nothing more is known (RFC 9110,
// 15; RFC 4918, 11; RFC 6585).
func kindOfStatus(status int) (fault.Kind, string) {
	switch status {
	case http.StatusUnauthorized, http.StatusProxyAuthRequired:
		return fault.Credential, ""
	case http.StatusForbidden:
		return fault.Permission, "ask the server's owner for the permission, or name another credential"
	case http.StatusNotFound, http.StatusGone:
		return fault.NotFound, ""
	case http.StatusConflict:
		return fault.NotFound, "the directory that it is to be in may be missing"
	case http.StatusLocked, http.StatusFailedDependency:
		return fault.Busy, "somebody else has locked it"
	case http.StatusTooManyRequests, http.StatusServiceUnavailable:
		return fault.Busy, ""
	case http.StatusRequestTimeout:
		return fault.Transient, ""
	case http.StatusInsufficientStorage:
		return fault.NoSpace, "free space at the server, or ask for a larger quota"
	case http.StatusPreconditionFailed:
		return fault.Integrity, "somebody else has changed it meanwhile"
	case http.StatusRequestEntityTooLarge:
		return fault.Unsupported, "the server takes no file of this size"
	case http.StatusBadRequest, http.StatusRequestURITooLong, http.StatusUnprocessableEntity:
		return fault.Unsupported, "the server may not take this name"
	case http.StatusMethodNotAllowed, http.StatusNotImplemented:
		return fault.Unsupported, "the server does not do this here"
	}
	switch {
	case status >= 500:
		return fault.Transient, ""
	case status >= 400:
		return fault.Unsupported, ""
	}
	return fault.Unsupported, "the server answers what nobody has asked"
}

// kindOfSilence is of errors that are no answer.
func kindOfSilence(err error) (fault.Kind, string) {
	if dns, ok := errors.AsType[*net.DNSError](err); ok && dns.IsNotFound {
		return fault.Transient, "is the host's name right?"
	}
	if verify, ok := errors.AsType[*tls.CertificateVerificationError](err); ok {
		hint := "options." + optionCAFile + " names the authorities to believe"
		if errors.As(verify.Err, new(x509.HostnameError)) {
			hint = "write the name that is in its certificate"
		}
		return fault.Credential, "the server is not who it should be: " + hint
	}
	return fault.Transient, ""
}
