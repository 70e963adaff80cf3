package storetest

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/gridferry/gridferry/activities"
	"github.com/gridferry/gridferry/fault"
	"github.com/gridferry/gridferry/transfer"
)

// Clock is a clock that a test moves.
type Clock struct {
	mu sync.Mutex
	t  time.Time
}

// NewClock returns a clock that stands at some moment.
func NewClock() *Clock { return &Clock{t: time.Date(2026, 11, 20, 12, 0, 0, 0, time.UTC)} }

// Now returns the time.
func (c *Clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.t
}

// Add moves the clock.
func (c *Clock) Add(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.t = c.t.Add(d)
}

// Run runs the suite; open returns an empty store with that clock.
func Run(t *testing.T, open func(t *testing.T, now func() time.Time) Store) {
	for name, run := range map[string]func(*testing.T, Store, *Clock){
		"Epochs":        testEpochs,
		"Turns":         testTurns,
		"Limits":        testLimits,
		"Expiry":        testExpiry,
		"BadLeases":     testBadLeases,
		"LeasesAtOnce":  testLeasesAtOnce,
		"Tasks":         testTasks,
		"FinalStays":    testFinalStays,
		"Pages":         testPages,
		"CanceledCalls": testCanceled,
	} {
		t.Run(name, func(t *testing.T) {
			clock := NewClock()
			run(t, open(t, clock.Now), clock)
		})
	}
}

