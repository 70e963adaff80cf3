package gsi

import (
	"bytes"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
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

	// Anonymous comes without a certificate, for servers that ask for a
	// pass phrase instead (MyProxy). Credential is not used then.
	Anonymous bool

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
	Anonymous              bool        // clients may come without a certificate, and then Peer is nil
	MinVersion, MaxVersion Version     // zero means TLS 1.2 and 1.3
}

// A Session is an established security context: both sides are verified (an
// anonymous client has nothing to verify), and messages can be protected. Its methods may be called by several goroutines;
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
	verify := &verifier{trust: config.Trust, host: config.ServerName, identity: config.ExpectIdentity, anonymous: config.Anonymous}
	credential := config.Credential
	if config.Anonymous {
		if config.Delegate != DelegateNone {
			return nil, errors.New("gsi: an anonymous client has nothing to delegate")
		}
		credential = nil
	}
	conf, err := tlsConfig(credential, verify, config.MinVersion, config.MaxVersion)
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
	if config.Credential == nil {
		return nil, errors.New("gsi: a server needs a credential")
	}
	verify := &verifier{trust: config.Trust, anonymous: config.Anonymous}
	conf, err := tlsConfig(config.Credential, verify, config.MinVersion, config.MaxVersion)
	if err != nil {
		return nil, err
	}
	if config.Anonymous {
		conf.ClientAuth = tls.RequestClientCert
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
	case bytes.Equal(flag, flagDelegate) && s.peer != nil:
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

// Peer returns who the other side is; nil for an anonymous client.
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
