package activities

import (
	"context"
	"fmt"
	"path"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/gridferry/gridferry/blob"
	"github.com/gridferry/gridferry/fault"
	"github.com/gridferry/gridferry/transfer"
)

// shelf is Records and Executions in memory.
type shelf struct {
	tasks   map[transfer.TaskID]transfer.Task
	running map[transfer.TaskID]bool
}

func newShelf() *shelf {
	return &shelf{tasks: map[transfer.TaskID]transfer.Task{}, running: map[transfer.TaskID]bool{}}
}

func (s *shelf) PutTask(_ context.Context, t transfer.Task) error { s.tasks[t.ID] = t; return nil }

func (s *shelf) Task(_ context.Context, id transfer.TaskID) (transfer.Task, error) {
	t, ok := s.tasks[id]
	if !ok {
		return t, fault.New(fault.NotFound, "read", string(id), "there is no such task")
	}
	return t, nil
}

func (s *shelf) Tasks(_ context.Context, q transfer.TaskQuery) (transfer.Tasks, error) {
	var out transfer.Tasks
	for _, t := range s.tasks {
		if len(q.Status) == 0 || slices.Contains(q.Status, t.Status) {
			out.Tasks = append(out.Tasks, t)
		}
	}
	return out, nil
}

func (s *shelf) Running(_ context.Context, id transfer.TaskID) (bool, error) {
	return s.running[id], nil
}

