package http_test

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/pem"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/gridferry/gridferry/integration/harness"
	"github.com/gridferry/gridferry/integration/host"
	"github.com/gridferry/gridferry/integration/http"
	"github.com/gridferry/gridferry/integration/tree"
	"github.com/gridferry/gridferry/transfer"
	"github.com/gridferry/gridferry/wire/gsi/gsitest"
)

const mib = 1 << 20

// A site is a host with a worker that reaches Apache with TLS, and nginx.
type site struct {
	*host.Host
	t      *testing.T
	apache *http.Server
	nginx  *http.Server
}

func newSite(t *testing.T) *site {
	t.Helper()
	ca, dir := gsitest.NewCA(t), t.TempDir()
	cert, key := ca.PairFiles(ca.Host())
	must(t, os.WriteFile(filepath.Join(dir, "ca.pem"), pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: ca.Root().Chain[0].Raw}), 0o644))
	s := &site{t: t, apache: http.NewApache(t, cert, key), nginx: http.NewNginx(t)}
	for name, password := range map[string]string{"apache": s.apache.Password, "nginx": s.nginx.Password} {
		must(t, os.WriteFile(filepath.Join(dir, name), []byte(password+"\n"), 0o600))
	}
	fill := strings.NewReplacer("DIR", dir, "APACHE", s.apache.Addr, "NGINX", s.nginx.Addr).Replace
	s.Host = host.New(t, host.Config{
		TrustDir: dir,
		Credentials: fill(`
  apache: {owners: ["*"], password_file: DIR/apache}
  nginx: {owners: ["*"], password_file: DIR/nginx}
`),
		Endpoints: fill(`
  lab#apache: {kind: http, scheme: davs, servers: [APACHE], root: /dav, user: ada, credential: "file:apache", options: {ca_file: DIR/ca.pem}}
  lab#plain: {kind: http, servers: [APACHE], root: /plain, options: {ca_file: DIR/ca.pem}}
  lab#nginx: {kind: http, scheme: http, servers: [NGINX], root: /dav, user: ada, credential: "file:nginx", options: {insecure: "on"}}
`),
	})
	s.Daemon(t, "worker")
	return s
}

func (s *site) here(dir string) string { return host.Here(filepath.Join(s.Files, dir)) }

func TestTasks(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	for _, c := range []struct {
		endpoint string
		dir      string
		odd      bool // nginx lists no name that begins with a dot
	}{
		{"lab#apache", s.apache.Dir, true},
		{"lab#nginx", s.nginx.Dir, false},
	} {
		src, back := filepath.Join(s.Files, c.endpoint), filepath.Join(s.Files, c.endpoint+"-back")
		must(t, os.Mkdir(src, 0o755))
		_, err := tree.Make(src, tree.Spec{Seed: 1, Files: 120, Bytes: 80 * mib, Large: []int64{0, 1, 70*mib + 1, 3 * mib}, Odd: c.odd, Deep: 4, Empties: 3}, nil)
		must(t, err)
		s.Succeeds(t, transfer.Request{Source: s.here(c.endpoint), Destination: c.endpoint + ":/in", Recursive: true})
		harness.SameTree(t, src, filepath.Join(c.dir, "dav", "in"))
		s.Succeeds(t, transfer.Request{Source: c.endpoint + ":/in", Destination: s.here(c.endpoint + "-back"), Recursive: true})
		harness.SameTree(t, src, back)
	}
	s.plain()
	s.refused()
}

// plain fetches single files of a server that lists nothing: some as items of one
// task, and one by a URL that is signed.
func (s *site) plain() {
	s.t.Helper()
	var items []transfer.Item
	want := map[string]string{}
	for i, size := range []int{0, 10, 3 * mib, 70 * mib} {
		data := []byte(strings.Repeat(fmt.Sprint(i), size))
		name := fmt.Sprintf("file %d.dat", i)
		must(s.t, os.WriteFile(filepath.Join(s.apache.Dir, "plain", name), data, 0o644))
		must(s.t, os.WriteFile(filepath.Join(s.nginx.Dir, "plain", name), data, 0o644))
		items = append(items, transfer.Item{Source: "lab#plain:/" + name, Destination: s.here("fetched") + "/"})
		sum := sha256.Sum256(data)
		want["fetched/"+name], want["signed/"+name] = hex.EncodeToString(sum[:]), hex.EncodeToString(sum[:])
	}
	s.Succeeds(s.t, transfer.Request{Items: items})
	items = items[:0]
	for i := range 4 {
		items = append(items, transfer.Item{
			Source: fmt.Sprintf("http://%s/plain/file%%20%d.dat?signature=a/b%%2F%d", s.nginx.Addr, i, i), Destination: s.here("signed") + "/",
		})
	}
	s.Succeeds(s.t, transfer.Request{Items: items})
	for name, sum := range want {
		data, err := os.ReadFile(filepath.Join(s.Files, name))
		got := sha256.Sum256(data)
		if err != nil || hex.EncodeToString(got[:]) != sum {
			s.t.Errorf("%s holds %d other bytes, %v", name, len(data), err)
		}
	}
}

// refused has what a person reads of a tree that nobody lists.
func (s *site) refused() {
	s.t.Helper()
	task := s.Transfer(s.t, transfer.Request{Source: "lab#plain:/", Destination: s.here("listed"), Recursive: true, OnError: transfer.OnErrorFail})
	text := task.Verdict
	if task.LastFault != nil {
		text += ": " + task.LastFault.Message
	}
	if task.Status == transfer.Succeeded || !strings.Contains(text, "speaks no WebDAV") || !strings.Contains(text, "name each file") {
		s.t.Errorf("%s: %s", task.Status, text)
	}
}
