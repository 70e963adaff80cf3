// Package http starts web servers that others wrote, and holds the driver and
// tasks to them.
package http

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/crypto/bcrypt"

	"github.com/gridferry/gridferry/endpoints"
	driver "github.com/gridferry/gridferry/endpoints/http"
	"github.com/gridferry/gridferry/integration/harness"
)

// nobody is the user and group of that name.
const nobody = 65534

// Server is a web server of Debian's over a directory. What is below /dav/ is
// served by WebDAV to who has the password, below /plain/ it is read without
// one, and below /locked/ nobody may do anything.
type Server struct {
	Addr     string // HOST:PORT
	Dir      string // of the files: "dav", "plain" and "locked"
	User     string
	Password string
	Process  *harness.Process
}

// NewApache starts Apache's server with mod_dav, and with TLS where certificate
// and key are named.
func NewApache(t testing.TB, tls ...string) *Server {
	t.Helper()
	path := harness.Need(t, "apache2")
	modules := filepath.Join(filepath.Dir(filepath.Dir(path)), "lib", "apache2", "modules")
	s := newServer(t)
	state := t.TempDir()
	passwords := s.passwords(t)
	conf := []string{
		"ServerRoot " + state,
		"ServerName 127.0.0.1",
		"Listen " + s.Addr,
		"PidFile " + filepath.Join(state, "pid"),
		"DefaultRuntimeDir " + state,
		"ErrorLog /dev/stderr",
		"LogLevel warn",
		"DocumentRoot " + s.Dir,
		"DavLockDB " + filepath.Join(state, "locks"),
		"KeepAlive On",
		"KeepAliveTimeout 5",
		"MaxKeepAliveRequests 0",
		"ThreadsPerChild 64",
		"MaxRequestWorkers 128",
		"LimitXMLRequestBody 1048576",
		"<Directory " + s.Dir + ">", "Require all granted", "AllowOverride None", "</Directory>",
		"<Location /dav>", "Dav On", "AuthType Basic", "AuthName lab", "AuthUserFile " + passwords, "Require valid-user", "</Location>",
		"<Location /locked>", "Dav On", "Require all denied", "</Location>",
	}
	names := []string{"mpm_event", "authn_core", "authn_file", "authz_core", "authz_user", "auth_basic", "dir", "mime", "dav", "dav_fs", "dav_lock"}
	conf = append(conf, "TypesConfig /dev/null")
	if len(tls) == 2 {
		names = append(names, "socache_shmcb", "ssl")
		conf = append(conf, "SSLEngine on", "SSLCertificateFile "+tls[0], "SSLCertificateKeyFile "+tls[1])
	}
	if os.Getuid() == 0 { // as whom Apache serves nobody
		conf = append(conf, "User #"+strconv.Itoa(nobody), "Group #"+strconv.Itoa(nobody))
		for _, dir := range []string{s.Dir, state, filepath.Dir(passwords)} {
			must(t, os.Chmod(filepath.Dir(dir), 0o711)) // the test's own
			must(t, filepath.WalkDir(dir, func(path string, _ fs.DirEntry, err error) error {
				return errors.Join(err, os.Chown(path, nobody, nobody))
			}))
		}
	}
	var load []string
	for _, m := range names {
		load = append(load, fmt.Sprintf("LoadModule %s_module %s", m, filepath.Join(modules, "mod_"+m+".so")))
	}
	return s.start(t, path, databases(t, path, state), append(load, conf...), "-X", "-f")
}

// databases is the environment of an Apache that was unpacked and not installed.
// It opens its database of locks as nobody, who may not reach what root has
// unpacked, so it finds that library in dir.
func databases(t testing.TB, path, dir string) []string {
	t.Helper()
	env := harness.LibraryEnv(path)
	if env == nil {
		return nil
	}
	const library = "apr_dbm_db-1.so"
	found, err := filepath.Glob(filepath.Join(filepath.Dir(filepath.Dir(path)), "lib", "*", "apr-util-1", library))
	must(t, err)
	if len(found) == 0 {
		t.Fatalf("there is no %s beside %s", library, path)
	}
	b, err := os.ReadFile(found[0])
	must(t, err)
	must(t, os.WriteFile(filepath.Join(dir, library), b, 0o644))
	return []string{env[0] + ":" + dir}
}

