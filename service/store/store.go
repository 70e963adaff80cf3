// Package store keeps what must outlive workflow histories and processes: the
// list of tasks, leases, identities, sealed credentials and who waits for them,
// and which messages went out. It is one SQLite file, which all processes of one
// host share, or a PostgreSQL database for any number of hosts: one schema, and
// one code. It keeps no bytes of files, and no secret that it could open.
package store

import (
	"context"
	"database/sql"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"time"

	"github.com/pressly/goose/v3"

	"github.com/gridferry/gridferry/activities"
	"github.com/gridferry/gridferry/endpoints"
	"github.com/gridferry/gridferry/fault"
)

//go:embed migrations/*.sql
var migrations embed.FS

// Options change what Open and OpenPostgres do. The zero Options are for
// daemons.
type Options struct {
	Host         Host             // zero: this host; of SQLite
	Adopt        bool             // take a store over that belongs to another host, which is known to be gone; of SQLite
	PasswordFile string           // its first line is the password; read for each connection; of PostgreSQL
	Now          func() time.Time // the store's clock; nil: the host's, or PostgreSQL's
	Log          *slog.Logger     // nil: silent
}

// Store is an open store. It is safe for many goroutines, and for other
// processes at the same time.
type Store struct {
	name    string // for people
	dialect *dialect
	write   *sql.DB
	read    *sql.DB // of PostgreSQL the same
	clock   func() time.Time
}

var (
	_ activities.Records         = (*Store)(nil)
	_ activities.RecordForgetter = (*Store)(nil)
	_ activities.Leases          = (*Store)(nil)
	_ activities.Waiters         = (*Store)(nil)
	_ activities.Capabilities    = (*Store)(nil)
	_ endpoints.Conditions       = (*Store)(nil)
	_ endpoints.Rations          = (*Store)(nil)
)

// migrate brings the tables up to date. The caller keeps others from doing so
// at the same time.
func (s *Store) migrate(ctx context.Context, log *slog.Logger) error {
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	dir, err := fs.Sub(migrations, "migrations")
	if err != nil {
		return err
	}
	p, err := goose.NewProvider(s.dialect.goose, s.write, dir, goose.WithSlog(log), goose.WithDisableGlobalRegistry(true))
	if err != nil {
		return err
	}
	have, want, err := p.GetVersions(ctx)
	if err != nil {
		return err
	}
	if have > want {
		return fault.New(fault.Unsupported, "read store", s.name, fmt.Sprintf("it is of version %d, and this program knows %d: a newer gridferry has written it", have, want))
	}
	_, err = p.Up(ctx)
	return err
}

// Close closes the store.
func (s *Store) Close() error {
	var err error
	for _, db := range []*sql.DB{s.read, s.write} {
		if db != nil {
			err = errors.Join(err, db.Close()) // again does nothing
		}
	}
	return fault.Wrap(fault.Internal, "close store", s.name, err)
}
