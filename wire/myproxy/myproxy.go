// Package myproxy is the MyProxy protocol, version 2 (GFD.54), as the servers
// and clients of the Grid Community Toolkit speak it: a Client that obtains
// short-lived credentials for a pass phrase and minds those it stored, and a
// Server that issues them. What a server believes and issues is its Authority's
// business; nothing here reads a configuration or keeps a file.
//
// A conversation is one TLS connection. The client sends one request, a text of
// NAME=value lines; the server answers with a response of the same form, for
// some commands certificates follow, and then a closing response. There is no
// framing: texts end with a NUL, certificates by their own length, and whoever
// speaks twice waits for the answer in between, because the C server takes
// whatever waits in its socket for one message.
package myproxy

import "time"

// DefaultPort is where MyProxy servers listen.
const DefaultPort = "7512"

// version opens every request and response.
const version = "MYPROXYv2"

// A Command says what a request asks for.
type Command int

// The commands, with the numbers that stand for them on the wire. RETRIEVE (6)
// hands out a stored long-lived key, which nothing here wants.
const (
	CommandGet              Command = 0 // a credential, delegated from a stored one or issued
	CommandPut              Command = 1 // store a proxy
	CommandInfo             Command = 2
	CommandDestroy          Command = 3
	CommandChangePassphrase Command = 4
	CommandStore            Command = 5 // store a long-lived credential, its key encrypted by the client
	CommandTrustRoots       Command = 7
)

// String names the command as an error or a log line should.
func (c Command) String() string {
	switch c {
	case CommandGet:
		return "log on"
	case CommandPut:
		return "store a proxy"
	case CommandInfo:
		return "ask about credentials"
	case CommandDestroy:
		return "destroy a credential"
	case CommandChangePassphrase:
		return "change a pass phrase"
	case CommandStore:
		return "store a credential"
	case CommandTrustRoots:
		return "fetch trust roots"
	}
	return "use an unknown command"
}

// Bounds on what a peer may send.
const (
	// maxRequest is in bytes. A request is one TLS record, which holds 16 KiB.
	maxRequest = 16 << 10
	// maxResponse is in bytes. Trust roots come in a response: the whole of the
	// grid's authorities with their CRLs is some megabytes.
	maxResponse = 16 << 20
	maxRoots    = 10_000
	maxField    = 8 << 10 // one value of a request, in bytes
	maxStored   = 1_000   // credentials that an answer to Info may list
	maxCert     = 64 << 10
	maxLifetime = 10 * 365 * 24 * time.Hour
)
