package s3_test

import (
	"bytes"
	"context"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/log"

	"github.com/gridferry/gridferry/integration/globus"
	"github.com/gridferry/gridferry/integration/harness"
	"github.com/gridferry/gridferry/integration/s3"
	"github.com/gridferry/gridferry/integration/tree"
	"github.com/gridferry/gridferry/service"
	"github.com/gridferry/gridferry/transfer"
	"github.com/gridferry/gridferry/wire/gsi/gsitest"
)

// A site is Temporal, a store, and worker processes that reach it through a
// meter, and directories of this host.
type site struct {
	t        *testing.T
	temporal *harness.Temporal
	service  *service.Service
	store    *s3.Store
	meter    *s3.Meter
	ca       *gsitest.CA
	files    string // what the workers may reach of this host
	conf     string
	proxy    string
}

// newSite also takes lines for the workers' configuration.
func newSite(t *testing.T, more ...string) *site {
	t.Helper()
	s := &site{t: t, temporal: harness.NewTemporal(t, harness.TemporalOptions{}), store: s3.NewStore(t, s3.StoreOptions{}), files: t.TempDir(), ca: gsitest.NewCA(t)}
	s.meter = s3.NewMeter(t, s.store.Addr)
	c, err := client.Dial(client.Options{
		HostPort: s.temporal.Address, Namespace: s.temporal.Namespace, Logger: log.NewStructuredLogger(slog.New(slog.DiscardHandler)),
	})
	must(t, err)
	t.Cleanup(c.Close)
	s.service = service.New(c, service.Options{})
	s.proxy = s.ca.ProxyFile(s.ca.Proxy(s.ca.User("Ada")))
	dir := t.TempDir()
	s.conf = filepath.Join(dir, "gridferryd.yaml")
	keys := filepath.Join(dir, "keys")
	must(t, os.WriteFile(keys, fmt.Appendf(nil, "[lab]\naws_access_key_id = %s\naws_secret_access_key = %s\n", s.store.Access, s.store.Secret), 0o600))
	must(t, os.WriteFile(s.conf, fmt.Appendf(nil, `
roles: [control, data, site]
site: here
data_dir: %q
trust_dir: %q
roots: {"*": [%q]}
credentials:
  store: {owners: ["*"], aws_file: %q, aws_profile: lab}
endpoints:
  s3: {kind: s3, scheme: http, servers: [%q], credential: "file:store"}
  lab#data: {kind: s3, scheme: http, servers: [%q], credential: "file:store", root: "/%s/deep/er"}
`+strings.ReplaceAll(strings.Join(more, "\n"), "BUCKET", s.store.Bucket), filepath.Join(dir, "data"), s.ca.Dir, s.files, keys, s.meter.Addr, s.meter.Addr, s.store.Bucket), 0o600))
	return s
}

func (s *site) worker(name string) *harness.Process {
	s.t.Helper()
	p := harness.Start(s.t, harness.Command{
		Name: name, Path: harness.Binary(s.t, "gridferryd"), Args: []string{"run", "--config", s.conf},
		Env: harness.Environment(append(s.temporal.Env(), "X509_USER_PROXY="+s.proxy)...),
	})
	p.Ready(time.Minute, func() error {
		if n := strings.Count(p.Log(), "worker started"); n < 3 {
			return fmt.Errorf("%d of its 3 roles are served", n)
		}
		return nil
	})
	return p
}

func (s *site) submit(req transfer.Request) transfer.TaskID {
	s.t.Helper()
	id, err := s.service.Submit(s.t.Context(), "", req)
	must(s.t, err)
	return id
}

func (s *site) wait(id transfer.TaskID, limit time.Duration) transfer.Task {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(s.t.Context(), limit)
	defer cancel()
	task, err := s.service.Wait(ctx, id)
	if err != nil {
		now, _ := s.service.Task(s.t.Context(), id)
		s.t.Fatalf("wait for the task: %v; it is %s, %s: %s", err, now.Status, now.Phase, now.Verdict)
	}
	return task
}

// succeeds transfers a tree, and every file of it verified.
func (s *site) succeeds(from, to string) transfer.Task {
	s.t.Helper()
	begun := time.Now()
	task := s.wait(s.submit(transfer.Request{Source: from, Destination: to, Recursive: true, PreserveTime: true}), 5*time.Minute)
	if task.Status != transfer.Succeeded || task.Progress.FilesUnverified != 0 {
		s.t.Fatalf("%s to %s is %s, %d files unverified: %s", from, to, task.Status, task.Progress.FilesUnverified, task.Verdict)
	}
	s.t.Logf("%s to %s: %d files, %d MiB in %v", from, to, task.Progress.FilesDone, task.Progress.BytesDone/mib, time.Since(begun).Round(time.Millisecond))
	return task
}

