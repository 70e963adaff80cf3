package sftp_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/gridferry/gridferry/endpoints"
	"github.com/gridferry/gridferry/endpoints/endpointtest"
	driver "github.com/gridferry/gridferry/endpoints/sftp"
	"github.com/gridferry/gridferry/integration/sftp"
)

func newDriver(t *testing.T) *driver.Driver {
	d := driver.New(driver.Config{})
	t.Cleanup(d.Close)
	return d
}

func open(t *testing.T, d *driver.Driver, s *sftp.Server, rec endpoints.Record) *driver.Storage {
	t.Helper()
	opened, err := d.Open(t.Context(), rec, sftp.Identity(s.KeyFile()))
	must(t, err)
	t.Cleanup(func() { opened.Close() })
	return opened
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func TestSuite(t *testing.T) {
	d, server := newDriver(t), sftp.NewServer(t)
	t.Run("All", func(t *testing.T) {
		endpointtest.Run(t, func(t *testing.T) (endpoints.Storage, string) {
			return open(t, d, server, server.Record("")), t.TempDir()
		})
	})
	t.Run("Root", func(t *testing.T) {
		endpointtest.Run(t, func(t *testing.T) (endpoints.Storage, string) {
			link := filepath.Join(t.TempDir(), "link")
			must(t, os.Symlink(t.TempDir(), link))
			return open(t, d, server, server.Record(link)), ""
		})
	})
}
