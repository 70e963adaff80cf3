package gsitest_test

import (
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/gridferry/gridferry/wire/gsi"
	"github.com/gridferry/gridferry/wire/gsi/gsitest"
)

func TestCA(t *testing.T) {
	ca := gsitest.NewCA(t)
	trust, err := gsi.LoadTrust(ca.Dir)
	if err != nil {
		t.Fatal(err)
	}

	cert, key := ca.PairFiles(ca.Host("dtn.example.org"))
	host, err := gsi.LoadPair(cert, key)
	if err != nil {
		t.Fatal(err)
	}
	peer, err := trust.Verify(host.Chain, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"localhost", "127.0.0.1", "::1", "dtn.example.org"} {
		if err := gsi.MatchHost(peer.EEC(), name); err != nil {
			t.Error(err)
		}
	}

	user, err := gsi.LoadProxy(ca.ProxyFile(ca.Proxy(ca.User("Ada"))))
	if err != nil {
		t.Fatal(err)
	}
	if peer, err = ca.Trust().Verify(user.Chain, time.Now()); err != nil {
		t.Fatal(err)
	}
	if peer.Identity != "/O=Test/CN=Ada" {
		t.Errorf("the proxy is of %s", peer.Identity)
	}
}

// TestGlobusReadsTheProxy asks the program that grid users ask.
func TestGlobusReadsTheProxy(t *testing.T) {
	if _, err := exec.LookPath("grid-proxy-info"); err != nil {
		t.Skip("needs the grid-proxy-info command (Debian: globus-proxy-utils)")
	}
	ca := gsitest.NewCA(t)
	out, err := exec.Command("grid-proxy-info", "-file", ca.ProxyFile(ca.Proxy(ca.User("Ada")))).CombinedOutput()
	if err != nil {
		t.Fatalf("grid-proxy-info: %v\n%s", err, out)
	}
	for _, line := range []string{"identity : /O=Test/CN=Ada\n", "RFC 3820 compliant impersonation proxy", "strength : 2048 bits"} {
		if !strings.Contains(string(out), line) {
			t.Errorf("no %q in\n%s", line, out)
		}
	}
}
