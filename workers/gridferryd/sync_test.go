package main

import (
	"bytes"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestSync: files are synced where the configuration says so, and only there.
func TestSync(t *testing.T) {
	for _, want := range []bool{false, true} {
		dir := t.TempDir()
		conf := filepath.Join(dir, "gridferryd.yaml")
		text := fmt.Sprintf("roles: [gridftp]\ntrust_dir: %q\ngridftp: {root: %[1]q, anonymous: true, listen: '127.0.0.1:0', sync: %v}\n", dir, want)
		if err := os.WriteFile(conf, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		all, err := (&source{path: conf}).load(nil)
		if err != nil {
			t.Fatal(err)
		}
		var log bytes.Buffer
		stop, _, err := startGridFTP(t.Context(), all, slog.New(slog.NewJSONHandler(&log, nil)), make(chan error, 1))
		if err != nil {
			t.Fatal(err)
		}
		stop()
		if all.GridFTP.Sync != want || !strings.Contains(log.String(), fmt.Sprintf(`"sync":%v`, want)) {
			t.Errorf("sync is %v, want %v: %s", all.GridFTP.Sync, want, &log)
		}
	}
}
