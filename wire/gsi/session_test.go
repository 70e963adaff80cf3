package gsi

import (
	"bytes"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"testing"
	"time"
)

// A tokenEnd is one side of an in-memory control channel. Closing it is what a
// refusal or a lost connection is to the other side.
type tokenEnd struct {
	in, out chan []byte
	gone    chan struct{} // closed when the other side gave up
	written int
}

var errGone = errors.New("530 the other side gave up")

func (e *tokenEnd) WriteToken(token []byte) error {
	e.written++
	select {
	case e.out <- bytes.Clone(token):
		return nil
	case <-e.gone:
		return errGone
	}
}

func (e *tokenEnd) ReadToken() ([]byte, error) {
	select {
	case token := <-e.in:
		return token, nil
	default:
	}
	select {
	case token := <-e.in:
		return token, nil
	case <-e.gone:
		return nil, errGone
	}
}

// A meeting is the outcome of a handshake at both ends.
type meeting struct {
	client, server       *Session
	clientErr, serverErr error
	clientTokens         int
}

func meet(c ClientConfig, s ServerConfig) meeting {
	a, b := make(chan []byte, 1), make(chan []byte, 1)
	clientGone, serverGone := make(chan struct{}), make(chan struct{})
	clientEnd := &tokenEnd{in: a, out: b, gone: serverGone}
	serverEnd := &tokenEnd{in: b, out: a, gone: clientGone}
	var m meeting
	done := make(chan struct{})
	go func() {
		defer close(done)
		m.server, m.serverErr = ServerHandshake(serverEnd, s)
		if m.serverErr != nil {
			close(serverGone)
		}
	}()
	m.client, m.clientErr = ClientHandshake(clientEnd, c)
	if m.clientErr != nil {
		close(clientGone)
	}
	<-done
	m.clientTokens = clientEnd.written
	return m
}

var versions = []Version{tls.VersionTLS12, tls.VersionTLS13}

func TestHandshake(t *testing.T) {
	f := newForgery(t)
	host, user := f.end("localhost"), f.end("Ada")
	for _, v := range versions {
		for _, mode := range []DelegateMode{DelegateNone, DelegateFull, DelegateLimited} {
			for name, c := range map[string]*Credential{
				"user":    user,
				"proxy":   f.proxy(user),
				"limited": f.proxy(user, f.withInfo(noPathLength, oidLimited, nil)),
			} {
				t.Run(fmt.Sprintf("%s/delegate %d/%s", tls.VersionName(v), mode, name), func(t *testing.T) {
					m := meet(
						ClientConfig{Credential: c, Trust: f.trust(), ServerName: "localhost", Delegate: mode, MinVersion: v, MaxVersion: v},
						ServerConfig{Credential: host, Trust: f.trust()})
					if m.clientErr != nil || m.serverErr != nil {
						t.Fatalf("client: %v, server: %v", m.clientErr, m.serverErr)
					}
					checkMeeting(t, m, v, mode, name == "limited")
				})
			}
		}
	}
}

func checkMeeting(t *testing.T, m meeting, v Version, mode DelegateMode, limited bool) {
	t.Helper()
	// What a Globus peer counts on: it reads one token per step.
	want := 3
	if mode != DelegateNone {
		want = 4
	}
	if m.clientTokens != want {
		t.Errorf("the client sent %d tokens, not %d", m.clientTokens, want)
	}
	if m.client.TLSVersion() != v || m.server.TLSVersion() != v {
		t.Errorf("versions %x and %x", m.client.TLSVersion(), m.server.TLSVersion())
	}
	if got := m.client.Peer().Identity; got != "/O=Forged/CN=localhost" {
		t.Errorf("the client's peer is %s", got)
	}
	if got := m.server.Peer(); got.Identity != "/O=Forged/CN=Ada" || got.Limited != limited {
		t.Errorf("the server's peer is %s, limited %v", got.Identity, got.Limited)
	}
	if m.client.Delegated() != nil {
		t.Error("the client was left a credential")
	}
	d := m.server.Delegated()
	if (d != nil) != (mode != DelegateNone) {
		t.Fatalf("delegated %v", d)
	}
	if d != nil {
		if d.Identity() != "/O=Forged/CN=Ada" || isLimited(d.Chain[0]) != (limited || mode == DelegateLimited) {
			t.Errorf("delegated %v, limited %v", d, isLimited(d.Chain[0]))
		}
	}
	for _, message := range []string{"x", "FEAT\r\n", strings.Repeat("a", 400_000)} {
		exchange(t, m.client, m.server, message)
		exchange(t, m.server, m.client, message)
	}
}

