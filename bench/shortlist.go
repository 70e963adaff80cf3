package bench

import (
	"fmt"
	"math"
	"slices"
	"strings"
)

// A Dropped contender was clearly slower than another of its kind, and took no
// part in the rounds that followed.
type Dropped struct {
	Contender string  `json:"contender"`
	Round     int     `json:"round"` // after which; negative while warming up
	Fastest   string  `json:"fastest"`
	Share     float64 `json:"share"` // the rate of its best run over the fastest's worst; when stopped, more than it had
	Stopped   bool    `json:"stopped,omitempty"`
}

// kind is with whom a contender competes for rounds. What an expert gets out of
// GridFTP is worth knowing also where something else is faster, and the other
// way round.
type kind int

const (
	own        kind = iota // gridferry and its variants
	clients                // of GridFTP
	others                 // whatever else copies files
	yardsticks             // what nobody would use
)

func (c Contender) kind() kind {
	switch {
	case c.Own():
		return own
	case c.Null:
		return yardsticks
	case c.Program == urlCopy || c.Program == shell: // which pipes one into another
		return clients
	}
	return others
}

// String is who, when and why.
func (d Dropped) String() string {
	if d.Stopped {
		return fmt.Sprintf("%s (stopped while warming up: under %.2f of %s)", d.Contender, d.Share, d.Fastest)
	}
	return fmt.Sprintf("%s (after round %d: %.2f of %s)", d.Contender, d.Round+1, d.Share, d.Fastest)
}

// shares are the parts of the rate of the fastest's worst run that a
// contender's best run must have had, warming up included, to go on after the
// first, second and third round. They rise because the more runs do not overlap,
// the less can it be an accident.
func shares() []float64 { return []float64{0.7, 0.8, 0.9} }

// Shortlist says who need not run in the rounds after this one, which is the
// last of the samples: successive halving over the grid, so that the time goes
// to those that may be the best. Each is measured by the one of its kind with
// the fastest median so far; gridferry and its variants stay. Whoever goes has been slower each time than the fastest ever
// was, so that leaving it out of the choice of the best does not flatter
// gridferry; on a busy machine few go.
func Shortlist(contenders []Contender, samples []Sample, round int) []Dropped {
	if round < 0 || round >= len(shares()) {
		return nil
	}
	var dropped []Dropped
	for _, k := range []kind{clients, others, yardsticks} {
		runs := make(map[string][]float64)
		var names []string
		for _, c := range contenders {
			if c.kind() != k {
				continue
			}
			if seconds, still := runsUntil(samples, c.Name, round); still {
				runs[c.Name] = seconds
				names = append(names, c.Name)
			}
		}
		if len(names) < 2 {
			continue
		}
		fastest := slices.MinFunc(names, func(a, b string) int {
			return int(math.Copysign(1, measured(runs[a], round)-measured(runs[b], round)))
		})
		for _, name := range names {
			share := slices.Max(runs[fastest]) / slices.Min(runs[name])
			if name != fastest && share < shares()[round] {
				dropped = append(dropped, Dropped{Contender: name, Round: round, Fastest: fastest, Share: share})
			}
		}
	}
	return dropped
}

// runsUntil are a contender's times, warming up first, and whether it has come
// through the round.
func runsUntil(samples []Sample, name string, round int) (seconds []float64, still bool) {
	for _, s := range samples {
		if s.Contender != name {
			continue
		}
		if s.Error != "" {
			return nil, false
		}
		seconds = append(seconds, s.Seconds)
		still = still || !s.Warmup && s.Round == round
	}
	return seconds, still
}

// measured is the median of those of the times that count.
func measured(seconds []float64, round int) float64 { return Median(seconds[len(seconds)-round-1:]) }

// FastestSoFar is the least time of a contender's kind, itself left out, in the
// runs so far; empty when there was none.
func FastestSoFar(contenders []Contender, samples []Sample, of Contender) (name string, seconds float64) {
	for _, c := range contenders {
		if c.kind() != of.kind() || c.Name == of.Name {
			continue
		}
		for _, s := range samples {
			if s.Contender == c.Name && s.Error == "" && (name == "" || s.Seconds < seconds) {
				name, seconds = c.Name, s.Seconds
			}
		}
	}
	return name, seconds
}

// writeDropped names those that were dropped.
func writeDropped(b *strings.Builder, dropped []Dropped) {
	if len(dropped) == 0 {
		return
	}
	var all []string
	for _, d := range dropped {
		all = append(all, d.String())
	}
	fmt.Fprintf(b, "Dropped for being clearly slower: %s.\n", strings.Join(all, ", "))
}
