// Package gsi is the Grid Security Infrastructure: X.509 credentials, RFC 3820
// proxy certificates, trust, and the GSS-over-TLS security contexts that
// GridFTP and MyProxy speak. It is the one place where certificates are judged;
// every other package asks it.
//
// A Credential is who we are, a Trust is whom we believe, and a Peer is who the
// other side turned out to be. ClientHandshake and ServerHandshake establish a
// Session over tokens (the control channel's ADAT); DataClient and DataServer
// protect a data connection.
//
// crypto/tls knows nothing of proxy certificates, so its own verification is
// switched off here, and only here, and replaced by Trust.Verify in a
// VerifyConnection callback which crypto/tls calls on every handshake. There is
// no way to obtain a connection from this package whose peer was not verified.
//
// A Trust is read from a directory as the Globus tools have it, with signing
// policies and revocation lists (TrustOptions.Load), or is a handful of
// certificates (NewTrust).
//
// Not in here: authorization (gridmaps, what attributes allow).
package gsi

import "crypto/tls"

// A Version is a TLS protocol version, as crypto/tls numbers them.
type Version = uint16

// minVersion and maxVersion are what is offered when a configuration leaves
// them zero: what the Grid Community Toolkit offers by default too.
const (
	minVersion Version = tls.VersionTLS12
	maxVersion Version = tls.VersionTLS13
)

// maxToken bounds one handshake or wrap token, in bytes. The largest honest
// one is a wrapped command or a certificate chain: some tens of kilobytes.
const maxToken = 1 << 20
