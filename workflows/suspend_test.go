package workflows

import (
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"time"

	"go.temporal.io/sdk/activity"
	"go.temporal.io/sdk/converter"
	"go.temporal.io/sdk/workflow"

	"github.com/gridferry/gridferry/activities"
	"github.com/gridferry/gridferry/fault"
	"github.com/gridferry/gridferry/transfer"
)

// vault plays what keeps credentials and knows who waits for them. at is
// called, with w.mu held, whenever something of interest is about to happen.
type vault struct {
	w         *world
	current   string // fingerprint
	registers bool
	activated time.Time
	at        func(point string)
}

// keepIn has the world's credentials come from a vault: whatever is done with
// "old" fails.
func (w *world) keepIn(v *vault) {
	v.w, v.current = w, "old"
	w.await = func(_ int, in activities.AwaitInput) (activities.AwaitResult, error) {
		v.at("asked")
		v.registers = true
		v.at("registered")
		res := activities.AwaitResult{Waiting: true, Fingerprint: v.current}
		v.at("looked")
		return res, nil
	}
	w.probe = func(n int) (activities.ProbeResult, error) {
		used := v.current
		v.at("probing")
		if n > 1 && used == "old" {
			return activities.ProbeResult{}, refusedCredential("old")
		}
		res := probed("")
		res.Source.Login = activities.Login{Domain: "lab#dtn", Fingerprint: used}
		return res, nil
	}
	w.copy = func(n int, in activities.CopyInput) (activities.CopyResult, error) {
		used := v.current
		v.at("copying")
		if n <= 2 || used == "old" {
			return lacking("old"), nil
		}
		return complete(in), nil
	}
}

// activate replaces the credential, and tells the task if it waits.
func (v *vault) activate(fingerprint string) {
	if v.current == fingerprint {
		return
	}
	v.current, v.activated = fingerprint, v.w.env.Now()
	if v.registers {
		v.w.env.SignalWorkflow(TellCredentialRenewed, nil)
	}
}

// lacking is a copy that got one file done before its credential ended.
func lacking(fingerprint string) activities.CopyResult {
	res := blocked(1, fault.Credential, "the proxy has expired")
	res.Blocked.Domain, res.Blocked.Fingerprint = "lab#dtn", fingerprint
	return res
}

func refusedCredential(fingerprint string) error {
	f := transfer.Fault{Kind: fault.Credential, Message: "the proxy has expired", Count: 1, Domain: "lab#dtn", Fingerprint: fingerprint}
	return asError(f)
}

// TestActivationInTheGap has a credential activated at every moment there is
// around a failure: no task may sleep on.
func TestActivationInTheGap(t *testing.T) {
	const rounds = 200
	points := []string{"copying", "asked", "registered", "looked", "probing"}
	hit := make(map[string]int)
	suspended := 0
	for round := range rounds {
		w := newWorld(t)
		v := &vault{}
		point, skip := points[round%len(points)], rand.IntN(3)
		v.at = func(p string) {
			if p != point {
				return
			}
			if skip--; skip < 0 && v.current == "old" {
				hit[p]++
				v.activate("new")
			}
		}
		w.keepIn(v)
		// A point that the story does not come to so often, and moments that no
		// activity marks, are covered by the clock.
		later := time.Duration(rand.Int64N(int64(3 * time.Second)))
		if round%2 == 0 {
			later += time.Duration(rand.IntN(3)) * time.Minute
		}
		w.at(later, func() {
			w.mu.Lock()
			defer w.mu.Unlock()
			v.activate("new")
		})
		task, err := w.transfer(tree(`"owner":"ada","notify":"ada@example.org"`))
		if err != nil {
			t.Fatalf("round %d: %v", round, err)
		}
		if d := task.Completed.Sub(v.activated); d > 20*time.Second {
			t.Errorf("round %d, at %q: the task slept for %s after the activation", round, point, d)
		}
		inactive := count(w.events(), transfer.EventInactive)
		if task.Progress.FilesDone != 8 || inactive > 1 || count(w.events(), transfer.EventActivated) != inactive || len(w.mails) != 1+inactive {
			t.Errorf("round %d, at %q: %d mails, events %v, task %+v", round, point, len(w.mails), w.events(), task)
		}
		if w.forgets != 1 {
			t.Errorf("round %d: forgotten %d times", round, w.forgets)
		}
		suspended += inactive
	}
	if len(hit) != len(points) || suspended == 0 || suspended == rounds {
		t.Errorf("hit %v, %d of %d tasks were suspended: the test does not test", hit, suspended, rounds)
	}
}