func acquire(t *testing.T, s Store, chunk string, claims ...activities.SessionClaim) activities.Lease {
	t.Helper()
	l, err := s.Acquire(t.Context(), request(chunk, claims...))
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func request(chunk string, claims ...activities.SessionClaim) activities.LeaseRequest {
	return activities.LeaseRequest{Task: "task", Chunk: chunk, Holder: "me", TTL: 10 * time.Second, Sessions: claims}
}

func wantKind(t *testing.T, what string, err error, k fault.Kind) {
	t.Helper()
	if fault.KindOf(err) != k {
		t.Errorf("%s: %v, want %q", what, err, k)
	}
}

func testEpochs(t *testing.T, s Store, clock *Clock) {
	a := acquire(t, s, "1")
	if !a.Expires.Equal(clock.Now().Add(10*time.Second)) || a.Epoch <= 0 || a.Task != "task" || a.Chunk != "1" || a.TTL != 10*time.Second {
		t.Errorf("lease: %+v", a)
	}
	wantKind(t, "renew", s.Renew(t.Context(), a), "")
	b := acquire(t, s, "1")
	if b.Epoch <= a.Epoch {
		t.Errorf("epoch %d came after %d", b.Epoch, a.Epoch)
	}
	wantKind(t, "renew what another took", s.Renew(t.Context(), a), fault.Canceled)
	wantKind(t, "release what another took", s.Release(t.Context(), a), "")
	wantKind(t, "renew after a stranger's release", s.Renew(t.Context(), b), "")
	wantKind(t, "release", s.Release(t.Context(), b), "")
	wantKind(t, "release again", s.Release(t.Context(), b), "")
	wantKind(t, "renew what was given back", s.Renew(t.Context(), b), fault.Canceled)
	if c := acquire(t, s, "1"); c.Epoch <= b.Epoch {
		t.Errorf("epoch %d came after %d was released", c.Epoch, b.Epoch)
	}
	wantKind(t, "renew what never was", s.Renew(t.Context(), activities.Lease{Task: "no", Chunk: "1", Epoch: 1, TTL: time.Second}), fault.Canceled)
}

// testTurns has an attempt come late, whose successor holds the lease, or has
// held it.
func testTurns(t *testing.T, s Store, clock *Clock) {
	begun := func(after time.Duration) activities.LeaseRequest {
		r := request("1", activities.SessionClaim{Endpoint: "a", Sessions: 4, Limit: 4})
		r.Begun = clock.Now().Add(after)
		return r
	}
	first, err := s.Acquire(t.Context(), begun(0))
	wantKind(t, "acquire", err, "")
	second, err := s.Acquire(t.Context(), begun(time.Millisecond))
	wantKind(t, "acquire by a later attempt", err, "")
	wantKind(t, "renew what a later attempt took", s.Renew(t.Context(), first), fault.Canceled)
	_, err = s.Acquire(t.Context(), begun(0))
	wantKind(t, "acquire by the earlier attempt", err, fault.Canceled)
	wantKind(t, "renew after that", s.Renew(t.Context(), second), "")
	second, err = s.Acquire(t.Context(), begun(time.Millisecond))
	wantKind(t, "acquire again by the later attempt", err, "")
	wantKind(t, "release", s.Release(t.Context(), second), "")
	acquire(t, s, "2", activities.SessionClaim{Endpoint: "a", Sessions: 4, Limit: 4})
	_, err = s.Acquire(t.Context(), begun(0))
	wantKind(t, "acquire by the earlier attempt what was given back", err, fault.Canceled)
	clock.Add(time.Minute)
	_, err = s.Acquire(t.Context(), begun(-time.Minute))
	wantKind(t, "acquire by the earlier attempt what has expired", err, fault.Canceled)
	third, err := s.Acquire(t.Context(), begun(0))
	wantKind(t, "acquire by an even later attempt", err, "")
	wantKind(t, "renew", s.Renew(t.Context(), third), "")
}

func testLimits(t *testing.T, s Store, _ *Clock) {
	five := func(n int) activities.SessionClaim {
		return activities.SessionClaim{Endpoint: "a", Sessions: n, Limit: 5}
	}
	other := activities.SessionClaim{Endpoint: "b", Sessions: 100}
	one := acquire(t, s, "1", five(3), other)
	acquire(t, s, "2", five(2), other)
	_, err := s.Acquire(t.Context(), request("3", other, five(1)))
	wantKind(t, "a sixth session", err, fault.Busy)
	// An attempt's own successor is not in its own way, and may take less.
	again := acquire(t, s, "1", five(2))
	wantKind(t, "renew", s.Renew(t.Context(), one), fault.Canceled)
	three := acquire(t, s, "3", five(1))
	_, err = s.Acquire(t.Context(), request("4", five(1)))
	wantKind(t, "a sixth session", err, fault.Busy)
	wantKind(t, "release", s.Release(t.Context(), three), "")
	acquire(t, s, "4", five(1))
	// Being refused takes nothing away.
	_, err = s.Acquire(t.Context(), request("1", five(4)))
	wantKind(t, "more than is left", err, fault.Busy)
	wantKind(t, "renew after the successor was refused", s.Renew(t.Context(), again), "")
}

func testExpiry(t *testing.T, s Store, clock *Clock) {
	all := activities.SessionClaim{Endpoint: "a", Sessions: 4, Limit: 4}
	one := acquire(t, s, "1", all)
	clock.Add(9 * time.Second)
	_, err := s.Acquire(t.Context(), request("2", all))
	wantKind(t, "before it expires", err, fault.Busy)
	wantKind(t, "renew", s.Renew(t.Context(), one), "")
	clock.Add(9 * time.Second)
	_, err = s.Acquire(t.Context(), request("2", all))
	wantKind(t, "after it was renewed", err, fault.Busy)
	clock.Add(2 * time.Second)
	wantKind(t, "renew late, with nobody in between", s.Renew(t.Context(), one), "")
	clock.Add(11 * time.Second)
	two := acquire(t, s, "2", all)
	wantKind(t, "renew when the sessions are gone", s.Renew(t.Context(), one), fault.Canceled)
	wantKind(t, "release", s.Release(t.Context(), two), "")
	wantKind(t, "renew when they are free again", s.Renew(t.Context(), one), "")
}

func testBadLeases(t *testing.T, s Store, _ *Clock) {
	_, err := s.Acquire(t.Context(), request("1", activities.SessionClaim{Endpoint: "a", Sessions: 6, Limit: 5}))
	wantKind(t, "more than is allowed", err, fault.Invalid)
	bad := request("1")
	bad.TTL = 0
	_, err = s.Acquire(t.Context(), bad)
	wantKind(t, "no time to live", err, fault.Invalid)
}

// testLeasesAtOnce has many holders fight over few sessions, and watches that
// there are never more than the limit, and one holder for each chunk.
func testLeasesAtOnce(t *testing.T, s Store, _ *Clock) {
	const workers, rounds, limit = 8, 20, 5
	var mu sync.Mutex
	inUse, epochs := 0, map[int64]bool{}
	var busy, got int
	var wg sync.WaitGroup
	for w := range workers {
		wg.Go(func() {
			for range rounds {
				n := 1 + rand.IntN(3)
				l, err := s.Acquire(t.Context(), request(fmt.Sprint(w), activities.SessionClaim{Endpoint: "a", Sessions: n, Limit: limit}))
				if fault.Is(err, fault.Busy) {
					mu.Lock()
					busy++
					mu.Unlock()
					continue
				}
				if err != nil {
					t.Error(err)
					return
				}
				mu.Lock()
				got++
				if inUse += n; inUse > limit {
					t.Errorf("%d of %d sessions are in use", inUse, limit)
				}
				if epochs[l.Epoch] {
					t.Errorf("epoch %d was given twice", l.Epoch)
				}
				epochs[l.Epoch] = true
				mu.Unlock()
				if err := s.Renew(t.Context(), l); err != nil {
					t.Errorf("renew: %v", err)
				}
				mu.Lock()
				inUse -= n
				mu.Unlock()
				if err := s.Release(t.Context(), l); err != nil {
					t.Errorf("release: %v", err)
				}
			}
		})
	}
	wg.Wait()
	if got == 0 {
		t.Errorf("nobody got a lease, %d were refused", busy)
	}
}

func task(id string, requested time.Time) transfer.Task {
	return transfer.Task{ID: transfer.TaskID(id), Type: "TRANSFER", Status: transfer.Active, Owner: "ann", Requested: requested, Source: "a", Destination: "b"}
}

func testTasks(t *testing.T, s Store, clock *Clock) {
	_, err := s.Task(t.Context(), "1")
	wantKind(t, "a task that is not there", err, fault.NotFound)
	want := task("1", clock.Now())
	want.Label = "ünïcode"
	want.Chunks = []transfer.Chunk{{ID: "1-1", Files: 3}}
	put(t, s, want)
	got, err := s.Task(t.Context(), "1")
	if err != nil || got.Label != want.Label || len(got.Chunks) != 1 || !got.Requested.Equal(want.Requested) {
		t.Errorf("got %+v, %v", got, err)
	}
}

func put(t *testing.T, s Store, task transfer.Task) {
	t.Helper()
	if err := s.PutTask(t.Context(), task); err != nil {
		t.Fatal(err)
	}
}

func testFinalStays(t *testing.T, s Store, clock *Clock) {
	one := task("1", clock.Now())
	label := func(want string) {
		t.Helper()
		if got, err := s.Task(t.Context(), "1"); err != nil || got.Label != want {
			t.Errorf("the record is %q, want %q (%v)", got.Label, want, err)
		}
	}
	write := func(name string, status transfer.Status, asOf time.Duration) {
		t.Helper()
		x := one
		x.Label, x.Status = name, status
		if asOf != 0 {
			x.AsOf = clock.Now().Add(asOf)
		}
		put(t, s, x)
	}
	write("second", transfer.Active, 2*time.Second)
	write("first, late", transfer.Active, time.Second)
	label("second")
	clock.Add(time.Minute)
	write("without a time", transfer.Active, 0)
	label("without a time")
	write("final", transfer.Failed, -time.Hour)
	label("final")
	write("a straggler", transfer.Active, time.Hour)
	label("final")
	write("final again", transfer.Succeeded, 0)
	label("final again")
	again := task("1", clock.Now().Add(time.Minute))
	again.Label = "requested anew"
	put(t, s, again)
	label("requested anew")
}

func testPages(t *testing.T, s Store, clock *Clock) {
	const n = 25
	for i := range n {
		x := task(fmt.Sprintf("t%02d", i), clock.Now().Add(time.Duration(i/2)*time.Second)) // pairs of one time
		if i%5 == 0 {
			x.Owner = "bob"
		}
		if i%3 == 0 {
			x.Status = transfer.Succeeded
		}
		put(t, s, x)
	}
	count := func(q transfer.TaskQuery) int {
		t.Helper()
		seen := map[transfer.TaskID]bool{}
		last := clock.Now().Add(time.Hour)
		for {
			page, err := s.Tasks(t.Context(), q)
			if err != nil {
				t.Fatal(err)
			}
			for _, x := range page.Tasks {
				if seen[x.ID] || x.Requested.After(last) {
					t.Errorf("%s is out of order or listed twice", x.ID)
				}
				if (q.Owner != "" && x.Owner != q.Owner) || (len(q.Status) == 1 && x.Status != q.Status[0]) {
					t.Errorf("%s was not asked for: %+v", x.ID, q)
				}
				seen[x.ID], last = true, x.Requested
			}
			if page.Next == "" {
				return len(seen)
			}
			if len(page.Tasks) != q.Page.Limit {
				t.Errorf("a page of %d, want %d", len(page.Tasks), q.Page.Limit)
			}
			q.Page.Token = page.Next
		}
	}
	page := transfer.Page{Limit: 4}
	for _, c := range []struct {
		q    transfer.TaskQuery
		want int
	}{
		{transfer.TaskQuery{Page: page}, n},
		{transfer.TaskQuery{}, n},
		{transfer.TaskQuery{Page: transfer.Page{Limit: n}}, n},
		{transfer.TaskQuery{Page: page, Owner: "bob"}, 5},
		{transfer.TaskQuery{Page: page, Status: []transfer.Status{transfer.Succeeded}}, 9},
		{transfer.TaskQuery{Page: page, Status: []transfer.Status{transfer.Succeeded, transfer.Active}}, n},
		{transfer.TaskQuery{Page: page, Owner: "bob", Status: []transfer.Status{transfer.Succeeded}}, 2},
		{transfer.TaskQuery{Page: page, Owner: "nobody"}, 0},
	} {
		if got := count(c.q); got != c.want {
			t.Errorf("%+v: %d tasks, want %d", c.q, got, c.want)
		}
	}
	for _, bad := range []transfer.Page{{Limit: -1}, {Limit: 1001}, {Token: "?!"}} {
		_, err := s.Tasks(t.Context(), transfer.TaskQuery{Page: bad})
		wantKind(t, fmt.Sprintf("%+v", bad), err, fault.Invalid)
	}
}

func testCanceled(t *testing.T, s Store, clock *Clock) {
	l := acquire(t, s, "1")
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, acquireErr := s.Acquire(ctx, request("2"))
	_, taskErr := s.Task(ctx, "1")
	_, tasksErr := s.Tasks(ctx, transfer.TaskQuery{})
	for call, err := range map[string]error{
		"acquire": acquireErr, "renew": s.Renew(ctx, l), "release": s.Release(ctx, l),
		"put": s.PutTask(ctx, task("1", clock.Now())), "task": taskErr, "tasks": tasksErr,
	} {
		wantKind(t, call, err, fault.Canceled)
	}
}
