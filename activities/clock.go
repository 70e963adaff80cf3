package activities

import (
	"context"
	"time"
)

// A clock tells what ledgers are dated by, which others compare with their own:
// the server's time when it gave an attempt out, and what has passed here since.
// A worker whose clock is ten minutes ahead would otherwise have its successors
// wait for as long, and behind one that is slow nobody would wait at all.
type clock struct {
	began  time.Time // by the worker's clock; its monotonic part is what counts
	handed time.Time // by the server's; zero outside of an activity
}

func newClock(ctx context.Context) clock { return clock{began: time.Now(), handed: handedOut(ctx)} }

func (k clock) now() time.Time {
	if k.handed.IsZero() {
		return time.Now().UTC()
	}
	return k.handed.Add(time.Since(k.began)).UTC()
}

// left is how much is left of a time that began at since: never more than all
// of it, whoever's clock said when that was.
func (k clock) left(since time.Time, all time.Duration) time.Duration {
	return min(max(since.Add(all).Sub(k.now()), 0), all)
}
