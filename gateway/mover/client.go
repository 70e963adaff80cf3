package mover

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"sync"
	"time"

	"github.com/gridferry/gridferry/activities"
	"github.com/gridferry/gridferry/endpoints"
	"github.com/gridferry/gridferry/fault"
	"github.com/gridferry/gridferry/gateway/api"
	"github.com/gridferry/gridferry/transfer"
)

// Sender sends requests to the service, as api.Client does: a reply that is not
// a success is an error of its kind.
type Sender interface {
	Send(ctx context.Context, method, path string, body io.Reader, contentType string) (*http.Response, error)
}

var _ Sender = (*api.Client)(nil)

// Client is a worker's side of the door. It is safe for many goroutines. What
// the service or the way there refuses for a moment it tries again for some
// seconds: a daemon that restarts is not worth a fault.
type Client struct {
	service Sender
	task    transfer.TaskID

	mu      sync.Mutex
	proxies map[proxyKey]*proxy
}

// NewClient returns a client of a service. A worker for one task of its user
// names its workflow's id; for a mover it is empty.
func NewClient(service Sender, task transfer.TaskID) *Client {
	return &Client{service: service, task: task, proxies: map[proxyKey]*proxy{}}
}

// patience is how long a request is tried again.
const patience = 15 * time.Second

// request is one exchange, which may be tried several times: all of them may
// be done twice.
type request struct {
	op, what     string // for messages: "store blob", its key
	method, path string
	query        url.Values
	task         transfer.TaskID
	body         []byte
	json         any   // what the body is instead
	most         int64 // bytes of the reply; 0 is maxReply
}

// do returns the body of the reply.
func (c *Client) do(ctx context.Context, q request) ([]byte, error) {
	kind := "application/octet-stream"
	if q.json != nil {
		var err error
		if q.body, err = json.Marshal(q.json); err != nil {
			return nil, fault.Wrap(fault.Internal, q.op, q.what, err)
		}
		kind = "application/json"
	}
	if q.query == nil {
		q.query = url.Values{}
	}
	if q.task == "" {
		q.task = c.task
	}
	if q.task != "" {
		q.query.Set("task", string(q.task))
	}
	if q.most == 0 {
		q.most = maxReply
	}
	begun, delay := time.Now(), 50*time.Millisecond
	for {
		reply, err := c.once(ctx, q, kind)
		switch {
		case err == nil:
			return reply, nil
		case ctx.Err() != nil:
			return nil, fault.Wrap(fault.KindOf(ctx.Err()), q.op, q.what, ctx.Err())
		case !fault.Is(err, fault.Transient) || time.Since(begun)+delay > patience:
			return nil, err
		}
		select {
		case <-ctx.Done():
		case <-time.After(delay):
		}
		delay = min(2*delay, 2*time.Second)
	}
}

func (c *Client) once(ctx context.Context, q request, kind string) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, timeFor(max(int64(len(q.body)), q.most)))
	defer cancel()
	var body io.Reader
	if q.method != http.MethodGet {
		body = bytes.NewReader(q.body)
	}
	resp, err := c.service.Send(ctx, q.method, q.path+"?"+q.query.Encode(), body, kind)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	reply, err := io.ReadAll(io.LimitReader(resp.Body, q.most+1))
	switch {
	case err != nil:
		return nil, fault.Wrap(fault.Transient, q.op, q.what, err)
	case int64(len(reply)) > q.most:
		return nil, fault.New(fault.Internal, q.op, q.what, fmt.Sprintf("the service replied with more than %d bytes", q.most))
	}
	return reply, nil
}

// ask is do for a reply in JSON.
func ask[T any](ctx context.Context, c *Client, q request) (T, error) {
	var v T
	reply, err := c.do(ctx, q)
	if err == nil {
		err = fault.Wrap(fault.Internal, q.op, q.what, json.Unmarshal(reply, &v))
	}
	return v, err
}

// ID returns the id of the blob store behind the service; it is also the way
// to find out whether the service is there and lets this worker in.
func (c *Client) ID(ctx context.Context) (string, error) {
	reply, err := ask[storeReply](ctx, c, request{op: "identify", what: "the blob store", method: http.MethodGet, path: pathStore})
	return reply.ID, err
}

// Acquire implements activities.Leases.
func (c *Client) Acquire(ctx context.Context, want activities.LeaseRequest) (activities.Lease, error) {
	return ask[activities.Lease](ctx, c, request{op: "lease", what: string(want.Task) + " " + want.Chunk, method: http.MethodPost, path: pathAcquire, json: want})
}

// Renew implements activities.Leases.
func (c *Client) Renew(ctx context.Context, l activities.Lease) error {
	return c.lease(ctx, "renew lease", pathRenew, l)
}

// Release implements activities.Leases.
func (c *Client) Release(ctx context.Context, l activities.Lease) error {
	return c.lease(ctx, "release lease", pathRelease, l)
}

func (c *Client) lease(ctx context.Context, op, path string, l activities.Lease) error {
	_, err := c.do(ctx, request{op: op, what: string(l.Task) + " " + l.Chunk, method: http.MethodPost, path: path, json: l})
	return err
}

// Resolve returns the record of an endpoint that the site knows by name.
func (c *Client) Resolve(ctx context.Context, endpoint string) (endpoints.Record, error) {
	return ask[endpoints.Record](ctx, c, request{op: "find endpoint", what: endpoint, method: http.MethodGet, path: pathEndpoint, query: url.Values{"name": {endpoint}}})
}
