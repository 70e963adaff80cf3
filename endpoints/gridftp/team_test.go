package gridftp

import (
	"context"
	"errors"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gridferry/gridferry/endpoints"
	"github.com/gridferry/gridferry/fault"
	wire "github.com/gridferry/gridferry/wire/gridftp"
)

func testTeam(t *testing.T, servers ...string) (*Driver, *team) {
	t.Helper()
	d := New(Config{})
	t.Cleanup(d.Close)
	team := teamOf(t, d, servers...)
	if teamOf(t, d, servers...) != team {
		t.Error("the same servers are two teams")
	}
	return d, team
}

// teamOf is the team of a storage that stays open until the test ends.
func teamOf(t *testing.T, d *Driver, servers ...string) *team {
	t.Helper()
	team, _, leave := d.use(wire.FTP, endpoints.Record{Name: "lab#dtn", Servers: servers})
	t.Cleanup(leave)
	team.servers(t.Context())
	return team
}

// choose begins logins and returns where to.
func choose(t *testing.T, team *team, n int) (at []string, attempts []*attempt) {
	t.Helper()
	for range n {
		left, _ := team.left(t.Context(), nil)
		m, a := team.choose(left)
		if a == nil {
			at = append(at, "nobody")
			continue
		}
		at, attempts = append(at, m.addr), append(attempts, a)
	}
	return at, attempts
}

func TestTeamSharesTheLoad(t *testing.T) {
	d, team := testTeam(t, "127.0.0.1:1", "127.0.0.1:2", "127.0.0.1:3")
	got, attempts := choose(t, team, 6)
	for _, addr := range team.names {
		n := len(slices.DeleteFunc(slices.Clone(got), func(s string) bool { return s != addr }))
		if n != 2 {
			t.Errorf("%s got %d of 6 logins: %v", addr, n, got)
		}
	}
	// The one that has ended its logins has the least to do.
	s := d.server(wire.FTP, "127.0.0.1:2")
	for i, a := range attempts {
		if got[i] == s.addr {
			s.ended(a, answered, nil)
		}
	}
	if got, _ := choose(t, team, 2); !slices.Equal(got, []string{s.addr, s.addr}) {
		t.Errorf("the next logins go to %v, and %s has none", got, s.addr)
	}
}

func TestTeamLeavesOutWhoFails(t *testing.T) { synctest.Test(t, testTeamLeavesOutWhoFails) }

func testTeamLeavesOutWhoFails(t *testing.T) {
	d, team := testTeam(t, "127.0.0.1:1", "127.0.0.1:2")
	var mu sync.Mutex
	var changes []endpoints.ServerChange
	stop := team.watch(func(c endpoints.ServerChange) {
		mu.Lock()
		defer mu.Unlock()
		changes = append(changes, c)
	})
	defer stop()
	bad, good := d.server(wire.FTP, "127.0.0.1:1"), "127.0.0.1:2"

	bad.mu.Lock()
	bad.looking = true // nobody but this test
	hung, first := bad.begin(false), bad.begin(false)
	ended := errors.New("not ended")
	hung.end = func(err error) { ended = err }
	bad.mu.Unlock()
	bad.ended(first, failed, errors.New("connection refused"))
	if !errors.Is(ended, errLeftOut) {
		t.Errorf("another login there goes on: %v", ended)
	}
	bad.ended(hung, showedNot, nil)
	if got, _ := choose(t, team, 3); !slices.Equal(got, []string{good, good, good}) {
		t.Errorf("logins go to %v", got)
	}

	bad.mu.Lock()
	bad.breaker.greeted()
	bad.mu.Unlock()
	got, attempts := choose(t, team, 2)
	if !slices.Equal(got, []string{bad.addr, good}) || !attempts[0].trial {
		t.Fatalf("when it greets again, logins go to %v", got)
	}
	bad.ended(attempts[0], answered, nil)
	if got, _ := choose(t, team, 1); got[0] != bad.addr {
		t.Errorf("well again, and without a session, it is passed over for %v", got)
	}
	mu.Lock()
	defer mu.Unlock()
	if len(changes) != 2 || !changes[0].Out || changes[1].Out || changes[0].Server != bad.addr || !strings.Contains(changes[0].Why, "refused") {
		t.Errorf("told of %+v", changes)
	}
}

