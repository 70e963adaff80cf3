package activities

import (
	"context"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/gridferry/gridferry/endpoints"
	"github.com/gridferry/gridferry/endpoints/posix"
	"github.com/gridferry/gridferry/fault"
	"github.com/gridferry/gridferry/transfer"
)

// linkless is folders of which the destination makes no hard links any more
// after the first few.
type linkless struct {
	folders
	links atomic.Int32
}

func (f *linkless) Open(ctx context.Context, rec endpoints.Record, owner, credential string) (endpoints.Storage, error) {
	s, err := f.folders.Open(ctx, rec, owner, credential)
	if err != nil || rec.Name != "dst" {
		return s, err
	}
	return &fewLinks{s.(*posix.Storage), &f.links}, nil
}

type fewLinks struct {
	*posix.Storage
	left *atomic.Int32
}

func (s *fewLinks) Link(ctx context.Context, from, to string) error {
	if s.left.Add(-1) < 0 {
		return fault.New(fault.Unsupported, "make hard link", to, "too many links")
	}
	return s.Storage.Link(ctx, from, to)
}

// hardLinked copies a tree in which files have several names.
func hardLinked(t *testing.T, open endpoints.Opener, f folders, rule transfer.HardLinks, prepare func(to string)) CopyResult {
	t.Helper()
	from, to := filepath.Join(f.src, "from"), filepath.Join(f.dst, "to")
	for name, size := range map[string]int{"a": 5000, "sub/empty": 0, "other": 5000, "large": 300_000} {
		p := filepath.Join(from, name)
		if err := os.MkdirAll(filepath.Dir(p), 0o750); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(p, content(uint64(len(name)), size), 0o640); err != nil {
			t.Fatal(err)
		}
	}
	for name, of := range map[string]string{"b": "a", "sub/c \xff": "a", "z": "sub/empty", "sub/large too": "large"} {
		if err := os.Link(filepath.Join(from, of), filepath.Join(from, name)); err != nil {
			t.Skipf("needs a file system with hard links: %v", err)
		}
	}
	prepare(to)
	w := newWorld(t)
	d := w.worker("posix")
	d.Endpoints = open
	req := w.request(func(r *transfer.Request) { r.HardLinks = rule })
	probe := w.probe(d, req)
	walk, err := d.walkStep(t.Context(), WalkInput{Task: testTask, Ends: w.ends(), Request: req, Probe: probe}, defaultWalkSizes)
	if err != nil || len(walk.Chunks) != 1 {
		t.Fatalf("walk: %+v, %v", walk, err)
	}
	opts := NewCopyOptions(req, probe.Route.Path)
	res, err := d.Copy(t.Context(), CopyInput{Task: testTask, Ends: w.ends(), Probe: probe, Chunk: walk.Chunks[0], Options: opts})
	if err != nil || !res.Complete || res.Files != 8 || res.NFailed != 0 || res.Unverified != 0 {
		t.Fatalf("copy: %+v, %v", res, err)
	}
	for _, name := range []string{"a", "b", "sub/c \xff", "other", "sub/empty", "z", "large", "sub/large too"} {
		want, err := os.ReadFile(filepath.Join(from, name))
		if err != nil {
			t.Fatal(err)
		}
		if got, err := os.ReadFile(filepath.Join(to, name)); err != nil || !slices.Equal(got, want) {
			t.Errorf("%q has other bytes, %v", name, err)
		}
	}
	for _, pattern := range []string{".*", "sub/.*"} {
		if names, _ := filepath.Glob(filepath.Join(to, pattern)); len(names) > 0 {
			t.Errorf("left behind: %v", names)
		}
	}
	return res
}

// oneFile says whether two names are of one file.
func oneFile(t *testing.T, dir, a, b string) bool {
	t.Helper()
	x, err := os.Stat(filepath.Join(dir, a))
	if err != nil {
		t.Fatal(err)
	}
	y, err := os.Stat(filepath.Join(dir, b))
	if err != nil {
		t.Fatal(err)
	}
	return os.SameFile(x, y)
}

func TestHardLinks(t *testing.T) {
	pairs := [][2]string{{"a", "b"}, {"b", "sub/c \xff"}, {"sub/empty", "z"}, {"large", "sub/large too"}}
	for name, test := range map[string]struct {
		rule    transfer.HardLinks
		prepare func(t *testing.T, to string)
	}{
		"copied": {transfer.HardLinksCopy, func(*testing.T, string) {}},
		"kept":   {transfer.HardLinksKeep, func(*testing.T, string) {}},
		"kept over other files": {transfer.HardLinksKeep, func(t *testing.T, to string) {
			if err := os.Mkdir(to, 0o700); err != nil {
				t.Fatal(err)
			}
			for _, name := range []string{"a", "b", "other"} {
				if err := os.WriteFile(filepath.Join(to, name), []byte("before"), 0o600); err != nil {
					t.Fatal(err)
				}
			}
		}},
		"kept over what was linked": {transfer.HardLinksKeep, func(t *testing.T, to string) {
			if err := os.Mkdir(to, 0o700); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(filepath.Join(to, "a"), []byte("before"), 0o600); err != nil {
				t.Fatal(err)
			}
			for _, name := range []string{"b", "other"} {
				if err := os.Link(filepath.Join(to, "a"), filepath.Join(to, name)); err != nil {
					t.Fatal(err)
				}
			}
		}},
	} {
		t.Run(name, func(t *testing.T) {
			f := folders{t.TempDir(), t.TempDir()}
			if res := hardLinked(t, f, f, test.rule, func(to string) { test.prepare(t, to) }); res.NFaults != 0 {
				t.Errorf("faults: %+v", res.Faults)
			}
			to := filepath.Join(f.dst, "to")
			for _, p := range pairs {
				if oneFile(t, to, p[0], p[1]) != (test.rule == transfer.HardLinksKeep) {
					t.Errorf("%q and %q: linked is not what was asked for", p[0], p[1])
				}
			}
			if oneFile(t, to, "a", "other") {
				t.Error("two files became one")
			}
		})
	}
}

