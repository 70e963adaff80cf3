// Package compose checks docker-compose.yaml without an engine: its tests load
// the file as Compose does, and start what it would start in network namespaces
// and overlay file systems, from the same environment, files and scripts.
//
// The package itself makes the secrets that the file refers to, for a trial.
package compose

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/gridferry/gridferry/service/vault"
	"github.com/gridferry/gridferry/wire/gsi"
)

// hosts are the services of docker-compose.yaml that have a host certificate.
func hosts() []string { return []string{"gridferry", "mover", "dtn-a", "dtn-b", "dtn-own", "myproxy"} }

// WriteSite makes dir with everything that docker-compose.yaml takes from
// ${GRIDFERRY_SECRETS}: a throw-away authority's trust directory, a credential
// for each host and for one user, passwords of the database, and the keys that
// seal credentials. It refuses a directory that exists: a running stack would
// lose all that they open.
func WriteSite(ctx context.Context, dir string) error {
	if err := writeSite(ctx, dir); err != nil {
		return fmt.Errorf("make the secrets of a site in %s: %w", dir, err)
	}
	return nil
}

func writeSite(ctx context.Context, dir string) error {
	// The directory is what keeps others out. Files in it that are read by
	// different uids in their containers are readable for all; those that only
	// gridferry or root reads are not.
	if err := os.Mkdir(dir, 0o700); errors.Is(err, fs.ErrExist) {
		return errors.New("it exists; remove it to begin anew")
	} else if err != nil {
		return err
	}
	authority, err := gsi.NewAuthority("Gridferry")
	if err != nil {
		return err
	}
	if err := authority.WriteTrustDir(filepath.Join(dir, "certificates")); err != nil {
		return err
	}
	for _, name := range hosts() {
		c, err := authority.Host(name, "localhost", "127.0.0.1")
		if err != nil {
			return err
		}
		if err := savePair(c, dir, name); err != nil {
			return err
		}
	}
	user, err := authority.User("Ada")
	if err != nil {
		return err
	}
	if err := savePair(user, dir, "user"); err != nil {
		return err
	}
	if err := vault.NewKeyFile(filepath.Join(dir, "vault_keyset"), nil).Create(ctx); err != nil {
		return err
	}
	for name, mode := range map[string]fs.FileMode{"postgres_password": 0o644, "gridferry_password": 0o600} {
		// No line end: not every reader cuts it off.
		if err := os.WriteFile(filepath.Join(dir, name), []byte(rand.Text()), mode); err != nil {
			return err
		}
	}
	return nil
}

func savePair(c *gsi.Credential, dir, name string) error {
	return c.SavePair(filepath.Join(dir, name+".cert.pem"), filepath.Join(dir, name+".key.pem"))
}
