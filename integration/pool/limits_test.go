package pool

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/gridferry/gridferry/integration/globus"
	"github.com/gridferry/gridferry/transfer"
)

// TestSessions: two workers and several tasks never have more sessions at an
// endpoint than it allows, those of idle connections and of walks included.
func TestSessions(t *testing.T) {
	t.Parallel()
	s := newSite(t, 1)
	const limit = 4
	limits := fmt.Sprintf("{sessions: %d}", limit)
	s.worker("one", "[control, data]", limits, limits)
	s.worker("two", "[data]", limits, limits)
	const tasks = 4
	ids := make([]transfer.TaskID, tasks)
	for i := range ids {
		name := fmt.Sprintf("run%d", i)
		s.files(name, 150, 1000)
		ids[i] = s.submit(name, func(r *transfer.Request) { r.Tuning = transfer.Policy{Concurrency: 3} })
	}
	for i, id := range ids {
		s.succeeds(id, fmt.Sprintf("run%d", i), 4*time.Minute)
	}
	for what, server := range map[string]*globus.Server{"source": s.src[0], "destination": s.dst} {
		most, all := atOnce(server.SessionLog())
		t.Logf("%s: %d sessions in all, %d at once", what, all, most)
		if most > limit || most < 2 {
			t.Errorf("the %s had %d sessions at once, and allows %d", what, most, limit)
		}
	}
}

// TestLogins: no minute has more logins than the endpoint allows.
func TestLogins(t *testing.T) {
	t.Parallel()
	s := newSite(t, 1)
	// Slow, so that all sessions are wanted at the same time.
	s.worker("one", "[control, data]", "{logins: 8/min}", "{rate: 4MB/s}")
	s.worker("two", "[data]", "{logins: 8/min}", "{rate: 4MB/s}")
	var ids []transfer.TaskID
	for i := range 3 {
		name := fmt.Sprintf("run%d", i)
		s.files(name, 80, mib)
		ids = append(ids, s.submit(name, func(r *transfer.Request) { r.Tuning = transfer.Policy{Concurrency: 6, Pipelining: 2} }))
	}
	for i, id := range ids {
		s.succeeds(id, fmt.Sprintf("run%d", i), 4*time.Minute)
	}
	var at []time.Time
	for line := range strings.Lines(s.src[0].SessionLog()) {
		if !opened.MatchString(line) {
			continue
		}
		_, rest, _ := strings.Cut(line, "] ")
		stamp, _, _ := strings.Cut(rest, " :: ")
		when, err := time.Parse(time.ANSIC, strings.TrimSpace(stamp))
		must(t, err)
		at = append(at, when)
	}
	at = at[1:] // the harness's look whether the server is there
	for i := range at {
		n := len(slices.DeleteFunc(slices.Clone(at[i:]), func(x time.Time) bool { return x.Sub(at[i]) >= time.Minute-time.Second }))
		if n > 8 {
			t.Errorf("%d logins within a minute from %s on", n, at[i])
		}
	}
	took := at[len(at)-1].Sub(at[0])
	t.Logf("%d logins in %s", len(at), took)
	// Two may come at once. What cannot log in for long does with fewer sessions.
	if len(at) < 3 || took < 8*time.Second {
		t.Errorf("%d logins in %s: nothing was held back", len(at), took)
	}
}

// TestRate: what two workers move keeps to the endpoint's rate, third-party and
// relayed, small files and large ones.
func TestRate(t *testing.T) {
	const rate = 12_000_000
	for _, c := range []struct {
		route transfer.RouteRule
		files int
		size  int64
	}{
		{transfer.RouteThirdParty, 400, mib}, {transfer.RouteThirdParty, 2, 200 * mib},
		{transfer.RouteRelay, 400, mib}, {transfer.RouteRelay, 2, 200 * mib},
	} {
		t.Run(fmt.Sprintf("%s of %d MiB", c.route, c.size/mib), func(t *testing.T) {
			t.Parallel()
			s := newSite(t, 1)
			limits := fmt.Sprintf("{rate: %dkB/s}", rate/1000)
			s.worker("one", "[control, data]", "{}", limits)
			s.worker("two", "[data]", "{}", limits)
			s.files("run", c.files, c.size)
			id := s.submit("run", func(r *transfer.Request) {
				r.Route, r.Tuning = c.route, transfer.Policy{Concurrency: 2}
			})
			s.succeeds(id, "run", 5*time.Minute)
			low, high := averages(s.dst.Transfers(), 10*time.Second)
			t.Logf("in any 10 s between %.1f and %.1f of %.1f MB/s", low/1e6, high/1e6, rate/1e6)
			// A busy machine's servers may write an end down late.
			if high > 1.25*rate || low < 0.7*rate {
				t.Errorf("the rate is not kept")
			}
		})
	}
}

// averages are the lowest and the highest mean rate over any stretch of that
// length, by the server's account of its transfers. Within one transfer bytes
// count as evenly spread.
func averages(all []globus.Transfer, over time.Duration) (low, high float64) {
	var in []globus.Transfer
	for _, tr := range all {
		if tr.Type == "STOR" || tr.Type == "ESTO" {
			in = append(in, tr)
		}
	}
	if len(in) == 0 {
		return 0, 0
	}
	first, last := in[0].Start, in[0].End
	for _, tr := range in {
		if tr.Start.Before(first) {
			first = tr.Start
		}
		if tr.End.After(last) {
			last = tr.End
		}
	}
	low = math.Inf(1)
	for from := first; !from.Add(over).After(last); from = from.Add(time.Second) {
		to := from.Add(over)
		var bytes float64
		for _, tr := range in {
			length := max(tr.End.Sub(tr.Start), time.Microsecond)
			begin, end := tr.Start, tr.Start.Add(length)
			if begin.Before(from) {
				begin = from
			}
			if end.After(to) {
				end = to
			}
			if shared := end.Sub(begin); shared > 0 {
				bytes += float64(tr.Bytes) * float64(shared) / float64(length)
			}
		}
		rate := bytes / over.Seconds()
		low, high = min(low, rate), max(high, rate)
	}
	return low, high
}
