package activities

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gridferry/gridferry/endpoints"
	"github.com/gridferry/gridferry/endpoints/memory"
	"github.com/gridferry/gridferry/fault"
	"github.com/gridferry/gridferry/transfer"
)

// tinySizes make a walk spool, spill, cut and step where a real one would
// with a million times as many names.
var tinySizes = walkSizes{
	step: time.Minute, segment: 7, pending: pendingSizes{dirs: 3, bytes: 1 << 20}, batch: 4, page: 3, workers: 3, spool: spoolSizes{small: 5, block: 2, merge: 2},
}

// sheets returns the files of all chunks.
func (w *world) sheets(wk walked) []transfer.File {
	w.t.Helper()
	var all []transfer.File
	for _, c := range wk.Chunks {
		files, err := getLines[transfer.File](w.ctx(), w.blobs, c.Sheet)
		if err != nil {
			w.t.Fatal(err)
		}
		if int64(len(files)) != c.Files {
			w.t.Errorf("chunk %s has %d files and says %d", c.ID, len(files), c.Files)
		}
		all = append(all, files...)
	}
	return all
}

func dests(files []transfer.File) []string {
	var names []string
	for _, f := range files {
		names = append(names, strings.TrimPrefix(f.Dest, "/to/"))
	}
	slices.Sort(names)
	return names
}

func (w *world) mkdir(d *memory.Disk, p string) {
	w.t.Helper()
	if err := makeAll(w.ctx(), d.Open(), p); err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) symlink(d *memory.Disk, target, p string) {
	w.t.Helper()
	if err := d.Open().Symlink(w.ctx(), target, p); err != nil {
		w.t.Fatal(err)
	}
}

func TestWalkTinyAndWhole(t *testing.T) {
	for name, sizes := range map[string]walkSizes{"whole": defaultWalkSizes, "tiny": tinySizes} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			for i := range 60 {
				put(t, w.src, fmt.Sprintf("/from/flat/%02d", i), content(uint64(i+1), i))
			}
			for i := range 15 {
				put(t, w.src, fmt.Sprintf("/from/d%d/e/f", i), content(uint64(i+100), 5))
				w.mkdir(w.src, fmt.Sprintf("/from/d%d/hollow", i))
			}
			put(t, w.dst, "/to/flat/07", []byte("old"))
			req := w.request()
			wk := w.walk(req, sizes)
			if wk.Errors != 0 || wk.Found.Files != 75 || wk.Found.Directories != 1+1+45 {
				t.Fatalf("found: %+v", wk.Found)
			}
			files := w.sheets(wk)
			if len(files) != 75 {
				t.Fatalf("%d files in the sheets", len(files))
			}
			for _, f := range files {
				if f.Exists != (f.Dest == "/to/flat/07") {
					t.Errorf("%s: exists is %v", f.Dest, f.Exists)
				}
			}
			w.copyAll(wk, req)
			sameTree(t, tree(t, w.dst, "/to"), tree(t, w.src, "/from"))
			if name == "tiny" && wk.Segments < 10 {
				t.Errorf("%d segments", wk.Segments)
			}
		})
	}
}

