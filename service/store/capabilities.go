package store

import (
	"context"
	"database/sql"
	"errors"
	"time"
)

// Apart implements activities.Capabilities.
func (s *Store) Apart(ctx context.Context, source, destination string) (reason string, err error) {
	err = s.view(ctx, "look up what is known of", source+" and "+destination, func(ctx context.Context, c conn) error {
		now, err := c.now(ctx)
		if err != nil {
			return err
		}
		err = c.row(ctx, []any{&reason}, `SELECT apart FROM capabilities WHERE source = ? AND destination = ? AND expires > ?`,
			source, destination, now.UnixMicro())
		if errors.Is(err, sql.ErrNoRows) {
			return nil
		}
		return err
	})
	return reason, err
}

// PutApart implements activities.Capabilities.
func (s *Store) PutApart(ctx context.Context, source, destination, reason string, keep time.Duration) error {
	return s.update(ctx, "record what is known of", source+" and "+destination, func(ctx context.Context, c conn) error {
		now, err := c.now(ctx)
		if err != nil {
			return err
		}
		_, err = c.exec(ctx, `INSERT INTO capabilities (source, destination, apart, expires) VALUES (?, ?, ?, ?)
			ON CONFLICT (source, destination) DO UPDATE SET apart = excluded.apart, expires = excluded.expires`,
			source, destination, reason, now.Add(keep).UnixMicro())
		return err
	})
}
