package access

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/gridferry/gridferry/integration/harness"
	"github.com/gridferry/gridferry/wire/gsi"
	"github.com/gridferry/gridferry/wire/gsi/gsitest"
)

// TestFromAnotherHost has command and daemon in two network namespaces, with
// mutual TLS between them and nothing else in common.
func TestFromAnotherHost(t *testing.T) {
	network := harness.NewNetwork(t)
	laptop := network.Host("laptop")
	hosts := gsitest.NewCAOf(t, "Hosts") // of the daemon
	cert, key := hosts.PairFiles(hosts.Host(network.Address))
	gridmap := filepath.Join(t.TempDir(), "gridmap")
	must(t, os.WriteFile(gridmap, []byte(fmt.Sprintf("%q %s\n%q bob\n", northAda, ada, southAda)), 0o600))
	address := net.JoinHostPort(network.Address, strconv.Itoa(harness.FreePort(t)))
	s := newSite(t, func(*site) options {
		return options{api: []string{"listen: " + strconv.Quote(address), "cert: " + cert, "key: " + key, "gridmap: " + gridmap}}
	})
	harness.Eventually(t, time.Minute, func() error {
		c, err := net.Dial("tcp", address)
		if err == nil {
			c.Close()
		}
		return err
	})
	ip := harness.Need(t, "ip")
	from := func(credential *gsi.Credential, trust string, args ...string) result {
		proxy := filepath.Join(t.TempDir(), "proxy")
		must(t, credential.SaveProxy(proxy))
		cmd := exec.Command(ip, append([]string{"netns", "exec", laptop.Namespace, s.gridferry}, args...)...)
		cmd.Env = harness.Environment("GRIDFERRY_SERVICE=https://"+address, "X509_USER_PROXY="+proxy, "X509_CERT_DIR="+trust)
		return s.run(cmd)
	}

	mine := s.northCA.Proxy(s.northCA.User("Ada"))
	r := from(mine, hosts.Dir, "endpoint", "activate", "north#dtn", "--delegate", "--lifetime", "2h")
	if s.good(r); !strings.Contains(r.stderr, "knows you as "+ada) {
		t.Errorf("tasks of this host's user will not find the credential, and nobody says so: %s", r.stderr)
	}
	if status := s.good(from(mine, hosts.Dir, "endpoint", "status")); !strings.Contains(status, "delegated") || !strings.Contains(status, "2h00m left") && !strings.Contains(status, "1h59m left") {
		t.Errorf("%s", status)
	}
	// It is the same user who asks on the daemon's host.
	fill(t, s.north, "run7")
	s.good(s.as(ada, nil, "ls", "north#dtn:"+s.north.Root))

	other := s.southCA.Proxy(s.southCA.User("Countess of Lovelace"))
	if status := s.good(from(other, hosts.Dir, "endpoint", "status", "--json")); strings.TrimSpace(status) != "[]" {
		t.Errorf("another user sees %s", status)
	}
	id := strings.TrimSpace(s.good(from(other, hosts.Dir, "identity", "add", "myproxy", "adal", "--server", "myproxy.example.org")))
	if list := s.good(from(mine, hosts.Dir, "identity", "list")); strings.Contains(list, "adal") {
		t.Errorf("another user's name is in\n%s", list)
	}
	if r := from(mine, hosts.Dir, "identity", "remove", id); r.code != 5 {
		t.Errorf("another user's name was removed: exit code %d: %s", r.code, r.stderr)
	}

	expiring, err := s.northCA.User("Ada").NewProxy(gsi.ProxyOptions{Limited: true})
	must(t, err)
	for name, x := range map[string]struct {
		credential *gsi.Credential
		trust      string
		code       int
		says       string
	}{
		"mapped to nobody":         {s.northCA.Proxy(s.northCA.User("Eve")), hosts.Dir, 6, "nobody is mapped to this certificate"},
		"of a strange authority":   {gsitest.NewCAOf(t, "Strange").User("Ada"), hosts.Dir, 6, "is not trusted here"},
		"a limited proxy":          {expiring, hosts.Dir, 6, "a limited proxy does not suffice"},
		"who believes other hosts": {mine, s.southCA.Dir, 6, "certificate of /O=Hosts"},
	} {
		if r := from(x.credential, x.trust, "endpoint", "status"); r.code != x.code || !strings.Contains(r.stderr, x.says) {
			t.Errorf("%s: exit code %d: %s", name, r.code, r.stderr)
		}
	}
}
