package secrets

import (
	"database/sql"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/gridferry/gridferry/integration/harness"
)

// What lies in pieces in a database's file is whole in its rows, and what was
// deleted from the rows is still in the file.
func TestSQLite(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a.db")
	db, err := sql.Open("sqlite", path)
	must(t, err)
	defer db.Close()
	s := NewSearcher(Text("deleted", phrase), Text("in the log", strings.ToLower(phrase)))
	for _, statement := range []string{
		"PRAGMA journal_mode = wal", "CREATE TABLE things (a, b)",
		"INSERT INTO things VALUES (1, '" + phrase + "')", "DELETE FROM things",
		"INSERT INTO things VALUES (2, x'00')", "INSERT INTO things VALUES (3, '" + strings.ToLower(phrase) + "')",
	} {
		_, err := db.Exec(statement)
		must(t, err)
	}
	found, err := s.SQLite(t, "db", path)
	must(t, err)
	wantFound(t, found, "deleted")
	wantFound(t, found, "in the log")
	if _, err := s.SQLite(t, "db", filepath.Join(t.TempDir(), "none")); err == nil {
		t.Error("a database that is not there was searched")
	}
}

func TestMemory(t *testing.T) {
	// The shell knows the text as the value of a variable alone.
	file := filepath.Join(t.TempDir(), "text")
	must(t, os.WriteFile(file, []byte(phrase), 0o600))
	p := harness.Start(t, harness.Command{Path: "/bin/sh", Args: []string{"-c", `IFS= read -r text < "$0"; echo ready; while :; do sleep 0.1; done`, file}})
	p.Ready(10*time.Second, func() error {
		if !strings.Contains(p.Log(), "ready") {
			return errors.New("it has read nothing")
		}
		return nil
	})
	p.Freeze()
	found, err := NewSearcher(Text("phrase", phrase)).Memory("memory", p.PID())
	must(t, err)
	wantFound(t, found, "phrase")
	if found, err := NewSearcher(Text("another", strings.ToLower(phrase))).Memory("memory", p.PID()); err != nil || len(found) > 0 {
		t.Errorf("%v, %v", found, err)
	}
}

func TestDirectory(t *testing.T) {
	dir := t.TempDir()
	must(t, os.MkdirAll(filepath.Join(dir, "a", "q7Vbx8Zk9w3L2mP8dRtY5"), 0o755))
	must(t, os.WriteFile(filepath.Join(dir, "a", "b"), []byte(phrase), 0o600))
	s := NewSearcher(Text("content", phrase), Text("name", "q7Vbx8Zk9w3L2mP8dRtY5"))
	found, err := s.Directory("dir", dir)
	must(t, err)
	wantFound(t, found, "content")
	wantFound(t, found, "name")
}
