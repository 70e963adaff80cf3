package chaos

import (
	"fmt"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/gridferry/gridferry/integration/tree"
	"github.com/gridferry/gridferry/transfer"
)

const mib = 1 << 20

// phase is what a transfer is at when something strikes.
type phase int

// The phases, in the order in which a plan has them.
const (
	walking phase = iota
	copying
	verifying
	renaming
	continuing // as new, from the server's hint until the next run has begun
	recording  // the end of the task
	phases
)

func (p phase) String() string {
	return [...]string{"walk", "copy", "verify", "rename", "continue-as-new", "final record"}[p]
}

// kind is a sort of misfortune.
type kind string

const (
	killWorker   kind = "kill worker"
	stopWorker   kind = "stop worker"
	killServer   kind = "kill server"
	stopServer   kind = "stop server"
	cut          kind = "cut"
	stall        kind = "stall"
	blackHole    kind = "black hole"
	killTemporal kind = "kill Temporal"
	fullDisk     kind = "full disk"
	forbid       kind = "forbid"
	stepClock    kind = "step clock"
	change       kind = "change source"
)

// An event is one misfortune.
type event struct {
	phase phase
	kind  kind
	end   int           // of what happens at a server: 0 the source, 1 the destination
	all   bool          // both workers, not only the one that is at it; every connection, not only the data channels
	lasts time.Duration // until it is put right
	gap   time.Duration // before the next one is looked for
	by    time.Duration // of a clock
}

func (e event) String() string {
	s := string(e.kind)
	switch e.kind {
	case killServer, stopServer, stall, forbid:
		s += " " + endName(e.end)
	case cut, blackHole:
		s += " " + endName(e.end)
		if !e.all {
			s += "'s data channels"
		}
	case stepClock:
		s += fmt.Sprintf(" by %v", e.by)
	}
	if e.all && (e.kind == killWorker || e.kind == stopWorker) {
		s += "s"
	}
	if e.lasts > 0 {
		s += fmt.Sprintf(", %v", e.lasts.Round(10*time.Millisecond))
	}
	return s
}

func endName(end int) string { return [...]string{"source", "destination"}[end] }

// A plan is all that a seed says.
type plan struct {
	seed   uint64
	shape  string
	tree   tree.Spec
	rate   int64 // of the source's line, in bytes a second
	route  transfer.RouteRule
	ours   int // the end that our own server is at; -1 when both are others'
	atomic bool
	events []event
}

func (p plan) String() string {
	route := string(p.route)
	if p.ours >= 0 {
		route += ", ours at the " + endName(p.ours)
	}
	return p.shape + ", " + route
}

// draw makes the plan of a seed, of that many events at least. Fewer than ten
// make a small seed: less data, and nothing that takes a minute by itself.
func draw(seed uint64, events int) plan {
	rng := rand.New(rand.NewPCG(seed, 0xc4a05))
	small := events < 10
	p := plan{seed: seed, route: transfer.RouteThirdParty, ours: -1, atomic: rng.IntN(4) == 0}
	if rng.IntN(3) == 0 {
		p.route = transfer.RouteRelay
	}
	if rng.IntN(3) == 0 {
		p.ours = rng.IntN(2)
	}
	p.shape, p.tree, p.rate = shape(rng, small)
	p.tree.Seed = seed

	at := []phase{[]phase{walking, copying}[rng.IntN(2)], []phase{verifying, renaming}[rng.IntN(2)], continuing}
	if !small {
		at = append(at, walking, verifying, renaming, continuing)
	}
	for len(at)+1 < events {
		at = append(at, []phase{walking, copying, copying, copying, verifying, renaming, continuing}[rng.IntN(7)])
	}
	rng.Shuffle(len(at), func(i, j int) { at[i], at[j] = at[j], at[i] })
	slices.SortStableFunc(at, func(a, b phase) int { return rank(a) - rank(b) })
	at = append(at, recording)

	had := make(map[kind]int)
	for _, ph := range at {
		e := event{phase: ph, kind: misfortune(rng, ph, had, small), end: rng.IntN(2), all: rng.IntN(2) == 0}
		had[e.kind]++
		e.gap = time.Duration(rng.IntN(3000)) * time.Millisecond
		e.lasts = duration(rng, e.kind, small)
		if e.kind == forbid && p.ours >= 0 {
			e.end = 1 - p.ours // ours runs as root, to whom nothing is forbidden
		}
		if e.kind == stepClock {
			e.by = []time.Duration{10 * time.Minute, -10 * time.Minute}[rng.IntN(2)]
		}
		p.events = append(p.events, e)
	}
	return p
}

