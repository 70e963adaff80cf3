package service_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/gridferry/gridferry/endpoints"
	"github.com/gridferry/gridferry/endpoints/memory"
	"github.com/gridferry/gridferry/fault"
	"github.com/gridferry/gridferry/transfer"
	"github.com/gridferry/gridferry/workflows"
)

// activate puts a credential of somebody's for the source into the store, with
// so much life left.
func (s *site) activate(owner, fingerprint string, left time.Duration) {
	s.t.Helper()
	now := time.Now()
	a := transfer.Activation{Owner: owner, Domain: "src", Kind: "proxy", Fingerprint: fingerprint, Given: now, Expires: now.Add(left)}
	if err := s.kept.PutCredential(s.t.Context(), a, []byte("sealed"), "key"); err != nil {
		s.t.Error(err)
	}
}

// waiting says whether a task is registered as waiting for it.
func (s *site) waiting(id transfer.TaskID) bool {
	s.t.Helper()
	ids, err := s.kept.WaitersOf(s.t.Context(), "ada", "src")
	if err != nil {
		s.t.Fatal(err)
	}
	return slices.Contains(ids, id)
}

func lacking(fingerprint string) error {
	return &endpoints.CredentialError{Domain: "src", Fingerprint: fingerprint,
		Err: fault.New(fault.Credential, "log in to", "src", "the proxy has expired")}
}

func TestSuspendedAndRenewed(t *testing.T) {
	s := newSite(t)
	s.put("/data/a", "/data/b", "/data/c")
	s.activate("ada", "first", 40*time.Second)
	s.src.Faults().Fail(memory.Sent, "/data/b", 1, lacking("first"))
	id := s.submit(transfer.Request{Source: "src:/data", Destination: "dst:/data", Recursive: true, Owner: "ada", Notify: "ada@example.org"})
	s.until(id, "suspended", func(task transfer.Task) bool { return task.Status == transfer.Inactive })
	if !s.waiting(id) {
		t.Error("nobody would tell the task")
	}
	// For another failure, later, it has been renewed before the task hears of it.
	s.src.Faults().Fail(memory.Sent, "/data/c", 1, lacking("first"))
	s.activate("ada", "second", time.Hour)
	if err := s.client.SignalWorkflow(t.Context(), string(id), "", workflows.TellCredentialRenewed, nil); err != nil {
		t.Fatal(err)
	}
	begun := time.Now()
	task := s.wait(id, transfer.Succeeded)
	if d := time.Since(begun); d > 50*time.Second {
		t.Errorf("it went on after %s: the next look woke it, and not the activation", d)
	}
	if task.Progress.Faults != 1 || s.waiting(id) {
		t.Errorf("%d faults, waiting %v", task.Progress.Faults, s.waiting(id))
	}
	s.same("/data")
	s.keep("suspended", s.history(id, ""))
}

// TestActivationInTheGap has a credential activated at the moment of the
// failure, or up to some milliseconds later, of one task after the other: in
// that time the failure is reported, the task registers, looks, and waits.
// None may sleep until its next look.
func TestActivationInTheGap(t *testing.T) {
	const tasks, atOnce = 200, 8
	s := newSite(t)
	var mu sync.Mutex
	failed := make(map[string]time.Time) // by path
	var activations sync.WaitGroup
	defer activations.Wait()
	s.src.Faults().Hook(func(_ context.Context, op memory.Op, path string, _ int64) error {
		if op != memory.Sent && op != memory.Read {
			return nil
		}
		mu.Lock()
		defer mu.Unlock()
		if _, again := failed[path]; again {
			return nil
		}
		failed[path] = time.Now()
		owner := path[1:]
		activations.Go(func() {
			time.Sleep(rand.N(60 * time.Millisecond)) // the gap
			s.activate(owner, "second", time.Hour)
			ids, err := s.kept.WaitersOf(context.Background(), owner, "src")
			if err != nil {
				t.Error(err)
			}
			for _, id := range ids {
				if err := s.client.SignalWorkflow(context.Background(), string(id), "", workflows.TellCredentialRenewed, nil); err != nil {
					t.Error(err)
				}
			}
		})
		return lacking("first")
	})
	var wg sync.WaitGroup
	turns := make(chan int)
	var suspended, slept int
	var longest time.Duration
	for range atOnce {
		wg.Go(func() {
			for n := range turns {
				owner := fmt.Sprintf("u%03d", n)
				s.activate(owner, "first", 40*time.Second)
				id, err := s.service.Submit(t.Context(), "", transfer.Request{Source: "src:/" + owner, Destination: "dst:/" + owner, Owner: owner})
				if err != nil {
					t.Error(err)
					continue
				}
				task, err := s.service.Wait(t.Context(), id)
				if err != nil || task.Status != transfer.Succeeded {
					t.Errorf("task of %s: %+v, %v", owner, task, err)
					continue
				}
				mu.Lock()
				took := task.Completed.Sub(failed["/"+owner])
				longest = max(longest, took)
				if took > 40*time.Second {
					slept++
				}
				if task.Progress.Faults > 0 {
					suspended++
				}
				mu.Unlock()
			}
		})
	}
	for n := range tasks {
		s.put(fmt.Sprintf("/u%03d", n))
	}
	for n := range tasks {
		turns <- n
	}
	close(turns)
	wg.Wait()
	t.Logf("%d of %d tasks were suspended, the others found the new credential when they looked; the longest went on after %s", suspended, tasks, longest)
	if slept > 0 {
		t.Errorf("%d of %d tasks slept on", slept, tasks)
	}
}
