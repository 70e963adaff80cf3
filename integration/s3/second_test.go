package s3_test

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/gridferry/gridferry/integration/s3"
	"github.com/gridferry/gridferry/integration/tree"
)

// A server that others wrote, and that has no empty folders and numbers parts
// without gaps: trees are read from it, and files of one request written.
func TestSecondServer(t *testing.T) {
	if !soak() {
		t.Skip("needs GRIDFERRY_SOAK: rclone, as a second server, takes minutes to install")
	}
	t.Parallel()
	s, second := newSite(t), s3.NewRclone(t)
	s.account(s3.User{Name: "second", Access: second.Access, Secret: second.Secret}, second.Addr, second.Bucket)
	s.worker("worker")
	src, back := filepath.Join(second.Dir, second.Bucket), filepath.Join(s.files, "back")
	must(t, os.Mkdir(back, 0o755))
	_, err := tree.Make(src, tree.Spec{Seed: 6, Files: 60, Bytes: 20 * mib, Large: []int64{0, 100 * mib, 20 * mib}, Deep: 3}, nil)
	must(t, err)
	s.succeeds("lab#second:/", s.here(back))
	same(t, src, back, false)

	flat := filepath.Join(s.files, "flat")
	must(t, os.Mkdir(flat, 0o755))
	for i := range 20 {
		must(t, os.WriteFile(filepath.Join(flat, fmt.Sprintf("flat%02d", i)), noise(i*700_000), 0o600))
	}
	s.succeeds(s.here(flat), "lab#second:/")
	for i := range 20 {
		if got, err := os.ReadFile(filepath.Join(src, fmt.Sprintf("flat%02d", i))); err != nil || !bytes.Equal(got, noise(i*700_000)) {
			t.Errorf("flat%02d is %d bytes that differ, %v", i, len(got), err)
		}
	}
}
