package api_test

import (
	"context"
	"net/http"
	"os/user"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/gridferry/gridferry/fault"
	"github.com/gridferry/gridferry/gateway/api"
	"github.com/gridferry/gridferry/transfer"
)

// heard is transfer.Credentials that writes down how it was asked.
type heard struct{ what []any }

func (h *heard) AddIdentity(_ context.Context, id transfer.Identity) (transfer.Identity, error) {
	h.what = []any{"add", id}
	id.ID = "7"
	return id, nil
}

func (h *heard) Identities(_ context.Context, owner string) ([]transfer.Identity, error) {
	h.what = []any{"identities", owner}
	return nil, nil
}

func (h *heard) RemoveIdentity(_ context.Context, owner, id string) error {
	h.what = []any{"remove", owner, id}
	return fault.New(fault.NotFound, "remove identity", id, "there is none")
}

func (h *heard) Activate(_ context.Context, req transfer.ActivateRequest) (transfer.Activation, error) {
	h.what = []any{"activate", req}
	return transfer.Activation{Owner: req.Owner, Domain: "d", Fingerprint: "f", Expires: time.Unix(1e9, 0).UTC()}, nil
}

func (h *heard) Delegate(_ context.Context, owner, endpoint string) (transfer.Delegation, error) {
	h.what = []any{"delegate", owner, endpoint}
	return transfer.Delegation{ID: "i", Request: []byte("csr")}, nil
}

func (h *heard) Deactivate(_ context.Context, owner, endpoint string) error {
	h.what = []any{"deactivate", owner, endpoint}
	return nil
}

func (h *heard) Activations(_ context.Context, owner, endpoint string) ([]transfer.Activation, error) {
	h.what = []any{"activations", owner, endpoint}
	return []transfer.Activation{{Owner: owner, Domain: "d"}}, nil
}

// TestCredentialsGoThroughTheDoor asks everything through server and client;
// the owner is whoever is at the socket.
func TestCredentialsGoThroughTheDoor(t *testing.T) {
	me, err := user.Current()
	if err != nil {
		t.Skip("needs a user with a name:", err)
	}
	s := newSite(t)
	h := &heard{}
	server := api.New(s.config)
	server.MountCredentials(h)
	if err := server.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	defer server.Close(t.Context())
	c := api.Credentials{Client: s.local(t)}
	ctx := t.Context()

	logon := &transfer.MyProxyLogon{User: "adal", Passphrase: "p", Lifetime: transfer.Duration(time.Hour)}
	signed := &transfer.Delegated{ID: "i", Chain: []byte("pem")}
	for _, tc := range []struct {
		name string
		ask  func() (any, error)
		want []any
		gets any
		kind fault.Kind
	}{
		{"add", func() (any, error) {
			return c.AddIdentity(ctx, transfer.Identity{Kind: transfer.IdentitySSH, Name: "SHA256:x"})
		}, []any{"add", transfer.Identity{Owner: me.Username, Kind: transfer.IdentitySSH, Name: "SHA256:x"}},
			transfer.Identity{ID: "7", Owner: me.Username, Kind: transfer.IdentitySSH, Name: "SHA256:x"}, ""},
		{"identities", func() (any, error) { return c.Identities(ctx, me.Username) }, []any{"identities", me.Username}, []transfer.Identity{}, ""},
		{"remove", func() (any, error) { return nil, c.RemoveIdentity(ctx, "", "a/b") }, []any{"remove", me.Username, "a/b"}, nil, fault.NotFound},
		{"proxy", func() (any, error) {
			return c.Activate(ctx, transfer.ActivateRequest{Endpoint: "lab#dtn", Proxy: []byte("pem\x00")})
		}, []any{"activate", transfer.ActivateRequest{Owner: me.Username, Endpoint: "lab#dtn", Proxy: []byte("pem\x00")}},
			transfer.Activation{Owner: me.Username, Domain: "d", Fingerprint: "f", Expires: time.Unix(1e9, 0).UTC()}, ""},
		{"myproxy", func() (any, error) {
			_, err := c.Activate(ctx, transfer.ActivateRequest{Endpoint: "e", MyProxy: logon})
			return nil, err
		}, []any{"activate", transfer.ActivateRequest{Owner: me.Username, Endpoint: "e", MyProxy: logon}}, nil, ""},
		{"signed", func() (any, error) {
			_, err := c.Activate(ctx, transfer.ActivateRequest{Endpoint: "e", Signed: signed})
			return nil, err
		}, []any{"activate", transfer.ActivateRequest{Owner: me.Username, Endpoint: "e", Signed: signed}}, nil, ""},
		{"delegate", func() (any, error) { return c.Delegate(ctx, "", "gsiftp://h:2811") }, []any{"delegate", me.Username, "gsiftp://h:2811"}, transfer.Delegation{ID: "i", Request: []byte("csr")}, ""},
		{"deactivate", func() (any, error) { return nil, c.Deactivate(ctx, "", "lab#dtn") }, []any{"deactivate", me.Username, "lab#dtn"}, nil, ""},
		{"activations", func() (any, error) { return c.Activations(ctx, "", "") }, []any{"activations", me.Username, ""}, []transfer.Activation{{Owner: me.Username, Domain: "d"}}, ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			h.what = nil
			got, err := tc.ask()
			if fault.KindOf(err) != tc.kind {
				t.Errorf("error %v, want kind %q", err, tc.kind)
			}
			if !reflect.DeepEqual(h.what, tc.want) {
				t.Errorf("heard %+v\nwant  %+v", h.what, tc.want)
			}
			if tc.gets != nil && !reflect.DeepEqual(got, tc.gets) {
				t.Errorf("got  %+v\nwant %+v", got, tc.gets)
			}
		})
	}

	for name, err := range map[string]error{
		"identities": second(c.Identities(ctx, "eve")), "activations": second(c.Activations(ctx, "eve", "")), "deactivate": c.Deactivate(ctx, "eve", "x"),
		"remove": c.RemoveIdentity(ctx, "eve", "1"), "delegate": second(c.Delegate(ctx, "eve", "x")),
		"activate": second(c.Activate(ctx, transfer.ActivateRequest{Owner: "eve", Endpoint: "x"})), "add": second(c.AddIdentity(ctx, transfer.Identity{Owner: "eve"})),
	} {
		if !fault.Is(err, fault.Permission) {
			t.Errorf("%s for another: %v", name, err)
		}
	}
}

