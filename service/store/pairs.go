package store

import (
	"context"
	"encoding/json"
	"time"

	"github.com/gridferry/gridferry/transfer"
)

// Known implements activities.Pairs.
func (s *Store) Known(ctx context.Context, source, destination string) (known []transfer.Known, err error) {
	err = s.view(ctx, "look up what worked between", source+" and "+destination, func(ctx context.Context, c conn) error {
		known = nil
		now, err := c.now(ctx)
		if err != nil {
			return err
		}
		return c.rows(ctx, func(scan func(...any) error) error {
			var text string
			var k transfer.Known
			if err := scan(&text); err != nil {
				return err
			}
			if json.Unmarshal([]byte(text), &k) == nil { // of another release, perhaps: it is only a hint
				known = append(known, k)
			}
			return nil
		}, `SELECT known FROM pairs WHERE source = ? AND destination = ? AND expires > ? ORDER BY grain`, source, destination, now.UnixMicro())
	})
	return known, err
}

// PutKnown implements activities.Pairs.
func (s *Store) PutKnown(ctx context.Context, source, destination string, k transfer.Known, keep time.Duration) error {
	return s.update(ctx, "record what worked between", source+" and "+destination, func(ctx context.Context, c conn) error {
		now, err := c.now(ctx)
		if err != nil {
			return err
		}
		text, err := json.Marshal(k)
		if err != nil {
			return err
		}
		_, err = c.exec(ctx, `INSERT INTO pairs (source, destination, grain, known, expires) VALUES (?, ?, ?, ?, ?)
			ON CONFLICT (source, destination, grain) DO UPDATE SET known = excluded.known, expires = excluded.expires`,
			source, destination, string(k.Grain), string(text), now.Add(keep).UnixMicro())
		return err
	})
}
