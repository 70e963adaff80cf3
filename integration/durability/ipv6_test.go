package durability

import (
	"net"
	"strings"
	"testing"
	"time"

	"github.com/gridferry/gridferry/integration/globus"
	"github.com/gridferry/gridferry/integration/tree"
	"github.com/gridferry/gridferry/transfer"
)

// TestIPv6 runs a task between two servers that are reached over ::1 alone, by
// either path.
func TestIPv6(t *testing.T) {
	t.Parallel()
	if l, err := net.Listen("tcp", "[::1]:0"); err != nil {
		t.Skip("needs IPv6 on the loopback interface:", err)
	} else {
		l.Close()
	}
	root := original(t, tree.Spec{Seed: 16, Files: 300, Bytes: 70 * mib, Large: []int64{40 * mib}, Odd: true, Deep: 4})
	s := newSite(t, siteOptions{src: globus.Options{Address: "::1", Root: root}, dst: globus.Options{Address: "::1"}})
	s.worker("only")
	for _, rule := range []transfer.RouteRule{transfer.RouteThirdParty, transfer.RouteRelay} {
		name := string(rule)
		id := s.submit(transfer.Request{Source: s.src.URL(""), Destination: s.dst.URL(name), Recursive: true, Route: rule})
		task := s.wait(id, 3*time.Minute, transfer.Succeeded)
		if task.Route.Path != rule || task.Progress.Faults > 0 {
			t.Errorf("%s: the route was %+v, with %d faults", name, task.Route, task.Progress.Faults)
		}
		equal, diffs, err := tree.Compare(root, s.dst.Path(name))
		must(t, err)
		if len(diffs) > 0 || equal == 0 {
			t.Errorf("%s: %d bytes are equal, and %d names differ: %v", name, equal, len(diffs), diffs[:min(len(diffs), 5)])
		}
	}
	for side, said := range map[string]string{"source": s.src.SessionLog(), "destination": s.dst.SessionLog()} {
		if strings.Contains(said, "[CLIENT]: PASV") || strings.Contains(said, "[CLIENT]: PORT") || !strings.Contains(said, "[CLIENT]: EP") {
			t.Errorf("the %s was not asked for IPv6 data channels alone", side)
		}
	}
}
