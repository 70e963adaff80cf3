package compose

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/gridferry/gridferry/integration/harness"
	"github.com/gridferry/gridferry/integration/tree"
)

// TestSiteMovesData starts the services that have an image of ours, each by its
// own command, does as Ada what docker-compose.yaml tells to try, and moves a
// tree through all three GridFTP servers. No daemon has a certificate of hers.
// What is others' runs under the same names: the embedded Temporal, and Debian's
// PostgreSQL.
func TestSiteMovesData(t *testing.T) {
	for _, program := range []string{"globus-gridftp-server", "myproxy-server", "myproxy-init", "psql"} {
		harness.Need(t, program)
	}
	s := newStack(t)
	var servers []*box // start while others do
	for _, name := range []string{"dtn-a", "dtn-b", "dtn-own", "myproxy"} {
		servers = append(servers, s.run(name))
	}
	s.temporal()
	s.postgresql()
	for range 2 { // it may be repeated
		if err := s.run("gridferry-database").Wait(time.Minute); err != nil {
			t.Fatalf("gridferry-database: %v", err)
		}
	}
	setup := s.run("setup")
	if err := setup.Wait(time.Minute); err != nil {
		t.Fatalf("setup: %v", err)
	}
	if out := setup.Log(); !strings.Contains(out, "GridferryOwner") {
		t.Errorf("setup said %q", out)
	}
	gridferry := s.run("gridferry")
	gridferry.healthy()
	mover := s.run("mover")
	for _, b := range append(servers, mover) {
		b.healthy()
	}

	raw := filepath.Join(s.volumes["dtn-a"], "run7")
	if err := os.Mkdir(raw, 0o755); err != nil {
		t.Fatal(err)
	}
	if _, err := tree.Make(raw, tree.Spec{Seed: 7, Files: 60, Bytes: 20 << 20, Odd: true, Deep: 5, Empties: 2}, nil); err != nil {
		t.Fatal(err)
	}
	const secret = "correct horse battery staple"
	s.good("myproxy-init", secret+"\n", "--stdin_pass")
	said := s.good("ada", secret+"\n", "endpoint", "activate", "site#a", "--user", "ada", "--passphrase-stdin")
	if !strings.Contains(said, "/O=Gridferry/CN=Ada") {
		t.Errorf("activated as whom? %s", said)
	}
	s.copies("ada", raw, "site#a:/data/run7/", "site#b:/data/copy/", "dtn-b")
	s.copies("ada", raw, "site#b:/data/copy/", "site#own:/copy/", "dtn-own")
	if !strings.Contains(gridferry.Log(), "a proxy was delegated") {
		t.Error("the mover was given no proxy, and moved data all the same")
	}
	for _, b := range []*box{gridferry, mover} {
		if strings.Contains(b.Log(), secret) {
			t.Errorf("the pass phrase is in the log of %s", b.service.Name)
		}
	}

	// Somebody else has nothing: here, who types commands inside the daemon's
	// container, whom the kernel names at the socket.
	if out, err := gridferry.output(time.Minute, "gridferry", "endpoint", "status", "--json"); err != nil || strings.TrimSpace(out) != "[]" {
		t.Errorf("another user has %s (%v)", out, err)
	}
	if out, err := gridferry.output(time.Minute, "gridferry", "ls", "site#a:/data/"); err == nil || !strings.Contains(out, "gridferry endpoint activate site#a") {
		t.Errorf("without a credential, it said %s (%v)", out, err)
	}

	for _, b := range []*box{mover, gridferry} {
		if err := b.stop(time.Minute); err != nil {
			t.Errorf("%s did not stop in order: %v", b.service.Name, err)
		}
	}
}

// good is once for what must succeed.
func (s *stack) good(name, stdin string, args ...string) string {
	s.t.Helper()
	out, err := s.once(2*time.Minute, name, stdin, args...)
	if err != nil {
		s.t.Fatal(err)
	}
	return out
}

// copies moves a tree as a user and compares what arrives in "copy" of a volume.
func (s *stack) copies(user, want, from, to, volume string) {
	s.t.Helper()
	s.good(user, "", "transfer", "-r", "--wait", from, to)
	n, differences, err := tree.Compare(want, filepath.Join(s.volumes[volume], "copy"))
	if err != nil || n == 0 || len(differences) > 0 {
		s.t.Errorf("%s to %s: %d files are equal; %v %v", from, to, n, differences, err)
	}
}

// postgresql starts Debian's server as the image would: for the account and with
// the password that the service names.
func (s *stack) postgresql() {
	s.t.Helper()
	const entrypoint = `set -eu
PATH=$(dirname "$(ls -v /usr/lib/postgresql/*/bin/postgres | tail -n 1)"):$PATH
data=/var/lib/postgresql/data
install -d -o postgres /var/run/postgresql
install -m 0600 -o postgres "$POSTGRES_PASSWORD_FILE" /run/password
chown postgres $data
as="setpriv --reuid=postgres --regid=postgres --clear-groups"
$as initdb --pgdata=$data --username="$POSTGRES_USER" --pwfile=/run/password --auth-local=trust --auth-host=scram-sha-256 --no-sync >/dev/null
echo 'host all all all scram-sha-256' >>$data/pg_hba.conf
exec $as postgres -D $data -c listen_addresses='*' -c fsync=off`
	if found, err := filepath.Glob("/usr/lib/postgresql/*/bin/postgres"); err != nil || len(found) == 0 {
		harness.Lacking(s.t, "needs a PostgreSQL server (Debian's package postgresql)")
	}
	s.images["postgresql"] = dockerfile{entrypoint: []string{"sh", "-c", entrypoint}}
	s.images["gridferry-database"] = dockerfile{}
	s.run("postgresql").healthy()
}

// temporal starts the embedded server where the stack's own would be.
func (s *stack) temporal() {
	s.t.Helper()
	host := s.hosts["temporal"]
	p := harness.Start(s.t, harness.Command{
		Name:      "temporal",
		Path:      harness.Binary(s.t, "gridferry-standalone"),
		Args:      []string{"temporal", "-host", host.Address, "-port", "7233", "-namespace", "gridferry"},
		Namespace: host.Namespace,
	})
	p.Ready(2*time.Minute, func() error {
		if !strings.Contains(p.Log(), host.Address+":7233") {
			return errors.New("it has not said where it is")
		}
		return nil
	})
}
