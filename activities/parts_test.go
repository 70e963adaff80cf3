package activities

import (
	"slices"
	"testing"
	"time"

	"github.com/gridferry/gridferry/endpoints"
	"github.com/gridferry/gridferry/endpoints/memory"
	"github.com/gridferry/gridferry/fault"
	"github.com/gridferry/gridferry/transfer"
)

// begun is a copier of one file that is ready to hand it out.
func (w *world) begun(size int, known ...transfer.Known) *copier {
	w.t.Helper()
	in := w.chunkOf("0001-0001", 1, size, transfer.Tuning{Concurrency: 2, Parallelism: 1, Pipelining: 4, MaxConcurrency: 8})
	in.Options.Route, in.Probe.Known = transfer.RouteThirdParty, known
	d := w.worker("one")
	h, err := d.acquire(w.ctx(), in)
	if err != nil {
		w.t.Fatal(err)
	}
	c := newCopier(d, in, h)
	if err := c.open(w.ctx()); err != nil {
		w.t.Fatal(err)
	}
	if err := c.connect(w.ctx(), nil); err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(c.ends.Close)
	c.book.over = true // nobody writes the ledger
	return c
}

// run is a sender's that has taken the file.
func (w *world) run(c *copier) *sendRun {
	w.t.Helper()
	first, ok := c.take()
	if !ok {
		w.t.Fatal("there is nothing to take")
	}
	return &sendRun{c: c, s: &sender{}, ctx: w.ctx(), first: &first, turn: first, taken: map[int]*flight{}}
}

// What is risked at once is a second of work, whatever the line.
func TestPartsFollowTheRate(t *testing.T) {
	w := newWorld(t)
	w.parts = partSizes{from: 16 << 20, share: 1, min: 16 << 20, max: 16 << 20}
	run := w.run(w.begun(48 << 20))
	var end int64
	for _, tc := range []struct {
		took time.Duration
		want float64 // MiB
	}{
		{2 * time.Second, 4}, // of which nothing is known
		{time.Second, 2},
		{4 * time.Second, 2}, // half a MiB a second, and 1.25 on average
		{time.Minute, 1.25},
		{time.Minute, 1}, // never less
		{time.Microsecond, 1},
		{time.Second, 4.75}, // the rest of one that was planned
		{time.Second, 16},   // never more
	} {
		s, ok := run.next()
		if !ok || s.Part == nil || s.Part.Off != end {
			t.Fatalf("at %d: %+v", end, s.Part)
		}
		if got := float64(s.Part.Len()) / (1 << 20); got > 1.1*tc.want || got < 0.9*tc.want {
			t.Fatalf("at %d: a part of %.2f MiB, want %.2f", end, got, tc.want)
		}
		end = s.Part.End
		run.since = time.Now().Add(-tc.took)
		run.done(endpoints.Sent{Send: s})
	}
}

// A record of the pair says from which size on files go in parts, and how large
// these are at first.
func TestPartsOfAKnownLine(t *testing.T) {
	const mib = 1 << 20
	for _, tc := range []struct {
		rate float64 // of two pairs of sessions; 0 is not known
		size int
		want int64 // the first part; 0 is a file that goes whole
	}{
		{0, 15 * mib, 0},
		{0, 20 * mib, firstPart},
		{6 * mib, 5 * mib, 0},
		{6 * mib, 7 * mib, 3 * mib},
		{100, 2*mib + 1, mib},
		{1e9, 20 * mib, 16 * mib},
	} {
		w := newWorld(t)
		w.parts = partSizes{from: 16 * mib, share: 1, min: 16 * mib, max: 16 * mib}
		var known []transfer.Known
		if tc.rate > 0 {
			known = append(known, transfer.Known{Grain: transfer.GrainLarge, Concurrency: 2, Rate: tc.rate})
		}
		s, ok := w.run(w.begun(tc.size, known...)).next()
		var got int64
		if s.Part != nil {
			got = s.Part.Len()
		}
		if !ok || got != tc.want {
			t.Errorf("%d bytes at %.0f bytes a second: a part of %d, want %d", tc.size, tc.rate, got, tc.want)
		}
	}
}

// What a server says at the end of a run may be of any file that was with it,
// and none that was told of.
func TestTheEndOfARunNamesTheFile(t *testing.T) {
	w := newWorld(t)
	c := w.begun(2 << 20)
	run := w.run(c)
	s, ok := run.next()
	if !ok || s.Dest == c.files[0].Dest {
		t.Fatalf("it has no temporary name: %+v", s)
	}
	if run.end(fault.New(fault.Permission, "send from src to", "dst", "transfer to "+s.Dest+" was refused")) {
		t.Error("it goes on where it may not write")
	}
	want := "send from src to dst: transfer to " + c.files[0].Dest + " was refused"
	if len(c.led.Faults) != 1 || c.led.Faults[0].Message != want || c.led.Faults[0].Path != "dst" {
		t.Errorf("it is noted as %+v, want %s", c.led.Faults, want)
	}
	if c.blocked == nil || c.blocked.Message != want {
		t.Errorf("the workflow is told %+v", c.blocked)
	}
}

// On a fast line a part is what the source sends in one answer.
func TestRelayedPartsAreOneAnswer(t *testing.T) {
	const piece = 1 << 20
	for told, want := range map[int64]int64{0: oneRequest, 5 * piece: 5 * piece, 64 * piece: 64 * piece} {
		w := newWorld(t, func(src, _ *memory.Options) { src.OneAnswer = told })
		c := w.begun(piece)
		c.staff.pace = 1 << 40
		l := &large{holders: 1}
		for n := range int64(512) {
			l.rest = append(l.rest, endpoints.Range{Off: n * piece, End: (n + 1) * piece})
		}
		if part, ok := (&relay{c: c, f: c.files[0]}).next(l); !ok || part.Len() != want {
			t.Errorf("told %d, the first part is of %d bytes, want %d", told, part.Len(), want)
		}
	}
}

// A relay is at each part for as long as may be risked, and the last ones are
// small enough that all senders end together.
func TestRelayedParts(t *testing.T) {
	const piece = 16 << 20
	l := &large{holders: 2}
	for n := range int64(64) {
		if n != 8 { // which is there already
			l.rest = append(l.rest, endpoints.Range{Off: n * piece, End: (n + 1) * piece})
		}
	}
	var ends []int64
	for {
		part, ok := l.popRun(min(8*piece, max(l.fair(), piece)))
		if !ok {
			break
		}
		ends = append(ends, part.End/piece)
	}
	if want := []int64{8, 17, 25, 33, 40, 46, 50, 53, 55, 57}; !slices.Equal(ends[:len(want)], want) {
		t.Errorf("parts end at %v, want %v and single ones", ends, want)
	}
	if n := len(ends); n != 17 || ends[n-1] != 64 {
		t.Errorf("%d parts, which end at %v", n, ends)
	}
}
