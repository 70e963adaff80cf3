package activities

import (
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"go.temporal.io/sdk/activity"
	"go.temporal.io/sdk/converter"
	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/testsuite"

	"github.com/gridferry/gridferry/endpoints"
	"github.com/gridferry/gridferry/endpoints/memory"
	"github.com/gridferry/gridferry/fault"
	"github.com/gridferry/gridferry/transfer"
)

func (w *world) expressInput(change ...func(*transfer.Request)) ExpressInput {
	req := transfer.Request{Items: []transfer.Item{{Source: "src:/from/f", Destination: "dst:/new/f"}}}
	for _, c := range change {
		c(&req)
	}
	return ExpressInput{Task: testTask, Ends: w.ends(), Request: req.Normalised(time.Now())}
}

func TestExpress(t *testing.T) {
	w := newWorld(t)
	put(t, w.src, "/from/f", content(1, 1000))
	d := w.worker("express")
	for range 2 { // again, as after a lost result
		res, err := d.Express(t.Context(), w.expressInput())
		if err != nil {
			t.Fatal(err)
		}
		if !res.Taken || !res.Copy.Complete || res.Copy.Files != 1 || res.Copy.Checksummed != 1000 || res.Found.Files != 1 || res.Chunk.ID == "" {
			t.Fatalf("express: %+v", res)
		}
		sameTree(t, tree(t, w.dst, "/new"), tree(t, w.src, "/from"))
	}
	if r := w.results(); len(r) != 1 {
		t.Errorf("results: %v", r)
	}
}

func TestExpressNotTaken(t *testing.T) {
	w := newWorld(t)
	w.mkdir(w.src, "/from/f")
	if _, err := w.worker("express").Express(t.Context(), w.expressInput()); FaultOf(err).Kind != fault.Invalid {
		t.Errorf("a directory: %v", err)
	}
	w = newWorld(t)
	if res, err := w.worker("express").Express(t.Context(), w.expressInput()); err != nil || res.Taken || res.Probe.Route.Path == "" {
		t.Errorf("nothing there: %+v, %v", res, err)
	}
	w = newWorld(t)
	put(t, w.src, "/from/f", []byte("x"))
	w.mkdir(w.dst, "/new/f")
	if res, err := w.worker("express").Express(t.Context(), w.expressInput()); err != nil || res.Taken {
		t.Errorf("a directory in the way: %+v, %v", res, err)
	}
}

// A file between directories of one host is soon copied; elsewhere one of that
// size is for the walk, which cuts it into ranges.
func TestExpressOnOneHost(t *testing.T) {
	w := newWorld(t)
	put(t, w.src, "/from/f", content(1, expressLimit+1))
	d := w.worker("express")
	d.Site = "beamline"
	if res, err := d.Express(t.Context(), w.expressInput()); err != nil || res.Taken {
		t.Errorf("over a line: %+v, %v", res, err)
	}
	for _, name := range []string{"src", "dst"} {
		w.opener.WithRecord(endpoints.Record{Name: name, Kind: "memory", Site: d.Site})
	}
	res, err := d.Express(t.Context(), w.expressInput())
	if err != nil || !res.Taken || !res.Copy.Complete || res.Found.Bytes != expressLimit+1 {
		t.Fatalf("on the host: %+v, %v", res, err)
	}
	sameTree(t, tree(t, w.dst, "/new"), tree(t, w.src, "/from"))
}

func TestExpressSkips(t *testing.T) {
	w := newWorld(t)
	put(t, w.src, "/from/f", []byte("x"))
	put(t, w.dst, "/new/f", []byte("y"))
	res, err := w.worker("express").Express(t.Context(), w.expressInput(func(r *transfer.Request) { r.Sync = transfer.SyncSize }))
	if err != nil || !res.Taken || res.Found.FilesSkipped != 1 || res.Chunk.ID != "" {
		t.Fatalf("express: %+v, %v", res, err)
	}
	if r := w.results()["/new/f"]; r.Status != statusSkipped {
		t.Errorf("result: %+v", r)
	}
}

