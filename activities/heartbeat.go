package activities

import (
	"context"
	"sync"
	"time"

	"go.temporal.io/sdk/activity"
)

// beatInterval is how often an activity says that it lives. The SDK throttles
// what reaches the server.
const beatInterval = time.Second

// defaultHeartbeat stands in for the heartbeat timeout where there is none.
const defaultHeartbeat = 20 * time.Second

// beat heartbeats until the returned function is called.
func (d *Data) beat(ctx context.Context) (stop func()) {
	return beatWith(ctx, func() any { return nil })
}

// beatWith heartbeats with what details returns; nil is nothing.
func beatWith(ctx context.Context, details func() any) (stop func()) {
	if !activity.IsActivity(ctx) {
		return func() {}
	}
	// A cancelled activity lives on while it stops at its ledger. At its end a
	// heartbeat that has begun comes to its own: the SDK takes one that is given
	// up for a server that cannot be reached, and cancels the activity.
	ctx = context.WithoutCancel(ctx)
	over := make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() {
		t := time.NewTicker(beatInterval)
		defer t.Stop()
		for {
			if v := details(); v != nil {
				activity.RecordHeartbeat(ctx, v)
			} else {
				activity.RecordHeartbeat(ctx)
			}
			select {
			case <-over:
				return
			case <-t.C:
			}
		}
	})
	return func() { close(over); wg.Wait() }
}

// handedOut is when the server gave this attempt out; zero outside of an
// activity.
func handedOut(ctx context.Context) time.Time {
	if activity.IsActivity(ctx) {
		return activity.GetInfo(ctx).StartedTime
	}
	return time.Time{}
}

// heartbeatTimeout is how long the server waits for a heartbeat before it
// takes this worker for lost.
func heartbeatTimeout(ctx context.Context) time.Duration {
	if activity.IsActivity(ctx) {
		if t := activity.GetInfo(ctx).HeartbeatTimeout; t > 0 {
			return t
		}
	}
	return defaultHeartbeat
}
