package transfer

import (
	"fmt"
	"math"
	"time"
)

// Work is how much files and bytes come to, in seconds at the rates that
// chunks are planned with (CutOptions): so a thousand small files and a few
// large ones are measured alike.
func Work(files, bytes int64) float64 {
	return float64(files)*perFileCost.Seconds() + float64(bytes)/plannedRate
}

// The rates of Work: the defaults of CutOptions.
const (
	perFileCost = 500 * time.Microsecond
	plannedRate = 500e6
)

// What a Governor goes by.
const (
	// streamCost is what one more pair of sessions must bring, as a factor of
	// the whole rate, to be worth its keep: the utility is rate/streamCost^n, as
	// in Falcon (M. Arifuzzaman, E. Arslan: "Online Optimization of File
	// Transfers in High-Speed Networks", SC '21), where 1.02 left fair shares
	// to competing transfers; a little more, because a server's process for each
	// session has a cost of its own.
	streamCost = 1.03

	deadBand = 0.05 // of utility, that noise alone may make; more where more noise is seen
	maxBand  = 0.3

	settleTime  = 750 * time.Millisecond  // after a change nothing is measured: logins, first windows
	windowTime  = 1500 * time.Millisecond // a rate is measured for at least so long ...
	windowLimit = 3 * windowTime          // ... and at most so long, however noisy it is

	// A trial that failed is made again after a rest, and the next one after
	// twice that.
	minRest = 5 * time.Second
	maxRest = 80 * time.Second

	// drift is how far the rate may move before what was learned is doubted.
	drift = 0.3

	// LimitTime is for how long a server that was busy is believed to be.
	LimitTime = 10 * time.Minute
)

// A Sample is what a governor is told, a few times a second.
type Sample struct {
	At      time.Duration // since the governor was made
	Work    float64       // done until then, see Work
	Streams int           // pairs of sessions that were at it
}

// An Adaptation is a change that a governor wants, and why.
type Adaptation struct {
	From, To int
	Reason   string
}

// A Governor climbs to the number of pairs of sessions that is worth most: it
// tries a few more, waits until they have settled, measures, and keeps them
// when the rate has grown by more than they cost. It has no clock and draws no
// lots: the same samples lead to the same decisions.
type Governor struct {
	max   int
	limit int           // below max where a server was busy with fewer; counts before ...
	ends  time.Duration // ... this

	n    int // in use
	base int // the best so far; n differs from it during a trial

	at      measured // the base
	step    int      // next, upwards; at least 1
	down    bool     // the next trial is of fewer
	rest    time.Duration
	until   time.Duration // no trial before
	doubts  int           // windows in a row whose rate is far from the base's
	changed time.Duration // when n was set last
	settled bool

	from   Sample // the window's beginning
	last   Sample
	slices []float64 // rates within the window
}

// measured is a rate, in work a second, and its relative standard error.
type measured struct{ rate, err float64 }

// NewGovernor begins with start pairs of sessions and never goes above most.
// known says that the start is from a record: it is believed for a while.
func NewGovernor(start, most int, known bool) *Governor {
	most = max(1, most)
	start = clamp(start, 1, most)
	g := &Governor{max: most, n: start, base: start, rest: minRest, step: 1}
	if known {
		g.rest = 4 * minRest
		g.until = g.rest
	}
	return g
}

// Streams is how many pairs of sessions there should be.
func (g *Governor) Streams() int { return g.n }

// Best is the best number so far, and the rate of work that was measured with
// it; 0 before anything was.
func (g *Governor) Best() (n int, rate float64) { return g.base, g.at.rate }

// Limit notes that the two ends refused more than n pairs of sessions, and
// lowers Streams to that. It is tried again when the servers have had time.
func (g *Governor) Limit(n int) {
	n = max(1, n)
	g.limit, g.ends = n, g.last.At+LimitTime
	if g.base > n {
		g.base, g.at = n, measured{}
	}
	if g.n > n {
		g.n, g.changed = n, g.last.At
		g.reset()
	}
}

// most is the bound of the moment.
func (g *Governor) most(at time.Duration) int {
	if at < g.ends {
		return min(g.limit, g.max)
	}
	return g.max
}

// reset begins to measure anew.
func (g *Governor) reset() { g.settled, g.slices = false, g.slices[:0] }

// Observe takes a sample, and may answer with a decision, which counts from
// then on.
func (g *Governor) Observe(s Sample) (Adaptation, bool) {
	if s.Streams != g.n || s.Work < g.last.Work {
		// Not what is to be measured: sessions come or go, or there are too few
		// files for them.
		g.reset()
		g.changed, g.last = s.At, s
		return Adaptation{}, false
	}
	if !g.settled {
		g.last = s
		if s.At-g.changed >= settleTime {
			g.settled, g.from = true, s
		}
		return Adaptation{}, false
	}
	if dt := s.At - g.last.At; dt > 0 {
		g.slices = append(g.slices, (s.Work-g.last.Work)/dt.Seconds())
	}
	g.last = s
	now, ok := g.window(s)
	if !ok {
		return Adaptation{}, false
	}
	g.from, g.slices = s, g.slices[:0]
	if g.n != g.base {
		return g.judge(s, now)
	}
	return g.idle(s, now)
}

