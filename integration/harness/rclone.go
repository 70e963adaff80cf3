package harness

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// rclone is as in the Makefile.
const rclone = "github.com/rclone/rclone@v1.75.1"

// Rclone returns the path of rclone. The first call on a machine downloads and
// compiles it, which takes minutes; where that fails the test is skipped.
func Rclone(t testing.TB) string {
	t.Helper()
	_, version, _ := strings.Cut(rclone, "@")
	dir := cacheDir(t, "rclone-"+version)
	defer lock(t, filepath.Join(dir, "lock"))()
	target := filepath.Join(dir, "rclone")
	if _, err := os.Stat(target); err == nil {
		return target
	}
	cmd := exec.Command("go", "install", rclone)
	cmd.Dir = dir // in no module
	cmd.Env = append(os.Environ(), "GOBIN="+dir, "GOFLAGS=")
	if out, err := cmd.CombinedOutput(); err != nil {
		Lacking(t, "needs rclone: go install "+rclone+": "+tail(string(out), 1<<10))
	}
	return target
}
