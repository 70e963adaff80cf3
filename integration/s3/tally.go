package s3

import (
	"slices"
	"sync"
)

// Tally is what was carried of one kind of thing: parts that were sent, or
// ranges that were read.
type Tally struct {
	mu    sync.Mutex
	spans map[string][]*span // by what they are of
	open  int
	peak  int
}

// span is what one request has carried.
type span struct {
	t       *Tally
	from, n int64
	ended   bool
}

func newTally() *Tally { return &Tally{spans: map[string][]*span{}} }

// begin notes a request that begins at a byte of something.
func (t *Tally) begin(of string, from int64) *span {
	t.mu.Lock()
	defer t.mu.Unlock()
	s := &span{t: t, from: from}
	t.spans[of] = append(t.spans[of], s)
	t.open++
	t.peak = max(t.peak, t.open)
	return s
}

func (s *span) add(n int) {
	s.t.mu.Lock()
	defer s.t.mu.Unlock()
	s.n += int64(n)
}

func (s *span) end() {
	s.t.mu.Lock()
	defer s.t.mu.Unlock()
	if !s.ended {
		s.ended = true
		s.t.open--
	}
}

// Bytes is how many were carried in all.
func (t *Tally) Bytes() (n int64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, all := range t.spans {
		for _, s := range all {
			n += s.n
		}
	}
	return n
}

// Streams is how many requests there were at once, at most.
func (t *Tally) Streams() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.peak
}

// Again returns how many requests carried something that an earlier one had
// carried, and how many bytes that were.
func (t *Tally) Again() (requests int, bytes int64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, all := range t.spans {
		sorted := slices.Clone(all)
		slices.SortStableFunc(sorted, func(a, b *span) int { return int(a.from - b.from) })
		var end int64
		for _, s := range sorted {
			if over := min(end, s.from+s.n) - s.from; over > 0 {
				requests++
				bytes += over
			}
			end = max(end, s.from+s.n)
		}
	}
	return requests, bytes
}
