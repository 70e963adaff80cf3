package myproxy

import (
	"errors"
	"fmt"
	"strings"

	"github.com/gridferry/gridferry/wire/gsi"
)

// A Refusal says why an exchange failed, as far as it matters for what to do
// about it.
type Refusal string

// The refusals.
const (
	Unreachable     Refusal = "unreachable"       // no answer, or a broken connection: the same may work later
	Untrusted       Refusal = "untrusted"         // the server's certificate was refused here: Err is a *gsi.TrustError
	WrongPassphrase Refusal = "wrong pass phrase" // or, of servers that don't say which, an unknown user
	NoCredential    Refusal = "no credential"     // nothing is stored under that name, or the user is unknown
	Expired         Refusal = "expired"           // what is stored has ended
	Denied          Refusal = "denied"            // the server's policy, a lock put on the credential, or a certificate of ours that it refused
	Unsupported     Refusal = "unsupported"       // the server does not do this
	Rejected        Refusal = "rejected"          // anything else the server said
	Malformed       Refusal = "malformed"         // what the server sent cannot be understood, or is not what was asked for
	Misused         Refusal = "misused"           // nothing was sent: the request itself is wrong
)

// An Error says what a client could not do. No pass phrase is ever in it.
type Error struct {
	Refusal Refusal
	Command Command
	Server  string // host and port
	User    string // may be empty
	Words   string // the server's own, lines joined by "; "; empty unless it spoke
	Err     error  // the cause when the server said nothing
}

// Error renders one sentence, in the server's words where it has spoken.
func (e *Error) Error() string {
	var b strings.Builder
	b.WriteString(e.Command.String())
	if e.User != "" {
		fmt.Fprintf(&b, " as %s", e.User)
	}
	fmt.Fprintf(&b, " at the MyProxy server %s: ", e.Server)
	switch {
	case e.Words != "":
		fmt.Fprintf(&b, "%s (the server says: %s)", e.Refusal, e.Words)
	case e.Err != nil && (e.Refusal == Expired || e.Refusal == Misused):
		// The cause says it all.
		b.WriteString(e.Err.Error())
	case e.Err != nil:
		fmt.Fprintf(&b, "%s: %s", e.Refusal, e.Err)
	default:
		b.WriteString(string(e.Refusal))
	}
	return b.String()
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// wordsError carries a server's refusal up to where the Error is made.
type wordsError struct {
	words   string
	refusal Refusal // empty: as the words say
}

func (e *wordsError) Error() string { return e.words }

// malformedError marks what a peer sent and nobody can understand.
type malformedError struct{ err error }

func (e *malformedError) Error() string { return e.err.Error() }
func (e *malformedError) Unwrap() error { return e.err }

func malformed(format string, args ...any) error {
	return &malformedError{fmt.Errorf(format, args...)}
}

// misusedError marks a request that was never sent.
type misusedError struct{ err error }

func (e *misusedError) Error() string { return e.err.Error() }
func (e *misusedError) Unwrap() error { return e.err }

func misused(format string, args ...any) error {
	return &misusedError{fmt.Errorf(format, args...)}
}

// refusalOf is the one place where a failure becomes a Refusal.
func refusalOf(err error) Refusal {
	var said *wordsError
	var bad *malformedError
	var misuse *misusedError
	var trust *gsi.TrustError
	var expired *expiredError
	switch {
	case errors.As(err, &said) && said.refusal != "":
		return said.refusal
	case errors.As(err, &said):
		return refusalIn(said.words)
	case errors.As(err, &misuse):
		return Misused
	case errors.As(err, &expired):
		return Expired
	case errors.As(err, &bad):
		return Malformed
	case errors.As(err, &trust):
		return Untrusted
	case alerted(err):
		return Denied
	}
	return Unreachable
}

// alerted tells whether the server's TLS has refused us. crypto/tls has no type
// for such an alert that one could ask for.
func alerted(err error) bool { return strings.Contains(err.Error(), "remote error: tls:") }

// refusalIn reads a server's words. The protocol has no codes, so this knows
// the phrases of the C server (myproxy_server.c, myproxy_creds.c, its PAM module)
// and our own.
func refusalIn(words string) Refusal {
	lower := strings.ToLower(words)
	for _, phrase := range []struct {
		text    string
		refusal Refusal
	}{
		// Of several that apply the first is the more telling.
		{"expired", Expired},
		{"locked", Denied},
		{"violates local policy", Denied},
		{"too short", Denied},
		{"must be at least", Denied},
		{"too many", Denied},
		{"invalid pass phrase", WrongPassphrase},
		{"invalid credential passphrase", WrongPassphrase},
		{"invalid password", WrongPassphrase},
		{"no passphrase", WrongPassphrase},
		{"no credentials", NoCredential},
		{"credentials do not exist", NoCredential},
		{"unknown username", NoCredential},
		{"not supported", Unsupported},
		{"unknown command", Unsupported},
		{"not authorized", Denied},
		{"does not own", Denied},
		{"not owned", Denied},
		{"authorization failed", Denied},
		{"self-authz", Denied},
		{"authentication fail", WrongPassphrase}, // PAM: "Authentication failure", and ours
		{"user not known", NoCredential},
	} {
		if strings.Contains(lower, phrase.text) {
			return phrase.refusal
		}
	}
	return Rejected
}
