package workers

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"go.temporal.io/sdk/activity"
	"go.temporal.io/sdk/interceptor"
	"go.temporal.io/sdk/temporal"

	"github.com/gridferry/gridferry/fault"
)

// shares keeps owners from having a worker to themselves: no owner's copies get
// more than most of its slots; what is beyond goes back into the queue for some
// seconds, and others come up. It is needed beside the server's fairness among
// owners (matching.enableFairness), which decides who is next when a slot falls
// free: when one owner has all of them, that is as far away as the end of a
// chunk. And it stands in for it where it is switched off, as is the server's
// default, which a client cannot ask for: a queue is then worked off in its
// order.
type shares struct {
	interceptor.WorkerInterceptorBase
	most int // copies of one owner at once

	mu   sync.Mutex
	busy map[string]int
}

func newShares(most int) *shares { return &shares{most: most, busy: map[string]int{}} }

// InterceptActivity implements interceptor.WorkerInterceptor.
func (s *shares) InterceptActivity(_ context.Context, next interceptor.ActivityInboundInterceptor) interceptor.ActivityInboundInterceptor {
	in := &shared{shares: s}
	in.Next = next
	return in
}

type shared struct {
	interceptor.ActivityInboundInterceptorBase
	shares *shares
}

// ExecuteActivity implements interceptor.ActivityInboundInterceptor.
func (s *shared) ExecuteActivity(ctx context.Context, in *interceptor.ExecuteActivityInput) (any, error) {
	info := activity.GetInfo(ctx)
	if name := info.ActivityType.Name; name != "Copy" && name != "Express" {
		return s.Next.ExecuteActivity(ctx, in)
	}
	owner := info.Priority.FairnessKey
	if !s.shares.take(owner) {
		return nil, temporal.NewApplicationErrorWithOptions(
			fmt.Sprintf("%d copies of one owner are all that this worker does at once", s.shares.most), string(fault.Busy),
			// Longer than where sessions are busy: an owner may have hundreds.
			temporal.ApplicationErrorOptions{NextRetryDelay: 4*time.Second + rand.N(12*time.Second)})
	}
	defer s.shares.giveBack(owner)
	return s.Next.ExecuteActivity(ctx, in)
}

func (s *shares) take(owner string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.busy[owner] >= s.most {
		return false
	}
	s.busy[owner]++
	return true
}

func (s *shares) giveBack(owner string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.busy[owner]--; s.busy[owner] == 0 {
		delete(s.busy, owner)
	}
}
