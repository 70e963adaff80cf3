package http_test

import (
	"context"
	"path"
	"strings"
	"testing"

	"github.com/gridferry/gridferry/endpoints"
	"github.com/gridferry/gridferry/endpoints/endpointtest"
	driver "github.com/gridferry/gridferry/endpoints/http"
	"github.com/gridferry/gridferry/fault"
	"github.com/gridferry/gridferry/integration/http"
)

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func newDriver(t testing.TB, c driver.Config) *driver.Driver {
	t.Helper()
	d := driver.New(c)
	t.Cleanup(d.Close)
	return d
}

func open(t testing.TB, d *driver.Driver, rec endpoints.Record, id driver.Identity) *driver.Storage {
	t.Helper()
	s, err := d.Open(t.Context(), rec, id)
	must(t, err)
	t.Cleanup(func() { s.Close() })
	return s
}

func TestSuite(t *testing.T) {
	d := newDriver(t, driver.Config{})
	suite := func(server *http.Server, as func(*driver.Storage) endpoints.Storage) func(*testing.T) {
		return func(t *testing.T) {
			endpointtest.Run(t, func(t *testing.T) (endpoints.Storage, string) {
				s := open(t, d, server.Record("/dav"), server.Identity())
				dir := "/" + strings.ReplaceAll(t.Name(), "/", "-")
				must(t, s.Mkdir(t.Context(), dir))
				return as(s), dir
			})
		}
	}
	t.Run("Apache", suite(http.NewApache(t), func(s *driver.Storage) endpoints.Storage { return s }))
	t.Run("nginx", suite(http.NewNginx(t), func(s *driver.Storage) endpoints.Storage { return dotless{s} }))
}

// dotless takes no names that begin with a dot: nginx takes them, and leaves them
// out of its listings.
type dotless struct{ *driver.Storage }

func (d dotless) Create(ctx context.Context, p string, opts endpoints.CreateOptions) (endpoints.Writer, error) {
	if strings.HasPrefix(path.Base(p), ".") && path.Clean(p) == p {
		return nil, fault.New(fault.Unsupported, "write", p, "nginx would not list it")
	}
	return d.Storage.Create(ctx, p, opts)
}
