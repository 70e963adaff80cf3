package activities

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/gridferry/gridferry/blob"
	"github.com/gridferry/gridferry/transfer"
)

// ForgetTasks makes a shelf a RecordForgetter.
func (s *shelf) ForgetTasks(_ context.Context, before time.Time, look bool) (n int64, err error) {
	for id, t := range s.tasks {
		if !t.Completed.IsZero() && t.Completed.Before(before) {
			n++
			if !look {
				delete(s.tasks, id)
			}
		}
	}
	return n, nil
}

// leave puts 100 bytes for each part of a task into the store.
func leave(t *testing.T, c *Control, s *shelf, id transfer.TaskID, status transfer.Status, ended time.Duration) {
	t.Helper()
	task := transfer.Task{ID: id, Status: status, Requested: time.Now().Add(-ended - time.Hour)}
	if status != transfer.Active {
		task.Completed = time.Now().Add(-ended)
	}
	s.tasks[id] = task
	for _, key := range []string{
		sheetKey(id, "0001-0001", "r"), ledgerKey(id, "0001-0001", 1), resultsKey(id, "0001-0001", 0, 1), eventsKey(id, 0),
	} {
		if err := c.Blobs.Put(t.Context(), key, make([]byte, 100)); err != nil {
			t.Fatal(err)
		}
	}
	if err := putLines(t.Context(), c.Blobs, factsKey(id), []Facts{{Task: id, Workflow: id, Begun: task.Requested.Add(time.Minute)}}); err != nil {
		t.Fatal(err)
	}
}

