package bench_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/gridferry/gridferry/bench"
)

func TestParseClass(t *testing.T) {
	for text, want := range map[string]bench.Class{
		"1000x16KiB": {Files: 1000, Size: 16 << 10},
		"4x256MiB":   {Files: 4, Size: 256 << 20},
		"1x1GiB":     {Files: 1, Size: 1 << 30},
		"7x0B":       {Files: 7},
		"2x1500B":    {Files: 2, Size: 1500},
		"3x5MB":      {Files: 3, Size: 5e6},

		"100x1B/each": {Files: 100, Size: 1, Each: true},
	} {
		got, err := bench.ParseClass(text)
		if err != nil || got != want {
			t.Errorf("%s is %+v, %v; want %+v", text, got, err, want)
		}
		if got.String() != text {
			t.Errorf("%s is written %s", text, got)
		}
	}
}

func TestParseClassRefuses(t *testing.T) {
	for _, text := range []string{"", "1000", "x1KiB", "0x1KiB", "-1x1B", "1x", "1xB", "1x1Kb", "1x-1B", "99999999x1B", "10000000x1TiB", "1x9223372036854775807TiB", "1x1BKiB", "1x1B/", "/each", "1x1B/all"} {
		if c, err := bench.ParseClass(text); err == nil {
			t.Errorf("%q is %+v", text, c)
		} else if !strings.Contains(err.Error(), "1000x16KiB") {
			t.Errorf("%q: %v does not say what would be right", text, err)
		}
	}
}

func FuzzParseClass(f *testing.F) {
	for _, text := range []string{"1000x16KiB", "1x1", "4x256MiB", "0x0B", "1x1xB", "9x1B/each"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		c, err := bench.ParseClass(text)
		if err != nil {
			return
		}
		if c.Files < 1 || c.Size < 0 || c.Bytes() < 0 || c.Bytes() > bench.MaxBytes {
			t.Errorf("%q is %+v", text, c)
		}
		if again, err := bench.ParseClass(c.String()); err != nil || again != c {
			t.Errorf("%q is %+v, which is written %s and read as %+v, %v", text, c, c, again, err)
		}
	})
}

func TestNamesAreDifferentAndInTheirDirectories(t *testing.T) {
	for _, c := range []bench.Class{{Files: 1}, {Files: 10}, {Files: 1000}, {Files: 1001}, {Files: 12_000}} {
		seen := make(map[string]bool)
		dirs := c.Dirs()
		used := make(map[string]int)
		for i := range c.Files {
			name := c.Name(i)
			if seen[name] {
				t.Fatalf("%d files: %s twice", c.Files, name)
			}
			seen[name] = true
			if dir, _, ok := strings.Cut(name, "/"); ok {
				used[dir]++
				if !slices.Contains(dirs, dir) {
					t.Fatalf("%d files: %s is in none of %v", c.Files, name, dirs)
				}
			}
		}
		if len(used) != len(dirs) || !slices.IsSorted(dirs) {
			t.Errorf("%d files: directories %v, used %v", c.Files, dirs, used)
		}
	}
}
