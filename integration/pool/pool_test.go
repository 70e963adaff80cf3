package pool

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/gridferry/gridferry/integration/harness"
	"github.com/gridferry/gridferry/transfer"
)

// TestDeadAndHung: of three servers one is killed and one is stopped under a
// transfer. The third carries on; when they are back, they are used again, by
// the same transfer.
func TestDeadAndHung(t *testing.T) {
	t.Parallel()
	s := newSite(t, 3)
	s.files("run", 900, mib)
	// So slow that there is time for it all.
	worker := s.worker("worker", "[control, data]", "{}", "{rate: 10MB/s}")
	id := s.submit("run", func(r *transfer.Request) { r.Tuning = transfer.Policy{Concurrency: 6, Pipelining: 4} })
	harness.Eventually(t, time.Minute, func() error {
		for i, server := range s.src {
			if n := sent(server); n < 5 {
				return fmt.Errorf("server %d has sent %d files", i, n)
			}
		}
		return nil
	})
	well, dead, hung := s.src[0], s.src[1], s.src[2]
	dead.Kill()
	hung.Freeze()
	broken := time.Now()
	before := sent(well)
	harness.Eventually(t, 90*time.Second, func() error {
		log := worker.Log()
		for what, server := range map[string]string{"dead": dead.Addr(), "hung": hung.Addr()} {
			if !strings.Contains(log, "left out until it answers again\" server="+server) {
				return fmt.Errorf("the %s one is not left out", what)
			}
		}
		return nil
	})
	t.Logf("both are left out after %s; the third has sent %d files since", time.Since(broken).Round(time.Second), sent(well)-before)
	if n := sent(well) - before; n < 10 {
		t.Errorf("the server that is left has sent %d files meanwhile", n)
	}
	// All sessions are with it now.
	harness.Eventually(t, time.Minute, func() error {
		if n := strings.Count(well.SessionLog(), "New connection from"); n < 6 {
			return fmt.Errorf("it has had %d sessions", n)
		}
		return nil
	})

	dead.Restart()
	hung.Thaw()
	back := time.Now()
	sentDead, sentHung := sent(dead), sent(hung)
	harness.Eventually(t, 90*time.Second, func() error {
		if n, m := sent(dead)-sentDead, sent(hung)-sentHung; n < 3 || m < 3 {
			return fmt.Errorf("since they are back, the one has sent %d files, and the other %d", n, m)
		}
		return nil
	})
	t.Logf("both are in use again %s after they came back", time.Since(back).Round(time.Second))

	task := s.succeeds(id, "run", 5*time.Minute)
	for _, code := range []transfer.EventCode{transfer.EventInactive, transfer.EventPaused} {
		if held := s.events(id, code); len(held) > 0 {
			t.Errorf("the task was held: %q", held)
		}
	}
	for _, server := range []string{dead.Addr(), hung.Addr()} {
		for _, code := range []transfer.EventCode{transfer.EventServerOut, transfer.EventServerBack} {
			if said := s.events(id, code); !strings.Contains(strings.Join(said, "\n"), server) {
				t.Errorf("no %s of %s among %q", code, server, said)
			}
		}
	}
	t.Logf("%d faults; the servers sent %d, %d and %d files", task.Progress.Faults, sent(well), sent(dead), sent(hung))
}

// TestHungCostsLittle: with a server hung, new sessions do not wait for it
// one after the other.
func TestHungCostsLittle(t *testing.T) {
	t.Parallel()
	s := newSite(t, 3)
	s.worker("worker", "[control, data]", "{}", "{}")
	s.src[1].Freeze()
	begun := time.Now()
	const tasks = 12
	ids := make([]transfer.TaskID, tasks)
	for i := range ids {
		name := fmt.Sprintf("one%d", i)
		s.files(name, 3, 1000)
		ids[i] = s.submit(name, nil)
	}
	for i, id := range ids {
		s.succeeds(id, fmt.Sprintf("one%d", i), 2*time.Minute)
	}
	took := time.Since(begun)
	t.Logf("%d tasks beside a server that hangs took %s", tasks, took.Round(time.Second))
	// What waits for it are the logins of one moment, and not each.
	if took > 50*time.Second {
		t.Errorf("%d tasks took %s", tasks, took)
	}
	s.src[1].Thaw()
}