func TestTeamAvoidsSlowAndFull(t *testing.T) {
	d, team := testTeam(t, "127.0.0.1:1", "127.0.0.1:2", "127.0.0.1:3")
	slow, full := d.server(wire.FTP, "127.0.0.1:1"), d.server(wire.FTP, "127.0.0.1:2")
	slow.begin(false).begun = time.Now().Add(-2 * slowLogin)
	full.ended(full.begin(false), wasFull, nil)
	if got, _ := choose(t, team, 3); !slices.Equal(got, []string{"127.0.0.1:3", "127.0.0.1:3", "127.0.0.1:3"}) {
		t.Errorf("logins go to %v", got)
	}
}

// silentServer accepts connections, and greets or says nothing.
type silentServer struct {
	net.Listener
	mu    sync.Mutex
	greet bool
	seen  int
}

func newSilentServer(t *testing.T, greet bool) *silentServer {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &silentServer{Listener: l, greet: greet}
	var conns []net.Conn
	t.Cleanup(func() {
		l.Close()
		s.mu.Lock()
		defer s.mu.Unlock()
		for _, c := range conns {
			c.Close()
		}
	})
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			s.mu.Lock()
			conns = append(conns, c)
			s.seen++
			if s.greet {
				_, _ = c.Write([]byte("220 here\r\n"))
			}
			s.mu.Unlock()
		}
	}()
	return s
}

func (s *silentServer) state(d *Driver) breakerState {
	server := d.server(wire.FTP, s.Addr().String())
	server.mu.Lock()
	defer server.mu.Unlock()
	if server.breaker.is(closed) {
		return closed
	}
	return server.breaker.state
}

// eventually polls a condition.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for end := time.Now().Add(time.Minute); time.Now().Before(end); <-tick.C {
		if ok() {
			return
		}
	}
	t.Fatalf("%s: not within a minute", what)
}

// TestLookFindsAServerAgain: the breaker of a server that was left out is
// half-open soon after it greets, without any session.
func TestLookFindsAServerAgain(t *testing.T) {
	s := newSilentServer(t, true)
	d, team := testTeam(t, s.Addr().String())
	server := d.server(wire.FTP, s.Addr().String())
	team.left(t.Context(), nil) // it is wanted
	server.ended(server.begin(false), failed, errors.New("reset"))
	eventually(t, "half-open", func() bool { return s.state(d) == halfOpen })
}

// TestHeardIsLookedAt: what another worker has found down is not believed, but
// looked at, and avoided meanwhile.
func TestHeardIsLookedAt(t *testing.T) {
	well := newSilentServer(t, true)
	d, _ := testTeam(t, well.Addr().String())
	down := endpoints.Down{Server: well.Addr().String(), Since: time.Now()}
	d.SetCondition(endpoints.Condition{Down: []endpoints.Down{down}})
	server := d.server(wire.FTP, well.Addr().String())
	eventually(t, "the look", func() bool {
		server.mu.Lock()
		defer server.mu.Unlock()
		return !server.doubted
	})
	if well.state(d) != closed {
		t.Error("a server that greets is left out")
	}
	dead := newSilentServer(t, false)
	dead.Close()
	teamOf(t, d, dead.Addr().String())
	down.Server = dead.Addr().String()
	d.SetCondition(endpoints.Condition{Down: []endpoints.Down{down}})
	eventually(t, "left out", func() bool { return dead.state(d) == open })
}

