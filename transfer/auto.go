package transfer

import (
	"fmt"
	"time"
)

// DefaultSessions is the budget of pairs of sessions that one task has between
// two endpoints under the policy "auto".
const DefaultSessions = 8

// firstSessions is with how many pairs of sessions a chunk begins of which
// nothing is known: one more than the least, so that the end of one file hides
// behind another, and few enough for servers of two cores.
const firstSessions = 2

// The published thresholds as seconds of a link: 50 and 250 MB are what
// 10 Gb/s carry in so long.
const (
	linkRate     = 1.25e9 // bytes a second, where nothing was measured: the published 10 Gb/s
	smallSeconds = 0.04   // a mean under so many seconds of the link is small ...
	largeSeconds = 0.2    // ... and one over so many is large
	tinyMean     = 1e6    // bytes; under this a file costs requests rather than bytes
)

// streamWindow is how many bytes one TCP connection has on its way at most,
// where the kernels are left to choose: Linux has up to 4 MiB of memory for what
// is not acknowledged (tcp_wmem), half of which is its own bookkeeping. Seen: 41
// MB/s at 50 ms.
const streamWindow = 2 << 20

// headroom is by how much a line may carry more than was seen: that may have
// been all that the connections of the time could.
const headroom = 2

// Bounds of what "auto" chooses.
const (
	maxSockets = 8   // for a file, of each pair of sessions; the published number for large files
	maxWindow  = 400 // requests outstanding; servers refuse more than 1,000 commands, of which a file takes two
)

// relayTurns is how many round trips a small file takes that is relayed: no
// request goes out before the last one was answered.
const relayTurns = 4

// Setting is what tuning has to know besides the files.
type Setting struct {
	StreamDest bool // the destination takes bytes only in order: concurrency is all there is to tune
	Relay      bool // the bytes go through a worker
	Multiplex  bool // at both ends one more file costs a request, and no session or process
	Unordered  bool // parts of a relayed file may go in any order: no digest is computed of what passes
	Sessions   int  // most pairs of sessions that the two ends allow the task; 0 is DefaultSessions

	// RTT is the round-trip time to the farther of the two ends, as the
	// planning worker measured it; 0 is not known. The one between the two
	// servers nobody tells; it is at most the sum of the two.
	RTT time.Duration

	Known []Known // what worked between these two ends lately
}

// Grain is how large files are on average, as the policy "auto" sees it.
type Grain string

// The grains.
const (
	GrainTiny   Grain = "tiny"   // a file costs requests rather than bytes
	GrainSmall  Grain = "small"  // less than 0.04 s of the link
	GrainMedium Grain = "medium" // between
	GrainLarge  Grain = "large"  // more than 0.2 s of the link
)

// Known is what worked between two ends for files of a grain: where the next
// task starts.
type Known struct {
	Grain       Grain     `json:"grain"`
	Concurrency int       `json:"cc"`       // pairs of sessions of a whole task
	Rate        float64   `json:"rate"`     // bytes a second, with these
	Files       float64   `json:"files"`    // the same, in files a second
	Measured    time.Time `json:"measured"` // when
}

// Grain says of which grain files of that mean size are.
func (at Setting) Grain(mean int64) Grain {
	link, m := at.link(), float64(mean)
	switch {
	case m < min(tinyMean, smallSeconds*link):
		return GrainTiny
	case m < smallSeconds*link:
		return GrainSmall
	case m <= largeSeconds*link:
		return GrainMedium
	}
	return GrainLarge
}

// known returns what worked for a grain.
func (at Setting) known(g Grain) (Known, bool) {
	for _, k := range at.Known {
		if k.Grain == g && k.Concurrency > 0 {
			return k, true
		}
	}
	return Known{}, false
}

// seen is the record of files that cost bytes, the faster one; zero where there
// is none.
func (at Setting) seen() (best Known) {
	for _, k := range at.Known {
		if (k.Grain == GrainMedium || k.Grain == GrainLarge) && k.Rate > best.Rate {
			best = k
		}
	}
	return best
}

// link is what the line carries, in bytes a second: what files that cost
// bytes were seen to get, or as published.
func (at Setting) link() float64 {
	if seen := at.seen().Rate; seen > 0 {
		return seen
	}
	return linkRate
}

// Pace is what one pair of sessions was seen to move of large files, in bytes
// a second; 0 is not known.
func (at Setting) Pace() float64 {
	k := at.seen()
	return k.Rate / float64(max(1, k.Concurrency))
}

// Most is the bound of concurrency of a whole task.
func (at Setting) Most() int {
	if at.Sessions > 0 {
		return at.Sessions
	}
	return DefaultSessions
}

