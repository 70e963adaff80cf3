package server_test

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/gridferry/gridferry/wire/gridftp"
	"github.com/gridferry/gridferry/wire/gridftp/data"
	"github.com/gridferry/gridferry/wire/gridftp/server"
	"github.com/gridferry/gridferry/wire/gsi"
	"github.com/gridferry/gridferry/wire/gsi/gsitest"
)

// A secureWorld is a server with GSI, for /O=Test/CN=Ada.
type secureWorld struct {
	*world
	identities
}

// identities are whom servers and clients can be. Their keys take longer to
// make than most tests to run, so that subtests share them.
type identities struct {
	ca        *gsitest.CA
	host, ada *gsi.Credential
}

func newIdentities(t testing.TB) identities {
	t.Helper()
	ca := gsitest.NewCA(t)
	return identities{ca, ca.Host(), ca.Proxy(ca.User("Ada"))}
}

func newSecureWorld(t testing.TB, edit ...func(*server.Config)) *secureWorld {
	t.Helper()
	return newIdentities(t).world(t, edit...)
}

func (i identities) world(t testing.TB, edit ...func(*server.Config)) *secureWorld {
	t.Helper()
	gridmap, err := server.ParseGridmap(`
# everybody
"/O=Test/CN=Ada" ada,other
"/O=Test/CN=Bob" bob
`)
	if err != nil {
		t.Fatal(err)
	}
	return &secureWorld{newWorld(t, append([]func(*server.Config){func(c *server.Config) {
		c.Anonymous = false
		c.Credential, c.Trust, c.Gridmap, c.Account = i.host, i.ca.Trust(), gridmap, "ada"
	}}, edit...)...), i}
}

// A secureScript is a script whose lines are protected.
type secureScript struct {
	*script
	gss *gsi.Session
}

// adatTransport carries a handshake over a script.
type adatTransport struct{ c *script }

func (a adatTransport) WriteToken(token []byte) error {
	a.c.send("ADAT " + base64.StdEncoding.EncodeToString(token))
	return nil
}

func (a adatTransport) ReadToken() ([]byte, error) {
	r := a.c.reply()
	text, ok := strings.CutPrefix(r.Text(), "ADAT=")
	if r.Code != 335 || !ok {
		return nil, errors.New(r.String())
	}
	return base64.StdEncoding.DecodeString(text)
}

// handshake authenticates, and returns the reply to that.
func (w *secureWorld) handshake(config gsi.ClientConfig) (*secureScript, gridftp.Reply, error) {
	w.t.Helper()
	c := w.dial()
	c.do("AUTH GSSAPI", "334")
	if config.Trust == nil {
		config.Trust = w.ca.Trust()
	}
	config.ServerName = "localhost"
	gss, err := gsi.ClientHandshake(adatTransport{c}, config)
	if err != nil {
		return nil, gridftp.Reply{}, err
	}
	s := &secureScript{c, gss}
	r, err := gridftp.ReadReply(c.r)
	return s, r, err
}

// secure returns a session that has logged in.
func (w *secureWorld) secure(config gsi.ClientConfig) *secureScript {
	w.t.Helper()
	if config.Credential == nil {
		config.Credential = w.ada
	}
	c, r, err := w.handshake(config)
	if err != nil || r.Code != 235 {
		w.t.Fatalf("login: %v, %v", r, err)
	}
	c.do("USER :globus-mapping:", "331")
	c.do("PASS dummy", "230 User ada logged in.")
	return c
}

func (c *secureScript) send(lines ...string) {
	c.t.Helper()
	var out bytes.Buffer
	for _, line := range lines {
		token, err := c.gss.Wrap([]byte(line + "\r\n"))
		if err != nil {
			c.t.Fatal(err)
		}
		fmt.Fprintf(&out, "ENC %s\r\n", base64.StdEncoding.EncodeToString(token))
	}
	if _, err := c.conn.Write(out.Bytes()); err != nil {
		c.t.Fatal(err)
	}
}