func TestSuspendedTwice(t *testing.T) {
	w := newWorld(t)
	v := &vault{at: func(string) {}}
	w.keepIn(v)
	w.walk = func(int, activities.WalkInput) (activities.WalkResult, error) {
		return found("", chunk("0-0", 4)), nil
	}
	w.copy = func(n int, in activities.CopyInput) (activities.CopyResult, error) {
		switch n {
		case 1:
			return lacking("old"), nil
		case 2:
			res := lacking("new")
			res.Files, res.Bytes = 2, 2e6
			return res, nil
		}
		return complete(in), nil
	}
	activate := func(fingerprint string) func() {
		return func() {
			if s := w.status(); s.Status != transfer.Inactive || !strings.Contains(s.Verdict, "lab#dtn") || !strings.Contains(s.Verdict, "expired") {
				t.Errorf("before %s: %s, %s", fingerprint, s.Status, s.Verdict)
			}
			w.mu.Lock()
			defer w.mu.Unlock()
			v.activate(fingerprint)
		}
	}
	w.at(100*time.Second, activate("new"))
	w.at(500*time.Second, activate("newer"))
	task, err := w.transfer(tree(`"owner":"ada","notify":"ada@example.org"`))
	if err != nil {
		t.Fatal(err)
	}
	var ids []string
	for _, m := range w.mails {
		ids = append(ids, strings.TrimPrefix(m.ID, string(w.records[0].Key)))
		if m.To != "ada@example.org" {
			t.Errorf("to %q", m.To)
		}
	}
	if got := fmt.Sprint(ids); got != "[-inactive-1 -inactive-2 -succeeded]" {
		t.Errorf("mails %v", ids)
	}
	if w.mails[0].Task.Status != transfer.Inactive || w.mails[0].Kind != transfer.NoticeInactive || w.mails[2].Task.Status != transfer.Succeeded {
		t.Errorf("mails %+v", w.mails)
	}
	if count(w.events(), transfer.EventActivated) != 2 || task.Progress.Faults != 2 || task.Progress.FilesDone != 4 {
		t.Errorf("%d faults, events %v", task.Progress.Faults, w.events())
	}
}

// TestStaleCredential: what an old credential causes while there is another
// makes the task try again, but not for ever.
func TestStaleCredential(t *testing.T) {
	for _, failures := range []int{1, 3, 5} {
		w := newWorld(t)
		v := &vault{at: func(string) {}}
		w.keepIn(v)
		v.current = "new"
		w.walk = func(int, activities.WalkInput) (activities.WalkResult, error) {
			return found("", chunk("0-0", 4)), nil
		}
		w.copy = func(n int, in activities.CopyInput) (activities.CopyResult, error) {
			if n <= failures {
				res := lacking("old") // somewhere a worker has not heard of the new one
				res.Files, res.Bytes = 0, 0
				return res, nil
			}
			return complete(in), nil
		}
		task, err := w.transfer(tree(`"owner":"ada","notify":"ada@example.org"`))
		if err != nil {
			t.Fatal(err)
		}
		want := 0
		if failures > maxHasty {
			want = failures - maxHasty
		}
		if got := count(w.events(), transfer.EventInactive); got != want {
			t.Errorf("%d failures: %d times inactive, want %d", failures, got, want)
		}
		// Nothing got done in between: it is one suspension to its owner.
		if len(w.mails) != 1+min(want, 1) {
			t.Errorf("%d failures: %d mails", failures, len(w.mails))
		}
		if d, most := task.Completed.Sub(task.Requested), time.Duration(want)*65*time.Second+20*time.Second; d > most {
			t.Errorf("%d failures took %s", failures, d)
		}
	}
}