// rank orders the phases that come once; the others come as they are drawn.
func rank(p phase) int {
	switch p {
	case walking:
		return 0
	case recording:
		return 2
	}
	return 1
}

// misfortune draws what strikes in a phase. Some take long by themselves, and
// come once in a seed or not at all in a small one.
func misfortune(rng *rand.Rand, at phase, had map[kind]int, small bool) kind {
	deck := []kind{
		killWorker, killWorker, killWorker, stopWorker, stopWorker, killServer, stopServer, cut, cut, stall, blackHole,
		killTemporal, forbid, stepClock, fullDisk, change,
	}
	for {
		k := deck[rng.IntN(len(deck))]
		most := 3
		switch k {
		case fullDisk, change:
			if at == walking || at == recording {
				continue // a disk that nothing is written to, a source that nothing is read from
			}
			most = 1
		case forbid, killTemporal:
			most = 2
		case killWorker:
			most = 4
		}
		if small {
			most = 1
		}
		if small && (k == fullDisk || k == forbid) || had[k] >= most {
			continue
		}
		return k
	}
}

// duration draws how long a misfortune lasts.
func duration(rng *rand.Rand, k kind, small bool) time.Duration {
	between := func(from, to time.Duration) time.Duration { return from + time.Duration(rng.Int64N(int64(to-from))) }
	switch k {
	case killWorker, killServer, killTemporal:
		return between(0, 4*time.Second)
	case stopWorker:
		if !small && rng.IntN(2) == 0 {
			return between(20*time.Second, 30*time.Second) // past the heartbeat's timeout
		}
		return between(time.Second, 6*time.Second)
	case stopServer, stall, blackHole:
		return between(time.Second, 12*time.Second)
	case fullDisk, forbid:
		return between(3*time.Second, 10*time.Second)
	case stepClock:
		return between(5*time.Second, 30*time.Second)
	}
	return 0
}

// shape draws a kind of tree and a line that makes it last about forty
// seconds, less in a small seed.
func shape(rng *rand.Rand, small bool) (name string, spec tree.Spec, rate int64) {
	part := int64(1)
	if small {
		part = 4
	}
	switch rng.IntN(3) {
	case 0:
		return "small files", tree.Spec{Files: 2500 / int(part), Bytes: 40 * mib / part, Odd: true, Deep: 8, Empties: 60}, mib
	case 1:
		large := append([]int64{96 * mib, 20 * mib, 12 * mib}, slices.Repeat([]int64{3 * mib / 2}, 60)...)
		bytes := int64(256 * mib)
		if small {
			large, bytes = append([]int64{12 * mib}, large[3:30]...), 72*mib
		}
		return "mixed", tree.Spec{Files: 400, Bytes: bytes, Large: large, Odd: true, Deep: 10, Empties: 40}, 8 * mib
	}
	large := []int64{160 * mib, 120 * mib, 96 * mib, 80 * mib, 64 * mib, 64 * mib}
	if small {
		large = []int64{96 * mib, 72 * mib}
	}
	var sum int64
	for _, n := range large {
		sum += n
	}
	return "large files", tree.Spec{Files: 40 + len(large), Bytes: sum + 20*mib, Large: large, Deep: 3, Empties: 100}, 16 * mib
}

func TestPlan(t *testing.T) {
	hit := make(map[string]int)
	for seed := range uint64(30) {
		p := draw(seed+1, 10)
		if !reflect.DeepEqual(p, draw(seed+1, 10)) {
			t.Errorf("seed %d draws two plans", seed+1)
		}
		if len(p.events) < 10 {
			t.Errorf("seed %d has %d events", seed+1, len(p.events))
		}
		for i, e := range p.events {
			hit[e.phase.String()]++
			hit[string(e.kind)]++
			if i > 0 && rank(p.events[i-1].phase) > rank(e.phase) {
				t.Errorf("seed %d has %v after %v", seed+1, e.phase, p.events[i-1].phase)
			}
		}
		hit[p.shape]++
		hit[string(p.route)]++
		hit[fmt.Sprint("ours ", p.ours)]++
	}
	for _, name := range strings.Split("walk,copy,verify,rename,continue-as-new,final record,kill worker,stop worker,kill server,stop server,cut,stall,black hole,"+
		"kill Temporal,full disk,forbid,step clock,change source,small files,mixed,large files,third-party,relay,ours -1,ours 0,ours 1", ",") {
		if hit[name] == 0 {
			t.Errorf("thirty seeds have no %q: %v", name, hit)
		}
	}
}
