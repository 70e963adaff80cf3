package service_test

import (
	"slices"
	"testing"
	"time"

	"github.com/gridferry/gridferry/endpoints"
	"github.com/gridferry/gridferry/endpoints/memory"
	"github.com/gridferry/gridferry/fault"
	"github.com/gridferry/gridferry/transfer"
	"github.com/gridferry/gridferry/workflows"
)

// activate puts a credential of ada's for the source into the store.
func (s *site) activate(fingerprint string) {
	s.t.Helper()
	now := time.Now()
	a := transfer.Activation{Owner: "ada", Domain: "src", Kind: "proxy", Fingerprint: fingerprint, Given: now, Expires: now.Add(time.Hour)}
	if err := s.kept.PutCredential(s.t.Context(), a, []byte("sealed"), "key"); err != nil {
		s.t.Fatal(err)
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
	s.activate("first")
	s.src.Faults().Fail(memory.Sent, "/data/b", 1, lacking("first"))
	id := s.submit(transfer.Request{Source: "src:/data", Destination: "dst:/data", Recursive: true, Owner: "ada", Notify: "ada@example.org"})
	s.until(id, "suspended", func(task transfer.Task) bool { return task.Status == transfer.Inactive })
	if !s.waiting(id) {
		t.Error("nobody would tell the task")
	}
	// For another failure, later, it has been renewed before the task hears of it.
	s.src.Faults().Fail(memory.Sent, "/data/c", 1, lacking("first"))
	s.activate("second")
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
