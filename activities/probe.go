package activities

import (
	"context"

	"github.com/gridferry/gridferry/transfer"
)

// ProbeInput asks what the two ends are and can do, by logging in to both.
type ProbeInput struct {
	Ends Ends               `json:"ends"`
	Rule transfer.RouteRule `json:"rule,omitempty"`
}

// ProbeResult is what was found.
type ProbeResult struct {
	Source      End            `json:"source"`
	Destination End            `json:"destination"`
	Route       transfer.Route `json:"route"`
	Checksum    string         `json:"checksum,omitempty"` // strongest that both ends compute

	// Elsewhere: an end is bound to a host that is not this worker's, so
	// nothing was contacted. Ask again on Route.Queue.
	Elsewhere bool `json:"elsewhere,omitempty"`
}

// Probe logs in to both ends and chooses the route. A delete task names only
// a destination; its source stays empty.
func (d *Data) Probe(ctx context.Context, in ProbeInput) (ProbeResult, error) {
	return ProbeResult{}, nil
}
