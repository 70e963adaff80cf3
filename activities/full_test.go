package activities

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gridferry/gridferry/blob"
	"github.com/gridferry/gridferry/fault"
	"github.com/gridferry/gridferry/transfer"
)

// disk is a blob store that is full after so many more puts of some keys.
type disk struct {
	*blob.Memory
	fits atomic.Int64
	of   string // what stands in the keys that count
	hard bool   // nothing is held back
}

func (d *disk) Put(ctx context.Context, key string, data []byte) error {
	if strings.Contains(key, d.of) && d.fits.Add(-1) < 0 && d.hard {
		return blob.Full("store blob", key, errors.New("no space left on device"))
	}
	return d.Memory.Put(ctx, key, data)
}

func (d *disk) Room() (int64, error) { return max(0, d.fits.Load()) << 30, nil }

// A full store stops copies, which keep what they have done, and is no failure
// whatever the request says of quotas.
func TestCopyIntoFullStore(t *testing.T) {
	for _, hard := range []bool{false, true} {
		for fits := range int64(5) {
			t.Run(fmt.Sprintf("hard %v after %d", hard, fits), func(t *testing.T) {
				w := newWorld(t)
				want := w.mixedTree()
				req := w.request(func(r *transfer.Request) { r.FailOnFull = true })
				wk := w.walk(req, defaultWalkSizes)
				store := &disk{Memory: w.blobs, of: "/ledgers/", hard: hard}
				limited := blob.Bound(store, blob.Limits{Reserve: 1 << 20})
				for _, c := range wk.Chunks {
					store.fits.Store(fits)
					in := w.copyInput(wk, c, req)
					d := w.worker("copier")
					d.Blobs = limited
					res, err := d.copy(w.ctx(), in, nil)
					var f transfer.Fault
					switch {
					case err != nil && !hard && fits > 0: // with none, nothing is begun
						t.Fatalf("what is held back was not used: %v", err)
					case err != nil:
						f = toFault(err, "", time.Now())
					case res.Blocked != nil:
						f = *res.Blocked
					}
					if f.Kind != "" && (f.Kind != fault.NoSpace || !f.OwnStore) || f.Kind == "" && !res.Complete {
						t.Errorf("stopped by %+v", f)
					}
					if answer := transfer.AnswerTo(transfer.Trouble{Kind: fault.NoSpace, OwnStore: true, FailOnFull: true}); answer.Action != transfer.Wait {
						t.Errorf("the answer is %v", answer)
					}
					if !hard && res.Late {
						t.Error("the attempt ended uncleanly")
					}
				}
				store.fits.Store(1 << 20)
				for _, res := range w.copyAll(wk, req) {
					if !res.Complete || res.NFailed > 0 {
						t.Fatalf("copy: %+v", res)
					}
				}
				w.finish(wk, req, false)
				sameTree(t, tree(t, w.dst, "/to"), want)
				w.noStrays()
				if got := w.results(); int64(len(got)) != wk.Found.Files {
					t.Errorf("%d lines of results for %d files", len(got), wk.Found.Files)
				}
			})
		}
	}
}

// The walk tells a full store of its own from one at the destination, and goes
// on where it was.
func TestWalkIntoFullStore(t *testing.T) {
	w := newWorld(t)
	w.mixedTree()
	req := w.request()
	d := w.worker("walker")
	store := &disk{Memory: w.blobs, of: "tasks/", hard: true}
	d.Blobs = store
	in := WalkInput{Task: testTask, Ends: w.ends(), Request: req, Policy: req.Tuning, Probe: w.probe(d, req)}
	var res WalkResult
	for n := range int64(100) {
		store.fits.Store(n)
		var err error
		if res, err = d.walkStep(w.ctx(), in, defaultWalkSizes); err == nil {
			break
		}
		if !fault.Is(err, fault.NoSpace) || !errors.Is(err, blob.ErrFull) {
			t.Fatalf("with %d puts: %v", n, err)
		}
		if f := FaultOf(toTemporal(err)); !f.OwnStore {
			t.Fatalf("the workflow is told %+v", f)
		}
	}
	if res.Cursor != "" || res.Found.Files == 0 || len(res.Chunks) == 0 {
		t.Errorf("with room: %+v", res)
	}
}

// How a task has ended is recorded although its events do not fit.
func TestRecordIntoFullStore(t *testing.T) {
	records := newShelf()
	store := &disk{Memory: blob.NewMemory(), of: "tasks/", hard: true}
	c := &Control{Blobs: store, Records: records}
	in := RecordInput{Task: transfer.Task{ID: "t", Status: transfer.Succeeded}, Events: []transfer.Event{{Code: transfer.EventSucceeded}}}
	if err := c.record(t.Context(), in); !errors.Is(err, blob.ErrFull) {
		t.Fatalf("the events fitted: %v", err)
	}
	if got, err := records.Task(t.Context(), "t"); err != nil || got.Status != transfer.Succeeded {
		t.Errorf("recorded: %+v, %v", got, err)
	}
	store.fits.Store(1)
	if err := c.record(t.Context(), in); err != nil {
		t.Fatal(err)
	}
	if got, err := c.read(t.Context(), ReadInput{What: ReadEvents, Task: "t"}); len(got.Events) != 1 || err != nil {
		t.Errorf("events: %+v, %v", got, err)
	}
}
