package endpointtest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"sync"

	"github.com/gridferry/gridferry/endpoints"
	"github.com/gridferry/gridferry/endpoints/check"
	"github.com/gridferry/gridferry/fault"
)

func testMissing(p *place) {
	gone := p.path("gone")
	_, err := p.Stat(p.ctx, gone)
	p.wantKind("stat", err, fault.NotFound)
	_, err = p.Open(p.ctx, gone, 0, -1)
	p.wantKind("open", err, fault.NotFound)
	_, err = p.Open(p.ctx, gone, 10, 5)
	p.wantKind("open a range", err, fault.NotFound)
	p.wantKind("list", p.List(p.ctx, gone, func([]endpoints.Entry) error { return nil }), fault.NotFound)
	p.wantKind("rename", p.Rename(p.ctx, gone, p.path("to")), fault.NotFound)
	p.wantKind("remove", p.Remove(p.ctx, gone), fault.NotFound)
	if p.Caps().NoEmptyDirs {
		p.put("gone/f", []byte("x"))
		p.ok(p.Rename(p.ctx, p.path("gone/f"), p.path("lost/too/f")))
		p.wantContent("lost/too/f", []byte("x"))
		_, err := p.Stat(p.ctx, gone)
		p.wantKind("stat of the directory that lost its only file", err, fault.NotFound)
		return
	}
	p.wantKind("create in a missing directory", p.write("gone/f", []byte("x"), endpoints.CreateOptions{Size: 1}), fault.NotFound)
	p.wantKind("mkdir in a missing directory", p.Mkdir(p.ctx, p.path("gone/d")), fault.NotFound)
	p.put("f", []byte("x"))
	p.wantKind("rename into a missing directory", p.Rename(p.ctx, p.path("f"), p.path("gone/f")), fault.NotFound)
	p.wantContent("f", []byte("x"))
	if err != nil && !strings.Contains(err.Error(), "gone") {
		p.Errorf("the error does not name the path: %v", err)
	}
}

// A name that is another sort of thing is NotFound to who reads and Exists to
// who writes.
func testWrongSort(p *place) {
	p.put("f", []byte("x"))
	p.mkdir("d")
	p.put("d/x", nil)
	_, err := p.read("d", 0, -1)
	p.wantKind("open a directory", err, fault.NotFound)
	p.wantKind("list a file", p.List(p.ctx, p.path("f"), func([]endpoints.Entry) error { return nil }), fault.NotFound)
	_, err = p.Stat(p.ctx, p.path("f/x"))
	p.wantKind("stat below a file", err, fault.NotFound)
	p.wantKind("create over a directory", p.write("d", []byte("x"), endpoints.CreateOptions{Size: 1}), fault.Exists)
	p.wantKind("create below a file", p.write("f/x", []byte("x"), endpoints.CreateOptions{Size: 1}), fault.Exists)
	p.wantKind("mkdir below a file", p.Mkdir(p.ctx, p.path("f/x")), fault.Exists)
	p.wantContent("f", []byte("x"))
}

func testMkdir(p *place) {
	p.mkdir("d")
	p.mkdir("d/e")
	if p.Caps().NoEmptyDirs {
		_, err := p.Stat(p.ctx, p.path("d/e"))
		p.wantKind("stat of an empty directory", err, fault.NotFound)
		p.put("d/e/x", nil)
	}
	e, err := p.Stat(p.ctx, p.path("d/e"))
	p.ok(err)
	if e.Type != endpoints.Dir || e.Size != 0 {
		p.Errorf("stat of a directory: %+v", e)
	}
	p.wantKind("mkdir of a directory that is there", p.Mkdir(p.ctx, p.path("d")), fault.Exists)
	p.put("f", nil)
	p.wantKind("mkdir of a file's name", p.Mkdir(p.ctx, p.path("f")), fault.Exists)
	if _, err := p.Stat(p.ctx, "/"); err != nil {
		p.Errorf("stat of the root: %v", err)
	}
}

func testRename(p *place) {
	p.put("a", []byte("first"))
	p.ok(p.Rename(p.ctx, p.path("a"), p.path("b")))
	p.wantContent("b", []byte("first"))
	_, err := p.Stat(p.ctx, p.path("a"))
	p.wantKind("stat of the old name", err, fault.NotFound)

	p.put("c", []byte("second"))
	p.ok(p.Rename(p.ctx, p.path("c"), p.path("b")))
	p.wantContent("b", []byte("second"))
	p.ok(p.Rename(p.ctx, p.path("b"), p.path("b")))
	p.wantContent("b", []byte("second"))

	p.mkdir("d")
	p.put("d/x", []byte("inside"))
	p.ok(p.Rename(p.ctx, p.path("d"), p.path("e")))
	p.wantContent("e/x", []byte("inside"))
	p.wantKind("rename a file over a directory", p.Rename(p.ctx, p.path("b"), p.path("e")), fault.Exists)
	p.wantContent("b", []byte("second"))
	p.wantContent("e/x", []byte("inside"))
}

