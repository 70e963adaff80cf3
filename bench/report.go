package bench

import (
	"math"
	"slices"
	"time"
)

// A Report is everything that was measured, and what it amounts to.
type Report struct {
	Started     time.Time   `json:"started"`
	Version     string      `json:"version"` // of gridferry
	Machine     Machine     `json:"machine"` // where the command ran
	Source      string      `json:"source"`
	Destination string      `json:"destination"`
	Encrypt     bool        `json:"encrypt"` // by all or by none
	Rounds      int         `json:"rounds"`
	Warmup      int         `json:"warmup"` // rounds before those, which count for nothing
	Contenders  []Contender `json:"contenders"`
	Programs    []Program   `json:"programs"` // what was there of the peers
	LeftOut     []LeftOut   `json:"left_out"`
	NotAsked    []string    `json:"not_asked,omitempty"` // peers that could have taken part, had anybody named them
	Results     []Result    `json:"results"`
	Remarks     []string    `json:"remarks,omitempty"`
	Seconds     float64     `json:"seconds"` // that the whole measurement took
}

// A Machine is what a measurement's worth depends on.
type Machine struct {
	System string `json:"system"` // operating system and architecture
	CPUs   int    `json:"cpus"`
	// Load is the load average over the minute before the start: above 0 the
	// machine was doing something else, too. Nil is unknown.
	Load *float64 `json:"load,omitempty"`
}

// A Program is a peer that was found.
type Program struct {
	Name    string `json:"name"`
	Path    string `json:"path"`
	Version string `json:"version"`
}

// LeftOut says who took no part, and why.
type LeftOut struct {
	Name   string `json:"name"`            // of a contender
	Class  *Class `json:"class,omitempty"` // nil is all of them
	Reason string `json:"reason"`
}

// A Result is what was measured of one class, and its summary.
type Result struct {
	Class   Class    `json:"class"`
	Verify  bool     `json:"verify"` // whether all compared checksums, or none
	Samples []Sample `json:"samples"`
	Rounds  []Round  `json:"rounds"`
	// Dropped are those whose rounds end early.
	Dropped []Dropped `json:"dropped,omitempty"`
	Summary Summary   `json:"summary"`
}

// A Round tells how quiet the machine was while everybody copied once.
type Round struct {
	Round   int     `json:"round"` // negative while warming up
	Seconds float64 `json:"seconds"`
	// Before and After are load averages over a minute, in which the copies
	// themselves count. Nil is unknown.
	Before *float64 `json:"load_before,omitempty"`
	After  *float64 `json:"load_after,omitempty"`
	// Others is how many CPUs were busy, on average while contenders ran, with
	// anything but them and what serves them: what neither load average tells.
	// The kernel's work for no process is in it. Nil is unknown.
	Others *float64 `json:"others,omitempty"`
}

// A Sample is one run of one contender.
type Sample struct {
	Contender string  `json:"contender"`
	Round     int     `json:"round"`
	Warmup    bool    `json:"warmup,omitempty"`
	Seconds   float64 `json:"seconds"` // from the start of the process to its end

	// CPU time in seconds; nil is unknown. Client is that of the contender's
	// own processes, which for gridferry holds the daemon's where it is known.
	Client *float64 `json:"client_cpu,omitempty"`
	Server *float64 `json:"server_cpu,omitempty"`
	// Engine is that of what gridferry stands on, Temporal, which is told
	// apart from Client.
	Engine *float64 `json:"engine_cpu,omitempty"`

	// Error says how a run failed: it counts for nothing, and its contender
	// runs no more in this class.
	Error string `json:"error,omitempty"`
}

// A Summary compares the contenders of one class.
type Summary struct {
	Rows []Row `json:"rows"` // gridferry first, then by rate, and those that failed last

	// Best compares gridferry with the peer that was fastest in the median;
	// nil when there was none, or gridferry itself failed.
	Best *Best `json:"best,omitempty"`
	// Null compares it with the fastest yardstick.
	Null *Best `json:"null,omitempty"`
}

// A Row is what a contender did in a class. Numbers of those that failed are
// zero.
type Row struct {
	Contender string `json:"contender"`
	Own       bool   `json:"own,omitempty"`
	Null      bool   `json:"null,omitempty"`
	Error     string `json:"error,omitempty"`
	Rounds    int    `json:"rounds"`

	Seconds float64  `json:"seconds"` // median
	IQR     Interval `json:"iqr"`     // of the seconds
	Files   float64  `json:"files_per_second"`
	Bytes   float64  `json:"bytes_per_second"`

	// Ratio is how many times this contender's rate gridferry had: above 1,
	// gridferry was faster. Nil for gridferry itself, and where it failed.
	Ratio  *float64  `json:"ratio,omitempty"`
	Bounds *Interval `json:"bounds,omitempty"` // of the ratio at 95 % confidence

	ServerCPU *float64 `json:"server_cpu_per_file,omitempty"` // seconds, median
	ClientCPU *float64 `json:"client_cpu_per_file,omitempty"` // seconds, median
	EngineCPU *float64 `json:"engine_cpu_per_file,omitempty"` // seconds, median

}

// Best is the comparison that counts.
type Best struct {
	Contender string  `json:"contender"`
	Ratio     float64 `json:"ratio"` // as in Row
	// Bounds are for the ratio against whoever is best: the best peer is
	// chosen anew from each draw of rounds, so that they allow for having
	// chosen the winner after the fact. Nil with fewer than two rounds.
	Bounds *Interval `json:"bounds,omitempty"`
}