// reply reads a protected reply: one line of it in each protected line, the
// last of which alone has no hyphen.
func (c *secureScript) reply() gridftp.Reply {
	c.t.Helper()
	outer, err := gridftp.ReadReply(c.r)
	if err != nil || outer.Code != 632 {
		c.t.Fatalf("got %v, %v where a protected reply belongs", outer, err)
	}
	var text []byte
	for _, line := range outer.Lines {
		token, err := base64.StdEncoding.DecodeString(line)
		if err != nil {
			c.t.Fatal(err)
		}
		plain, err := c.gss.Unwrap(token)
		if err != nil {
			c.t.Fatal(err)
		}
		if bytes.Count(plain, []byte("\n")) != 1 {
			c.t.Fatalf("%q is not one line", plain)
		}
		text = append(text, plain...)
	}
	r, err := gridftp.ReadReply(bufio.NewReader(bytes.NewReader(text)))
	if err != nil {
		c.t.Fatal(err)
	}
	return r
}

func (c *secureScript) do(line, want string) gridftp.Reply {
	c.t.Helper()
	c.send(line)
	r := c.reply()
	if !strings.HasPrefix(r.String(), want) {
		c.t.Fatalf("%.60q: the server said %q, want %q", line, r.String(), want)
	}
	return r
}

func TestSecureSession(t *testing.T) {
	all := newIdentities(t)
	for _, version := range []gsi.Version{tls.VersionTLS12, tls.VersionTLS13} {
		for name, delegate := range map[string]gsi.DelegateMode{"with delegation": gsi.DelegateFull, "without": gsi.DelegateNone} {
			t.Run(tls.VersionName(version)+" "+name, func(t *testing.T) {
				w := all.world(t)
				w.write("f", "hello")
				c := w.secure(gsi.ClientConfig{Delegate: delegate, MinVersion: version, MaxVersion: version})
				c.do("SITE WHOAMI", "200 ada")
				c.do("SIZE f", "213 5")
				if lines := len(c.do("FEAT", "211").Lines); lines < 10 {
					t.Errorf("FEAT came in %d lines", lines)
				}
				c.do("MLSC", "250")
				c.do("CCC", "534")
				c.do("AUTH GSSAPI", "503")
				c.do("QUIT", "221")
				c.closed()
			})
		}
	}
}

func TestUnprotectedCommandsAfterLoginEndTheSession(t *testing.T) {
	w := newSecureWorld(t)
	w.write("f", "hello")
	c := w.secure(gsi.ClientConfig{})
	c.script.send("DELE f")
	if r, err := gridftp.ReadReply(c.r); err != nil || r.Code != 632 {
		t.Fatalf("got %v, %v", r, err)
	}
	c.closed()
	w.want("f", "hello")
}

func TestLoginsRefused(t *testing.T) {
	w := newSecureWorld(t)
	stranger := gsitest.NewCA(t)
	expired, err := w.ca.User("Ada").NewProxy(gsi.ProxyOptions{Lifetime: time.Nanosecond})
	if err != nil {
		t.Fatal(err)
	}
	for name, credential := range map[string]*gsi.Credential{"unknown authority": stranger.User("Ada"), "expired": expired} {
		t.Run(name, func(t *testing.T) {
			// TLS 1.3 tells the client of a refusal after its handshake.
			for _, version := range []gsi.Version{tls.VersionTLS12, tls.VersionTLS13} {
				_, r, err := w.handshake(gsi.ClientConfig{Credential: credential, MinVersion: version, MaxVersion: version})
				if text := fmt.Sprint(r, err); !strings.Contains(text, "535") || !strings.Contains(text, name) {
					t.Errorf("%s: got %s", tls.VersionName(version), text)
				}
			}
		})
	}
	for name, test := range map[string]struct{ cn, user, want string }{
		"not in the gridmap":    {"Eve", ":globus-mapping:", `no entry for "/O=Test/CN=Eve"`},
		"mapped to another":     {"Bob", ":globus-mapping:", `maps "/O=Test/CN=Bob" to the user "bob", but this server runs as "ada"`},
		"wants to be another":   {"Ada", "other", `to the user "other", but`},
		"wants what is not his": {"Ada", "root", `does not map "/O=Test/CN=Ada" to "root"`},
	} {
		t.Run(name, func(t *testing.T) {
			c, r, err := w.handshake(gsi.ClientConfig{Credential: w.ca.Proxy(w.ca.User(test.cn))})
			if err != nil || r.Code != 235 {
				t.Fatalf("got %v, %v", r, err)
			}
			c.do("USER "+test.user, "331")
			if r := c.do("PASS x", "530 Login incorrect."); !strings.Contains(r.Text(), test.want) {
				t.Errorf("the server said %q, want %q", r.Text(), test.want)
			}
			c.do("PWD", "530")
		})
	}
}

