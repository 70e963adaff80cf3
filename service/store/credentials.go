package store

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"time"

	"github.com/gridferry/gridferry/fault"
	"github.com/gridferry/gridferry/transfer"
)

// PutCredential implements vault.Rows.
func (s *Store) PutCredential(ctx context.Context, a transfer.Activation, sealed []byte, keyID string) error {
	const op = "keep credential for"
	voms, err := json.Marshal(a.VOMS)
	if err != nil {
		return fault.Wrap(fault.Internal, op, a.Domain, err)
	}
	return s.update(ctx, op, a.Domain, func(ctx context.Context, c conn) error {
		_, err := c.exec(ctx, `
			INSERT INTO credentials (owner, domain, kind, subject, issuer, voms, fingerprint, given, expires, key_id, sealed)
			VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
			ON CONFLICT (owner, domain) DO UPDATE SET kind = excluded.kind, subject = excluded.subject, issuer = excluded.issuer,
				voms = excluded.voms, fingerprint = excluded.fingerprint, given = excluded.given, expires = excluded.expires,
				key_id = excluded.key_id, sealed = excluded.sealed`,
			a.Owner, a.Domain, a.Kind, a.Subject, a.Issuer, voms, a.Fingerprint, a.Given.UnixMicro(), a.Expires.UnixMicro(), keyID, sealed)
		return err
	})
}

const activationColumns = `owner, domain, kind, subject, issuer, voms, fingerprint, given, expires`

// scanActivation reads activationColumns, and what is selected after them.
func scanActivation(scan func(...any) error, more ...any) (transfer.Activation, error) {
	var a transfer.Activation
	var voms []byte
	var given, expires int64
	err := scan(append([]any{&a.Owner, &a.Domain, &a.Kind, &a.Subject, &a.Issuer, &voms, &a.Fingerprint, &given, &expires}, more...)...)
	if err == nil {
		err = json.Unmarshal(voms, &a.VOMS)
	}
	a.Given, a.Expires = time.UnixMicro(given).UTC(), time.UnixMicro(expires).UTC()
	return a, err
}

// Credential implements vault.Rows.
func (s *Store) Credential(ctx context.Context, owner, domain string) (a transfer.Activation, sealed []byte, keyID string, err error) {
	const op = "look up credential for"
	err = s.view(ctx, op, domain, func(ctx context.Context, c conn) error {
		now, err := c.now(ctx)
		if err != nil {
			return err
		}
		a, err = scanActivation(func(into ...any) error {
			return c.row(ctx, into, `SELECT `+activationColumns+`, key_id, sealed FROM credentials
				WHERE owner = ? AND domain = ? AND expires > ?`, owner, domain, now.UnixMicro())
		}, &keyID, &sealed)
		return noCredential(op, domain, err)
	})
	if err != nil {
		return transfer.Activation{}, nil, "", err
	}
	return a, sealed, keyID, nil
}

// noCredential says what it means that there is no row.
func noCredential(op, domain string, err error) error {
	if errors.Is(err, sql.ErrNoRows) {
		return fault.New(fault.NotFound, op, domain, "there is no credential that has not expired")
	}
	return err
}

// Activation implements activities.Waiters.
func (s *Store) Activation(ctx context.Context, owner, domain string) (transfer.Activation, error) {
	a, _, _, err := s.Credential(ctx, owner, domain)
	return a, err
}

// DeleteCredential implements vault.Rows.
func (s *Store) DeleteCredential(ctx context.Context, owner, domain string) (transfer.Activation, error) {
	const op = "forget credential for"
	var a transfer.Activation
	err := s.update(ctx, op, domain, func(ctx context.Context, c conn) (err error) {
		a, err = scanActivation(func(into ...any) error {
			return c.row(ctx, into, `DELETE FROM credentials WHERE owner = ? AND domain = ? RETURNING `+activationColumns, owner, domain)
		})
		return noCredential(op, domain, err)
	})
	if err != nil {
		return transfer.Activation{}, err
	}
	return a, nil
}

