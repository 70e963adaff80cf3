package s3_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/gridferry/gridferry/integration/globus"
	"github.com/gridferry/gridferry/integration/harness"
	"github.com/gridferry/gridferry/integration/host"
	"github.com/gridferry/gridferry/integration/s3"
	"github.com/gridferry/gridferry/integration/tree"
	"github.com/gridferry/gridferry/transfer"
	"github.com/gridferry/gridferry/wire/gsi/gsitest"
)

// A site is a host whose daemons reach a store through a meter.
type site struct {
	*host.Host
	t     *testing.T
	store *s3.Store
	meter *s3.Meter
	ca    *gsitest.CA
	files string // what the workers may reach of this host
	proxy string
}

// newSite also takes lines for the workers' configuration.
func newSite(t *testing.T, more ...string) *site {
	t.Helper()
	s := &site{t: t, store: s3.NewStore(t, s3.StoreOptions{}), ca: gsitest.NewCA(t)}
	s.meter = s3.NewMeter(t, s.store.Addr)
	s.proxy = s.ca.ProxyFile(s.ca.Proxy(s.ca.User("Ada")))
	keys := filepath.Join(t.TempDir(), "keys")
	must(t, os.WriteFile(keys, fmt.Appendf(nil, "[lab]\naws_access_key_id = %s\naws_secret_access_key = %s\n", s.store.Access, s.store.Secret), 0o600))
	s.Host = host.New(t, host.Config{
		TrustDir:    s.ca.Dir,
		Credentials: fmt.Sprintf(`  store: {owners: ["*"], aws_file: %q, aws_profile: lab}`, keys),
		Endpoints: fmt.Sprintf(`
  s3: {kind: s3, scheme: http, servers: [%q], credential: "file:store"}
  lab#data: {kind: s3, scheme: http, servers: [%q], credential: "file:store", root: "/%s/deep/er"}
`, s.meter.Addr, s.meter.Addr, s.store.Bucket),
		More: strings.ReplaceAll(strings.Join(more, "\n"), "BUCKET", s.store.Bucket),
	})
	s.files = s.Files
	return s
}

func (s *site) worker(name string) *harness.Process {
	s.t.Helper()
	return s.Daemon(s.t, name, "X509_USER_PROXY="+s.proxy)
}

func (s *site) submit(req transfer.Request) transfer.TaskID {
	s.t.Helper()
	return s.Submit(s.t, req)
}

func (s *site) wait(id transfer.TaskID, limit time.Duration) transfer.Task {
	s.t.Helper()
	return s.Wait(s.t, id, limit)
}

// succeeds transfers a tree, and every file of it verified.
func (s *site) succeeds(from, to string) transfer.Task {
	s.t.Helper()
	return s.Succeeds(s.t, transfer.Request{Source: from, Destination: to, Recursive: true, PreserveTime: true})
}

func (s *site) here(dir string) string { return host.Here(dir) }

// same compares two trees, and the times of their files.
func same(t *testing.T, want, got string, times bool) {
	t.Helper()
	harness.SameTree(t, want, got)
	if times {
		harness.SameTimes(t, want, got, 1)
	}
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// longAgo is when files are from whose times are to be kept.
var longAgo = time.Date(2001, 2, 3, 4, 5, 6, 789_000_000, time.UTC)

// A tree of all sorts of files goes to the store and comes back the same.
func TestTreesThereAndBack(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.worker("worker")
	src, back := filepath.Join(s.files, "src"), filepath.Join(s.files, "back")
	must(t, os.Mkdir(src, 0o755))
	must(t, os.Mkdir(back, 0o755))
	_, err := tree.Make(src, tree.Spec{Seed: 1, Files: 300, Bytes: 250 * mib, Large: []int64{0, 1, 130 * mib, 17 * mib, 70*mib + 1, 16 * mib}, Odd: true, Deep: 4, Empties: 3}, nil)
	must(t, err)
	harness.Age(t, src, longAgo)
	bucket := "s3://" + s.store.Bucket
	s.succeeds(s.here(src), bucket+"/in")
	there := s.meter.Requests()
	s.succeeds(bucket+"/in", s.here(back))
	same(t, src, back, true)
	t.Logf("requests: %v there, %v in all", there, s.meter.Requests())
	if n := uploads(t, s.store); n != 0 {
		t.Errorf("%d uploads are still open", n)
	}

	// What is there already is not copied again, in either direction.
	for from, to := range map[string]string{s.here(src): bucket + "/in", bucket + "/in": s.here(back)} {
		task := s.wait(s.submit(transfer.Request{Source: from, Destination: to, Recursive: true, Sync: transfer.SyncModified}), time.Minute)
		if task.Status != transfer.Succeeded || task.Progress.FilesDone != task.Progress.FilesSkipped && task.Progress.BytesDone > 0 {
			t.Errorf("a sync to %s is %s and copies: %+v", to, task.Status, task.Progress)
		}
	}

	// Over what is there, from another part of the store.
	again := filepath.Join(s.files, "again")
	must(t, os.Mkdir(again, 0o755))
	s.succeeds(bucket+"/in", "lab#data:/copy")
	s.succeeds(s.here(src), "lab#data:/copy")
	s.succeeds("lab#data:/copy", s.here(again))
	same(t, src, again, true)
}

// The same with a GridFTP server that others wrote.
func TestGridFTPThereAndBack(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.worker("worker")
	dtn := globus.NewServer(t, globus.Options{CA: s.ca})
	must(t, os.MkdirAll(dtn.Path("src"), 0o755))
	_, err := tree.Make(dtn.Path("src"), tree.Spec{Seed: 2, Files: 100, Bytes: 200 * mib, Large: []int64{0, 100 * mib, 20 * mib}, Deep: 3, Empties: 1}, nil)
	must(t, err)
	s.succeeds(dtn.URL("src/"), "s3://"+s.store.Bucket+"/in")
	s.succeeds("s3://"+s.store.Bucket+"/in", dtn.URL("back/"))
	same(t, dtn.Path("src"), dtn.Path("back"), false)
}

// A site whose manifests, ledgers and results are in a bucket, too.
func TestBlobsOfASite(t *testing.T) {
	t.Parallel()
	s := newSite(t, `blobs: {url: "s3://BUCKET/site/blobs", budget: 1GiB}`)
	s.worker("worker")
	src, back := filepath.Join(s.files, "src"), filepath.Join(s.files, "back")
	must(t, os.Mkdir(src, 0o755))
	must(t, os.Mkdir(back, 0o755))
	_, err := tree.Make(src, tree.Spec{Seed: 3, Files: 50, Bytes: 5 * mib, Odd: true, Deep: 2}, nil)
	must(t, err)
	s.succeeds(s.here(src), "s3://"+s.store.Bucket+"/in")
	s.succeeds("s3://"+s.store.Bucket+"/in", s.here(back))
	same(t, src, back, true)
	if kept, err := os.ReadDir(filepath.Join(s.store.Dir, s.store.Bucket, "site/blobs/tasks")); err != nil || len(kept) < 2 {
		t.Errorf("of two tasks the bucket has %d, %v", len(kept), err)
	}
}

const largeSize = 256 * mib

func (s *site) large() (path string, data []byte) {
	data = noise(largeSize)
	path = filepath.Join(s.files, "large")
	must(s.t, os.WriteFile(path, data, 0o600))
	return path, data
}
