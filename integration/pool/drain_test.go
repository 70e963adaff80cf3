package pool

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/gridferry/gridferry/integration/harness"
	"github.com/gridferry/gridferry/transfer"
)

// TestDrain: a drained server gets no sessions while others have them, a
// drained endpoint keeps its tasks waiting, which say why, and both go on when
// they are back.
func TestDrain(t *testing.T) {
	t.Parallel()
	s := newSite(t, 2)
	s.files("run", 400, mib)
	s.worker("worker", "[control, data]", "{}", "{rate: 10MB/s}")
	id := s.submit("run", func(r *transfer.Request) { r.Tuning = transfer.Policy{Concurrency: 4, Pipelining: 2} })
	drained := s.src[1]
	harness.Eventually(t, time.Minute, func() error {
		if n := sent(drained); n < 5 {
			return fmt.Errorf("it has sent %d files", n)
		}
		return nil
	})
	s.operator("endpoint", "drain", drained.Addr(), "--reason", "a new disk")
	harness.Eventually(t, 12*time.Second, func() error {
		if n := sessionsNow(drained.SessionLog()); n > 0 {
			return fmt.Errorf("the drained server has %d sessions", n)
		}
		return nil
	})
	had := strings.Count(drained.SessionLog(), "New connection from")
	task := s.until(id, 10*time.Second, func(task transfer.Task) bool { return task.Status == transfer.Active })
	if out := s.operator("endpoint", "status"); !strings.Contains(out, drained.Addr()) || !strings.Contains(out, "a new disk") {
		t.Errorf("the status does not say it:\n%s", out)
	}
	before := sent(s.src[0])

	s.operator("endpoint", "drain", "lab#src", "--reason", "the whole site is down")
	task = s.until(id, 30*time.Second, func(task transfer.Task) bool {
		return strings.Contains(task.Verdict, "out of use for maintenance") && strings.Contains(task.Verdict, "the whole site is down")
	})
	if task.Status != transfer.Active {
		t.Errorf("the task is %s", task.Status)
	}
	if sent(s.src[0]) <= before {
		t.Error("the other server did nothing while the one was drained")
	}
	if n := strings.Count(drained.SessionLog(), "New connection from"); n > had {
		t.Errorf("the drained server had %d new sessions", n-had)
	}
	harness.Eventually(t, 12*time.Second, func() error {
		if n := sessionsNow(s.src[0].SessionLog()); n > 0 {
			return fmt.Errorf("a server of the drained endpoint has %d sessions", n)
		}
		return nil
	})
	s.operator("endpoint", "undrain", "lab#src", drained.Addr())
	s.succeeds(id, "run", 4*time.Minute)
	if faults := s.events(id, transfer.EventFault); len(faults) > 0 {
		t.Errorf("maintenance was a fault: %q", faults)
	}
	if n := strings.Count(drained.SessionLog(), "New connection from"); n == had {
		t.Error("the server that was drained is not used again")
	}
}

// sessionsNow is how many sessions a server has by its log.
func sessionsNow(log string) int {
	return len(opened.FindAllString(log, -1)) - len(ended.FindAllString(log, -1))
}
