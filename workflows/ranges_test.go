package workflows

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"go.temporal.io/sdk/workflow"

	"github.com/gridferry/gridferry/activities"
	"github.com/gridferry/gridferry/fault"
	"github.com/gridferry/gridferry/transfer"
)

// inRanges is a file of n ranges of a megabyte, one session each.
func inRanges(id string, n int) transfer.Chunk {
	none := transfer.Ranged{Path: "/data/" + id, Length: 1e6}
	r := none.Next(int64(n)*1e6, time.Time{})
	c := chunk(id, 1)
	c.Bytes, c.Class, c.Ranged = r.Size, transfer.Large, &r
	c.Tuning.Concurrency = 1
	return c
}

// copiedRange is a good end of a copy of a file in ranges, or of a range.
func copiedRange(in activities.CopyInput) activities.CopyResult {
	res := complete(in)
	if in.Chunk.Ranged.Joins() {
		res.Bytes = 0
	}
	return res
}

// copies are the chunks that were copied, as in "2" for range 2 and "join".
func (w *world) copies() []string {
	var all []string
	for _, in := range w.copied {
		switch r := in.Chunk.Ranged; {
		case r.IsRange():
			all = append(all, fmt.Sprint(r.Number))
		case r.Joins():
			all = append(all, "join")
		default:
			all = append(all, in.Chunk.ID)
		}
	}
	return all
}

func walksTo(chunks ...transfer.Chunk) func(int, activities.WalkInput) (activities.WalkResult, error) {
	return func(_ int, in activities.WalkInput) (activities.WalkResult, error) {
		if !in.Ranges {
			return activities.WalkResult{}, fmt.Errorf("the walk is not asked for ranges")
		}
		return found("", chunks...), nil
	}
}

// TestRangesBeforeJoin: ranges are copied at once, as many as there are
// sessions, and only then the file is joined. Bytes count once, and the file.
func TestRangesBeforeJoin(t *testing.T) {
	w := newWorld(t)
	w.walk = walksTo(inRanges("0-0", 11))
	most := 0
	w.copy = func(n int, in activities.CopyInput) (activities.CopyResult, error) {
		if in.Chunk.Ranged.Joins() && len(w.copied) != 12 {
			t.Errorf("joined after %d copies", len(w.copied)-1)
		}
		return copiedRange(in), nil
	}
	var shown transfer.Task
	w.at(500*time.Millisecond, func() { shown = w.status(); most = len(w.copied) })
	task, err := w.transfer(tree())
	if err != nil {
		t.Fatal(err)
	}
	if p := task.Progress; p.FilesDone != 1 || p.BytesDone != 11e6 || p.Files != 1 || p.Bytes != 11e6 {
		t.Errorf("progress: %+v", p)
	}
	got := w.copies()
	if len(got) != 12 || got[11] != "join" || most != transfer.DefaultSessions {
		t.Errorf("copied %v, %d at once", got, most)
	}
	if len(shown.Chunks) != transfer.DefaultSessions+1 || shown.Chunks[0].Describe() != "range 1 of 11 of /data/0-0, 1.0 MB" {
		t.Errorf("the status has %+v", shown.Chunks)
	}
	var said []string
	for _, r := range w.records {
		for _, e := range r.Events {
			said = append(said, e.Description)
		}
	}
	if all := strings.Join(said, "\n"); !strings.Contains(all, "range 3 of 11 of /data/0-0") {
		t.Errorf("the events tell of no range:\n%s", all)
	}
}

// TestRangesUpset: what a range says of its file stops the others, and the
// file is judged; then all of it is copied again.
func TestRangesUpset(t *testing.T) {
	w := newWorld(t)
	w.walk = walksTo(inRanges("0-0", 9), chunk("0-1", 2))
	judged := 0
	w.copy = func(n int, in activities.CopyInput) (activities.CopyResult, error) {
		r := in.Chunk.Ranged
		switch {
		case r.IsRange() && r.Generation == 1 && r.Number == 2:
			return activities.CopyResult{Upset: &activities.FailedFile{Path: "/data/0-0", Kind: fault.Integrity, Message: "it changed", AtSource: true}}, nil
		case r.Joins() && r.Generation == 1:
			judged++
			if in.Upset == nil || in.Upset.Message != "it changed" {
				t.Errorf("the join was told %+v", in.Upset)
			}
			next := r.Next(3e6, time.Unix(9, 0))
			return activities.CopyResult{Again: &next, Late: true}, nil
		case r.Joins() && in.Upset != nil:
			t.Error("the second generation is upset by the first one")
		}
		return copiedRange(in), nil
	}
	task, err := w.transfer(tree())
	if err != nil {
		t.Fatal(err)
	}
	if p := task.Progress; p.FilesDone != 3 || p.BytesDone != 5e6 || judged != 1 {
		t.Errorf("judged %d times; progress: %+v", judged, p)
	}
	again := 0
	for _, in := range w.copied {
		if r := in.Chunk.Ranged; r.IsRange() && r.Generation == 2 {
			again++
		}
	}
	if again != 3 || len(w.finishes) == 0 {
		t.Errorf("%d ranges were copied again, and %d steps finish; copied %v", again, len(w.finishes), w.copies())
	}
}

