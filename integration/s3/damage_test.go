package s3_test

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	sdk "github.com/aws/aws-sdk-go-v2/service/s3"

	"github.com/gridferry/gridferry/endpoints"
	"github.com/gridferry/gridferry/fault"
	"github.com/gridferry/gridferry/integration/s3"
	"github.com/gridferry/gridferry/integration/tree"
	"github.com/gridferry/gridferry/transfer"
)

// putObject writes an object past gridferry, with a time as gridferry keeps them.
func (s *site) putObject(key string, data []byte) {
	s.t.Helper()
	_, err := s.store.Client().PutObject(s.t.Context(), &sdk.PutObjectInput{
		Bucket: &s.store.Bucket, Key: &key, Body: bytes.NewReader(data), Metadata: map[string]string{"mtime": "981173106"},
	})
	must(s.t, err)
}

// until waits for a condition of a task that moves on.
func (s *site) until(what string, done func() bool) {
	s.t.Helper()
	limit := 2 * time.Minute
	if soak() {
		limit = 10 * time.Minute
	}
	for end := time.Now().Add(limit); !done(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			s.t.Fatalf("after %v there is not: %s", limit, what)
		}
	}
}

// Connections that are reset, bodies that are shorter than was promised, bytes
// that are others: what arrives is right all the same, there and back.
func TestDamagedLines(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.worker("worker")
	src, back := filepath.Join(s.files, "src"), filepath.Join(s.files, "back")
	must(t, os.Mkdir(src, 0o755))
	must(t, os.Mkdir(back, 0o755))
	_, err := tree.Make(src, tree.Spec{Seed: 5, Files: 20, Bytes: 4 * mib, Large: []int64{100 * mib, 20 * mib, 6 * mib}}, nil)
	must(t, err)
	total := 0
	damage := func(d s3.Damage) {
		total += d.Times
		s.meter.Damage(d)
	}
	for _, query := range []string{"partNumber", "x-id=PutObject"} {
		for _, harm := range []s3.Harm{s3.Reset, s3.Short, s3.Wrong} {
			damage(s3.Damage{Method: "PUT", Query: query, Times: 2, After: 10_000, Is: harm})
		}
	}
	s.meter.Break(s3.Broken{Method: "PUT", Query: "x-id=PutObject", Times: 3, Status: 503, Code: "SlowDown"})
	s.meter.Break(s3.Broken{Method: "POST", Query: "uploads", Times: 2, Status: 500, Code: "InternalError"})
	s.copied(s.submit(transfer.Request{Source: s.here(src), Destination: "s3://" + s.store.Bucket + "/in", Recursive: true}), 20)
	if n := s.meter.Damaged(); n != total {
		t.Errorf("%d of %d requests were damaged on the way there", n, total)
	}
	for _, harm := range []s3.Harm{s3.Reset, s3.Short, s3.Wrong} {
		damage(s3.Damage{Method: "GET", Query: "x-id=GetObject", Times: 2, After: 10_000, Is: harm})
		damage(s3.Damage{Method: "GET", Query: "x-id=GetObject", Times: 2, After: 4 * mib, Is: harm})
	}
	s.meter.Break(s3.Broken{Method: "GET", Query: "x-id=GetObject", Times: 4, Status: 500, Code: "InternalError"})
	s.meter.Break(s3.Broken{Method: "GET", Query: "list-type", Times: 2, Status: 503, Code: "SlowDown"})
	s.copied(s.submit(transfer.Request{Source: "s3://" + s.store.Bucket + "/in", Destination: s.here(back), Recursive: true}), 20)
	if n := s.meter.Damaged(); n != total {
		t.Errorf("%d of %d requests were damaged on the way there and back", n, total)
	}
	same(t, src, back, false)
	if n := uploads(t, s.store); n != 0 && soak() { // what is late is removed at the end of the task

		t.Errorf("%d uploads are still open", n)
	}
}

