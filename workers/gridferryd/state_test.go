package main

import (
	"bytes"
	"log/slog"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/gridferry/gridferry/config"
	"github.com/gridferry/gridferry/fault"
	"github.com/gridferry/gridferry/integration/postgres"
	"github.com/gridferry/gridferry/transfer"
)

func loaded(t *testing.T, set ...string) *config.Config {
	t.Helper()
	dir := t.TempDir()
	conf := dir + "/gridferryd.yaml"
	if err := os.WriteFile(conf, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	from := source{path: conf, set: append([]string{"data_dir=" + dir + "/state"}, set...)}
	c, err := from.load(nil)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func opened(t *testing.T, c *config.Config) (*state, string) {
	t.Helper()
	var log bytes.Buffer
	s, err := openState(t.Context(), c, false, slog.New(slog.NewTextHandler(&log, nil)))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.kept.Close() })
	return s, log.String()
}

func credential() transfer.Activation {
	return transfer.Activation{Owner: "ann", Domain: "d", Kind: "proxy", Given: time.Now(), Expires: time.Now().Add(time.Hour)}
}

// The first start makes the keys; no later one does once they seal something.
func TestKeysOfTheFirstStart(t *testing.T) {
	c := loaded(t)
	s, log := opened(t, c)
	if !strings.Contains(log, "keep a copy") {
		t.Errorf("nobody is told of the keys: %s", log)
	}
	if info, err := os.Stat(c.Vault.KeysetFile); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the keys: %v, %v", info, err)
	}
	if err := s.sealed.Put(t.Context(), credential(), []byte("secret")); err != nil {
		t.Fatal(err)
	}
	s, log = opened(t, c)
	if _, pem, err := s.sealed.Open(t.Context(), "ann", "d"); err != nil || string(pem) != "secret" || strings.Contains(log, "keep a copy") {
		t.Errorf("the second start: %q, %v, %s", pem, err, log)
	}
	if err := os.Remove(c.Vault.KeysetFile); err != nil {
		t.Fatal(err)
	}
	s, log = opened(t, c)
	if _, err := os.Stat(c.Vault.KeysetFile); !os.IsNotExist(err) {
		t.Errorf("lost keys were made again: %v", err)
	}
	if _, _, err := s.sealed.Open(t.Context(), "ann", "d"); !fault.Is(err, fault.Transient) || !strings.Contains(log, "level=WARN") {
		t.Errorf("without the keys: %v, %s", err, log)
	}
}

// Hosts that share a store share its keys, which none of them makes.
func TestStateInPostgreSQL(t *testing.T) {
	server := postgres.Start(t)
	c := loaded(t, "store.url="+server.Database(t), "store.password_file="+server.PasswordFile)
	s, log := opened(t, c)
	if _, err := os.Stat(c.Vault.KeysetFile); !os.IsNotExist(err) || !strings.Contains(log, "vault init") {
		t.Errorf("keys were made: %v, %s", err, log)
	}
	if err := s.sealed.Put(t.Context(), credential(), []byte("secret")); !fault.Is(err, fault.Transient) {
		t.Errorf("put without keys: %v", err)
	}
	_, file, err := openKeys(c.Vault)
	if err != nil {
		t.Fatal(err)
	}
	if err := file.Create(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := s.sealed.Put(t.Context(), credential(), []byte("secret")); err != nil {
		t.Errorf("put when the keys are there: %v", err)
	}
	if _, err := os.Stat(c.Store.Path); !os.IsNotExist(err) {
		t.Errorf("there is a store in a file too: %v", err)
	}
}