// Start is with how many pairs of sessions a task should begin for files of
// that mean size, all its chunks together; known says that it is what worked
// the last time.
func (at Setting) Start(mean int64) (n int, known bool) {
	if k, ok := at.known(at.Grain(mean)); ok {
		return clamp(k.Concurrency, 1, at.Most()), true
	}
	n = firstSessions
	if (at.Relay || at.StreamDest) && at.RTT > 0 {
		// Requests are not pipelined there: only more sessions hide the latency.
		cost := perFileCost + time.Duration(float64(mean)/at.link()*float64(time.Second))
		n = max(n, ceilDiv(relayTurns*at.RTT, cost))
	} else if at.StreamDest {
		n = at.Most()
	}
	if at.Relay && at.Multiplex {
		// What a store takes for a request is seldom the line's, nor a CPU's: but
		// for large files, whose bytes are.
		if n = at.Most(); at.Grain(mean) == GrainLarge {
			n = (n + 1) / 2
		}
	}
	return clamp(n, 1, at.Most()), false
}

// why says why a task starts with n pairs of sessions.
func (at Setting) why(mean int64, n int) string {
	k, known := at.known(at.Grain(mean))
	switch {
	case known:
		return fmt.Sprintf("%d sessions in all, which gave %s files/s and %s here", n, formatFew(k.Files), FormatRate(k.Rate))
	case at.StreamDest:
		return "the destination is stream mode, so only concurrency helps"
	case at.Relay && at.Multiplex:
		return "requests side by side, which cost no sessions"
	case n > firstSessions:
		return "as many sessions as hide the latency"
	}
	return "few sessions to begin with, and what is measured decides"
}

// tuneAuto gives each file the sockets that the line needs, keeps as many
// requests outstanding as hide the round trip, and begins with few sessions.
func tuneAuto(s Stats, at Setting) Tuning {
	mean := s.Mean()
	start, _ := at.Start(mean)
	t := Tuning{MaxConcurrency: at.Most()}
	// Half of the budget at most, so that the next chunk begins before this one
	// has ended. A worker that has only one may give it all.
	t.Concurrency = clamp(start, 1, max(min(firstSessions, at.Most()), (at.Most()+1)/2))
	if s.Files > 0 {
		most := at.divisible(s)
		t.Concurrency = int(min(int64(t.Concurrency), most))
		t.MaxConcurrency = int(min(int64(t.MaxConcurrency), most))
	}
	t.Parallelism = at.sockets(mean, t.Concurrency)
	t.Pipelining = at.window(mean)
	if at.StreamDest {
		t.Parallelism, t.Pipelining = 1, 1
	}
	if s.Files > 0 {
		t.Pipelining = int(min(int64(t.Pipelining), (s.Files+int64(t.Concurrency)-1)/int64(t.Concurrency)))
	}
	t.Reason = fmt.Sprintf("auto: %s, mean %s (%s)%s: %s", FormatFiles(s.Files), FormatBytes(mean), at.Grain(mean), at.distance(), at.why(mean, start))
	return t
}

// sockets is how many connections a file needs for the whole of the line: the
// bandwidth-delay product, shared out among the sessions.
func (at Setting) sockets(mean int64, concurrency int) int {
	rate := max(at.link(), min(headroom*at.link(), linkRate))
	n := int(rate*at.RTT.Seconds()/streamWindow/float64(max(1, concurrency))) + 1
	// A connection that carries less than its window of a file gains nothing.
	return clamp(n, 1, min(maxSockets, int(mean/(streamWindow/2))+1))
}

// window is how many requests must be outstanding: twice of what is served in
// a round trip, and never so few that the servers run dry while a reply is
// read. Tiny files are served so fast that it is the number of times that
// servers have to be woken which counts: 400 were seen to take a fifth less of
// their CPU than 100.
func (at Setting) window(mean int64) int {
	floor := map[Grain]int{GrainTiny: maxWindow, GrainSmall: 20, GrainMedium: 10, GrainLarge: 5}[at.Grain(mean)]
	cost := perFileCost + time.Duration(float64(mean)/at.link()*float64(time.Second))
	return clamp(ceilDiv(2*at.RTT, cost), floor, maxWindow)
}

// distance is the round trip, for a reason.
func (at Setting) distance() string {
	if at.RTT <= 0 {
		return ""
	}
	return fmt.Sprintf(", %s away", formatRTT(at.RTT))
}

func formatRTT(d time.Duration) string {
	if d < time.Millisecond {
		return "under 1 ms"
	}
	return fmt.Sprintf("%d ms", d.Round(time.Millisecond).Milliseconds())
}

func formatFew(n float64) string {
	if n < 10 {
		return fmt.Sprintf("%.1f", n)
	}
	return fmt.Sprintf("%.0f", n)
}

func clamp(n, low, high int) int { return max(low, min(n, high)) }

func ceilDiv(a, b time.Duration) int { return int((a + b - 1) / b) }
