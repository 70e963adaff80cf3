package endpoints

import (
	"context"
	"math"
	"time"
)

// RateOf says of what an endpoint allows only so much at a time.
type RateOf string

// What is rationed.
const (
	RateLogins RateOf = "logins"
	RateBytes  RateOf = "bytes"
)

// A Draw is what somebody wants of an endpoint's ration, which all workers
// share.
type Draw struct {
	Endpoint string  `json:"endpoint"`
	What     RateOf  `json:"what"`
	N        int64   `json:"n"`
	PerSec   float64 `json:"per_second"`
	// Burst is what an endpoint that was left in peace for as long allows at once.
	Burst time.Duration `json:"burst,omitempty"`
	// Patience bounds the wait: a longer one is Busy, and nothing is drawn.
	Patience time.Duration `json:"patience"`
}

// Rations hands out what endpoints allow.
type Rations interface {
	// Take draws, and returns how long to wait before what was drawn is used.
	Take(ctx context.Context, d Draw) (wait time.Duration, err error)
}

// longest is what a cost is at most: no duration holds what a careless draw
// may come to.
const longest = 100 * 365 * 24 * time.Hour

// Cost is the time that the ration takes to grow back.
func (d Draw) Cost() time.Duration {
	if d.PerSec <= 0 {
		return 0
	}
	return time.Duration(min(math.Ceil(float64(d.N)/d.PerSec*float64(time.Second)), float64(longest)))
}

// Next is the arithmetic of a ration, which is one time: when what was drawn so
// far will have grown back. It returns the time from which on a draw may be
// used, and the ration after it.
func (d Draw) Next(ration, now time.Time) (use, after time.Time) {
	use = now.Add(-d.Burst)
	if ration.After(use) {
		use = ration
	}
	return use, use.Add(d.Cost())
}

// byteBurst lets copies make up for what a moment without a grant has cost.
const byteBurst = 500 * time.Millisecond

// DrawBytes is a draw of n bytes from an endpoint at a time; false when there
// is no limit then.
func (l Limits) DrawBytes(endpoint string, n int64, now time.Time) (Draw, bool) {
	rate := l.RateAt(now)
	return Draw{Endpoint: endpoint, What: RateBytes, N: n, PerSec: float64(rate), Burst: byteBurst}, rate > 0
}

// DrawLogin is a draw of one login; false when there is no limit.
func (l Limits) DrawLogin(endpoint string) (Draw, bool) {
	if l.Logins.N <= 0 {
		return Draw{}, false
	}
	burst := l.Logins.burst()
	d := Draw{Endpoint: endpoint, What: RateLogins, N: 1, PerSec: float64(l.Logins.N-burst) / l.Logins.Per.Seconds()}
	d.Burst = time.Duration(max(0, burst-1)) * d.Cost()
	return d, true
}
