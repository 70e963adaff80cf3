// Package postgres starts Debian's PostgreSQL for tests: a cluster of their own
// in a temporary directory, which only a Unix socket leads to. It knows nothing
// of what is kept in it.
package postgres

import (
	"context"
	"database/sql"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"syscall"
	"testing"
	"time"

	_ "github.com/jackc/pgx/v5/stdlib" // the driver "pgx"

	"github.com/gridferry/gridferry/integration/harness"
)

const startLimit = 60 * time.Second

// Server is a running PostgreSQL server.
type Server struct {
	*harness.Process

	// PasswordFile holds the password of its one user: it lets nobody in
	// without.
	PasswordFile string

	sockets  string
	password string
	made     int
}

// Start starts a server, or skips the test, saying what is missing.
func Start(t testing.TB) *Server {
	t.Helper()
	initdb, postgres := program(t, "initdb"), program(t, "postgres")
	base := t.TempDir()
	s := &Server{PasswordFile: filepath.Join(base, "password"), sockets: filepath.Join(base, "run"), password: "p'4 \\ss"}
	data := filepath.Join(base, "data")
	for _, dir := range []string{s.sockets, data} {
		if err := os.Mkdir(dir, 0o700); err != nil {
			t.Fatal(err)
		}
	}
	// The server's user must be able to read it, and the store refuses what
	// others can read: so there are two.
	theirs := filepath.Join(base, "initial")
	for _, path := range []string{s.PasswordFile, theirs} {
		if err := os.WriteFile(path, []byte(s.password+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	as := unprivileged(t, base, s.sockets, data, theirs)
	args := append(slices.Clone(as), initdb, "--pgdata="+data, "--username=gridferry", "--pwfile="+theirs,
		"--auth=scram-sha-256", "--no-locale", "--encoding=UTF8", "--no-sync", "--no-instructions")
	cmd := exec.Command(args[0], args[1:]...)
	cmd.Env, cmd.Dir = harness.Environment(), base
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("initdb: %v\n%s", err, out)
	}
	args = append(slices.Clone(as), postgres, "-D", data, "-k", s.sockets, "-c", "listen_addresses=", "-c", "fsync=off", "-c", "max_connections=100")
	s.Process = harness.Start(t, harness.Command{Name: "postgres", Path: args[0], Args: args[1:], Dir: base})
	t.Cleanup(s.Stop)
	s.Ready(startLimit, func() error {
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		db, err := sql.Open("pgx", s.address("postgres", s.password))
		if err != nil {
			return err
		}
		defer db.Close()
		return db.PingContext(ctx)
	})
	return s
}

// Stop ends the server at once, as a crash would, but for its shared memory.
func (s *Server) Stop() {
	select {
	case <-s.Done():
		return
	default:
	}
	s.Signal(syscall.SIGQUIT) // immediate shutdown: "Shutting Down the Server" in the manual
	_ = s.Wait(startLimit)    // it has to end, not to end well
}

// Database makes a new database and returns its address, without the password.
func (s *Server) Database(t testing.TB) string {
	t.Helper()
	db, err := sql.Open("pgx", s.address("postgres", s.password))
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	s.made++
	name := "test" + strconv.Itoa(s.made)
	if _, err := db.ExecContext(t.Context(), "CREATE DATABASE "+name); err != nil {
		t.Fatal(err)
	}
	return s.address(name, "")
}

func (s *Server) address(database, password string) string {
	u := url.URL{Scheme: "postgres", User: url.User("gridferry"), Path: "/" + database,
		RawQuery: url.Values{"host": {s.sockets}}.Encode()}
	if password != "" {
		u.User = url.UserPassword("gridferry", password)
	}
	return u.String()
}

// program finds a program of the server, which Debian keeps off the PATH, in
// the newest version there is.
func program(t testing.TB, name string) string {
	t.Helper()
	found, err := filepath.Glob("/usr/lib/postgresql/*/bin/" + name)
	if err != nil {
		t.Fatal(err)
	}
	if len(found) > 0 {
		return slices.Max(found)
	}
	path, err := exec.LookPath(name)
	if err != nil {
		harness.Lacking(t, fmt.Sprintf("needs PostgreSQL's %s (Debian: postgresql)", name))
	}
	return path
}

// unprivileged returns the words before a command that runs it as a user whom
// PostgreSQL accepts: it refuses root. What is owned becomes that user's.
func unprivileged(t testing.TB, base string, owned ...string) []string {
	t.Helper()
	if os.Getuid() != 0 {
		return []string{harness.Need(t, "env")}
	}
	u, err := user.Lookup("postgres")
	if err != nil {
		u, err = user.Lookup("nobody")
	}
	if err != nil {
		t.Fatal(err)
	}
	uid, err := strconv.Atoi(u.Uid)
	if err != nil {
		t.Fatal(err)
	}
	gid, err := strconv.Atoi(u.Gid)
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range owned {
		if err := os.Chown(path, uid, gid); err != nil {
			t.Fatal(err)
		}
	}
	// The testing package makes the directory of all of a test's for its user alone.
	for _, dir := range []string{base, filepath.Dir(base)} {
		if err := os.Chmod(dir, 0o711); err != nil {
			t.Fatal(err)
		}
	}
	// With another uid the kernel forgets what was asked for with the fork.
	return []string{harness.Need(t, "setpriv"), "--reuid=" + u.Uid, "--regid=" + u.Gid, "--clear-groups", "--pdeathsig=QUIT"}
}
