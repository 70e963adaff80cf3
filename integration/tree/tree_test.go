package tree_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/gridferry/gridferry/integration/tree"
)

func TestMakeIsExactAndRepeatable(t *testing.T) {
	spec := tree.Spec{Seed: 7, Files: 300, Bytes: 3 << 20, Large: []int64{1 << 20}, Odd: true, Deep: 12, Empties: 3}
	a, b := t.TempDir(), t.TempDir()
	for _, dir := range []string{a, b} {
		made, err := tree.Make(dir, spec, nil)
		if err != nil {
			t.Fatal(err)
		}
		if made.Files != 300 || made.Bytes != 3<<20 {
			t.Fatalf("made %d files, %d bytes", made.Files, made.Bytes)
		}
	}
	equal, diffs, err := tree.Compare(a, b)
	if err != nil || len(diffs) > 0 || equal != 3<<20 {
		t.Fatalf("%d bytes equal, differences %v, error %v", equal, diffs, err)
	}
}

func TestCompareFindsEveryDifference(t *testing.T) {
	a, b := t.TempDir(), t.TempDir()
	write := func(dir, name, content string) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	write(a, "same", "x")
	write(b, "same", "x")
	write(a, "changed", "abc")
	write(b, "changed", "abd")
	write(a, "short", "abc")
	write(b, "short", "ab")
	write(a, "gone", "")
	write(b, "stray", "")
	if err := os.Mkdir(filepath.Join(a, "kind"), 0o755); err != nil {
		t.Fatal(err)
	}
	write(b, "kind", "")
	equal, diffs, err := tree.Compare(a, b)
	if err != nil {
		t.Fatal(err)
	}
	want := []tree.Difference{
		{"changed", "differs at byte 2"},
		{"gone", "missing"},
		{"kind", "is ----------, not d---------"},
		{"short", "sizes differ: one ends at byte 2"},
		{"stray", "stray"},
	}
	if len(diffs) != len(want) || equal != 1 {
		t.Fatalf("%d bytes equal, got %v", equal, diffs)
	}
	for i := range want {
		if diffs[i] != want[i] {
			t.Errorf("got %v, want %v", diffs[i], want[i])
		}
	}
}
