package harness

import (
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"strings"
	"testing"
)

// Programs that others wrote, in the releases that the Makefile has, too.
const (
	// temporalCLI is the newest release that `go install` can install: later ones
	// carry a replace directive.
	temporalCLI = "github.com/temporalio/cli/cmd/temporal@v1.5.1"
	versityGW   = "github.com/versity/versitygw/cmd/versitygw@v1.8.0"
	rclone      = "github.com/rclone/rclone@v1.75.1"
)

// TemporalCLI returns the path of the stock temporal command.
func TemporalCLI(t testing.TB) string {
	t.Helper()
	return installed(t, "the stock temporal command", temporalCLI)
}

// VersityGW returns the path of the S3 server versitygw.
func VersityGW(t testing.TB) string {
	t.Helper()
	return installed(t, "the S3 server versitygw", versityGW)
}

// Rclone returns the path of rclone.
func Rclone(t testing.TB) string {
	t.Helper()
	return installed(t, "rclone", rclone)
}

// HasRclone says that Rclone has nothing to download and to compile.
func HasRclone() bool {
	_, version, _ := strings.Cut(rclone, "@")
	_, err := os.Stat(filepath.Join(cache(), "rclone-"+version, "rclone"))
	return err == nil
}

// installed returns the path of a program, PACKAGE@VERSION. The first call on a
// machine downloads and compiles it, which takes minutes; where that fails the
// test is skipped, for want of what.
func installed(t testing.TB, what, program string) string {
	t.Helper()
	pkg, version, _ := strings.Cut(program, "@")
	name := path.Base(pkg)
	dir := cacheDir(t, name+"-"+version)
	defer lock(t, filepath.Join(dir, "lock"))()
	target := filepath.Join(dir, name)
	if _, err := os.Stat(target); err == nil {
		return target
	}
	cmd := exec.Command("go", "install", program)
	cmd.Dir = dir // in no module
	cmd.Env = append(os.Environ(), "GOBIN="+dir, "GOFLAGS=")
	if out, err := cmd.CombinedOutput(); err != nil {
		Lacking(t, "needs "+what+": go install "+program+": "+tail(string(out), 1<<10))
	}
	return target
}
