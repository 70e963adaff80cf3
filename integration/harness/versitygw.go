package harness

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// versityGW is the S3 server that the tests run against.
const versityGW = "github.com/versity/versitygw/cmd/versitygw@v1.8.0"

// VersityGW returns the path of the S3 server versitygw. The first call on a
// machine downloads and compiles it, which takes minutes; where that fails the
// test is skipped.
func VersityGW(t testing.TB) string {
	t.Helper()
	_, version, _ := strings.Cut(versityGW, "@")
	dir := cacheDir(t, "versitygw-"+version)
	defer lock(t, filepath.Join(dir, "lock"))()
	target := filepath.Join(dir, "versitygw")
	if _, err := os.Stat(target); err == nil {
		return target
	}
	cmd := exec.Command("go", "install", versityGW)
	cmd.Dir = dir // in no module
	cmd.Env = append(os.Environ(), "GOBIN="+dir, "GOFLAGS=")
	if out, err := cmd.CombinedOutput(); err != nil {
		Lacking(t, "needs the S3 server versitygw: go install "+versityGW+": "+tail(string(out), 1<<10))
	}
	return target
}
