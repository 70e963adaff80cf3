package http_test

import (
	"context"
	"errors"
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
	t.Parallel()
	d := newDriver(t, driver.Config{})
	suite := func(server *http.Server, as func(*driver.Storage) endpoints.Storage) func(*testing.T) {
		return func(t *testing.T) {
			t.Parallel()
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

// What a person reads when something cannot be, at the server that decides it.
func TestRefusals(t *testing.T) {
	t.Parallel()
	d := newDriver(t, driver.Config{})
	apache, nginx := http.NewApache(t), http.NewNginx(t)
	for _, server := range []*http.Server{apache, nginx} {
		record := func(change func(*endpoints.Record)) endpoints.Record {
			r := server.Record("/dav")
			change(&r)
			return r
		}
		for what, c := range map[string]struct {
			rec  endpoints.Record
			id   driver.Identity
			do   func(context.Context, *driver.Storage) error // after it was opened
			kind fault.Kind
			want []string
		}{
			"an unknown host": {
				rec: record(func(r *endpoints.Record) { r.Servers = []string{"nobody.invalid:80"} }), id: server.Identity(),
				kind: fault.Transient, want: []string{"log in to lab#web", "nobody.invalid", "is the host's name right?"},
			},
			"a wrong password": {
				rec: server.Record("/dav"), id: driver.Identity{Owner: "ada", Password: "guessed", Fingerprint: "1"},
				kind: fault.Credential, want: []string{"lab#web: the server says 401 Unauthorized", `check the user "ada" and the password`},
			},
			"nobody": {
				rec: server.Record("/dav"), id: driver.Identity{Owner: "ada"},
				kind: fault.Credential, want: []string{"401 Unauthorized", "name a credential"},
			},
			"no permission": {
				rec: server.Record("/locked"), id: server.Identity(),
				do:   func(ctx context.Context, s *driver.Storage) error { _, err := s.Stat(ctx, "/x"); return err },
				kind: fault.Permission, want: []string{"stat /x: the server says 403 Forbidden", "ask the server's owner"},
			},
			"a name that is too long": {
				rec: server.Record("/dav"), id: server.Identity(),
				do:   func(ctx context.Context, s *driver.Storage) error { return write(ctx, s, "/"+strings.Repeat("n", 300)) },
				kind: fault.Unsupported, want: []string{"write /nnn", "longer than the 255 bytes", "shorten it"},
			},
			"writing where there is no WebDAV": {
				rec: server.Record("/plain"), id: server.Identity(),
				do:   func(ctx context.Context, s *driver.Storage) error { return write(ctx, s, "/f") },
				kind: fault.Unsupported, want: []string{"write /f: the server says 405 Method Not Allowed", "the server does not do this here"},
			},
			"listing where there is no WebDAV": {
				rec: server.Record("/plain"), id: server.Identity(),
				do: func(ctx context.Context, s *driver.Storage) error {
					return s.List(ctx, "/", func([]endpoints.Entry) error { return nil })
				},
				kind: fault.Unsupported, want: []string{"list /: the server speaks no WebDAV here", "name each file"},
			},
			"a password over plain http": {
				rec: record(func(r *endpoints.Record) { r.Options = nil }), id: server.Identity(),
				kind: fault.Invalid, want: []string{"everybody on the way could read", "use https, or set options.insecure: on"},
			},
			"TLS where there is none": {
				rec: record(func(r *endpoints.Record) { r.Scheme = "https" }), id: server.Identity(),
				kind: fault.Transient, want: []string{"log in to lab#web"},
			},
		} {
			s, err := d.Open(t.Context(), c.rec, c.id)
			if err == nil {
				t.Cleanup(func() { s.Close() })
				if c.do != nil {
					err = c.do(t.Context(), s)
				}
			}
			if !fault.Is(err, c.kind) {
				t.Errorf("%s: %v, which is %s and not %s", what, err, fault.KindOf(err), c.kind)
				continue
			}
			for _, want := range c.want {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("%s: %v", what, err)
				}
			}
			if strings.Contains(err.Error(), server.Password) {
				t.Errorf("%s: the error has the password in it", what)
			}
		}
	}
}

func write(ctx context.Context, s *driver.Storage, p string) error {
	w, err := s.Create(ctx, p, endpoints.CreateOptions{Size: 5})
	if err != nil {
		return err
	}
	if _, err := w.Write([]byte("bytes")); err != nil {
		return errors.Join(err, w.Abort())
	}
	return w.Commit()
}
