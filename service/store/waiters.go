package store

import (
	"context"

	"github.com/gridferry/gridferry/transfer"
)

// Await implements activities.Waiters.
func (s *Store) Await(ctx context.Context, owner, domain string, task transfer.TaskID) error {
	return s.update(ctx, "wait for credential for", domain, func(ctx context.Context, c conn) error {
		now, err := c.now(ctx)
		if err != nil {
			return err
		}
		_, err = c.exec(ctx, `INSERT INTO waiters (task, owner, domain, since) VALUES (?, ?, ?, ?) ON CONFLICT DO NOTHING`,
			task, owner, domain, now.UnixMicro())
		return err
	})
}

// Forget implements activities.Waiters.
func (s *Store) Forget(ctx context.Context, task transfer.TaskID) error {
	return s.update(ctx, "end waiting of", string(task), func(ctx context.Context, c conn) error {
		_, err := c.exec(ctx, `DELETE FROM waiters WHERE task = ?`, task)
		return err
	})
}

// WaitersOf lists the tasks that wait for the owner's credential in a domain,
// those first that wait longest. Who has put a credential asks afterwards: a
// task that it does not find here will look for the credential later.
func (s *Store) WaitersOf(ctx context.Context, owner, domain string) ([]transfer.TaskID, error) {
	var found []transfer.TaskID
	err := s.view(ctx, "list who waits for", domain, func(ctx context.Context, c conn) error {
		return c.rows(ctx, func(scan func(...any) error) error {
			var id transfer.TaskID
			err := scan(&id)
			found = append(found, id)
			return err
		}, `SELECT task FROM waiters WHERE owner = ? AND domain = ? ORDER BY since, task`, owner, domain)
	})
	return found, err
}
