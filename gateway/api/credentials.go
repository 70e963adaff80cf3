package api

import (
	"context"
	"net/http"
	"net/url"

	"github.com/gridferry/gridferry/fault"
	"github.com/gridferry/gridferry/transfer"
)

// The paths of transfer.Credentials. They are never changed, since commands
// and daemons are not renewed together.
const (
	pathIdentities  = "/v1/identities"
	pathActivations = "/v1/activations"
	pathDelegations = "/v1/delegations"
)

// delegateRequest asks for a delegation.
type delegateRequest struct {
	Owner    string `json:"owner,omitempty"`
	Endpoint string `json:"endpoint"`
}

// MountCredentials mounts c's routes. Owners are the peers: a request that
// names another is refused.
func (s *Server) MountCredentials(c transfer.Credentials) {
	// as is a route with the owner that the request names, or the peer.
	as := func(pattern string, named func(*http.Request) string, do func(ctx context.Context, owner string, r *http.Request) (any, error)) {
		s.Route(pattern, func(r *http.Request) (any, error) {
			owner, err := ownerOf(r, named(r))
			if err != nil {
				return nil, err
			}
			return do(r.Context(), owner, r)
		})
	}
	inQuery := func(r *http.Request) string { return r.URL.Query().Get("owner") }
	endpoint := func(r *http.Request) string { return r.URL.Query().Get("endpoint") }

	as("GET "+pathIdentities, inQuery, func(ctx context.Context, owner string, _ *http.Request) (any, error) {
		found, err := c.Identities(ctx, owner)
		return notNil(found), err
	})
	as("DELETE "+pathIdentities+"/{id}", inQuery, func(ctx context.Context, owner string, r *http.Request) (any, error) {
		return nil, c.RemoveIdentity(ctx, owner, r.PathValue("id"))
	})
	as("GET "+pathActivations, inQuery, func(ctx context.Context, owner string, r *http.Request) (any, error) {
		found, err := c.Activations(ctx, owner, endpoint(r))
		return notNil(found), err
	})
	as("DELETE "+pathActivations, inQuery, func(ctx context.Context, owner string, r *http.Request) (any, error) {
		if endpoint(r) == "" {
			return nil, fault.New(fault.Invalid, "deactivate", "endpoint", "it is not said which")
		}
		return nil, c.Deactivate(ctx, owner, endpoint(r))
	})
	s.Route("POST "+pathIdentities, func(r *http.Request) (any, error) {
		var id transfer.Identity
		return owned(r, &id, &id.Owner, func(ctx context.Context) (any, error) { return c.AddIdentity(ctx, id) })
	})
	s.Route("POST "+pathActivations, func(r *http.Request) (any, error) {
		var req transfer.ActivateRequest
		return owned(r, &req, &req.Owner, func(ctx context.Context) (any, error) { return c.Activate(ctx, req) })
	})
	s.Route("POST "+pathDelegations, func(r *http.Request) (any, error) {
		var req delegateRequest
		return owned(r, &req, &req.Owner, func(ctx context.Context) (any, error) { return c.Delegate(ctx, req.Owner, req.Endpoint) })
	})
}

// owned reads a body that may name its owner, and makes it the peer's.
func owned(r *http.Request, body any, owner *string, do func(context.Context) (any, error)) (any, error) {
	if err := ReadJSON(r, body); err != nil {
		return nil, err
	}
	var err error
	if *owner, err = ownerOf(r, *owner); err != nil {
		return nil, err
	}
	return do(r.Context())
}

func ownerOf(r *http.Request, named string) (string, error) {
	peer, ok := PeerOf(r.Context())
	if !ok {
		return "", fault.New(fault.Internal, "find out", "who asks", "the request came past the door")
	}
	return peer.Owner(named)
}

// notNil makes an empty list of none, which is what JSON should say.
func notNil[T any](list []T) []T {
	if list == nil {
		return []T{}
	}
	return list
}

// Credentials is transfer.Credentials at the other end of a client. Owners may
// be left empty: they are whoever the server finds at its end.
type Credentials struct{ Client *Client }

var _ transfer.Credentials = Credentials{}

func query(path, owner, endpoint string) string {
	q := url.Values{}
	if owner != "" {
		q.Set("owner", owner)
	}
	if endpoint != "" {
		q.Set("endpoint", endpoint)
	}
	if len(q) == 0 {
		return path
	}
	return path + "?" + q.Encode()
}

// AddIdentity implements transfer.Credentials.
func (c Credentials) AddIdentity(ctx context.Context, id transfer.Identity) (added transfer.Identity, err error) {
	err = c.Client.Do(ctx, http.MethodPost, pathIdentities, id, &added)
	return added, err
}

// Identities implements transfer.Credentials.
func (c Credentials) Identities(ctx context.Context, owner string) (found []transfer.Identity, err error) {
	err = c.Client.Do(ctx, http.MethodGet, query(pathIdentities, owner, ""), nil, &found)
	return found, err
}

// RemoveIdentity implements transfer.Credentials.
func (c Credentials) RemoveIdentity(ctx context.Context, owner, id string) error {
	return c.Client.Do(ctx, http.MethodDelete, query(pathIdentities+"/"+url.PathEscape(id), owner, ""), nil, nil)
}

// Activate implements transfer.Credentials.
func (c Credentials) Activate(ctx context.Context, req transfer.ActivateRequest) (a transfer.Activation, err error) {
	err = c.Client.Do(ctx, http.MethodPost, pathActivations, req, &a)
	return a, err
}

// Delegate implements transfer.Credentials.
func (c Credentials) Delegate(ctx context.Context, owner, endpoint string) (d transfer.Delegation, err error) {
	err = c.Client.Do(ctx, http.MethodPost, pathDelegations, delegateRequest{owner, endpoint}, &d)
	return d, err
}

// Deactivate implements transfer.Credentials.
func (c Credentials) Deactivate(ctx context.Context, owner, endpoint string) error {
	return c.Client.Do(ctx, http.MethodDelete, query(pathActivations, owner, endpoint), nil, nil)
}

// Activations implements transfer.Credentials.
func (c Credentials) Activations(ctx context.Context, owner, endpoint string) (found []transfer.Activation, err error) {
	err = c.Client.Do(ctx, http.MethodGet, query(pathActivations, owner, endpoint), nil, &found)
	return found, err
}
