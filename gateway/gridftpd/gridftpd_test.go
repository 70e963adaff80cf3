package gridftpd_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/textproto"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/gridferry/gridferry/endpoints"
	"github.com/gridferry/gridferry/endpoints/memory"
	"github.com/gridferry/gridferry/endpoints/posix"
	"github.com/gridferry/gridferry/fault"
	"github.com/gridferry/gridferry/gateway/gridftpd"
	"github.com/gridferry/gridferry/wire/gridftp"
	"github.com/gridferry/gridferry/wire/gridftp/data"
	"github.com/gridferry/gridferry/wire/gridftp/server"
)

func openPosix(t testing.TB, root string) endpoints.Storage {
	t.Helper()
	s, err := posix.Open(posix.Options{Mounts: map[string]string{"/": root}, NoSync: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

// read returns the ranges of a file, with dots where nothing came.
func read(t testing.TB, fs server.FileSystem, path string, ranges ...data.Range) (string, error) {
	t.Helper()
	f, err := fs.Open(t.Context(), path)
	if err != nil {
		return "", err
	}
	defer f.Close()
	if ranges == nil {
		ranges = []data.Range{{Off: 0, End: f.Size()}}
	}
	source, err := f.Source(ranges)
	if err != nil {
		return "", err
	}
	out := bytes.Repeat([]byte("."), int(f.Size()))
	for buf := make([]byte, 3); ; {
		off, n, err := source.Next(buf)
		copy(out[off:], buf[:n])
		if err == io.EOF {
			return string(out), nil
		}
		if err != nil {
			return "", err
		}
	}
}

func TestFilesOfEveryKindOfStorage(t *testing.T) {
	for name, storage := range map[string]endpoints.Storage{
		"posix":            openPosix(t, t.TempDir()),
		"memory":           memory.NewDisk(memory.Options{}).Open(),
		"memory, in order": memory.NewDisk(memory.Options{StreamOnly: true}).Open(),
	} {
		t.Run(name, func(t *testing.T) {
			fs := gridftpd.Files(storage)
			ctx := t.Context()
			w, err := fs.Create(ctx, "/f", server.CreateOptions{Size: 10})
			if err != nil {
				t.Fatal(err)
			}
			for _, block := range []string{"5:56789", "3:34", "0:012"} { // in the worst order
				off, text, _ := strings.Cut(block, ":")
				if _, err := w.WriteAt([]byte(text), int64(off[0]-'0')); err != nil {
					t.Fatal(err)
				}
			}
			if err := w.Commit(); err != nil {
				t.Fatal(err)
			}
			if got, err := read(t, fs, "/f"); err != nil || got != "0123456789" {
				t.Errorf("all of it is %q, %v", got, err)
			}
			if got, err := read(t, fs, "/f", data.Range{Off: 1, End: 2}, data.Range{Off: 4, End: 9}); err != nil || got != ".1..45678." {
				t.Errorf("the ranges are %q, %v", got, err)
			}
			if got, err := read(t, fs, "/f", data.Range{Off: 0, End: 4}, data.Range{Off: 9, End: 10}); err != nil || got != "0123.....9" {
				t.Errorf("the ranges are %q, %v", got, err)
			}
			if storage.Caps().Ranges {
				w, err := fs.Create(ctx, "/f", server.CreateOptions{Size: -1, Offset: 4, Update: true})
				if err != nil {
					t.Fatal(err)
				}
				_, err = w.WriteAt([]byte("EF"), 4)
				if err := errors.Join(err, w.Commit()); err != nil {
					t.Fatal(err)
				}
				if got, _ := read(t, fs, "/f"); got != "0123EF6789" {
					t.Errorf("a part replaced makes %q", got)
				}
			}
		})
	}
}

func TestAGapInAnOrderedFileIsRefused(t *testing.T) {
	fs := gridftpd.Files(memory.NewDisk(memory.Options{StreamOnly: true}).Open())
	w, err := fs.Create(t.Context(), "/f", server.CreateOptions{Size: -1})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.WriteAt([]byte("late"), 100); err != nil {
		t.Fatal(err)
	}
	if err := w.Commit(); !errors.Is(err, data.ErrTruncated) {
		t.Errorf("a file with a gap was committed: %v", err)
	}
}

func TestLinks(t *testing.T) {
	root := t.TempDir()
	fs := gridftpd.Files(openPosix(t, root))
	if err := os.Mkdir(filepath.Join(root, "d"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(root, "d/f"), []byte("hello"), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, target := range map[string]string{
		"file": "d/f", "dir": "d", "chain": "file", "nowhere": "none", "out": "../..", "root": "/etc/passwd", "loop": "loop", "d/up": "../d/f",
	} {
		if err := os.Symlink(target, filepath.Join(root, name)); err != nil {
			t.Fatal(err)
		}
	}
	for path, want := range map[string]gridftp.Entry{
		"/file":    {Type: gridftp.TypeFile, Size: 5, Mode: 0o600, LinkTarget: "/d/f"},
		"/chain":   {Type: gridftp.TypeFile, Size: 5, Mode: 0o600, LinkTarget: "/file"},
		"/d/up":    {Type: gridftp.TypeFile, Size: 5, Mode: 0o600, LinkTarget: "/d/f"},
		"/dir":     {Type: gridftp.TypeDir, Mode: 0o755, LinkTarget: "/d"},
		"/nowhere": {Type: gridftp.TypeLink, Mode: 0o777, LinkTarget: "/none"},
		"/loop":    {Type: gridftp.TypeLink, Mode: 0o777, LinkTarget: "/loop"},
		// What cannot be followed must not look as if it could.
		"/out":  {Type: gridftp.TypeLink, Mode: 0o777, LinkTarget: "/"},
		"/root": {Type: gridftp.TypeLink, Mode: 0o777, LinkTarget: "/etc/passwd"},
	} {
		got, err := fs.Stat(t.Context(), path, true)
		want.Name, want.ModTime = got.Name, got.ModTime
		if err != nil || got != want {
			t.Errorf("%s is %+v, %v, want %+v", path, got, err, want)
		}
		got, err = fs.Stat(t.Context(), path, false)
		if err != nil || got.Type != gridftp.TypeLink || got.LinkTarget != want.LinkTarget {
			t.Errorf("%s itself is %+v, %v", path, got, err)
		}
	}
	if err := fs.Symlink(t.Context(), "/d/f", "/d/made"); err != nil {
		t.Fatal(err)
	}
	if got, err := os.Readlink(filepath.Join(root, "d/made")); err != nil || got != "f" {
		t.Errorf("the link that was made says %q, %v", got, err)
	}
}

// failing is a storage whose every call fails.
type failing struct {
	endpoints.Storage
	err error
}

func (f failing) Mkdir(context.Context, string) error { return f.err }

func TestFaultsAsReplies(t *testing.T) {
	for name, test := range map[string]struct {
		err      error
		code     int
		category string
		errno    syscall.Errno
	}{
		"absent":      {fault.New(fault.NotFound, "x", "/a", "gone"), 550, gridftp.CategoryPathNotFound, syscall.ENOENT},
		"taken":       {fault.New(fault.Exists, "x", "/a", "there"), 553, gridftp.CategoryPathExists, syscall.EEXIST},
		"forbidden":   {fault.New(fault.Permission, "x", "/a", "no"), 550, gridftp.CategoryPermissionDenied, syscall.EACCES},
		"read-only":   {fault.Wrap(fault.Permission, "x", "/a", syscall.EROFS), 550, gridftp.CategoryPermissionDenied, syscall.EROFS},
		"full":        {fault.New(fault.NoSpace, "x", "/a", "full"), 452, gridftp.CategoryNoSpace, syscall.ENOSPC},
		"quota":       {fault.Wrap(fault.NoSpace, "x", "/a", syscall.EDQUOT), 552, gridftp.CategoryQuota, syscall.EDQUOT},
		"directory":   {fault.Wrap(fault.Exists, "x", "/a", syscall.EISDIR), 550, gridftp.CategoryIsDirectory, syscall.EISDIR},
		"file":        {fault.Wrap(fault.NotFound, "x", "/a", syscall.ENOTDIR), 550, gridftp.CategoryNotDirectory, syscall.ENOTDIR},
		"unsupported": {fault.New(fault.Unsupported, "x", "/a", "cannot"), 504, "", 0},
		"invalid":     {fault.New(fault.Invalid, "x", "/a", "what"), 501, "", 0},
		"busy":        {fault.New(fault.Busy, "x", "/a", "later"), 451, gridftp.CategoryInternal, 0},
		"transient":   {fault.New(fault.Transient, "x", "/a", "later"), 451, gridftp.CategoryInternal, 0},
		"canceled":    {fault.New(fault.Canceled, "x", "/a", "stop"), 426, "", 0},
	} {
		t.Run(name, func(t *testing.T) {
			err := gridftpd.Files(failing{err: test.err}).Mkdir(t.Context(), "/a")
			var e *server.Error
			if !errors.As(err, &e) || e.Code != test.code || e.Category != test.category || e.Errno != test.errno || e.Reason != "x /a" {
				t.Errorf("got %#v", err)
			}
		})
	}
	for name, err := range map[string]error{"a bug": fault.New(fault.Internal, "x", "/secret", "y"), "no fault at all": errors.New("/secret")} {
		var e *server.Error
		if got := gridftpd.Files(failing{err: err}).Mkdir(t.Context(), "/a"); got == nil || errors.As(got, &e) {
			t.Errorf("%s would be told to the client: %v", name, got)
		}
	}
}

func serve(t testing.TB, storage endpoints.Storage, edit ...func(*server.Config)) (addr string) {
	t.Helper()
	config := server.Config{Anonymous: true, AnonymousWrites: true}
	for _, f := range edit {
		f(&config)
	}
	s, err := gridftpd.New(t.Context(), storage, config)
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- s.Serve(l) }()
	t.Cleanup(func() { s.Close(); <-done })
	return l.Addr().String()
}

func login(t testing.TB, addr string) *gridftp.Client {
	t.Helper()
	c, err := gridftp.Dial(t.Context(), gridftp.Config{Scheme: gridftp.FTP, Addr: addr})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

// TestConfinement tries every way out of the root that a client has.
func TestConfinement(t *testing.T) {
	outer := t.TempDir()
	root := filepath.Join(outer, "root")
	for _, dir := range []string{root, filepath.Join(root, "d"), filepath.Join(outer, "outside")} {
		if err := os.Mkdir(dir, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	secret := filepath.Join(outer, "outside", "secret")
	if err := os.WriteFile(secret, []byte("secret"), 0o644); err != nil {
		t.Fatal(err)
	}
	for name, target := range map[string]string{
		"abs": secret, "rel": "../outside/secret", "absdir": filepath.Join(outer, "outside"), "reldir": "../outside", "d/deep": "../../outside",
		"hop": "reldir", "up": "..", "slash": "/",
	} {
		if err := os.Symlink(target, filepath.Join(root, name)); err != nil {
			t.Fatal(err)
		}
	}
	c := login(t, serve(t, openPosix(t, root)))
	ctx := t.Context()
	ways := []string{
		"/abs", "/rel", "/absdir/secret", "/reldir/secret", "/d/deep/secret", "/hop/secret", "/up/outside/secret", "/slash" + secret,
		"/d/../../outside/secret", "/../outside/secret", "../outside/secret", "d/../../outside/secret", "/d/./../../outside/secret", "//../outside/secret",
		secret, "/~/../outside/secret", "~/../outside/secret",
	}
	for _, way := range ways {
		if e, err := c.Stat(ctx, way); err == nil && e.Type != gridftp.TypeLink {
			t.Errorf("%s is seen: %+v", way, e)
		}
		if sum, err := c.Checksum(ctx, "MD5", way, 0, -1, nil); err == nil {
			t.Errorf("the checksum of %s is told: %s", way, sum)
		}
		if err := c.Chmod(ctx, way, 0o600); err == nil {
			t.Errorf("the mode of %s was set", way)
		}
		if err := c.SetModTime(ctx, way, time.Unix(1, 0)); err == nil {
			t.Errorf("the time of %s was set", way)
		}
		if err := c.Rename(ctx, way, "/stolen"); err == nil {
			if e, err := c.Stat(ctx, "/stolen"); err == nil && e.Type != gridftp.TypeLink {
				t.Errorf("%s was taken", way)
			}
			_ = c.Rename(ctx, "/stolen", way) // a link, which may be renamed, back to its place
		}
	}
	for _, dir := range []string{"/absdir", "/reldir", "/d/deep", "/hop", "/up", "/slash", "/up/outside", "/..", "/d/../.."} {
		err := c.List(ctx, dir, func(entries []gridftp.Entry) error {
			for _, e := range entries {
				if e.Name == "secret" || e.Name == "outside" || e.Name == "etc" {
					t.Errorf("%s lists %s", dir, e.Name)
				}
			}
			return nil
		})
		if err == nil && !strings.Contains(dir, "..") {
			t.Errorf("%s can be listed", dir)
		}
		if err := c.Mkdir(ctx, dir+"/made"); err == nil && !strings.Contains(dir, "..") {
			t.Errorf("a directory was made in %s", dir)
		}
		if err := c.Symlink(ctx, "x", dir+"/link"); err == nil && !strings.Contains(dir, "..") {
			t.Errorf("a link was made in %s", dir)
		}
		if err := c.Rename(ctx, "/d", dir+"/moved"); err == nil {
			if !strings.Contains(dir, "..") {
				t.Errorf("a directory was moved to %s", dir)
			}
			if err := c.Rename(ctx, dir+"/moved", "/d"); err != nil {
				t.Fatal(err)
			}
		}
	}
	// Removing a link removes the link.
	if err := c.RemoveFile(ctx, "/abs"); err != nil {
		t.Error(err)
	}
	got, err := os.ReadFile(secret)
	info, statErr := os.Stat(secret)
	if err := errors.Join(err, statErr); err != nil || string(got) != "secret" || info.Mode().Perm() != 0o644 {
		t.Errorf("the file outside is %q, %v, %v", got, info, err)
	}
	names, err := os.ReadDir(filepath.Join(outer, "outside"))
	if err != nil || len(names) != 1 {
		t.Errorf("the directory outside holds %v, %v", names, err)
	}
	names, err = os.ReadDir(outer)
	if err != nil || len(names) != 2 {
		t.Errorf("the directory above the root holds %v, %v", names, err)
	}
}

func TestConfinementOfTheWorkingDirectory(t *testing.T) {
	outer := t.TempDir()
	root := filepath.Join(outer, "root")
	if err := os.MkdirAll(filepath.Join(root, "d"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(outer, "secret"), []byte("secret"), 0o644); err != nil {
		t.Fatal(err)
	}
	for name, target := range map[string]string{"up": "..", "abs": outer, "d/up": "../..", "here": "d"} {
		if err := os.Symlink(target, filepath.Join(root, name)); err != nil {
			t.Fatal(err)
		}
	}
	c, err := textproto.Dial("tcp", serve(t, openPosix(t, root)))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	step := func(line string, want int) {
		t.Helper()
		if line != "" {
			if err := c.PrintfLine("%s", line); err != nil {
				t.Fatal(err)
			}
		}
		if _, text, err := c.ReadResponse(want); err != nil {
			t.Errorf("%s: got %v %s, want %d", line, err, text, want)
		}
	}
	step("", 220)
	step("USER ftp", 331)
	step("PASS x", 230)
	for _, dir := range []string{"up", "/up", "abs", outer, "d/up", "/d/../up"} {
		step("CWD "+dir, 550)
	}
	step("CWD here", 250) // a link that stays inside
	step("SIZE up/secret", 550)
	// ".." is of the path as it is written, and ends at the root.
	step("CWD ..", 250)
	step("CWD ../../..", 250)
	step("SIZE secret", 550)
	step("CDUP", 250)
	step("PWD", 257)
	step("SIZE ../secret", 550)
}

// TestConfinementHoldsInARace changes a directory into a link that leads
// outside, and back, while clients write through it.
func TestConfinementHoldsInARace(t *testing.T) {
	outer := t.TempDir()
	root, outside := filepath.Join(outer, "root"), filepath.Join(outer, "outside")
	for _, dir := range []string{root, outside, filepath.Join(root, "real")} {
		if err := os.Mkdir(dir, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Symlink("../outside", filepath.Join(root, "link")); err != nil {
		t.Fatal(err)
	}
	c := login(t, serve(t, openPosix(t, root)))
	var stop atomic.Bool
	swapped := make(chan int)
	go func() {
		n := 0
		for ; !stop.Load(); n++ {
			for _, name := range []string{"real", "link"} {
				_ = os.Rename(filepath.Join(root, name), filepath.Join(root, "way")) // fails while the other is there
				_ = os.Rename(filepath.Join(root, "way"), filepath.Join(root, name))
			}
		}
		swapped <- n
	}()
	made := 0
	for i := range 1000 {
		if err := c.Mkdir(t.Context(), fmt.Sprint("/way/d", i)); err == nil {
			made++
		}
	}
	stop.Store(true)
	t.Logf("%d of 1,000 directories were made during %d swaps", made, <-swapped)
	if names, err := os.ReadDir(outside); err != nil || len(names) > 0 {
		t.Errorf("outside are %d names, %v", len(names), err)
	}
}

func TestTransferLog(t *testing.T) {
	var log bytes.Buffer
	gridftpd.TransferLog(&log)(server.Transfer{Command: "STOR", Path: "/a b", Bytes: 5, Code: 226})
	var got server.Transfer
	if err := json.Unmarshal(log.Bytes(), &got); err != nil || got.Bytes != 5 || got.Path != "/a b" || strings.Count(log.String(), "\n") != 1 {
		t.Errorf("the log says %q (%v)", log.String(), err)
	}
}
