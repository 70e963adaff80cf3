package store

import (
	"context"
	"database/sql"
	"errors"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/pressly/goose/v3"

	"github.com/gridferry/gridferry/fault"
)

// dialect is all in which the two databases differ once they are open.
type dialect struct {
	goose    goose.Dialect
	numbered bool // parameters are $1 and so on, and not ?

	// lock gives a transaction the one write lock; empty where it has it from
	// its beginning. There are few writes, and each is short: that none of them
	// ever has to be run again is worth more than that two run at once.
	lock string

	// clock asks for the time in microseconds; empty where all users of the
	// store are on one host, and have one clock.
	clock string

	kind func(error) fault.Kind // of the database's own errors; else empty
}

// statement writes a statement the way its database wants it. None of ours has
// a question mark in a literal.
func (d *dialect) statement(query string) string {
	if !d.numbered {
		return query
	}
	var b strings.Builder
	for n := 1; ; n++ {
		before, after, found := strings.Cut(query, "?")
		b.WriteString(before)
		if !found {
			return b.String()
		}
		b.WriteString("$" + strconv.Itoa(n))
		query = after
	}
}

// conn runs statements: in a transaction, or each for itself.
type conn struct {
	on interface {
		ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error)
		QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error)
		QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row
	}
	*Store
}

// exec says how many rows it changed.
func (c conn) exec(ctx context.Context, query string, args ...any) (int64, error) {
	res, err := c.on.ExecContext(ctx, c.dialect.statement(query), args...)
	if err != nil {
		return 0, err
	}
	return res.RowsAffected()
}

// row reads the one row there is; the error is sql.ErrNoRows when there is none.
func (c conn) row(ctx context.Context, into []any, query string, args ...any) error {
	return c.on.QueryRowContext(ctx, c.dialect.statement(query), args...).Scan(into...)
}

// rows has each of the rows scanned.
func (c conn) rows(ctx context.Context, each func(scan func(into ...any) error) error, query string, args ...any) error {
	rows, err := c.on.QueryContext(ctx, c.dialect.statement(query), args...)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		if err := each(rows.Scan); err != nil {
			return err
		}
	}
	return rows.Err()
}

// now is the time by the store's clock, which is the same for all its users.
func (c conn) now(ctx context.Context) (time.Time, error) {
	switch {
	case c.clock != nil:
		return c.clock(), nil
	case c.dialect.clock == "":
		return time.Now(), nil
	}
	var micros int64
	err := c.row(ctx, []any{&micros}, c.dialect.clock)
	return time.UnixMicro(micros), err
}

// callTimeout is how long a call may take: every statement is short, and only
// a stopped process or a lost host makes others wait.
const callTimeout = 30 * time.Second

// view runs fn on what is committed, without a transaction.
func (s *Store) view(ctx context.Context, op, what string, fn func(context.Context, conn) error) error {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	return s.classify(ctx, op, what, fn(ctx, conn{s.read, s}))
}

// update runs fn in a transaction that is the only one that writes through
// update, so that it never has to be run again.
func (s *Store) update(ctx context.Context, op, what string, fn func(context.Context, conn) error) error {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	tx, err := s.write.BeginTx(ctx, nil)
	if err != nil {
		return s.classify(ctx, op, what, err)
	}
	defer tx.Rollback() // after Commit it does nothing
	if s.dialect.lock != "" {
		_, err = tx.ExecContext(ctx, s.dialect.lock)
	}
	if err == nil {
		err = fn(ctx, conn{tx, s})
	}
	if err == nil {
		err = tx.Commit()
	}
	return s.classify(ctx, op, what, err)
}

// classify gives an error of the database its kind. Errors that have one keep it.
func (s *Store) classify(ctx context.Context, op, what string, err error) error {
	var known *fault.Error
	switch {
	case err == nil:
		return nil
	case errors.As(err, &known):
		return err
	case ctx.Err() != nil:
		return fault.Wrap(fault.KindOf(ctx.Err()), op, what, ctx.Err())
	case errors.Is(err, os.ErrPermission):
		return fault.Wrap(fault.Permission, op, what, err)
	}
	if k := s.dialect.kind(err); k != "" {
		return fault.Wrap(k, op, what, err)
	}
	return fault.Wrap(fault.Internal, op, what, err)
}
