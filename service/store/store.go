// Package store keeps what must outlive workflow histories and processes: the
// list of tasks, leases, and what was learned of endpoints. It is one SQLite
// file, which all processes of one host share; it keeps no bytes of files and
// no secrets.
package store

import (
	"context"
	"database/sql"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net/url"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"github.com/pressly/goose/v3"
	sqlite "modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"

	"github.com/gridferry/gridferry/activities"
	"github.com/gridferry/gridferry/fault"
)

//go:embed migrations/*.sql
var migrations embed.FS

// Options change what Open does. The zero Options are for daemons.
type Options struct {
	Host  Host             // zero: this host
	Adopt bool             // take a store over that belongs to another host, which is known to be gone
	Now   func() time.Time // the store's clock; nil: time.Now
	Log   *slog.Logger     // nil: silent
}

// Store is an open store. It is safe for many goroutines, and for other
// processes of the same host at the same time.
type Store struct {
	path  string
	write *sql.DB // one connection: SQLite has one writer, and its own queue is unfair
	read  *sql.DB
	now   func() time.Time
}

var (
	_ activities.Records = (*Store)(nil)
	_ activities.Leases  = (*Store)(nil)
)

// busyTimeout is how long a call waits for another process's write. Each is
// short; only a stopped process makes others wait.
const busyTimeout = 20 * time.Second

// Open opens the store in the file at path, which is made and brought up to
// date when need be. The file belongs to the first host that opens it:
// SQLite's locks and shared memory do not hold between hosts, and silently so,
// therefore any other host is refused with Unsupported.
func Open(ctx context.Context, path string, opts Options) (*Store, error) {
	const op = "open store"
	if opts.Now == nil {
		opts.Now = time.Now
	}
	if opts.Log == nil {
		opts.Log = slog.New(slog.DiscardHandler)
	}
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
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return nil, classify(ctx, op, path, err)
	}
	unlock, err := lockFile(ctx, path+".lock")
	if err != nil {
		return nil, classify(ctx, op, path, err)
	}
	defer unlock()
	s := &Store{path: path, now: opts.Now}
	if err := s.connect(); err != nil {
		return nil, classify(ctx, op, path, err)
	}
	if err := s.migrate(ctx, opts.Log); err != nil {
		return nil, errors.Join(classify(ctx, op, path, err), s.Close())
	}
	if err := s.claim(ctx, opts.Host, opts.Adopt); err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return s, nil
}

func (s *Store) connect() error {
	dsn := func(more ...string) string {
		// FULL: an epoch that was given must not be given again after a power cut.
		q := url.Values{"_pragma": append([]string{
			fmt.Sprintf("busy_timeout(%d)", busyTimeout.Milliseconds()),
			"journal_mode(WAL)", "synchronous(FULL)", "foreign_keys(1)",
		}, more...), "_txlock": {"immediate"}}
		return (&url.URL{Scheme: "file", Path: s.path, RawQuery: q.Encode()}).String()
	}
	var err error
	if s.write, err = sql.Open("sqlite", dsn()); err != nil {
		return err
	}
	s.write.SetMaxOpenConns(1)
	if s.read, err = sql.Open("sqlite", dsn("query_only(1)")); err != nil {
		return err
	}
	s.read.SetMaxOpenConns(4)
	return nil
}

func (s *Store) migrate(ctx context.Context, log *slog.Logger) error {
	dir, err := fs.Sub(migrations, "migrations")
	if err != nil {
		return err
	}
	p, err := goose.NewProvider(goose.DialectSQLite3, s.write, dir, goose.WithSlog(log))
	if err != nil {
		return err
	}
	have, want, err := p.GetVersions(ctx)
	if err != nil {
		return err
	}
	if have > want {
		return fault.New(fault.Unsupported, "read", s.path, fmt.Sprintf("the store is of version %d, and this program knows %d: it was written by a newer gridferry", have, want))
	}
	_, err = p.Up(ctx)
	return err
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

// Close closes the store.
func (s *Store) Close() error {
	var err error
	for _, db := range []*sql.DB{s.read, s.write} {
		if db != nil {
			err = errors.Join(err, db.Close())
		}
	}
	return fault.Wrap(fault.Internal, "close store", s.path, err)
}

// tx runs fn in a transaction that has the write lock from its beginning, so
// that it never has to be run again.
func (s *Store) tx(ctx context.Context, op, what string, fn func(*sql.Tx) error) error {
	tx, err := s.write.BeginTx(ctx, nil)
	if err != nil {
		return classify(ctx, op, what, err)
	}
	defer tx.Rollback() // after Commit it does nothing
	if err := fn(tx); err != nil {
		return classify(ctx, op, what, err)
	}
	return classify(ctx, op, what, tx.Commit())
}

func (s *Store) micros() int64 { return s.now().UnixMicro() }

// classify gives an error of the database its kind. Errors that have one keep it.
func classify(ctx context.Context, op, what string, err error) error {
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
	k := fault.Internal
	var se *sqlite.Error
	if errors.As(err, &se) {
		switch se.Code() & 0xff { // the primary code, sqlite.org/rescode.html
		case sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED, sqlite3.SQLITE_INTERRUPT:
			k = fault.Transient
		case sqlite3.SQLITE_FULL:
			k = fault.NoSpace
		case sqlite3.SQLITE_READONLY, sqlite3.SQLITE_PERM, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_AUTH:
			k = fault.Permission
		}
	}
	return fault.Wrap(k, op, what, err)
}
