package gridftp

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"syscall"

	"github.com/gridferry/gridferry/endpoints"
	"github.com/gridferry/gridferry/fault"
	wire "github.com/gridferry/gridferry/wire/gridftp"
	"github.com/gridferry/gridferry/wire/gsi"
)

// access is which side of the rule for names of another sort a call is on.
type access bool

const (
	reads  access = false
	writes access = true
)

// classify is the one place where the errors of wire/gridftp get their kind.
// sure is false when a server refused without saying why, and a look at the
// path may tell more.
func classify(ctx context.Context, op, path string, err error, a access) (_ error, sure bool) {
	var (
		known   *fault.Error
		reply   *wire.ReplyError
		trust   *gsi.TrustError
		stall   *wire.StallError
		count   *wire.CountError
		name    *wire.NameError
		syntax  *wire.SyntaxError
		network net.Error
		alert   tls.AlertError
	)
	is := func(k fault.Kind, hint string) (error, bool) {
		return &fault.Error{Kind: k, Op: op, Path: path, Err: err, Hint: hint}, true
	}
	switch {
	case err == nil:
		return nil, true
	case errors.As(err, &known):
		return err, true
	case ctx.Err() != nil:
		// The session was closed for that, and says so in many ways.
		return fault.Wrap(fault.KindOf(ctx.Err()), op, path, ctx.Err()), true
	case errors.As(err, &stall):
		return is(fault.Transient, "")
	case errors.As(err, &count):
		return is(fault.Integrity, "")
	case errors.As(err, &reply):
		k, sure := kindOf(reply, a)
		e, _ := is(k, hintFor(k))
		return e, sure
	case errors.As(err, &trust):
		return is(fault.Credential, trustHint(trust.Reason))
	case errors.Is(err, wire.ErrExpired):
		return is(fault.Credential, "renew it")
	case errors.Is(err, gsi.ErrNoCredential), errors.Is(err, gsi.ErrEncryptedKey):
		return is(fault.Credential, "")
	case errors.As(err, &alert):
		if isCertificateAlert(alert) {
			return is(fault.Credential, "the server did not accept our certificate")
		}
		return is(fault.Transient, "")
	case errors.As(err, &name):
		if name.Telnet {
			return is(fault.Unsupported, "")
		}
		return is(fault.Invalid, "")
	case errors.Is(err, wire.ErrNotDirectory):
		return is(otherSort(a), "")
	case errors.As(err, &syntax), errors.Is(err, wire.ErrReplyTooLarge):
		return is(fault.Internal, "")
	case errors.As(err, &network), errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, net.ErrClosed),
		errors.Is(err, os.ErrDeadlineExceeded), errors.Is(err, context.DeadlineExceeded), errors.Is(err, wire.ErrClosed), errors.Is(err, wire.ErrPoolClosed),
		errors.Is(err, syscall.ECONNRESET), errors.Is(err, syscall.EPIPE), errors.Is(err, io.ErrClosedPipe):
		var dns *net.DNSError
		if errors.As(err, &dns) && dns.IsNotFound {
			return is(fault.Transient, "is the host's name right?")
		}
		return is(fault.Transient, "")
	}
	return is(fault.Internal, "")
}

// blame names, in an error of kind Credential, the credential that was tried,
// nil for none: whoever renews it must know which one is meant.
func blame(err error, domain string, credential *gsi.Credential) error {
	var known *endpoints.CredentialError
	classified, ok := err.(*fault.Error)
	if !ok || classified.Kind != fault.Credential || errors.As(err, &known) {
		return err
	}
	tried := &endpoints.CredentialError{Domain: domain, Err: classified.Err}
	if credential != nil {
		tried.Fingerprint = credential.Fingerprint()
	}
	blamed := *classified
	blamed.Err = tried
	return &blamed
}

// kindOf is the kind of a server's refusal.
func kindOf(r *wire.ReplyError, a access) (k fault.Kind, sure bool) {
	switch {
	case r.Busy():
		return fault.Busy, true
	case r.NoSpace():
		return fault.NoSpace, true
	case r.NotFound():
		return fault.NotFound, true
	case r.NotDirectory(), r.IsDirectory():
		return otherSort(a), true
	case r.Exists():
		return fault.Exists, true
	case r.Permission():
		return fault.Permission, true
	case r.Login():
		return fault.Credential, true
	case r.DataChannel():
		return fault.Transient, true
	}
	switch r.Errno {
	case 0:
	case syscall.ENAMETOOLONG, syscall.EINVAL, syscall.EILSEQ, syscall.ELOOP:
		return fault.Invalid, true
	case syscall.EXDEV, syscall.EFBIG, syscall.ENOTSUP, syscall.ENOSYS:
		return fault.Unsupported, true
	case syscall.EIO, syscall.ESTALE, syscall.ETIMEDOUT, syscall.EAGAIN, syscall.EBUSY, syscall.ETXTBSY, syscall.EMFILE, syscall.ENFILE, syscall.ENOMEM:
		return fault.Transient, true
	}
	switch {
	case r.Unsupported():
		return fault.Unsupported, true
	case r.Temporary(): // 450 and 451 without a word of why
		return fault.Transient, r.Reply.Code != 450
	case r.Reply.Code == 550 || r.Reply.Code == 553, r.Failed(): // RFC 959, 4.2.2: "no access", "name not allowed"
		return fault.Permission, false
	}
	return fault.Internal, true
}

func otherSort(a access) fault.Kind {
	if a == writes {
		return fault.Exists
	}
	return fault.NotFound
}

func hintFor(k fault.Kind) string {
	switch k {
	case fault.Credential:
		return "the server did not let us in as this user"
	case fault.Busy:
		return "the server has as many sessions as it allows"
	}
	return ""
}

func trustHint(r gsi.Reason) string {
	switch r {
	case gsi.ReasonUnknownAuthority:
		return "put the authority's certificate into the trust directory, if it is to be believed"
	case gsi.ReasonHost, gsi.ReasonIdentity:
		return fmt.Sprintf("use the name that is in the server's certificate, or give the endpoint the option %q", optionIdentity)
	case gsi.ReasonExpired, gsi.ReasonNotYetValid:
		return "renew the certificate, or set the clock"
	}
	return ""
}

// isCertificateAlert reports whether a peer's TLS alert was about our
// certificate (RFC 8446, 6.2: bad_certificate to unknown_ca, access_denied and
// certificate_required).
func isCertificateAlert(a tls.AlertError) bool {
	return a >= 42 && a <= 46 || a == 48 || a == 49 || a == 116
}
