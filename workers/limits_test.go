package workers

import (
	"context"
	"log/slog"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gridferry/gridferry/activities"
	"github.com/gridferry/gridferry/fault"
)

// slowLeases answers late: a lease that it gives has ended the one before long
// before anybody hears of it.
type slowLeases struct {
	answer time.Duration

	mu    sync.Mutex
	epoch int64
}

func (s *slowLeases) Acquire(ctx context.Context, want activities.LeaseRequest) (activities.Lease, error) {
	if want.Sessions[0].Sessions > 4 {
		return activities.Lease{}, fault.New(fault.Busy, "take", want.Chunk, "others have them")
	}
	s.mu.Lock()
	s.epoch++
	l := activities.Lease{Epoch: s.epoch}
	s.mu.Unlock()
	time.Sleep(s.answer)
	return l, nil
}

func (s *slowLeases) Renew(_ context.Context, l activities.Lease) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if l.Epoch != s.epoch {
		return fault.New(fault.Canceled, "renew", "", "somebody else has it")
	}
	return nil
}

func (s *slowLeases) Release(context.Context, activities.Lease) error { return nil }

// TestMoreSessionsAreNotLostOnes: a lease is not taken for lost while it is
// replaced by one of more sessions, and is when somebody else has it.
func TestMoreSessionsAreNotLostOnes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		leases := &slowLeases{}
		l := &limits{leases: leases, log: slog.New(slog.DiscardHandler), held: map[string]*heldSessions{}}
		lost := 0
		hold := func(n int) error { return l.Hold(t.Context(), "lab#dtn", n, 4, func() { lost++ }) }
		if err := hold(1); err != nil {
			t.Fatal(err)
		}
		leases.answer = 2 * sessionsLife / 6 // over a renewal of the first one
		if err := hold(2); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Minute)
		synctest.Wait() // also tells the race detector
		if lost != 0 {
			t.Error("sessions were given up while more of them were asked for")
		}
		if err := hold(5); !fault.Is(err, fault.Busy) {
			t.Errorf("more than there are: %v", err)
		}
		leases.mu.Lock()
		leases.epoch++ // somebody else's
		leases.mu.Unlock()
		time.Sleep(time.Minute)
		synctest.Wait() // also tells the race detector
		if lost != 1 {
			t.Errorf("sessions that are somebody else's were given up %d times", lost)
		}
		if err := hold(0); err != nil {
			t.Error(err)
		}
	})
}
