// Package drivers_test holds the gridftp driver to the storage suite against
// servers that others wrote.
package drivers_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/gridferry/gridferry/endpoints"
	"github.com/gridferry/gridferry/endpoints/endpointtest"
	"github.com/gridferry/gridferry/endpoints/gridftp"
	"github.com/gridferry/gridferry/integration/globus"
	"github.com/gridferry/gridferry/wire/gsi/gsitest"
)

// world is an authority, a user, and one process's driver.
type world struct {
	ca     *gsitest.CA
	id     gridftp.Identity
	driver *gridftp.Driver
}

func newWorld(t *testing.T) *world {
	ca := gsitest.NewCA(t)
	w := &world{ca: ca, driver: gridftp.New(gridftp.Config{})}
	w.id = gridftp.Identity{Owner: "ada", Credential: ca.Proxy(ca.User("Ada")), Trust: ca.Trust()}
	t.Cleanup(w.driver.Close)
	return w
}

func (w *world) open(t *testing.T, rec endpoints.Record) *gridftp.Storage {
	t.Helper()
	s, err := w.driver.Open(t.Context(), rec, w.id)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

// fresh makes an empty directory below a server's root.
func fresh(t *testing.T, root string) string {
	t.Helper()
	dir, err := os.MkdirTemp(root, "test")
	if err == nil {
		err = os.Chmod(dir, 0o777)
	}
	if err != nil {
		t.Fatal(err)
	}
	return dir
}

func TestGlobusSuite(t *testing.T) {
	w := newWorld(t)
	s := globus.NewServer(t, globus.Options{CA: w.ca})
	rec := endpoints.Record{Kind: gridftp.Kind, Servers: []string{s.Addr()}}
	endpointtest.Run(t, func(t *testing.T) (endpoints.Storage, string) { return w.open(t, rec), fresh(t, s.Root) })
}

// A root is a directory in front of every path; two servers are taken in turn,
// and one that is not there is passed over.
func TestGlobusSuiteWithRootAndTeam(t *testing.T) {
	w := newWorld(t)
	a := globus.NewServer(t, globus.Options{CA: w.ca})
	b := globus.NewServer(t, globus.Options{CA: w.ca, Root: a.Root})
	root := fresh(t, a.Root)
	rec := endpoints.Record{
		Name: "lab#dtn", Kind: gridftp.Kind, Root: root, Servers: []string{a.Addr(), "127.0.0.1:1", b.Addr()},
		Options: map[string]string{"prot": "private", "delegation": "always"},
	}
	endpointtest.Run(t, func(t *testing.T) (endpoints.Storage, string) {
		return w.open(t, rec), "/" + filepath.Base(fresh(t, root))
	})
}

func TestProftpdSuite(t *testing.T) {
	s := globus.NewProftpd(t, "")
	w := newWorld(t)
	w.id.Password = globus.PlainPassword
	rec := endpoints.Record{Kind: gridftp.Kind, Scheme: "ftp", Servers: []string{s.Addr()}, User: globus.PlainUser}
	endpointtest.Run(t, func(t *testing.T) (endpoints.Storage, string) { return w.open(t, rec), fresh(t, s.Root) })
}

func TestVsftpdSuite(t *testing.T) {
	s := globus.NewVsftpd(t, "")
	w := newWorld(t)
	rec := endpoints.Record{Kind: gridftp.Kind, Scheme: "ftp", Servers: []string{s.Addr()}}
	endpointtest.Run(t, func(t *testing.T) (endpoints.Storage, string) { return w.open(t, rec), fresh(t, s.Root) })
}

// "/~" is the login directory, where sessions of this server begin.
func TestHome(t *testing.T) {
	w := newWorld(t)
	server := globus.NewServer(t, globus.Options{CA: w.ca})
	s := w.open(t, endpoints.Record{Kind: gridftp.Kind, Servers: []string{server.Addr()}})
	home, err := s.Home(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Mkdir(t.Context(), home+"/made here"); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(server.Path("made here")); err != nil {
		t.Error(err)
	}
	if e, err := s.Stat(t.Context(), home); err != nil || e.Type != endpoints.Dir {
		t.Errorf("the login directory: %+v, %v", e, err)
	}
}
