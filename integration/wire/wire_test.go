// Package wire_test runs package gridftp's client against servers that others
// wrote: the Globus GridFTP server above all, vsftpd, proftpd and OpenSSH.
package wire_test

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/gridferry/gridferry/integration/globus"
	"github.com/gridferry/gridferry/wire/gridftp"
	"github.com/gridferry/gridferry/wire/gsi"
	"github.com/gridferry/gridferry/wire/gsi/gsitest"
)

// A world is an authority, a user, and what sessions are made with.
type world struct {
	t    testing.TB
	ca   *gsitest.CA
	user *gsi.Credential
}

func newWorld(t testing.TB) *world {
	ca := gsitest.NewCA(t)
	return &world{t, ca, ca.Proxy(ca.User("Ada"))}
}

// server starts a Globus server that knows the user.
func (w *world) server(conf ...string) *globus.Server {
	w.t.Helper()
	return globus.NewServer(w.t, globus.Options{CA: w.ca, Conf: conf})
}

func (w *world) config(s *globus.Server) gridftp.Config {
	return gridftp.Config{Scheme: gridftp.GSIFTP, Addr: s.Addr(), Credential: w.user, Trust: w.ca.Trust()}
}

// dial logs in, and out when the test ends.
func (w *world) dial(s *globus.Server, edit ...func(*gridftp.Config)) *gridftp.Client {
	w.t.Helper()
	config := w.config(s)
	for _, f := range edit {
		f(&config)
	}
	return open(w.t, config)
}

func open(t testing.TB, config gridftp.Config) *gridftp.Client {
	t.Helper()
	c, err := gridftp.Dial(bounded(t), config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

// bounded is a context that ends before the test's patience does.
func bounded(t testing.TB) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	t.Cleanup(cancel)
	return ctx
}

// write makes a file of the server's.
func write(t testing.TB, s *globus.Server, name string, content []byte) {
	t.Helper()
	path := s.Path(name)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, content, 0o644); err != nil {
		t.Fatal(err)
	}
}

// want fails the test when a file does not hold content.
func want(t testing.TB, path string, content []byte) {
	t.Helper()
	got, err := os.ReadFile(path)
	if err != nil {
		t.Error(err)
	} else if !bytes.Equal(got, content) {
		t.Errorf("%s holds %d bytes %.40q, want %d bytes %.40q", path, len(got), got, len(content), content)
	}
}

// content returns n bytes that no other seed gives.
func content(seed, n int) []byte {
	b := bytes.Repeat(fmt.Appendf(nil, "<%d of %d>", seed, n), n/4+1)
	return b[:n]
}

// list hands out files one by one.
func list(files []gridftp.File) func(context.Context) (gridftp.File, bool) {
	i := 0
	return func(context.Context) (gridftp.File, bool) {
		if i == len(files) {
			return gridftp.File{}, false
		}
		i++
		return files[i-1], true
	}
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