// parts lists what is left, as "task part".
func parts(t *testing.T, c *Control) []string {
	t.Helper()
	var left []string
	err := c.Blobs.List(t.Context(), tasksPrefix, func(key string) error {
		element, _ := elementOfKey(key)
		left = append(left, element+" "+string(partOf(key)))
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	slices.Sort(left)
	return left
}

func TestCollectByAge(t *testing.T) {
	s := newShelf()
	const day = 24 * time.Hour
	keep := Retention{Manifests: 2 * day, Ledgers: 4 * day, Results: 8 * day, Events: 8 * day, Records: 20 * day}
	c := &Control{Blobs: blob.NewMemory(), Records: s, Executions: s, Retention: keep}
	leave(t, c, s, "a-new", transfer.Succeeded, day)
	leave(t, c, s, "b-days", transfer.Failed, 3*day)
	leave(t, c, s, "c-week", transfer.Failed, 7*day)
	leave(t, c, s, "d-old", transfer.Succeeded, 9*day)
	leave(t, c, s, "e-busy", transfer.Active, 300*day)
	leave(t, c, s, "f-ancient", transfer.Succeeded, 30*day)
	var said []string
	would, err := c.Collect(t.Context(), true, func(d Discard) error {
		said = append(said, fmt.Sprint(d.Task, " ", d.Part, " ", d.Why))
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	want := "b-days manifests age, c-week manifests age, c-week ledgers age, " +
		"d-old manifests age, d-old ledgers age, d-old events age, d-old results age, d-old facts age, " +
		"f-ancient manifests age, f-ancient ledgers age, f-ancient events age, f-ancient results age, f-ancient facts age"
	if got := strings.Join(said, ", "); got != want {
		t.Errorf("said %s", got)
	}
	if n := len(parts(t, c)); n != 30 || would.Blobs != 13 || would.Bytes < 1100 || would.Records != 1 || would.Held < 2400 {
		t.Errorf("%d blobs are left; it said %+v", n, would)
	}
	res, err := c.SweepBlobs(t.Context(), SweepInput{Keep: time.Nanosecond}) // of a schedule, which the configuration overrules
	if err != nil || res.Removed != would.Blobs || res.Freed != would.Bytes || res.Forgotten != 1 {
		t.Errorf("swept %+v, %v; said %+v", res, err, would)
	}
	if got := parts(t, c); len(got) != 17 || slices.Contains(got, "d-old facts") || !slices.Contains(got, "c-week facts") {
		t.Errorf("left: %q", got)
	}
	if again, err := c.Collect(t.Context(), false, nil); err != nil || again.Blobs+again.Bytes+again.Records != 0 {
		t.Errorf("again: %+v, %v", again, err)
	}
}

// A budget takes manifests and ledgers of the oldest tasks first, results
// last, and nothing of a task that runs or is still to be cleaned up after.
func TestCollectForBudget(t *testing.T) {
	s := newShelf()
	c := &Control{Blobs: blob.NewMemory(), Records: s, Executions: s}
	for i, id := range []transfer.TaskID{"c", "b", "a"} {
		leave(t, c, s, id, transfer.Succeeded, time.Duration(i+1)*time.Hour)
	}
	leave(t, c, s, "busy", transfer.Active, time.Hour)
	leave(t, c, s, "orphan", transfer.Failed, 100*time.Hour)
	if err := putOrphan(t.Context(), c.Blobs, orphan{Task: "orphan", Since: time.Now(), Finish: &FinishInput{Task: "orphan"}}); err != nil {
		t.Fatal(err)
	}
	whole, err := c.Collect(t.Context(), true, nil)
	if err != nil || whole.Blobs != 0 {
		t.Fatalf("without a budget: %+v, %v", whole, err)
	}
	for _, test := range []struct {
		over int64
		want []string
	}{
		{0, nil},
		{-1, []string{"a manifests"}},
		{-300, []string{"a ledgers", "a manifests", "b ledgers", "b manifests"}},
		{-700, []string{"a ledgers", "a manifests", "b ledgers", "b manifests", "c ledgers", "c manifests", "a events", "b events"}},
		{-5000, []string{"a ledgers", "a manifests", "b ledgers", "b manifests", "c ledgers", "c manifests", "a events", "b events", "c events", "a results", "b results", "c results"}},
	} {
		c.Retention.Budget = max(1, whole.Held+test.over)
		var said []string
		got, err := c.Collect(t.Context(), true, func(d Discard) error {
			said = append(said, fmt.Sprint(d.Task, " ", d.Part))
			return nil
		})
		if err != nil || got.Bytes != 100*int64(len(said)) {
			t.Errorf("%d: %+v, %v", test.over, got, err)
		}
		// A tenth more is freed, so that not every sweep has to: of what is
		// held here that is more than one part.
		if len(said) < len(test.want) || !slices.Equal(said[:len(test.want)], test.want) && test.over != -1 {
			t.Errorf("%d: %q, want %q first", test.over, said, test.want)
		}
	}
	if res, err := c.SweepBlobs(t.Context(), SweepInput{}); err != nil || res.Removed != 12 {
		t.Errorf("sweep: %+v, %v", res, err)
	}
	got := parts(t, c)
	if len(got) != 10+3 { // and the facts of the three
		t.Errorf("left: %q", got)
	}
}

// Blobs of which nobody knows the task go by their own age, unless something
// runs under their name.
func TestCollectOrphans(t *testing.T) {
	s := newShelf()
	c := &Control{Blobs: blob.NewMemory(), Records: s, Executions: s}
	for _, id := range []transfer.TaskID{"gone", "nightly.12345678", "hidden.87654321"} {
		if err := c.Blobs.Put(t.Context(), sheetKey(id, "1", "r"), nil); err != nil {
			t.Fatal(err)
		}
	}
	s.tasks["nightly"] = transfer.Task{ID: "nightly", Status: transfer.Active}
	s.running["hidden"] = true
	c.Retention = Retention{Manifests: time.Nanosecond}
	var said []Discard
	if _, err := c.Collect(t.Context(), false, func(d Discard) error { said = append(said, d); return nil }); err != nil {
		t.Fatal(err)
	}
	if len(said) != 1 || said[0].Task != "gone" || said[0].Why != WhyOrphan {
		t.Errorf("%+v", said)
	}
	if got := parts(t, c); len(got) != 2 {
		t.Errorf("left: %q", got)
	}
}