func exchange(t *testing.T, from, to *Session, message string) {
	t.Helper()
	token, err := from.Wrap([]byte(message))
	if err != nil {
		t.Fatal(err)
	}
	got, err := to.Unwrap(token)
	if err != nil {
		t.Fatal(err)
	}
	if string(got) != message {
		t.Fatalf("%d bytes came as %d others", len(message), len(got))
	}
}

func TestHandshakeRefuses(t *testing.T) {
	f, g := newForgery(t), newForgery(t)
	host, user, stranger := f.end("localhost"), f.end("Ada"), g.end("Mallory")
	server := ServerConfig{Credential: host, Trust: f.trust()}
	for _, v := range versions {
		client := func(edit func(*ClientConfig)) ClientConfig {
			c := ClientConfig{Credential: user, Trust: f.trust(), ServerName: "localhost", Delegate: DelegateFull, MinVersion: v, MaxVersion: v}
			edit(&c)
			return c
		}
		for name, tc := range map[string]struct {
			client   ClientConfig
			atServer bool // who refuses
			reason   Reason
		}{
			"server of another authority": {client(func(c *ClientConfig) { c.Trust = g.trust() }), false, ReasonUnknownAuthority},
			"another host":                {client(func(c *ClientConfig) { c.ServerName = "example.org" }), false, ReasonHost},
			"another identity":            {client(func(c *ClientConfig) { c.ExpectIdentity = "/CN=x" }), false, ReasonIdentity},
			"client of another authority": {client(func(c *ClientConfig) { c.Credential = stranger }), true, ReasonUnknownAuthority},
			"client with a broken proxy": {client(func(c *ClientConfig) {
				c.Credential = f.proxy(f.proxy(user, f.withInfo(0, oidInheritAll, nil)))
			}), true, ReasonPathLength},
		} {
			t.Run(tls.VersionName(v)+"/"+name, func(t *testing.T) {
				m := meet(tc.client, server)
				err, other := m.clientErr, m.serverErr
				if tc.atServer {
					err, other = other, err
				}
				var refused *TrustError
				if !errors.As(err, &refused) || refused.Reason != tc.reason {
					t.Errorf("refused for %v, want %q", err, tc.reason)
				}
				// The transport's own word comes through as it is.
				if !errors.Is(other, errGone) {
					t.Errorf("the other side says %v", other)
				}
			})
		}
	}
}

func TestHandshakeByIdentity(t *testing.T) {
	f := newForgery(t)
	m := meet(
		ClientConfig{Credential: f.end("Ada"), Trust: f.trust(), ServerName: "example.org", ExpectIdentity: "/O=Forged/CN=host/bob"},
		ServerConfig{Credential: f.end("host/bob"), Trust: f.trust()})
	if m.clientErr != nil || m.serverErr != nil {
		t.Fatalf("client: %v, server: %v", m.clientErr, m.serverErr)
	}
}

func TestHandshakeVersionsApart(t *testing.T) {
	f := newForgery(t)
	m := meet(
		ClientConfig{Credential: f.end("Ada"), Trust: f.trust(), ServerName: "localhost", MaxVersion: tls.VersionTLS12},
		ServerConfig{Credential: f.end("localhost"), Trust: f.trust(), MinVersion: tls.VersionTLS13})
	if m.clientErr == nil || m.serverErr == nil {
		t.Fatalf("client: %v, server: %v", m.clientErr, m.serverErr)
	}
}

