package activities

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.temporal.io/sdk/temporal"

	"github.com/gridferry/gridferry/endpoints"
	"github.com/gridferry/gridferry/endpoints/memory"
	"github.com/gridferry/gridferry/fault"
	"github.com/gridferry/gridferry/transfer"
)

// testRations is a ration by this process's clock.
type testRations struct {
	mu     sync.Mutex
	ration time.Time
	draws  int
}

func (r *testRations) Take(_ context.Context, d endpoints.Draw) (time.Duration, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	now := time.Now()
	use, after := d.Next(r.ration, now)
	if use.Sub(now) > d.Patience {
		return 0, fault.New(fault.Busy, "draw", d.Endpoint, "all is taken")
	}
	r.ration = after
	r.draws++
	return max(0, use.Sub(now)), nil
}

func TestPayKeepsToTheRate(t *testing.T) { synctest.Test(t, testPayKeepsToTheRate) }

func testPayKeepsToTheRate(t *testing.T) {
	rations := &testRations{}
	const rate = 4_000_000
	at := &place{name: "lab#dtn", rec: endpoints.Record{Limits: endpoints.Limits{Rate: rate}}}
	begun := time.Now()
	var paying sync.WaitGroup
	for range 2 { // workers, with two copies each
		d := &Data{Rations: rations}
		for range 2 {
			paying.Go(func() {
				for range 60 {
					if !d.pay(t.Context(), at, 100_000, nil) {
						t.Error("not paid")
					}
				}
			})
		}
	}
	paying.Wait()
	// 24 MB; the burst and the last grants are free.
	took := time.Since(begun).Seconds()
	if got := 24e6 / took; got > 1.15*rate || got < 0.7*rate {
		t.Errorf("%.1f MB/s of %.1f", got/1e6, float64(rate)/1e6)
	}
	if rations.draws > 40 {
		t.Errorf("%d draws for 240 payments", rations.draws)
	}
	stopped := make(chan struct{})
	close(stopped)
	d := &Data{Rations: rations}
	if d.pay(t.Context(), at, 1<<30, stopped) {
		t.Error("paid for what could not move before the attempt was stopped")
	}
	free := &place{name: "free"}
	if !d.pay(t.Context(), free, 1<<40, stopped) {
		t.Error("an endpoint without a limit is waited for")
	}
}

func TestPacedParts(t *testing.T) {
	slow := &place{rec: endpoints.Record{Limits: endpoints.Limits{Rate: 20_000_000}}}
	p := defaultParts.paced(&pair{src: slow}, time.Now())
	if got := p.of(10 << 30); got != 5_000_000 || p.from != 10_000_000 {
		t.Errorf("parts of %d from %d on", got, p.from)
	}
	if p := defaultParts.paced(&pair{src: &place{}}, time.Now()); p != defaultParts {
		t.Errorf("without a limit: %+v", p)
	}
	crawl := &place{rec: endpoints.Record{Limits: endpoints.Limits{Rate: 100_000}}}
	if p := defaultParts.paced(&pair{dst: crawl}, time.Now()); p.of(10<<30) != leastPart {
		t.Errorf("parts of %d at a crawl", p.of(10<<30))
	}
}

// drainable is an opener of which an operator takes endpoints out of use.
type drainable struct {
	endpoints.Opener
	mu  sync.Mutex
	out *endpoints.Drain
}

func (o *drainable) Drained(endpoints.Record) *endpoints.Drain {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.out
}

func (o *drainable) set(out *endpoints.Drain) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.out = out
}

func TestDrainedIsBusy(t *testing.T) {
	err := toTemporal(fault.Wrap(fault.Busy, "use", "lab#dtn", &endpoints.DrainedError{Drain: endpoints.Drain{Name: "lab#dtn", Reason: "a new disk"}}))
	if f := FaultOf(err); f.Kind != fault.Busy {
		t.Errorf("drained is %+v", f)
	}
	tries := 0
	err = insist(t.Context(), time.Minute, func() error {
		tries++
		return fault.Wrap(fault.Busy, "use", "lab#dtn", &endpoints.DrainedError{})
	})
	if tries != 1 || !isDrained(err) {
		t.Errorf("after %d tries: %v", tries, err)
	}
	var e *endpoints.DrainedError
	if !errors.As(err, &e) {
		t.Error("the error does not say what is drained")
	}
}

