package activities

import (
	"context"
	"time"

	"github.com/gridferry/gridferry/transfer"
)

// Pairs remembers what worked between two endpoints: with how many sessions
// files were moved best. Two tasks may disagree; the later one's word counts.
type Pairs interface {
	// Known is what is known from source to destination, of each grain at most
	// once; what was kept for long enough is forgotten.
	Known(ctx context.Context, source, destination string) ([]transfer.Known, error)
	// PutKnown keeps k for a while, in place of what was known of its grain.
	PutKnown(ctx context.Context, source, destination string, k transfer.Known, keep time.Duration) error
}

// knownFor is how long a record counts: lines and servers change.
const knownFor = 7 * 24 * time.Hour

// pairPatience is how long a task waits for what is only a hint.
const pairPatience = 3 * time.Second

// knownPair is what others have learned about a pair of endpoints.
func (d *Data) knownPair(ctx context.Context, e Ends) []transfer.Known {
	if d.Pairs == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, pairPatience)
	defer cancel()
	known, err := d.Pairs.Known(ctx, e.Source, e.Destination)
	if err != nil { // it only saves time
		d.logger().Warn("it is not known what worked between the endpoints", "source", e.Source, "destination", e.Destination, "error", err)
	}
	return known
}

// learnPair lets other tasks start from what this one has found.
func (d *Data) learnPair(ctx context.Context, e Ends, k transfer.Known) {
	if d.Pairs == nil {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, pairPatience)
	defer cancel()
	if err := d.Pairs.PutKnown(ctx, e.Source, e.Destination, k, knownFor); err != nil {
		d.logger().Warn("it could not be recorded what worked between the endpoints", "source", e.Source, "destination", e.Destination, "error", err)
	}
}

// atHome says that both ends are directories of a worker's host. There the kernel
// copies, and lets one at a time write to a file: several were seen to spend a
// quarter of their CPU on waiting for each other.
func (p ProbeResult) atHome() bool { return p.Source.Site != "" && p.Destination.Site != "" }

// Setting is what a tuning has to know of the two ends.
func (p ProbeResult) Setting() transfer.Setting {
	return transfer.Setting{
		StreamDest: p.Destination.StreamOnly,
		Relay:      p.Route.Path == transfer.RouteRelay,
		Multiplex:  p.Source.Multiplexed && p.Destination.Multiplexed,
		Sessions:   sessionBudget(p),
		RTT:        max(p.Source.RTT, p.Destination.RTT),
		Known:      p.Known,
	}
}
