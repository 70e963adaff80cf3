package api

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"slices"

	"github.com/gridferry/gridferry/endpoints"
	"github.com/gridferry/gridferry/fault"
	"github.com/gridferry/gridferry/transfer"
)

// The paths of transfer.Maintenance.
const (
	pathDrains    = "/v1/drains"
	pathCondition = "/v1/condition"
)

// drainRequest asks for a drain.
type drainRequest struct {
	Name   string `json:"name"`
	Reason string `json:"reason,omitempty"`
}

// Maintenance keeps what operators say.
type Maintenance interface {
	Drain(ctx context.Context, d endpoints.Drain) (endpoints.Drain, error)
	Undrain(ctx context.Context, name string) error
	Condition(ctx context.Context) (endpoints.Condition, error)
}

// Operators returns who may do maintenance: the users that a configuration
// lists, from anywhere, and on this host the superuser and account, whom the
// daemon runs as.
func Operators(listed []string, account string) func(Peer) bool {
	return func(p Peer) bool {
		return p.User != "" && (slices.Contains(listed, p.User) || p.Local && (p.User == "root" || p.User == account))
	}
}

// maxReason bounds what an operator says, in bytes: it is shown with each task.
const maxReason = 300

// MountMaintenance mounts m's routes. Every user may look; what is changed is
// changed by operators.
func (s *Server) MountMaintenance(m Maintenance, operator func(Peer) bool) {
	as := func(r *http.Request, op string) (Peer, error) {
		peer, ok := PeerOf(r.Context())
		if !ok {
			return peer, fault.New(fault.Internal, "find out", "who asks", "the request came past the door")
		}
		if !operator(peer) {
			return peer, &fault.Error{Kind: fault.Permission, Op: op, Path: "endpoints", Err: errors.New(peer.Name() + " is no operator"),
				Hint: "api.operators in the daemon's configuration lists them"}
		}
		return peer, nil
	}
	s.Route("POST "+pathDrains, func(r *http.Request) (any, error) {
		peer, err := as(r, "drain")
		if err != nil {
			return nil, err
		}
		var req drainRequest
		if err := ReadJSON(r, &req); err != nil {
			return nil, err
		}
		if req.Name == "" || len(req.Reason) > maxReason {
			return nil, fault.New(fault.Invalid, "drain", req.Name, "a name is wanted, and a reason that is not too long")
		}
		d, err := m.Drain(r.Context(), endpoints.Drain{Name: req.Name, By: peer.Name(), Reason: req.Reason})
		if err == nil {
			s.config.Logger.Info("drained", "name", d.Name, "by", peer.Name(), "reason", req.Reason)
		}
		return d, err
	})
	s.Route("DELETE "+pathDrains, func(r *http.Request) (any, error) {
		peer, err := as(r, "undrain")
		if err != nil {
			return nil, err
		}
		name := r.URL.Query().Get("name")
		if err := m.Undrain(r.Context(), name); err != nil {
			return nil, err
		}
		s.config.Logger.Info("taken back into use", "name", name, "by", peer.Name())
		return nil, nil
	})
	s.Route("GET "+pathCondition, func(r *http.Request) (any, error) {
		if _, err := ownerOf(r, ""); err != nil {
			return nil, err
		}
		c, err := m.Condition(r.Context())
		return endpoints.Condition{Drains: notNil(c.Drains), Down: notNil(c.Down)}, err
	})
}

// MaintenanceClient is transfer.Maintenance at the other end of a client.
type MaintenanceClient struct{ Client *Client }

var _ transfer.Maintenance = MaintenanceClient{}

// Drain implements transfer.Maintenance.
func (c MaintenanceClient) Drain(ctx context.Context, name, reason string) (d endpoints.Drain, err error) {
	err = c.Client.Do(ctx, http.MethodPost, pathDrains, drainRequest{name, reason}, &d)
	return d, err
}

// Undrain implements transfer.Maintenance.
func (c MaintenanceClient) Undrain(ctx context.Context, name string) error {
	return c.Client.Do(ctx, http.MethodDelete, pathDrains+"?"+url.Values{"name": {name}}.Encode(), nil, nil)
}

// Condition implements transfer.Maintenance.
func (c MaintenanceClient) Condition(ctx context.Context) (found endpoints.Condition, err error) {
	err = c.Client.Do(ctx, http.MethodGet, pathCondition, nil, &found)
	return found, err
}
