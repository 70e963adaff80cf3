package myproxyd

import (
	"hash/maphash"
	"sync"
	"time"
)

// Failures bound how often a wrong pass phrase may be tried. Zeroes are the
// defaults.
type Failures struct {
	User    int           // for one user within the window; 10
	Address int           // from one address; 50
	Window  time.Duration // 15 minutes
}

func (f Failures) normal() Failures {
	if f.User == 0 {
		f.User = 10
	}
	if f.Address == 0 {
		f.Address = 50
	}
	if f.Window == 0 {
		f.Window = 15 * time.Minute
	}
	return f
}

// A limiter counts by key in a fixed number of buckets. Keys that share one
// count together, which is rare and errs on the safe side; in exchange nobody
// can make it forget by trying many names, or fill the memory. The hash has a
// secret seed.
type limiter struct {
	limit  int
	window time.Duration
	seed   maphash.Seed

	mu      sync.Mutex
	buckets []bucket
}

type bucket struct {
	count int
	since time.Time // of the first that counts
}

const buckets = 1 << 14

func newLimiter(limit int, window time.Duration) *limiter {
	return &limiter{limit: limit, window: window, seed: maphash.MakeSeed(), buckets: make([]bucket, buckets)}
}

func (l *limiter) bucket(key string) *bucket {
	return &l.buckets[maphash.String(l.seed, key)%buckets]
}

// take counts one attempt and returns how long there must be none; zero when
// this one may go on.
func (l *limiter) take(key string, now time.Time) time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	b := l.bucket(key)
	if now.Sub(b.since) >= l.window {
		*b = bucket{since: now}
	}
	b.count++
	if b.count <= l.limit {
		return 0
	}
	return b.since.Add(l.window).Sub(now)
}

// giveBack takes an attempt back that take counted at now.
func (l *limiter) giveBack(key string, now time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if b := l.bucket(key); b.count > 0 && !now.Before(b.since) {
		b.count--
	}
}
