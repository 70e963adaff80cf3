package activities

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gridferry/gridferry/blob"
	"github.com/gridferry/gridferry/fault"
	"github.com/gridferry/gridferry/transfer"
)

func TestBloom(t *testing.T) {
	const n = 2000
	b := newBloom(n)
	for i := range n {
		b.add(fmt.Sprintf("/data/run/%06d.dat", i))
	}
	wrong := 0
	for i := range 20 * n {
		switch has := b.has(fmt.Sprintf("/data/run/%06d.dat", i)); {
		case i < n && !has:
			t.Fatalf("%d is lost", i)
		case i >= n && has:
			wrong++
		}
	}
	if wrong > 20*n/60 {
		t.Errorf("%d of %d others are said to be there", wrong, 19*n)
	}
	if (bloom{}).has("x") || newBloom(0).has("") {
		t.Error("an empty set has something")
	}
}

// TestResultsIndex finds files of a chunk whose worker was killed on the way.
func TestResultsIndex(t *testing.T) {
	w := newWorld(t)
	const n = 2500
	for i := range n {
		put(t, w.src, fmt.Sprintf("/from/%05d", i), []byte{byte(i), byte(i >> 8)})
	}
	req := w.request(func(r *transfer.Request) { r.Route = transfer.RouteRelay })
	wk := w.walk(req, defaultWalkSizes)
	if len(wk.Chunks) != 1 {
		t.Fatalf("%d chunks", len(wk.Chunks))
	}
	// The worker is killed once two pages are written; before that they are
	// found without an index.
	c := &Control{Blobs: w.blobs}
	d := w.worker("first")
	d.Blobs = &tripwire{Store: w.blobs, of: "/000001-"}
	if _, err := d.copy(w.ctx(), w.copyInput(wk, wk.Chunks[0], req), nil); err == nil {
		t.Fatal("nothing happened to the worker")
	}
	before := all(t, c, transfer.ResultQuery{})
	if len(before) == 0 || len(before) == n {
		t.Fatalf("%d results when the worker was stopped", len(before))
	}
	if got := all(t, c, transfer.ResultQuery{Path: before[0].Dest}); len(got) != 1 {
		t.Errorf("of a running chunk: %+v", got)
	}
	if res := w.copyOne(wk, wk.Chunks[0], req); !res.Complete {
		t.Fatalf("copy: %+v", res)
	}

	r, err := newResultReader(w.ctx(), c.Blobs, testTask)
	if err != nil || r.indexes[wk.Chunks[0].ID] == "" {
		t.Fatalf("indexes: %+v, %v", r, err)
	}
	for _, i := range []int{0, 999, 1000, 1700, n - 1} {
		for _, name := range []string{fmt.Sprintf("/from/%05d", i), fmt.Sprintf("/to/%05d", i)} {
			got := all(t, c, transfer.ResultQuery{Path: name})
			if len(got) != 1 || got[0].Checksum == "" || got[0].Dest != fmt.Sprintf("/to/%05d", i) {
				t.Errorf("%s: %+v", name, got)
			}
		}
	}
	if got := all(t, c, transfer.ResultQuery{Path: "/to/nowhere"}); len(got) != 0 {
		t.Errorf("of no file: %+v", got)
	}
	if got := all(t, c, transfer.ResultQuery{Status: []string{"failed"}}); len(got) != 0 {
		t.Errorf("failed: %+v", got)
	}
	if got := all(t, c, transfer.ResultQuery{Prefix: "/to/0001"}); len(got) != 10 {
		t.Errorf("below a prefix: %d", len(got))
	}
	names := map[string]bool{}
	for _, r := range all(t, c, transfer.ResultQuery{Status: []string{"copied"}}) {
		names[r.Dest] = true
	}
	if len(names) != n {
		t.Errorf("%d files in all", len(names))
	}
}

// tripwire takes nothing more once a key is written.
type tripwire struct {
	blob.Store
	of      string
	tripped atomic.Bool
}

func (s *tripwire) Put(ctx context.Context, key string, data []byte) error {
	if s.tripped.Load() {
		return fault.New(fault.Internal, "store", key, "the worker is dead")
	}
	s.tripped.Store(strings.Contains(key, s.of))
	return s.Store.Put(ctx, key, data)
}

// all pages through results, none of which may come twice.
func all(t *testing.T, c *Control, q transfer.ResultQuery) (found []transfer.Result) {
	t.Helper()
	q.Page.Limit = 313
	for {
		res, err := c.Read(t.Context(), ReadInput{What: ReadResults, Task: testTask, Results: &q})
		if err != nil {
			t.Fatal(err)
		}
		found = append(found, res.Results...)
		if q.Page.Token = res.Next; res.Next == "" {
			break
		}
	}
	seen := map[string]bool{}
	for _, r := range found {
		if seen[r.Source+" "+r.Dest] {
			t.Errorf("%s stands there twice", r.Dest)
		}
		seen[r.Source+" "+r.Dest] = true
	}
	return found
}

