package service_test

import (
	"testing"

	"github.com/gridferry/gridferry/endpoints/memory"
	"github.com/gridferry/gridferry/fault"
	"github.com/gridferry/gridferry/transfer"
	"github.com/gridferry/gridferry/workflows"
)

func TestSuspendedAndRenewed(t *testing.T) {
	s := newSite(t)
	s.put("/data/a", "/data/b", "/data/c")
	s.src.Faults().Fail(memory.Sent, "/data/b", 1, fault.New(fault.Credential, "log in to", "src", "the proxy has expired"))
	id := s.submit(transfer.Request{Source: "src:/data", Destination: "dst:/data", Recursive: true, Notify: "ada@example.org"})
	s.until(id, "suspended", func(task transfer.Task) bool { return task.Status == transfer.Inactive })
	if err := s.client.SignalWorkflow(t.Context(), string(id), "", workflows.TellCredentialRenewed, nil); err != nil {
		t.Fatal(err)
	}
	s.wait(id, transfer.Succeeded)
	s.same("/data")
	s.keep("suspended", s.history(id, ""))
}
