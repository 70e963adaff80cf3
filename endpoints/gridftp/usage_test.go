package gridftp

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gridferry/gridferry/endpoints"
	wire "github.com/gridferry/gridferry/wire/gridftp"
)

// newPlainServer lets everybody in, and knows no commands besides.
func newPlainServer(t *testing.T) (addr string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var sessions sync.WaitGroup
	t.Cleanup(func() {
		l.Close()
		sessions.Wait()
	})
	sessions.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			sessions.Go(func() { servePlain(c) })
		}
	})
	return l.Addr().String()
}

func servePlain(c net.Conn) {
	defer c.Close()
	say := func(reply string) { _, _ = c.Write([]byte(reply + "\r\n")) } // the client may be gone
	say("220 here")
	for lines := bufio.NewScanner(c); lines.Scan(); {
		switch verb, _, _ := strings.Cut(lines.Text(), " "); verb {
		case "USER":
			say("331 who says so?")
		case "PASS":
			say("230 come in")
		case "QUIT":
			say("221 bye")
			return
		default:
			say("200 ok")
		}
	}
}

// known counts what a driver remembers.
func (d *Driver) known() (named, teams, servers int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	return len(d.named), len(d.teams), len(d.servers)
}

// later has a driver forget, as if so much time had gone by.
func (d *Driver) later(by time.Duration) {
	d.mu.Lock()
	d.forgot = time.Time{}
	d.mu.Unlock()
	d.forget(time.Now().Add(by))
}

