package access

import (
	"strings"
	"testing"

	"github.com/gridferry/gridferry/transfer"
)

// TestTwoAuthorities moves a tree between two servers that do not believe each
// other's authority, as another identity at each end, with a daemon that has no
// credential of its own. The task waits until its owner has activated both
// ends: one with a proxy that is given away, one with a signature alone.
func TestTwoAuthorities(t *testing.T) {
	s := newSite(t, nil)
	fill(t, s.north, "run7")
	id := s.submit(ada, "north#dtn:"+s.north.Path("run7")+"/", "south#dtn:"+s.south.Path("in")+"/")
	task := s.becomes(ada, id, transfer.Inactive)
	if !strings.Contains(task.Verdict, "#dtn") {
		t.Errorf("the verdict does not say where a credential is wanted: %s", task.Verdict)
	}
	if r := s.as(ada, nil, "endpoint", "status", "north#dtn"); r.code != 6 {
		t.Errorf("not activated, and the exit code is %d: %s", r.code, r.stderr)
	}

	north, south := s.northCA.Proxy(s.northCA.User("Ada")), s.southCA.Proxy(s.southCA.User("Countess of Lovelace"))
	if r := s.as(ada, south, "endpoint", "activate", "north#dtn", "--proxy-file", "/nonexistent"); r.code != 6 {
		t.Errorf("a proxy that is not there: exit code %d: %s", r.code, r.stderr)
	}
	said := s.good(s.as(ada, north, "endpoint", "activate", "north#dtn", "--delegate"))
	if !strings.Contains(said, northAda) {
		t.Errorf("activated as whom? %s", said)
	}
	s.good(s.as(ada, south, "endpoint", "activate", "south#dtn", "--proxy-file", s.proxyFile(south, ada)))

	task = s.becomes(ada, id, transfer.Succeeded)
	if task.Route.Path != transfer.RouteThirdParty {
		t.Errorf("the route was %s: %s", task.Route.Path, task.Route.Reason)
	}
	same(t, s.north.Path("run7"), s.south.Path("in"))
	for name, server := range map[string]string{"north": s.north.SessionLog(), "south": s.south.SessionLog()} {
		if !strings.Contains(server, "DCSC") || strings.Contains(server, "DCAU N") {
			t.Errorf("%s: the data channel was not authenticated under two authorities", name)
		}
	}
	for name, x := range map[string]struct{ log, dn string }{"north": {s.north.SessionLog(), northAda}, "south": {s.south.SessionLog(), southAda}} {
		if !strings.Contains(x.log, x.dn) {
			t.Errorf("%s was never logged in to as %s", name, x.dn)
		}
	}

	status := s.good(s.as(ada, nil, "endpoint", "status"))
	for _, want := range []string{"north#dtn", "south#dtn", "delegated", "proxy", " left ", northAda, southAda} {
		if !strings.Contains(status, want) {
			t.Errorf("no %q in\n%s", want, status)
		}
	}
	if other := s.good(s.as(bob, nil, "endpoint", "status", "--json")); strings.TrimSpace(other) != "[]" {
		t.Errorf("another user sees %s", other)
	}
	// What was taken away is gone, also from the sessions that the daemon keeps.
	s.good(s.as(ada, nil, "endpoint", "deactivate", "north#dtn"))
	if r := s.as(ada, nil, "ls", "north#dtn:"+s.north.Root); r.code != 6 || !strings.Contains(r.stderr, "endpoint activate north#dtn") {
		t.Errorf("exit code %d: %s%s", r.code, r.stdout, r.stderr)
	}
	s.good(s.as(ada, nil, "ls", "south#dtn:"+s.south.Root))
	if r := s.as(bob, nil, "ls", "south#dtn:"+s.south.Root); r.code != 6 {
		t.Errorf("another user may use it: exit code %d: %s%s", r.code, r.stdout, r.stderr)
	}
}

// TestWhatIsRefused gives the daemon what it must not take.
func TestWhatIsRefused(t *testing.T) {
	s := newSite(t, nil)
	mine := s.northCA.Proxy(s.northCA.User("Ada"))
	for _, x := range []struct {
		name string
		args []string
		code int
		says string
	}{
		{"no such endpoint", []string{"west#dtn", "--delegate"}, 5, "west#dtn"},
		{"a server of plain FTP", []string{"ftp://north", "--delegate"}, 2, "needs no activation"},
		{"a directory", []string{"file://north", "--delegate"}, 2, "needs no activation"},
	} {
		r := s.as(ada, mine, append([]string{"endpoint", "activate"}, x.args...)...)
		if r.code != x.code || !strings.Contains(r.stderr, x.says) {
			t.Errorf("%s: exit code %d: %s", x.name, r.code, r.stderr)
		}
	}
}