// TestSuspensionOutlastsWhatWasBegun: copies that end well after another has
// lacked a credential were begun before it was gone.
func TestSuspensionOutlastsWhatWasBegun(t *testing.T) {
	w := newWorld(t)
	v := &vault{at: func(string) {}}
	w.keepIn(v)
	w.walk = func(int, activities.WalkInput) (activities.WalkResult, error) {
		return found("", chunk("0-0", 4), chunk("0-1", 4), chunk("0-2", 4)), nil
	}
	w.copy = func(n int, in activities.CopyInput) (activities.CopyResult, error) {
		if n == 1 {
			return lacking("old"), nil
		}
		if v.current == "old" {
			return activities.CopyResult{Files: 2, Bytes: 2e6, Yielded: true}, nil
		}
		return complete(in), nil
	}
	w.at(30*time.Second, func() {
		if s := w.status(); s.Status != transfer.Inactive {
			t.Errorf("status %s: %s", s.Status, s.Verdict)
		}
	})
	w.at(90*time.Second, func() {
		w.mu.Lock()
		defer w.mu.Unlock()
		v.activate("new")
	})
	task, err := w.transfer(tree(`"owner":"ada","notify":"ada@example.org"`))
	if err != nil {
		t.Fatal(err)
	}
	if count(w.events(), transfer.EventInactive) != 1 || len(w.mails) != 2 || task.Progress.FilesDone != 12 {
		t.Errorf("%d mails, events %v", len(w.mails), w.events())
	}
}

func TestDeadlineWhileSuspended(t *testing.T) {
	w := newWorld(t)
	v := &vault{at: func(string) {}}
	w.keepIn(v)
	w.finish = func(int, activities.FinishInput) (activities.FinishResult, error) {
		return activities.FinishResult{}, refusedCredential("old")
	}
	deadline := w.env.Now().Add(2 * time.Hour).UTC().Truncate(time.Second)
	task, err := w.transfer(tree(`"owner":"ada","notify":"ada@example.org","deadline":"` + deadline.Format(time.RFC3339) + `"`))
	if err == nil || task.Status != transfer.Failed || task.Fatal == nil || !strings.Contains(task.Fatal.Message, "the proxy has expired") {
		t.Errorf("err = %v, task = %+v", err, task)
	}
	if d := task.Completed.Sub(deadline); d < 0 || d > time.Minute {
		t.Errorf("it ended %s after its deadline", d)
	}
	if w.forgets != 1 || len(w.mails) != 2 || w.mails[1].Kind != transfer.NoticeFailed {
		t.Errorf("forgotten %d times, mails %+v", w.forgets, w.mails)
	}
	// The look is cheap; what has failed is tried only now and then.
	if n, tries := len(w.awaits), len(w.probes); n < 100 || tries > 15 {
		t.Errorf("%d looks, %d tries", n, tries)
	}
	if last := w.records[len(w.records)-1]; last.Left == nil || !last.Left.Abandon {
		t.Error("what it could not clean up is nobody's")
	}
}

// TestSuspendedContinues: neither an activation nor a notice is lost between
// two runs.
func TestSuspendedContinues(t *testing.T) {
	w := newWorld(t)
	v := &vault{at: func(string) {}}
	w.keepIn(v)
	w.notify = func(transfer.Notice) error { return activity.ErrResultPending }
	_, err := w.transfer(tree(`"owner":"ada","notify":"ada@example.org"`))
	var next *workflow.ContinueAsNewError
	if !errors.As(err, &next) {
		t.Fatalf("err = %v", err)
	}
	var state Continued
	if err := json.Unmarshal(next.Input.Payloads[0].Data, &state); err != nil {
		t.Fatal(err)
	}
	if s := state.State; len(s.Telling) != 1 || len(s.Wanted) != 1 || s.Task.Status != transfer.Inactive || !s.Waiting {
		t.Errorf("state = %+v", s)
	}
	state.State.Renewed = true // by a signal that arrived last of all
	input, err := json.Marshal(state)
	if err != nil {
		t.Fatal(err)
	}
	w.again()
	w.notify, v.current = nil, "new"
	began := w.env.Now()
	task, err := w.transfer(string(input))
	if err != nil {
		t.Fatal(err)
	}
	if d := w.env.Now().Sub(began); d > 10*time.Second {
		t.Errorf("it slept for %s", d)
	}
	if len(w.mails) != 2 || w.mails[0].Kind != transfer.NoticeInactive || task.Progress.FilesDone != 8 {
		t.Errorf("mails %+v, task %+v", w.mails, task)
	}
}