func (s *site) here(dir string) string { return "file://here" + dir }

// same compares two trees, and the times of their files.
func same(t *testing.T, want, got string, times bool) {
	t.Helper()
	n, diffs, err := tree.Compare(want, got)
	must(t, err)
	for _, d := range diffs[:min(len(diffs), 20)] {
		t.Errorf("%v", d)
	}
	if n == 0 {
		t.Error("nothing was compared")
	}
	if !times {
		return
	}
	must(t, filepath.WalkDir(want, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		rel, err := filepath.Rel(want, path)
		if err != nil {
			return err
		}
		a, errA := os.Stat(path)
		b, errB := os.Stat(filepath.Join(got, rel))
		if errA != nil || errB != nil || !a.ModTime().Equal(b.ModTime()) {
			t.Errorf("%s is of %v, and its copy of %v", rel, a.ModTime(), b.ModTime())
		}
		return nil
	}))
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// age gives the files of a tree times of long ago.
func age(t *testing.T, dir string) {
	t.Helper()
	at := time.Date(2001, 2, 3, 4, 5, 6, 789_000_000, time.UTC)
	must(t, filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			at = at.Add(time.Hour)
			err = os.Chtimes(path, time.Time{}, at)
		}
		return err
	}))
}

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
	age(t, src)
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

// killed kills a worker in the middle of one large file, and lets another one
// go on.
func (s *site) killed(from, to string, moved func() int64) {
	s.t.Helper()
	s.meter.Rate.Store(24 * mib) // so that there is a middle
	first := s.worker("first")
	id := s.submit(transfer.Request{Source: from, Destination: to})
	deadline := time.Now().Add(time.Minute)
	for moved() < largeSize/2+5*mib { // not between two parts
		if time.Now().After(deadline) {
			s.t.Fatalf("%d bytes after a minute", moved())
		}
		time.Sleep(5 * time.Millisecond)
	}
	first.Kill()
	s.t.Logf("killed at %d MiB", moved()/mib)
	s.meter.Rate.Store(0)
	s.worker("second")
	if task := s.wait(id, 3*time.Minute); task.Status != transfer.Succeeded || task.Progress.FilesUnverified != 0 {
		s.t.Fatalf("the task is %s: %s", task.Status, task.Verdict)
	}
	again := moved() - largeSize
	s.t.Logf("%.1f MiB of %d MiB were moved again", float64(again)/mib, int64(largeSize)/mib)
	if again < 0 {
		s.t.Errorf("%d bytes too few were moved", -again)
	}
	// A part of 8 MiB for each of three streams.
	if again > 24*mib {
		s.t.Errorf("%d bytes were moved again", again)
	}
}

func (s *site) large() (path string, data []byte) {
	data = noise(largeSize)
	path = filepath.Join(s.files, "large")
	must(s.t, os.WriteFile(path, data, 0o600))
	return path, data
}

// A worker that dies in the middle of a large file to the store leaves an
// upload, with which the next one goes on.
func TestKilledOnTheWayThere(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	path, data := s.large()
	s.killed(s.here(path), "s3://"+s.store.Bucket+"/large", s.meter.PartBytes.Load)
	got, err := os.ReadFile(filepath.Join(s.store.Dir, s.store.Bucket, "large"))
	if err != nil || !bytes.Equal(got, data) {
		t.Errorf("the object is %d bytes that differ, %v", len(got), err)
	}
	if n := uploads(t, s.store); n != 0 {
		t.Errorf("%d uploads are still open", n)
	}
	if left, err := filepath.Glob(filepath.Join(s.store.Dir, s.store.Bucket, ".*gridferry*")); err != nil || len(left) > 0 {
		t.Errorf("left: %v, %v", left, err)
	}
}

// The same on the way back.
func TestKilledOnTheWayBack(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	path, data := s.large()
	d := newDriver(t)
	opened := open(t, d, s.store, s.store.Record("/"+s.store.Bucket))
	w, err := opened.Create(t.Context(), "/large", createOf(data))
	must(t, err)
	_, err = w.Write(data)
	must(t, err)
	must(t, w.Commit())
	must(t, os.Remove(path))
	s.killed("s3://"+s.store.Bucket+"/large", s.here(path), s.meter.ReadBytes.Load)
	if got, err := os.ReadFile(path); err != nil || !bytes.Equal(got, data) {
		t.Errorf("the file is %d bytes that differ, %v", len(got), err)
	}
}