func TestHandshakeNeedsItsConfiguration(t *testing.T) {
	f := newForgery(t)
	user := f.end("Ada")
	end := &tokenEnd{gone: make(chan struct{})}
	for name, c := range map[string]ClientConfig{
		"no credential": {Trust: f.trust(), ServerName: "localhost"},
		"no trust":      {Credential: user, ServerName: "localhost"},
		"no name":       {Credential: user, Trust: f.trust()},
	} {
		if _, err := ClientHandshake(end, c); err == nil {
			t.Errorf("%s: a handshake began", name)
		}
	}
	if _, err := ServerHandshake(end, ServerConfig{Credential: user}); err == nil {
		t.Error("a server without trust began a handshake")
	}
	if end.written != 0 {
		t.Errorf("%d tokens were sent", end.written)
	}
}

// A scriptedEnd answers a handshake with fixed tokens.
type scriptedEnd struct{ tokens [][]byte }

func (e *scriptedEnd) WriteToken([]byte) error { return nil }

func (e *scriptedEnd) ReadToken() ([]byte, error) {
	if len(e.tokens) == 0 {
		return nil, io.ErrUnexpectedEOF
	}
	token := e.tokens[0]
	e.tokens = e.tokens[1:]
	return token, nil
}

func TestHandshakeJunk(t *testing.T) {
	f := newForgery(t)
	config := ServerConfig{Credential: f.end("localhost"), Trust: f.trust()}
	partial := []byte{22, 3, 1, 0x40, 0}
	for name, tc := range map[string]struct {
		tokens [][]byte
		word   string
	}{
		"empty token":   {[][]byte{{}}, "a token of 0 bytes"},
		"endless token": {[][]byte{make([]byte, maxToken+1)}, "a token of 1048577 bytes"},
		"no TLS":        {[][]byte{[]byte("hello")}, "does not look like a TLS handshake"},
		"cut":           {[][]byte{partial}, "unexpected EOF"},
	} {
		if _, err := ServerHandshake(&scriptedEnd{tc.tokens}, config); err == nil || !strings.Contains(err.Error(), tc.word) {
			t.Errorf("%s: error %v", name, err)
		}
	}
}