// TestRangesGivenUp: a file that is refused counts nothing of its ranges.
func TestRangesGivenUp(t *testing.T) {
	w := newWorld(t)
	w.walk = walksTo(inRanges("0-0", 9), chunk("0-1", 2))
	w.copy = func(n int, in activities.CopyInput) (activities.CopyResult, error) {
		refused := activities.FailedFile{Path: "/data/0-0", Kind: fault.Permission, Message: "not for you"}
		r := in.Chunk.Ranged
		switch {
		case r.IsRange() && r.Number == 9:
			return activities.CopyResult{Upset: &refused}, nil
		case r.Joins():
			return activities.CopyResult{Complete: true, NFailed: 1, Failed: []activities.FailedFile{refused}}, nil
		}
		return copiedRange(in), nil
	}
	task, err := w.transfer(tree(`"on_error":"skip"`))
	if err != nil {
		t.Fatal(err)
	}
	if p := task.Progress; p.FilesDone != 2 || p.BytesDone != 2e6 || p.FilesFailed != 1 {
		t.Errorf("progress: %+v", p)
	}
	if got := w.copies(); !slices.Contains(got, "join") {
		t.Errorf("copied %v", got)
	}
}

// TestRangesRefusedAndTriedAgain: a file that was refused is copied again when
// everything else is done, and its ranges with it.
func TestRangesRefusedAndTriedAgain(t *testing.T) {
	w := newWorld(t)
	w.walk = walksTo(inRanges("0-0", 2), chunk("0-1", 2))
	w.copy = func(n int, in activities.CopyInput) (activities.CopyResult, error) {
		refused := activities.FailedFile{Path: "/data/0-0", Kind: fault.Permission, Message: "not for you"}
		r := in.Chunk.Ranged
		switch {
		case r.IsRange() && r.Generation == 1:
			return activities.CopyResult{Upset: &refused}, nil
		case r.Joins() && r.Generation == 1:
			next := r.Next(r.Size, r.ModTime)
			return activities.CopyResult{Again: &next, NFailed: 1, Failed: []activities.FailedFile{refused}}, nil
		}
		return copiedRange(in), nil
	}
	task, err := w.transfer(tree())
	if err != nil {
		t.Fatal(err)
	}
	if p := task.Progress; p.FilesDone != 3 || p.BytesDone != 4e6 || p.FilesFailed != 0 {
		t.Errorf("progress: %+v", p)
	}
}

// TestRangesContinueAsNew drains in the middle of the ranges: the next run goes
// on with those that were begun, and then with the others.
func TestRangesContinueAsNew(t *testing.T) {
	w := newWorld(t)
	w.walk = walksTo(inRanges("0-0", 20))
	w.copy = func(n int, in activities.CopyInput) (activities.CopyResult, error) { return copiedRange(in), nil }
	w.env.SetCurrentHistoryLength(10)
	w.at(1500*time.Millisecond, func() {
		w.env.SetCurrentHistoryLength(defaultPolicies().DrainEvents)
		label := "drain"
		w.update(TellModify, true, transfer.Change{Label: &label})
	})
	_, err := w.transfer(tree())
	var next *workflow.ContinueAsNewError
	if !errors.As(err, &next) {
		t.Fatalf("err = %v", err)
	}
	first := len(w.copied)
	w.again()
	task, err := w.transfer(string(next.Input.Payloads[0].Data))
	if err != nil {
		t.Fatal(err)
	}
	// 1 to 8 were done, and 9 to 16 under way. Those at once are in any order.
	got := w.copies()[first:]
	for _, at := range [][]string{got[:min(8, len(got))], got[min(8, len(got)):max(len(got)-1, min(8, len(got)))]} {
		slices.SortFunc(at, func(a, b string) int { return cmp.Or(len(a)-len(b), strings.Compare(a, b)) })
	}
	if got, want := strings.Join(got, " "), "9 10 11 12 13 14 15 16 17 18 19 20 join"; got != want {
		t.Errorf("the second run copied %s, want %s", got, want)
	}
	if p := task.Progress; p.FilesDone != 1 || p.BytesDone != 20e6 {
		t.Errorf("progress: %+v", p)
	}
}
