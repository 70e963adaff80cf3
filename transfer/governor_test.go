package transfer

import (
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"
)

// A line is a simulated pair of servers: what n pairs of sessions move there
// in a second, in work.
type line func(n int, at time.Duration) float64

// capped lines carry so much in all, and so much for each pair of sessions.
func capped(capacity, each float64) line {
	return func(n int, _ time.Duration) float64 { return min(capacity, each*float64(n)) }
}

// busy servers do best with so many, and lose a share with each one more.
func busy(best int, share float64) line {
	return func(n int, _ time.Duration) float64 {
		if n <= best {
			return float64(n) / float64(best)
		}
		return math.Pow(1-share, float64(n-best))
	}
}

// drive lets a governor watch a line, four times a second.
func drive(g *Governor, l line, noise float64, from, to time.Duration) (moved float64, said []Adaptation) {
	random := rand.New(rand.NewPCG(1, uint64(from)))
	work := g.last.Work
	for at := from; at < to; at += 250 * time.Millisecond {
		d := 0.25 * l(g.Streams(), at) * (1 + noise*(2*random.Float64()-1))
		moved += d
		work += d
		if a, ok := g.Observe(Sample{At: at, Work: work, Streams: g.Streams()}); ok {
			said = append(said, a)
		}
	}
	return moved, said
}

func TestGovernorFindsWhatIsBest(t *testing.T) {
	for _, tc := range []struct {
		name     string
		line     line
		noise    float64
		start    int
		known    bool
		low, top int     // where it should be in the end
		share    float64 // of what the best number moves, over the two minutes
	}{
		{"a link with a cap for each session", capped(1, 0.125), 0.02, 2, false, 7, 8, 0.85},
		{"one that five fill", capped(1, 0.2), 0.02, 2, false, 5, 5, 0.85},
		{"one that one fills", capped(1, 1), 0.02, 2, false, 1, 2, 0.97},
		{"two cores that are busy", busy(2, 0.05), 0.05, 2, false, 2, 2, 0.97},
		{"two cores, and a start that was too high", busy(2, 0.08), 0.03, 8, false, 2, 3, 0.85},
		{"a record that is right", capped(1, 0.125), 0.02, 8, true, 8, 8, 0.98},
		{"much noise and nothing to gain", capped(1, 1), 0.4, 2, false, 1, 3, 0.97},
		{"much noise and much to gain", capped(1, 0.125), 0.3, 2, false, 6, 8, 0.75},
	} {
		t.Run(tc.name, func(t *testing.T) {
			g := NewGovernor(tc.start, 8, tc.known)
			moved, said := drive(g, tc.line, tc.noise, 0, 2*time.Minute)
			if n, _ := g.Best(); n < tc.low || n > tc.top {
				t.Errorf("%d sessions are best, want %d to %d: %+v", n, tc.low, tc.top, said)
			}
			var best float64
			for n := 1; n <= 8; n++ {
				best = max(best, 120*tc.line(n, 0))
			}
			if moved < tc.share*best {
				t.Errorf("%.0f of %.0f moved: %+v", moved, best, said)
			}
			if len(said) > 20 {
				t.Errorf("%d decisions in two minutes: %+v", len(said), said)
			}
			for _, a := range said {
				if a.From == a.To || a.To < 1 || a.To > 8 || a.Reason == "" {
					t.Errorf("%+v", a)
				}
			}
		})
	}
}

func TestGovernorNoticesWhatChanges(t *testing.T) {
	g := NewGovernor(2, 8, false)
	before := func(n int, at time.Duration) float64 { return capped(1, 1)(n, at) }
	after := func(n int, at time.Duration) float64 { return capped(1, 0.125)(n, at) } // somebody else came
	drive(g, before, 0.02, 0, time.Minute)
	if n := g.Streams(); n > 3 {
		t.Fatalf("%d sessions before", n)
	}
	_, said := drive(g, after, 0.02, time.Minute, 2*time.Minute)
	if n := g.Streams(); n < 7 {
		t.Errorf("%d sessions after: %+v", n, said)
	}
	if !slices.ContainsFunc(said, func(a Adaptation) bool { return strings.Contains(a.Reason, "times what it was") }) {
		t.Errorf("%+v", said)
	}
}

func TestGovernorIsDeterministic(t *testing.T) {
	run := func() []Adaptation {
		_, said := drive(NewGovernor(2, 8, false), capped(1, 0.3), 0.2, 0, time.Minute)
		return said
	}
	if a, b := run(), run(); !slices.Equal(a, b) || len(a) == 0 {
		t.Errorf("%v and %v", a, b)
	}
}

// What is measured while sessions come and go is not of any number of them.
func TestGovernorWaitsForItsSessions(t *testing.T) {
	g := NewGovernor(2, 8, false)
	for at := time.Duration(0); at < time.Minute; at += 250 * time.Millisecond {
		if a, ok := g.Observe(Sample{At: at, Work: at.Seconds(), Streams: 1}); ok {
			t.Fatalf("with one session of two it says %+v", a)
		}
	}
	if _, rate := g.Best(); rate != 0 {
		t.Errorf("it measured %f", rate)
	}
}

