package harness

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/gridferry/gridferry/integration/tree"
)

// maxTold is how many differences a failed test tells of.
const maxTold = 20

// SameTree fails the test unless got holds what want does, which must be something.
func SameTree(t testing.TB, want, got string) {
	t.Helper()
	n, diffs, err := tree.Compare(want, got)
	if err != nil {
		t.Fatal(err)
	}
	tell(t, diffs)
	if n == 0 {
		t.Errorf("%s holds nothing to be compared", want)
	}
}

// SameTimes fails the test unless the files of got have the modification times
// of those of want, as far as unit tells them apart.
func SameTimes(t testing.TB, want, got string, unit time.Duration) {
	t.Helper()
	var diffs []tree.Difference
	err := filepath.WalkDir(want, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		rel, err := filepath.Rel(want, path)
		if err != nil {
			return err
		}
		a, err := os.Stat(path)
		if err != nil {
			return err
		}
		b, err := os.Stat(filepath.Join(got, rel))
		if err == nil && !a.ModTime().Truncate(unit).Equal(b.ModTime().Truncate(unit)) {
			diffs = append(diffs, tree.Difference{Path: rel, What: fmt.Sprintf("is of %v, not %v", b.ModTime(), a.ModTime())})
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	tell(t, diffs)
}

func tell(t testing.TB, diffs []tree.Difference) {
	t.Helper()
	for _, d := range diffs[:min(len(diffs), maxTold)] {
		t.Errorf("%v", d)
	}
	if more := len(diffs) - maxTold; more > 0 {
		t.Errorf("and %d more", more)
	}
}

// Age gives the files below dir modification times an hour apart, from the
// given one on.
func Age(t testing.TB, dir string, from time.Time) {
	t.Helper()
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			from = from.Add(time.Hour)
			err = os.Chtimes(path, time.Time{}, from)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}
