// Package server_test runs our GridFTP server against clients and servers that
// others wrote: globus-url-copy, and globus-gridftp-server as the other end of
// third-party transfers.
package server_test

import (
	"bytes"
	"crypto/tls"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gridferry/gridferry/endpoints/posix"
	"github.com/gridferry/gridferry/gateway/gridftpd"
	"github.com/gridferry/gridferry/integration/globus"
	"github.com/gridferry/gridferry/wire/gridftp/server"
	"github.com/gridferry/gridferry/wire/gsi"
	"github.com/gridferry/gridferry/wire/gsi/gsitest"
)

// A world is an authority and a user with a proxy.
type world struct {
	t   testing.TB
	ca  *gsitest.CA
	env []string // of the Globus clients
}

func newWorld(t testing.TB) *world {
	ca := gsitest.NewCA(t)
	return &world{t, ca, globus.ClientEnv(ca, ca.ProxyFile(ca.Proxy(ca.User("Ada"))))}
}

// An ours is our server, with a root of its own.
type ours struct {
	t      testing.TB
	addr   string
	root   string
	scheme string
	log    *syncBuffer

	mu        sync.Mutex
	transfers []server.Transfer
}

type syncBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (s *syncBuffer) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

func (s *syncBuffer) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}

// server starts our server for the user, with GSI.
func (w *world) server(edit ...func(*server.Config)) *ours {
	w.t.Helper()
	return w.serverAt("127.0.0.1:0", edit...)
}

func (w *world) serverAt(listen string, edit ...func(*server.Config)) *ours {
	w.t.Helper()
	return serve(w.t, listen, append([]func(*server.Config){w.gsi()}, edit...)...)
}

// gsi lets the user in.
func (w *world) gsi() func(*server.Config) {
	w.t.Helper()
	gridmap, err := server.ParseGridmap(fmt.Sprintf("%q me\n", globus.Identity))
	if err != nil {
		w.t.Fatal(err)
	}
	return func(c *server.Config) {
		c.Credential, c.Trust, c.Gridmap, c.Account = w.ca.Host(), w.ca.Trust(), gridmap, "me"
	}
}

// serveAnonymous starts our server without GSI.
func serveAnonymous(t testing.TB) *ours {
	t.Helper()
	return serve(t, "127.0.0.1:0", func(c *server.Config) { c.Anonymous, c.AnonymousWrites = true, true })
}

func serve(t testing.TB, listen string, edit ...func(*server.Config)) *ours {
	t.Helper()
	return serveWith(t, listen, posix.Options{NoSync: true}, edit...)
}

// serveWith is serve with options of the storage.
func serveWith(t testing.TB, listen string, disk posix.Options, edit ...func(*server.Config)) *ours {
	t.Helper()
	o := &ours{t: t, root: t.TempDir(), scheme: "gsiftp", log: &syncBuffer{}}
	disk.Mounts = map[string]string{"/": o.root}
	storage, err := posix.Open(disk)
	if err != nil {
		t.Fatal(err)
	}
	config := server.Config{
		Logger: slog.New(slog.NewTextHandler(o.log, &slog.HandlerOptions{Level: slog.LevelDebug})),
		Limits: server.Limits{Connect: 10 * time.Second, Stall: 20 * time.Second},
		Transferred: func(tr server.Transfer) {
			o.mu.Lock()
			defer o.mu.Unlock()
			o.transfers = append(o.transfers, tr)
		},
	}
	for _, f := range edit {
		f(&config)
	}
	if config.Credential == nil {
		o.scheme = "ftp"
	}
	s, err := gridftpd.New(t.Context(), storage, config)
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", listen)
	if err != nil {
		t.Skipf("needs to listen on %s: %v", listen, err)
	}
	o.addr = l.Addr().String()
	served := make(chan error, 1)
	go func() { served <- s.Serve(l) }()
	t.Cleanup(func() {
		s.Close()
		<-served
		storage.Close()
		if t.Failed() {
			t.Logf("our server's log:\n%s", o.log)
		}
	})
	return o
}

func (o *ours) url(name string) string { return o.scheme + "://" + o.addr + "/" + name }

func (o *ours) path(name string) string { return filepath.Join(o.root, name) }

// moved adds up the bytes of the transfers of a command.
func (o *ours) moved(command string) (n int64) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, tr := range o.transfers {
		if tr.Command == command {
			n += tr.Bytes
		}
	}
	return n
}

func randomBytes(seed byte, n int) []byte {
	b := make([]byte, n)
	_, _ = rand.NewChaCha8([32]byte{seed}).Read(b)
	return b
}

func write(t testing.TB, path string, content []byte) string {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, content, 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}

func want(t testing.TB, path string, content []byte) {
	t.Helper()
	got, err := os.ReadFile(path)
	if err != nil {
		t.Error(err)
	} else if !bytes.Equal(got, content) {
		t.Errorf("%s holds %d bytes, not the %d it should", path, len(got), len(content))
	}
}

// sizes are those of the files that are copied: none, few, one block, blocks
// and a bit.
var sizes = []int{0, 5, 256 << 10, 3<<20 + 17}

func TestURLCopyPutAndGet(t *testing.T) {
	w := newWorld(t)
	for name, args := range map[string][]string{
		"default":      nil,
		"parallel":     {"-p", "4"},
		"fast":         {"-fast", "-p", "2"},
		"clear":        {"-nodcau"},
		"private":      {"-dcpriv"},
		"safe":         {"-dcsafe"},
		"private fast": {"-dcpriv", "-fast", "-p", "3"},
		"buffers":      {"-tcp-bs", "1M", "-bs", "100000"},
		"checked":      {"-verify-checksum"},
	} {
		for _, version := range []gsi.Version{tls.VersionTLS12, tls.VersionTLS13} {
			t.Run(fmt.Sprintf("%s %s", name, tls.VersionName(version)), func(t *testing.T) {
				w := &world{t, w.ca, w.env}
				o := w.server(func(c *server.Config) { c.MinTLS, c.MaxTLS = version, version })
				local := t.TempDir()
				for i, size := range sizes {
					content := randomBytes(byte(i), size)
					file := fmt.Sprintf("f %d", size)
					src := write(t, filepath.Join(local, file), content)
					globus.URLCopy(t, w.env, append(args, "file://"+strings.ReplaceAll(src, " ", "%20"), o.url(strings.ReplaceAll(file, " ", "%20")))...)
					want(t, o.path(file), content)
					back := filepath.Join(local, "back")
					globus.URLCopy(t, w.env, append(args, o.url(strings.ReplaceAll(file, " ", "%20")), "file://"+back)...)
					want(t, back, content)
				}
			})
		}
	}
}
