package mover

import (
	"context"
	"net/http"
	"slices"
	"time"

	"github.com/gridferry/gridferry/endpoints"
	"github.com/gridferry/gridferry/fault"
	"github.com/gridferry/gridferry/gateway/api"
)

// downMessage is a server that a worker leaves out.
type downMessage struct {
	endpoints.Down
	Keep time.Duration `json:"keep"`
}

// drawReply is how long to wait.
type drawReply struct {
	Wait time.Duration `json:"wait"`
}

// maxKeep bounds for how long a worker's word counts that a server is down.
const maxKeep = 10 * time.Minute

// maxDrawn bounds what a user's own worker draws at once, and how long it
// waits: what one has drawn nobody else has.
const maxDrawn = time.Minute

var (
	_ endpoints.Conditions = (*Client)(nil)
	_ endpoints.Rations    = (*Client)(nil)
)

func (h *Handler) condition(_ http.ResponseWriter, r *http.Request, _ reach) (any, error) {
	if h.Conditions == nil {
		return endpoints.Condition{}, nil
	}
	return h.Conditions.Condition(r.Context())
}

func (h *Handler) down(_ http.ResponseWriter, r *http.Request, who reach) (any, error) {
	var m downMessage
	if err := api.ReadJSON(r, &m); err != nil {
		return nil, err
	}
	// What a user's own worker finds is nothing for others to act on.
	if h.Conditions == nil || !who.all {
		return nil, nil
	}
	return nil, h.Conditions.PutDown(r.Context(), m.Down, min(m.Keep, maxKeep))
}

func (h *Handler) take(_ http.ResponseWriter, r *http.Request, who reach) (any, error) {
	var d endpoints.Draw
	if err := api.ReadJSON(r, &d); err != nil {
		return nil, err
	}
	if h.Rations == nil {
		return drawReply{}, nil
	}
	if !who.all {
		// A mover was told the limits; a user might have higher ones.
		if !slices.Contains(who.task.Endpoints, d.Endpoint) {
			return nil, fault.New(fault.Permission, "draw of", d.Endpoint, "it is no end of task "+string(who.id))
		}
		rec, err := h.Endpoints.Resolve(r.Context(), d.Endpoint)
		if err != nil {
			return nil, err
		}
		limited, ok := rec.Limits.DrawLogin(d.Endpoint)
		if d.What == endpoints.RateBytes {
			limited, ok = rec.Limits.DrawBytes(d.Endpoint, d.N, time.Now())
		}
		if !ok {
			return drawReply{}, nil
		}
		limited.Patience = min(d.Patience, maxDrawn)
		if limited.Cost() > maxDrawn {
			return nil, fault.New(fault.Invalid, "draw of", d.Endpoint, "it is more than may be drawn at once")
		}
		d = limited
	}
	wait, err := h.Rations.Take(r.Context(), d)
	return drawReply{wait}, err
}

// Condition implements endpoints.Conditions.
func (c *Client) Condition(ctx context.Context) (endpoints.Condition, error) {
	return ask[endpoints.Condition](ctx, c, request{op: "look up", what: "the condition of servers", method: http.MethodGet, path: pathCondition})
}

// PutDown implements endpoints.Conditions.
func (c *Client) PutDown(ctx context.Context, d endpoints.Down, keep time.Duration) error {
	_, err := c.do(ctx, request{op: "record the condition of", what: d.Server, method: http.MethodPost, path: pathDown, json: downMessage{d, keep}})
	return err
}

// Take implements endpoints.Rations.
func (c *Client) Take(ctx context.Context, d endpoints.Draw) (time.Duration, error) {
	reply, err := ask[drawReply](ctx, c, request{op: "draw", what: d.Endpoint, method: http.MethodPost, path: pathTake, json: d})
	return reply.Wait, err
}