// session returns both ends of an established context.
func session(t testing.TB, v Version) (client, server *Session) {
	t.Helper()
	c, err := NewEphemeral("Ada", time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	trust, err := c.SelfTrust()
	if err != nil {
		t.Fatal(err)
	}
	m := meet(
		ClientConfig{Credential: c, Trust: trust, ExpectIdentity: c.Identity(), MinVersion: v, MaxVersion: v},
		ServerConfig{Credential: c, Trust: trust})
	if m.clientErr != nil || m.serverErr != nil {
		t.Fatalf("client: %v, server: %v", m.clientErr, m.serverErr)
	}
	return m.client, m.server
}

func TestUnwrapRefuses(t *testing.T) {
	for name, spoil := range map[string]func(token []byte) []byte{
		"empty":          func([]byte) []byte { return nil },
		"cut header":     func(token []byte) []byte { return token[:3] },
		"cut record":     func(token []byte) []byte { return token[:len(token)-1] },
		"trailing byte":  func(token []byte) []byte { return append(token, 23) },
		"flipped bit":    func(token []byte) []byte { token[len(token)-1] ^= 1; return token },
		"twice":          func(token []byte) []byte { return append(token, token...) },
		"huge record":    func([]byte) []byte { return append([]byte{23, 3, 3, 0xff, 0xff}, make([]byte, 0xffff)...) },
		"too much":       func([]byte) []byte { return make([]byte, maxToken+5) },
		"clear alert":    func([]byte) []byte { return []byte{21, 3, 3, 0, 2, 1, 0} },
		"other protocol": func([]byte) []byte { return []byte{22, 3, 3, 0, 1, 0} },
	} {
		for _, v := range versions {
			t.Run(name+"/"+tls.VersionName(v), func(t *testing.T) {
				client, server := session(t, v)
				token, err := client.Wrap([]byte("QUIT\r\n"))
				if err != nil {
					t.Fatal(err)
				}
				if got, err := server.Unwrap(spoil(token)); err == nil {
					t.Errorf("unwrapped to %q", got)
				}
			})
		}
	}
}

func TestUnwrapSeveralTokensInOne(t *testing.T) {
	client, server := session(t, tls.VersionTLS13)
	var joined []byte
	for _, part := range []string{"a", "b", "c"} {
		token, err := client.Wrap([]byte(part))
		if err != nil {
			t.Fatal(err)
		}
		joined = append(joined, token...)
	}
	if got, err := server.Unwrap(joined); err != nil || string(got) != "abc" {
		t.Errorf("unwrapped %q, %v", got, err)
	}
}

func TestWrapFillsRecords(t *testing.T) {
	client, _ := session(t, tls.VersionTLS13)
	token, err := client.Wrap(make([]byte, 64<<10))
	if err != nil {
		t.Fatal(err)
	}
	records := 0
	for ; len(token) > 0; records++ {
		token = token[recordHeader+int(token[3])<<8+int(token[4]):]
	}
	if records != 4 {
		t.Errorf("64 KiB became %d records", records)
	}
}

func TestUnwrapClosed(t *testing.T) {
	client, server := session(t, tls.VersionTLS13)
	if err := client.tls.CloseWrite(); err != nil {
		t.Fatal(err)
	}
	if _, err := server.Unwrap(client.pipe.take()); err != io.EOF {
		t.Errorf("error %v", err)
	}
}

func TestWrapRefuses(t *testing.T) {
	client, _ := session(t, tls.VersionTLS13)
	for _, message := range [][]byte{nil, make([]byte, maxToken)} {
		if _, err := client.Wrap(message); err == nil {
			t.Errorf("a token was made for %d bytes", len(message))
		}
	}
}

// TestSessionBothWaysAtOnce is for the race detector: replies are opened while
// commands are sealed.
func TestSessionBothWaysAtOnce(t *testing.T) {
	client, server := session(t, tls.VersionTLS13)
	var wg sync.WaitGroup
	relay := func(from, to *Session) {
		defer wg.Done()
		for i := range 200 {
			message := fmt.Sprintf("message %d", i)
			token, err := from.Wrap([]byte(message))
			if err != nil {
				t.Error(err)
				return
			}
			if got, err := to.Unwrap(token); err != nil || string(got) != message {
				t.Errorf("%q came as %q, %v", message, got, err)
				return
			}
		}
	}
	wg.Add(2)
	go relay(client, server)
	go relay(server, client)
	wg.Wait()
}

// TestWrapByMany: without the lock, messages end up in one another's tokens.
func TestWrapByMany(t *testing.T) {
	client, _ := session(t, tls.VersionTLS13)
	one, err := client.Wrap([]byte("NOOP\r\n"))
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for range 100 {
				token, err := client.Wrap([]byte("NOOP\r\n"))
				if err != nil || len(token) != len(one) {
					t.Errorf("a token of %d bytes, not %d (%v)", len(token), len(one), err)
					return
				}
			}
		})
	}
	wg.Wait()
}

func FuzzUnwrap(f *testing.F) {
	f.Add([]byte{23, 3, 3, 0, 1, 0})
	f.Add([]byte{22, 3, 3, 0, 4, 24, 0, 0, 1})
	f.Add([]byte{20, 3, 3, 0, 1, 1, 21, 3, 3, 0, 2, 1, 0})
	f.Fuzz(func(t *testing.T, token []byte) {
		client, server := session(t, tls.VersionTLS13)
		// Nothing that is not sealed by the peer may come out, and the limit
		// on records holds whatever they say.
		if got, err := server.Unwrap(token); err == nil && len(got) > 0 {
			t.Errorf("%x unwrapped to %q", token, got)
		}
		_ = client
	})
}