func TestWithoutTokensNobodyGetsIn(t *testing.T) {
	w := newSecureWorld(t)
	for _, lines := range [][]string{
		{"USER ada", "530 Must perform GSSAPI authentication."},
		{"ADAT AAAA", "503"},
		{"AUTH TLS", "504"},
		{"AUTH GSSAPI", "334", "NOOP", "200", "ADAT ////////", "535"},
		{"AUTH GSSAPI", "334", "ADAT not base64", "535"},
	} {
		c := w.dial()
		for i := 0; i < len(lines); i += 2 {
			c.do(lines[i], lines[i+1])
		}
	}
}

// dataSecurity is what the client's end of a data channel needs.
func (w *secureWorld) dataSecurity(auth byte, prot gsi.Protection) *gsi.DataConfig {
	if auth == 'N' {
		return nil
	}
	return &gsi.DataConfig{Credential: w.ada, Trust: w.ca.Trust(), Prot: prot}
}

// TestDataChannelSecurity goes through every pair of DCAU and PROT in both
// directions and modes. What Globus's server answers to the pairs refused here
// was observed of globus-gridftp-server 13.24.
func TestDataChannelSecurity(t *testing.T) {
	all := newIdentities(t)
	for _, test := range []struct {
		auth   byte
		prot   gsi.Protection
		want   string // of the transfer
		globus string // what the Globus server does instead
	}{
		{'N', gsi.Clear, "150", ""},
		{'N', gsi.Safe, "536", "150, 226: the data go in the clear"},
		{'N', gsi.Private, "536", "150, 226: the data go in the clear"},
		{'A', gsi.Clear, "150", ""},
		{'A', gsi.Safe, "150", ""},
		{'A', gsi.Private, "150", ""},
		{'S', gsi.Clear, "150", ""},
		{'S', gsi.Safe, "150", ""},
		{'S', gsi.Private, "150", ""},
	} {
		t.Run(fmt.Sprintf("DCAU %c PROT %c", test.auth, test.prot), func(t *testing.T) {
			w := all.world(t)
			w.write("f", "hello")
			c := w.secure(gsi.ClientConfig{Delegate: gsi.DelegateFull})
			dcau := "DCAU " + string(test.auth)
			if test.auth == 'S' {
				dcau += " /O=Test/CN=Ada"
			}
			config := data.Config{Security: w.dataSecurity(test.auth, test.prot)}
			for _, first := range []bool{true, false} { // in either order
				if first {
					c.do(dcau, "200")
				}
				c.do("PROT "+string(test.prot), "200")
				if !first {
					c.do(dcau, "200")
				}
				for _, mode := range []string{"S", "E"} {
					c.do("MODE "+mode, "200")
					if test.want != "150" {
						c.passive()
						c.do("STOR g", test.want)
						if _, err := os.Stat(filepath.Join(w.root, "g")); err == nil {
							t.Error("the refused STOR made a file")
						}
						continue
					}
					c.roundTrip(mode, config, "f", "hello")
				}
			}
		})
	}
}