// The first step may log in itself, and then tells what Probe would have told.
func TestWalkOpens(t *testing.T) {
	w := newWorld(t)
	put(t, w.src, "/from/a/f", content(1, 5))
	req := w.request()
	d := w.worker("walker")
	apart := w.probe(d, req)
	in := WalkInput{Task: testTask, Ends: w.ends(), Request: req, Policy: req.Tuning, Open: true}
	res, err := d.WalkStep(w.ctx(), in)
	if err != nil || res.Cursor != "" || len(res.Chunks) != 1 || res.Probe == nil || res.Probe.Elsewhere || res.Probe.Route != apart.Route {
		t.Fatalf("%+v, %v", res, err)
	}
	facts, err := getOne[Facts](w.ctx(), w.blobs, factsKey(testTask))
	if err != nil || facts.Probe.Route != apart.Route || facts.Options.Route != apart.Route.Path {
		t.Errorf("facts: %+v, %v", facts, err)
	}

	w = newWorld(t)
	put(t, w.src, "/from/a/f", content(1, 5))
	d = w.worker("walker")
	w.opener.WithRecord(endpoints.Record{Name: "src", Kind: "memory", Site: "beamline"})
	res, err = d.WalkStep(w.ctx(), in)
	if err != nil || res.Probe == nil || !res.Probe.Elsewhere || res.Probe.Route.Queue != transfer.SiteQueue("beamline") || len(res.Chunks) != 0 {
		t.Errorf("bound: %+v, %v", res, err)
	}
	if _, err := getOne[Facts](w.ctx(), w.blobs, factsKey(testTask)); !fault.Is(err, fault.NotFound) {
		t.Errorf("facts of a walk that was not begun: %v", err)
	}
	in.Ends.Destination = "nowhere"
	if _, err = d.WalkStep(w.ctx(), in); FaultOf(err).Kind != fault.NotFound {
		t.Errorf("unknown: %v", err)
	}
}

// TestWalkSteps ends each step almost at once: the walk goes on where it was.
func TestWalkSteps(t *testing.T) { synctest.Test(t, testWalkSteps) }

func testWalkSteps(t *testing.T) {
	w := newWorld(t)
	for i := range 40 {
		put(t, w.src, fmt.Sprintf("/from/a%d/b/f%d", i%7, i), content(uint64(i+1), i))
	}
	sizes := tinySizes
	sizes.step, sizes.workers = 0, 1
	var lists atomic.Int64
	w.src.Faults().Hook(func(_ context.Context, op memory.Op, _ string, _ int64) error {
		if op == memory.List {
			lists.Add(1)
			time.Sleep(2 * time.Millisecond) // longer than a step
		}
		return nil
	})
	wk := w.walk(w.request(), sizes)
	if wk.steps < 3 {
		t.Errorf("only %d steps", wk.steps)
	}
	if got := len(w.sheets(wk)); got != 40 {
		t.Errorf("%d files", got)
	}
}

// TestWalkStepAgain runs every step twice, as a lost result makes Temporal do:
// what counts is the second one.
func TestWalkStepAgain(t *testing.T) { synctest.Test(t, testWalkStepAgain) }

func testWalkStepAgain(t *testing.T) {
	w := newWorld(t)
	for i := range 30 {
		put(t, w.src, fmt.Sprintf("/from/a%d/f%d", i%4, i), content(uint64(i+1), i))
	}
	put(t, w.dst, "/to/extra", nil)
	req := w.request(func(r *transfer.Request) { r.DeleteExtra = true })
	d := w.worker("walker")
	in := WalkInput{Task: testTask, Ends: w.ends(), Request: req, Probe: w.probe(d, req)}
	sizes := tinySizes
	sizes.step, sizes.workers = 2*time.Millisecond, 1
	w.src.Faults().Hook(func(_ context.Context, op memory.Op, _ string, _ int64) error {
		if op == memory.List {
			time.Sleep(time.Millisecond)
		}
		return nil
	})
	var wk walked
	wk.probe = in.Probe
	for range 100 {
		if _, err := d.walkStep(t.Context(), in, sizes); err != nil {
			t.Fatal(err)
		}
		res, err := d.walkStep(t.Context(), in, sizes)
		if err != nil {
			t.Fatal(err)
		}
		wk.add(res)
		if in.Cursor = res.Cursor; in.Cursor == "" {
			break
		}
	}
	if got := dests(w.sheets(wk)); len(got) != 30 || len(slices.Compact(slices.Clone(got))) != 30 {
		t.Errorf("files: %v", got)
	}
	if wk.NExtras != 1 {
		t.Errorf("%d extras", wk.NExtras)
	}
}