// NewNginx starts nginx, with its own module for WebDAV and the one that adds
// PROPFIND.
func NewNginx(t testing.TB) *Server {
	t.Helper()
	path := harness.Need(t, "nginx")
	prefix := filepath.Dir(filepath.Dir(path))
	s := newServer(t)
	state := t.TempDir()
	passwords := s.passwords(t)
	conf := []string{
		"load_module " + filepath.Join(prefix, "lib", "nginx", "modules", "ngx_http_dav_ext_module.so") + ";",
		"daemon off;", "master_process off;", "pid " + filepath.Join(state, "pid") + ";", "error_log /dev/stderr warn;",
	}
	conf = append(conf,
		"events { worker_connections 256; }",
		"http {", "access_log off;", "client_max_body_size 0;", "keepalive_requests 100000;", "tcp_nodelay on;",
	)
	for _, dir := range []string{"client_body", "proxy", "fastcgi", "uwsgi", "scgi"} {
		conf = append(conf, dir+"_temp_path "+filepath.Join(state, dir)+";")
	}
	conf = append(conf,
		"server {", "listen "+s.Addr+";", "root "+s.Dir+";",
		"location /dav/ {", "dav_methods PUT DELETE MKCOL COPY MOVE;", "dav_ext_methods PROPFIND OPTIONS;",
		`auth_basic "lab";`, "auth_basic_user_file "+passwords+";", "}",
		"location /locked/ { deny all; }", "location / { }",
		"}", "}",
	)
	return s.start(t, path, harness.LibraryEnv(path), conf, "-p", state, "-e", "stderr", "-c")
}

func newServer(t testing.TB) *Server {
	t.Helper()
	s := &Server{Addr: fmt.Sprintf("127.0.0.1:%d", harness.FreePort(t)), Dir: t.TempDir(), User: "ada", Password: rand.Text()}
	for _, dir := range []string{"dav", "plain", "locked"} {
		must(t, os.Mkdir(filepath.Join(s.Dir, dir), 0o755))
	}
	return s
}

// passwords is a file of the server's one user.
func (s *Server) passwords(t testing.TB) string {
	t.Helper()
	hash, err := bcrypt.GenerateFromPassword([]byte(s.Password), bcrypt.MinCost)
	must(t, err)
	file := filepath.Join(t.TempDir(), "passwords")
	must(t, os.WriteFile(file, fmt.Appendf(nil, "%s:%s\n", s.User, hash), 0o600))
	return file
}

// start runs a program with args and, last, a file of the lines of conf.
func (s *Server) start(t testing.TB, path string, env, conf []string, args ...string) *Server {
	t.Helper()
	file := filepath.Join(t.TempDir(), "conf")
	must(t, os.WriteFile(file, []byte(strings.Join(conf, "\n")+"\n"), 0o600))
	if os.Getuid() == 0 { // some read it when they are root no longer
		must(t, os.Chown(file, nobody, nobody))
	}
	s.Process = harness.Start(t, harness.Command{Path: path, Args: append(args, file), Env: harness.Environment(env...)})
	s.Process.Ready(30*time.Second, func() error {
		c, err := net.Dial("tcp", s.Addr)
		if err == nil {
			err = c.Close()
		}
		return err
	})
	return s
}

// Identity is the server's user.
func (s *Server) Identity() driver.Identity {
	return driver.Identity{Owner: "ada", Password: s.Password, Fingerprint: s.Password[:8]}
}

// Record is the endpoint of a part of the server.
func (s *Server) Record(root string) endpoints.Record {
	return endpoints.Record{Name: "lab#web", Kind: driver.Kind, Scheme: "http", Servers: []string{s.Addr}, Root: root, User: s.User, Options: map[string]string{"insecure": "on"}}
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
