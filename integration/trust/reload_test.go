package trust_test

import (
	"crypto/x509/pkix"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/user"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/gridferry/gridferry/integration/globus"
	"github.com/gridferry/gridferry/integration/harness"
	"github.com/gridferry/gridferry/wire/gsi/gsitest"
)

// reloadLimit is what is promised of changes of files.
const reloadLimit = 60 * time.Second

// TestReload changes all that a running daemon's logins depend on, and asks it
// and globus-url-copy who gets in then.
func TestReload(t *testing.T) {
	ca := gsitest.NewCA(t)
	f := newForger(t)
	dir := t.TempDir()
	cert, key, gridmap := filepath.Join(dir, "hostcert.pem"), filepath.Join(dir, "hostkey.pem"), filepath.Join(dir, "grid-mapfile")
	must(t, ca.Host("first").SavePair(cert, key))
	u, err := user.Current()
	must(t, err)
	account := u.Username
	f.write(gridmap, fmt.Appendf(nil, "%q %s\n\"/O=Test/CN=Bob\" %[2]s\n", globus.Identity, account))
	ada, bob := ca.User("Ada"), ca.User("Bob")
	f.list(ca.Dir, ca.Root(), time.Now().Add(5*24*time.Hour))
	f.write(filepath.Join(dir, "f"), []byte("bytes"))

	addr := fmt.Sprintf("localhost:%d", harness.FreePort(t))
	metrics := fmt.Sprintf("127.0.0.1:%d", harness.FreePort(t))
	conf := filepath.Join(dir, "gridferryd.yaml")
	f.write(conf, fmt.Appendf(nil, "roles: [gridftp]\ntrust_dir: %s\nmetrics: {listen: %s}\ngridftp: {listen: %q, root: %s, cert: %s, key: %s, gridmap: %s}\n",
		ca.Dir, metrics, addr, dir, cert, key, gridmap))
	daemon := harness.Start(t, harness.Command{
		Path: harness.Binary(t, "gridferryd"), Args: []string{"run", "--config", conf}, Env: harness.Environment(), Dir: dir,
	})
	scrape := func() string {
		r, err := http.Get("http://" + metrics + "/metrics")
		if err != nil {
			return err.Error()
		}
		defer r.Body.Close()
		text, err := io.ReadAll(r.Body)
		must(t, err)
		return string(text)
	}
	shows := func(what string) func() error {
		return func() error {
			if text := scrape(); !strings.Contains(text, what) {
				return fmt.Errorf("no %q in %s", what, text)
			}
			return nil
		}
	}
	daemon.Ready(30*time.Second, shows(`gridferry_days_left{file="",kind="host certificate",name="/O=Test/CN=localhost"} `))
	must(t, shows(fmt.Sprintf(`gridferry_days_left{file="%s.r0",kind="revocation list",name="/O=Test/CN=Test CA"} 4.9`, f.hash(ca.Root())))())
	if log := daemon.Log(); strings.Count(log, "the revocation list") != 1 || !strings.Contains(log, "fetch-crl") {
		t.Errorf("there is no warning of the revocation list's end:\n%s", log)
	}
	fetch := func(who string) error {
		proxy := ca.ProxyFile(ca.Proxy(ada))
		if who == "Bob" {
			proxy = ca.ProxyFile(ca.Proxy(bob))
		}
		_, err := globus.TryURLCopy(t, globus.ClientEnv(ca, proxy), "-nodcau", "gsiftp://"+addr+"/f", "file://"+filepath.Join(t.TempDir(), "g"))
		return err
	}
	for _, who := range []string{"Ada", "Bob"} {
		if err := fetch(who); err != nil {
			t.Fatalf("%s, before: %v", who, err)
		}
	}

	// The host certificate is renewed and is to end soon, Bob's is revoked, and
	// Ada leaves the gridmap.
	began := time.Now()
	renewed := f.end(ca.Root(), pkix.Name{Organization: []string{"Test"}, CommonName: "renewed"}, func(c *forged) { c.DNSNames = []string{"localhost"} })
	must(t, renewed.SavePair(cert, key))
	f.list(ca.Dir, ca.Root(), time.Now().Add(30*24*time.Hour), bob.Chain[0])
	must(t, os.WriteFile(gridmap, fmt.Appendf(nil, "\"/O=Test/CN=Bob\" %s\n", account), 0o600))
	harness.Eventually(t, reloadLimit, func() error {
		for _, what := range []string{`kind="host certificate",name="/O=Test/CN=renewed"`, `kind="revocation list",name="/O=Test/CN=Test CA"} 29.9`} {
			if err := shows(what)(); err != nil {
				return err
			}
		}
		return nil
	})
	t.Logf("the changes counted after %v", time.Since(began).Round(time.Second))

	peer, err := knock(t, addr, ada, ca.Trust())
	if err != nil || peer.Identity != "/O=Test/CN=renewed" {
		t.Errorf("the server is %+v, %v", peer, err)
	}
	if _, err := knock(t, addr, bob, ca.Trust()); err == nil || !strings.Contains(err.Error(), "revoked") {
		t.Errorf("Bob, who was revoked: %v", err)
	}
	if err := fetch("Ada"); err == nil || !strings.Contains(err.Error(), "Gridmap lookup failure") {
		t.Errorf("Ada, who left the gridmap: %v", err)
	}
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
