package store

import (
	"bufio"
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/stdlib"
	"github.com/pressly/goose/v3"

	"github.com/gridferry/gridferry/fault"
)

// postgresLock is the key of the advisory lock; any number would do, that other
// programs in the same database do not use as well. The bytes spell it.
const postgresLock = 0x67_72_69_64_66_72_72_79 // "gridfrry"

func postgresDialect() *dialect {
	return &dialect{
		goose:    goose.DialectPostgres,
		numbered: true,
		lock:     fmt.Sprintf("SELECT pg_advisory_xact_lock(%d)", int64(postgresLock)),
		clock:    "SELECT CAST(extract(epoch FROM clock_timestamp()) * 1000000 AS BIGINT)",
		kind:     postgresKind,
	}
}

// Connections to PostgreSQL: how many a process has, how long one is used
// before it is made again (which finds a server that took over), and how long
// making one may take.
const (
	postgresConns    = 8
	postgresLifetime = 30 * time.Minute
	postgresDial     = 10 * time.Second
)

// OpenPostgres opens the store in a PostgreSQL database, whose tables are made
// and brought up to date when need be. Any number of hosts may use it at the
// same time. The address is a URL, or what libpq calls a connection string;
// what it leaves out comes from libpq's environment (PGPASSWORD, PGPASSFILE,
// PGSSLMODE and so on).
func OpenPostgres(ctx context.Context, address string, opts Options) (*Store, error) {
	const op = "open store"
	s := &Store{name: "in PostgreSQL", dialect: postgresDialect(), clock: opts.Now}
	cfg, err := pgx.ParseConfig(address)
	if err != nil {
		return nil, fault.Wrap(fault.Invalid, op, s.name, err) // pgx leaves passwords out
	}
	s.name = fmt.Sprintf("%s at %s", cfg.Database, cfg.Host)
	if cfg.ConnectTimeout == 0 {
		cfg.ConnectTimeout = postgresDial
	}
	// An epoch that was given must not be given again after a power cut.
	if _, said := cfg.RuntimeParams["synchronous_commit"]; !said {
		cfg.RuntimeParams["synchronous_commit"] = "on"
	}
	if _, said := cfg.RuntimeParams["application_name"]; !said {
		cfg.RuntimeParams["application_name"] = "gridferry"
	}
	s.write = stdlib.OpenDB(*cfg, stdlib.OptionBeforeConnect(func(_ context.Context, c *pgx.ConnConfig) error {
		if opts.PasswordFile == "" {
			return nil
		}
		var err error
		c.Password, err = firstLine(opts.PasswordFile) // now: it may have been changed
		return fault.Wrap(fault.Permission, "read password of store", s.name, err)
	}))
	s.write.SetMaxOpenConns(postgresConns)
	s.write.SetConnMaxLifetime(postgresLifetime)
	s.read = s.write
	err = s.view(ctx, op, s.name, func(ctx context.Context, c conn) error { return s.write.PingContext(ctx) })
	if err == nil {
		err = s.migratePostgres(ctx, opts)
	}
	if err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return s, nil
}

// migratePostgres holds the lock in a transaction of its own: the server ends
// it with the connection, however this process ends.
func (s *Store) migratePostgres(ctx context.Context, opts Options) error {
	return s.update(ctx, "open store", s.name, func(ctx context.Context, _ conn) error {
		return s.migrate(ctx, opts.Log)
	})
}

func firstLine(path string) (string, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer f.Close()
	line, err := bufio.NewReader(io.LimitReader(f, 4096)).ReadString('\n')
	if err != nil && !errors.Is(err, io.EOF) {
		return "", err
	}
	return strings.TrimRight(line, "\r\n"), nil
}

// postgresKind goes by SQLSTATE (PostgreSQL manual, appendix A).
func postgresKind(err error) fault.Kind {
	var pe *pgconn.PgError
	if errors.As(err, &pe) {
		return sqlstateKind(pe.Code)
	}
	var ne net.Error
	var ce *pgconn.ConnectError
	if errors.As(err, &ne) || errors.As(err, &ce) || errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) ||
		errors.Is(err, driver.ErrBadConn) || errors.Is(err, sql.ErrConnDone) {
		return fault.Transient
	}
	return ""
}

func sqlstateKind(code string) fault.Kind {
	switch code {
	case "53100": // disk_full
		return fault.NoSpace
	case "42501": // insufficient_privilege
		return fault.Permission
	case "25006", // read_only_sql_transaction: a standby, until the address leads to the new primary
		"55P03": // lock_not_available
		return fault.Transient
	case "22021": // character_not_in_repertoire: a NUL in a name
		return fault.Invalid
	case "3D000": // invalid_catalog_name: no such database
		return fault.NotFound
	}
	switch code[:min(2, len(code))] {
	case "08", // connection exception
		"40", // transaction rollback
		"53", // insufficient resources
		"57": // operator intervention: stopping, starting, cancelled
		return fault.Transient
	case "28": // invalid authorization
		return fault.Permission
	}
	return ""
}
