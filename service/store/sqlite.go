package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"github.com/pressly/goose/v3"
	"modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"

	"github.com/gridferry/gridferry/fault"
)

func sqliteDialect() *dialect {
	return &dialect{goose: goose.DialectSQLite3, kind: sqliteKind}
}

// busyTimeout is how long SQLite waits for another process's write.
const busyTimeout = 20 * time.Second

// Open opens the store in the file at path, which is made and brought up to
// date when need be. The file belongs to the first host that opens it:
// SQLite's locks and shared memory do not hold between hosts, and silently so,
// therefore any other host is refused with Unsupported.
func Open(ctx context.Context, path string, opts Options) (*Store, error) {
	const op = "open store"
	if opts.Host == (Host{}) {
		var err error
		if opts.Host, err = ThisHost(); err != nil {
			return nil, fault.Wrap(fault.Internal, op, path, err)
		}
	}
	path, err := filepath.Abs(path)
	if err != nil {
		return nil, fault.Wrap(fault.Internal, op, path, err)
	}
	s := &Store{name: path, dialect: sqliteDialect(), clock: opts.Now}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return nil, s.classify(ctx, op, path, err)
	}
	unlock, err := lockFile(ctx, path+".lock")
	if err != nil {
		return nil, s.classify(ctx, op, path, err)
	}
	defer unlock()
	if err := s.connectSQLite(); err != nil {
		return nil, errors.Join(s.classify(ctx, op, path, err), s.Close())
	}
	if err := s.migrate(ctx, opts.Log); err != nil {
		return nil, errors.Join(s.classify(ctx, op, path, err), s.Close())
	}
	if err := s.claim(ctx, opts.Host, opts.Adopt); err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return s, nil
}

func (s *Store) connectSQLite() error {
	dsn := func(more ...string) string {
		// FULL: an epoch that was given must not be given again after a power cut.
		q := url.Values{"_pragma": append([]string{
			fmt.Sprintf("busy_timeout(%d)", busyTimeout.Milliseconds()),
			"journal_mode(WAL)", "synchronous(FULL)", "foreign_keys(1)",
		}, more...), "_txlock": {"immediate"}}
		return (&url.URL{Scheme: "file", Path: s.name, RawQuery: q.Encode()}).String()
	}
	var err error
	if s.write, err = sql.Open("sqlite", dsn()); err != nil {
		return err
	}
	s.write.SetMaxOpenConns(1) // SQLite has one writer, and its own queue is unfair
	if s.read, err = sql.Open("sqlite", dsn("query_only(1)")); err != nil {
		return err
	}
	s.read.SetMaxOpenConns(4)
	return nil
}

// lockFile keeps other processes from opening the store at the same moment:
// two that migrate at once would see each other's half-made tables.
func lockFile(ctx context.Context, path string) (unlock func(), err error) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	for wait := time.Millisecond; ; wait = min(2*wait, 100*time.Millisecond) {
		err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
		if err == nil {
			return func() { _ = f.Close() }, nil // the lock goes with the file
		}
		if !errors.Is(err, syscall.EWOULDBLOCK) && !errors.Is(err, syscall.EINTR) {
			_ = f.Close() // nothing was written
			return nil, err
		}
		select {
		case <-ctx.Done():
			_ = f.Close() // nothing was written
			return nil, ctx.Err()
		case <-time.After(wait):
		}
	}
}

func sqliteKind(err error) fault.Kind {
	var se *sqlite.Error
	if !errors.As(err, &se) {
		return ""
	}
	switch se.Code() & 0xff { // the primary code, sqlite.org/rescode.html
	case sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED, sqlite3.SQLITE_INTERRUPT:
		return fault.Transient
	case sqlite3.SQLITE_FULL:
		return fault.NoSpace
	case sqlite3.SQLITE_READONLY, sqlite3.SQLITE_PERM, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_AUTH:
		return fault.Permission
	}
	return ""
}
