// Package harness runs real programs for tests: it finds or builds them, starts
// them as processes on free ports, freezes and kills them, and shows what they
// said when a test fails. It holds no tests of its own subject and knows no
// protocol; package globus builds the peers on it.
package harness

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// packages names the Debian package that holds a command.
func packages() map[string]string {
	return map[string]string{
		"aiosmtpd":              "python3-aiosmtpd",
		"apache2":               "apache2-bin",
		"chromium":              "chromium",
		"globus-gridftp-server": "globus-gridftp-server-progs",
		"globus-url-copy":       "globus-gass-copy-progs",
		"grid-proxy-info":       "globus-proxy-utils",
		"grid-proxy-init":       "globus-proxy-utils",
		"ip":                    "iproute2",
		"myproxy-logon":         "myproxy",
		"myproxy-server":        "myproxy-server",
		"nft":                   "nftables",
		"nginx":                 "nginx",
		"openssl":               "openssl",
		"pamtester":             "pamtester",
		"proftpd":               "proftpd-core",
		"scp":                   "openssh-client",
		"script":                "bsdutils",
		"setpriv":               "util-linux",
		"sftp":                  "openssh-client",
		"ssh":                   "openssh-client",
		"ssh-add":               "openssh-client",
		"ssh-agent":             "openssh-client",
		"ssh-keygen":            "openssh-client",
		"sshd":                  "openssh-server",
		"tc":                    "iproute2",
		"unshare":               "util-linux",
		"vsftpd":                "vsftpd",
		"xrootd":                "xrootd-server",
	}
}

// Need returns the path of a command, or skips the test, saying which Debian
// package would have it.
func Need(t testing.TB, command string) string {
	t.Helper()
	path, err := find(command)
	if err != nil {
		Lacking(t, fmt.Sprintf("needs the %s command (Debian: %s)", command, packages()[command]))
	}
	return path
}

// find looks where daemons live too, which are not on every user's PATH, and
// among the packages that integration/debian.sh has unpacked.
func find(command string) (string, error) {
	path, err := exec.LookPath(command)
	if err == nil {
		return path, nil
	}
	for _, dir := range []string{"/usr/local/sbin", "/usr/sbin", "/sbin", filepath.Join(cache(), "debian", "usr", "sbin"), filepath.Join(cache(), "debian", "usr", "bin")} {
		if path, err := exec.LookPath(filepath.Join(dir, command)); err == nil {
			return path, nil
		}
	}
	return "", err
}

// LibraryEnv is the environment that a program needs to find its libraries: one
// that is unpacked and not installed has them beside it.
func LibraryEnv(program string) []string {
	root := filepath.Join(cache(), "debian")
	if !strings.HasPrefix(program, root+"/") {
		return nil
	}
	dirs, err := filepath.Glob(filepath.Join(root, "usr", "lib", "*-linux-gnu*"))
	if err != nil || len(dirs) == 0 {
		return nil
	}
	return []string{"LD_LIBRARY_PATH=" + strings.Join(dirs, ":")}
}

// NeedRoot skips the test when it is not run by root.
func NeedRoot(t testing.TB, why string) {
	t.Helper()
	if os.Getuid() != 0 {
		Lacking(t, "needs root: "+why)
	}
}

// Lacking skips the test for want of something outside this repository. Where
// GRIDFERRY_REQUIRE is set, as in CI, nothing may be lacking and it fails.
func Lacking(t testing.TB, what string) {
	t.Helper()
	if os.Getenv("GRIDFERRY_REQUIRE") != "" {
		t.Fatal(what)
	}
	t.Skip(what)
}