func TestWalkCanceled(t *testing.T) {
	w := newWorld(t)
	for i := range 20 {
		put(t, w.src, fmt.Sprintf("/from/a%d/f", i), content(uint64(i+1), i))
	}
	req := w.request()
	d := w.worker("walker")
	in := WalkInput{Task: testTask, Ends: w.ends(), Request: req, Probe: w.probe(d, req)}
	ctx, cancel := context.WithCancel(t.Context())
	var n atomic.Int64
	w.src.Faults().Hook(func(_ context.Context, op memory.Op, _ string, _ int64) error {
		if op == memory.List && n.Add(1) == 7 {
			cancel()
		}
		return nil
	})
	first, err := d.walkStep(ctx, in, defaultWalkSizes)
	if err != nil {
		t.Fatal(err)
	}
	if first.Cursor == "" || first.Errors != 0 || first.Blocked != nil {
		t.Fatalf("a cancelled step: %+v", first)
	}
	in.Cursor = first.Cursor
	second, err := d.walkStep(t.Context(), in, defaultWalkSizes)
	if err != nil {
		t.Fatal(err)
	}
	wk := walked{}
	wk.add(first)
	wk.add(second)
	if got := len(w.sheets(wk)); got != 20 || wk.Found.Files != 20 {
		t.Errorf("%d files in sheets, found %+v", got, wk.Found)
	}
}

func TestWalkSync(t *testing.T) {
	old, recent := time.Date(2020, 1, 1, 0, 0, 0, 0, time.UTC), time.Date(2024, 1, 1, 0, 0, 0, 0, time.UTC)
	for rule, want := range map[transfer.Sync][]string{
		transfer.SyncAlways:   {"missing", "newer", "same", "size"},
		transfer.SyncExists:   {"missing"},
		transfer.SyncSize:     {"missing", "size"},
		transfer.SyncModified: {"missing", "newer", "size"},
		transfer.SyncChecksum: {"missing", "newer", "same", "size"}, // all but the checks of equal ones
	} {
		t.Run("sync "+string(rule), func(t *testing.T) {
			w := newWorld(t)
			file := func(d *memory.Disk, p, data string, at time.Time) {
				put(t, d, p, []byte(data))
				if err := d.Open().SetModTime(t.Context(), p, at); err != nil {
					t.Fatal(err)
				}
			}
			file(w.src, "/from/missing", "1", old)
			file(w.src, "/from/same", "12", old)
			file(w.dst, "/to/same", "12", old)
			file(w.src, "/from/size", "123", old)
			file(w.dst, "/to/size", "12", recent)
			file(w.src, "/from/newer", "1234", recent)
			file(w.dst, "/to/newer", "4321", old)
			wk := w.walk(w.request(func(r *transfer.Request) { r.Sync = rule }), defaultWalkSizes)
			files := w.sheets(wk)
			if got := dests(files); !slices.Equal(got, want) {
				t.Errorf("copied are %v, want %v", got, want)
			}
			for _, f := range files {
				if f.Check != (rule == transfer.SyncChecksum && (f.Dest == "/to/same" || f.Dest == "/to/newer")) {
					t.Errorf("%s: check is %v", f.Dest, f.Check)
				}
			}
			if int(wk.Found.FilesSkipped) != 4-len(want) {
				t.Errorf("%d skipped", wk.Found.FilesSkipped)
			}
			skipped := 0
			for _, r := range w.results() {
				if r.Status == statusSkipped {
					skipped++
				}
			}
			if skipped != 4-len(want) {
				t.Errorf("%d skipped in the results", skipped)
			}
		})
	}
}

