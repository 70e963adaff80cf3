package activities

import (
	"context"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/gridferry/gridferry/endpoints"
	"github.com/gridferry/gridferry/endpoints/memory"
	"github.com/gridferry/gridferry/fault"
	"github.com/gridferry/gridferry/transfer"
)

// TestEveryFaultIsCounted lets one call fail once, at each place of a task that
// may fail, in a way that passes: the task gets over it, and it is counted
// once, with its kind and the server's words.
func TestEveryFaultIsCounted(t *testing.T) {
	for _, test := range []struct {
		what     string
		op       memory.Op
		atSource bool
		path     string
		route    transfer.RouteRule
	}{
		{"walk: list the source", memory.List, true, "/from", ""},
		{"walk: look at the source", memory.Stat, true, "/from", ""},
		{"walk: make a directory", memory.Mkdir, false, "/to/dir", ""},
		{"copy: send", memory.Sent, true, "", transfer.RouteThirdParty},
		{"copy: receive", memory.Sent, false, "", transfer.RouteThirdParty},
		{"copy: read", memory.Read, true, "", transfer.RouteRelay},
		{"copy: write", memory.Write, false, "", transfer.RouteRelay},
		{"copy: look at a changed source", memory.Open, true, "", transfer.RouteRelay},
		{"copy: make a file", memory.Create, false, "", transfer.RouteRelay},
		{"prove: checksum at the source", memory.Checksum, true, "", transfer.RouteThirdParty},
		{"prove: checksum at the destination", memory.Checksum, false, "", transfer.RouteThirdParty},
		{"prove: rename", memory.Rename, false, "", transfer.RouteThirdParty},
		{"prove: set a time", memory.SetTime, false, "", transfer.RouteThirdParty},
		{"finish: set a directory's time", memory.SetTime, false, "/to/dir", transfer.RouteThirdParty},
	} {
		t.Run(test.what, func(t *testing.T) {
			w := newWorld(t)
			put(t, w.src, "/from/dir/file", content(1, 3000))
			put(t, w.src, "/from/large", content(2, 40<<10))
			req := w.request(func(r *transfer.Request) { r.Route, r.PreserveTime, r.Atomic = test.route, true, true })
			disk := w.dst
			if test.atSource {
				disk = w.src
			}
			disk.Faults().Fail(test.op, test.path, 1, fault.New(fault.Transient, string(test.op), "it", "421 planted"))
			wk := w.walk(req, defaultWalkSizes)
			faults := wk.Faults
			for _, res := range w.copyAll(wk, req) {
				faults = append(faults, res.Faults...)
				if !res.Complete {
					t.Errorf("copy: %+v", res)
				}
			}
			faults = append(faults, w.finish(wk, req, false).Faults...)
			var n int64
			for _, f := range faults {
				n += f.Count
				if f.Kind != fault.Transient || !strings.Contains(f.Message, "421 planted") {
					t.Errorf("counted %+v", f)
				}
			}
			if n != 1 {
				t.Errorf("counted %d times: %v", n, fmt.Sprint(faults))
			}
			sameTree(t, tree(t, w.dst, "/to"), tree(t, w.src, "/from"))
		})
	}
}

// hesitant is an opener that fails once.
type hesitant struct {
	endpoints.Opener
	failed atomic.Bool
}

func (o *hesitant) Open(ctx context.Context, rec endpoints.Record, owner, credential string) (endpoints.Storage, error) {
	if o.failed.CompareAndSwap(false, true) {
		return nil, fault.New(fault.Transient, "log in to", rec.Name, "421 planted")
	}
	return o.Opener.Open(ctx, rec, owner, credential)
}

// TestFaultsOfLogins has the first log-in of a task fail once.
func TestFaultsOfLogins(t *testing.T) {
	w := newWorld(t)
	put(t, w.src, "/from/file", content(1, 3000))
	d := w.worker("a")
	check := func(what string, faults []transfer.Fault, err error) {
		t.Helper()
		if err != nil || len(faults) != 1 || faults[0].Count != 1 || !strings.Contains(faults[0].Message, "421 planted") {
			t.Errorf("%s: %v, %v", what, faults, err)
		}
	}
	opener := d.Endpoints
	d.Endpoints = &hesitant{Opener: opener}
	probed, err := d.Probe(w.ctx(), ProbeInput{Ends: w.ends()})
	check("probe", probed.Faults, err)

	d.Endpoints = &hesitant{Opener: opener}
	req := w.request(func(r *transfer.Request) {
		r.Items[0].Source, r.Items[0].Destination, r.Items[0].Recursive = "src:/from/file", "dst:/to/file", false
	})
	res, err := d.Express(w.ctx(), ExpressInput{Task: testTask, Ends: w.ends(), Request: req})
	check("express", res.Probe.Faults, err)
	if !res.Copy.Complete || res.Copy.NFaults != 0 {
		t.Errorf("express: %+v", res)
	}
}
