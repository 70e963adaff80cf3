package blob_test

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/gridferry/gridferry/blob"
	"github.com/gridferry/gridferry/blob/blobtest"
	"github.com/gridferry/gridferry/fault"
)

func newDir(t *testing.T, path string) *blob.Dir {
	t.Helper()
	d, err := blob.NewDir(path)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func TestDir(t *testing.T) {
	blobtest.Run(t, func(t *testing.T) blob.Store { return newDir(t, t.TempDir()) })
}

func TestMemory(t *testing.T) {
	blobtest.Run(t, func(*testing.T) blob.Store { return blob.NewMemory() })
}

func TestDirKeepsItsBlobsAndID(t *testing.T) {
	path := filepath.Join(t.TempDir(), "made", "here")
	d := newDir(t, path)
	if err := d.Put(t.Context(), "tasks/1/facts", []byte("x")); err != nil {
		t.Fatal(err)
	}
	id, err := d.ID(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	// What a crash leaves: an old temporary file goes, one being written stays.
	old, young := filepath.Join(path, ".tmp", "put-old"), filepath.Join(path, ".tmp", "put-young")
	for _, name := range []string{old, young} {
		if err := os.WriteFile(name, nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Chtimes(old, time.Time{}, time.Now().Add(-48*time.Hour)); err != nil {
		t.Fatal(err)
	}
	again := newDir(t, path)
	if got, err := again.Get(t.Context(), "tasks/1/facts"); string(got) != "x" || err != nil {
		t.Errorf("after opening again: %q, %v", got, err)
	}
	if got, err := again.ID(t.Context()); got != id || err != nil {
		t.Errorf("the id was %q and is %q, %v", id, got, err)
	}
	if other, err := newDir(t, t.TempDir()).ID(t.Context()); other == id || err != nil {
		t.Errorf("two directories have the id %q, %v", other, err)
	}
	if _, err := os.Stat(old); !os.IsNotExist(err) {
		t.Errorf("an old temporary file is still there: %v", err)
	}
	if _, err := os.Stat(young); err != nil {
		t.Errorf("a young temporary file: %v", err)
	}
}

func TestDirInTheWay(t *testing.T) {
	path := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := blob.NewDir(path); fault.KindOf(err) == "" {
		t.Error("a file was taken for a directory")
	}
}