// TestMailServerIsAway: it does not keep the task from ending, and the owner
// hears all the same.
func TestMailServerIsAway(t *testing.T) {
	w := newWorld(t)
	var left []transfer.Notice
	var ended time.Time
	w.env.SetOnChildWorkflowStartedListener(func(info *workflow.Info, _ workflow.Context, args converter.EncodedValues) {
		if info.WorkflowType.Name != TypeNotices || !strings.HasSuffix(info.WorkflowExecution.ID, "-notices") {
			t.Errorf("it left %s to %s", info.WorkflowExecution.ID, info.WorkflowType.Name)
		}
		ended = w.env.Now()
		if err := args.Get(&left); err != nil {
			t.Error(err)
		}
	})
	w.notify = func(transfer.Notice) error { return errors.New("no mail server") }
	began := w.env.Now()
	if _, err := w.transfer(tree(`"notify":"ada@example.org"`)); err != nil {
		t.Fatal(err)
	}
	if d := ended.Sub(began); d < 5*time.Minute || d > 6*time.Minute {
		t.Errorf("it took %s", d)
	}
	if len(left) != 1 || left[0].Kind != transfer.NoticeSucceeded {
		t.Fatalf("left to be told: %+v", left)
	}

	later := newWorld(t)
	tries := 0
	later.notify = func(transfer.Notice) error {
		if tries++; tries < 9 {
			return errors.New("no mail server at the weekend")
		}
		return nil
	}
	later.env.ExecuteWorkflow(TypeNotices, left)
	if err := later.env.GetWorkflowError(); err != nil || len(later.mails) != 1 || later.mails[0].ID != left[0].ID {
		t.Errorf("%v, mails %+v", err, later.mails)
	}
}

// TestAddressed: the site's map of owners is asked where a request names
// nobody.
func TestAddressed(t *testing.T) {
	for _, addressed := range []bool{false, true} {
		w := newWorld(t)
		w.addressed = addressed
		if _, err := w.transfer(tree()); err != nil {
			t.Fatal(err)
		}
		if (len(w.mails) == 1) != addressed {
			t.Errorf("addressed %v: %d mails", addressed, len(w.mails))
		}
	}
}

func TestExpiringIsToldAhead(t *testing.T) {
	w := newWorld(t)
	end := w.env.Now().Add(30 * time.Minute)
	w.probe = func(int) (activities.ProbeResult, error) {
		res := probed("")
		res.Source.Login = activities.Login{Domain: "lab#dtn", Fingerprint: "f1", Expires: end}
		res.Destination.Login = activities.Login{Domain: "far#dtn", Fingerprint: "f2", Expires: end.Add(24 * time.Hour)}
		return res, nil
	}
	var chunks []transfer.Chunk
	for i := range 60 {
		chunks = append(chunks, chunk(fmt.Sprintf("0-%02d", i), 4))
	}
	w.walk = func(int, activities.WalkInput) (activities.WalkResult, error) { return found("", chunks...), nil }
	w.copyTime = 2 * time.Minute // two at a time: an hour in all
	var once sync.Once
	w.copy = func(n int, in activities.CopyInput) (activities.CopyResult, error) {
		res := complete(in)
		if w.env.Now().After(end.Add(-10 * time.Minute)) {
			// It was renewed ahead, for as long as it takes.
			once.Do(func() {
				res.SourceCredential = &activities.Login{Domain: "lab#dtn", Fingerprint: "f3", Expires: end.Add(time.Hour)}
			})
		}
		return res, nil
	}
	if _, err := w.transfer(tree(`"owner":"ada","notify":"ada@example.org"`)); err != nil {
		t.Fatal(err)
	}
	if len(w.mails) != 2 || w.mails[0].Kind != transfer.NoticeExpiring || !strings.HasSuffix(w.mails[0].ID, "-expiring-f1") {
		t.Errorf("mails %+v", w.mails)
	}
	if at := w.mails[0].Task.AsOf; end.Sub(at) < 20*time.Minute {
		t.Errorf("told at %s, of an end at %s", at, end)
	}
	if count(w.events(), transfer.EventExpiring) != 1 {
		t.Errorf("events %v", w.events())
	}
}

