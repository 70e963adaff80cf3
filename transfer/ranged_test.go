package transfer

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

const gib = 1 << 30

func TestCutRanges(t *testing.T) {
	for _, tc := range []struct {
		name  string
		files []File
		opts  CutOptions
		want  string // ranges of each piece that has any
	}{
		{"not asked for", filesOf(1, 100*gib), CutOptions{}, ""},
		{"one large file", filesOf(1, 20*gib), CutOptions{Ranges: true}, "16"},
		{"too small to pay", filesOf(1, 4*gib-1), CutOptions{Ranges: true}, ""},
		{"just large enough", filesOf(1, 4*gib), CutOptions{Ranges: true}, "4"},
		{"fewer files than sessions", filesOf(4, 10*gib), CutOptions{Ranges: true}, "10 10 10 10"},
		{"as many as keep all sessions at work", filesOf(16, 20*gib), CutOptions{Ranges: true}, ""},
		{"one that would be left over", filesOf(1, 4e6, 5e6, 6e6, 25*gib), CutOptions{Ranges: true}, "16"},
		{"more work than a chunk, however many", filesOf(20, 40*gib), CutOptions{Ranges: true}, strings.TrimSpace(strings.Repeat("16 ", 20))},
		{"no range longer than a chunk", filesOf(1, 3000*gib), CutOptions{Ranges: true}, "108"},
		{"a slow path", filesOf(1, 10*gib), CutOptions{Ranges: true, Pace: 3 << 20}, "57"}, // of 180 MiB
		{"a fast one", filesOf(1, 3000*gib), CutOptions{Ranges: true, Pace: 5e9}, "16"},
		{"a bounded number", filesOf(1, 1<<50), CutOptions{Ranges: true, Pace: 1}, "1000"},
		{"a size that was asked for", filesOf(1, 1<<20, 5<<20), CutOptions{Ranges: true, RangeSize: 2 << 20}, "3"},
		{"refused", filesOf(1, 100*gib), CutOptions{Ranges: true, RangeSize: -1}, ""},
		{"a checksum may spare the copy", []File{{Size: 100 * gib, Check: true}}, CutOptions{Ranges: true}, ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			Sort(tc.files)
			var got []string
			files := 0
			for _, p := range Cut(tc.files, tc.opts) {
				files += len(p.Files)
				if r := p.Ranged; r != nil {
					got = append(got, fmt.Sprint(r.Count))
					covers(t, *r, p.Files[0].Size)
				}
			}
			if got := strings.Join(got, " "); got != tc.want {
				t.Errorf("ranges: %q, want %q", got, tc.want)
			}
			if files != len(tc.files) {
				t.Errorf("%d files in the pieces, of %d", files, len(tc.files))
			}
		})
	}
}

// covers fails unless the ranges of a file are the whole of it, each byte once.
func covers(t *testing.T, r Ranged, size int64) {
	t.Helper()
	file := Chunk{ID: "1", Files: 1, Bytes: size, Ranged: &r}
	var all RangeSet
	var total, longest int64
	for n := 1; n <= r.Count; n++ {
		c := file.InRange(n)
		at := c.Ranged.Range()
		if c.Bytes != at.Len() || at.Len() <= 0 || c.Files != 0 || !c.Ranged.IsRange() || c.Ranged.Joins() {
			t.Fatalf("range %d is %v of %d bytes: %+v", n, at, c.Bytes, c)
		}
		all, total, longest = all.Add(at), total+at.Len(), max(longest, at.Len())
	}
	if !all.Complete(size) || total != size || longest != r.Length && r.Count > 1 {
		t.Errorf("%d ranges of %d bytes have %d of %d bytes: %v", r.Count, r.Length, total, size, all)
	}
}

func TestRangedNext(t *testing.T) {
	first := Ranged{Path: "/f", Length: 100}
	for _, size := range []int64{0, 1, 100, 101, 1e9} {
		r := first.Next(size, time.Unix(1, 0))
		if r.Generation != 1 || r.Size != size || !r.Joins() {
			t.Errorf("of %d bytes: %+v", size, r)
		}
		covers(t, r, size)
		if again := r.Next(7, time.Unix(2, 0)); again.Generation != 2 || again.Size != 7 || again.Count != 1 {
			t.Errorf("after one of %d bytes comes %+v", size, again)
		}
	}
	if r := first.Next(1e9, time.Time{}); r.Count > maxRanges {
		t.Errorf("%d ranges", r.Count)
	}
}

func TestDescribe(t *testing.T) {
	none := Ranged{Path: "/to/volume", Length: 3e9}
	r := none.Next(24e9, time.Time{})
	file := Chunk{ID: "0001-0001", Files: 1, Bytes: r.Size, Ranged: &r}
	for got, want := range map[string]string{
		file.Describe():                        "8 ranges of /to/volume, 24.0 GB",
		file.InRange(3).Describe():             "range 3 of 8 of /to/volume, 3.0 GB",
		file.InRange(3).ID:                     "0001-0001-g1-r0003",
		(Chunk{Files: 2, Bytes: 5}.Describe()): "2 files, 5 B",
	} {
		if got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}

func TestSharedTempPath(t *testing.T) {
	const task TaskID = "5e0c1d36-7d4b-4b38-9f4e-0f6a3f3c9a01"
	p := SharedTempPath("/a/volume", task, 3, 0)
	if p != "/a/.volume.gridferry-5e0c1d367d4b-g3" {
		t.Errorf("the name is %s", p)
	}
	name := strings.TrimPrefix(p, "/a/")
	if got, ok := ParseTempName(name); !ok || got != (Temp{Name: "volume", Task: task.Short(), Attempt: 3, Shared: true}) {
		t.Errorf("read back: %+v, %v", got, ok)
	}
	if p == TempPath("/a/volume", task, 3, 0) {
		t.Error("an attempt has the same name")
	}
	for _, name := range []string{".v.gridferry-5e0c1d367d4b-g", ".v.gridferry-5e0c1d367d4b-gg1", ".v.gridferry-5e0c1d367d4b-g-1", ".v.gridferry-5e0c1d367d4b-g01"} {
		if _, ok := ParseTempName(name); ok {
			t.Errorf("%s is taken for a temporary name", name)
		}
	}
	if long := SharedTempPath("/"+strings.Repeat("x", 255), task, 12, 64); len(long) != 65 {
		t.Errorf("%s has %d bytes", long, len(long))
	}
}

func TestTuneRange(t *testing.T) {
	r := Ranged{Length: gib}
	if got := TuneRange(Policy{}, r, Setting{}); got.Concurrency != 1 || got.MaxConcurrency != 1 || got.Reason == "" {
		t.Errorf("by itself: %+v", got)
	}
	if got := TuneRange(Policy{Concurrency: 3}, r, Setting{}); got.Concurrency != 3 {
		t.Errorf("as asked: %+v", got)
	}
}
