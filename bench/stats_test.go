package bench_test

import (
	"math"
	"slices"
	"testing"

	"github.com/gridferry/gridferry/bench"
)

func TestQuantile(t *testing.T) {
	for _, c := range []struct {
		values []float64
		q      float64
		want   float64
	}{
		{[]float64{3}, 0.25, 3},
		{[]float64{4, 1, 3, 2}, 0.5, 2.5},
		{[]float64{5, 1, 4, 2, 3}, 0.5, 3},
		{[]float64{5, 1, 4, 2, 3}, 0.25, 2},
		{[]float64{5, 1, 4, 2, 3}, 0.75, 4},
		{[]float64{1, 2, 3, 4}, 0.25, 1.75}, // as R's quantile(1:4, 0.25)
		{[]float64{1, 2, 3, 4}, 0, 1},
		{[]float64{1, 2, 3, 4}, 1, 4},
	} {
		before := slices.Clone(c.values)
		if got := bench.Quantile(c.values, c.q); math.Abs(got-c.want) > 1e-12 {
			t.Errorf("the %g quantile of %v is %g, want %g", c.q, c.values, got, c.want)
		}
		if !slices.Equal(before, c.values) {
			t.Errorf("%v has become %v", before, c.values)
		}
	}
	if !math.IsNaN(bench.Median(nil)) {
		t.Error("nothing has a median")
	}
}

// The bootstrap of a mean is known: its bounds are about 1.96 standard errors
// away.
func TestBoundCoversWhatIsKnown(t *testing.T) {
	values := make([]float64, 400)
	for i := range values {
		values[i] = float64(i % 20)
	}
	mean := func(rounds []int) float64 {
		var sum float64
		for _, r := range rounds {
			sum += values[r]
		}
		return sum / float64(len(rounds))
	}
	deviation := math.Sqrt((20*20 - 1) / 12.0)
	want := bench.Interval{Low: 9.5 - 1.96*deviation/20, High: 9.5 + 1.96*deviation/20}
	got, ok := bench.Bound(len(values), mean)
	if !ok || math.Abs(got.Low-want.Low) > 0.05 || math.Abs(got.High-want.High) > 0.05 {
		t.Errorf("bounds %+v, want %+v", got, want)
	}
	if again, _ := bench.Bound(len(values), mean); again != got {
		t.Errorf("the same rounds have the bounds %+v and %+v", got, again)
	}
	if _, ok := bench.Bound(1, mean); ok {
		t.Error("one round bounds something")
	}
}

func TestOrderIsFairAndRepeatable(t *testing.T) {
	const n, rounds = 5, 1000
	var first [n]int
	for round := range rounds {
		order := bench.Order(n, round)
		if !slices.Equal(slices.Sorted(slices.Values(order)), []int{0, 1, 2, 3, 4}) {
			t.Fatalf("round %d has the order %v", round, order)
		}
		if !slices.Equal(order, bench.Order(n, round)) {
			t.Fatalf("round %d has two orders", round)
		}
		first[order[0]]++
	}
	for i, times := range first {
		if times < rounds/n/2 || times > 2*rounds/n {
			t.Errorf("contender %d is first in %d of %d rounds", i, times, rounds)
		}
	}
}