func FuzzIndex(f *testing.F) {
	good := packIndex([]pageIndex{newPageIndex(3, 9, []transfer.Result{{Source: "/a", Dest: "/b", Status: "copied"}}), newPageIndex(4, 9, nil)})
	f.Add(good)
	f.Add(good[:len(good)-1])
	f.Add([]byte{0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1})
	f.Fuzz(func(t *testing.T, data []byte) {
		pages, err := unpackIndex(data)
		if err != nil {
			return
		}
		for _, x := range pages {
			x.Paths.has("/a")
		}
		if again, err := unpackIndex(packIndex(pages)); err != nil || len(again) != len(pages) {
			t.Errorf("%d pages, packed again %d, %v", len(pages), len(again), err)
		}
	})
}

// A step of the walk that is done again may find less to list: the pages of
// the first try do not count any more.
func TestResultsOfARepeatedStep(t *testing.T) {
	c := &Control{Blobs: blob.NewMemory()}
	group := "walk-000001"
	for page := range 3 {
		lines := []transfer.Result{{Source: fmt.Sprint("/from/", page), Status: "ignored"}}
		if err := putLines(t.Context(), c.Blobs, resultsKey(testTask, group, page, 1), lines); err != nil {
			t.Fatal(err)
		}
	}
	if got := all(t, c, transfer.ResultQuery{}); len(got) != 3 {
		t.Errorf("before the step has ended: %+v", got)
	}
	again := []transfer.Result{{Source: "/from/all", Status: "ignored"}}
	if err := putLines(t.Context(), c.Blobs, resultsKey(testTask, group, 0, 2), again); err != nil {
		t.Fatal(err)
	}
	if err := putIndex(t.Context(), c.Blobs, testTask, group, 2, []pageIndex{newPageIndex(0, 2, again)}); err != nil {
		t.Fatal(err)
	}
	if got := all(t, c, transfer.ResultQuery{}); len(got) != 1 || got[0].Source != "/from/all" {
		t.Errorf("after it: %+v", got)
	}
}

func TestMarkers(t *testing.T) {
	group, page, line, err := parseMarker(marker("0001-0002", 7, 42))
	if group != "0001-0002" || page != 7 || line != 42 || err != nil {
		t.Errorf("%s %d %d %v", group, page, line, err)
	}
	for _, bad := range []string{"x", "a@1", "a/1@x", "a/x@1", "a/1@-1", "a/-1@1", "@", "/@"} {
		if _, _, _, err := parseMarker(bad); !fault.Is(err, fault.Invalid) {
			t.Errorf("%q: %v", bad, err)
		}
	}
}

// TestResultOfOneAmongMany measures how long one file's result takes to be
// found: among 10,000,000 with GRIDFERRY_SOAK, which takes minutes to prepare.
func TestResultOfOneAmongMany(t *testing.T) {
	chunks, perChunk := 20, 5*resultsPage
	if soaking() {
		chunks = 2000
	}
	store, err := blob.NewDir(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	name := func(chunk, i int) string {
		return fmt.Sprintf("/data/experiment/run-%04d/detector/part-%07d.h5", (chunk*7+i)%1000, chunk*perChunk+i)
	}
	var size int64
	parallel(chunks, 4, func(chunk int) {
		group := fmt.Sprintf("%04d-%04d", chunk/20+1, chunk%20+1)
		var index []pageIndex
		for page := range perChunk / resultsPage {
			var lines []transfer.Result
			for i := range resultsPage {
				p := name(chunk, page*resultsPage+i)
				lines = append(lines, transfer.Result{
					Source: p, Dest: "/archive" + p, Size: int64(i), Status: "copied", Algorithm: "SHA256", Checksum: fmt.Sprintf("%064x", i*chunk),
				})
			}
			index = append(index, newPageIndex(page, 1, lines))
			if err := putLines(t.Context(), store, resultsKey(testTask, group, page, 1), lines); err != nil {
				t.Error(err)
			}
		}
		if err := putIndex(t.Context(), store, testTask, group, 1, index); err != nil {
			t.Error(err)
		}
	})
	err = store.Survey(t.Context(), indexPrefix(testTask), func(i blob.Info) error { size += i.Size; return nil })
	if err != nil {
		t.Fatal(err)
	}
	c := &Control{Blobs: store}
	var took []time.Duration
	for n := range 9 {
		p := "/archive" + name(chunks*n/9, n*500)
		begun := time.Now()
		got, _, err := c.results(t.Context(), testTask, transfer.ResultQuery{Path: p})
		took = append(took, time.Since(begun))
		if err != nil || len(got) != 1 || got[0].Dest != p {
			t.Fatalf("%s: %+v, %v", p, got, err)
		}
	}
	slices.Sort(took)
	files := chunks * perChunk
	t.Logf("%d files, %d bytes of index (%.2f a file): found in %v (median of %d, worst %v)",
		files, size, float64(size)/float64(files), took[len(took)/2], len(took), took[len(took)-1])
	if took[len(took)/2] > time.Second {
		t.Errorf("it took more than a second")
	}
}