func TestProbe(t *testing.T) {
	w := newWorld(t, func(src, dst *memory.Options) {
		src.Checksums, dst.Checksums = []string{"sha256", "md5"}, []string{"md5"}
		dst.StreamOnly = true
	})
	d := w.worker("prober")
	res, err := d.Probe(t.Context(), ProbeInput{Ends: w.ends()})
	if err != nil || res.Route.Path != transfer.RouteThirdParty || res.Checksum != "md5" || !res.Destination.StreamOnly || res.Elsewhere {
		t.Errorf("probe: %+v, %v", res, err)
	}
	if res, err = d.Probe(t.Context(), ProbeInput{Ends: w.ends(), Rule: transfer.RouteRelay}); err != nil || res.Route.Path != transfer.RouteRelay {
		t.Errorf("relay: %+v, %v", res, err)
	}
	if res, err = d.Probe(t.Context(), ProbeInput{Ends: Ends{Destination: "dst"}}); err != nil || res.Route.Queue != transfer.QueueData {
		t.Errorf("one end: %+v, %v", res, err)
	}
	if _, err = d.Probe(t.Context(), ProbeInput{Ends: Ends{Source: "src", Destination: "nowhere"}}); FaultOf(err).Kind != fault.NotFound {
		t.Errorf("unknown: %v", err)
	}
	w.opener.WithRecord(endpoints.Record{Name: "src", Kind: "memory", Site: "beamline"})
	if res, err = d.Probe(t.Context(), ProbeInput{Ends: w.ends()}); err != nil || !res.Elsewhere || res.Route.Queue != transfer.SiteQueue("beamline") {
		t.Errorf("bound: %+v, %v", res, err)
	}
	d.Site = "beamline"
	if res, err = d.Probe(t.Context(), ProbeInput{Ends: w.ends()}); err != nil || res.Elsewhere || res.Source.Site != "beamline" {
		t.Errorf("at the site: %+v, %v", res, err)
	}
}

func TestBrowse(t *testing.T) {
	w := newWorld(t)
	for i := range 25 {
		put(t, w.src, fmt.Sprintf("/d/%02d", i), content(1, i))
	}
	d := w.worker("browser")
	ask := func(in BrowseInput) BrowseResult {
		t.Helper()
		in.Endpoint = "src"
		res, err := d.Browse(t.Context(), in)
		if err != nil {
			t.Fatal(err)
		}
		return res
	}
	var names []string
	var p transfer.Page
	for {
		p.Limit = 10
		l := ask(BrowseInput{Op: BrowseList, Path: "/d", Page: p}).Listing
		for _, e := range l.Entries {
			names = append(names, e.Name)
		}
		if p.Token = l.Next; p.Token == "" {
			break
		}
	}
	if len(names) != 25 || !slices.IsSorted(names) {
		t.Errorf("list: %v", names)
	}
	ask(BrowseInput{Op: BrowseMkdir, Path: "/d/new"})
	ask(BrowseInput{Op: BrowseRename, Path: "/d/new", To: "/d/newer"})
	if e := ask(BrowseInput{Op: BrowseStat, Path: "/d/newer"}).Entry; e.Type != endpoints.Dir {
		t.Errorf("stat: %+v", e)
	}
	for path, want := range map[string]fault.Kind{"/none": fault.NotFound, "/~/x": fault.Invalid} {
		if _, err := d.Browse(t.Context(), BrowseInput{Op: BrowseStat, Endpoint: "src", Path: path}); FaultOf(err).Kind != want {
			t.Errorf("%s: %v", path, err)
		}
	}
	w.opener.WithRecord(endpoints.Record{Name: "src", Kind: "memory", Directory: "/d"})
	if e := ask(BrowseInput{Op: BrowseStat, Path: "/~/07"}).Entry; e.Size != 7 {
		t.Errorf("in the default directory: %+v", e)
	}
}

func TestDeleteTask(t *testing.T) {
	w := newWorld(t)
	for i := range 30 {
		put(t, w.dst, fmt.Sprintf("/d/%d/%d", i%3, i), nil)
	}
	put(t, w.dst, "/single", nil)
	put(t, w.dst, "/full/x", nil)
	put(t, w.dst, "/locked/y/z", nil)
	w.dst.Faults().Fail(memory.Remove, "/locked/y/z", -1, refuse(fault.Permission, "/locked/y/z"))
	in := DeleteInput{Task: testTask, Ends: Ends{Destination: "dst"}, Request: &transfer.DeleteRequest{
		Paths: []string{"dst:/d", "dst:/single", "dst:/missing", "dst:/locked"}, Recursive: true, IgnoreMissing: true,
	}}
	d := w.worker("deleter")
	res, err := d.Delete(t.Context(), in)
	if err != nil || res.Cursor != "" || res.Deleted != 30+3+1+1 || res.NFailed != 1 || res.Failed[0].Path != "/locked/y/z" {
		t.Fatalf("delete: %+v, %v", res, err)
	}
	in.Request = &transfer.DeleteRequest{Paths: []string{"dst:/full", "dst:/missing"}}
	if res, err = d.Delete(t.Context(), in); err != nil || res.NFailed != 2 {
		t.Errorf("without recursive: %+v, %v", res, err)
	}
	sameTree(t, tree(t, w.dst, "/"), map[string]string{"full/": "", "full/x": "", "locked/": "", "locked/y/": "", "locked/y/z": ""})
	in.Request = &transfer.DeleteRequest{Paths: []string{"dst:/"}, Recursive: true}
	if _, err = d.Delete(t.Context(), in); FaultOf(err).Kind != fault.Invalid {
		t.Errorf("the root: %v", err)
	}
}

