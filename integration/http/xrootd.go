package http

import (
	"errors"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"testing"

	"github.com/gridferry/gridferry/integration/harness"
)

// NewXRootD starts XRootD's server, which speaks HTTP by a plug-in and tells
// digests. Everybody may do everything in the server's Dir, which is "/".
func NewXRootD(t testing.TB) *Server {
	t.Helper()
	path := harness.Need(t, "xrootd")
	s := newServer(t)
	state := t.TempDir()
	plugin := plugins(t, path, state)
	env := harness.LibraryEnv(path)
	if env != nil {
		env[0] += ":" + state
	}
	_, port, err := net.SplitHostPort(s.Addr)
	must(t, err)
	conf := []string{
		"all.export /",
		"oss.localroot " + s.Dir,
		"all.adminpath " + state,
		"all.pidpath " + state,
		"xrd.port " + port,
		"xrd.network nodnr",
		"xrd.protocol XrdHttp:" + port + " " + plugin,
		"xrootd.chksum max 2 adler32 crc32c md5",
	}
	var args []string
	if os.Getuid() == 0 { // as whom it serves nobody
		args = []string{"-R", "nobody"}
		must(t, os.Chmod(filepath.Dir(state), 0o711)) // the test's own
		for _, dir := range []string{s.Dir, state} {
			must(t, filepath.WalkDir(dir, func(path string, _ fs.DirEntry, err error) error {
				return errors.Join(err, os.Chown(path, nobody, nobody))
			}))
		}
	}
	return s.start(t, path, env, conf, append(args, "-c")...)
}

// plugins is the path of the plug-in for HTTP. It is loaded by nobody, who may not
// reach what root has unpacked, so it and its libraries are then put into dir.
func plugins(t testing.TB, program, dir string) string {
	t.Helper()
	// The server puts its own version into the name.
	const plugin, load = "libXrdHttp-5.so", "libXrdHttp.so"
	find := func(name string) string {
		found, err := filepath.Glob(filepath.Join(filepath.Dir(filepath.Dir(program)), "lib", "*", name))
		must(t, err)
		if len(found) == 0 {
			harness.Lacking(t, "needs "+name+" (Debian: xrootd-server-plugins)")
		}
		return found[0]
	}
	if harness.LibraryEnv(program) == nil {
		return filepath.Join(filepath.Dir(find(plugin)), load)
	}
	for _, name := range []string{plugin, "libXrdHttpUtils.so.2", "libXrdCrypto.so.2"} {
		b, err := os.ReadFile(find(name))
		must(t, err)
		must(t, os.WriteFile(filepath.Join(dir, name), b, 0o644))
	}
	return filepath.Join(dir, load)
}
