package activities

import (
	"bytes"
	"encoding/json"
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/gridferry/gridferry/blob"
	"github.com/gridferry/gridferry/transfer"
)

// jsonLine is what encoding/json makes of a file whose names are packed.
func jsonLine(t testing.TB, f transfer.File) string {
	t.Helper()
	f.Source, f.Dest, f.Link, f.Same = transfer.PackName(f.Source), transfer.PackName(f.Dest), transfer.PackName(f.Link), transfer.PackName(f.Same)
	var out bytes.Buffer
	enc := json.NewEncoder(&out)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(fileLine(f)); err != nil {
		t.Fatal(err)
	}
	return out.String()
}

// awkward are files whose lines are not all plain.
func awkward() []transfer.File {
	at := time.Date(2026, 2, 28, 23, 59, 59, 0, time.UTC)
	files := []transfer.File{
		{},
		{Source: "/a/b", Dest: "/c/d", Size: 1024, ModTime: at, Mode: 0o644},
		{Source: "/a", Dest: "/b", Size: 1<<63 - 1, Mode: 1<<32 - 1},
		{Source: "/a", Dest: "/b", Size: -1},
		{Source: "/a", Dest: "/b", ModTime: at.Add(123456789)},
		{Source: "/a", Dest: "/b", ModTime: at.In(time.FixedZone("", 3600))},
		{Source: "/link", Dest: "/link2", Link: "../x"},
		{Source: "/a", Dest: "/b", Inode: "1:2", Same: "/c"},
		{Source: "/a", Dest: "/b", Exists: true, Check: true},
	}
	for _, name := range []string{
		"<&>", "a\"b", `a\b`, `a\u0041`, "tab\t", "line\nend", "\x00ff", "\x7f", "\u00e9t\u00e9", "\u2028", "\u00ff\xff", "\xed\xa0\x80", `","d":"`,
		strings.Repeat("long/", 30_000), strings.Repeat("\x01", 20_000),
	} {
		files = append(files, transfer.File{Source: "/" + name, Dest: "/b"}, transfer.File{Source: "/a", Dest: "/" + name, Size: 7})
	}
	return files
}

// A sheet is what encoding/json writes, and comes back as it was.
func TestSheet(t *testing.T) {
	files := awkward()
	for i := range files {
		line, err := appendFile([]byte("before"), &files[i])
		if err != nil || string(line) != "before"+jsonLine(t, files[i]) {
			t.Errorf("%+v: %q, %v", files[i], line, err)
		}
	}
	s := blob.NewMemory()
	if err := putFiles(t.Context(), s, "sheet", files); err != nil {
		t.Fatal(err)
	}
	got, err := getFiles(t.Context(), s, "sheet", 2)
	if err != nil || len(got) != len(files) {
		t.Fatalf("%d files of %d, %v", len(got), len(files), err)
	}
	for i, f := range got {
		if !f.ModTime.Equal(files[i].ModTime) {
			t.Errorf("file %d: %v", i, f.ModTime)
		}
		f.ModTime = files[i].ModTime
		if f != files[i] {
			t.Errorf("file %d: %+v", i, f)
		}
	}
}

// A sheet that is cut off, or is none, is an error.
func TestSheetDamaged(t *testing.T) {
	for _, text := range []string{
		`{"s":"/a","d":"/b","n":1`, `{"s":"/a","d":"/b","n":1}}`, "{}\nfile\n", `{"s":"/a","d":"/b","n":01}`, `{"s":"/a","d":"/b","n":1,"m":"now"}`,
		`{"s":"/a","d":"/b","n":9223372036854775808}`, `{"s":"/a","d":"/b","n":1,"p":4294967296}`,
	} {
		s := blob.NewMemory()
		if err := putText(t.Context(), s, "sheet", []byte(text)); err != nil {
			t.Fatal(err)
		}
		if files, err := getFiles(t.Context(), s, "sheet", 0); err == nil {
			t.Errorf("%s: %+v", text, files)
		}
	}
}

// What is read without encoding/json is what that reads.
func FuzzParseFile(f *testing.F) {
	for _, file := range awkward() {
		if line := jsonLine(f, file); len(line) < 1000 {
			f.Add([]byte(line))
		}
	}
	f.Add([]byte(`{"s":"/a","d":"/b","n":1,"m":"2026-02-30T00:00:00Z","p":1}`))
	f.Fuzz(func(t *testing.T, line []byte) {
		got, ok := parsePlain(line)
		if !ok {
			return
		}
		var want fileLine
		if err := json.Unmarshal(line, &want); err != nil || !reflect.DeepEqual(fileLine(got), want) {
			t.Errorf("%q: %+v, and not %+v, %v", line, got, want, err)
		}
	})
}

// BenchmarkSheet writes and reads the lines of files of a tree.
func BenchmarkSheet(b *testing.B) {
	files := make([]transfer.File, 20_000)
	for i := range files {
		p := fmt.Sprintf("/data/2026/run-0042/detector/frame-%08d.dat", i)
		files[i] = transfer.File{Source: "/source" + p, Dest: "/destination" + p, Size: int64(1024 + i%100), ModTime: time.Unix(1_780_000_000+int64(i), 0).UTC()}
	}
	s := blob.NewMemory()
	b.ReportAllocs()
	for b.Loop() {
		if err := putFiles(b.Context(), s, "sheet", files); err != nil {
			b.Fatal(err)
		}
		if got, err := getFiles(b.Context(), s, "sheet", int64(len(files))); err != nil || len(got) != len(files) {
			b.Fatal(len(got), err)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*len(files)), "ns/file")
}
