package posix_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"io"
	"net"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/gridferry/gridferry/endpoints"
	"github.com/gridferry/gridferry/endpoints/endpointtest"
	"github.com/gridferry/gridferry/endpoints/posix"
	"github.com/gridferry/gridferry/fault"
)

func open(t *testing.T, opts posix.Options) *posix.Storage {
	t.Helper()
	s, err := posix.Open(opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

func TestSuite(t *testing.T) {
	endpointtest.Run(t, func(t *testing.T) (endpoints.Storage, string) {
		return open(t, posix.Options{Mounts: map[string]string{"/": t.TempDir()}}), ""
	})
}

func TestSuiteOnWholeFileSystem(t *testing.T) {
	endpointtest.Run(t, func(t *testing.T) (endpoints.Storage, string) {
		return open(t, posix.Options{Mounts: map[string]string{"/": "/"}, NoSync: true}), t.TempDir()
	})
}

func TestSuiteOnMount(t *testing.T) {
	endpointtest.Run(t, func(t *testing.T) (endpoints.Storage, string) {
		dir := t.TempDir()
		return open(t, posix.Options{Mounts: map[string]string{dir: dir}, NoSync: true}), dir
	})
}

// Every way out of a root is tried with every call.
func TestConfinement(t *testing.T) {
	outside := t.TempDir()
	secret := filepath.Join(outside, "secret")
	if err := os.WriteFile(secret, []byte("secret"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(filepath.Join(outside, "dir"), 0o700); err != nil {
		t.Fatal(err)
	}
	root := t.TempDir()
	up, err := filepath.Rel(root, outside)
	if err != nil {
		t.Fatal(err)
	}
	for name, target := range map[string]string{
		"abs": outside, "rel": up, "absfile": secret, "relfile": filepath.Join(up, "secret"),
		"chain": "hop", "hop": up, "up": "..", "new": filepath.Join(outside, "new"),
	} {
		if err := os.Symlink(target, filepath.Join(root, name)); err != nil {
			t.Fatal(err)
		}
	}
	s := open(t, posix.Options{Mounts: map[string]string{"/": root}})
	ctx := t.Context()
	if err := write(s, "/mine", "mine", endpoints.CreateOptions{Size: -1}); err != nil {
		t.Fatal(err)
	}
	refused := func(what string, err error) {
		t.Helper()
		if !fault.Is(err, fault.Permission) {
			t.Errorf("%s: %v, want Permission", what, err)
		}
	}
	for _, p := range []string{"/abs/secret", "/rel/secret", "/chain/secret", "/absfile", "/relfile"} {
		_, err := s.Open(ctx, p, 0, -1)
		refused("open "+p, err)
		_, err = s.Checksum(ctx, p, "md5", 0, -1, nil)
		refused("checksum "+p, err)
		refused("write "+p, write(s, p, "gotcha", endpoints.CreateOptions{Size: -1}))
		refused("time "+p, s.SetModTime(ctx, p, time.Unix(0, 0)))
		refused("mode "+p, s.SetMode(ctx, p, 0o777))
	}
	for _, p := range []string{"/abs/secret", "/rel/secret", "/chain/secret"} {
		_, err := s.Stat(ctx, p)
		refused("stat "+p, err)
		refused("remove "+p, s.Remove(ctx, p))
		refused("rename "+p, s.Rename(ctx, p, "/stolen"))
		refused("rename to "+p, s.Rename(ctx, "/mine", p))
	}
	for _, p := range []string{"/abs", "/rel", "/chain", "/up", "/abs/dir"} {
		refused("list "+p, s.List(ctx, p, func([]endpoints.Entry) error { return nil }))
		_, err := s.Free(ctx, p)
		refused("free "+p, err)
		refused("mkdir in "+p, s.Mkdir(ctx, p+"/made"))
		refused("link in "+p, s.Symlink(ctx, "x", p+"/made"))
	}
	refused("create through a dangling link", write(s, "/new", "gotcha", endpoints.CreateOptions{Size: -1}))
	if err := s.Remove(ctx, "/absfile"); err != nil {
		t.Errorf("removing a link itself: %v", err)
	}
	if got, err := os.ReadFile(secret); err != nil || string(got) != "secret" {
		t.Errorf("outside: %q, %v", got, err)
	}
	left, err := os.ReadDir(outside)
	if err != nil || len(left) != 2 {
		t.Errorf("outside there is %v, %v", left, err)
	}
	fi, err := os.Stat(secret)
	if err != nil || fi.Mode().Perm() != 0o600 || time.Since(fi.ModTime()) > time.Hour {
		t.Errorf("outside was changed: %v, %v", fi, err)
	}
}

func write(s endpoints.Storage, path, data string, opts endpoints.CreateOptions) error {
	w, err := s.Create(context.Background(), path, opts)
	if err != nil {
		return err
	}
	if _, err := io.WriteString(w, data); err != nil {
		return err
	}
	return w.Commit()
}

func TestMounts(t *testing.T) {
	base := t.TempDir()
	for _, d := range []string{"a/data", "b", "c"} {
		if err := os.MkdirAll(filepath.Join(base, d), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	s := open(t, posix.Options{Mounts: map[string]string{"/srv/a/data": base + "/a/data", "/srv/b": base + "/b"}})
	ctx := t.Context()
	names := func(p string) (names []string) {
		if err := s.List(ctx, p, func(page []endpoints.Entry) error {
			for _, e := range page {
				names = append(names, e.Name)
			}
			return nil
		}); err != nil {
			t.Error(err)
		}
		return names
	}
	if got := names("/"); len(got) != 1 || got[0] != "srv" {
		t.Errorf("the root lists %q", got)
	}
	if got := names("/srv"); len(got) != 2 || got[0] != "a" || got[1] != "b" {
		t.Errorf("/srv lists %q", got)
	}
	if e, err := s.Stat(ctx, "/srv/a"); err != nil || e.Type != endpoints.Dir {
		t.Errorf("stat above a mount: %+v, %v", e, err)
	}
	for what, err := range map[string]error{
		"mkdir above a mount": s.Mkdir(ctx, "/srv/a"),
		"mkdir of a mount":    s.Mkdir(ctx, "/srv/b"),
	} {
		if !fault.Is(err, fault.Exists) {
			t.Errorf("%s: %v", what, err)
		}
	}
	if err := write(s, "/srv/a/data/f", "x", endpoints.CreateOptions{Size: 1}); err != nil {
		t.Error(err)
	}
	if err := s.Rename(ctx, "/srv/a/data/f", "/srv/b/f"); !fault.Is(err, fault.Unsupported) {
		t.Errorf("rename between mounts: %v", err)
	}
	for what, err := range map[string]error{
		"write above":       write(s, "/srv/f", "x", endpoints.CreateOptions{Size: 1}),
		"write outside":     write(s, "/etc/f", "x", endpoints.CreateOptions{Size: 1}),
		"a similar name":    write(s, "/srv/bb/f", "x", endpoints.CreateOptions{Size: 1}),
		"remove a mount":    s.Remove(ctx, "/srv/b"),
		"remove above":      s.Remove(ctx, "/srv"),
		"rename to outside": s.Rename(ctx, "/srv/a/data/f", "/tmp/f"),
	} {
		if !fault.Is(err, fault.Permission) {
			t.Errorf("%s: %v", what, err)
		}
	}
	if _, err := posix.Open(posix.Options{}); !fault.Is(err, fault.Permission) {
		t.Errorf("no mounts: %v", err)
	}
	if _, err := posix.Open(posix.Options{Mounts: map[string]string{"/": base + "/gone"}}); !fault.Is(err, fault.NotFound) {
		t.Errorf("a mount that is not there: %v", err)
	}
}

func TestSpecialFilesAreListedAndNotOpened(t *testing.T) {
	root := t.TempDir()
	if err := syscall.Mkfifo(filepath.Join(root, "pipe"), 0o600); err != nil {
		t.Skipf("needs a file system with pipes: %v", err)
	}
	s := open(t, posix.Options{Mounts: map[string]string{"/": root}})
	if e, err := s.Stat(t.Context(), "/pipe"); err != nil || e.Type != endpoints.Other {
		t.Errorf("stat of a pipe: %+v, %v", e, err)
	}
	if _, err := s.Open(t.Context(), "/pipe", 0, -1); !fault.Is(err, fault.NotFound) {
		t.Errorf("open of a pipe: %v", err)
	}
	if err := write(s, "/pipe", "x", endpoints.CreateOptions{Size: 1}); !fault.Is(err, fault.Exists) {
		t.Errorf("create of a pipe: %v", err)
	}
}

// The fast paths must give the same bytes as the slow ones.
func TestSocketToFileAndBack(t *testing.T) {
	s := open(t, posix.Options{Mounts: map[string]string{"/": t.TempDir()}})
	data := make([]byte, 20<<20)
	_, _ = rand.Read(data)
	client, server := tcpPair(t)
	go func() {
		_, _ = client.Write(data)
		_ = client.CloseWrite()
	}()
	w, err := s.Create(t.Context(), "/f", endpoints.CreateOptions{Size: int64(len(data))})
	if err != nil {
		t.Fatal(err)
	}
	head, err := io.Copy(w, io.LimitReader(server, 9<<20))
	if err != nil {
		t.Fatal(err)
	}
	tail, err := io.Copy(w, server)
	if err != nil || head != 9<<20 || head+tail != int64(len(data)) {
		t.Fatalf("copied %d + %d, %v", head, tail, err)
	}
	if err := w.Commit(); err != nil {
		t.Fatal(err)
	}

	out, in := tcpPair(t)
	go func() {
		defer out.CloseWrite()
		r, err := s.Open(t.Context(), "/f", 100, 15<<20)
		if err != nil {
			t.Error(err)
			return
		}
		defer r.Close()
		if n, err := io.Copy(out, r); n != 15<<20 || err != nil {
			t.Errorf("sent %d, %v", n, err)
		}
	}()
	got, err := io.ReadAll(in)
	if err != nil || !bytes.Equal(got, data[100:100+15<<20]) {
		t.Errorf("received %d bytes that are not those sent, %v", len(got), err)
	}
}

func TestReaderIsAFile(t *testing.T) {
	s := open(t, posix.Options{Mounts: map[string]string{"/": t.TempDir()}})
	if err := write(s, "/f", "0123456789", endpoints.CreateOptions{Size: 10}); err != nil {
		t.Fatal(err)
	}
	r, err := s.Open(t.Context(), "/f", 3, 5)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if _, err := io.ReadFull(r, make([]byte, 1)); err != nil {
		t.Fatal(err)
	}
	f, left := r.(endpoints.FileReader).File()
	if pos, err := f.Seek(0, io.SeekCurrent); pos != 4 || left != 4 || err != nil {
		t.Errorf("the file is at %d with %d to go, %v", pos, left, err)
	}
}

func tcpPair(t *testing.T) (client, server *net.TCPConn) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	c, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	s, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close(); s.Close() })
	return c.(*net.TCPConn), s.(*net.TCPConn)
}

func TestHardLinks(t *testing.T) {
	root, outside := t.TempDir(), t.TempDir()
	s := open(t, posix.Options{Mounts: map[string]string{"/a": root, "/b": outside}})
	ctx := t.Context()
	if err := write(s, "/a/one", "1", endpoints.CreateOptions{Size: 1}); err != nil {
		t.Fatal(err)
	}
	if e, err := s.Stat(ctx, "/a/one"); err != nil || e.Inode != "" {
		t.Errorf("a file with one name: %+v, %v", e, err)
	}
	if err := s.Link(ctx, "/a/one", "/a/two"); err != nil {
		t.Skipf("needs a file system with hard links: %v", err)
	}
	one, err1 := s.Stat(ctx, "/a/one")
	two, err2 := s.Stat(ctx, "/a/two")
	if err1 != nil || err2 != nil || one.Inode == "" || one.Inode != two.Inode {
		t.Errorf("two names: %+v, %v and %+v, %v", one, err1, two, err2)
	}
	if err := s.List(ctx, "/a", func(page []endpoints.Entry) error {
		for _, e := range page {
			if e.Inode != one.Inode {
				t.Errorf("listed: %+v", e)
			}
		}
		return nil
	}); err != nil {
		t.Error(err)
	}
	for name, test := range map[string]struct {
		from, to string
		kind     fault.Kind
	}{
		"taken":             {"/a/one", "/a/two", fault.Exists},
		"not there":         {"/a/none", "/a/three", fault.NotFound},
		"to another mount":  {"/a/one", "/b/one", fault.Unsupported},
		"above the mounts":  {"/a/one", "/c", fault.Permission},
		"no such directory": {"/a/one", "/a/none/three", fault.NotFound},
	} {
		if err := s.Link(ctx, test.from, test.to); !fault.Is(err, test.kind) {
			t.Errorf("%s: %v, want %s", name, err, test.kind)
		}
	}
}
