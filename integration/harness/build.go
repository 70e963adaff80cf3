package harness

import (
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
)

// Binary returns the path of one of gridferry's own programs, built from this
// checkout: "gridferryd", "gridferry" or "gridferry-standalone".
//
// GRIDFERRY_BIN names a directory that has them already, as `make test` sees
// to. Otherwise they are built into the user's cache directory; building what
// is up to date takes the go command a second.
func Binary(t testing.TB, name string) string {
	t.Helper()
	if dir := os.Getenv("GRIDFERRY_BIN"); dir != "" {
		path := filepath.Join(dir, name)
		if _, err := os.Stat(path); err != nil {
			t.Fatalf("GRIDFERRY_BIN is set, but: %v", err)
		}
		return path
	}
	root := moduleRoot(t)
	dir, pkg := root, ""
	switch name {
	case "gridferryd":
		pkg = "./workers/gridferryd"
	case "gridferry":
		pkg = "./starter/gridferry"
	case "gridferry-standalone":
		dir, pkg = filepath.Join(root, "standalone"), "."
	default:
		t.Fatalf("gridferry has no program %q", name)
	}
	bin := cacheDir(t, "bin")
	defer lock(t, filepath.Join(bin, "lock"))()
	target := filepath.Join(bin, name)
	cmd := exec.Command("go", "build", "-o", target, pkg)
	cmd.Dir = dir
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("build %s: %v\n%s", name, err, out)
	}
	return target
}

// cacheDir is a directory that outlives the test, made when absent.
func cacheDir(t testing.TB, name string) string {
	t.Helper()
	dir := filepath.Join(cache(), name)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	return dir
}

// cache is where what outlives a test is kept; see integration/debian.sh, too.
func cache() string {
	if dir := os.Getenv("GRIDFERRY_CACHE"); dir != "" {
		return dir
	}
	dir, err := os.UserCacheDir()
	if err != nil {
		dir = os.TempDir()
	}
	return filepath.Join(dir, "gridferry")
}

// lock keeps the test binaries that `go test ./...` runs at the same time from
// building one program twice.
func lock(t testing.TB, path string) (unlock func()) {
	t.Helper()
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX); err != nil {
		t.Fatal(err)
	}
	return func() { f.Close() }
}

// moduleRoot is the directory of the checkout's go.mod, above the test's own.
func moduleRoot(t testing.TB) string {
	t.Helper()
	dir, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	for ; dir != filepath.Dir(dir); dir = filepath.Dir(dir) {
		if _, err := os.Stat(filepath.Join(dir, "standalone", "go.mod")); err == nil {
			return dir
		}
	}
	t.Fatal("no checkout of gridferry above the test's directory")
	return ""
}
