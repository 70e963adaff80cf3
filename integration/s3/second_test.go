package s3_test

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/gridferry/gridferry/endpoints"
	"github.com/gridferry/gridferry/integration/harness"
	"github.com/gridferry/gridferry/integration/s3"
	"github.com/gridferry/gridferry/integration/tree"
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

// It has no empty folders: trees are read from it, and files written where a
// folder is.
func TestSecondServer(t *testing.T) {
	t.Parallel()
	second := second(t)
	s := newSite(t)
	s.account(s3.User{Name: "second", Access: second.Access, Secret: second.Secret}, second.Addr, second.Bucket)
	s.worker("worker")
	src, back := filepath.Join(second.Dir, second.Bucket), filepath.Join(s.files, "back")
	must(t, os.Mkdir(back, 0o755))
	_, err := tree.Make(src, tree.Spec{Seed: 6, Files: 60, Bytes: 20 * mib, Large: []int64{0, 80 * mib, 20 * mib}, Deep: 3}, nil)
	must(t, err)
	s.succeeds("lab#second:/", s.here(back))
	same(t, src, back, false)

	flat := filepath.Join(s.files, "flat")
	must(t, os.Mkdir(flat, 0o755))
	size := func(i int) int { return i * 1_000_000 } // the last ones in parts
	for i := range 20 {
		must(t, os.WriteFile(filepath.Join(flat, fmt.Sprintf("flat%02d", i)), noise(size(i)), 0o600))
	}
	s.succeeds(s.here(flat), "lab#second:/")
	for i := range 20 {
		if got, err := os.ReadFile(filepath.Join(src, fmt.Sprintf("flat%02d", i))); err != nil || !bytes.Equal(got, noise(size(i))) {
			t.Errorf("flat%02d is %d bytes that differ, %v", i, len(got), err)
		}
	}
}

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