func (c *secureScript) passive() *data.Set {
	c.t.Helper()
	addr, err := gridftp.ParsePassive(c.do("PASV", "227"))
	if err != nil {
		c.t.Fatal(err)
	}
	set := data.NewActive(data.Network{}, addr.Addr(), addr)
	c.t.Cleanup(func() { set.Close() })
	return set
}

func (c *secureScript) active() *data.Set { return c.activeAt(loopback) }

func (c *secureScript) activeAt(addr netip.Addr) *data.Set {
	c.t.Helper()
	l, err := data.Network{}.Listen(c.t.Context(), addr, 0)
	if err != nil {
		c.t.Fatal(err)
	}
	set := data.NewPassive(l)
	c.t.Cleanup(func() { set.Close() })
	c.do("PORT "+gridftp.FormatHostPort(l.Addr()), "200")
	return set
}

// roundTrip fetches a file and stores it under another name.
func (c *secureScript) roundTrip(mode string, config data.Config, name, content string) {
	c.t.Helper()
	var sink collector
	var err error
	if mode == "S" {
		set := c.passive()
		c.send("RETR " + name)
		_, err = set.ReceiveStream(c.t.Context(), &sink, 0, config, data.ReceiveOptions{})
	} else {
		set := c.active()
		c.send("RETR " + name)
		_, err = set.Receive(c.t.Context(), &sink, config, data.ReceiveOptions{})
	}
	if err != nil {
		c.t.Fatalf("MODE %s: fetch: %v", mode, err)
	}
	c.finish("150", "226")
	if string(sink.b) != content {
		c.t.Errorf("MODE %s: fetched %q", mode, sink.b)
	}
	set := c.passive()
	c.send("STOR copy")
	source := data.NewStreamSource(strings.NewReader(content), 0)
	if mode == "S" {
		_, err = set.SendStream(c.t.Context(), source, config, nil)
	} else {
		_, err = set.Send(c.t.Context(), source, config, data.SendOptions{Parallelism: 2})
	}
	if err != nil {
		c.t.Fatalf("MODE %s: store: %v", mode, err)
	}
	c.finish("150", "226")
	c.do("SIZE copy", fmt.Sprintf("213 %d", len(content)))
	c.do("DELE copy", "250")
}

// finish reads a transfer's replies, and passes over its markers.
func (c *secureScript) finish(first, last string) {
	c.t.Helper()
	if r := c.reply(); !strings.HasPrefix(r.String(), first) {
		c.t.Fatalf("the server said %q, want %q", r, first)
	}
	r := c.reply()
	for r.Code == gridftp.CodeRangeMarker || r.Code == gridftp.CodePerfMarker {
		r = c.reply()
	}
	if !strings.HasPrefix(r.String(), last) {
		c.t.Fatalf("the server said %q, want %q", r, last)
	}
}