func TestWalkExtras(t *testing.T) {
	for name, sizes := range map[string]walkSizes{"whole": defaultWalkSizes, "tiny": tinySizes} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			put(t, w.src, "/from/keep/a", []byte("a"))
			put(t, w.dst, "/to/keep/a", []byte("a"))
			put(t, w.dst, "/to/keep/b", []byte("b"))
			for i := range 9 {
				put(t, w.dst, fmt.Sprintf("/to/gone/x/y/%d", i), []byte("z"))
			}
			w.symlink(w.dst, "/elsewhere", "/to/link")
			put(t, w.dst, "/elsewhere/safe", []byte("safe"))
			put(t, w.dst, "/to/spared.log", []byte("excluded"))
			temp := transfer.TempPath("/to/other", "another task", 3, 0)
			put(t, w.dst, temp, []byte("another task's"))
			req := w.request(func(r *transfer.Request) {
				r.DeleteExtra = true
				r.Filters = []transfer.Filter{{Exclude: true, Name: "*.log"}}
			})
			wk := w.walk(req, sizes)
			if wk.NExtras != 1+3+9+1 {
				t.Errorf("%d extras", wk.NExtras)
			}
			w.copyAll(wk, req)
			in := DeleteInput{Task: testTask, Ends: w.ends(), Lists: wk.Extras}
			res, err := w.worker("deleter").Delete(t.Context(), in)
			if err != nil || res.Cursor != "" || res.NFailed != 0 || res.Deleted != wk.NExtras {
				t.Fatalf("delete: %+v, %v", res, err)
			}
			sameTree(t, tree(t, w.dst, "/"), map[string]string{
				"to/": "", "to/keep/": "", "to/keep/a": "a", "to/spared.log": "excluded", strings.TrimPrefix(temp, "/"): "another task's",
				"elsewhere/": "", "elsewhere/safe": "safe",
			})
			// Again, as after a lost result.
			if res, err = w.worker("deleter").Delete(t.Context(), in); err != nil || res.Deleted != 0 || res.NFailed != 0 {
				t.Errorf("delete again: %+v, %v", res, err)
			}
		})
	}
}

func TestWalkSymlinks(t *testing.T) {
	build := func(w *world) {
		put(w.t, w.src, "/from/real/file", []byte("bytes"))
		put(w.t, w.src, "/outside/far", []byte("far"))
		w.symlink(w.src, "real/file", "/from/tofile")
		w.symlink(w.src, "/outside", "/from/todir")
		w.symlink(w.src, "nowhere", "/from/broken")
		w.symlink(w.src, "..", "/from/real/circle")
		w.symlink(w.src, "tofile", "/from/twice")
		w.symlink(w.src, "selfish", "/from/selfish")
	}
	t.Run("ignore", func(t *testing.T) {
		w := newWorld(t)
		build(w)
		req := w.request()
		wk := w.walk(req, defaultWalkSizes)
		w.copyAll(wk, req)
		sameTree(t, tree(t, w.dst, "/to"), map[string]string{"/real/": "", "/real/file": "bytes"})
		if wk.Found.EntriesIgnored != 6 || wk.Errors != 0 {
			t.Errorf("found: %+v, %d errors", wk.Found, wk.Errors)
		}
	})
	t.Run("keep", func(t *testing.T) {
		w := newWorld(t)
		build(w)
		put(t, w.dst, "/to/broken", []byte("in the way"))
		req := w.request(func(r *transfer.Request) { r.Symlinks = transfer.SymlinksKeep })
		wk := w.walk(req, defaultWalkSizes)
		for _, res := range w.copyAll(wk, req) {
			if !res.Complete || res.NFailed > 0 || res.Unverified > 0 {
				t.Errorf("copy: %+v", res)
			}
		}
		sameTree(t, tree(t, w.dst, "/to"), tree(t, w.src, "/from"))
		w.noStrays()
	})
	t.Run("copy", func(t *testing.T) {
		w := newWorld(t)
		build(w)
		req := w.request(func(r *transfer.Request) { r.Symlinks = transfer.SymlinksCopy })
		wk := w.walk(req, defaultWalkSizes)
		w.copyAll(wk, req)
		sameTree(t, tree(t, w.dst, "/to"), map[string]string{
			"/real/": "", "/real/file": "bytes", "/tofile": "bytes", "/twice": "bytes", "/todir/": "", "/todir/far": "far",
		})
		var failed []string
		for _, f := range wk.Failed {
			failed = append(failed, f.Path)
		}
		slices.Sort(failed)
		if want := []string{"/from/broken", "/from/real/circle", "/from/selfish"}; !slices.Equal(failed, want) {
			t.Errorf("failed are %v, want %v", failed, want)
		}
	})
}

