package activities

import (
	"context"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/gridferry/gridferry/endpoints"
	"github.com/gridferry/gridferry/endpoints/posix"
	"github.com/gridferry/gridferry/transfer"
)

// folders opens two directories as endpoints.
type folders struct{ src, dst string }

func (f folders) Resolve(_ context.Context, endpoint string) (endpoints.Record, error) {
	return endpoints.Record{Name: endpoint, Kind: "posix", Root: map[string]string{"src": f.src, "dst": f.dst}[endpoint]}, nil
}

func (f folders) Open(_ context.Context, rec endpoints.Record, _, _ string) (endpoints.Storage, error) {
	return posix.Open(posix.Options{Mounts: map[string]string{"/": rec.Root}, NoSync: true})
}

// TestCopyPosix relays between two directories: real files, links, modes and
// times, and a file that goes in parts.
func TestCopyPosix(t *testing.T) {
	f := folders{t.TempDir(), t.TempDir()}
	then := time.Date(2011, 12, 13, 14, 15, 16, 0, time.UTC)
	for name, size := range map[string]int{"a": 10, "sub/b": 0, "sub/large": 300 << 10, "sub/odd \xff name": 77} {
		p := filepath.Join(f.src, "from", name)
		if err := os.MkdirAll(filepath.Dir(p), 0o750); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(p, content(uint64(size), size), 0o640); err != nil {
			t.Fatal(err)
		}
		if err := os.Chtimes(p, then, then); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Symlink("sub/large", filepath.Join(f.src, "from", "link")); err != nil {
		t.Fatal(err)
	}
	if err := os.Chtimes(filepath.Join(f.src, "from", "sub"), then, then); err != nil {
		t.Fatal(err)
	}
	w := newWorld(t)
	d := w.worker("posix")
	d.Endpoints = f
	req := w.request(func(r *transfer.Request) {
		r.PreserveMode, r.PreserveTime, r.Symlinks = true, true, transfer.SymlinksKeep
	})
	probe := w.probe(d, req)
	if probe.Route.Path != transfer.RouteRelay {
		t.Fatalf("route: %+v", probe.Route)
	}
	walk, err := d.walkStep(t.Context(), WalkInput{Task: testTask, Ends: w.ends(), Request: req, Probe: probe}, defaultWalkSizes)
	if err != nil || len(walk.Chunks) != 1 {
		t.Fatalf("walk: %+v, %v", walk, err)
	}
	opts := NewCopyOptions(req, probe.Route.Path)
	res, err := d.Copy(t.Context(), CopyInput{Task: testTask, Ends: w.ends(), Probe: probe, Chunk: walk.Chunks[0], Options: opts})
	if err != nil || !res.Complete || res.Files != 5 || res.NFailed != 0 || res.Unverified != 0 {
		t.Fatalf("copy: %+v, %v", res, err)
	}
	fin, err := d.Finish(t.Context(), FinishInput{Task: testTask, Ends: w.ends(), Probe: probe, Options: opts, Dirs: walk.Dirs})
	if err != nil || fin.Cursor != "" || len(fin.Faults) > 0 {
		t.Fatalf("finish: %+v, %v", fin, err)
	}
	for _, name := range []string{"a", "sub/b", "sub/large", "sub/odd \xff name", "sub"} {
		src, dst := filepath.Join(f.src, "from", name), filepath.Join(f.dst, "to", name)
		si, err := os.Stat(src)
		if err != nil {
			t.Fatal(err)
		}
		di, err := os.Stat(dst)
		if err != nil {
			t.Fatal(err)
		}
		if si.Mode() != di.Mode() || !si.ModTime().Equal(di.ModTime()) {
			t.Errorf("%q: %v %v, want %v %v", name, di.Mode(), di.ModTime(), si.Mode(), si.ModTime())
		}
		if si.IsDir() {
			continue
		}
		a, _ := os.ReadFile(src)
		b, err := os.ReadFile(dst)
		if err != nil || !equal(a, b) {
			t.Errorf("%q differs: %v", name, err)
		}
	}
	if target, err := os.Readlink(filepath.Join(f.dst, "to", "link")); err != nil || target != "sub/large" {
		t.Errorf("link: %q, %v", target, err)
	}
	if names, _ := filepath.Glob(filepath.Join(f.dst, "to", ".*")); len(names) > 0 {
		t.Errorf("left behind: %v", names)
	}
}
