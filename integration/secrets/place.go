package secrets

import (
	"bufio"
	"bytes"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	_ "modernc.org/sqlite" // the driver "sqlite"
)

// Directory searches every file below a directory, and their names.
func (s *Searcher) Directory(place, dir string) ([]Finding, error) {
	var found []Finding
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name, err := filepath.Rel(dir, path)
		if err != nil {
			return err
		}
		found = merge(found, s.Scan(place+", a name", []byte(name)))
		if !d.Type().IsRegular() {
			return nil
		}
		data, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		found = merge(found, s.Search(place+" "+name, data))
		return nil
	})
	return found, err
}

// SQLite searches a database that nobody is writing to: its file and its log as
// they lie there, where deleted rows may be too, and each value of each row,
// which in the file may be in pieces.
func (s *Searcher) SQLite(t testing.TB, place, path string) ([]Finding, error) {
	dir := t.TempDir()
	var found []Finding
	for _, suffix := range []string{"", "-wal"} {
		data, err := os.ReadFile(path + suffix)
		if errors.Is(err, fs.ErrNotExist) && suffix != "" {
			continue
		}
		if err != nil {
			return nil, err
		}
		found = merge(found, s.Search(place+", file"+suffix, data))
		// A reader of the original would write to it: it takes up the log.
		if err := os.WriteFile(filepath.Join(dir, "copy.db"+suffix), data, 0o600); err != nil {
			return nil, err
		}
	}
	db, err := sql.Open("sqlite", filepath.Join(dir, "copy.db"))
	if err != nil {
		return nil, err
	}
	defer db.Close()
	tables, err := columns(db, "SELECT name FROM sqlite_master WHERE type = 'table'")
	if err != nil {
		return nil, err
	}
	if len(tables) == 0 {
		return nil, fmt.Errorf("%s has no tables", path)
	}
	for _, table := range tables {
		values, err := columns(db, `SELECT * FROM "`+string(table)+`"`)
		if err != nil {
			return nil, err
		}
		for _, v := range values {
			found = merge(found, s.Search(place+", table "+string(table), v))
		}
	}
	return found, nil
}

// columns returns the values of all columns of all rows.
func columns(db *sql.DB, query string) ([][]byte, error) {
	rows, err := db.Query(query)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", query, err)
	}
	defer rows.Close()
	names, err := rows.Columns()
	if err != nil {
		return nil, err
	}
	var all [][]byte
	for rows.Next() {
		row := make([]sql.RawBytes, len(names))
		into := make([]any, len(names))
		for i := range row {
			into[i] = &row[i]
		}
		if err := rows.Scan(into...); err != nil {
			return nil, fmt.Errorf("%s: %w", query, err)
		}
		for _, v := range row {
			all = append(all, bytes.Clone(v))
		}
	}
	return all, rows.Err()
}

// Memory searches what a stopped process could write to: what a core dump of it
// would have, registers apart.
func (s *Searcher) Memory(place string, pid int) ([]Finding, error) {
	maps, err := os.ReadFile(fmt.Sprintf("/proc/%d/maps", pid))
	if err != nil {
		return nil, err
	}
	memory, err := os.Open(fmt.Sprintf("/proc/%d/mem", pid))
	if err != nil {
		return nil, err
	}
	defer memory.Close()
	var found []Finding
	for lines := bufio.NewScanner(bytes.NewReader(maps)); lines.Scan(); {
		from, to, writable, err := mapping(lines.Text())
		if err != nil {
			return nil, err
		}
		if !writable {
			continue
		}
		more, err := s.ScanReader(place, io.NewSectionReader(memory, from, to-from))
		if err != nil {
			return nil, fmt.Errorf("%s: %w", lines.Text(), err)
		}
		found = merge(found, more)
	}
	return found, nil
}

// mapping reads a line of /proc/PID/maps (proc_pid_maps(5)).
func mapping(line string) (from, to int64, writable bool, err error) {
	fields := strings.Fields(line)
	if len(fields) < 2 {
		return 0, 0, false, fmt.Errorf("%q is no mapping", line)
	}
	first, last, _ := strings.Cut(fields[0], "-")
	if from, err = strconv.ParseInt(first, 16, 64); err != nil {
		return 0, 0, false, nil // at the top of the address space, where only the kernel's are
	}
	to, err = strconv.ParseInt(last, 16, 64)
	return from, to, strings.HasPrefix(fields[1], "rw"), err
}
