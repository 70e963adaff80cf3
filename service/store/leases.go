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
	err := s.tx(ctx, op, what, func(tx *sql.Tx) error {
		now := s.now()
		begun := int64(0)
		if !want.Begun.IsZero() {
			begun = want.Begun.UnixMicro()
		}
		if err := inTurn(ctx, tx, l, begun); err != nil {
			return err
		}
		for _, c := range want.Sessions {
			if err := room(ctx, tx, now, l, c); err != nil {
				return err
			}
		}
		if err := tx.QueryRowContext(ctx, `UPDATE epochs SET last = last + 1 RETURNING last`).Scan(&l.Epoch); err != nil {
			return err
		}
		l.Expires = now.Add(want.TTL).UTC()
		// The sessions of a lease go with its row: of the earlier holder's, and
		// of those whose tasks ended without a word long ago.
		if _, err := tx.ExecContext(ctx, `DELETE FROM leases WHERE task = ? AND chunk = ? OR expires < ?`,
			l.Task, l.Chunk, now.Add(-forgotten).UnixMicro()); err != nil {
			return err
		}
		if _, err := tx.ExecContext(ctx, `INSERT INTO leases (task, chunk, epoch, begun, holder, expires) VALUES (?, ?, ?, ?, ?, ?)`,
			l.Task, l.Chunk, l.Epoch, begun, want.Holder, l.Expires.UnixMicro()); err != nil {
			return err
		}
		for _, c := range want.Sessions {
			if _, err := tx.ExecContext(ctx, `INSERT INTO sessions (endpoint, task, chunk, sessions, most) VALUES (?, ?, ?, ?, ?)
				ON CONFLICT DO UPDATE SET sessions = sessions + excluded.sessions`,
				c.Endpoint, l.Task, l.Chunk, c.Sessions, c.Limit); err != nil {
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
func inTurn(ctx context.Context, tx *sql.Tx, l activities.Lease, begun int64) error {
	var last int64
	err := tx.QueryRowContext(ctx, `SELECT begun FROM leases WHERE task = ? AND chunk = ?`, l.Task, l.Chunk).Scan(&last)
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
func room(ctx context.Context, tx *sql.Tx, now time.Time, l activities.Lease, c activities.SessionClaim) error {
	if c.Limit <= 0 {
		return nil
	}
	var taken int
	err := tx.QueryRowContext(ctx, `SELECT coalesce(sum(sessions), 0) FROM sessions JOIN leases USING (task, chunk)
		WHERE endpoint = ? AND expires > ? AND NOT (task = ? AND chunk = ?)`,
		c.Endpoint, now.UnixMicro(), l.Task, l.Chunk).Scan(&taken)
	if err == nil && taken+c.Sessions > c.Limit {
		err = fault.New(fault.Busy, "open sessions at", c.Endpoint, fmt.Sprintf("%d of %d sessions are taken, and %d are wanted", taken, c.Limit, c.Sessions))
	}
	return err
}

// Renew implements activities.Leases. A lease that had expired is renewed when
// nobody took it, nor the sessions that it had.
func (s *Store) Renew(ctx context.Context, l activities.Lease) error {
	const op = "renew lease"
	what := leaseName(l.Task, l.Chunk)
	return s.tx(ctx, op, what, func(tx *sql.Tx) error {
		now := s.now()
		var expires int64
		err := tx.QueryRowContext(ctx, `SELECT expires FROM leases WHERE task = ? AND chunk = ? AND epoch = ?`, l.Task, l.Chunk, l.Epoch).Scan(&expires)
		if errors.Is(err, sql.ErrNoRows) {
			return fault.New(fault.Canceled, op, what, "another attempt holds it now, or it was given back")
		}
		if err == nil && expires <= now.UnixMicro() {
			err = s.roomAgain(ctx, tx, now, l)
		}
		if err != nil {
			return err
		}
		_, err = tx.ExecContext(ctx, `UPDATE leases SET expires = ? WHERE task = ? AND chunk = ?`, now.Add(l.TTL).UnixMicro(), l.Task, l.Chunk)
		return err
	})
}

func (s *Store) roomAgain(ctx context.Context, tx *sql.Tx, now time.Time, l activities.Lease) error {
	rows, err := tx.QueryContext(ctx, `SELECT endpoint, sessions, most FROM sessions WHERE task = ? AND chunk = ?`, l.Task, l.Chunk)
	if err != nil {
		return err
	}
	defer rows.Close()
	var claims []activities.SessionClaim
	for rows.Next() {
		var c activities.SessionClaim
		if err := rows.Scan(&c.Endpoint, &c.Sessions, &c.Limit); err != nil {
			return err
		}
		claims = append(claims, c)
	}
	if err := rows.Err(); err != nil {
		return err
	}
	for _, c := range claims {
		if err := room(ctx, tx, now, l, c); fault.Is(err, fault.Busy) {
			return fault.Wrap(fault.Canceled, "renew lease", leaseName(l.Task, l.Chunk), err)
		} else if err != nil {
			return err
		}
	}
	return nil
}

// Release implements activities.Leases.
func (s *Store) Release(ctx context.Context, l activities.Lease) error {
	return s.tx(ctx, "release lease", leaseName(l.Task, l.Chunk), func(tx *sql.Tx) error {
		res, err := tx.ExecContext(ctx, `UPDATE leases SET epoch = 0, expires = ? WHERE task = ? AND chunk = ? AND epoch = ?`,
			s.micros(), l.Task, l.Chunk, l.Epoch)
		if err != nil {
			return err
		}
		if n, err := res.RowsAffected(); err != nil || n == 0 {
			return err
		}
		_, err = tx.ExecContext(ctx, `DELETE FROM sessions WHERE task = ? AND chunk = ?`, l.Task, l.Chunk)
		return err
	})
}