func TestDataChannelCredentials(t *testing.T) {
	w := newSecureWorld(t)
	w.write("f", "hello")
	ephemeral, err := gsi.NewEphemeral("data", time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	own, err := ephemeral.SelfTrust()
	if err != nil {
		t.Fatal(err)
	}
	c := w.secure(gsi.ClientConfig{}) // no delegation: nothing to authenticate with
	c.passive()
	c.do("RETR f", "425 GlobusError: v=1 c=DATA_CHANNEL_COMMUNICATION_FAILURE; GridFTP-Reason: secure the data channel; GridFTP-Error-String: there is no credential")

	blob, err := ephemeral.DCSC()
	if err != nil {
		t.Fatal(err)
	}
	c.do("DCSC P "+blob, "250")
	for _, prot := range []gsi.Protection{gsi.Clear, gsi.Private} {
		c.do("PROT "+string(prot), "200")
		config := data.Config{Security: &gsi.DataConfig{Credential: ephemeral, Trust: own, Prot: prot}}
		c.do("MODE S", "200")
		c.roundTrip("S", config, "f", "hello")
		c.do("MODE E", "200")
		c.roundTrip("E", config, "f", "hello")
	}

	// The user's own proxy in DCSC counts by the server's authorities.
	blob, err = w.ada.DCSC()
	if err != nil {
		t.Fatal(err)
	}
	c.do("DCSC P "+blob, "250")
	c.roundTrip("E", data.Config{Security: &gsi.DataConfig{Credential: w.ada, Trust: w.ca.Trust(), Prot: gsi.Private}}, "f", "hello")

	c.do("DCSC D", "250")
	c.passive()
	c.do("RETR f", "425")
	for line, want := range map[string]string{"DCSC P": "501", "DCSC P AAAA": "501", "DCSC X": "504", "DCSC P " + strings.Repeat("A", 400): "501"} {
		c.do(line, want)
	}

	// DCAU S without delegation: the server shows its host certificate.
	c.do("DCAU S /O=Test/CN=Ada", "200")
	c.do("PROT C", "200")
	c.do("MODE S", "200")
	c.roundTrip("S", data.Config{Security: &gsi.DataConfig{
		Credential: w.ada, Trust: w.ca.Trust(), Prot: gsi.Clear, ExpectIdentity: w.hostIdentity(),
	}}, "f", "hello")
	c.do("DCAU S /O=Test/CN=Eve", "200")
	set := c.passive()
	c.send("RETR f")
	_, err = set.ReceiveStream(t.Context(), &collector{}, 0, data.Config{Security: &gsi.DataConfig{
		Credential: w.ada, Trust: w.ca.Trust(), Prot: gsi.Clear, ExpectIdentity: w.hostIdentity(),
	}}, data.ReceiveOptions{})
	c.finish("150", "425")
	if err != nil && errors.Is(err, io.EOF) {
		t.Errorf("the refused peer saw an ordinary end: %v", err)
	}
}

func (w *secureWorld) hostIdentity() string { return w.host.Identity() }

// TestConnectionsAreNotReusedUnderOtherSecurity proves that data never go over
// a connection made before they were to be protected.
func TestConnectionsAreNotReusedUnderOtherSecurity(t *testing.T) {
	w := newSecureWorld(t)
	c := w.secure(gsi.ClientConfig{Delegate: gsi.DelegateFull})
	c.do("MODE E", "200")
	for _, step := range []string{"PROT P", "PROT C", "DCAU N"} {
		c.do("DCAU A", "200")
		clear := data.Config{Security: w.dataSecurity('A', gsi.Clear)}
		if step == "PROT C" {
			clear.Security.Prot = gsi.Private
			c.do("PROT P", "200")
		}
		set := c.passive()
		for i := range 2 {
			c.send("STOR f")
			if _, err := set.Send(t.Context(), data.NewStreamSource(strings.NewReader("x"), 0), clear, data.SendOptions{}); err != nil {
				t.Fatal(err)
			}
			c.finish([]string{"150", "125"}[i], "226")
		}
		c.do(step, "200")
		c.send("STOR f")
		// A client that goes on as before writes to a connection that is gone.
		_, _ = set.Send(t.Context(), data.NewStreamSource(strings.NewReader("x"), 0), clear, data.SendOptions{})
		// The server waits for another one. Had it taken what came over the old
		// one, it would have said so by the time that this one comes and goes.
		time.AfterFunc(300*time.Millisecond, func() {
			if conn, err := net.Dial("tcp", set.Addr().String()); err == nil {
				conn.Close()
			}
		})
		r := c.reply()
		for r.Preliminary() {
			r = c.reply()
		}
		if r.Code/100 != 4 {
			t.Errorf("%s: the server said %v", step, r)
		}
		c.do("PROT C", "200")
	}
}
