package mover

import (
	"context"
	"net/http"
	"net/url"
	"strconv"

	"github.com/gridferry/gridferry/blob"
	"github.com/gridferry/gridferry/fault"
)

var _ blob.Store = (*Client)(nil)

// Put implements blob.Store. A blob of more than MaxBlob bytes is Internal: a task
// that waited for room would wait for ever.
func (c *Client) Put(ctx context.Context, key string, data []byte) error {
	const op = "store blob"
	if len(data) > MaxBlob {
		return fault.New(fault.Internal, op, key, "it is larger than "+strconv.Itoa(MaxBlob)+" bytes")
	}
	_, err := c.do(ctx, request{op: op, what: key, method: http.MethodPut, path: pathBlob, query: url.Values{"key": {key}}, body: data})
	if fault.Is(err, fault.NoSpace) {
		return blob.Full(op, key, err)
	}
	return err
}

// Get implements blob.Store.
func (c *Client) Get(ctx context.Context, key string) ([]byte, error) {
	return c.do(ctx, request{op: "load blob", what: key, method: http.MethodGet, path: pathBlob, query: url.Values{"key": {key}}, most: MaxBlob})
}

// List implements blob.Store. It sees each page as it is when it is asked for.
func (c *Client) List(ctx context.Context, prefix string, fn func(key string) error) error {
	after := ""
	for {
		page, err := ask[keysMessage](ctx, c, request{
			op: "list blobs", what: prefix, method: http.MethodGet, path: pathBlobs, query: url.Values{"prefix": {prefix}, "after": {after}},
		})
		if err != nil {
			return err
		}
		for _, key := range page.Keys {
			if err := fn(key); err != nil {
				return err
			}
		}
		if !page.Next || len(page.Keys) == 0 {
			return nil
		}
		after = page.Keys[len(page.Keys)-1]
	}
}

// Delete implements blob.Store.
func (c *Client) Delete(ctx context.Context, keys ...string) error {
	for len(keys) > 0 {
		n := min(len(keys), keysAtOnce)
		if _, err := c.do(ctx, request{op: "delete blob", what: keys[0], method: http.MethodPost, path: pathDelete, json: keysMessage{Keys: keys[:n]}}); err != nil {
			return err
		}
		keys = keys[n:]
	}
	return nil
}
