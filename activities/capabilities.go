package activities

import (
	"context"
	"errors"
	"time"

	"github.com/gridferry/gridferry/transfer"
)

// Capabilities remembers what is dear to find out about endpoints: two servers
// between which a firewall stands show it by most of a minute of silence.
type Capabilities interface {
	// Apart is why no data channel came up from source to destination when it
	// was last tried; empty when nothing is known, or not any more.
	Apart(ctx context.Context, source, destination string) (reason string, err error)
	// PutApart keeps that for a while.
	PutApart(ctx context.Context, source, destination, reason string, keep time.Duration) error
}

// apartKept is how long two servers are taken for out of each other's reach.
// Firewalls are mended, and a relay costs more than a look an hour.
const apartKept = time.Hour

// knownApart is what others have learned about a pair of servers, for tasks
// that leave the route to us; nil when nothing stands in the way.
func (d *Data) knownApart(ctx context.Context, e Ends, rule transfer.RouteRule) error {
	if d.Capabilities == nil || rule != transfer.RouteAuto {
		return nil
	}
	reason, err := d.Capabilities.Apart(ctx, e.Source, e.Destination)
	if err != nil { // it only saves time
		d.logger().Warn("it is not known whether the servers reach each other", "source", e.Source, "destination", e.Destination, "error", err)
		return nil
	}
	if reason == "" {
		return nil
	}
	return errors.New("tried within the last hour: " + reason)
}

// learnApart lets other tasks know what this one has waited for.
func (d *Data) learnApart(ctx context.Context, e Ends, reason string) {
	if d.Capabilities == nil {
		return
	}
	if err := d.Capabilities.PutApart(ctx, e.Source, e.Destination, reason, apartKept); err != nil {
		d.logger().Warn("it could not be recorded that the servers do not reach each other", "source", e.Source, "destination", e.Destination, "error", err)
	}
}