func second[T any](_ T, err error) error { return err }

// TestBodiesAreStrict sends what no client of ours sends.
func TestBodiesAreStrict(t *testing.T) {
	s := newSite(t)
	h := &heard{}
	server := api.New(s.config)
	server.MountCredentials(h)
	if err := server.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	defer server.Close(t.Context())
	c := s.local(t)
	for name, tc := range map[string]struct{ kind, body string }{
		"no type":       {"", `{"endpoint":"x"}`},
		"a page's form": {"text/plain", `{"endpoint":"x"}`},
		"unknown field": {"application/json", `{"endpoint":"x","passphrase":"hunter2"}`},
		"wrong type":    {"application/json", `{"endpoint":{"hunter2":1}}`},
		"not JSON":      {"application/json", `hunter2`},
		"two":           {"application/json", `{"endpoint":"x"}{"endpoint":"hunter2"}`},
		"too large":     {"application/json", `{"endpoint":"` + strings.Repeat("x", 5<<20) + `"}`},
		"nothing":       {"application/json", ``},
	} {
		resp, err := c.Send(t.Context(), http.MethodPost, "/v1/delegations", strings.NewReader(tc.body), tc.kind)
		if err == nil {
			resp.Body.Close()
		}
		if !fault.Is(err, fault.Invalid) || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%s: %v", name, err)
		}
	}
	if h.what != nil {
		t.Errorf("it was passed on: %v", h.what)
	}
}

func FuzzReadJSON(f *testing.F) {
	f.Add(`{"owner":"ada","endpoint":"lab#dtn","myproxy":{"user":"a","passphrase":"b","lifetime":"12h"}}`)
	f.Add(`{"endpoint":"x","signed":{"id":"i","chain":"cGVt"}}`)
	f.Add(`{"proxy":"!"}`)
	f.Fuzz(func(t *testing.T, body string) {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://x/", strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Content-Type", "application/json")
		var req transfer.ActivateRequest
		if err := api.ReadJSON(r, &req); err != nil && !fault.Is(err, fault.Invalid) {
			t.Errorf("%v", err)
		}
	})
}