// An object that is replaced while a task copies it is copied as the new one,
// though size and time are the same, and never as some of both.
func TestReplacedUnderATask(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	worker := s.worker("first")
	was, is := noise(160*mib), noise(160*mib + 1)[:160*mib]
	for _, c := range []struct {
		name   string
		verify transfer.Verify
		killed bool
	}{
		{"verified", transfer.VerifyChecksum, false},
		{"unverified", transfer.VerifyNone, false},
		{"killed", transfer.VerifyChecksum, true},
	} {
		s.putObject(c.name, was)
		s.meter.Rate.Store(16 * mib)
		from := s.meter.Reads.Bytes()
		id := s.submit(transfer.Request{Source: "s3://" + s.store.Bucket + "/" + c.name, Destination: s.here(s.files) + "/" + c.name, Verify: c.verify})
		s.until("half of the file", func() bool { return s.meter.Reads.Bytes()-from > int64(len(was))/2 })
		if c.killed {
			worker.Kill()
		}
		s.putObject(c.name, is)
		s.meter.Rate.Store(0)
		if c.killed {
			worker = s.worker("second")
		}
		// What was asked for before may all be of the version that was replaced.
		task := s.copied(id, 1)
		whole := c.verify == transfer.VerifyNone && task.Progress.Faults == 0
		if task.Progress.Faults == 0 && !whole {
			t.Errorf("%s: there is no fault, and the task is %s: %s", c.name, task.Status, task.Verdict)
		}
		got, err := os.ReadFile(filepath.Join(s.files, c.name))
		switch {
		case err != nil:
			t.Error(err)
		case bytes.Equal(got, was) && whole:
		case bytes.Equal(got, was):
			t.Errorf("%s: what arrived is what was replaced", c.name)
		case !bytes.Equal(got, is):
			t.Errorf("%s: what arrived is of both versions", c.name)
		}
	}
}

// Somebody aborts an upload that is under way: the file goes anew.
func TestUploadAbortedBySomebody(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.worker("worker")
	path, data := s.large()
	s.meter.Rate.Store(24 * mib)
	id := s.submit(transfer.Request{Source: s.here(path), Destination: "s3://" + s.store.Bucket + "/large"})
	s.until("some of the file", func() bool { return s.meter.Parts.Bytes() > largeSize/4 })
	open, err := s.store.Client().ListMultipartUploads(t.Context(), &sdk.ListMultipartUploadsInput{Bucket: &s.store.Bucket})
	must(t, err)
	if len(open.Uploads) != 1 {
		t.Fatalf("%d uploads are open", len(open.Uploads))
	}
	_, err = s.store.Client().AbortMultipartUpload(t.Context(), &sdk.AbortMultipartUploadInput{Bucket: &s.store.Bucket, Key: open.Uploads[0].Key, UploadId: open.Uploads[0].UploadId})
	must(t, err)
	s.meter.Rate.Store(0)
	if task := s.wait(id, 2*time.Minute); task.Status != transfer.Succeeded || task.Progress.FilesUnverified != 0 {
		t.Fatalf("the task is %s: %s", task.Status, task.Verdict)
	}
	if got, err := os.ReadFile(filepath.Join(s.store.Dir, s.store.Bucket, "large")); err != nil || !bytes.Equal(got, data) {
		t.Errorf("the object is %d bytes that differ, %v", len(got), err)
	}
	if n := uploads(t, s.store); n != 0 {
		t.Errorf("%d uploads are still open", n)
	}
}

// fill puts empty objects into the store, many at once.
func fill(t *testing.T, store *s3.Store, keys []string) {
	t.Helper()
	client, next := store.Client(), make(chan string)
	var wg sync.WaitGroup
	for range 32 {
		wg.Go(func() {
			for key := range next {
				if _, err := client.PutObject(t.Context(), &sdk.PutObjectInput{Bucket: &store.Bucket, Key: &key, Body: strings.NewReader(key)}); err != nil {
					t.Error(err)
				}
			}
		})
	}
	for _, key := range keys {
		next <- key
	}
	close(next)
	wg.Wait()
}

