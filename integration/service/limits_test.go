package service_test

import (
	"strings"
	"testing"
	"time"

	"github.com/gridferry/gridferry/endpoints"
	"github.com/gridferry/gridferry/endpoints/memory"
	"github.com/gridferry/gridferry/transfer"
	"github.com/gridferry/gridferry/workers"
)

// TestTasksOfAnEndpoint: one that takes one task at a time keeps the others
// waiting, which say for what, and begin when it has ended.
func TestTasksOfAnEndpoint(t *testing.T) {
	s := newSite(t)
	s.stop()
	s.config.Endpoints = memory.NewOpener(map[string]*memory.Disk{"src": s.src, "dst": s.dst}).
		WithRecord(endpoints.Record{Name: "dst", Kind: "memory", Limits: endpoints.Limits{Tasks: 1}})
	s.start(workers.Control, workers.Data)
	s.put("/one/a", "/one/b", "/two/a", "/three")
	release := s.hold()
	defer release()
	one := s.submit(transfer.Request{Source: "src:/one", Destination: "dst:/one", Recursive: true})
	s.until(one, "copying", copying)
	others := []transfer.TaskID{
		s.submit(transfer.Request{Source: "src:/two", Destination: "dst:/two", Recursive: true}),
		s.submit(transfer.Request{Source: "src:/three", Destination: "dst:/three"}),
	}
	for _, id := range others {
		s.until(id, "waiting for its turn", func(task transfer.Task) bool {
			return strings.Contains(task.Verdict, "waiting for its turn") && strings.Contains(task.Verdict, "dst takes one task at a time")
		})
	}
	release()
	s.wait(one, transfer.Succeeded)
	ended := time.Now()
	for _, id := range others {
		s.wait(id, transfer.Succeeded)
	}
	if d := time.Since(ended); d > 50*time.Second {
		t.Errorf("they went on after %s: the place was not given back, but expired", d)
	}
	s.same("/one")
	s.same("/two")
}
