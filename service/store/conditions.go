package store

import (
	"context"
	"time"

	"github.com/gridferry/gridferry/endpoints"
	"github.com/gridferry/gridferry/fault"
)

// Condition implements endpoints.Conditions.
func (s *Store) Condition(ctx context.Context) (endpoints.Condition, error) {
	var found endpoints.Condition
	err := s.view(ctx, "look up", "the condition of servers", func(ctx context.Context, c conn) error {
		now, err := c.now(ctx)
		if err != nil {
			return err
		}
		err = c.rows(ctx, func(scan func(...any) error) error {
			var d endpoints.Drain
			var since int64
			err := scan(&d.Name, &d.By, &d.Reason, &since)
			d.Since = time.UnixMicro(since).UTC()
			found.Drains = append(found.Drains, d)
			return err
		}, `SELECT name, by_who, reason, since FROM drains ORDER BY name`)
		if err != nil {
			return err
		}
		return c.rows(ctx, func(scan func(...any) error) error {
			var d endpoints.Down
			var since int64
			err := scan(&d.Server, &d.By, &d.Why, &since)
			d.Since = time.UnixMicro(since).UTC()
			found.Down = append(found.Down, d)
			return err
		}, `SELECT server, by_who, why, since FROM down WHERE expires > ? ORDER BY server, since`, now.UnixMicro())
	})
	return found, err
}

// PutDown implements endpoints.Conditions. Since is kept from the first time.
func (s *Store) PutDown(ctx context.Context, d endpoints.Down, keep time.Duration) error {
	return s.update(ctx, "record the condition of", d.Server, func(ctx context.Context, c conn) error {
		now, err := c.now(ctx)
		if err != nil {
			return err
		}
		if d.Why == "" {
			_, err = c.exec(ctx, `DELETE FROM down WHERE server = ? AND by_who = ?`, d.Server, d.By)
			return err
		}
		_, err = c.exec(ctx, `INSERT INTO down (server, by_who, why, since, expires) VALUES (?, ?, ?, ?, ?)
			ON CONFLICT (server, by_who) DO UPDATE SET why = excluded.why, expires = excluded.expires`,
			d.Server, d.By, d.Why, d.Since.UnixMicro(), now.Add(keep).UnixMicro())
		return err
	})
}

// PutDrain takes an endpoint or a server out of use. One that is drained
// already keeps since when; who and why are the new ones.
func (s *Store) PutDrain(ctx context.Context, d endpoints.Drain) error {
	return s.update(ctx, "drain", d.Name, func(ctx context.Context, c conn) error {
		now, err := c.now(ctx)
		if err != nil {
			return err
		}
		_, err = c.exec(ctx, `INSERT INTO drains (name, by_who, reason, since) VALUES (?, ?, ?, ?)
			ON CONFLICT (name) DO UPDATE SET by_who = excluded.by_who, reason = excluded.reason`,
			d.Name, d.By, d.Reason, now.UnixMicro())
		return err
	})
}

// DeleteDrain takes it back into use. NotFound when it was not drained.
func (s *Store) DeleteDrain(ctx context.Context, name string) error {
	return s.update(ctx, "undrain", name, func(ctx context.Context, c conn) error {
		n, err := c.exec(ctx, `DELETE FROM drains WHERE name = ?`, name)
		if err == nil && n == 0 {
			err = fault.New(fault.NotFound, "undrain", name, "it is not drained")
		}
		return err
	})
}

// Take implements endpoints.Rations, by the store's clock.
func (s *Store) Take(ctx context.Context, d endpoints.Draw) (wait time.Duration, err error) {
	const op = "draw"
	what := string(d.What) + " of " + d.Endpoint
	if d.N <= 0 || d.PerSec <= 0 || d.Burst < 0 {
		return 0, fault.New(fault.Invalid, op, what, "it is of nothing, or without a limit")
	}
	err = s.update(ctx, op, what, func(ctx context.Context, c conn) error {
		now, err := c.now(ctx)
		if err != nil {
			return err
		}
		var kept int64
		err = c.rows(ctx, func(scan func(...any) error) error { return scan(&kept) },
			`SELECT until FROM rations WHERE endpoint = ? AND what = ?`, d.Endpoint, d.What)
		if err != nil {
			return err
		}
		use, after := d.Next(time.UnixMicro(kept), now)
		if wait = max(0, use.Sub(now)); wait > d.Patience {
			return fault.New(fault.Busy, op, what, "all that is allowed for the next "+d.Patience.String()+" is spoken for")
		}
		_, err = c.exec(ctx, `INSERT INTO rations (endpoint, what, until) VALUES (?, ?, ?)
			ON CONFLICT (endpoint, what) DO UPDATE SET until = excluded.until`, d.Endpoint, d.What, after.UnixMicro())
		return err
	})
	if err != nil {
		return 0, err
	}
	return wait, nil
}