func testRemove(p *place) {
	p.put("f", []byte("x"))
	p.mkdir("d")
	p.put("d/x", []byte("x"))
	p.wantKind("remove a directory that is not empty", p.Remove(p.ctx, p.path("d")), fault.Exists)
	p.wantContent("d/x", []byte("x"))
	p.ok(p.Remove(p.ctx, p.path("d/x")))
	p.rmdir("d")
	p.ok(p.Remove(p.ctx, p.path("f")))
	if left := p.list(""); len(left) != 0 {
		p.Errorf("after removing everything there is %v", left)
	}
}

func testList(p *place) {
	if got := p.list(""); len(got) != 0 {
		p.Errorf("an empty directory lists %v", got)
	}
	p.put("file", []byte("12345"))
	p.mkdir("dir")
	p.put("dir/inside", nil)
	got := p.list("")
	if len(got) != 2 || got["file"].Type != endpoints.File || got["file"].Size != 5 || got["dir"].Type != endpoints.Dir || got["dir"].Size != 0 {
		p.Errorf("listing: %+v", got)
	}
	stat, err := p.Stat(p.ctx, p.path("file"))
	p.ok(err)
	if l := got["file"]; !l.ModTime.IsZero() && !l.ModTime.Equal(stat.ModTime) || l.Mode != 0 && stat.Mode != 0 && l.Mode != stat.Mode {
		p.Errorf("the listing says %+v where stat says %+v", l, stat)
	}
	if got := p.list("dir"); len(got) != 1 || got["inside"].Type != endpoints.File {
		p.Errorf("listing of dir: %+v", got)
	}
	var root bool
	p.ok(p.List(p.ctx, "/", func(page []endpoints.Entry) error { root = root || len(page) > 0; return nil }))
	if !root {
		p.Error("the root lists nothing")
	}
}

func testListPages(p *place) {
	const n = 2100
	var wg sync.WaitGroup
	errs := make([]error, 4)
	for w := range errs {
		wg.Go(func() {
			for i := w; i < n && errs[w] == nil; i += len(errs) {
				errs[w] = p.write(fmt.Sprintf("name-%05d", i), nil, endpoints.CreateOptions{})
			}
		})
	}
	wg.Wait()
	p.ok(errors.Join(errs...))
	if got := p.list(""); len(got) != n {
		p.Errorf("listed %d of %d names", len(got), n)
	}
	stop := errors.New("enough")
	calls := 0
	path := p.dir
	if path == "" {
		path = "/"
	}
	err := p.List(p.ctx, path, func(page []endpoints.Entry) error {
		calls++
		if len(page) == 0 || len(page) > 5000 {
			p.Errorf("a page of %d", len(page))
		}
		return stop
	})
	if err != stop || calls != 1 {
		p.Errorf("a page that fails: List returned %v after %d pages, want the same error after one", err, calls)
	}
	// The session that the listing was given up on is not reused half-read.
	if _, err := p.Stat(p.ctx, p.path("name-00000")); err != nil {
		p.Errorf("stat after a listing that was given up: %v", err)
	}
}

func testOddNames(p *place) {
	limit := p.Caps().MaxName
	var names []string
	for _, sort := range check.OddNames() {
		for _, n := range sort.Names {
			if limit == 0 || len(n) <= limit {
				names = append(names, n)
			}
		}
	}
	names = slices.DeleteFunc(names, func(name string) bool {
		err := p.write(name, []byte(name), endpoints.CreateOptions{Size: int64(len(name))})
		if fault.Is(err, fault.Unsupported) {
			p.Logf("the storage cannot carry the name %q: %v", name, err)
			return true
		}
		p.ok(err)
		return false
	})
	p.mkdir(" d;r\"")
	p.put(" d;r\"/ in side ", []byte("deep"))
	p.wantContent(" d;r\"/ in side ", []byte("deep"))
	p.ok(p.Remove(p.ctx, p.path(" d;r\"/ in side ")))
	if left := p.list(" d;r\""); len(left) != 0 {
		p.Errorf("left in an odd directory: %v", left)
	}
	p.rmdir(" d;r\"")

	listed := p.list("")
	for _, name := range names {
		if _, ok := listed[name]; !ok {
			p.Errorf("%q is not in the listing", name)
		}
		p.wantContent(name, []byte(name))
		if e, err := p.Stat(p.ctx, p.path(name)); err != nil || e.Name != p.path(name) {
			p.Errorf("stat of %q: %+v, %v", name, e, err)
		}
	}
	if len(listed) != len(names) {
		p.Errorf("listed %q", slices.Sorted(maps.Keys(listed)))
	}
	for _, name := range names {
		p.ok(p.Rename(p.ctx, p.path(name), p.path("x")))
		p.ok(p.Rename(p.ctx, p.path("x"), p.path(name)))
		p.ok(p.Remove(p.ctx, p.path(name)))
	}
	if left := p.list(""); len(left) != 0 {
		p.Errorf("left: %q", slices.Sorted(maps.Keys(left)))
	}
}

