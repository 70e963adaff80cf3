package gsi

import (
	"strings"
	"testing"
)

func TestAnonymousClient(t *testing.T) {
	f := newForgery(t)
	host, user := f.end("localhost"), f.end("Ada")
	nobody := ClientConfig{Anonymous: true, Trust: f.trust(), ServerName: "localhost"}
	for _, v := range versions {
		nobody.MaxVersion = v
		m := meet(nobody, ServerConfig{Credential: host, Trust: f.trust(), Anonymous: true})
		if m.clientErr != nil || m.serverErr != nil {
			t.Fatalf("%x: client: %v, server: %v", v, m.clientErr, m.serverErr)
		}
		if m.server.Peer() != nil || m.client.Peer().Identity != host.Identity() {
			t.Errorf("%x: the server sees %v, the client %v", v, m.server.Peer(), m.client.Peer())
		}
		exchange(t, m.client, m.server, "from nobody")
		exchange(t, m.server, m.client, "to nobody")

		// Those who have a certificate still show it, and it is still judged.
		somebody := ClientConfig{Credential: user, Trust: f.trust(), ServerName: "localhost", MaxVersion: v}
		m = meet(somebody, ServerConfig{Credential: host, Trust: f.trust(), Anonymous: true})
		if m.serverErr != nil || m.server.Peer().Identity != user.Identity() {
			t.Errorf("%x: %v, %v", v, m.serverErr, m.server)
		}
		somebody.Credential = newForgery(t).end("Eve")
		if m = meet(somebody, ServerConfig{Credential: host, Trust: f.trust(), Anonymous: true}); m.serverErr == nil {
			t.Errorf("%x: a certificate of an unknown authority was accepted because none would be", v)
		}

		if m = meet(nobody, ServerConfig{Credential: host, Trust: f.trust()}); m.serverErr == nil {
			t.Errorf("%x: a server that wants certificates took a client without", v)
		}
		elsewhere := nobody
		elsewhere.Trust = newForgery(t).trust()
		if m = meet(elsewhere, ServerConfig{Credential: host, Trust: f.trust(), Anonymous: true}); m.clientErr == nil {
			t.Errorf("%x: an anonymous client believed an unknown authority", v)
		}
	}
	nobody.Delegate = DelegateFull
	if m := meet(nobody, ServerConfig{Credential: host, Trust: f.trust(), Anonymous: true}); m.clientErr == nil || !strings.Contains(m.clientErr.Error(), "nothing to delegate") {
		t.Errorf("an anonymous delegation ended with %v", m.clientErr)
	}
}
