package postgres_test

import (
	"database/sql"
	"testing"

	"github.com/gridferry/gridferry/integration/postgres"
)

func TestDatabasesAreApart(t *testing.T) {
	s := postgres.Start(t)
	for range 2 {
		db, err := sql.Open("pgx", s.Database(t))
		if err != nil {
			t.Fatal(err)
		}
		defer db.Close()
		if err := db.PingContext(t.Context()); err == nil {
			t.Error("the server lets in who gives no password")
		}
	}
	s.Stop()
	s.Stop()
}
