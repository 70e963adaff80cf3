package http_test

import (
	"bytes"
	"context"
	"fmt"
	"hash/adler32"
	"io"
	"net"
	"os"
	"path"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/gridferry/gridferry/endpoints"
	"github.com/gridferry/gridferry/endpoints/endpointtest"
	driver "github.com/gridferry/gridferry/endpoints/http"
	"github.com/gridferry/gridferry/fault"
	"github.com/gridferry/gridferry/integration/harness"
	"github.com/gridferry/gridferry/integration/host"
	"github.com/gridferry/gridferry/integration/http"
	"github.com/gridferry/gridferry/integration/tree"
	"github.com/gridferry/gridferry/transfer"
)

func TestSuiteOfXRootD(t *testing.T) {
	t.Parallel()
	d, server := newDriver(t, driver.Config{}), http.NewXRootD(t)
	endpointtest.Run(t, func(t *testing.T) (endpoints.Storage, string) {
		s := open(t, d, server.Record("/dav"), driver.Identity{})
		dir := "/" + strings.ReplaceAll(t.Name(), "/", "-")
		must(t, s.Mkdir(t.Context(), dir))
		return lax{s}, dir
	})
}

// lax looks before it asks for what XRootD would do: it makes the directories of a
// path that are missing, has a page for each that is read as a file, and can write
// files of names to which it could not rename one.
type lax struct{ *driver.Storage }

func (l lax) parent(ctx context.Context, op, p string) error {
	if err := endpoints.CheckPath(op, p); err != nil {
		return err
	}
	e, err := l.Stat(ctx, path.Dir(p))
	if err == nil && e.Type != endpoints.Dir {
		return fault.New(fault.Exists, op, p, "what it is to be in is no directory")
	}
	return err
}

func (l lax) Open(ctx context.Context, p string, offset, length int64) (io.ReadCloser, error) {
	if e, err := l.Stat(ctx, p); err == nil && e.Type == endpoints.Dir {
		return nil, fault.New(fault.NotFound, "open", p, "it is a directory")
	}
	return l.Storage.Open(ctx, p, offset, length)
}

func (l lax) Create(ctx context.Context, p string, opts endpoints.CreateOptions) (endpoints.Writer, error) {
	// The suite renames what is not in a directory of an odd name.
	if dir := path.Dir(p); endpoints.CheckPath("write", p) == nil && endpoints.EscapePath(dir) == dir && endpoints.EscapePath(p) != p {
		return nil, fault.New(fault.Unsupported, "write", p, "XRootD could not give it such a name later")
	}
	if err := l.parent(ctx, "write", p); err != nil {
		return nil, err
	}
	return l.Storage.Create(ctx, p, opts)
}

func (l lax) Mkdir(ctx context.Context, p string) error {
	if err := l.parent(ctx, "make directory", p); err != nil {
		return err
	}
	return l.Storage.Mkdir(ctx, p)
}

