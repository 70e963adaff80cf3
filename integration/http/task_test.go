package http_test

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/pem"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/log"

	"github.com/gridferry/gridferry/integration/harness"
	"github.com/gridferry/gridferry/integration/http"
	"github.com/gridferry/gridferry/integration/tree"
	"github.com/gridferry/gridferry/service"
	"github.com/gridferry/gridferry/transfer"
	"github.com/gridferry/gridferry/wire/gsi/gsitest"
)

const mib = 1 << 20

// A site is Temporal, Apache with TLS, nginx, and a worker that reaches both
// and a directory of this host.
type site struct {
	t       *testing.T
	service *service.Service
	apache  *http.Server
	nginx   *http.Server
	files   string // what the worker may reach of this host
}

func newSite(t *testing.T) *site {
	t.Helper()
	temporal := harness.NewTemporal(t, harness.TemporalOptions{})
	ca := gsitest.NewCA(t)
	dir := t.TempDir()
	cert, key := ca.PairFiles(ca.Host())
	must(t, os.WriteFile(filepath.Join(dir, "ca.pem"), pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: ca.Root().Chain[0].Raw}), 0o644))
	s := &site{t: t, apache: http.NewApache(t, cert, key), nginx: http.NewNginx(t), files: t.TempDir()}
	c, err := client.Dial(client.Options{
		HostPort: temporal.Address, Namespace: temporal.Namespace, Logger: log.NewStructuredLogger(slog.New(slog.DiscardHandler)),
	})
	must(t, err)
	t.Cleanup(c.Close)
	s.service = service.New(c, service.Options{})
	passwords := map[string]string{"apache": s.apache.Password, "nginx": s.nginx.Password}
	for name, password := range passwords {
		must(t, os.WriteFile(filepath.Join(dir, name), []byte(password+"\n"), 0o600))
	}
	conf := filepath.Join(dir, "gridferryd.yaml")
	must(t, os.WriteFile(conf, []byte(strings.NewReplacer("DIR", dir, "FILES", s.files, "APACHE", s.apache.Addr, "NGINX", s.nginx.Addr).Replace(`
roles: [control, data, site]
site: here
data_dir: DIR/data
trust_dir: DIR
roots: {"*": [FILES]}
credentials:
  apache: {owners: ["*"], password_file: DIR/apache}
  nginx: {owners: ["*"], password_file: DIR/nginx}
endpoints:
  lab#apache: {kind: http, scheme: davs, servers: [APACHE], root: /dav, user: ada, credential: "file:apache", options: {ca_file: DIR/ca.pem}}
  lab#plain: {kind: http, servers: [APACHE], root: /plain, options: {ca_file: DIR/ca.pem}}
  lab#nginx: {kind: http, scheme: http, servers: [NGINX], root: /dav, user: ada, credential: "file:nginx", options: {insecure: "on"}}
`)), 0o600))
	worker := harness.Start(t, harness.Command{
		Name: "worker", Path: harness.Binary(t, "gridferryd"), Args: []string{"run", "--config", conf}, Env: harness.Environment(temporal.Env()...),
	})
	worker.Ready(time.Minute, func() error {
		if n := strings.Count(worker.Log(), "worker started"); n < 3 {
			return fmt.Errorf("%d of its 3 roles are served", n)
		}
		return nil
	})
	return s
}

func (s *site) here(dir string) string { return "file://here" + filepath.Join(s.files, dir) }

func (s *site) run(req transfer.Request) transfer.Task {
	s.t.Helper()
	id, err := s.service.Submit(s.t.Context(), "", req)
	must(s.t, err)
	ctx, cancel := context.WithTimeout(s.t.Context(), 3*time.Minute)
	defer cancel()
	task, err := s.service.Wait(ctx, id)
	if err != nil {
		now, _ := s.service.Task(s.t.Context(), id)
		s.t.Fatalf("wait for the task: %v; it is %s, %s: %s", err, now.Status, now.Phase, now.Verdict)
	}
	return task
}

// succeeds transfers, and every file of it verified.
func (s *site) succeeds(req transfer.Request) {
	s.t.Helper()
	begun := time.Now()
	task := s.run(req)
	if task.Status != transfer.Succeeded || task.Progress.FilesUnverified != 0 || task.Progress.FilesDone == 0 {
		s.t.Fatalf("%+v is %s, %d files unverified: %s", req, task.Status, task.Progress.FilesUnverified, task.Verdict)
	}
	s.t.Logf("%s to %s: %d files, %d MiB in %v", task.Source, task.Destination, task.Progress.FilesDone, task.Progress.BytesDone/mib, time.Since(begun).Round(time.Millisecond))
}

func same(t *testing.T, want, got string) {
	t.Helper()
	n, diffs, err := tree.Compare(want, got)
	must(t, err)
	for _, d := range diffs[:min(len(diffs), 20)] {
		t.Errorf("%v", d)
	}
	if n == 0 {
		t.Error("nothing was compared")
	}
}

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
		src, back := filepath.Join(s.files, c.endpoint), filepath.Join(s.files, c.endpoint+"-back")
		must(t, os.Mkdir(src, 0o755))
		_, err := tree.Make(src, tree.Spec{Seed: 1, Files: 120, Bytes: 80 * mib, Large: []int64{0, 1, 70*mib + 1, 3 * mib}, Odd: c.odd, Deep: 4, Empties: 3}, nil)
		must(t, err)
		s.succeeds(transfer.Request{Source: s.here(c.endpoint), Destination: c.endpoint + ":/in", Recursive: true})
		same(t, src, filepath.Join(c.dir, "dav", "in"))
		s.succeeds(transfer.Request{Source: c.endpoint + ":/in", Destination: s.here(c.endpoint + "-back"), Recursive: true})
		same(t, src, back)
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
	s.succeeds(transfer.Request{Items: items})
	items = items[:0]
	for i := range 4 {
		items = append(items, transfer.Item{
			Source: fmt.Sprintf("http://%s/plain/file%%20%d.dat?signature=a/b%%2F%d", s.nginx.Addr, i, i), Destination: s.here("signed") + "/",
		})
	}
	s.succeeds(transfer.Request{Items: items})
	for name, sum := range want {
		data, err := os.ReadFile(filepath.Join(s.files, name))
		got := sha256.Sum256(data)
		if err != nil || hex.EncodeToString(got[:]) != sum {
			s.t.Errorf("%s holds %d other bytes, %v", name, len(data), err)
		}
	}
}

// refused has what a person reads of a tree that nobody lists.
func (s *site) refused() {
	s.t.Helper()
	task := s.run(transfer.Request{Source: "lab#plain:/", Destination: s.here("listed"), Recursive: true, OnError: transfer.OnErrorFail})
	text := task.Verdict
	if task.LastFault != nil {
		text += ": " + task.LastFault.Message
	}
	if task.Status == transfer.Succeeded || !strings.Contains(text, "speaks no WebDAV") || !strings.Contains(text, "name each file") {
		s.t.Errorf("%s: %s", task.Status, text)
	}
}
