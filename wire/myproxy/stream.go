package myproxy

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"strings"
	"time"

	"github.com/gridferry/gridferry/wire/gsi"
)

const (
	maxToken     = 256 << 10    // that gsi is asked to wrap at once
	recordHeader = 5            // RFC 8446, 5.1: type, version, length
	maxRecord    = 1<<14 + 2048 // RFC 5246, 6.2.3

	recordLowest, recordHighest = 20, 24           // its types
	lingering                   = 2 * time.Second  // for a refusal to be heard
	defaultLimit                = 30 * time.Second // of one step of a conversation
)

// A records is a socket as gsi's handshake wants it, and the stream above the
// session that comes of it. Every read and write has limit to finish in.
type records struct {
	conn    net.Conn
	limit   time.Duration
	session *gsi.Session
	plain   []byte // received and not yet read
}

// WriteToken sends what gsi made: whole TLS records.
func (r *records) WriteToken(token []byte) error {
	if err := r.conn.SetWriteDeadline(time.Now().Add(r.limit)); err != nil {
		return err
	}
	_, err := r.conn.Write(token)
	return err
}

// ReadToken receives one TLS record. A C server that refuses a handshake says
// so outside of TLS, and that is returned as an error in its words.
func (r *records) ReadToken() ([]byte, error) {
	if err := r.conn.SetReadDeadline(time.Now().Add(r.limit)); err != nil {
		return nil, err
	}
	token := make([]byte, recordHeader, recordHeader+512)
	if _, err := io.ReadFull(r.conn, token); err != nil {
		return nil, cut(err)
	}
	if string(token) == "VERSI" {
		return nil, r.spoken(token)
	}
	n := int(token[3])<<8 | int(token[4])
	if token[0] < recordLowest || token[0] > recordHighest || token[1] != 3 || n > maxRecord {
		return nil, malformed("it sent %.8q, which is no TLS", token)
	}
	token = append(token, make([]byte, n)...)
	if _, err := io.ReadFull(r.conn, token[recordHeader:]); err != nil {
		return nil, cut(err)
	}
	return token, nil
}

// spoken reads a response that a C server sent in the clear.
func (r *records) spoken(start []byte) error {
	rest, err := io.ReadAll(io.LimitReader(r.conn, maxRequest))
	text := append(start, rest...)
	if i := strings.IndexByte(string(text), 0); i >= 0 {
		text = text[:i]
	} else if err != nil {
		return cut(err)
	}
	response, err := parseResponse(text)
	if err != nil {
		return err
	}
	var said *wordsError
	if errors.As(response.err(), &said) {
		// "authentication failed" is not about a pass phrase here.
		said.refusal = Denied
		return said
	}
	return malformed("it answered before it was secured")
}

// refusePlainly refuses a handshake as the C server does. The client may have
// finished its half and sent a request already: closing on unread bytes would
// reset the connection, and lose the refusal.
func (r *records) refusePlainly(words string) {
	if r.conn.SetDeadline(time.Now().Add(lingering)) != nil {
		return
	}
	if _, err := r.conn.Write(refusal(words).encode(nil)); err != nil {
		return
	}
	if half, ok := r.conn.(interface{ CloseWrite() error }); ok && half.CloseWrite() == nil {
		_, _ = io.CopyN(io.Discard, r.conn, 2*maxRequest)
	}
}

// cut says in plain words that a connection ended early.
func cut(err error) error {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return fmt.Errorf("the connection was closed in mid-conversation: %w", io.ErrUnexpectedEOF)
	}
	return err
}

// Read implements io.Reader over the session.
func (r *records) Read(p []byte) (int, error) {
	if err := r.fill(); err != nil {
		return 0, err
	}
	n := copy(p, r.plain)
	r.plain = r.plain[n:]
	return n, nil
}

func (r *records) fill() error {
	for len(r.plain) == 0 {
		token, err := r.ReadToken()
		if err != nil {
			return err
		}
		if r.plain, err = r.session.Unwrap(token); err != nil {
			return cut(err)
		}
	}
	return nil
}

// record returns one whole record's content: how a request and what a client
// sends after it are told apart, as the C server does.
func (r *records) record() ([]byte, error) {
	if err := r.fill(); err != nil {
		return nil, err
	}
	plain := r.plain
	r.plain = nil
	return plain, nil
}

// send writes one message, in more than one token when it is long: trust roots
// can be.
func (r *records) send(message []byte) error {
	for part := range slices.Chunk(message, maxToken) {
		token, err := r.session.Wrap(part)
		if err != nil {
			return err
		}
		if err := r.WriteToken(token); err != nil {
			return err
		}
	}
	return nil
}

// cutOff ends the conversation when ctx does. The function returned must be
// called, and says why it ended early, if so.
func (r *records) cutOff(ctx context.Context) (stop func() error) {
	undo := context.AfterFunc(ctx, func() { r.conn.Close() })
	return func() error {
		if undo() {
			return nil
		}
		return context.Cause(ctx)
	}
}