// Credentials implements vault.Rows.
func (s *Store) Credentials(ctx context.Context, owner string) ([]transfer.Activation, error) {
	var found []transfer.Activation
	err := s.view(ctx, "list credentials of", owner, func(ctx context.Context, c conn) error {
		now, err := c.now(ctx)
		if err != nil {
			return err
		}
		found, err = activationsIn(ctx, c, `owner = ? AND expires > ? ORDER BY domain`, owner, now.UnixMicro())
		return err
	})
	return found, err
}

func activationsIn(ctx context.Context, c conn, where string, args ...any) ([]transfer.Activation, error) {
	var found []transfer.Activation
	err := c.rows(ctx, func(scan func(...any) error) error {
		a, err := scanActivation(scan)
		found = append(found, a)
		return err
	}, `SELECT `+activationColumns+` FROM credentials WHERE `+where, args...)
	return found, err
}

// CredentialsNotOf implements vault.Rows.
func (s *Store) CredentialsNotOf(ctx context.Context, keyID string, limit int) ([]transfer.Activation, error) {
	var found []transfer.Activation
	err := s.view(ctx, "list credentials sealed before", keyID, func(ctx context.Context, c conn) (err error) {
		found, err = activationsIn(ctx, c, `key_id <> ? ORDER BY owner, domain LIMIT ?`, keyID, limit)
		return err
	})
	return found, err
}

// ResealCredential implements vault.Rows.
func (s *Store) ResealCredential(ctx context.Context, owner, domain string, was, sealed []byte, keyID string) error {
	return s.update(ctx, "seal again credential for", domain, func(ctx context.Context, c conn) error {
		_, err := c.exec(ctx, `UPDATE credentials SET sealed = ?, key_id = ? WHERE owner = ? AND domain = ? AND sealed = ?`,
			sealed, keyID, owner, domain, was)
		return err
	})
}

// Sealed says whether the store holds anything, expired or not, that the keys
// of before are needed for.
func (s *Store) Sealed(ctx context.Context) (bool, error) {
	var n int
	err := s.view(ctx, "look for credentials in", s.name, func(ctx context.Context, c conn) error {
		return c.row(ctx, []any{&n}, `SELECT (SELECT count(*) FROM credentials) + (SELECT count(*) FROM delegations)`)
	})
	return n > 0, err
}

// PutDelegation implements vault.Rows.
func (s *Store) PutDelegation(ctx context.Context, owner, domain, id string, sealed []byte, keyID string, expires time.Time) error {
	return s.update(ctx, "keep delegation for", domain, func(ctx context.Context, c conn) error {
		_, err := c.exec(ctx, `INSERT INTO delegations (id, owner, domain, expires, key_id, sealed) VALUES (?, ?, ?, ?, ?, ?)`,
			id, owner, domain, expires.UnixMicro(), keyID, sealed)
		return err
	})
}

// Delegation implements vault.Rows.
func (s *Store) Delegation(ctx context.Context, owner, id string) (domain string, sealed []byte, keyID string, err error) {
	const op = "look up delegation"
	err = s.view(ctx, op, id, func(ctx context.Context, c conn) error {
		now, err := c.now(ctx)
		if err != nil {
			return err
		}
		err = c.row(ctx, []any{&domain, &sealed, &keyID}, `SELECT domain, sealed, key_id FROM delegations WHERE owner = ? AND id = ? AND expires > ?`,
			owner, id, now.UnixMicro())
		if errors.Is(err, sql.ErrNoRows) {
			return fault.New(fault.NotFound, op, id, "there is none that has not expired: begin again")
		}
		return err
	})
	return domain, sealed, keyID, err
}

// DeleteDelegation implements vault.Rows.
func (s *Store) DeleteDelegation(ctx context.Context, owner, id string) error {
	const op = "take delegation"
	return s.update(ctx, op, id, func(ctx context.Context, c conn) error {
		n, err := c.exec(ctx, `DELETE FROM delegations WHERE owner = ? AND id = ?`, owner, id)
		if err == nil && n == 0 {
			err = fault.New(fault.NotFound, op, id, "it was taken already")
		}
		return err
	})
}