// Names that XRootD lists as they are, and ranges that it answers with what is not
// there.
func TestReadingXRootD(t *testing.T) {
	t.Parallel()
	server := http.NewXRootD(t)
	s := open(t, newDriver(t, driver.Config{}), server.Record("/dav"), driver.Identity{})
	want := map[string]string{"a b": "1", "h#sh": "22", "ümlaut": "333", "p%41": "4444", "pA": "55555", "100%": "666666", "a&b<c>": "7777777", "plain": "0123456789", "empty": ""}
	must(t, os.MkdirAll(filepath.Join(server.Dir, "dav", "d%41"), 0o755))
	for name, data := range want {
		must(t, os.WriteFile(filepath.Join(server.Dir, "dav", "d%41", name), []byte(data), 0o644))
	}
	got := map[string]string{}
	must(t, s.List(t.Context(), "/d%41", func(page []endpoints.Entry) error {
		for _, e := range page {
			r, err := s.Open(t.Context(), "/d%41/"+e.Name, 0, -1)
			if err != nil {
				return err
			}
			data, err := io.ReadAll(r)
			must(t, r.Close())
			if got[e.Name] = string(data); err != nil || e.Size != int64(len(data)) || e.Type != endpoints.File || e.ModTime.IsZero() {
				t.Errorf("%+v: %q, %v", e, data, err)
			}
		}
		return nil
	}))
	for name, data := range want {
		if got[name] != data || len(got) != len(want) {
			t.Errorf("%q: %q, want %q; of %d files %d are listed", name, got[name], data, len(want), len(got))
		}
	}
	for _, c := range []struct {
		off, length int64
		want        string
	}{{0, -1, "0123456789"}, {3, -1, "3456789"}, {3, 4, "3456"}, {3, 100, "3456789"}, {10, -1, ""}, {20, 5, ""}, {5, 0, ""}} {
		r, err := s.Open(t.Context(), "/d%41/plain", c.off, c.length)
		must(t, err)
		data, err := io.ReadAll(r)
		if string(data) != c.want || err != nil || r.Close() != nil {
			t.Errorf("%d bytes from %d: %q, %v", c.length, c.off, data, err)
		}
	}
	sum, err := s.Checksum(t.Context(), "/d%41/plain", "adler32", 0, -1, nil)
	if want := fmt.Sprintf("%08x", adler32.Checksum([]byte("0123456789"))); sum != want || err != nil {
		t.Errorf("%q, %v; want %q", sum, err, want)
	}
	// By these names another file would be read, or written.
	if _, err := s.Stat(t.Context(), "/d%41/plain?x"); !fault.Is(err, fault.Unsupported) {
		t.Error(err)
	}
	if err := s.Rename(t.Context(), "/d%41/plain", "/d%41/with blank"); !fault.Is(err, fault.Unsupported) {
		t.Error(err)
	}
}

// tap is a wire to a server that keeps what is sent to it.
type tap struct {
	mu   sync.Mutex
	sent bytes.Buffer
}

func (w *tap) Write(b []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.sent.Write(b)
}

func (w *tap) count(text string) int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return bytes.Count(w.sent.Bytes(), []byte(text))
}

// to is where the wire to addr begins.
func (w *tap) to(t *testing.T, addr string) string {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			in, err := l.Accept()
			if err != nil {
				return
			}
			go w.join(in, addr)
		}
	}()
	return l.Addr().String()
}

// join ends with either end.
func (w *tap) join(in net.Conn, addr string) {
	defer in.Close()
	out, err := net.Dial("tcp", addr)
	if err != nil {
		return
	}
	go func() {
		defer out.Close()
		_, _ = io.Copy(io.MultiWriter(out, w), in) // both ends hear of what breaks
	}()
	_, _ = io.Copy(in, out)
}

// A tree is read from XRootD, which then says itself that the copy is one. Now and
// then it leaves a request without an answer for 30 s.
func TestTaskOfXRootD(t *testing.T) {
	t.Parallel()
	server := http.NewXRootD(t)
	var wire tap
	h := host.New(t, host.Config{TrustDir: t.TempDir(), Endpoints: fmt.Sprintf("  lab#wire: {kind: http, scheme: dav, servers: [%q], root: /dav}\n", wire.to(t, server.Addr))})
	h.Daemon(t, "worker")
	from := filepath.Join(server.Dir, "dav", "run7")
	must(t, os.Mkdir(from, 0o755))
	_, err := tree.Make(from, tree.Spec{Seed: 1, Files: 60, Bytes: 40 * mib, Large: []int64{0, 1, 30*mib + 1}, Deep: 4, Empties: 3}, nil)
	must(t, err)
	files := 0
	must(t, filepath.WalkDir(from, func(_ string, e os.DirEntry, err error) error {
		if err == nil && e.Type().IsRegular() {
			files++
		}
		return err
	}))
	here := func(name string) string { return host.Here(filepath.Join(h.Files, name)) }
	h.Succeeds(t, transfer.Request{Source: "lab#wire:/run7", Destination: here("run7"), Recursive: true})
	harness.SameTree(t, from, filepath.Join(h.Files, "run7"))
	again := h.Succeeds(t, transfer.Request{Source: "lab#wire:/run7", Destination: here("run7"), Recursive: true, Sync: transfer.SyncChecksum})
	if n := wire.count("Want-Digest: adler32"); n < files || again.Progress.FilesSkipped != int64(files) {
		t.Errorf("of %d files %d digests were asked for, and %d are taken for copies", files, n, again.Progress.FilesSkipped)
	}
}
