package gsi

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"time"
)

// A TokenTransport carries the tokens of a handshake. On GridFTP's control
// channel a client writes "ADAT token" commands and reads the tokens of 335
// replies; a server does the reverse. Deadlines are the transport's business.
type TokenTransport interface {
	// WriteToken sends one token, which it must not keep.
	WriteToken(token []byte) error
	// ReadToken receives the next one. A refusal in its place (a 530 reply) is
	// returned as an error, which the handshake passes on unwrapped.
	ReadToken() ([]byte, error)
}

// A DelegateMode says whether a client leaves the server a proxy of itself.
type DelegateMode int

// The modes.
const (
	DelegateNone    DelegateMode = iota // nothing; data channels need DCSC or no authentication
	DelegateFull                        // a proxy as good as the client's
	DelegateLimited                     // a limited proxy, good for data but not for jobs
)

// ClientConfig is what a client brings to a handshake.
type ClientConfig struct {
	Credential *Credential // who we are
	Trust      *Trust      // whom we believe

	// ServerName is the host we meant to reach; the server's certificate must
	// be for it. ExpectIdentity, when set, is the DN the server must have
	// instead: for servers that people run under their own certificates.
	ServerName     string
	ExpectIdentity string

	Delegate DelegateMode
	// MinVersion and MaxVersion bound TLS; zero means 1.2 and 1.3.
	MinVersion, MaxVersion Version
}

// ServerConfig is what a server brings to a handshake.
type ServerConfig struct {
	Credential             *Credential // the host's
	Trust                  *Trust      // which clients are believed
	MinVersion, MaxVersion Version     // zero means TLS 1.2 and 1.3
}

// A Session is an established security context: both sides are verified, and
// messages can be protected. Its methods may be called by several goroutines;
// tokens must reach the peer in the order Wrap made them.
type Session struct {
	peer      *Peer
	delegated *Credential

	mu   sync.Mutex // TLS over one buffer pair: sealing and opening take turns
	tls  *tls.Conn
	pipe *tokenPipe
}

// ClientHandshake establishes a session as the initiator. When it returns, the
// last token has been sent but not answered: on a GridFTP control channel the
// caller now reads the final reply (235, or the refusal). With TLS 1.3 a server
// may refuse the client's certificate as late as that.
func ClientHandshake(transport TokenTransport, config ClientConfig) (*Session, error) {
	verify := &verifier{trust: config.Trust, host: config.ServerName, identity: config.ExpectIdentity}
	conf, err := tlsConfig(config.Credential, verify, config.MinVersion, config.MaxVersion)
	if err != nil {
		return nil, err
	}
	if config.ServerName == "" && config.ExpectIdentity == "" {
		return nil, errors.New("gsi: a client must say which host or identity it expects")
	}
	pipe := &tokenPipe{transport: transport}
	s := &Session{pipe: pipe, tls: tls.Client(pipe, conf)}
	if err := s.tls.Handshake(); err != nil {
		return nil, handshakeError(err)
	}
	s.peer = verify.peer
	pipe.transport = nil

	// TLS 1.2 ends with the server's message, so it is our turn; TLS 1.3 ends
	// with ours, and the server then sends a NUL only to keep taking turns. It
	// sends no tickets there: we keep no sessions and so offer to take none.
	if len(pipe.out) > 0 {
		if err := transport.WriteToken(pipe.take()); err != nil {
			return nil, err
		}
		turn, err := s.receive(transport)
		if err != nil {
			return nil, err
		}
		if !bytes.Equal(turn, turnByte) {
			return nil, fmt.Errorf("gsi: handshake: the server sent %.8q instead of the NUL that gives the turn", turn)
		}
	}
	if config.Delegate == DelegateNone {
		err = s.send(transport, flagNoDelegation)
	} else {
		err = s.delegate(transport, config.Credential, config.Delegate)
	}
	if err != nil {
		return nil, err
	}
	return s, nil
}

// delegate leaves the server a proxy that lives as long as the credential.
func (s *Session) delegate(transport TokenTransport, c *Credential, mode DelegateMode) error {
	if err := s.send(transport, flagDelegate); err != nil {
		return err
	}
	csr, err := s.receive(transport)
	if err != nil {
		return err
	}
	der, err := c.SignProxy(csr, ProxyOptions{Lifetime: time.Until(c.NotAfter()), Limited: mode == DelegateLimited})
	if err != nil {
		return err
	}
	return s.send(transport, der)
}