func TestWalkCollisions(t *testing.T) {
	w := newWorld(t)
	put(t, w.src, "/from/afile", []byte("1"))
	put(t, w.dst, "/to/afile/in", []byte("2"))
	put(t, w.src, "/from/adir/in", []byte("3"))
	put(t, w.dst, "/to/adir", []byte("4"))
	before := tree(t, w.dst, "/to")
	wk := w.walk(w.request(), defaultWalkSizes)
	if len(wk.Collisions) != 2 || wk.Errors != 2 || len(wk.Failed) != 2 || wk.Found.Files != 0 {
		t.Fatalf("collisions: %v, failed: %+v", wk.Collisions, wk.Failed)
	}
	for _, f := range wk.Failed {
		if f.Kind != fault.Exists {
			t.Errorf("%+v", f)
		}
	}
	sameTree(t, tree(t, w.dst, "/to"), before)
}

// folding is a storage that takes names for the same that differ by case only.
type folding struct{ *memory.Storage }

func (f folding) Caps() endpoints.Caps {
	c := f.Storage.Caps()
	c.FoldsCase = true
	return c
}

type foldingOpener struct{ *memory.Opener }

func (o foldingOpener) Open(ctx context.Context, rec endpoints.Record, owner, cred string) (endpoints.Storage, error) {
	s, err := o.Opener.Open(ctx, rec, owner, cred)
	if err != nil || rec.Name != "dst" {
		return s, err
	}
	return folding{s.(*memory.Storage)}, nil
}

func TestWalkFoldsCase(t *testing.T) {
	w := newWorld(t)
	put(t, w.src, "/from/Readme", []byte("1"))
	put(t, w.src, "/from/README", []byte("2"))
	put(t, w.src, "/from/alone", []byte("3"))
	put(t, w.dst, "/to/ALONE", []byte("the same name there"))
	put(t, w.dst, "/to/extra", []byte("not the same"))
	req := w.request(func(r *transfer.Request) { r.DeleteExtra, r.Route = true, transfer.RouteRelay })
	d := w.worker("walker")
	d.Endpoints = foldingOpener{w.opener}
	res, err := d.walkStep(t.Context(), WalkInput{Task: testTask, Ends: w.ends(), Request: req, Probe: w.probe(d, req)}, defaultWalkSizes)
	if err != nil {
		t.Fatal(err)
	}
	wk := walked{WalkResult: res}
	if got := dests(w.sheets(wk)); !slices.Equal(got, []string{"README", "alone"}) {
		t.Errorf("copied are %v", got)
	}
	if len(res.Collisions) != 1 || res.Errors != 1 {
		t.Errorf("collisions: %v", res.Collisions)
	}
	var extras []string
	for _, key := range res.Extras {
		names, _ := getLines[extraName](t.Context(), w.blobs, key)
		for _, n := range names {
			extras = append(extras, n.Path)
		}
	}
	if !slices.Equal(extras, []string{"/to/extra"}) {
		t.Errorf("extras: %v", extras)
	}
}

func TestWalkUnreadableDirectory(t *testing.T) { synctest.Test(t, testWalkUnreadableDirectory) }

func testWalkUnreadableDirectory(t *testing.T) {
	w := newWorld(t)
	put(t, w.src, "/from/open/a", []byte("a"))
	put(t, w.src, "/from/closed/b", []byte("b"))
	w.src.Faults().Fail(memory.List, "/from/closed", -1, refuse(fault.Permission, "/from/closed"))
	hasty := defaultWalkSizes
	hasty.delay = time.Millisecond
	wk := w.walk(w.request(), hasty)
	if wk.Errors != 1 || len(wk.Failed) != 1 || wk.Failed[0].Path != "/from/closed" || !wk.Failed[0].AtSource {
		t.Errorf("failed: %+v", wk.Failed)
	}
	tries := int64(0)
	for _, f := range wk.Faults {
		tries += f.Count
	}
	if tries != transfer.TriesRefused {
		t.Errorf("it was tried %d times", tries)
	}
	if got := dests(w.sheets(wk)); !slices.Equal(got, []string{"open/a"}) {
		t.Errorf("copied are %v", got)
	}
}