// window returns the rate once it is known well enough.
func (g *Governor) window(s Sample) (measured, bool) {
	long := s.At - g.from.At
	if long < windowTime || len(g.slices) < 2 {
		return measured{}, false
	}
	m := measured{rate: (s.Work - g.from.Work) / long.Seconds()}
	if m.rate <= 0 {
		m.err = maxBand
		return m, long >= windowLimit
	}
	var squares float64
	for _, r := range g.slices {
		squares += (r - m.rate) * (r - m.rate)
	}
	k := float64(len(g.slices))
	m.err = math.Sqrt(squares/(k-1)/k) / m.rate
	return m, m.err <= deadBand/2 || long >= windowLimit
}

// judge ends a trial.
func (g *Governor) judge(s Sample, now measured) (Adaptation, bool) {
	band := clampFloat(2*math.Hypot(now.err, g.at.err), deadBand, maxBand)
	gain := math.Inf(1) // of utility
	if g.at.rate > 0 {
		gain = now.rate / g.at.rate / math.Pow(streamCost, float64(g.n-g.base))
	}
	ratio := fmt.Sprintf("%d instead of %d made %.2f times the rate", g.n, g.base, now.rate/max(g.at.rate, math.SmallestNonzeroFloat64))
	if g.at.rate <= 0 {
		ratio = fmt.Sprintf("%d moved what %d did not", g.n, g.base)
	}
	// Where noise decides, fewer are better.
	if up := g.n > g.base; up && gain > 1+band || !up && gain > 1-band/2 {
		g.base, g.at = g.n, now
		g.rest, g.until = minRest, s.At
		if up {
			g.step *= 2
		}
		if d, ok := g.try(s, ratio); ok {
			return d, true
		}
		g.until = s.At + g.rest
		return Adaptation{}, false
	}
	// More brought nothing: perhaps fewer do as well. Fewer were worse: the
	// next look is upwards again.
	g.down = g.n > g.base && g.base > firstSessions
	g.step = 1
	g.until = s.At + g.rest
	g.rest = min(2*g.rest, maxRest)
	return g.set(s, g.base, ratio), true
}

// idle is a window at the base.
func (g *Governor) idle(s Sample, now measured) (Adaptation, bool) {
	switch old := g.at.rate; {
	case old <= 0:
		g.at = now
	case math.Abs(now.rate/old-1) <= max(drift, 2*math.Hypot(now.err, g.at.err)):
		g.doubts = 0
		g.at = measured{(old + now.rate) / 2, (g.at.err + now.err) / 2}
	default:
		if g.doubts++; g.doubts > 1 {
			g.doubts, g.at, g.rest, g.down = 0, now, minRest, false
			return g.try(s, fmt.Sprintf("the rate has become %.2f times what it was", now.rate/old))
		}
	}
	if s.At < g.until || g.at.rate <= 0 {
		return Adaptation{}, false
	}
	return g.try(s, "")
}

// try begins a trial, if there is anything to try.
func (g *Governor) try(s Sample, why string) (Adaptation, bool) {
	to := min(g.base+max(1, g.step), g.most(s.At))
	if g.down || to == g.base && g.base > firstSessions {
		to = g.base - max(1, g.base/4)
	}
	if to == g.base || to < 1 {
		return Adaptation{}, false
	}
	question := "to see whether fewer do as well"
	if to > g.base {
		question = "to see whether more brings more"
	}
	if why != "" {
		question = why + "; " + question
	}
	return g.set(s, to, question), true
}

// set changes the number.
func (g *Governor) set(s Sample, n int, why string) Adaptation {
	d := Adaptation{From: g.n, To: n, Reason: why}
	g.n, g.changed = n, s.At
	g.reset()
	return d
}

func clampFloat(x, low, high float64) float64 { return max(low, min(x, high)) }

// A Load is a chunk that shares pairs of sessions with others.
type Load struct {
	Left float64 // work that is left, see Work
	Max  int     // pairs of sessions that it can use; 0 is none
}

// Share gives total pairs of sessions to chunks so that they end as early as
// can be: each goes to the one that would end last. Chunks come in the order
// in which they should end where there are too few for all.
func Share(total int, loads []Load) []int {
	shares := make([]int, len(loads))
	for ; total > 0; total-- {
		latest, end := -1, -1.0
		for i, l := range loads {
			if shares[i] >= l.Max {
				continue
			}
			due := math.Inf(1) // a chunk that has none ends never
			if shares[i] > 0 {
				due = l.Left / float64(shares[i])
			}
			if due > end {
				latest, end = i, due
			}
		}
		if latest < 0 {
			break
		}
		shares[latest]++
	}
	return shares
}

// uneven is how much later the last chunk must end than it would have to
// before pairs of sessions are moved: they take a moment to get going.
const uneven = 1.25

// Reshare is Share for chunks that have shares already. It leaves these alone
// where moving some would not be worth the while.
func Reshare(shares []int, total int, loads []Load) []int {
	next := Share(total, loads)
	var now, then, used, wanted = 0.0, 0.0, 0, 0
	for i, l := range loads {
		if shares[i] > l.Max || (shares[i] == 0) != (next[i] == 0) {
			return next
		}
		used += shares[i]
		wanted += next[i]
		if next[i] > 0 {
			now = max(now, l.Left/float64(shares[i]))
			then = max(then, l.Left/float64(next[i]))
		}
	}
	if used != wanted || now > uneven*then {
		return next
	}
	return append([]int(nil), shares...)
}