// The application data of the handshake's own protocol.
var (
	turnByte         = []byte{0}   // the acceptor, with nothing to say
	flagNoDelegation = []byte{'0'} // the initiator: done
	flagDelegate     = []byte{'D'} // the initiator: send a certificate request
)

// ServerHandshake establishes a session as the acceptor. When it returns, the
// client's last token has been read; on a GridFTP control channel the caller
// now sends the final reply (235, or 535 after an error).
func ServerHandshake(transport TokenTransport, config ServerConfig) (*Session, error) {
	verify := &verifier{trust: config.Trust}
	conf, err := tlsConfig(config.Credential, verify, config.MinVersion, config.MaxVersion)
	if err != nil {
		return nil, err
	}
	pipe := &tokenPipe{transport: transport}
	s := &Session{pipe: pipe, tls: tls.Server(pipe, conf)}
	if err := s.tls.Handshake(); err != nil {
		return nil, handshakeError(err)
	}
	s.peer = verify.peer
	pipe.transport = nil

	if len(pipe.out) > 0 {
		err = transport.WriteToken(pipe.take())
	} else {
		err = s.send(transport, turnByte)
	}
	if err != nil {
		return nil, err
	}
	flag, err := s.receive(transport)
	switch {
	case err != nil:
		return nil, err
	case bytes.Equal(flag, flagNoDelegation):
		return s, nil
	case bytes.Equal(flag, flagDelegate):
		s.delegated, err = s.acceptDelegation(transport, config.Trust)
		if err != nil {
			return nil, err
		}
		return s, nil
	}
	return nil, fmt.Errorf("gsi: delegation flag %.8q, expected '0' or 'D'", flag)
}

func (s *Session) acceptDelegation(transport TokenTransport, trust *Trust) (*Credential, error) {
	request, err := NewProxyRequest(0)
	if err != nil {
		return nil, err
	}
	if err := s.send(transport, request.CSR()); err != nil {
		return nil, err
	}
	der, err := s.receive(transport)
	if err != nil {
		return nil, err
	}
	chain := [][]byte{der}
	for _, cert := range s.peer.Chain {
		chain = append(chain, cert.Raw)
	}
	c, err := request.Complete(chain...)
	if err != nil {
		return nil, err
	}
	// What we would have to present must be what others accept.
	if _, err := trust.Verify(c.Chain, time.Now()); err != nil {
		return nil, fmt.Errorf("receive proxy: %w", err)
	}
	return c, nil
}

func (s *Session) send(transport TokenTransport, message []byte) error {
	token, err := s.Wrap(message)
	if err != nil {
		return err
	}
	return transport.WriteToken(token)
}

func (s *Session) receive(transport TokenTransport) ([]byte, error) {
	token, err := transport.ReadToken()
	if err != nil {
		return nil, err
	}
	return s.Unwrap(token)
}

// Peer returns who the other side is.
func (s *Session) Peer() *Peer { return s.peer }

// Delegated returns the proxy that the client left here; nil when it left none,
// and on the client's side.
func (s *Session) Delegated() *Credential { return s.delegated }

// TLSVersion returns the negotiated version.
func (s *Session) TLSVersion() Version { return s.tls.ConnectionState().Version }

