package trust_test

import (
	"bufio"
	"encoding/base64"
	"errors"
	"fmt"
	"net"
	"net/textproto"
	"strings"
	"testing"
	"time"

	"github.com/gridferry/gridferry/wire/gsi"
)

// knock authenticates to a GridFTP server as far as the end of the handshake,
// where it has judged the credential. Our client would not do: it looks at its
// credential first, and keeps the worst to itself. The peer is the server, as far
// as it was known when the verdict came.
func knock(t testing.TB, addr string, c *gsi.Credential, trust *gsi.Trust) (*gsi.Peer, error) {
	t.Helper()
	conn, err := net.DialTimeout("tcp", addr, 10*time.Second)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(30 * time.Second)); err != nil {
		t.Fatal(err)
	}
	k := &knocker{textproto.Conn{Reader: textproto.Reader{R: bufio.NewReader(conn)}, Writer: textproto.Writer{W: bufio.NewWriter(conn)}}}
	if _, _, err := k.ReadResponse(220); err != nil {
		t.Fatal(err)
	}
	if err := k.PrintfLine("AUTH GSSAPI"); err != nil {
		t.Fatal(err)
	}
	if _, _, err := k.ReadResponse(334); err != nil {
		t.Fatal(err)
	}
	session, err := gsi.ClientHandshake(k, gsi.ClientConfig{Credential: c, Trust: trust, ServerName: "localhost"})
	if err != nil {
		return nil, err
	}
	_, err = k.reply()
	return session.Peer(), err
}

type knocker struct{ textproto.Conn }

func (k *knocker) WriteToken(token []byte) error {
	return k.PrintfLine("ADAT %s", base64.StdEncoding.EncodeToString(token))
}

func (k *knocker) ReadToken() ([]byte, error) {
	text, err := k.reply()
	if err != nil {
		return nil, err
	}
	token, ok := strings.CutPrefix(text, "ADAT=")
	if !ok {
		return nil, fmt.Errorf("no token in %q", text)
	}
	return base64.StdEncoding.DecodeString(token)
}

// reply reads a reply that lets the handshake go on, or ends it well.
func (k *knocker) reply() (string, error) {
	code, text, err := k.ReadResponse(0)
	switch {
	case err != nil:
		return "", err
	case code != 335 && code != 235:
		return "", &refusal{code, text}
	}
	return text, nil
}

// A refusal is a server's.
type refusal struct {
	code int
	text string
}

func (r *refusal) Error() string { return fmt.Sprintf("%d %s", r.code, r.text) }

// verdict is what a server thinks of a credential: empty when it takes it, else
// the innermost of its reasons.
func verdict(t testing.TB, err error) string {
	t.Helper()
	var refused *refusal
	if err == nil {
		return ""
	}
	if !errors.As(err, &refused) {
		t.Fatalf("the server gave no verdict: %v", err)
	}
	lines := strings.Split(strings.TrimSpace(refused.text), "\n")
	for i := len(lines) - 1; i >= 0; i-- {
		line := strings.TrimPrefix(strings.TrimPrefix(strings.TrimSpace(lines[i]), "530-"), "535-")
		if i := strings.LastIndex(line, ": "); i >= 0 && i+2 < len(line) {
			line = line[i+2:]
		}
		if line != "" && line != "End." {
			return line
		}
	}
	return refused.Error()
}