// What cannot be linked is copied, and never into the file that it is not.
func TestHardLinksThatCannotBeMade(t *testing.T) {
	f := folders{t.TempDir(), t.TempDir()}
	few := &linkless{folders: f}
	few.links.Store(1)
	res := hardLinked(t, few, f, transfer.HardLinksKeep, func(string) {})
	if res.NFaults != 3 {
		t.Errorf("%d faults, want 3: %+v", res.NFaults, res.Faults)
	}
}

func TestHardLinksNeedStorageThatHasThem(t *testing.T) {
	w := newWorld(t)
	put(t, w.src, "/from/a", []byte("x"))
	req := w.request(func(r *transfer.Request) { r.HardLinks = transfer.HardLinksKeep })
	d := w.worker("one")
	_, err := d.walkStep(t.Context(), WalkInput{Task: testTask, Ends: w.ends(), Request: req, Probe: w.probe(d, req)}, defaultWalkSizes)
	if !fault.Is(err, fault.Invalid) || !strings.Contains(err.Error(), "hard_links") {
		t.Errorf("walk: %v", err)
	}
}

// Whatever names there are, neighbours that are one file have the same first.
func TestNameSame(t *testing.T) {
	files := []transfer.File{{Dest: "1"}, {Dest: "2", Inode: "x"}, {Dest: "3", Inode: "x"}, {Dest: "4", Inode: "x"}, {Dest: "5", Inode: "y"}, {Dest: "6"}, {Dest: "7"}}
	nameSame(files)
	var same []string
	for _, f := range files {
		same = append(same, f.Same)
	}
	if want := []string{"", "", "2", "2", "", "", ""}; !slices.Equal(same, want) {
		t.Errorf("%q, want %q", same, want)
	}
}

// Links that lead nowhere or in circles are kept as they are, and told of when
// what they point at is asked for; the rest goes on.
func TestSymlinksOfDirectories(t *testing.T) {
	for _, rule := range []transfer.Symlinks{transfer.SymlinksIgnore, transfer.SymlinksKeep, transfer.SymlinksCopy} {
		t.Run("symlinks "+string(rule), func(t *testing.T) {
			f := folders{t.TempDir(), t.TempDir()}
			from, to := filepath.Join(f.src, "from"), filepath.Join(f.dst, "to")
			if err := os.MkdirAll(filepath.Join(from, "dir"), 0o700); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(filepath.Join(from, "dir", "file"), []byte("bytes"), 0o600); err != nil {
				t.Fatal(err)
			}
			links := map[string]string{
				"good": "dir/file", "tree": "dir", "dangling": "nowhere", "self": "self", "ping": "pong", "pong": "ping",
				"dir/up": "..", "outside": "/etc/passwd", "dir/chain": "../good",
			}
			for name, target := range links {
				if err := os.Symlink(target, filepath.Join(from, name)); err != nil {
					t.Fatal(err)
				}
			}
			w := newWorld(t)
			d := w.worker("posix")
			d.Endpoints = f
			req := w.request(func(r *transfer.Request) { r.Symlinks = rule })
			probe := w.probe(d, req)
			walk, err := d.walkStep(t.Context(), WalkInput{Task: testTask, Ends: w.ends(), Request: req, Probe: probe}, defaultWalkSizes)
			if err != nil || walk.Cursor != "" || walk.Blocked != nil {
				t.Fatalf("walk: %+v, %v", walk, err)
			}
			for _, c := range walk.Chunks {
				res, err := d.Copy(t.Context(), CopyInput{Task: testTask, Ends: w.ends(), Probe: probe, Chunk: c, Options: NewCopyOptions(req, probe.Route.Path)})
				if err != nil || !res.Complete || res.NFailed != 0 {
					t.Fatalf("copy: %+v, %v", res, err)
				}
			}
			want := map[string]string{"dir/file": "bytes"}
			switch rule {
			case transfer.SymlinksKeep:
				for name, target := range links {
					want[name] = "-> " + target
				}
			case transfer.SymlinksCopy:
				for _, name := range []string{"good", "tree/file", "tree/chain", "dir/chain"} {
					want[name] = "bytes"
				}
			}
			got := map[string]string{}
			err = filepath.WalkDir(to, func(p string, e os.DirEntry, err error) error {
				rel, _ := filepath.Rel(to, p)
				switch {
				case err != nil || e.IsDir():
				case e.Type() == os.ModeSymlink:
					target, linkErr := os.Readlink(p)
					got[rel], err = "-> "+target, linkErr
				default:
					b, readErr := os.ReadFile(p)
					got[rel], err = string(b), readErr
				}
				return err
			})
			if err != nil {
				t.Fatal(err)
			}
			sameTree(t, got, want)
			told := int64(0)
			if rule == transfer.SymlinksCopy {
				// dangling, outside (of the root), self, ping, pong, and dir/up
				// twice: as itself, and below the tree that was followed.
				told = 7
			}
			if walk.Errors != told {
				t.Errorf("%d names were told of, want %d: %+v", walk.Errors, told, walk.Failed)
			}
		})
	}
}
