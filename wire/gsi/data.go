package gsi

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"time"
)

// A Protection is a data channel's level (RFC 2228, PROT).
type Protection byte

// The levels. TLS always encrypts, as it does in the Globus servers: Safe and
// Private are the same on the wire.
const (
	Clear   Protection = 'C' // authenticated, then bytes in the clear
	Safe    Protection = 'S' // integrity
	Private Protection = 'P' // integrity and confidentiality
)

// DataConfig is what either side brings to an authenticated data channel.
type DataConfig struct {
	Credential *Credential // a delegated proxy, a DCSC credential, or one's own
	Trust      *Trust      // for an ephemeral DCSC credential: its own SelfTrust
	Prot       Protection

	// ExpectIdentity is the DN the peer must have. Empty means the
	// credential's own: both ends act for one person (DCAU A). DCAU S names
	// another.
	ExpectIdentity string

	MinVersion, MaxVersion Version // zero means TLS 1.2 and 1.3
}

// DataClient secures a data connection as the side that dialled it, whichever
// way the data goes. For Safe and Private the result is a TLS connection; for
// Clear it is conn itself, of which exactly the handshake has been read, so
// that the kernel may move the rest. ctx bounds the handshake; deadlines that
// conn had are replaced, and none is left. After an error conn is useless and
// still the caller's to close.
func DataClient(ctx context.Context, conn net.Conn, config DataConfig) (net.Conn, error) {
	return secure(ctx, conn, config, tls.Client, initiate)
}

// DataServer is DataClient for the side that accepted the connection.
func DataServer(ctx context.Context, conn net.Conn, config DataConfig) (net.Conn, error) {
	return secure(ctx, conn, config, tls.Server, accept)
}

func secure(ctx context.Context, conn net.Conn, config DataConfig, role func(net.Conn, *tls.Config) *tls.Conn, agree func(*tls.Conn) error) (net.Conn, error) {
	switch config.Prot {
	case Clear, Safe, Private:
	default:
		return nil, fmt.Errorf("gsi: data channel protection %q is not C, S or P", config.Prot)
	}
	verify := &verifier{trust: config.Trust, identity: config.ExpectIdentity}
	conf, err := tlsConfig(config.Credential, verify, config.MinVersion, config.MaxVersion)
	if err != nil {
		return nil, err
	}
	if verify.identity == "" {
		if verify.identity = config.Credential.Identity(); verify.identity == "" {
			return nil, errors.New("gsi: the data channel credential has no end-entity certificate")
		}
	}

	// On the socket, not by HandshakeContext, which closes the connection.
	if err := conn.SetDeadline(time.Time{}); err != nil {
		return nil, fmt.Errorf("gsi: data channel: %w", err)
	}
	stop := context.AfterFunc(ctx, func() {
		_ = conn.SetDeadline(time.Unix(1, 0)) // fails only when conn is closed, which ends the handshake too
	})
	secured, err := negotiate(conn, config.Prot, conf, role, agree)
	if !stop() {
		return nil, fmt.Errorf("gsi: data channel handshake: %w", context.Cause(ctx))
	}
	return secured, err
}

func negotiate(conn net.Conn, prot Protection, conf *tls.Config, role func(net.Conn, *tls.Config) *tls.Conn, agree func(*tls.Conn) error) (net.Conn, error) {
	if prot != Clear {
		secured := role(conn, conf)
		if err := secured.Handshake(); err != nil {
			return nil, dataError(err)
		}
		return secured, nil
	}
	// The full GSS context: it has the control channel's turn and flag bytes.
	secured := role(&recordConn{Conn: conn}, conf)
	if err := secured.Handshake(); err != nil {
		return nil, dataError(err)
	}
	if err := agree(secured); err != nil {
		return nil, dataError(err)
	}
	return conn, nil
}

func dataError(err error) error {
	var refused *TrustError
	if errors.As(err, &refused) {
		return refused
	}
	return fmt.Errorf("gsi: data channel handshake: %w", err)
}

// initiate ends the context of a Clear channel as the initiator.
func initiate(conn *tls.Conn) error {
	if conn.ConnectionState().Version >= tls.VersionTLS13 {
		if err := expect(conn, turnByte); err != nil {
			return err
		}
	}
	_, err := conn.Write(flagNoDelegation)
	return err
}

// accept ends the context of a Clear channel as the acceptor.
func accept(conn *tls.Conn) error {
	if conn.ConnectionState().Version >= tls.VersionTLS13 {
		if _, err := conn.Write(turnByte); err != nil {
			return err
		}
	}
	return expect(conn, flagNoDelegation)
}

func expect(conn *tls.Conn, want []byte) error {
	got := make([]byte, len(want))
	if _, err := io.ReadFull(conn, got); err != nil {
		return err
	}
	if !bytes.Equal(got, want) {
		return fmt.Errorf("the peer sent %q where %q belongs", got, want)
	}
	return nil
}

// A recordConn gives crypto/tls no byte beyond the TLS record it is reading.
// By itself crypto/tls reads as much as is there, and after the handshake of a
// Clear channel that is already data.
type recordConn struct {
	net.Conn
	header [recordHeader]byte
	have   int // header bytes seen of the current record
	body   int // body bytes of it still to come
}

func (c *recordConn) Read(b []byte) (int, error) {
	if len(b) == 0 {
		return 0, nil
	}
	if c.body == 0 {
		n, err := c.Conn.Read(b[:min(len(b), recordHeader-c.have)])
		c.have += copy(c.header[c.have:], b[:n])
		if c.have == recordHeader {
			c.body = int(c.header[3])<<8 | int(c.header[4])
			c.have = 0
		}
		return n, err
	}
	n, err := c.Conn.Read(b[:min(len(b), c.body)])
	c.body -= n
	return n, err
}
