package main

import (
	"context"
	"log/slog"
	"os"
	"path/filepath"

	"github.com/gridferry/gridferry/blob"
	"github.com/gridferry/gridferry/config"
	"github.com/gridferry/gridferry/fault"
	"github.com/gridferry/gridferry/service/store"
	"github.com/gridferry/gridferry/service/vault"
	"github.com/gridferry/gridferry/workers"
)

// state is what outlives this process.
type state struct {
	kept   *store.Store
	blobs  blob.Store
	sealed *vault.Vault // over kept
}

// openState opens the store, and the blobs and keys that belong to it. A store
// in a file refuses a second host; any store refuses blobs other than those it
// was first used with.
func openState(ctx context.Context, c *config.Config, adopt bool, logger *slog.Logger) (*state, error) {
	if c.Blobs.URL == "" {
		if err := makeDir(c.Blobs.Dir); err != nil {
			return nil, err
		}
	}
	kept, err := openStore(ctx, c, adopt, logger)
	if err != nil {
		return nil, err
	}
	var blobs *blob.Bounded
	unbound, err := workers.OpenBlobs(ctx, c, logger)
	if err == nil {
		blobs = blob.Bound(unbound, blob.Limits{Budget: int64(c.Blobs.Budget), Reserve: int64(c.Blobs.Reserve)})
		var id string
		if id, err = blobs.ID(ctx); err == nil {
			err = kept.BindBlobs(ctx, id)
		}
	}
	var sealed *vault.Vault
	if err == nil {
		sealed, err = openVault(ctx, c, kept, logger)
	}
	if err != nil {
		kept.Close()
		return nil, err
	}
	return &state{kept, blobs, sealed}, nil
}

func makeDir(dir string) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return &fault.Error{Kind: fault.Permission, Op: "make directory", Path: dir, Err: err, Hint: "set data_dir to where this user may write"}
	}
	return nil
}

func openStore(ctx context.Context, c *config.Config, adopt bool, logger *slog.Logger) (*store.Store, error) {
	opts := store.Options{Adopt: adopt, PasswordFile: c.Store.PasswordFile, Log: logger}
	if c.Store.PostgreSQL() {
		return store.OpenPostgres(ctx, c.Store.URL, opts)
	}
	if err := makeDir(filepath.Dir(c.Store.Path)); err != nil {
		return nil, err
	}
	return store.Open(ctx, c.Store.Path, opts)
}

// openVault makes the keyset when it can be the first. Without one, tasks that
// need a credential wait and all others run.
func openVault(ctx context.Context, c *config.Config, kept *store.Store, logger *slog.Logger) (*vault.Vault, error) {
	keys, file, err := openKeys(c.Vault)
	if err != nil {
		return nil, err
	}
	_, err = keys.Keyset(ctx)
	// Of several hosts each would make its own, and with a new one in place of
	// one that was lost, nobody would look for that any more.
	if fault.Is(err, fault.NotFound) && file != nil && !c.Store.PostgreSQL() {
		sealed, look := kept.Sealed(ctx)
		if look != nil {
			return nil, look
		}
		if !sealed {
			if err = file.Create(ctx); err == nil || fault.Is(err, fault.Exists) {
				logger.Info("the keys that seal credentials are new: keep a copy, apart from those of the store", "keyset", c.Vault.KeysetFile)
				_, err = keys.Keyset(ctx)
			}
		}
	}
	if err != nil {
		logger.Warn("credentials can be neither taken nor opened before the keyset can be read", "error", err)
	}
	return vault.New(kept, keys), nil
}

// openKeys returns the keys that the configuration names; file is nil when they
// are in the environment.
func openKeys(v config.Vault) (keys vault.Keys, file *vault.KeyFile, err error) {
	var wrap vault.Wrapper
	if v.KMSKey != "" {
		if wrap, err = vault.NewKMS(v.KMSKey); err != nil {
			return nil, nil, fault.Wrap(fault.Invalid, "use KMS key", v.KMSKey, err)
		}
	}
	if v.KeysetEnv != "" {
		return vault.NewKeyEnv(v.KeysetEnv, os.Getenv(v.KeysetEnv), wrap), nil, nil
	}
	file = vault.NewKeyFile(v.KeysetFile, wrap)
	return file, file, nil
}