// TestPickWaitsForALook: where all servers are left out, a session has them
// looked at rather than wait for their rest to be over.
func TestPickWaitsForALook(t *testing.T) {
	s := newSilentServer(t, true)
	d, team := testTeam(t, s.Addr().String())
	at := d.server(wire.FTP, s.Addr().String())
	at.mu.Lock()
	for range 8 { // it has failed for long
		at.breaker.fail("refused", time.Now())
	}
	at.mu.Unlock()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	m, a, err := team.pick(ctx, "lab#dtn", map[*server]bool{})
	if err != nil || a == nil || !a.trial || m.server != at {
		t.Fatalf("picked %v: %v", a, err)
	}
	// Only one is on trial. The others wait for it.
	waited := make(chan error, 1)
	go func() {
		_, _, err := team.pick(ctx, "lab#dtn", map[*server]bool{})
		waited <- err
	}()
	at.ended(a, failed, errors.New("it does not let us in"))
	if err := <-waited; err != nil && (!fault.Is(err, fault.Transient) || !strings.Contains(err.Error(), "let us in")) {
		t.Errorf("who waited is told %v", err)
	}
}

func TestDrained(t *testing.T) { synctest.Test(t, testDrained) }

func testDrained(t *testing.T) {
	d, team := testTeam(t, "127.0.0.1:1", "127.0.0.1:2")
	one := endpoints.Drain{Name: "127.0.0.1:1", Reason: "a new disk", Since: time.Now()}
	d.SetCondition(endpoints.Condition{Drains: []endpoints.Drain{one}})
	if got, _ := choose(t, team, 2); !slices.Equal(got, []string{"127.0.0.1:2", "127.0.0.1:2"}) {
		t.Errorf("logins go to %v", got)
	}
	two := one
	two.Name = "127.0.0.1:2"
	d.SetCondition(endpoints.Condition{Drains: []endpoints.Drain{one, two}})
	_, _, err := team.pick(t.Context(), "lab#dtn", nil)
	if !fault.Is(err, fault.Busy) || !errors.As(err, new(*endpoints.DrainedError)) || !strings.Contains(err.Error(), "a new disk") {
		t.Errorf("all drained: %v", err)
	}
	d.SetCondition(endpoints.Condition{Drains: []endpoints.Drain{{Name: "lab#dtn"}}})
	rec := endpoints.Record{Name: "lab#dtn", Kind: Kind, Scheme: "ftp", Servers: team.names}
	if _, err := d.Open(t.Context(), rec, Identity{}); !errors.As(err, new(*endpoints.DrainedError)) {
		t.Errorf("the endpoint drained: %v", err)
	}
	d.SetCondition(endpoints.Condition{})
	if got, _ := choose(t, team, 1); got[0] == "nobody" {
		t.Error("drained for good")
	}
	// A server that is met for the first time is drained from the beginning.
	d.SetCondition(endpoints.Condition{Drains: []endpoints.Drain{{Name: "127.0.0.1:9"}}})
	if d.server(wire.FTP, "127.0.0.1:9").drain == nil {
		t.Error("a new server is not drained")
	}
}

func TestServerName(t *testing.T) {
	for _, c := range [][3]string{
		{"", "a.example", "a.example:2811"}, {"ftp", "a.example", "a.example:21"}, {"gsiftp", "a.example:5000", "a.example:5000"}, {"", "[::1]", "[::1]:2811"},
	} {
		if got := ServerName(c[0], c[1]); got != c[2] {
			t.Errorf("%s %s: %s", c[0], c[1], got)
		}
	}
}

// TestTeamEvensOut: sessions that last go over to a server that came back.
func TestTeamEvensOut(t *testing.T) { synctest.Test(t, testTeamEvensOut) }

func testTeamEvensOut(t *testing.T) {
	d, team := testTeam(t, "127.0.0.1:1", "127.0.0.1:2")
	busy, back := d.server(wire.FTP, "127.0.0.1:1"), d.server(wire.FTP, "127.0.0.1:2")
	back.mu.Lock()
	back.breaker.fail("refused", time.Now())
	back.mu.Unlock()
	for range 2 {
		busy.begin(false)
	}
	if team.crowded(busy) {
		t.Error("a session is sent to a server that is left out")
	}
	back.mu.Lock()
	back.breaker.greeted()
	back.mu.Unlock()
	if !team.crowded(busy) || team.crowded(busy) {
		t.Error("not one session at a time is sent over")
	}
	team.evened = time.Time{}
	back.begin(false)
	if team.crowded(busy) {
		t.Error("sessions are sent back and forth")
	}
}
