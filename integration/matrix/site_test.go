package matrix_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/gridferry/gridferry/integration/host"
	"github.com/gridferry/gridferry/wire/gsi/gsitest"
)

// A site is a host whose daemon knows an endpoint of each kind, and the servers
// behind these.
type site struct {
	*testing.T
	*host.Host
	ca    *gsitest.CA
	dir   string // of configurations and secrets
	kinds []*kind
}

func newSite(t *testing.T) *site {
	t.Helper()
	s := &site{T: t, ca: gsitest.NewCA(t), dir: t.TempDir()}
	s.kinds = s.start()
	var roots []string
	var credentials, records strings.Builder
	for _, k := range s.kinds {
		fmt.Fprintf(&records, "  %s: {%s}\n", k.endpoint(), k.record)
		if k.credential != "" {
			fmt.Fprintf(&credentials, "  %s: {owners: [\"*\"], %s}\n", k.name, k.credential)
		}
		if k.local {
			roots = append(roots, k.disk)
		}
	}
	s.Host = host.New(t, host.Config{Roots: roots, TrustDir: s.ca.Dir, Credentials: credentials.String(), Endpoints: records.String()})
	proxy := s.ca.ProxyFile(s.ca.Proxy(s.ca.User("Ada")))
	t.Setenv("X509_USER_PROXY", proxy) // for tests that open endpoints themselves
	s.Daemon(t, "gridferryd", "X509_USER_PROXY="+proxy)
	return s
}

// file writes one that nobody else may read.
func (s *site) file(name, content string) string {
	s.Helper()
	path := filepath.Join(s.dir, name)
	must(s, os.WriteFile(path, []byte(content), 0o600))
	return path
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