// Wrap protects a message, of 1 byte to about a mebibyte, as one token.
func (s *Session) Wrap(plain []byte) ([]byte, error) {
	if len(plain) == 0 || len(plain) > maxToken {
		return nil, fmt.Errorf("gsi: wrap: a message of %d bytes, 1 to %d are possible", len(plain), maxToken)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, err := s.tls.Write(plain); err != nil {
		return nil, fmt.Errorf("gsi: wrap: %w", err)
	}
	token := s.pipe.take()
	if len(token) > maxToken {
		return nil, fmt.Errorf("gsi: wrap: a message of %d bytes is too long for one token", len(plain))
	}
	return token, nil
}

// Unwrap opens a token, which holds whole TLS records, and returns the message.
// io.EOF means that the peer closed the context. After any error the session is
// useless: records were lost.
func (s *Session) Unwrap(token []byte) ([]byte, error) {
	if err := checkRecords(token); err != nil {
		return nil, fmt.Errorf("gsi: unwrap: %w", err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.pipe.in = append(s.pipe.in, token...)
	plain := make([]byte, 0, len(token))
	for {
		// A message is shorter than its records, unless a peer hid data behind
		// the handshake; a Read without room would then never end.
		if len(plain) == cap(plain) {
			plain = append(plain, 0)[:len(plain)]
		}
		n, err := s.tls.Read(plain[len(plain):cap(plain)])
		plain = plain[:len(plain)+n]
		switch {
		case errors.Is(err, errDrained):
			return plain, nil
		case err == io.EOF:
			return nil, io.EOF
		case err != nil:
			return nil, fmt.Errorf("gsi: unwrap: %w", err)
		}
	}
}

const recordHeader = 5 // RFC 8446, 5.1: type, version, length

// maxRecord is the longest record body crypto/tls takes: 2^14 and the expansion
// TLS 1.2 allows (RFC 5246, 6.2.3).
const maxRecord = 1<<14 + 2048

// checkRecords checks that a token is a sequence of whole TLS records.
func checkRecords(token []byte) error {
	if len(token) == 0 {
		return errors.New("the token is empty")
	}
	if len(token) > maxToken {
		return fmt.Errorf("the token has more than %d bytes", maxToken)
	}
	for len(token) > 0 {
		if len(token) < recordHeader {
			return errors.New("the token ends within a TLS record")
		}
		n := int(token[3])<<8 | int(token[4])
		if n > maxRecord {
			return errors.New("the token holds an oversized TLS record")
		}
		if len(token) < recordHeader+n {
			return errors.New("the token ends within a TLS record")
		}
		token = token[recordHeader+n:]
	}
	return nil
}

// A verifier holds one handshake's expectations and its outcome.
type verifier struct {
	trust    *Trust
	host     string // checked when not empty and identity is empty
	identity string // checked when not empty
	peer     *Peer
}

func (v *verifier) verify(chain []*x509.Certificate) error {
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
	if c == nil || v.trust == nil {
		return nil, errors.New("gsi: a handshake needs a credential and a set of trusted authorities")
	}
	if lowest == 0 {
		lowest = minVersion
	}
	if highest == 0 {
		highest = maxVersion
	}
	cert := c.TLSCertificate()
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

// transportError marks an error of the transport on its way through crypto/tls.
type transportError struct{ err error }

func (e *transportError) Error() string { return e.err.Error() }
func (e *transportError) Unwrap() error { return e.err }

// errDrained says that a token has been read to its end. Temporary is what
// makes crypto/tls keep the connection usable.
var errDrained net.Error = drained{}

type drained struct{}

func (drained) Error() string   { return "gsi: end of token" }
func (drained) Timeout() bool   { return true }
func (drained) Temporary() bool { return true }

// A tokenPipe is the connection under a session's TLS. During the handshake it
// turns a write, write, read into a token out and a token in; afterwards, with
// no transport, it is a pair of buffers.
type tokenPipe struct {
	transport TokenTransport // nil once the handshake is over
	in, out   []byte
}

func (p *tokenPipe) take() []byte {
	out := p.out
	p.out = nil
	return out
}

func (p *tokenPipe) Write(b []byte) (int, error) {
	p.out = append(p.out, b...)
	return len(b), nil
}

func (p *tokenPipe) Read(b []byte) (int, error) {
	if len(p.in) == 0 {
		if p.transport == nil {
			return 0, errDrained
		}
		if err := p.turn(); err != nil {
			return 0, &transportError{err}
		}
	}
	n := copy(b, p.in)
	p.in = p.in[n:]
	return n, nil
}

// turn sends what was written and receives the peer's next token.
func (p *tokenPipe) turn() error {
	if len(p.out) > 0 {
		if err := p.transport.WriteToken(p.take()); err != nil {
			return err
		}
	}
	token, err := p.transport.ReadToken()
	if err != nil {
		return err
	}
	// How many tokens there are is bounded by crypto/tls, which limits the
	// messages of a handshake.
	if len(token) == 0 || len(token) > maxToken {
		return fmt.Errorf("gsi: handshake: a token of %d bytes", len(token))
	}
	p.in = token
	return nil
}

// The rest of net.Conn: there is no socket here.
func (p *tokenPipe) Close() error                     { return nil }
func (p *tokenPipe) LocalAddr() net.Addr              { return tokenAddr{} }
func (p *tokenPipe) RemoteAddr() net.Addr             { return tokenAddr{} }
func (p *tokenPipe) SetDeadline(time.Time) error      { return nil }
func (p *tokenPipe) SetReadDeadline(time.Time) error  { return nil }
func (p *tokenPipe) SetWriteDeadline(time.Time) error { return nil }

type tokenAddr struct{}

func (tokenAddr) Network() string { return "gsi" }
func (tokenAddr) String() string  { return "gsi tokens" }