// TestForgetsWhatNobodyUses: hundreds of endpoints and servers come and go, and
// are forgotten, but for one that somebody has open.
func TestForgetsWhatNobodyUses(t *testing.T) {
	const servers, endpointsOfEach = 40, 5
	f := &fakeLimiter{}
	d := New(Config{})
	t.Cleanup(d.Close)
	d.UseLimiter(f)
	record := func(name string, servers ...string) endpoints.Record {
		return endpoints.Record{Name: name, Kind: Kind, Scheme: "ftp", Servers: servers, Limits: endpoints.Limits{Sessions: 2}}
	}
	kept := record("kept#dtn", newPlainServer(t))
	used, err := d.Open(t.Context(), kept, Identity{Owner: "ada"})
	if err != nil {
		t.Fatal(err)
	}
	var working sync.WaitGroup
	for i := range servers {
		addr := newPlainServer(t)
		working.Go(func() {
			for j := range endpointsOfEach {
				rec := record(fmt.Sprintf("user%d-%d#dtn", i, j), addr)
				s, err := d.Open(t.Context(), rec, Identity{Owner: fmt.Sprint("user", i)})
				if err != nil {
					t.Error(err)
					return
				}
				if err := s.Mkdir(t.Context(), "/x"); err != nil {
					t.Error(err)
				}
				s.Close()
				s.Close()
				d.later(0)
			}
		})
	}
	working.Wait()
	if named, teams, at := d.known(); named != 1+servers*endpointsOfEach || teams != 1+servers || at != 1+servers {
		t.Fatalf("of %d endpoints on %d servers %d, %d teams and %d servers are known while they were used just now",
			1+servers*endpointsOfEach, 1+servers, named, teams, at)
	}
	d.later(unusedFor - time.Minute)
	if named, _, _ := d.known(); named != 1+servers*endpointsOfEach {
		t.Errorf("%d endpoints are known a while later", named)
	}
	// Sessions that are still open count against limits.
	d.later(unusedFor + time.Minute)
	if named, _, at := d.known(); named <= 1 || at != 1+servers {
		t.Errorf("%d endpoints and %d servers are known while there are sessions", named, at)
	}
	for i := range servers {
		d.CloseOwner(fmt.Sprint("user", i))
	}
	eventually(t, "forgotten", func() bool {
		d.later(unusedFor + time.Minute)
		named, teams, at := d.known()
		return named == 1 && teams == 1 && at == 1
	})
	again, err := d.Open(t.Context(), kept, Identity{Owner: "ada"})
	if err != nil {
		t.Fatal(err)
	}
	if again.gate != used.gate || again.team != used.team || again.gate == nil {
		t.Error("an endpoint that is in use was forgotten")
	}
	again.Close()

	// What is closed is in use until its last session is given back.
	c, err := used.session(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	used.Close()
	d.later(unusedFor + time.Minute)
	if named, teams, at := d.known(); named != 1 || teams != 1 || at != 1 {
		t.Errorf("%d, %d and %d are known of one with a session", named, teams, at)
	}
	if _, err := used.session(t.Context()); err == nil {
		t.Error("a session of a closed storage")
	}
	used.release(c)
	d.CloseOwner("ada")
	eventually(t, "the last forgotten", func() bool {
		d.later(unusedFor + time.Minute)
		named, teams, at := d.known()
		return named+teams+at == 0
	})
	if n := f.held(); n != 0 {
		t.Errorf("%d sessions are held for nobody", n)
	}
}

// TestForgetsAfterRefusals: a storage that could not be opened uses nothing.
func TestForgetsAfterRefusals(t *testing.T) {
	d := New(Config{})
	t.Cleanup(d.Close)
	s := newSilentServer(t, true)
	s.Close()
	rec := endpoints.Record{Name: "lab#dtn", Kind: Kind, Scheme: "ftp", Servers: []string{s.Addr().String()}}
	if _, err := d.Open(t.Context(), rec, Identity{}); err == nil {
		t.Fatal("nobody listens")
	}
	d.later(unusedFor + time.Minute)
	if named, teams, _ := d.known(); named+teams != 0 {
		t.Errorf("%d endpoints and %d teams are known", named, teams)
	}
}

// TestRemembersWhoIsLeftOut: that a server does not answer is known for a day
// after somebody has wanted it, and whoever was told so is told of its end.
func TestRemembersWhoIsLeftOut(t *testing.T) { synctest.Test(t, testRemembersWhoIsLeftOut) }

func testRemembersWhoIsLeftOut(t *testing.T) {
	d := New(Config{})
	t.Cleanup(d.Close)
	var told []endpoints.ServerChange
	d.Observe(func(c endpoints.ServerChange) { told = append(told, c) })
	team, _, leave := d.use(wire.FTP, endpoints.Record{Name: "lab#dtn", Servers: []string{"127.0.0.1:1", "127.0.0.1:2"}})
	team.left(t.Context(), nil)
	bad := d.server(wire.FTP, "127.0.0.1:1")
	bad.mu.Lock()
	bad.looking = true // nobody but this test
	bad.mu.Unlock()
	bad.ended(bad.begin(false), failed, errors.New("connection refused"))
	bad.mu.Lock()
	bad.looking = false
	bad.mu.Unlock()
	d.later(2 * outFor)
	if _, teams, servers := d.known(); teams != 1 || servers != 2 {
		t.Errorf("%d team and %d servers are known of an endpoint that is in use", teams, servers)
	}
	leave()
	leave()
	d.later(outFor - time.Minute)
	if named, teams, servers := d.known(); named != 0 || teams != 0 || servers != 1 || d.server(wire.FTP, bad.addr) != bad {
		t.Errorf("%d endpoints, %d teams and %d servers are known while one is left out", named, teams, servers)
	}
	if len(told) != 1 || !told[0].Out {
		t.Errorf("told of %+v", told)
	}
	d.later(outFor + time.Minute)
	if _, _, servers := d.known(); servers != 0 {
		t.Errorf("%d servers are known of which nobody has to know", servers)
	}
	if len(told) != 2 || told[1].Out || told[1].Server != bad.addr {
		t.Errorf("told of %+v", told)
	}
}

// TestForgetsOldAddresses: a name that stands for other servers every day does
// not make a team hold on to all of them.
func TestForgetsOldAddresses(t *testing.T) { synctest.Test(t, testForgetsOldAddresses) }

func testForgetsOldAddresses(t *testing.T) {
	d, team := testTeam(t, "127.0.0.1:1", "127.0.0.1:2", "127.0.0.1:3")
	old, busy := d.server(wire.FTP, "127.0.0.1:1"), d.server(wire.FTP, "127.0.0.1:2")
	session := &wire.Client{}
	busy.attach(session, nil, team)
	team.mu.Lock()
	team.members = slices.DeleteFunc(team.members, func(m member) bool { return m.server == old || m.server == busy })
	team.mu.Unlock()
	d.later(unusedFor + time.Minute)
	if _, _, servers := d.known(); servers != 2 || d.server(wire.FTP, old.addr) == old || d.server(wire.FTP, busy.addr) != busy {
		t.Errorf("%d servers are known, of three with one that is gone and one that is going", servers)
	}
	if _, ok := busy.teams[team]; !ok {
		t.Error("a team is not told of a server at which it has a session")
	}
	delete(busy.sessions, session)
	d.later(unusedFor + time.Minute)
	if _, _, servers := d.known(); servers != 1 {
		t.Errorf("%d servers are known, of which the team has one", servers)
	}
}

// askedLimiter tells of what it is asked for before it answers.
type askedLimiter struct {
	*fakeLimiter
	asked func(n int)
}

func (l askedLimiter) Hold(ctx context.Context, endpoint string, n, limit int, lost func()) error {
	l.asked(n)
	return l.fakeLimiter.Hold(ctx, endpoint, n, limit, lost)
}

// TestForgettingKeepsToTheLimit: what counts the sessions of an endpoint is the
// same for as long as one is open, or held, or just being given back.
func TestForgettingKeepsToTheLimit(t *testing.T) { synctest.Test(t, testForgettingKeepsToTheLimit) }

func testForgettingKeepsToTheLimit(t *testing.T) {
	d := New(Config{})
	t.Cleanup(d.Close)
	rec := endpoints.Record{Name: "lab#dtn", Servers: []string{"127.0.0.1:1"}, Limits: endpoints.Limits{Sessions: 2}}
	gateAfter := func() *gate {
		d.later(unusedFor + time.Minute)
		_, g, leave := d.use(wire.FTP, rec)
		leave()
		return g
	}
	f := &fakeLimiter{}
	var whileAsked []*gate
	d.UseLimiter(askedLimiter{f, func(int) { whileAsked = append(whileAsked, gateAfter()) }})
	_, g, leave := d.use(wire.FTP, rec)
	if err := g.enter(t.Context()); err != nil {
		t.Fatal(err)
	}
	ended, err := g.connect(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	leave()
	if gateAfter() != g {
		t.Error("forgotten with a session in use")
	}
	g.leave()
	if gateAfter() != g {
		t.Error("forgotten with a connection that is open")
	}
	ended()
	time.Sleep(idleHeld / 2)
	if gateAfter() != g || f.held() != 1 {
		t.Errorf("forgotten with %d sessions held", f.held())
	}
	time.Sleep(idleHeld)
	synctest.Wait()
	if len(whileAsked) != 2 || whileAsked[0] != g || whileAsked[1] != g {
		t.Errorf("forgotten while the limiter is asked: %p is %p", g, whileAsked)
	}
	if f.held() != 0 || gateAfter() == g {
		t.Errorf("not forgotten, with %d sessions held", f.held())
	}
}

// TestGivesBackWithoutALimit: sessions that are held go back also when the
// endpoint has lost its limit meanwhile.
func TestGivesBackWithoutALimit(t *testing.T) { synctest.Test(t, testGivesBackWithoutALimit) }

func testGivesBackWithoutALimit(t *testing.T) {
	g, f := testGate(t, endpoints.Limits{Sessions: 2})
	if err := g.enter(t.Context()); err != nil || f.held() != 1 {
		t.Fatalf("%d held: %v", f.held(), err)
	}
	_, same, leave := g.driver.use(wire.FTP, endpoints.Record{Name: g.endpoint, Limits: endpoints.Limits{Logins: endpoints.LoginRate{N: 30, Per: time.Minute}}})
	defer leave()
	g.leave()
	time.Sleep(2 * idleHeld)
	synctest.Wait()
	if n := f.held(); same != g || n != 0 {
		t.Errorf("%d sessions are held at an endpoint that allows any number", n)
	}
}
