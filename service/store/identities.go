package store

import (
	"context"
	"crypto/rand"
	"encoding/base32"
	"strings"
	"time"

	"github.com/gridferry/gridferry/fault"
	"github.com/gridferry/gridferry/transfer"
)

// AddIdentity keeps an identity and returns it with its id and time. One that
// its owner has already is returned as it is.
func (s *Store) AddIdentity(ctx context.Context, id transfer.Identity) (transfer.Identity, error) {
	var created int64
	err := s.update(ctx, "add identity", id.Name, func(ctx context.Context, c conn) error {
		now, err := c.now(ctx)
		if err != nil {
			return err
		}
		// The update changes nothing, and makes there be a row to return.
		return c.row(ctx, []any{&id.ID, &created}, `INSERT INTO identities (id, owner, kind, name, server, created) VALUES (?, ?, ?, ?, ?, ?)
			ON CONFLICT (owner, kind, name, server) DO UPDATE SET owner = excluded.owner RETURNING id, created`,
			newID(), id.Owner, id.Kind, id.Name, id.Server, now.UnixMicro())
	})
	if err != nil {
		return transfer.Identity{}, err
	}
	id.Created = time.UnixMicro(created).UTC()
	return id, nil
}

// newID is short, because people type it.
func newID() string {
	var b [5]byte
	rand.Read(b[:]) // never fails (crypto/rand)
	return strings.ToLower(base32.StdEncoding.EncodeToString(b[:]))
}

// Identities lists an owner's, oldest first.
func (s *Store) Identities(ctx context.Context, owner string) ([]transfer.Identity, error) {
	var found []transfer.Identity
	err := s.view(ctx, "list identities of", owner, func(ctx context.Context, c conn) error {
		return c.rows(ctx, func(scan func(...any) error) error {
			var id transfer.Identity
			var created int64
			err := scan(&id.ID, &id.Owner, &id.Kind, &id.Name, &id.Server, &created)
			id.Created = time.UnixMicro(created).UTC()
			found = append(found, id)
			return err
		}, `SELECT id, owner, kind, name, server, created FROM identities WHERE owner = ? ORDER BY created, id`, owner)
	})
	return found, err
}

// RemoveIdentity is NotFound when the owner has none of that id.
func (s *Store) RemoveIdentity(ctx context.Context, owner, id string) error {
	const op = "remove identity"
	return s.update(ctx, op, id, func(ctx context.Context, c conn) error {
		n, err := c.exec(ctx, `DELETE FROM identities WHERE owner = ? AND id = ?`, owner, id)
		if err == nil && n == 0 {
			err = fault.New(fault.NotFound, op, id, "there is no such identity")
		}
		return err
	})
}
