package gsi

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"time"
)

// A verifier holds one handshake's expectations and its outcome.
type verifier struct {
	trust    *Trust
	host     string // checked when not empty and identity is empty
	identity string // checked when not empty
	peer     *Peer

	anonymous bool // the client comes, or may come, without a certificate
}

func (v *verifier) verify(chain []*x509.Certificate) error {
	// Only a client can be without: TLS knows no such server.
	if v.anonymous && len(chain) == 0 {
		return nil
	}
	peer, err := v.trust.Verify(chain, time.Now())
	if err != nil {
		return err
	}
	switch {
	case v.identity != "":
		if !SameDN(peer.Identity, v.identity) {
			return refuse(ReasonIdentity, peer.EEC(), "%s was expected", v.identity)
		}
	case v.host != "":
		if err := MatchHost(peer.EEC(), v.host); err != nil {
			return err
		}
	}
	v.peer = peer
	return nil
}

// tlsConfig is the one TLS configuration of this package, for both roles.
func tlsConfig(c *Credential, v *verifier, lowest, highest Version) (*tls.Config, error) {
	if (c == nil && !v.anonymous) || v.trust == nil {
		return nil, errors.New("gsi: a handshake needs a credential and a set of trusted authorities")
	}
	if lowest == 0 {
		lowest = minVersion
	}
	if highest == 0 {
		highest = maxVersion
	}
	var cert tls.Certificate // an empty one is how a client says that it has none
	if c != nil {
		cert = c.TLSCertificate()
	}
	return &tls.Config{
		MinVersion:   lowest,
		MaxVersion:   highest,
		Certificates: []tls.Certificate{cert},
		// Chosen by us, because Globus servers list no acceptable authorities
		// and crypto/tls may find that none of ours suits.
		GetClientCertificate: func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return &cert, nil },
		ClientAuth:           tls.RequireAnyClientCert,
		// crypto/tls cannot verify proxies, and knows no host/ names.
		InsecureSkipVerify: true,
		VerifyConnection:   func(state tls.ConnectionState) error { return v.verify(state.PeerCertificates) },
		// A ticket after the handshake would be read as data by a peer that goes
		// on in the clear (DataClient), and would put tokens out of turn.
		SessionTicketsDisabled: true,
		// Or a long message would become many small records.
		DynamicRecordSizingDisabled: true,
	}, nil
}

// ClientTLS returns a configuration for plain TLS to host, for protocols without
// GSI such as HTTPS: it shows c, or nothing when c is nil, and believes only a
// server that trust believes and whose certificate is for host. It may be used
// for any number of connections.
func ClientTLS(c *Credential, trust *Trust, host string) (*tls.Config, error) {
	if host == "" {
		return nil, errors.New("gsi: a client must say which host it expects")
	}
	expected := verifier{trust: trust, host: host, anonymous: c == nil}
	config, err := tlsConfig(c, &expected, 0, 0)
	if err != nil {
		return nil, err
	}
	config.ServerName = host
	config.VerifyConnection = func(state tls.ConnectionState) error {
		v := expected // each connection has its own outcome
		return v.verify(state.PeerCertificates)
	}
	return config, nil
}

// handshakeError names the handshake, but leaves the transport's own errors
// and refusals as they are.
func handshakeError(err error) error {
	var refused *TrustError
	var transport *transportError
	switch {
	case errors.As(err, &transport):
		return transport.err
	case errors.As(err, &refused):
		return refused
	}
	return fmt.Errorf("gsi: handshake: %w", err)
}
