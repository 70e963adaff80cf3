package mover

import (
	"context"
	"fmt"
	"maps"
	"net/http"
	"time"

	"go.temporal.io/sdk/activity"

	"github.com/gridferry/gridferry/fault"
	"github.com/gridferry/gridferry/gateway/api"
	"github.com/gridferry/gridferry/transfer"
	"github.com/gridferry/gridferry/wire/gsi"
)

// credential signs a proxy of the credential that the task's owner has
// activated for one of its ends.
func (h *Handler) credential(_ http.ResponseWriter, r *http.Request, who reach) (any, error) {
	const op = "delegate a credential for"
	var q credentialRequest
	if err := api.ReadJSON(r, &q); err != nil {
		return nil, err
	}
	switch {
	case who.id == "":
		return nil, fault.New(fault.Invalid, op, "task", "the request names no task")
	case q.Owner != who.task.Owner:
		return nil, fault.New(fault.Permission, op, q.Domain, "task "+string(who.id)+" is not "+q.Owner+"'s")
	case !h.goesTo(r.Context(), who.task, q.Domain):
		return nil, fault.New(fault.Permission, op, q.Domain, "task "+string(who.id)+" has no end there")
	case h.Vault == nil:
		return nil, fault.New(fault.NotFound, op, q.Domain, "there is none")
	}
	activation, pem, err := h.Vault.Open(r.Context(), q.Owner, q.Domain)
	if err != nil || q.Request == nil {
		return credentialReply{Activation: activation}, err
	}
	c, err := gsi.ParseCredential(pem)
	if err != nil {
		return nil, fault.Wrap(fault.Internal, op, q.Domain, err)
	}
	leaf, err := c.SignProxy(q.Request, gsi.ProxyOptions{Lifetime: h.Lifetime})
	if err != nil {
		return nil, fault.Wrap(fault.Invalid, op, q.Domain, err)
	}
	reply := credentialReply{Activation: activation, Chain: [][]byte{leaf}}
	for _, cert := range c.Chain {
		reply.Chain = append(reply.Chain, cert.Raw)
	}
	peer, _ := api.PeerOf(r.Context())
	h.Logger.Info("a proxy was delegated", "task", who.id, "owner", q.Owner, "domain", q.Domain, "to", peer.Name(), "of", activation.Fingerprint)
	return reply, nil
}

// goesTo says whether an end of the task is of a security domain.
func (h *Handler) goesTo(ctx context.Context, t Task, domain string) bool {
	for _, e := range t.Endpoints {
		if rec, err := h.Endpoints.Resolve(ctx, e); err == nil && rec.SecurityDomain() == domain {
			return true
		}
	}
	return false
}

type proxyKey struct {
	task          transfer.TaskID
	owner, domain string
}

// proxy is one that the service signed, with the key that was made for it.
type proxy struct {
	lock chan struct{} // holds one token; a request may take long, and whoever waits may give up

	activation transfer.Activation
	pem        []byte
	begun, end time.Time
	looked     time.Time // when the service last said that the activation stands
	used       time.Time
}

const (
	// lookEvery is how long it is believed that an activation stands.
	lookEvery = 30 * time.Second
	// ending is what a proxy has left when it is not believed any more without
	// a look: with so little left tasks begin nothing, and wait for the
	// activation of another, which must not be missed.
	ending = 2 * time.Minute
	// mostProxies are kept, those longest unused go first; and those that no
	// task has opened anything with for proxyIdle, at the latest with the next
	// one that is made: their tasks have most likely ended.
	mostProxies = 1000
	proxyIdle   = 30 * time.Minute
)

// Open implements Vault: it returns a proxy of the credential that the owner
// has activated, made for the task that the activity of ctx belongs to and
// whose key never left this process. The same is returned again while the
// activation stands and more than half of the proxy's life is left, so that
// sessions can be shared.
func (c *Client) Open(ctx context.Context, owner, domain string) (transfer.Activation, []byte, error) {
	const op = "get a credential for"
	task := c.task
	if task == "" && activity.IsActivity(ctx) {
		task = transfer.TaskID(activity.GetInfo(ctx).WorkflowExecution.ID)
	}
	if task == "" {
		return transfer.Activation{}, nil, fault.New(fault.Internal, op, domain, "it is for no task")
	}
	p := c.proxy(proxyKey{task, owner, domain})
	select {
	case <-p.lock:
		defer func() { p.lock <- struct{}{} }()
	case <-ctx.Done():
		return transfer.Activation{}, nil, fault.Wrap(fault.KindOf(ctx.Err()), op, domain, ctx.Err())
	}
	q := credentialRequest{Owner: owner, Domain: domain}
	now := time.Now()
	if fresh := now.Before(p.begun.Add(p.end.Sub(p.begun) / 2)); fresh {
		if now.Sub(p.looked) < lookEvery && p.end.Sub(now) > ending {
			return p.activation, p.pem, nil
		}
		reply, err := c.delegate(ctx, task, q)
		if err != nil {
			return transfer.Activation{}, nil, err
		}
		if reply.Activation.Fingerprint == p.activation.Fingerprint {
			p.looked = now
			return p.activation, p.pem, nil
		}
	}
	key, err := gsi.NewProxyRequest(0)
	if err != nil {
		return transfer.Activation{}, nil, fault.Wrap(fault.Internal, op, domain, err)
	}
	q.Request = key.CSR()
	reply, err := c.delegate(ctx, task, q)
	if err != nil {
		return transfer.Activation{}, nil, err
	}
	made, err := key.Complete(reply.Chain...)
	if err != nil {
		return transfer.Activation{}, nil, fault.Wrap(fault.Internal, op, domain, fmt.Errorf("the service's answer: %w", err))
	}
	pem, err := made.EncodePEM()
	if err != nil {
		return transfer.Activation{}, nil, fault.Wrap(fault.Internal, op, domain, err)
	}
	p.activation, p.pem, p.begun, p.end, p.looked = reply.Activation, pem, now, made.NotAfter(), now
	return p.activation, p.pem, nil
}

func (c *Client) delegate(ctx context.Context, task transfer.TaskID, q credentialRequest) (credentialReply, error) {
	return ask[credentialReply](ctx, c, request{
		op: "get a credential for", what: q.Domain, method: http.MethodPost, path: pathCredential, task: task, json: q,
	})
}

// proxy finds or makes the place of a proxy.
func (c *Client) proxy(key proxyKey) *proxy {
	c.mu.Lock()
	defer c.mu.Unlock()
	p, ok := c.proxies[key]
	if !ok {
		maps.DeleteFunc(c.proxies, func(_ proxyKey, p *proxy) bool { return time.Since(p.used) > proxyIdle })
		if len(c.proxies) >= mostProxies {
			var oldest proxyKey
			for k, p := range c.proxies {
				if o, ok := c.proxies[oldest]; !ok || p.used.Before(o.used) {
					oldest = k
				}
			}
			delete(c.proxies, oldest)
		}
		p = &proxy{lock: make(chan struct{}, 1)}
		p.lock <- struct{}{}
		c.proxies[key] = p
	}
	p.used = time.Now()
	return p
}
