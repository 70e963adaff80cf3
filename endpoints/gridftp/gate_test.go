package gridftp

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gridferry/gridferry/endpoints"
	"github.com/gridferry/gridferry/fault"
	wire "github.com/gridferry/gridferry/wire/gridftp"
)

// fakeLimiter is what all workers share, as one of them sees it.
type fakeLimiter struct {
	mu     sync.Mutex
	others int // sessions that other workers have
	mine   int
	most   int // of mine and theirs at any time
	wait   time.Duration
	drawn  []endpoints.Draw
	lost   func()
}

func (f *fakeLimiter) Hold(_ context.Context, endpoint string, n, limit int, lost func()) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if n > f.mine && n+f.others > limit {
		return fault.New(fault.Busy, "open sessions at", endpoint, "others have them")
	}
	f.mine, f.lost = n, lost
	f.most = max(f.most, n+f.others)
	return nil
}

func (f *fakeLimiter) Take(_ context.Context, d endpoints.Draw) (time.Duration, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.drawn = append(f.drawn, d)
	if f.wait > d.Patience {
		return 0, fault.New(fault.Busy, "draw", d.Endpoint, "all is taken")
	}
	return f.wait, nil
}

func (f *fakeLimiter) held() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.mine
}

func (f *fakeLimiter) setOthers(n int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.others = n
}

func testGate(t *testing.T, l endpoints.Limits) (*gate, *fakeLimiter) {
	t.Helper()
	f := &fakeLimiter{}
	d := New(Config{})
	t.Cleanup(d.Close)
	d.UseLimiter(f)
	rec := endpoints.Record{Name: "lab#dtn", Servers: []string{"127.0.0.1:1"}, Limits: l}
	_, g, leave := d.use(wire.FTP, rec)
	t.Cleanup(leave)
	return g, f
}

func TestGateKeepsToTheLimit(t *testing.T) { synctest.Test(t, testGateKeepsToTheLimit) }

func testGateKeepsToTheLimit(t *testing.T) {
	g, f := testGate(t, endpoints.Limits{Sessions: 2})
	_, free, leave := g.driver.use(wire.FTP, endpoints.Record{Name: "free"})
	defer leave()
	if free != nil {
		t.Error("an endpoint without limits has a gate")
	}
	var nobody *gate
	if err := nobody.enter(t.Context()); err != nil {
		t.Error(err)
	}
	nobody.leave()
	for range 2 {
		if err := g.enter(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if f.held() != 2 {
		t.Errorf("%d are held for 2 in use", f.held())
	}
	entered := make(chan error, 1)
	go func() { entered <- g.enter(t.Context()) }()
	select {
	case err := <-entered:
		t.Fatalf("a third of two: %v", err)
	case <-time.After(100 * time.Millisecond):
	}
	g.leave()
	if err := <-entered; err != nil {
		t.Fatal(err)
	}
	g.leave()
	g.leave()
	eventually(t, "given back", func() bool { return f.held() == 0 })
	f.setOthers(2)
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if err := g.enter(ctx); !fault.Is(err, fault.Transient) {
		t.Errorf("others have all: %v", err)
	}
	go func() { entered <- g.enter(t.Context()) }()
	f.setOthers(1)
	if err := <-entered; err != nil {
		t.Errorf("others have given one back: %v", err)
	}
	if f.most > 2 {
		t.Errorf("%d sessions of 2", f.most)
	}
}

func TestGateCountsConnections(t *testing.T) { synctest.Test(t, testGateCountsConnections) }

func testGateCountsConnections(t *testing.T) {
	g, _ := testGate(t, endpoints.Limits{Sessions: 1})
	if err := g.enter(t.Context()); err != nil {
		t.Fatal(err)
	}
	done, err := g.connect(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	// Another connection has to wait until the server has noted this one's end.
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, err := g.connect(ctx); !fault.Is(err, fault.Busy) || !errors.As(err, new(*turnError)) || !errors.As(err, new(*endpoints.LimitError)) {
		t.Errorf("a second connection of one: %v", err)
	}
	begun := time.Now()
	done()
	if _, err := g.connect(t.Context()); err != nil || time.Since(begun) < closing {
		t.Errorf("the next connection came after %s: %v", time.Since(begun), err)
	}
	if _, err := g.inPairs(t.Context(), g); !fault.Is(err, fault.Invalid) {
		t.Errorf("two sessions where there is one: %v", err)
	}
}

func TestGatePairs(t *testing.T) { synctest.Test(t, testGatePairs) }

func testGatePairs(t *testing.T) {
	g, _ := testGate(t, endpoints.Limits{Sessions: 2})
	done, err := g.inPairs(t.Context(), g)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if _, err := g.inPairs(ctx, g); err == nil {
		t.Error("two take pairs at once")
	}
	done()
	if done, err = g.inPairs(t.Context(), g); err != nil {
		t.Fatal(err)
	}
	done()
	if done, err := g.inPairs(t.Context(), nil); err != nil {
		t.Error(err)
	} else {
		done()
	}
}

func TestGateDrawsLogins(t *testing.T) { synctest.Test(t, testGateDrawsLogins) }

func testGateDrawsLogins(t *testing.T) {
	g, f := testGate(t, endpoints.Limits{Logins: endpoints.LoginRate{N: 30, Per: time.Minute}})
	if !g.rationed() {
		t.Fatal("logins are not rationed")
	}
	f.wait = 50 * time.Millisecond
	begun := time.Now()
	if err := g.login(t.Context()); err != nil || time.Since(begun) < f.wait {
		t.Errorf("logged in after %s: %v", time.Since(begun), err)
	}
	if len(f.drawn) != 1 || f.drawn[0].Endpoint != "lab#dtn" || f.drawn[0].What != endpoints.RateLogins {
		t.Errorf("drew %+v", f.drawn)
	}
	f.wait = time.Hour
	if err := g.login(t.Context()); !fault.Is(err, fault.Busy) || !errors.As(err, new(*endpoints.LimitError)) {
		t.Errorf("an hour's wait: %v", err)
	}
}