// Summarise compares the contenders of a class, from their samples. Those that
// were dropped are compared in the rounds that they were in, and none of them
// is the best.
func Summarise(class Class, contenders []Contender, samples []Sample, dropped []Dropped) Summary {
	t := newTimes(contenders, samples)
	var sum Summary
	for _, c := range contenders {
		if row, ran := t.row(class, c); ran {
			sum.Rows = append(sum.Rows, row)
		}
	}
	rank := func(r Row) int {
		switch {
		case r.Error != "":
			return 2
		case r.Contender == Own:
			return 0
		}
		return 1
	}
	slices.SortStableFunc(sum.Rows, func(a, b Row) int {
		if ra, rb := rank(a), rank(b); ra != rb {
			return ra - rb
		}
		return int(math.Copysign(1, a.Seconds-b.Seconds))
	})
	stayed := func(r Row) bool {
		return !slices.ContainsFunc(dropped, func(d Dropped) bool { return d.Contender == r.Contender })
	}
	sum.Best = t.best(sum.Rows, func(r Row) bool { return !r.Own && !r.Null && stayed(r) })
	sum.Null = t.best(sum.Rows, func(r Row) bool { return r.Null && stayed(r) })
	return sum
}

// times are the seconds of each contender that did not fail, by round.
type times struct {
	seconds map[string][]float64
	samples []Sample
}

func newTimes(contenders []Contender, samples []Sample) times {
	t := times{seconds: make(map[string][]float64), samples: samples}
	for _, c := range contenders {
		if t.failure(c.Name) != "" {
			continue
		}
		var seconds []float64
		for _, s := range t.of(c.Name) {
			seconds = append(seconds, s.Seconds)
		}
		if len(seconds) > 0 {
			t.seconds[c.Name] = seconds
		}
	}
	return t
}

// of are a contender's samples that count, in the order of rounds.
func (t times) of(name string) []Sample {
	var found []Sample
	for _, s := range t.samples {
		if s.Contender == name && !s.Warmup && s.Error == "" {
			found = append(found, s)
		}
	}
	slices.SortStableFunc(found, func(a, b Sample) int { return a.Round - b.Round })
	return found
}

// failure is a contender's first, in a warm-up too.
func (t times) failure(name string) string {
	for _, s := range t.samples {
		if s.Contender == name && s.Error != "" {
			return s.Error
		}
	}
	return ""
}

// row is false for a contender that has not run.
func (t times) row(class Class, c Contender) (Row, bool) {
	row := Row{Contender: c.Name, Own: c.Own(), Null: c.Null, Error: t.failure(c.Name)}
	seconds, ran := t.seconds[c.Name]
	if !ran {
		return row, row.Error != ""
	}
	row.Rounds, row.Seconds, row.IQR = len(seconds), Median(seconds), IQR(seconds)
	if row.Seconds > 0 {
		row.Files, row.Bytes = float64(class.Files)/row.Seconds, float64(class.Bytes())/row.Seconds
	}
	row.ServerCPU = t.perFile(class, c.Name, func(s Sample) *float64 { return s.Server })
	row.ClientCPU = t.perFile(class, c.Name, func(s Sample) *float64 { return s.Client })
	row.EngineCPU = t.perFile(class, c.Name, func(s Sample) *float64 { return s.Engine })
	if ours, ok := t.seconds[Own]; ok && c.Name != Own {
		ratio, bounds := t.ratio(ours, [][]float64{seconds})
		row.Ratio, row.Bounds = &ratio, bounds
	}
	return row, true
}

// smallestOfGiB is the size of files from which the bytes cost more than the
// files do, and CPU times are told by the GiB.
const smallestOfGiB = 1 << 20

// perFile is nil unless the value is known of every sample.
func (t times) perFile(class Class, name string, value func(Sample) *float64) *float64 {
	var all []float64
	for _, s := range t.of(name) {
		v := value(s)
		if v == nil {
			return nil
		}
		all = append(all, *v/float64(class.Files))
	}
	m := Median(all)
	return &m
}

// ratio is the rate of ours over that of the fastest of the peers, by medians.
func (t times) ratio(ours []float64, peers [][]float64) (float64, *Interval) {
	rounds := len(ours)
	for _, p := range peers {
		rounds = min(rounds, len(p))
	}
	all := make([]int, rounds)
	for i := range all {
		all[i] = i
	}
	statistic := func(rounds []int) float64 {
		pick := make([]float64, len(rounds))
		median := func(values []float64) float64 {
			for i, r := range rounds {
				pick[i] = values[r]
			}
			return Median(pick)
		}
		best := math.Inf(1)
		for _, p := range peers {
			best = min(best, median(p))
		}
		return best / median(ours)
	}
	ratio := statistic(all)
	if bounds, ok := Bound(rounds, statistic); ok {
		return ratio, &bounds
	}
	return ratio, nil
}

// best compares ours with the fastest of those rows that count.
func (t times) best(rows []Row, counts func(Row) bool) *Best {
	ours, ok := t.seconds[Own]
	if !ok {
		return nil
	}
	var peers [][]float64
	best := Best{}
	for _, r := range rows { // the fastest peer comes first
		if seconds, ran := t.seconds[r.Contender]; ran && counts(r) {
			if peers = append(peers, seconds); best.Contender == "" {
				best.Contender = r.Contender
			}
		}
	}
	if len(peers) == 0 {
		return nil
	}
	best.Ratio, best.Bounds = t.ratio(ours, peers)
	return &best
}
