package harness

import (
	"testing"
	"time"
)

// pollEvery is short against everything that tests wait for, and long against
// what a look costs.
const pollEvery = 10 * time.Millisecond

// Eventually looks again and again until check returns nil, and fails the test
// with its last error when that takes longer than limit.
func Eventually(t testing.TB, limit time.Duration, check func() error) {
	t.Helper()
	deadline := time.After(limit)
	for {
		err := check()
		if err == nil {
			return
		}
		select {
		case <-deadline:
			t.Fatalf("after %v: %v", limit, err)
		case <-time.After(pollEvery):
		}
	}
}
