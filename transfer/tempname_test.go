package transfer

import (
	"crypto/sha256"
	"encoding/hex"
	"strings"
	"testing"
	"unicode/utf8"
)

const task = TaskID("3f2a9c1e-77b4-4d0a-9e55-0123456789ab")

func TestTempName(t *testing.T) {
	for _, tc := range []struct {
		name    string
		file    string
		task    TaskID
		attempt int64
		max     int
		want    string
	}{
		{"a UUID's task", "data.h5", task, 3, 0, ".data.h5.gridferry-3f2a9c1e77b4-3"},
		{"any other id", "data.h5", "nightly/2026", 0, 0, ".data.h5.gridferry-" + TaskID("nightly/2026").Short() + "-0"},
		{"hidden file", ".x", task, 1, 0, "..x.gridferry-3f2a9c1e77b4-1"},
		{"as long as fits", strings.Repeat("x", 229), task, 1, 0, "." + strings.Repeat("x", 229) + ".gridferry-3f2a9c1e77b4-1"},
		{"shortened", "0123456789abcdefghijklmnopqrst", task, 1, 50, ".0123456~SUM.gridferry-3f2a9c1e77b4-1"},
	} {
		got := TempName(tc.file, tc.task, tc.attempt, tc.max)
		sum := sha256.Sum256([]byte(tc.file))
		if want := strings.Replace(tc.want, "SUM", hex.EncodeToString(sum[:8]), 1); got != want || len(got) > 255 || tc.max > 0 && len(got) > tc.max {
			t.Errorf("%s: %q, want %q", tc.name, got, tc.want)
		}
		parsed, ok := ParseTempName(got)
		if !ok || parsed.Task != tc.task.Short() || parsed.Attempt != tc.attempt {
			t.Errorf("%s: %q parses as %+v, %v", tc.name, got, parsed, ok)
		}
	}
	if a, b := TempName("a", "task-1", 1, 0), TempName("a", "task-2", 1, 0); a == b {
		t.Error("two tasks share a name")
	}
	if got := TempPath("/d/e/f", task, 2, 0); got != "/d/e/.f.gridferry-3f2a9c1e77b4-2" {
		t.Errorf("TempPath: %q", got)
	}
}

func TestTempNameOfLongNames(t *testing.T) {
	for _, unit := range []string{"x", "é", "日", "\xff"} {
		base := strings.Repeat(unit, 255/len(unit))
		a, b := TempName(base, task, 1<<40, 0), TempName(base[:len(base)-len(unit)]+"y", task, 1<<40, 0)
		if len(a) > 255 || len(b) > 255 || a == b {
			t.Errorf("%q: %d and %d bytes, the same: %v", unit, len(a), len(b), a == b)
		}
		if utf8.ValidString(base) && !utf8.ValidString(a) {
			t.Errorf("%q: cut inside a character: %q", unit, a)
		}
		if !IsTempName(a) {
			t.Errorf("%q is not recognised", a)
		}
	}
}

func TestIsTempNameRefuses(t *testing.T) {
	for _, name := range []string{
		"", ".", "data.h5", ".gridferry-3f2a9c1e77b4-1", "..gridferry-3f2a9c1e77b4-1", "x.gridferry-3f2a9c1e77b4-1",
		".x.gridferry-3f2a9c1e77b4", ".x.gridferry-3f2a9c1e77b4-", ".x.gridferry-3f2a9c1e77b4-01", ".x.gridferry-3f2a9c1e77b4--1", ".x.gridferry-3f2a9c1e77b4-+1",
		".x.gridferry-3f2a-1", ".x.gridferry-3F2A9C1E77B4-1", ".x.gridferry-3f2a9c1e77b4-1.bak", ".x.gridferry-3f2a9c1e77b4-99999999999999999999",
	} {
		if IsTempName(name) {
			t.Errorf("%q is taken for a temporary name", name)
		}
	}
}

func FuzzTempName(f *testing.F) {
	f.Add("data.h5", "3f2a9c1e-77b4-4d0a-9e55-0123456789ab", int64(1))
	f.Add(strings.Repeat("日", 85), "x", int64(1<<62))
	f.Add(".a.gridferry-3f2a9c1e77b4-1", "", int64(0))
	f.Add("\xff\xfe", "\x00", int64(7))
	f.Fuzz(func(t *testing.T, name, id string, attempt int64) {
		if name == "" || attempt < 0 || strings.Contains(name, "/") {
			return
		}
		temp := TempName(name, TaskID(id), attempt, 0)
		parsed, ok := ParseTempName(temp)
		if !ok || parsed.Task != TaskID(id).Short() || parsed.Attempt != attempt || len(temp) > 255 {
			t.Fatalf("%q: %q parses as %+v, %v", name, temp, parsed, ok)
		}
		if len(name) < 200 && parsed.Name != name {
			t.Fatalf("%q came back as %q", name, parsed.Name)
		}
	})
}

func FuzzParseTempName(f *testing.F) {
	f.Add(".a.gridferry-3f2a9c1e77b4-1")
	f.Add(".gridferry--")
	f.Fuzz(func(t *testing.T, name string) {
		if parsed, ok := ParseTempName(name); ok && (parsed.Name == "" || parsed.Attempt < 0 || !strings.HasPrefix(name, "."+parsed.Name)) {
			t.Fatalf("%q parses as %+v", name, parsed)
		}
	})
}
