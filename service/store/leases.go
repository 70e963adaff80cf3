package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"github.com/gridferry/gridferry/activities"
	"github.com/gridferry/gridferry/fault"
)

// Acquire implements activities.Leases.
func (s *Store) Acquire(ctx context.Context, want activities.LeaseRequest) (activities.Lease, error) {
	const op = "lease"
	what := leaseName(want.Task, want.Chunk)
	if err := checkLease(want); err != nil {
		return activities.Lease{}, err
	}
	l := activities.Lease{Task: want.Task, Chunk: want.Chunk, TTL: want.TTL}
	err := s.update(ctx, op, what, func(ctx context.Context, c conn) error {
		now, err := c.now(ctx)
		if err != nil {
			return err
		}
		begun := int64(0)
		if !want.Begun.IsZero() {
			begun = want.Begun.UnixMicro()
		}
		if err := inTurn(ctx, c, l, begun); err != nil {
			return err
		}
		for _, claim := range want.Sessions {
			if err := room(ctx, c, now, l, claim); err != nil {
				return err
			}
		}
		if err := c.row(ctx, []any{&l.Epoch}, `UPDATE epochs SET last = last + 1 RETURNING last`); err != nil {
			return err
		}
		l.Expires = now.Add(want.TTL).UTC()
		// The sessions of a lease go with its row: of the earlier holder's, and
		// of those whose tasks ended without a word long ago.
		if _, err := c.exec(ctx, `DELETE FROM leases WHERE task = ? AND chunk = ? OR expires < ?`,
			l.Task, l.Chunk, now.Add(-forgotten).UnixMicro()); err != nil {
			return err
		}
		if _, err := c.exec(ctx, `INSERT INTO leases (task, chunk, epoch, begun, holder, expires) VALUES (?, ?, ?, ?, ?, ?)`,
			l.Task, l.Chunk, l.Epoch, begun, want.Holder, l.Expires.UnixMicro()); err != nil {
			return err
		}
		for _, claim := range want.Sessions {
			if _, err := c.exec(ctx, `INSERT INTO sessions (endpoint, task, chunk, sessions, most) VALUES (?, ?, ?, ?, ?)
				ON CONFLICT (endpoint, task, chunk) DO UPDATE SET sessions = sessions.sessions + excluded.sessions`,
				claim.Endpoint, l.Task, l.Chunk, claim.Sessions, claim.Limit); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return activities.Lease{}, err
	}
	return l, nil
}

// forgotten is how long after its end a lease is remembered.
const forgotten = 24 * time.Hour

// inTurn says Canceled when an attempt that began later has had the lease.
func inTurn(ctx context.Context, c conn, l activities.Lease, begun int64) error {
	var last int64
	err := c.row(ctx, []any{&last}, `SELECT begun FROM leases WHERE task = ? AND chunk = ?`, l.Task, l.Chunk)
	if errors.Is(err, sql.ErrNoRows) {
		return nil
	}
	if err == nil && begun < last {
		err = fault.New(fault.Canceled, "lease", leaseName(l.Task, l.Chunk), "an attempt that began later has taken it")
	}
	return err
}

func leaseName[T ~string](task T, chunk string) string { return string(task) + " " + chunk }

func checkLease(want activities.LeaseRequest) error {
	for _, c := range want.Sessions {
		if c.Limit > 0 && c.Sessions > c.Limit {
			return fault.New(fault.Invalid, "lease", leaseName(want.Task, want.Chunk),
				fmt.Sprintf("%d sessions at %s, which allows %d, can never be had", c.Sessions, c.Endpoint, c.Limit))
		}
	}
	if want.TTL <= 0 {
		return fault.New(fault.Invalid, "lease", leaseName(want.Task, want.Chunk), "the time to live is not positive")
	}
	return nil
}

// room says Busy when others than l hold so much of an endpoint that the claim
// does not fit.
func room(ctx context.Context, c conn, now time.Time, l activities.Lease, claim activities.SessionClaim) error {
	if claim.Limit <= 0 {
		return nil
	}
	var taken int
	err := c.row(ctx, []any{&taken}, `SELECT CAST(coalesce(sum(sessions), 0) AS BIGINT) FROM sessions JOIN leases USING (task, chunk)
		WHERE endpoint = ? AND expires > ? AND NOT (task = ? AND chunk = ?)`,
		claim.Endpoint, now.UnixMicro(), l.Task, l.Chunk)
	if err == nil && taken+claim.Sessions > claim.Limit {
		err = fault.New(fault.Busy, "open sessions at", claim.Endpoint,
			fmt.Sprintf("%d of %d sessions are taken, and %d are wanted", taken, claim.Limit, claim.Sessions))
	}
	return err
}

// Renew implements activities.Leases. A lease that had expired is renewed when
// nobody took it, nor the sessions that it had.
func (s *Store) Renew(ctx context.Context, l activities.Lease) error {
	const op = "renew lease"
	what := leaseName(l.Task, l.Chunk)
	return s.update(ctx, op, what, func(ctx context.Context, c conn) error {
		now, err := c.now(ctx)
		if err != nil {
			return err
		}
		var expires int64
		err = c.row(ctx, []any{&expires}, `SELECT expires FROM leases WHERE task = ? AND chunk = ? AND epoch = ?`, l.Task, l.Chunk, l.Epoch)
		if errors.Is(err, sql.ErrNoRows) {
			return fault.New(fault.Canceled, op, what, "another attempt holds it now, or it was given back")
		}
		if err == nil && expires <= now.UnixMicro() {
			err = roomAgain(ctx, c, now, l)
		}
		if err != nil {
			return err
		}
		_, err = c.exec(ctx, `UPDATE leases SET expires = ? WHERE task = ? AND chunk = ?`, now.Add(l.TTL).UnixMicro(), l.Task, l.Chunk)
		return err
	})
}

func roomAgain(ctx context.Context, c conn, now time.Time, l activities.Lease) error {
	var claims []activities.SessionClaim
	err := c.rows(ctx, func(scan func(...any) error) error {
		var claim activities.SessionClaim
		err := scan(&claim.Endpoint, &claim.Sessions, &claim.Limit)
		claims = append(claims, claim)
		return err
	}, `SELECT endpoint, sessions, most FROM sessions WHERE task = ? AND chunk = ?`, l.Task, l.Chunk)
	if err != nil {
		return err
	}
	for _, claim := range claims {
		if err := room(ctx, c, now, l, claim); fault.Is(err, fault.Busy) {
			return fault.Wrap(fault.Canceled, "renew lease", leaseName(l.Task, l.Chunk), err)
		} else if err != nil {
			return err
		}
	}
	return nil
}

// Release implements activities.Leases.
func (s *Store) Release(ctx context.Context, l activities.Lease) error {
	return s.update(ctx, "release lease", leaseName(l.Task, l.Chunk), func(ctx context.Context, c conn) error {
		now, err := c.now(ctx)
		if err != nil {
			return err
		}
		n, err := c.exec(ctx, `UPDATE leases SET epoch = 0, expires = ? WHERE task = ? AND chunk = ? AND epoch = ?`,
			now.UnixMicro(), l.Task, l.Chunk, l.Epoch)
		if err != nil || n == 0 {
			return err
		}
		_, err = c.exec(ctx, `DELETE FROM sessions WHERE task = ? AND chunk = ?`, l.Task, l.Chunk)
		return err
	})
}
