package bench

import (
	"math"
	"math/rand/v2"
	"slices"
)

// Quantile returns the q-th quantile of values, 0 <= q <= 1, interpolating
// linearly between neighbours (Hyndman and Fan's type 7, as R and NumPy do by
// default). It is NaN when there are none. The order of values does not matter
// and is left alone.
func Quantile(values []float64, q float64) float64 {
	if len(values) == 0 {
		return math.NaN()
	}
	sorted := slices.Sorted(slices.Values(values))
	at := q * float64(len(sorted)-1)
	low := int(math.Floor(at))
	high := min(low+1, len(sorted)-1)
	return sorted[low] + (at-float64(low))*(sorted[high]-sorted[low])
}

// Median is the 0.5 quantile.
func Median(values []float64) float64 { return Quantile(values, 0.5) }

// An Interval is a range of values.
type Interval struct {
	Low  float64 `json:"low"`
	High float64 `json:"high"`
}

// IQR is the interquartile range: the middle half of values.
func IQR(values []float64) Interval {
	return Interval{Low: Quantile(values, 0.25), High: Quantile(values, 0.75)}
}

// resamples is how many bootstrap samples are drawn; with this many the bounds
// themselves vary by a percent or so of their distance.
const resamples = 4000

// confidence of the bounds of ratios.
const confidence = 0.95

// Bound returns the bounds, at 95 % confidence, of a statistic of rounds
// numbered 0 to n-1: the percentile bootstrap. Whole rounds are drawn, with
// everybody's times in them, so that what slowed the machine in one round
// slowed all. It is false where there are fewer than two rounds, which bound
// nothing. With fewer than five the bounds are narrower than they should be.
//
// The draws are the same each time, so that one report is one set of figures.
func Bound(n int, statistic func(rounds []int) float64) (Interval, bool) {
	if n < 2 {
		return Interval{}, false
	}
	rng := rand.New(rand.NewPCG(uint64(n), 1))
	drawn := make([]int, n)
	values := make([]float64, resamples)
	for i := range values {
		for j := range drawn {
			drawn[j] = rng.IntN(n)
		}
		values[i] = statistic(drawn)
	}
	return Interval{Low: Quantile(values, (1-confidence)/2), High: Quantile(values, (1+confidence)/2)}, true
}

// Order returns the order in which n contenders run in a round: a permutation
// that differs from round to round and is the same in each run of the program,
// so that nobody always runs behind the same other.
func Order(n, round int) []int {
	return rand.New(rand.NewPCG(uint64(round), 2)).Perm(n)
}
