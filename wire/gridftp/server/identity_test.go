package server_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/gridferry/gridferry/wire/gridftp/data"
	"github.com/gridferry/gridferry/wire/gridftp/server"
	"github.com/gridferry/gridferry/wire/gsi"
	"github.com/gridferry/gridferry/wire/gsi/gsitest"
)

// TestIdentityInForce: a login meets the certificate and the authorities of its
// time, and a data channel the authorities.
func TestIdentityInForce(t *testing.T) {
	var credential *gsi.Credential
	var trust *gsi.Trust
	var problem error
	w := newSecureWorld(t, func(c *server.Config) {
		credential, trust = c.Credential, c.Trust
		c.Identity = func() (*gsi.Credential, *gsi.Trust, error) { return credential, trust, problem }
	})
	fingerprint := func(c *secureScript) string {
		return (&gsi.Credential{Chain: c.gss.Peer().Chain}).Fingerprint()
	}
	w.write("f", "hello")
	early := w.secure(gsi.ClientConfig{Delegate: gsi.DelegateFull})
	if fingerprint(early) != credential.Fingerprint() {
		t.Error("the server shows another certificate than it has")
	}
	early.roundTrip("S", data.Config{Security: w.dataSecurity('A', gsi.Clear)}, "f", "hello")

	credential = w.ca.Host("renewed")
	if late := w.secure(gsi.ClientConfig{}); fingerprint(late) != credential.Fingerprint() {
		t.Error("the server does not show its new certificate")
	}

	trust = gsitest.NewCA(t).Trust()
	if _, r, err := w.handshake(gsi.ClientConfig{Credential: w.ada}); err == nil && r.Code != 535 {
		t.Errorf("an authority that was taken out lets somebody in: %v", r)
	}

	// Who is logged in stays, and makes no new data channel.
	set := early.passive()
	early.send("RETR f")
	_, _ = set.ReceiveStream(t.Context(), &collector{}, 0, data.Config{Security: w.dataSecurity('A', gsi.Clear)}, data.ReceiveOptions{})
	early.finish("150", "425")

	problem = errors.New("the file has a secret place")
	c := w.dial()
	c.send("AUTH GSSAPI")
	if r := c.reply(); r.Code != 431 || strings.Contains(r.String(), "secret") {
		t.Errorf("without a certificate: %v", r)
	}
	early.do("NOOP", "200")
}
