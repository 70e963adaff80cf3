package transfer

import (
	"fmt"
	"strconv"
	"time"
)

// CheckRequest says how far a check of an endpoint goes. The zero CheckRequest
// only reads.
type CheckRequest struct {
	// Write is an absolute path at the endpoint, or one below "/~": in that
	// directory a new one is made, everything else is done in it, and it is
	// removed. Empty writes nothing.
	Write string `json:"write,omitempty"`
	// Time bounds how long speeds are measured, and Bytes how much is moved for
	// it in each direction; 0 is the default of each.
	Time  Duration `json:"time,omitempty"`
	Bytes int64    `json:"bytes,omitempty"`
}

// What bounds the measuring of a check.
const (
	DefaultCheckTime  = 20 * time.Second
	MaxCheckTime      = 3 * time.Minute // somebody waits for the answer
	DefaultCheckBytes = 256 << 20
	LeastCheckBytes   = 1 << 20
)

// Checked returns the request with its defaults filled in, or an Invalid error.
func (r CheckRequest) Checked() (CheckRequest, error) {
	if r.Time == 0 {
		r.Time = Duration(DefaultCheckTime)
	}
	if r.Bytes == 0 {
		r.Bytes = DefaultCheckBytes
	}
	switch {
	case r.Time < Duration(time.Second) || r.Time > Duration(MaxCheckTime):
		return r, invalid("time", "is "+r.Time.String(), fmt.Sprintf("give 1s to %s", FormatDuration(MaxCheckTime)))
	case r.Bytes < LeastCheckBytes:
		return r, invalid("bytes", "is "+strconv.FormatInt(r.Bytes, 10), "give 1MiB or more")
	case r.Write != "" && r.Write[0] != '/':
		return r, invalid("write", "is "+strconv.Quote(r.Write), "give an absolute path at the endpoint")
	}
	return r, nil
}

// Outcome is how one look at an endpoint ended.
type Outcome string

// The outcomes.
const (
	Works    Outcome = "works"
	Cannot   Outcome = "cannot"    // the endpoint lacks it, and does not say otherwise
	Broken   Outcome = "broken"    // it fails, or is something else than the endpoint says
	NotTried Outcome = "not tried" // Finding.Seen says why
)

// Finding is what one look at an endpoint has shown.
type Finding struct {
	Name    string   `json:"name"`
	Outcome Outcome  `json:"outcome"`
	Took    Duration `json:"took,omitempty"`
	Seen    string   `json:"seen"`            // what was seen, in a line
	Means   string   `json:"means,omitempty"` // for transfers, in a sentence
	Rate    float64  `json:"rate,omitempty"`  // bytes a second, of those that measure; of small files, files a second
}

// Checkup is what a check of an endpoint has found.
type Checkup struct {
	Location string    `json:"location"`         // endpoint and path that were looked at
	Kind     string    `json:"kind"`             // its driver
	Server   string    `json:"server,omitempty"` // in its own words
	Says     []string  `json:"says,omitempty"`   // what it lists of its abilities, in its own words as well: printable lines, at most 100
	RTT      Duration  `json:"rtt,omitempty"`    // 0 is unknown, or none
	Findings []Finding `json:"findings"`

	// Fault is what ended the check early: the folder cannot be read, or
	// nothing can be written to the directory that was given.
	Fault *Fault `json:"fault,omitempty"`
	// Left is the directory that was made and could not be removed; empty is none.
	Left string `json:"left,omitempty"`
}

// Count is how many findings have the outcome.
func (c Checkup) Count(o Outcome) int {
	n := 0
	for _, f := range c.Findings {
		if f.Outcome == o {
			n++
		}
	}
	return n
}
