package gsi

import (
	"errors"
	"fmt"
	"net"
	"time"
)

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