func TestWalkBlocked(t *testing.T) {
	w := newWorld(t)
	for i := range 9 {
		put(t, w.src, fmt.Sprintf("/from/d%d/a", i), []byte("a"))
	}
	w.src.Faults().Fail(memory.List, "/from/d4", 1, fault.New(fault.Credential, "list", "/from/d4", "the proxy has expired"))
	req := w.request()
	wk := w.walk(req, tinySizes)
	if wk.Blocked == nil || wk.Blocked.Kind != fault.Credential || wk.Cursor == "" {
		t.Fatalf("walk: %+v", wk.WalkResult)
	}
	res, err := w.worker("walker").walkStep(t.Context(), WalkInput{Task: testTask, Ends: w.ends(), Request: req, Probe: wk.probe, Cursor: wk.Cursor}, tinySizes)
	if err != nil || res.Blocked != nil || res.Cursor != "" {
		t.Fatalf("with a new credential: %+v, %v", res, err)
	}
	wk.add(res)
	if got := len(w.sheets(wk)); got != 9 {
		t.Errorf("%d files", got)
	}
}

func TestWalkItems(t *testing.T) {
	w := newWorld(t)
	put(t, w.src, "/from/f", []byte("one file"))
	put(t, w.src, "/from/tree/g", []byte("in a tree"))
	w.symlink(w.src, "/from/tree", "/from/linked")
	req := transfer.Request{Items: []transfer.Item{
		{Source: "src:/from/f", Destination: "dst:/new/place/f"},
		{Source: "src:/from/linked", Destination: "dst:/deep/er", Recursive: true},
		{Source: "src:/from/missing", Destination: "dst:/x"},
	}}.Normalised(time.Now())
	wk := w.walk(req, defaultWalkSizes)
	w.copyAll(wk, req)
	sameTree(t, tree(t, w.dst, "/"), map[string]string{
		"new/": "", "new/place/": "", "new/place/f": "one file", "deep/": "", "deep/er/": "", "deep/er/g": "in a tree",
	})
	if wk.Errors != 1 || wk.Failed[0].Kind != fault.NotFound {
		t.Errorf("failed: %+v", wk.Failed)
	}
	for name, it := range map[string]transfer.Item{
		"a directory without recursive": {Source: "src:/from/tree", Destination: "dst:/y"},
		"a file with recursive":         {Source: "src:/from/f", Destination: "dst:/y", Recursive: true},
	} {
		req.Items = []transfer.Item{it}
		_, err := w.worker("walker").WalkStep(t.Context(), WalkInput{Task: testTask, Ends: w.ends(), Request: req, Probe: wk.probe})
		if FaultOf(err).Kind != fault.Invalid {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestWalkPlanTouchesNothing(t *testing.T) {
	w := newWorld(t)
	w.mixedTree()
	before := tree(t, w.dst, "/")
	req := w.request()
	d := w.worker("walker")
	res, err := d.walkStep(t.Context(), WalkInput{Task: testTask, Ends: w.ends(), Request: req, Probe: w.probe(d, req), Plan: true}, defaultWalkSizes)
	if err != nil || len(res.Chunks) == 0 || res.Found.Files == 0 {
		t.Fatalf("plan: %+v, %v", res, err)
	}
	sameTree(t, tree(t, w.dst, "/"), before)
}

// TestWalkEvilNames: a server must not choose where we write.
func TestWalkEvilNames(t *testing.T) {
	for name, ok := range map[string]bool{"a": true, "..": false, ".": false, "": false, "../../etc/passwd": false, "a/b": false, "..a": true} {
		if wellNamed(name) != ok {
			t.Errorf("%q: %v", name, !ok)
		}
	}
}

func TestSpoolMerges(t *testing.T) {
	w := newWorld(t)
	names := map[string]bool{}
	for i := range 53 {
		name := fmt.Sprintf("%02d\xff", i*37%53)
		names[name] = true
		put(t, w.src, "/d/"+name, nil)
	}
	sp, err := spoolDir(t.Context(), w.src.Open(), "/d", w.blobs, "tasks/t/spool", spoolSizes{small: 10, block: 3})
	if err != nil || !sp.spooled() || sp.Total != 53 {
		t.Fatalf("spool: %+v, %v", sp, err)
	}
	sorted := slices.Sorted(maps.Keys(names))
	sameAfterAnyName(t, w, sp, sorted)
	if err := sp.merge(t.Context(), w.blobs, spoolSizes{block: 4, merge: 2}); err != nil || len(sp.Runs) != 2 {
		t.Fatalf("merged to %d runs: %v", len(sp.Runs), err)
	}
	sameAfterAnyName(t, w, sp, sorted)
}

// sameAfterAnyName reads a spool from each of its names on.
func sameAfterAnyName(t *testing.T, w *world, sp *spool, sorted []string) {
	t.Helper()
	for after := -1; after < len(sorted); after++ {
		from := ""
		if after >= 0 {
			from = sorted[after]
		}
		r, err := sp.read(t.Context(), w.blobs, from)
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for ; r.ok && err == nil; err = r.advance() {
			got = append(got, r.head.Name)
		}
		if err != nil || !slices.Equal(got, sorted[after+1:]) {
			t.Fatalf("after %q: %q, %v", from, got, err)
		}
	}
}

// TestSpoolAsListed reads a directory whose names need no order, and stops at
// every one of them.
func TestSpoolAsListed(t *testing.T) {
	w := newWorld(t)
	const n = 23
	for i := range n {
		put(t, w.src, fmt.Sprintf("/d/%02d", i), nil)
	}
	sp, err := spoolDir(t.Context(), w.src.Open(), "/d", w.blobs, "tasks/t/spool", spoolSizes{small: 5, block: 2})
	if err != nil {
		t.Fatal(err)
	}
	for each := 1; each <= n; each++ {
		got := map[string]bool{}
		p := pendingDir{Listed: sp}
		for stops := 0; len(got) < n; stops++ {
			r, err := p.source(t.Context(), w.blobs, true)
			if err != nil || !r.ok || stops > n {
				t.Fatalf("%d at a time: after %d names and %d stops: %v", each, len(got), stops, err)
			}
			for range each {
				if got[r.head.Name] {
					t.Fatalf("%d at a time: %s comes twice", each, r.head.Name)
				}
				got[r.head.Name] = true
				if err := r.advance(); err != nil {
					t.Fatal(err)
				}
				if !r.ok {
					break
				}
			}
			if r.ok {
				p.At = r.mark()
			}
		}
	}
}

// TestWalkBoundsMemory: a segment is as large as its paths allow, and a step
// ends with the first one.
func TestWalkBoundsMemory(t *testing.T) {
	w := newWorld(t)
	deep := "/from" + strings.Repeat("/"+strings.Repeat("d", 100), 10)
	for i := range 40 {
		put(t, w.src, fmt.Sprintf("%s/%02d", deep, i), []byte("x"))
		put(t, w.src, fmt.Sprintf("/from/%02d", i), []byte("x"))
	}
	sizes := defaultWalkSizes
	sizes.names, sizes.cuts, sizes.workers = 20_000, 1, 1
	sizes.spool.bytes, sizes.spool.block = 20_000, 4
	wk := w.walk(w.request(), sizes)
	files := w.sheets(wk)
	if len(files) != 80 || len(slices.Compact(dests(files))) != 80 {
		t.Fatalf("%d files", len(files))
	}
	for _, c := range wk.Chunks {
		sheet, err := getFiles(w.ctx(), w.blobs, c.Sheet, c.Files)
		if err != nil {
			t.Fatal(err)
		}
		if n := weigh(sheet); n > sizes.names {
			t.Errorf("chunk %s takes %d bytes", c.ID, n)
		}
	}
	// 40 long paths are 90 kB.
	if wk.steps < 4 {
		t.Errorf("%d steps", wk.steps)
	}
}