// Keys that come and go between the pages of a listing: whatever was there all
// the time is listed, and nothing twice. What a task has listed and does not
// find is told of, and the others arrive.
func TestListingsThatChange(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	var keys, gone []string
	for i := range 1300 {
		keys = append(keys, fmt.Sprintf("run/k%04d", i))
	}
	for i := 3; i < len(keys); i += 100 { // on both pages
		gone = append(gone, keys[i])
	}
	fill(t, s.store, keys)
	change := func() {
		for _, key := range gone {
			if _, err := s.store.Client().DeleteObject(t.Context(), &sdk.DeleteObjectInput{Bucket: &s.store.Bucket, Key: &key}); err != nil {
				t.Error(err)
			}
		}
		fill(t, s.store, []string{"run/a", "run/k0500a", "run/z"})
	}

	opened := open(t, newDriver(t), s.store, s.store.Record("/"+s.store.Bucket))
	seen, pages := map[string]int{}, 0
	must(t, opened.List(t.Context(), "/run", func(page []endpoints.Entry) error {
		if pages++; pages == 1 {
			change()
		}
		for _, e := range page {
			seen["run/"+e.Name]++
		}
		return nil
	}))
	for _, key := range keys {
		if n := seen[key]; n > 1 || n == 0 && !slices.Contains(gone, key) {
			t.Errorf("%s was listed %d times", key, n)
		}
	}
	if pages < 2 || seen["run/z"] != 1 {
		t.Errorf("%d pages, and a key that came behind them was listed %d times", pages, seen["run/z"])
	}

	fill(t, s.store, gone)
	s.worker("worker")
	s.meter.AfterList(change)
	must(t, os.Mkdir(filepath.Join(s.files, "to"), 0o755))
	task := s.wait(s.submit(transfer.Request{Source: "s3://" + s.store.Bucket + "/run/", Destination: s.here(s.files) + "/to/", Recursive: true, OnError: transfer.OnErrorSkip}), 2*time.Minute)
	if task.Status != transfer.Succeeded || task.Progress.FilesFailed == 0 {
		t.Fatalf("the task is %s: %s, %+v", task.Status, task.Verdict, task.Progress)
	}
	failed, err := s.Service.Results(t.Context(), task.ID, transfer.ResultQuery{Status: []string{"failed"}})
	must(t, err)
	told := 0
	for _, r := range failed.Results {
		if f := r.Fault; f != nil && f.Kind == fault.NotFound && strings.Contains(f.Message, "there is no object of this key") && slices.Contains(gone, strings.TrimPrefix(r.Source, "/")) {
			told++
			continue
		}
		t.Errorf("of %s it is said: %+v", r.Source, r.Fault)
	}
	if int64(told) != task.Progress.FilesFailed {
		t.Errorf("%d files failed, and of %d it is told why", task.Progress.FilesFailed, told)
	}
	for _, key := range keys {
		got, err := os.ReadFile(filepath.Join(s.files, "to", strings.TrimPrefix(key, "run/")))
		if !slices.Contains(gone, key) && string(got) != key {
			t.Errorf("%s holds %q, %v", key, got, err)
		}
	}
}

// An object without an entity tag, as some stores have them of what they have
// not received themselves.
func TestNoEntityTag(t *testing.T) {
	d, store := newDriver(t), s3.NewStore(t, s3.StoreOptions{})
	data := noise(40 * mib)
	must(t, os.WriteFile(filepath.Join(store.Dir, store.Bucket, "f"), data, 0o600))
	h, err := store.Client().HeadObject(t.Context(), &sdk.HeadObjectInput{Bucket: &store.Bucket, Key: aws.String("f")})
	if err != nil || strings.Trim(aws.ToString(h.ETag), `"`) != "" {
		t.Fatalf("the tag is %q, %v", aws.ToString(h.ETag), err)
	}
	s := open(t, d, store, store.Record("/"+store.Bucket))
	if got := read(t, s, "/f", 0, -1); !bytes.Equal(got, data) {
		t.Errorf("%d other bytes were read", len(got))
	}
}
