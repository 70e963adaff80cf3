package wire_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/gridferry/gridferry/integration/globus"
	"github.com/gridferry/gridferry/wire/gridftp"
	"github.com/gridferry/gridferry/wire/gsi"
	"github.com/gridferry/gridferry/wire/gsi/gsitest"
)

// TestLogin logs in with each version of TLS, with and without delegation, and
// with the kinds of credentials that people have.
func TestLogin(t *testing.T) {
	w := newWorld(t)
	s := w.server()
	eec := w.ca.User("Ada")
	for name, credential := range map[string]*gsi.Credential{"proxy": w.user, "certificate": eec, "proxy of a proxy": w.ca.Proxy(w.user)} {
		for _, version := range []gsi.Version{0x303, 0x304} {
			for _, delegation := range []gridftp.Delegation{gridftp.DelegateAuto, gridftp.DelegateNever, gridftp.DelegateAlways} {
				c := w.dial(s, func(c *gridftp.Config) {
					c.Credential, c.MinTLS, c.MaxTLS, c.Delegation = credential, version, version, delegation
				})
				if c.TLSVersion() != version || c.Delegated() != (delegation == gridftp.DelegateAlways) {
					t.Errorf("%s: TLS %#x, delegated %v", name, c.TLSVersion(), c.Delegated())
				}
				if !c.Features().DCSC() || len(c.Features().Checksums()) == 0 {
					t.Errorf("%s: features %v", name, c.Features())
				}
				if !strings.HasPrefix(c.Peer().Identity, "/O=Test/CN=") {
					t.Errorf("%s: the server is %s", name, c.Peer().Identity)
				}
				must(t, c.Noop(bounded(t)))
				must(t, c.Quit(bounded(t)))
			}
		}
	}
}

// TestLoginRefused: whom we do not trust, and who does not trust us.
func TestLoginRefused(t *testing.T) {
	w := newWorld(t)
	s := w.server()
	strangers := gsitest.NewCA(t)
	var trust *gsi.TrustError
	var refusal *gridftp.ReplyError
	for name, test := range map[string]struct {
		edit func(*gridftp.Config)
		want any
	}{
		"a server of an unknown authority":  {func(c *gridftp.Config) { c.Trust = strangers.Trust() }, &trust},
		"a server with another's name":      {func(c *gridftp.Config) { c.Host = "data.example.org" }, &trust},
		"a server that is somebody else":    {func(c *gridftp.Config) { c.Identity = "/O=Test/CN=Somebody" }, &trust},
		"a user of an unknown authority":    {func(c *gridftp.Config) { c.Credential = strangers.Proxy(strangers.User("Ada")) }, &refusal},
		"a user who is in no gridmap":       {func(c *gridftp.Config) { c.Credential = w.ca.Proxy(w.ca.User("Eve")) }, &refusal},
		"an account that is not the user's": {func(c *gridftp.Config) { c.User = "nobody" }, &refusal},
	} {
		for _, version := range []gsi.Version{0x303, 0x304} {
			config := w.config(s)
			config.MinTLS, config.MaxTLS = version, version
			test.edit(&config)
			_, err := gridftp.Dial(bounded(t), config)
			if !errors.As(err, test.want) {
				t.Errorf("%s, TLS %#x: %v", name, version, err)
			}
			if errors.As(err, &refusal) && !refusal.Login() {
				t.Errorf("%s, TLS %#x: not a refused login: %v", name, version, err)
			}
		}
	}
	short, err := w.ca.User("Ada").NewProxy(gsi.ProxyOptions{Lifetime: time.Second})
	must(t, err)
	time.Sleep(time.Until(short.NotAfter()) + time.Millisecond) // certificates end by the clock alone
	config := w.config(s)
	config.Credential = short
	if _, err := gridftp.Dial(bounded(t), config); err == nil {
		t.Error("an expired proxy logged in")
	}
}

// TestLoginIPv6 reaches a server over ::1.
func TestLoginIPv6(t *testing.T) {
	w := newWorld(t)
	s := globus.NewServer(t, globus.Options{CA: w.ca, Address: "::1"})
	c := w.dial(s)
	write(t, s, "f", content(1, 5000))
	for _, o := range []gridftp.TransferOptions{{Mode: gridftp.Stream}, {Mode: gridftp.ExtendedBlock, Parallelism: 2}} {
		var got memory
		if _, err := c.Get(bounded(t), gridftp.Transfer{Path: s.Path("f"), Sink: &got}, o); err != nil || string(got.b) != string(content(1, 5000)) {
			t.Errorf("mode %c: %d bytes, %v", o.Mode, len(got.b), err)
		}
		_, err := c.Put(bounded(t), gridftp.Transfer{Path: s.Path("g"), Source: source(content(2, 6000))}, o)
		must(t, err)
		want(t, s.Path("g"), content(2, 6000))
	}
}
