package secrets

import (
	"database/sql"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/gridferry/gridferry/integration/postgres"
	"github.com/gridferry/gridferry/service/store"
	"github.com/gridferry/gridferry/service/vault"
	"github.com/gridferry/gridferry/transfer"
	"github.com/gridferry/gridferry/wire/gsi/gsitest"
)

// TestPostgreSQL seals a key into PostgreSQL and looks at every row there, as
// whoever has a dump of it would.
func TestPostgreSQL(t *testing.T) {
	server := postgres.Start(t)
	address := server.Database(t)
	kept, err := store.OpenPostgres(t.Context(), address, store.Options{PasswordFile: server.PasswordFile})
	must(t, err)
	defer kept.Close()
	keyset := vault.NewKeyFile(filepath.Join(t.TempDir(), "keyset"), nil)
	must(t, keyset.Create(t.Context()))
	v := vault.New(kept, keyset)

	ca := gsitest.NewCA(t)
	proxy := ca.Proxy(ca.User("Ada"))
	pem, err := proxy.EncodePEM()
	must(t, err)
	secret, err := Key(userKey, proxy.Key)
	must(t, err)
	s := NewSearcher(secret, Text(label, phrase))
	now := time.Now()
	must(t, v.Put(t.Context(), transfer.Activation{Owner: "ada", Domain: "lab", Kind: "proxy", Given: now, Expires: proxy.NotAfter()}, pem))
	must(t, v.PutDelegation(t.Context(), "ada", "lab", "1", pem, now.Add(time.Hour)))
	must(t, kept.PutTask(t.Context(), transfer.Task{ID: "1", Owner: "ada", Status: transfer.Active, Label: phrase, Requested: now, AsOf: now}))

	u, err := url.Parse(address)
	must(t, err)
	password, err := os.ReadFile(server.PasswordFile)
	must(t, err)
	u.User = url.UserPassword(u.User.Username(), strings.TrimSpace(string(password)))
	db, err := sql.Open("pgx", u.String())
	must(t, err)
	defer db.Close()
	tables, err := columns(db, "SELECT quote_ident(schemaname) || '.' || quote_ident(tablename) FROM pg_tables WHERE schemaname <> 'information_schema'")
	must(t, err)
	var found []Finding
	for _, table := range tables {
		// A row as text has its bytes in hex.
		rows, err := columns(db, "SELECT row::text FROM "+string(table)+" AS row")
		must(t, err)
		for _, row := range rows {
			found = merge(found, s.Search(string(table), row))
		}
	}
	for _, f := range found {
		if !canary(f) {
			t.Errorf("found: %s", f)
		}
	}
	proven(t, "PostgreSQL", found, label)
	must(t, kept.PutTask(t.Context(), transfer.Task{ID: "2", Owner: "ada", Status: transfer.Active, Label: string(pem), Requested: now, AsOf: now}))
	rows, err := columns(db, "SELECT row::text FROM tasks AS row")
	must(t, err)
	proven(t, "PostgreSQL", s.Search("tasks", []byte(strings.Join(texts(rows), "\n"))), userKey)
}

func texts(rows [][]byte) []string {
	all := make([]string, len(rows))
	for i, row := range rows {
		all[i] = string(row)
	}
	return all
}
