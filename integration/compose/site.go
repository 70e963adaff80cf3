// Package compose checks docker-compose.yaml without an engine: its tests load
// the file as Compose does, and start what it would start in network namespaces
// and overlay file systems, from the same environment, files and scripts.
//
// The package itself makes the secrets that the file refers to, for a trial.
package compose

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/gridferry/gridferry/wire/gsi"
)

// hosts are the services of docker-compose.yaml that have a host certificate.
func hosts() []string { return []string{"dtn-a", "dtn-b", "dtn-own", "myproxy"} }

// WriteSite makes dir with everything that docker-compose.yaml takes from
// ${GRIDFERRY_SECRETS}: a throw-away authority's trust directory, a credential
// for each host and for one user, and a database password. It refuses a
// directory that exists: a running stack would lose its database's password.
func WriteSite(dir string) error {
	if err := writeSite(dir); err != nil {
		return fmt.Errorf("make the secrets of a site in %s: %w", dir, err)
	}
	return nil
}

func writeSite(dir string) error {
	// The directory is what keeps others out. Files in it that are no keys are
	// readable, because those who read them have different uids in their
	// containers.
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
	// No line end: not every reader cuts it off.
	return os.WriteFile(filepath.Join(dir, "postgres_password"), []byte(rand.Text()), 0o644)
}

func savePair(c *gsi.Credential, dir, name string) error {
	return c.SavePair(filepath.Join(dir, name+".cert.pem"), filepath.Join(dir, name+".key.pem"))
}
