package store

import "testing"

// PostgresKind is of errors from PostgreSQL.
var PostgresKind = postgresKind

// Pretend makes the store look as if a newer program had written it.
func Pretend(s *Store, version int64) error {
	_, err := s.write.Exec(s.dialect.statement(`INSERT INTO goose_db_version (version_id, is_applied) VALUES (?, 1 = 1)`), version)
	return err
}

// Rows counts what leases have left.
func Rows(s *Store) (leases, sessions int, err error) {
	err = s.read.QueryRow(`SELECT (SELECT count(*) FROM leases), (SELECT count(*) FROM sessions)`).Scan(&leases, &sessions)
	return leases, sessions, err
}

// HoldLock keeps others from writing.
func HoldLock(t *testing.T, s *Store) (unlock func()) {
	t.Helper()
	tx, err := s.write.Begin()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := tx.Exec(s.dialect.lock); err != nil {
		t.Fatal(err)
	}
	return func() {
		if err := tx.Rollback(); err != nil {
			t.Error(err)
		}
	}
}