func TestRecordAndRead(t *testing.T) {
	s := newShelf()
	c := &Control{Blobs: blob.NewMemory(), Records: s}
	task := transfer.Task{ID: "a/b..c", Status: transfer.Active}
	for page := range 3 {
		in := RecordInput{Task: task, Page: page}
		for n := range 4 {
			in.Events = append(in.Events, transfer.Event{Code: transfer.EventProgress, Description: fmt.Sprint(page, n)})
		}
		for range 2 { // again, as after a lost result
			if _, err := c.Record(t.Context(), in); err != nil {
				t.Fatal(err)
			}
		}
	}
	for _, limit := range []int{1, 3, 4, 5, 100} {
		var got []string
		var p transfer.Page
		for {
			p.Limit = limit
			res, err := c.Read(t.Context(), ReadInput{What: ReadEvents, Task: task.ID, Page: p})
			if err != nil {
				t.Fatal(err)
			}
			for _, e := range res.Events {
				got = append(got, e.Description)
			}
			if p.Token = res.Next; p.Token == "" {
				break
			}
		}
		if len(got) != 12 || !slices.IsSorted(got) {
			t.Errorf("by %d: %v", limit, got)
		}
	}
	if res, err := c.Read(t.Context(), ReadInput{What: ReadTask, Task: task.ID}); err != nil || res.Task.ID != task.ID {
		t.Errorf("task: %+v, %v", res, err)
	}
	for name, in := range map[string]ReadInput{
		"another's sheet": {What: ReadSheet, Task: task.ID, Key: sheetKey("other", "1", "x")},
		"a bad token":     {What: ReadEvents, Task: task.ID, Page: transfer.Page{Token: "x"}},
		"a bad kind":      {What: "secrets", Task: task.ID},
	} {
		if _, err := c.Read(t.Context(), in); FaultOf(err).Kind != fault.Invalid {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestReadNewestEpoch: of a page that two attempts wrote, the later one counts.
func TestReadNewestEpoch(t *testing.T) {
	c := &Control{Blobs: blob.NewMemory()}
	for epoch, dest := range []string{"/old", "/new"} {
		if err := putLines(t.Context(), c.Blobs, resultsKey("t", "0001-0001", 0, int64(epoch+9)), []transfer.Result{{Dest: dest}}); err != nil {
			t.Fatal(err)
		}
	}
	res, err := c.Read(t.Context(), ReadInput{What: ReadResults, Task: "t"})
	if err != nil || len(res.Results) != 1 || res.Results[0].Dest != "/new" {
		t.Errorf("results: %+v, %v", res, err)
	}
}

func TestSweepTasks(t *testing.T) {
	w := newWorld(t)
	w.mixedTree()
	req := w.request(func(r *transfer.Request) { r.Notify = "alice@example.org" })
	wk := w.walk(req, defaultWalkSizes)
	in := w.copyInput(wk, wk.Chunks[0], req)
	p := w.process(60)
	go w.gated("victim").copy(p.context(t.Context()), in, nil)
	<-p.dead

	s := newShelf()
	long := time.Now().Add(-time.Hour)
	s.tasks[testTask] = transfer.Task{ID: testTask, Status: transfer.Active, Requested: long}
	s.tasks["young"] = transfer.Task{ID: "young", Status: transfer.Active, Requested: time.Now()}
	s.tasks["alive"] = transfer.Task{ID: "alive", Status: transfer.Inactive, Requested: long}
	s.running["alive"] = true
	c := &Control{Blobs: w.blobs, Records: s, Executions: s}
	res, err := c.SweepTasks(t.Context(), SweepInput{})
	if err != nil || len(res.Orphans) != 1 || len(res.Ended) != 1 {
		t.Fatalf("sweep: %+v, %v", res, err)
	}
	if n := res.Ended[0]; n.To != "alice@example.org" || n.Kind != transfer.NoticeFailed || n.ID != string(testTask)+"-failed" || s.tasks[testTask].Status != transfer.Failed || s.tasks[testTask].Fatal == nil {
		t.Errorf("ended: %+v", res.Ended)
	}
	if s.tasks["young"].Status != transfer.Active || s.tasks["alive"].Status != transfer.Inactive {
		t.Error("a task that lives was ended")
	}
	// The sweep was lost: the next one comes back to what is left to be done.
	again, err := c.SweepTasks(t.Context(), SweepInput{})
	if err != nil || len(again.Orphans) != 1 || len(again.Ended) != 1 || again.Ended[0].ID != res.Ended[0].ID {
		t.Fatalf("second sweep: %+v, %v", again, err)
	}
	if n, err := c.eventPages(t.Context(), testTask); err != nil || n != 1 {
		t.Errorf("%d pages of events, %v", n, err)
	}
	fin := res.Orphans[0]
	fin.Horizon = time.Nanosecond
	if got, err := w.worker("finisher").Finish(t.Context(), fin); err != nil || got.Cursor != "" {
		t.Fatalf("finish: %+v, %v", got, err)
	}
	w.noStrays()
	if done, err := c.SweepTasks(t.Context(), SweepInput{}); err != nil || len(done.Orphans)+len(done.Ended) != 0 {
		t.Errorf("when all is done: %+v, %v", done, err)
	}
	want := tree(t, w.src, "/from")
	for name, data := range tree(t, w.dst, "/to") {
		if r, ok := w.results()[path.Join("/to", name)]; !strings.HasSuffix(name, "/") && name != "/replaced" && (!ok || r.Status != statusCopied) && data != want[name] {
			t.Errorf("%s is left, and is not what it should be", name)
		}
	}
}

func TestSweepBlobs(t *testing.T) {
	s := newShelf()
	c := &Control{Blobs: blob.NewMemory(), Records: s, Executions: s}
	ancient := time.Now().Add(-100 * 24 * time.Hour)
	s.tasks["old"] = transfer.Task{ID: "old", Status: transfer.Succeeded, Requested: ancient, Completed: ancient}
	s.tasks["new"] = transfer.Task{ID: "new", Status: transfer.Succeeded, Requested: ancient, Completed: time.Now()}
	s.tasks["busy"] = transfer.Task{ID: "busy", Status: transfer.Active, Requested: ancient}
	longName := transfer.TaskID(strings.Repeat("x/", 200))
	s.tasks[longName] = transfer.Task{ID: longName, Status: transfer.Failed, Requested: ancient, Completed: ancient}
	for _, id := range []transfer.TaskID{"old", "new", "busy", longName, "unknown"} {
		for n := range 3 {
			if err := putLines(t.Context(), c.Blobs, sheetKey(id, fmt.Sprint(n), "r"), []int{n}); err != nil {
				t.Fatal(err)
			}
		}
		if id != "unknown" {
			facts := Facts{Task: id, Workflow: id, Begun: ancient}
			if err := putLines(t.Context(), c.Blobs, factsKey(id), []Facts{facts}); err != nil {
				t.Fatal(err)
			}
		}
	}
	res, err := c.SweepBlobs(t.Context(), SweepInput{})
	if err != nil || res.Cursor != "" || res.Removed != 8 {
		t.Fatalf("sweep: %+v, %v", res, err)
	}
	left := map[string]bool{}
	_ = c.Blobs.List(t.Context(), tasksPrefix, func(key string) error {
		element, _ := elementOfKey(key)
		left[element] = true
		return nil
	})
	if len(left) != 3 || !left["new"] || !left["busy"] || !left["unknown"] {
		t.Errorf("left: %v", left)
	}
}

func TestKeysAreKeys(t *testing.T) {
	b := blob.NewMemory()
	for _, id := range []transfer.TaskID{"a", "..", ".x", "a/b", "ü\\", "with space", transfer.TaskID(strings.Repeat("long", 200))} {
		for _, key := range []string{
			factsKey(id), sheetKey(id, "0001-0001", newRun()), listKey(id, "dirs", 1, newRun(), 2), ledgerKey(id, "c", 3), lateKey(id, "c"),
			resultsKey(id, "c", 1, 2), eventsKey(id, 1), walkPrefix(id, 1, newRun()) + "frontier",
		} {
			if err := b.Put(t.Context(), key, nil); err != nil {
				t.Errorf("%q: %v", id, err)
			}
		}
	}
	key := ledgerKey("a", "0001-0002", 77)
	if chunk, epoch, ok := splitLedgerKey("a", key); !ok || chunk != "0001-0002" || epoch != 77 {
		t.Errorf("%s: %s %d %v", key, chunk, epoch, ok)
	}
	if id := idOfElement(taskElement("a/b.c")); id != "a/b.c" {
		t.Errorf("id %q", id)
	}
}

// TestRecordLeaves: what a task could not clean up itself is for the sweep.
func TestRecordLeaves(t *testing.T) {
	s := newShelf()
	c := &Control{Blobs: blob.NewMemory(), Records: s, Executions: s}
	task := transfer.Task{ID: "t", Status: transfer.Failed}
	left := &FinishInput{Task: "t.1", Abandon: true, Cursor: "chunk/0001-0002"}
	if _, err := c.Record(t.Context(), RecordInput{Task: task, Key: "t.1", Left: left}); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		res, err := c.SweepTasks(t.Context(), SweepInput{})
		if err != nil || len(res.Orphans) != 1 || res.Orphans[0].Cursor != left.Cursor || len(res.Ended) != 0 {
			t.Fatalf("sweep: %+v, %v", res, err)
		}
	}
	if res, err := c.SweepTasks(t.Context(), SweepInput{Keep: time.Nanosecond}); err != nil || len(res.Orphans) != 0 {
		t.Errorf("sweep of what nobody could clean up for too long: %+v, %v", res, err)
	}
	if _, err := c.Blobs.Get(t.Context(), orphanKey("t.1")); !fault.Is(err, fault.NotFound) {
		t.Errorf("it is kept for ever: %v", err)
	}
}

// waiting is Waiters in memory. What activates at the registration stands for
// whoever activates a credential at that very moment.
type waiting struct {
	tasks   map[transfer.TaskID]string
	current transfer.Activation
	at      func()
}

func (w *waiting) Await(_ context.Context, owner, domain string, task transfer.TaskID) error {
	w.tasks[task] = owner + " " + domain
	if w.at != nil {
		w.at()
	}
	return nil
}

func (w *waiting) Forget(_ context.Context, task transfer.TaskID) error {
	delete(w.tasks, task)
	return nil
}

func (w *waiting) Activation(context.Context, string, string) (transfer.Activation, error) {
	if w.current.Fingerprint == "" {
		return w.current, fault.New(fault.NotFound, "find", "a credential", "there is none")
	}
	return w.current, nil
}

func TestAwait(t *testing.T) {
	w := &waiting{tasks: map[transfer.TaskID]string{}}
	c := &Control{Waiters: w}
	in := AwaitInput{Task: "t", Owner: "ada", Domain: "lab#dtn", Fingerprint: "old"}
	if res, err := c.Await(t.Context(), in); err != nil || !res.Waiting || res.Fingerprint != "" || w.tasks["t"] != "ada lab#dtn" {
		t.Errorf("with none: %+v, %v", res, err)
	}
	w.at = func() { w.current = transfer.Activation{Fingerprint: "new", Expires: time.Unix(99, 0)} }
	if res, err := c.Await(t.Context(), in); err != nil || res.Fingerprint != "new" || res.Expires.Unix() != 99 {
		t.Errorf("activated in between: %+v, %v", res, err)
	}
	if err := c.Forget(t.Context(), "t"); err != nil || len(w.tasks) != 0 {
		t.Errorf("forget: %v, %v", w.tasks, err)
	}
	for name, in := range map[string]AwaitInput{"no owner": {Task: "t", Domain: "d"}, "no domain": {Task: "t", Owner: "ada"}} {
		if res, err := c.Await(t.Context(), in); err != nil || res.Waiting || len(w.tasks) != 0 {
			t.Errorf("%s: %+v, %v", name, res, err)
		}
	}
	c.Waiters = nil
	if res, err := c.Await(t.Context(), in); err != nil || res.Waiting {
		t.Errorf("without waiters: %+v, %v", res, err)
	}
	if err := c.Forget(t.Context(), "t"); err != nil {
		t.Error(err)
	}
}
