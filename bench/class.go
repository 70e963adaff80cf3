// Package bench is what can be computed of a comparison between gridferry and
// its peers: the classes of files, who takes part with which flags, in what
// order they run, medians, ratios and their bounds, and how all of that is
// shown. It runs nothing, reads no clock and touches no file; the command in
// starter does.
package bench

import (
	"fmt"
	"iter"
	"math"
	"strconv"
	"strings"

	"github.com/gridferry/gridferry/transfer"
)

// The limits of a class: what a person may mean, and what a mistyped one may
// not make.
const (
	MaxFiles = 10_000_000
	MaxBytes = 1 << 50 // of a class in all
)

// A Class is a set of files of one size.
type Class struct {
	Files int   `json:"files"`
	Size  int64 `json:"size"` // of each, in bytes
	// Each says that the files are not copied as one tree, but one after
	// another, each by a program that is started anew.
	Each bool `json:"each,omitempty"`
}

// each is how a class says so.
const each = "/each"

// units of sizes, the largest first, so that String chooses the shortest form.
var units = []struct {
	name  string
	bytes int64
}{
	{"TiB", 1 << 40}, {"GiB", 1 << 30}, {"MiB", 1 << 20}, {"KiB", 1 << 10},
	{"TB", 1e12}, {"GB", 1e9}, {"MB", 1e6}, {"kB", 1e3}, {"B", 1},
}

// ParseClass takes a class such as "1000x16KiB": how many files, and the size
// of each as transfer.ParseSize takes it. "100x1B/each" are 100 requests of one
// file.
func ParseClass(text string) (Class, error) {
	whole := text
	bad := func(what string) (Class, error) {
		return Class{}, fmt.Errorf("%q %s: write how many files of which size, such as 1000x16KiB", whole, what)
	}
	text, one := strings.CutSuffix(text, each)
	count, size, ok := strings.Cut(text, "x")
	if !ok {
		return bad("is no class of files")
	}
	files, err := strconv.Atoi(count)
	if err != nil || files < 1 || files > MaxFiles {
		return bad(fmt.Sprintf("does not have 1 to %d files", MaxFiles))
	}
	n, err := transfer.ParseSize(size)
	switch {
	case err != nil:
		return bad("does not say the size of a file")
	case n > MaxBytes/int64(files):
		return bad(fmt.Sprintf("is more than %d bytes", int64(MaxBytes)))
	}
	return Class{Files: files, Size: n, Each: one}, nil
}

// Bytes is how much the class holds.
func (c Class) Bytes() int64 { return int64(c.Files) * c.Size }

// String is the form that ParseClass takes.
func (c Class) String() string {
	text := fmt.Sprintf("%dx%s", c.Files, FormatSize(c.Size))
	if c.Each {
		text += each
	}
	return text
}

// Dir is the name of a directory for the class.
func (c Class) Dir() string { return strings.ReplaceAll(c.String(), "/", "-") }

// Single says that each copy is of one file, which is named, and not of a
// directory.
func (c Class) Single() bool { return c.Each || c.Files == 1 }

// FormatSize renders a size exactly, in the largest unit that divides it.
func FormatSize(n int64) string {
	for _, u := range units {
		if n >= u.bytes && n%u.bytes == 0 {
			return fmt.Sprintf("%d%s", n/u.bytes, u.name)
		}
	}
	return fmt.Sprintf("%dB", n)
}

// perDirectory bounds how many files one directory holds: listing larger ones
// is another measurement.
const perDirectory = 1000

// Name is the i-th file's path below the class's directory, with slashes.
func (c Class) Name(i int) string {
	name := fmt.Sprintf("f%0*d", digits(c.Files-1), i)
	if c.Files <= perDirectory {
		return name
	}
	return fmt.Sprintf("d%0*d/%s", digits((c.Files-1)/perDirectory), i/perDirectory, name)
}

// Names are those of all files.
func (c Class) Names() iter.Seq[string] {
	return func(yield func(string) bool) {
		for i := range c.Files {
			if !yield(c.Name(i)) {
				return
			}
		}
	}
}

func digits(n int) int { return 1 + int(math.Log10(float64(max(1, n)))) }

// Dirs are the directories below the class's own, in the order of their names.
func (c Class) Dirs() []string {
	if c.Files <= perDirectory {
		return nil
	}
	var dirs []string
	for i := 0; i < c.Files; i += perDirectory {
		dir, _, _ := strings.Cut(c.Name(i), "/")
		dirs = append(dirs, dir)
	}
	return dirs
}
