package wire_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/gridferry/gridferry/integration/globus"
	"github.com/gridferry/gridferry/integration/harness"
	"github.com/gridferry/gridferry/wire/gridftp"
)

// TestBlocked puts a firewall between two servers that we can both reach: the
// data channel is recognised as blocked, and named with its addresses.
func TestBlocked(t *testing.T) {
	net := harness.NewNetwork(t)
	w := newWorld(t)
	hosts := []*harness.Host{net.Host("a"), net.Host("b")}
	var servers []*globus.Server
	for _, h := range hosts {
		servers = append(servers, globus.NewServer(t, globus.Options{CA: w.ca, Address: h.Address, Namespace: h.Namespace}))
	}
	a, b := servers[0], servers[1]
	files := mixed(t, a, b, "files")
	move(t, w.dial(a), w.dial(b), gridftp.Options{}, files...)
	wantMoved(t, files)

	hosts[1].Block(hosts[0])
	for _, mode := range []gridftp.Mode{gridftp.ExtendedBlock, gridftp.Stream} {
		src, dst := w.dial(a), w.dial(b)
		start := time.Now()
		err := gridftp.ThirdParty(bounded(t), src, dst, gridftp.Options{Mode: mode, FirstByte: 3 * time.Second}, list(files), gridftp.Observer{})
		var stall *gridftp.StallError
		if !errors.As(err, &stall) || !stall.First {
			t.Fatalf("mode %c: %v", mode, err)
		}
		if took := time.Since(start); took > 20*time.Second {
			t.Errorf("mode %c: it took %v", mode, took)
		}
		if text := err.Error(); !strings.Contains(text, hosts[0].Address+" to ["+hosts[1].Address+":") {
			t.Errorf("mode %c: the addresses are missing: %s", mode, text)
		}
		if src.Err() == nil || dst.Err() == nil {
			t.Errorf("mode %c: a session was left open", mode)
		}
	}
}
