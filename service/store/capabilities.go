package store

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"time"

	"github.com/gridferry/gridferry/endpoints"
	"github.com/gridferry/gridferry/fault"
)

// Capabilities returns what was learned of an endpoint, and false when
// nothing was or it is too old.
func (s *Store) Capabilities(ctx context.Context, endpoint string) (endpoints.Caps, bool, error) {
	const op = "look up capabilities of"
	var data []byte
	err := s.view(ctx, op, endpoint, func(ctx context.Context, c conn) error {
		now, err := c.now(ctx)
		if err != nil {
			return err
		}
		err = c.row(ctx, []any{&data}, `SELECT caps FROM capabilities WHERE endpoint = ? AND expires > ?`, endpoint, now.UnixMicro())
		if errors.Is(err, sql.ErrNoRows) {
			return nil
		}
		return err
	})
	if err != nil || data == nil {
		return endpoints.Caps{}, false, err
	}
	var caps endpoints.Caps
	if err := json.Unmarshal(data, &caps); err != nil {
		return endpoints.Caps{}, false, fault.Wrap(fault.Internal, op, endpoint, err)
	}
	return caps, true, nil
}

// PutCapabilities keeps what was learned of an endpoint for a while.
func (s *Store) PutCapabilities(ctx context.Context, endpoint string, caps endpoints.Caps, ttl time.Duration) error {
	const op = "record capabilities of"
	data, err := json.Marshal(caps)
	if err != nil {
		return fault.Wrap(fault.Internal, op, endpoint, err)
	}
	return s.update(ctx, op, endpoint, func(ctx context.Context, c conn) error {
		now, err := c.now(ctx)
		if err != nil {
			return err
		}
		_, err = c.exec(ctx, `INSERT INTO capabilities (endpoint, caps, expires) VALUES (?, ?, ?)
			ON CONFLICT (endpoint) DO UPDATE SET caps = excluded.caps, expires = excluded.expires`,
			endpoint, data, now.Add(ttl).UnixMicro())
		return err
	})
}
