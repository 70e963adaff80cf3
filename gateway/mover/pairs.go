package mover

import (
	"context"
	"net/http"
	"net/url"
	"time"

	"github.com/gridferry/gridferry/activities"
	"github.com/gridferry/gridferry/fault"
	"github.com/gridferry/gridferry/gateway/api"
	"github.com/gridferry/gridferry/transfer"
)

// maxKnown bounds how long the service remembers what a worker has found.
const maxKnown = 30 * 24 * time.Hour

// knownMessage is what worked between two endpoints.
type knownMessage struct {
	Source      string         `json:"source"`
	Destination string         `json:"destination"`
	Known       transfer.Known `json:"known"`
	Keep        time.Duration  `json:"keep"`
}

var _ activities.Pairs = (*Client)(nil)

// Known implements activities.Pairs.
func (c *Client) Known(ctx context.Context, source, destination string) ([]transfer.Known, error) {
	return ask[[]transfer.Known](ctx, c, request{
		op: "look up what worked between", what: source + " and " + destination, method: http.MethodGet, path: pathPairs,
		query: url.Values{"source": {source}, "destination": {destination}},
	})
}

// PutKnown implements activities.Pairs.
func (c *Client) PutKnown(ctx context.Context, source, destination string, k transfer.Known, keep time.Duration) error {
	_, err := c.do(ctx, request{
		op: "record what worked between", what: source + " and " + destination, method: http.MethodPost, path: pathPairs,
		json: knownMessage{Source: source, Destination: destination, Known: k, Keep: keep},
	})
	return err
}

// known is for movers: others act on it, and it tells of others' transfers.
func (h *Handler) known(_ http.ResponseWriter, r *http.Request, who reach) (any, error) {
	if err := who.moves("look up what worked"); err != nil || h.Pairs == nil {
		return []transfer.Known{}, err
	}
	q := r.URL.Query()
	return h.Pairs.Known(r.Context(), q.Get("source"), q.Get("destination"))
}

func (h *Handler) putKnown(_ http.ResponseWriter, r *http.Request, who reach) (any, error) {
	if err := who.moves("record what worked"); err != nil || h.Pairs == nil {
		return nil, err
	}
	var m knownMessage
	if err := api.ReadJSON(r, &m); err != nil {
		return nil, err
	}
	return nil, h.Pairs.PutKnown(r.Context(), m.Source, m.Destination, m.Known, min(m.Keep, maxKnown))
}

// moves refuses those who are no movers.
func (who reach) moves(op string) error {
	if who.all {
		return nil
	}
	return fault.New(fault.Permission, op, "", "it is for hosts that move data")
}