func TestGovernorWhereNothingMoves(t *testing.T) {
	g := NewGovernor(2, 8, false)
	for at := time.Duration(0); at < time.Minute; at += 250 * time.Millisecond {
		if a, ok := g.Observe(Sample{At: at, Streams: 2}); ok {
			t.Fatalf("it says %+v", a)
		}
	}
}

func TestGovernorKeepsToItsLimit(t *testing.T) {
	g := NewGovernor(9, 3, false)
	if n := g.Streams(); n != 3 {
		t.Errorf("it starts with %d", n)
	}
	drive(g, capped(1, 0.1), 0, 0, time.Minute)
	if n := g.Streams(); n != 3 {
		t.Errorf("it has gone to %d", n)
	}
}

// Servers that were busy are not asked for more until they have had time.
func TestGovernorWhereServersAreBusy(t *testing.T) {
	for _, tc := range []struct {
		name                     string
		start, limit, then, most int // sessions: at first, not refused, then, and in the next minutes
	}{
		{"with more than they take", 6, 4, 4, 4},
		{"with as many as they take", 2, 2, 2, 2},
		{"with fewer", 2, 4, 2, 4},
		{"with any", 5, 0, 1, 1},
	} {
		g := NewGovernor(tc.start, 8, false)
		grows := capped(1, 0.125)
		at := 2 * time.Second
		drive(g, grows, 0, 0, at)
		g.Limit(tc.limit)
		if n, _ := g.Best(); g.Streams() != tc.then || n > tc.then {
			t.Errorf("%s: %d, %d are best", tc.name, g.Streams(), n)
		}
		for ; at < LimitTime; at += time.Minute {
			if drive(g, grows, 0, at, at+time.Minute); g.Streams() > tc.most {
				t.Errorf("%s: %d after %v", tc.name, g.Streams(), at)
			}
		}
		drive(g, grows, 0, LimitTime+2*time.Minute, LimitTime+5*time.Minute)
		if n, _ := g.Best(); n != 8 {
			t.Errorf("%s: %d are best in the end", tc.name, n)
		}
	}
}

func TestShare(t *testing.T) {
	for _, tc := range []struct {
		name  string
		total int
		loads []Load
		want  []int
	}{
		{"one chunk", 3, []Load{{Left: 5, Max: 8}}, []int{3}},
		{"no chunk", 3, nil, []int{}},
		{"to the one that would end last", 4, []Load{{Left: 10, Max: 8}, {Left: 30, Max: 8}}, []int{1, 3}},
		{"no more than it can use", 4, []Load{{Left: 10, Max: 8}, {Left: 30, Max: 1}}, []int{3, 1}},
		{"too few for all", 2, []Load{{Left: 1, Max: 8}, {Left: 9, Max: 8}, {Left: 9, Max: 8}}, []int{1, 1, 0}},
		{"more than all can use", 9, []Load{{Left: 1, Max: 1}, {Left: 9, Max: 2}}, []int{1, 2}},
		{"one that can use none", 2, []Load{{Left: 9}, {Left: 1, Max: 8}}, []int{0, 2}},
		{"the last bytes", 2, []Load{{Left: 0, Max: 1}, {Left: 9, Max: 8}}, []int{1, 1}},
	} {
		if got := Share(tc.total, tc.loads); !slices.Equal(got, tc.want) {
			t.Errorf("%s: %v, want %v", tc.name, got, tc.want)
		}
	}
}

func TestReshare(t *testing.T) {
	for _, tc := range []struct {
		name  string
		now   []int
		total int
		loads []Load
		want  []int
	}{
		{"a little uneven", []int{2, 2}, 4, []Load{{Left: 10, Max: 8}, {Left: 12, Max: 8}}, []int{2, 2}},
		{"very uneven", []int{2, 2}, 4, []Load{{Left: 3, Max: 8}, {Left: 12, Max: 8}}, []int{1, 3}},
		{"one more", []int{2, 2}, 5, []Load{{Left: 10, Max: 8}, {Left: 12, Max: 8}}, []int{2, 3}},
		{"one that has run dry", []int{2, 2}, 4, []Load{{Left: 1, Max: 1}, {Left: 2, Max: 8}}, []int{1, 3}},
		{"a new one that must wait", []int{1, 1, 0}, 2, []Load{{Left: 5, Max: 8}, {Left: 5, Max: 8}, {Left: 9, Max: 8}}, []int{1, 1, 0}},
		{"too many for what is left", []int{1}, 4, []Load{{Left: 1, Max: 1}}, []int{1}},
	} {
		if got := Reshare(tc.now, tc.total, tc.loads); !slices.Equal(got, tc.want) {
			t.Errorf("%s: %v, want %v", tc.name, got, tc.want)
		}
	}
}

func TestWork(t *testing.T) {
	if got := Work(2000, 500e6); math.Abs(got-2) > 1e-9 {
		t.Errorf("2,000 files and 500 MB are %f s", got)
	}
}
