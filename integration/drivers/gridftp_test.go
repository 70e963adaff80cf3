// Package drivers_test holds the gridftp driver to the storage suite against
// servers that others wrote.
package drivers_test

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/gridferry/gridferry/endpoints"
	"github.com/gridferry/gridferry/endpoints/endpointtest"
	"github.com/gridferry/gridferry/endpoints/gridftp"
	"github.com/gridferry/gridferry/fault"
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

// Without GSI the server loses bytes of names, which the driver therefore refuses.
func TestPlainGlobusSuite(t *testing.T) {
	w := newWorld(t)
	s := globus.NewServer(t, globus.Options{Plain: true})
	rec := endpoints.Record{Kind: gridftp.Kind, Scheme: "ftp", Servers: []string{s.Addr()}}
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

// Plain FTP servers are asked where their sessions begin, and operations that
// move a session elsewhere bring it back.
func TestPlainHome(t *testing.T) {
	v, p := globus.NewVsftpd(t, ""), globus.NewProftpd(t, "")
	w := newWorld(t)
	w.id.Password = globus.PlainPassword
	for name, rec := range map[string]endpoints.Record{
		v.Root: {Kind: gridftp.Kind, Scheme: "ftp", Servers: []string{v.Addr()}},
		p.Root: {Kind: gridftp.Kind, Scheme: "ftp", Servers: []string{p.Addr()}, User: globus.PlainUser},
	} {
		s := w.open(t, rec)
		if home, err := s.Home(t.Context()); err != nil || home != name {
			t.Errorf("home %q, %v, want %q", home, err, name)
		}
	}
}

// The byte 255 means something to Telnet, which FTP is on top of: names with it
// arrive as they are, or are refused.
func TestByte255(t *testing.T) {
	const name = "a\xffb\xff\xffc\xff\xfa"
	w := newWorld(t)
	gsi := globus.NewServer(t, globus.Options{CA: w.ca})
	plain := globus.NewServer(t, globus.Options{Plain: true})
	v, p := globus.NewVsftpd(t, ""), globus.NewProftpd(t, "")
	w.id.Password = globus.PlainPassword
	for root, c := range map[string]struct {
		rec     endpoints.Record
		refused bool
	}{
		gsi.Root:   {rec: endpoints.Record{Kind: gridftp.Kind, Servers: []string{gsi.Addr()}}},
		v.Root:     {rec: endpoints.Record{Kind: gridftp.Kind, Scheme: "ftp", Servers: []string{v.Addr()}}},
		p.Root:     {rec: endpoints.Record{Kind: gridftp.Kind, Scheme: "ftp", Servers: []string{p.Addr()}, User: globus.PlainUser}},
		plain.Root: {endpoints.Record{Kind: gridftp.Kind, Scheme: "ftp", Servers: []string{plain.Addr()}}, true},
	} {
		s := w.open(t, c.rec)
		err := s.Mkdir(t.Context(), root+"/"+name)
		if c.refused {
			if left, _ := os.ReadDir(root); !fault.Is(err, fault.Unsupported) || len(left) != 0 {
				t.Errorf("%s: %v, and %d names were made", s.Caps().Server, err, len(left))
			}
			continue
		}
		if err != nil {
			t.Errorf("%s: %v", s.Caps().Server, err)
			continue
		}
		if _, err := os.Stat(root + "/" + name); err != nil {
			t.Errorf("%s: %v", s.Caps().Server, err)
		}
		f, err := s.Create(t.Context(), root+"/"+name+"/"+name, endpoints.CreateOptions{Size: 5})
		if err != nil {
			t.Errorf("%s: %v", s.Caps().Server, err)
			continue
		}
		_, err = f.Write([]byte("hello"))
		if err = errors.Join(err, f.Commit()); err != nil {
			t.Errorf("%s: %v", s.Caps().Server, err)
		}
		var names []string
		err = s.List(t.Context(), root+"/"+name, func(page []endpoints.Entry) error {
			for _, e := range page {
				names = append(names, e.Name)
			}
			return nil
		})
		if err != nil || len(names) != 1 || names[0] != name {
			t.Errorf("%s: listed %q, %v", s.Caps().Server, names, err)
		}
		if e, err := s.Stat(t.Context(), root+"/"+name+"/"+name); err != nil || e.Size != 5 {
			t.Errorf("%s: %+v, %v", s.Caps().Server, e, err)
		}
		if err := s.Remove(t.Context(), root+"/"+name+"/"+name); err != nil {
			t.Errorf("%s: %v", s.Caps().Server, err)
		}
	}
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