// TestCopyAsActivity runs a copy as Temporal does, with heartbeats, a
// cancellation, and errors as they cross the border.
func TestCopyAsActivity(t *testing.T) {
	w := newWorld(t)
	w.mixedTree()
	req := w.request()
	wk := w.walk(req, defaultWalkSizes)
	in := w.copyInput(wk, wk.Chunks[0], req)
	var suite testsuite.WorkflowTestSuite
	env := suite.NewTestActivityEnvironment()
	d := w.worker("activity")
	env.RegisterActivity(d)
	var beats atomic.Int64
	env.SetOnActivityHeartbeatListener(func(_ *activity.Info, details converter.EncodedValues) {
		var p CopyProgress
		if err := details.Get(&p); err == nil && p.Chunk == in.Chunk.ID {
			beats.Add(1)
		}
	})
	val, err := env.ExecuteActivity(d.Copy, in)
	if err != nil {
		t.Fatal(err)
	}
	var res CopyResult
	if err := val.Get(&res); err != nil || !res.Complete || res.Files != wk.Found.Files {
		t.Fatalf("copy: %+v, %v", res, err)
	}
	if beats.Load() == 0 {
		t.Error("no heartbeat")
	}
	in.Chunk.Sheet += "x"
	_, err = env.ExecuteActivity(d.Copy, in)
	if f := FaultOf(err); f.Kind != fault.NotFound || !strings.Contains(f.Message, "sheets") {
		t.Errorf("without a sheet: %v", err)
	}
}

func TestErrorsCrossTheBorder(t *testing.T) {
	err := toTemporal(fault.New(fault.Permission, "open", "/x", "denied"))
	if f := FaultOf(err); f.Kind != fault.Permission || f.Path != "/x" || f.Message != "open /x: denied" {
		t.Errorf("fault: %+v", f)
	}
	if err := toTemporal(fault.New(fault.Canceled, "open", "/x", "stopped")); !temporal.IsCanceledError(err) {
		t.Errorf("canceled: %v", err)
	}
	if toTemporal(nil) != nil {
		t.Error("nil is an error")
	}
	if slices.Contains(DecidedByWorkflow(), string(fault.Busy)) {
		t.Error("Busy is Temporal's to retry")
	}
	long := toTemporal(fault.New(fault.Internal, "do", "x", strings.Repeat("ü", 5000)))
	if n := len(FaultOf(long).Message); n > maxMessage {
		t.Errorf("%d bytes", n)
	}
}

func TestFaultListGroups(t *testing.T) {
	var l faultList
	for i := range 100 {
		p := fmt.Sprintf("/f%d", i)
		l.add(toFault(refuse(fault.Permission, p), p, time.Time{}))
	}
	if len(l) != 1 || l[0].Count != 100 {
		t.Errorf("like faults: %+v", l)
	}
	for i := range 50 {
		l.add(transfer.Fault{Kind: fault.Transient, Message: fmt.Sprint("trouble ", i)})
	}
	var n int64
	for _, f := range l {
		n += f.Count
	}
	if len(l) != maxFaults || n != 150 {
		t.Errorf("%d groups, %d faults", len(l), n)
	}
}

// TestHeartbeatIsShort: the service merges what DescribeWorkflow shows of 100
// copies.
func TestHeartbeatIsShort(t *testing.T) {
	w := newWorld(t)
	c := newCopier(w.worker("x"), CopyInput{Chunk: transfer.Chunk{ID: "0001-0001"}}, newHold(w.leases, Lease{}, time.Now(), time.Minute))
	c.led.NDone, c.led.Bytes = 1<<40, 1<<60
	c.led.Faults.add(transfer.Fault{Kind: fault.Permission, Message: strings.Repeat("x", 500)})
	data, err := converter.GetDefaultDataConverter().ToPayload(c.progress())
	if err != nil || len(data.Data) > 300 {
		t.Errorf("%d bytes, %v", len(data.Data), err)
	}
}

func TestVersionSame(t *testing.T) {
	at := time.Date(2024, 5, 6, 7, 8, 9, 123456789, time.UTC)
	for _, tt := range []struct {
		a, b time.Time
		same bool
	}{
		{at, at, true},
		{at, time.Time{}, true},
		{at, at.Truncate(time.Second), true},
		{at, at.Truncate(time.Minute), true},
		{at, at.Add(time.Nanosecond), false},
		{at.Truncate(time.Second), at.Truncate(time.Second).Add(time.Second), false},
		{at, at.Add(time.Hour), false},
	} {
		if got := (version{1, tt.a}).same(version{1, tt.b}); got != tt.same {
			t.Errorf("%v and %v: %v", tt.a, tt.b, got)
		}
	}
	if (version{1, at}).same(version{2, at}) {
		t.Error("sizes differ")
	}
}