// shut is an opener that opens nothing.
type shut struct {
	endpoints.Opener
	why error
}

func (o shut) Open(context.Context, endpoints.Record, string, string) (endpoints.Storage, error) {
	return nil, o.why
}

// TestDrainedAtOnce: who looks at an endpoint that is out of use, or plans a
// transfer there, is told so, and why, instead of being kept waiting.
func TestDrainedAtOnce(t *testing.T) {
	w := newWorld(t)
	out := fault.Wrap(fault.Busy, "use", "src", &endpoints.DrainedError{Drain: endpoints.Drain{
		Name: "src", By: "olga", Reason: "a new disk", Since: time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)}})
	d := w.worker("a")
	d.Endpoints = shut{d.Endpoints, out}
	_, browsed := d.Browse(w.ctx(), BrowseInput{Op: BrowseStat, Endpoint: "src", Path: "/from"})
	_, probed := d.Probe(w.ctx(), ProbeInput{Ends: w.ends(), Plan: true})
	_, walked := d.WalkStep(w.ctx(), WalkInput{Task: testTask, Ends: w.ends(), Request: w.request(), Plan: true})
	for what, err := range map[string]error{"browse": browsed, "plan: log in": probed, "plan: walk": walked} {
		app, ok := errors.AsType[*temporal.ApplicationError](err)
		if !ok || !app.NonRetryable() || app.Type() != string(fault.Busy) || FaultOf(err).Reason != transfer.ReasonDrained {
			t.Errorf("%s: %v", what, err)
			continue
		}
		for _, word := range []string{"since 2026-03-01 12:00 UTC", "by olga", "a new disk", "undrain src"} {
			if !strings.Contains(app.Message(), word) {
				t.Errorf("%s: %q does not say %q", what, app.Message(), word)
			}
		}
	}
	_, err := d.Probe(w.ctx(), ProbeInput{Ends: w.ends()})
	if app, ok := errors.AsType[*temporal.ApplicationError](err); !ok || app.NonRetryable() {
		t.Errorf("a task does not wait: %v", err)
	}
}

// TestLimitIsNoServerTrouble: a task that waits for its turn says so.
func TestLimitIsNoServerTrouble(t *testing.T) {
	err := toTemporal(fault.Wrap(fault.Busy, "log in to", "lab#dtn", &endpoints.LimitError{Text: "all of the 4 sessions that it allows are in use"}))
	f := FaultOf(err)
	what, _ := transfer.WaitsFor(f)
	if what != transfer.ForLimit || !strings.Contains(f.Message, "lab#dtn: all of the 4 sessions") {
		t.Errorf("it waits for %q: %+v", what, f)
	}
}

// TestCopyDrained: a copy whose endpoint is taken out of use stops at its
// ledger, says why, and goes on from there when the endpoint is back.
func TestCopyDrained(t *testing.T) {
	routes(t, func(t *testing.T, route transfer.RouteRule) {
		w := newWorld(t)
		want := w.mixedTree()
		req := w.request(func(r *transfer.Request) { r.Route = route; r.Tuning.Concurrency = 1 })
		wk := w.walk(req, defaultWalkSizes)
		opener := &drainable{Opener: w.opener}
		halted := make(chan struct{})
		var once sync.Once
		w.dst.Faults().Hook(func(_ ctxType, op memory.Op, _ string, off int64) error {
			if op == memory.Write && off >= 48<<10 {
				once.Do(func() {
					opener.set(&endpoints.Drain{Name: "dst", Reason: "a new disk"})
					select {
					case <-halted:
					case <-time.After(3 * drainLook / 2): // one look comes in between
					}
				})
			}
			return nil
		})
		d := w.worker("copier")
		d.Endpoints = opener
		_, err := d.copy(t.Context(), w.copyInput(wk, wk.Chunks[0], req), nil)
		close(halted)
		if !fault.Is(err, fault.Busy) || !isDrained(err) || !strings.Contains(err.Error(), "a new disk") {
			t.Fatalf("copy: %v", err)
		}
		w.dst.Faults().Clear()
		if res := w.copyOne(wk, wk.Chunks[0], req); !res.Complete || res.Late || res.Files != wk.Found.Files {
			t.Errorf("afterwards: %+v", res)
		}
		sameTree(t, tree(t, w.dst, "/to"), want)
		w.noStrays()
	})
}
