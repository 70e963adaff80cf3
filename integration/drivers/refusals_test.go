package drivers_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/gridferry/gridferry/endpoints"
	"github.com/gridferry/gridferry/endpoints/gridftp"
	"github.com/gridferry/gridferry/fault"
	"github.com/gridferry/gridferry/integration/globus"
	"github.com/gridferry/gridferry/integration/harness"
	"github.com/gridferry/gridferry/wire/gsi/gsitest"
)

// Who cannot log in is told that it is the credential, and what to do.
func TestLoginsThatFail(t *testing.T) {
	w := newWorld(t)
	s := globus.NewServer(t, globus.Options{CA: w.ca})
	rec := endpoints.Record{Name: "lab#dtn", Kind: gridftp.Kind, Servers: []string{s.Addr()}}
	stranger := gsitest.NewCA(t)
	for what, c := range map[string]struct {
		id   gridftp.Identity
		rec  func(*endpoints.Record)
		hint string
	}{
		"a server of an unknown authority": {id: gridftp.Identity{Owner: "ada", Credential: w.id.Credential, Trust: stranger.Trust()}, hint: "trust directory"},
		"somebody the gridmap leaves out":  {id: gridftp.Identity{Owner: "eve", Credential: w.ca.Proxy(w.ca.User("Eve")), Trust: w.id.Trust}, hint: "let us in"},
		"a user of an unknown authority":   {id: gridftp.Identity{Owner: "ada", Credential: stranger.Proxy(stranger.User("Ada")), Trust: w.id.Trust}},
		"a server that is another": {id: w.id, hint: "identity", rec: func(r *endpoints.Record) {
			r.Options = map[string]string{"identity": "/O=Test/CN=Somebody else"}
		}},
	} {
		r := rec
		if c.rec != nil {
			c.rec(&r)
		}
		_, err := w.driver.Open(t.Context(), r, c.id)
		if !fault.Is(err, fault.Credential) || !strings.Contains(err.Error(), "lab#dtn") || !strings.Contains(err.Error(), c.hint) {
			t.Errorf("%s: %s: %v", what, fault.KindOf(err), err)
		}
	}
	// None of that is held against the server.
	w.open(t, rec)
}

func fileOf(t *testing.T, path string, n int) {
	t.Helper()
	if err := os.WriteFile(path, make([]byte, n), 0o644); err != nil {
		t.Fatal(err)
	}
}

// one hands out one file.
func one(f endpoints.Send) func() (endpoints.Send, bool) {
	given := false
	return func() (endpoints.Send, bool) {
		defer func() { given = true }()
		return f, !given
	}
}

// What is to be encrypted is, in third-party transfers and in relays.
func TestPrivateDataChannels(t *testing.T) {
	w := newWorld(t)
	a, b := globus.NewServer(t, globus.Options{CA: w.ca}), globus.NewServer(t, globus.Options{CA: w.ca})
	rec := func(s *globus.Server) endpoints.Record {
		return endpoints.Record{Kind: gridftp.Kind, Servers: []string{s.Addr()}}
	}
	fileOf(t, a.Path("f"), 1000)
	src, dst := w.open(t, rec(a)), w.open(t, rec(b))
	send := func(opts endpoints.SendOptions) {
		t.Helper()
		opts.Parallelism, opts.Pipelining = 1, 1
		err := src.Send(t.Context(), dst, opts, one(endpoints.Send{Source: a.Path("f"), Dest: b.Path("f"), Size: 1000}), func(s endpoints.Sent) {
			if s.Err != nil || s.Suspect {
				t.Errorf("sent: %+v", s)
			}
		}, nil)
		if err != nil {
			t.Fatal(err)
		}
	}
	private := func() bool {
		return strings.Contains(a.SessionLog(), "PROT P") && strings.Contains(b.SessionLog(), "PROT P")
	}
	send(endpoints.SendOptions{})
	if private() {
		t.Error("what was not to be encrypted was")
	}
	send(endpoints.SendOptions{Encrypt: true})
	if !private() {
		t.Error("a third-party transfer was not encrypted")
	}

	c := globus.NewServer(t, globus.Options{CA: w.ca})
	fileOf(t, c.Path("f"), 1000)
	s := w.open(t, rec(c))
	if err := s.SetPrivate(true); err != nil {
		t.Fatal(err)
	}
	r, err := s.Open(t.Context(), c.Path("f"), 0, -1)
	if err != nil {
		t.Fatal(err)
	}
	r.Close()
	if !strings.Contains(c.SessionLog(), "PROT P") {
		t.Error("a relayed read was not encrypted")
	}
}

// A firewall between two servers is told apart from other trouble, with the
// addresses, so that a relay can be tried.
func TestBlockedDataChannel(t *testing.T) {
	net := harness.NewNetwork(t)
	w := newWorld(t)
	w.driver = gridftp.New(gridftp.Config{Blocked: 3 * time.Second})
	t.Cleanup(w.driver.Close)
	hosts := []*harness.Host{net.Host("a"), net.Host("b")}
	var servers []*globus.Server
	var opened []*gridftp.Storage
	for _, h := range hosts {
		s := globus.NewServer(t, globus.Options{CA: w.ca, Address: h.Address, Namespace: h.Namespace})
		servers = append(servers, s)
		opened = append(opened, w.open(t, endpoints.Record{Kind: gridftp.Kind, Servers: []string{s.Addr()}}))
	}
	hosts[1].Block(hosts[0])
	fileOf(t, servers[0].Path("f"), 1000)
	var told []endpoints.Sent
	err := opened[0].Send(t.Context(), opened[1], endpoints.SendOptions{Parallelism: 1, Pipelining: 5},
		one(endpoints.Send{Source: servers[0].Path("f"), Dest: servers[1].Path("f"), Size: 1000}), func(s endpoints.Sent) { told = append(told, s) }, nil)
	if !errors.Is(err, endpoints.ErrDataBlocked) || !fault.Is(err, fault.Transient) {
		t.Fatalf("the run ended with %v", err)
	}
	for _, address := range []string{hosts[0].Address, hosts[1].Address} {
		if !strings.Contains(err.Error(), address) {
			t.Errorf("%s is not named: %v", address, err)
		}
	}
	if len(told) != 1 || !told[0].Suspect {
		t.Errorf("told of %+v", told)
	}
}

// A server that goes away is passed over while another is there, and its
// sessions are not handed out again.
func TestServerThatGoesAway(t *testing.T) {
	w := newWorld(t)
	a := globus.NewServer(t, globus.Options{CA: w.ca})
	b := globus.NewServer(t, globus.Options{CA: w.ca, Root: a.Root})
	s := w.open(t, endpoints.Record{Name: "lab#pool", Kind: gridftp.Kind, Servers: []string{a.Addr(), b.Addr()}})
	dir := fresh(t, a.Root)
	for i := range 4 {
		if err := s.Mkdir(t.Context(), filepath.Join(dir, fmt.Sprint("before", i))); err != nil {
			t.Fatal(err)
		}
	}
	a.Kill()
	failures := 0
	for i := range 10 {
		switch err := s.Mkdir(t.Context(), filepath.Join(dir, fmt.Sprint("after", i))); {
		case fault.Is(err, fault.Transient):
			failures++ // a session that died with its server
		case err != nil:
			t.Errorf("with one server of two: %v", err)
		}
	}
	if failures > 2 {
		t.Errorf("%d calls failed with one server of two", failures)
	}
	b.Kill()
	for range 3 {
		if _, err := s.Stat(t.Context(), dir); !fault.Is(err, fault.Transient) {
			t.Errorf("with no server at all: %v", err)
		}
	}
}