func TestDeleteWaitsForACredential(t *testing.T) {
	w := newWorld(t)
	v := &vault{at: func(string) {}}
	w.keepIn(v)
	w.delete = func(n int, in activities.DeleteInput) (activities.DeleteResult, error) {
		if v.current == "old" {
			f := lacking("old").Blocked
			return activities.DeleteResult{Deleted: 3, Cursor: "half", Blocked: f}, nil
		}
		if in.Cursor != "half" {
			t.Errorf("it went on at %q", in.Cursor)
		}
		return activities.DeleteResult{Deleted: 2}, nil
	}
	w.at(90*time.Second, func() {
		if s := w.status(); s.Status != transfer.Inactive {
			t.Errorf("status %s: %s", s.Status, s.Verdict)
		}
		w.mu.Lock()
		defer w.mu.Unlock()
		v.activate("new")
	})
	var task transfer.Task
	err := w.run(TypeDelete, json.RawMessage(`{"paths":["gsiftp://a.example/x"],"owner":"ada","notify":"ada@example.org"}`), &task)
	if err != nil {
		t.Fatal(err)
	}
	if task.Progress.Deleted != 5 || len(w.mails) != 2 || w.forgets != 1 || task.Completed.Sub(v.activated) > 10*time.Second {
		t.Errorf("%d mails, %d forgotten, task = %+v", len(w.mails), w.forgets, task)
	}
}

// TestOperationLacksACredential: somebody waits for the answer, and can act.
func TestOperationLacksACredential(t *testing.T) {
	w := newWorld(t)
	w.browse = func(activities.BrowseInput) (activities.BrowseResult, error) {
		return activities.BrowseResult{}, refusedCredential("old")
	}
	began := w.env.Now()
	err := w.run(TypeOperation, OperationInput{Browse: &activities.BrowseInput{Endpoint: "lab#dtn", Owner: "ada"}}, new(OperationResult))
	f := activities.FaultOf(err)
	if f.Kind != fault.Credential || f.Domain != "lab#dtn" || f.Fingerprint != "old" {
		t.Errorf("fault = %+v", f)
	}
	if d := w.env.Now().Sub(began); d > time.Second {
		t.Errorf("it took %s", d)
	}
}

// TestRenewedWhileRunning: telling a task that waits for nothing does nothing.
func TestRenewedWhileRunning(t *testing.T) {
	w := newWorld(t)
	w.copyTime = time.Minute
	for i := range 5 {
		w.at(time.Duration(10*i+5)*time.Second, func() {
			w.env.SignalWorkflow(TellCredentialRenewed, nil)
			w.update(TellCredentialRenewed, true)
		})
	}
	if _, err := w.transfer(tree()); err != nil {
		t.Fatal(err)
	}
	if len(w.probes) != 1 || len(w.copied) != 2 || len(w.awaits) != 0 {
		t.Errorf("%d probes, %d copies, %d looks", len(w.probes), len(w.copied), len(w.awaits))
	}
}

// TestAnotherTryFirst: a credential that should do is tried again before
// anybody is told, once.
func TestAnotherTryFirst(t *testing.T) {
	for _, failures := range []int{1, 2} {
		w := newWorld(t)
		w.await = func(int, activities.AwaitInput) (activities.AwaitResult, error) {
			return activities.AwaitResult{Waiting: true, Fingerprint: "good", Expires: w.env.Now().Add(time.Hour)}, nil
		}
		w.walk = func(int, activities.WalkInput) (activities.WalkResult, error) {
			return found("", chunk("0-0", 4)), nil
		}
		w.copy = func(n int, in activities.CopyInput) (activities.CopyResult, error) {
			if n <= failures {
				res := lacking("good")
				res.Files, res.Bytes = 0, 0
				return res, nil
			}
			return complete(in), nil
		}
		if _, err := w.transfer(tree(`"owner":"ada","notify":"ada@example.org"`)); err != nil {
			t.Fatal(err)
		}
		if got := count(w.events(), transfer.EventInactive); got != failures-1 {
			t.Errorf("%d failures: %d times inactive", failures, got)
		}
	}
}
