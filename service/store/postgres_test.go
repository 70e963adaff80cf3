package store_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/gridferry/gridferry/activities"
	"github.com/gridferry/gridferry/fault"
	"github.com/gridferry/gridferry/integration/harness"
	"github.com/gridferry/gridferry/integration/postgres"
	"github.com/gridferry/gridferry/service/store"
)

// Hosts share what is in PostgreSQL, and a server that restarts is waited for.
func TestPostgreSQLServer(t *testing.T) {
	server := postgres.Start(t)
	p := place{address: server.Database(t), passwordFile: server.PasswordFile}
	a := open(t, p, store.Options{Host: store.Host{Name: "a"}})
	b := open(t, p, store.Options{Host: store.Host{Name: "b"}})
	request := activities.LeaseRequest{Task: "t", Chunk: "c", TTL: time.Minute}
	first, err := a.Acquire(t.Context(), request)
	if err != nil {
		t.Fatal(err)
	}
	second, err := b.Acquire(t.Context(), request)
	if err != nil || second.Epoch <= first.Epoch {
		t.Errorf("epoch %d on another host after %d, %v", second.Epoch, first.Epoch, err)
	}
	wantKind(t, "renew what another host took", a.Renew(t.Context(), first), fault.Canceled)
	for _, s := range []*store.Store{a, b} {
		wantKind(t, "the same blobs", s.BindBlobs(t.Context(), "blobs"), "")
	}
	wantKind(t, "a name that PostgreSQL cannot keep", a.Await(t.Context(), "ann\x00", "d", "t"), fault.Invalid)

	server.Stop()
	wantKind(t, "renew without a server", b.Renew(t.Context(), second), fault.Transient)
	wantKind(t, "sweep without a server", func() error { _, err := a.Sweep(t.Context()); return err }(), fault.Transient)
	_, err = p.open(t.Context(), store.Options{})
	wantKind(t, "open without a server", err, fault.Transient)
	server.Restart()
	harness.Eventually(t, time.Minute, func() error { return b.Renew(t.Context(), second) })
}

func TestPostgreSQLRefusals(t *testing.T) {
	server := postgres.Start(t)
	address := server.Database(t)
	dir := t.TempDir()
	wrong := filepath.Join(dir, "wrong")
	if err := os.WriteFile(wrong, []byte("planted\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for what, c := range map[string]struct {
		place
		want fault.Kind
	}{
		"a wrong password":      {place{address, wrong}, fault.Permission},
		"no password":           {place{address, ""}, fault.Permission},
		"no password file":      {place{address, filepath.Join(dir, "none")}, fault.Permission},
		"no such database":      {place{strings.Replace(address, "/test1?", "/none?", 1), server.PasswordFile}, fault.NotFound},
		"no server there":       {place{"postgres://x@127.0.0.1:1/x", wrong}, fault.Transient},
		"not an address at all": {place{"postgres://x:planted@[", ""}, fault.Invalid},
	} {
		_, err := c.open(t.Context(), store.Options{})
		wantKind(t, what, err, c.want)
		if err != nil && strings.Contains(err.Error(), "planted") {
			t.Errorf("%s: the error tells the password: %v", what, err)
		}
	}
	// The password is read for each connection, and libpq's environment will do.
	t.Setenv("PGPASSFILE", filepath.Join(dir, "pgpass"))
	password, err := os.ReadFile(server.PasswordFile)
	if err != nil {
		t.Fatal(err)
	}
	escaped := strings.ReplaceAll(strings.TrimSpace(string(password)), `\`, `\\`)
	if err := os.WriteFile(filepath.Join(dir, "pgpass"), fmt.Appendf(nil, "*:*:*:gridferry:%s\n", escaped), 0o600); err != nil {
		t.Fatal(err)
	}
	open(t, place{address: address}, store.Options{})
}

func TestPostgreSQLKinds(t *testing.T) {
	for code, want := range map[string]fault.Kind{
		"53100": fault.NoSpace, "53300": fault.Transient, "57P01": fault.Transient, "40001": fault.Transient,
		"28P01": fault.Permission, "42501": fault.Permission, "25006": fault.Transient, "3D000": fault.NotFound,
		"42P01": "", "": "",
	} {
		if got := store.PostgresKind(fmt.Errorf("x: %w", &pgconn.PgError{Code: code})); got != want {
			t.Errorf("%s: %q, want %q", code, got, want)
		}
	}
	if got := store.PostgresKind(io.ErrUnexpectedEOF); got != fault.Transient {
		t.Errorf("a lost connection: %q", got)
	}
	if got := store.PostgresKind(errors.New("x")); got != "" {
		t.Errorf("anything else: %q", got)
	}
}

// One that cannot get at the lock gives up, and says so as trouble that passes.
func TestPostgreSQLWaits(t *testing.T) {
	server := postgres.Start(t)
	s := open(t, place{server.Database(t), server.PasswordFile}, store.Options{})
	unlock := store.HoldLock(t, s)
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	wantKind(t, "a write that has to wait", s.Forget(ctx, "t"), fault.Transient)
	if _, err := s.WaitersOf(t.Context(), "ann", "d"); err != nil {
		t.Errorf("reads need no lock: %v", err)
	}
	unlock()
	wantKind(t, "a write afterwards", s.Forget(t.Context(), "t"), "")
}
