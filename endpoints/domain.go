package endpoints

import (
	"net"
	"strings"
	"time"
)

// SecurityDomain names what a credential is good for: whoever has activated
// one endpoint of a domain has activated all of them. It is what the record
// says, else its MyProxy server (as "myproxy://host:port"), else the endpoint
// alone: its name, or scheme and servers of a URL.
func (r Record) SecurityDomain() string {
	switch {
	case r.Domain != "":
		return r.Domain
	case r.MyProxy != "":
		return MyProxyDomain(r.MyProxy)
	case r.Name != "":
		return r.Name
	}
	return r.Scheme + "://" + strings.Join(r.Servers, ",")
}

// Activates says that people give credentials for the endpoint themselves. Of
// any other, the credential is what its record says, or the worker's own.
func (r Record) Activates() bool {
	return (r.Kind == "" || r.Kind == "gridftp") && (r.Scheme == "" || r.Scheme == "gsiftp") && r.Credential == ""
}

// MyProxyDomain is the domain of those whose credentials the MyProxy server at
// HOST or HOST:PORT issues. 7512 is the port that IANA gave to MyProxy.
func MyProxyDomain(server string) string {
	host, port, err := net.SplitHostPort(server)
	if err != nil {
		host, port = strings.Trim(server, "[]"), "7512"
	}
	return "myproxy://" + net.JoinHostPort(strings.ToLower(host), port)
}

// Expirer is a storage that was opened with a credential of limited life.
type Expirer interface {
	// Expires is when the credential ends, and with it every session and data
	// channel of the storage; zero when it does not.
	Expires() time.Time
}

// Credentialed is a storage that was opened with a credential that can be told
// from others.
type Credentialed interface {
	// Fingerprint is the credential's, as an Activation has it; empty when
	// there is none.
	Fingerprint() string
}

// CredentialError is in the chain of a Credential error when it is known which
// credential was tried, or missing. A fault told of an older one than the
// current is stale, and says nothing of what would happen now.
type CredentialError struct {
	Domain      string // the record's SecurityDomain
	Fingerprint string // of the credential that was tried; empty when there was none
	Configured  bool   // nobody can activate another: what is wrong is put right where it is kept, or at the server
	Err         error
}

func (e *CredentialError) Error() string { return e.Err.Error() }

// Unwrap returns the cause.
func (e *CredentialError) Unwrap() error { return e.Err }
