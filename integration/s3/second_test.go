package s3_test

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/gridferry/gridferry/endpoints"
	"github.com/gridferry/gridferry/endpoints/endpointtest"
	"github.com/gridferry/gridferry/fault"
	"github.com/gridferry/gridferry/integration/harness"
	"github.com/gridferry/gridferry/integration/s3"
	"github.com/gridferry/gridferry/integration/tree"
	"github.com/gridferry/gridferry/transfer"
)

// second starts a server that others wrote, and that wants the parts of an
// upload numbered without gaps.
func second(t *testing.T) *s3.Store {
	t.Helper()
	if !soak() && !harness.HasRclone() {
		t.Skip("needs GRIDFERRY_SOAK or `make rclone`: rclone, as a second server, takes minutes to install")
	}
	return s3.NewRclone(t)
}

// It has no empty folders: all else of a tree goes there and comes back the
// same, and they are told of.
func TestSecondServer(t *testing.T) {
	t.Parallel()
	second := second(t)
	s := newSite(t)
	s.account(s3.User{Name: "second", Access: second.Access, Secret: second.Secret}, second.Addr, second.Bucket, withoutEmptyFolders)
	s.worker("worker")
	src, back, there := filepath.Join(s.files, "src"), filepath.Join(s.files, "back"), filepath.Join(second.Dir, second.Bucket, "in", "tree")
	must(t, os.Mkdir(src, 0o755))
	must(t, os.Mkdir(back, 0o755))
	const empties = 2
	_, err := tree.Make(src, tree.Spec{Seed: 6, Files: 120, Bytes: 20 * mib, Large: []int64{0, 80 * mib, 20 * mib}, Odd: true, Deep: 3, Empties: empties}, nil)
	must(t, err)
	harness.Age(t, src, longAgo)
	task := s.wait(s.submit(transfer.Request{Source: s.here(src), Destination: "lab#second:/in/tree", Recursive: true, PreserveTime: true}), 2*time.Minute)
	// Two go in parts, of which it has no checksums.
	if p := task.Progress; task.Status != transfer.Succeeded || p.EntriesIgnored != empties || p.FilesUnverified != 2 || p.FilesFailed+p.Faults != 0 {
		t.Fatalf("%s: %+v", task.Status, p)
	}
	s.succeeds("lab#second:/in/tree", s.here(back))
	must(t, os.RemoveAll(filepath.Join(src, "empty")))
	same(t, src, there, true)
	same(t, src, back, true)

	// What is there is not copied again.
	task = s.wait(s.submit(transfer.Request{Source: s.here(src), Destination: "lab#second:/in/tree", Recursive: true, Sync: transfer.SyncModified}), time.Minute)
	if task.Status != transfer.Succeeded || task.Progress.BytesDone > 0 {
		t.Errorf("a sync is %s and copies: %+v", task.Status, task.Progress)
	}
}

// A store that takes the checksums of parts, and tells none of its own, has
// verified nothing.
func TestChecksumsThatNobodyComputes(t *testing.T) {
	t.Parallel()
	second := second(t)
	s := newSite(t)
	s.account(s3.User{Name: "second", Access: second.Access, Secret: second.Secret}, second.Addr, second.Bucket, `empty_folders: "off"`)
	s.worker("worker")
	src := filepath.Join(s.files, "src")
	must(t, os.WriteFile(src, noise(20*mib), 0o600))
	task := s.wait(s.submit(transfer.Request{Source: s.here(src), Destination: "lab#second:/large"}), 2*time.Minute)
	if p := task.Progress; task.Status != transfer.Succeeded || p.FilesUnverified != 1 || p.BytesChecksummed != 0 || p.FilesFailed != 0 {
		t.Errorf("%s: %+v", task.Status, p)
	}
	if got, err := os.ReadFile(filepath.Join(second.Dir, second.Bucket, "large")); err != nil || !bytes.Equal(got, noise(20*mib)) {
		t.Errorf("%d bytes arrived that differ, %v", len(got), err)
	}
}

// withoutEmptyFolders are the options that the second server wants.
const withoutEmptyFolders = `checksums: "off", empty_folders: "off"`

// Ranges come in any order there, too, from storages that know nothing of each
// other, and some twice.
func TestRangesAtTheSecondServer(t *testing.T) {
	t.Parallel()
	store, d := second(t), newDriver(t)
	rec := store.Record("/" + store.Bucket)
	rec.Options = map[string]string{"checksums": "off"}
	data := noise(50*mib + 1)
	becomes := &endpoints.Becoming{Path: "/big", Size: int64(len(data))}
	for _, r := range []endpoints.Range{{Off: 40 * mib, End: becomes.Size}, {Off: 8 * mib, End: 24 * mib}, {End: 8 * mib}, {Off: 16 * mib, End: 40 * mib}} {
		must(t, writeRange(t.Context(), open(t, d, store, rec), "/.big.t-1", data, r.Off, r.End, becomes, true))
	}
	s := open(t, d, store, rec)
	if e, err := s.Stat(t.Context(), "/.big.t-1"); err != nil || e.Size != becomes.Size {
		t.Errorf("%d bytes are there, %v", e.Size, err)
	}
	must(t, s.Rename(t.Context(), "/.big.t-1", "/big"))
	if got := read(t, s, "/big", 0, -1); !bytes.Equal(got, data) {
		t.Error("the file holds other bytes")
	}
	if n := uploads(t, store); n != 0 {
		t.Errorf("%d uploads are still open", n)
	}
}

// There the suite runs without what it has not: checksums and empty folders.
func TestSuiteAtTheSecondServer(t *testing.T) {
	store, d := second(t), newDriver(t)
	rec := store.Record("/" + store.Bucket)
	rec.Options = map[string]string{"checksums": "off", "empty_folders": "off"}
	endpointtest.Run(t, func(t *testing.T) (endpoints.Storage, string) {
		return open(t, d, store, rec), "/" + strings.TrimPrefix(t.Name(), "TestSuiteAtTheSecondServer/")
	})
}

// Whoever has not said that it has no empty folders hears of it, and of no tree
// made of files.
func TestFoldersThatBecomeFiles(t *testing.T) {
	t.Parallel()
	store, d := second(t), newDriver(t)
	rec := store.Record("/" + store.Bucket)
	rec.Options = map[string]string{"checksums": "off"}
	s := open(t, d, store, rec)
	err := s.Mkdir(t.Context(), "/folder")
	if !fault.Is(err, fault.Unsupported) {
		t.Fatal(err)
	}
	says(t, "the error", err.Error(), "empty_folders", "off")
	if _, err := s.Stat(t.Context(), "/folder"); !fault.Is(err, fault.NotFound) {
		t.Errorf("it is there: %v", err)
	}
}
