package durability

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/gridferry/gridferry/integration/globus"
	"github.com/gridferry/gridferry/integration/harness"
	"github.com/gridferry/gridferry/integration/tree"
	"github.com/gridferry/gridferry/transfer"
)

// namedWithin is how soon a blocked data channel is told of.
const namedWithin = time.Minute

// newBlocked is a site whose servers are on hosts that cannot reach each
// other, while the worker reaches both.
func newBlocked(t *testing.T) (s *site, from, to *harness.Host) {
	t.Helper()
	net := harness.NewNetwork(t)
	from, to = net.Host("from"), net.Host("to")
	root := original(t, tree.Spec{Seed: 9, Files: 120, Bytes: 60 * mib, Large: []int64{20 * mib}, Odd: true, Deep: 4})
	s = newSite(t, siteOptions{
		src: globus.Options{Address: from.Address, Namespace: from.Namespace, Root: root},
		dst: globus.Options{Address: to.Address, Namespace: to.Namespace},
	})
	from.Block(to)
	to.Block(from)
	s.worker("only")
	return s, from, to
}

// named waits until an event tells of the blocked data channel, with both
// addresses, and returns how long after the copy's start that was.
func (s *site) named(id transfer.TaskID, from, to *harness.Host) time.Duration {
	s.t.Helper()
	var begun, told time.Time
	harness.Eventually(s.t, 3*time.Minute, func() error {
		task, err := s.service.Task(s.t.Context(), id)
		if err != nil {
			return err
		}
		f := task.LastFault
		if f == nil || !strings.Contains(f.Message, from.Address) || !strings.Contains(f.Message, to.Address) {
			return fmt.Errorf("the last fault is %+v", f)
		}
		begun, told = task.Requested, f.Time
		s.t.Logf("told after %v: %s", told.Sub(begun).Round(time.Second), f.Message)
		return nil
	})
	return told.Sub(begun)
}

// TestBlocked has a firewall between two servers: it is named within a minute,
// and the data goes by way of the worker; the next task does not wait for it.
func TestBlocked(t *testing.T) {
	t.Parallel()
	s, from, to := newBlocked(t)
	id := s.submit(transfer.Request{})
	if after := s.named(id, from, to); after > namedWithin {
		t.Errorf("it took %v to be named", after)
	}
	task := s.wait(id, 5*time.Minute, transfer.Succeeded)
	if task.Route.Path != transfer.RouteRelay {
		t.Errorf("the route is %+v", task.Route)
	}
	t.Logf("done %v after it was submitted, %d faults", task.Completed.Sub(task.Requested).Round(time.Second), task.Progress.Faults)
	s.same()

	id = s.submit(transfer.Request{Sync: transfer.SyncChecksum})
	task = s.wait(id, time.Minute, transfer.Succeeded)
	if task.Route.Path != transfer.RouteRelay || task.Progress.Faults > 0 || !strings.Contains(task.Route.Reason, from.Address) {
		t.Errorf("the next task has %d faults, on the route %+v", task.Progress.Faults, task.Route)
	}
	t.Logf("the next one: %v; %s", task.Completed.Sub(task.Requested).Round(time.Second), task.Route.Reason)
}

// TestBlockedThirdParty asks for third-party alone: it is named as well, and
// nothing is relayed.
func TestBlockedThirdParty(t *testing.T) {
	t.Parallel()
	s, from, to := newBlocked(t)
	id := s.submit(transfer.Request{Route: transfer.RouteThirdParty})
	if after := s.named(id, from, to); after > namedWithin {
		t.Errorf("it took %v to be named", after)
	}
	task, err := s.service.Task(t.Context(), id)
	must(t, err)
	if task.Route.Path != transfer.RouteThirdParty || task.Progress.BytesDone > 0 {
		t.Errorf("%d bytes arrived, on the route %+v", task.Progress.BytesDone, task.Route)
	}
	// Once the firewall is open, the task goes on.
	from.Unblock()
	to.Unblock()
	task = s.wait(id, 5*time.Minute, transfer.Succeeded)
	if task.Route.Path != transfer.RouteThirdParty {
		t.Errorf("the route became %+v", task.Route)
	}
	s.same()
}