// calls runs every call with one path.
func (p *place) calls(ctx context.Context, path string) map[string]error {
	got := map[string]error{}
	_, got["stat"] = p.Stat(ctx, path)
	got["list"] = p.List(ctx, path, func([]endpoints.Entry) error { return nil })
	r, err := p.Open(ctx, path, 0, -1)
	if err == nil {
		_, err = io.Copy(io.Discard, r)
		_ = r.Close()
	}
	got["open"] = err
	w, err := p.Create(ctx, path, endpoints.CreateOptions{Size: -1})
	if err == nil {
		err = w.Commit()
	}
	got["create"] = err
	got["mkdir"] = p.Mkdir(ctx, path)
	got["rename from"] = p.Rename(ctx, path, p.path("to"))
	got["rename to"] = p.Rename(ctx, p.path("f"), path)
	got["remove"] = p.Remove(ctx, path)
	return got
}

func testInvalidPaths(p *place) {
	p.put("f", []byte("x"))
	for _, path := range []string{"", "relative", p.dir + "//f", p.dir + "/./f", p.dir + "/x/../f", p.dir + "/f/", "/..", p.dir + "/a\nb", p.dir + "/a\rb", p.dir + "/a\x00b"} {
		for call, err := range p.calls(p.ctx, path) {
			p.wantKind(fmt.Sprintf("%s %q", call, path), err, fault.Invalid)
		}
	}
	p.wantContent("f", []byte("x"))
}

func cancelable(p *place) (context.Context, context.CancelFunc) { return context.WithCancel(p.ctx) }

func testCanceled(p *place) {
	p.put("f", []byte("x"))
	ctx, cancel := cancelable(p)
	cancel()
	for call, err := range p.calls(ctx, p.path("g")) {
		p.wantKind(call, err, fault.Canceled)
	}
	if got := p.list(""); len(got) != 1 {
		p.Errorf("cancelled calls left %v", got)
	}
}

func testConcurrent(p *place) {
	var wg sync.WaitGroup
	errs := make([]error, 12)
	for i := range errs {
		wg.Go(func() { errs[i] = p.work(i) })
	}
	wg.Wait()
	p.ok(errors.Join(errs...))
	if left := p.list(""); len(left) != 0 {
		p.Errorf("left: %v", left)
	}
}

// work is the life of a directory with a few files.
func (p *place) work(i int) error {
	dir := fmt.Sprintf("dir-%d", i)
	if err := p.Mkdir(p.ctx, p.path(dir)); err != nil {
		return err
	}
	for j := range 8 {
		name := fmt.Sprintf("%s/f%d", dir, j)
		data := noise(50_000+j, uint64(i))
		if err := p.write(name, data, endpoints.CreateOptions{Size: int64(len(data))}); err != nil {
			return err
		}
		got, err := p.read(name, 0, -1)
		if err != nil {
			return err
		}
		if string(got) != string(data) {
			return fmt.Errorf("%s holds %s, want %s", name, describe(got), describe(data))
		}
		if err := p.Rename(p.ctx, p.path(name), p.path(name+"~")); err != nil {
			return err
		}
		if err := p.Remove(p.ctx, p.path(name+"~")); err != nil {
			return err
		}
	}
	err := p.Remove(p.ctx, p.path(dir))
	if p.Caps().NoEmptyDirs && fault.Is(err, fault.NotFound) {
		return nil
	}
	return err
}

func testClose(p *place) {
	p.put("f", []byte("x"))
	p.ok(p.Close())
	p.ok(p.Close())
	_, err := p.Stat(p.ctx, p.path("f"))
	p.wantKind("stat on a closed storage", err, fault.Transient)
}
