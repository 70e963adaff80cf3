package activities

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gridferry/gridferry/blob"
	"github.com/gridferry/gridferry/endpoints"
	"github.com/gridferry/gridferry/endpoints/memory"
	"github.com/gridferry/gridferry/fault"
	"github.com/gridferry/gridferry/transfer"
)

// sharing is a world with one large file and four senders for it.
func sharing(t *testing.T, route transfer.RouteRule, change ...func(*transfer.Request)) (w *world, in CopyInput, wk walked, req transfer.Request) {
	w = newWorld(t)
	w.parts = partSizes{from: 64 << 10, share: 64, min: 64 << 10, max: 64 << 10}
	put(t, w.src, "/from/big", content(7, 2<<20+77))
	req = w.request(append(change, func(r *transfer.Request) {
		r.Route, r.Tuning.Concurrency = route, 4
		if route == transfer.RouteRelay {
			r.Verify = transfer.VerifySize // else the digest is one sender's
		}
	})...)
	wk = w.walk(req, defaultWalkSizes)
	return w, w.copyInput(wk, wk.Chunks[0], req), wk, req
}

// atOnce counts how many parts are written at the same time: each waits a
// little for the others.
func (w *world) atOnce() (most func() int) {
	var mu sync.Mutex
	now, high := map[int64]bool{}, 0
	w.dst.Faults().Hook(func(_ ctxType, op memory.Op, name string, off int64) error {
		if op != memory.Write {
			return nil
		}
		part := off / (64 << 10)
		mu.Lock()
		now[part] = true
		high = max(high, len(now))
		mu.Unlock()
		time.Sleep(time.Millisecond)
		mu.Lock()
		delete(now, part)
		mu.Unlock()
		return nil
	})
	return func() int {
		mu.Lock()
		defer mu.Unlock()
		return high
	}
}

func TestSendersShareAFile(t *testing.T) {
	routes(t, func(t *testing.T, route transfer.RouteRule) {
		w, in, wk, req := sharing(t, route)
		most := w.atOnce()
		res, err := w.worker("copier").copy(t.Context(), in, nil)
		if err != nil || !res.Complete || res.Files != 1 || res.Bytes != 2<<20+77 {
			t.Fatalf("copy: %+v, %v", res, err)
		}
		if n := most(); n < 3 || n > 4 {
			t.Errorf("%d parts were under way at once, with 4 senders", n)
		}
		w.finish(wk, req, false)
		sameTree(t, tree(t, w.dst, "/to"), tree(t, w.src, "/from"))
		w.noStrays()
		if got := w.results()["/to/big"]; got.Status != statusCopied {
			t.Errorf("result: %+v", got)
		}
	})
}

// eager is a source that asks for the next part while the one before is being
// told of, as real ones do.
type eager struct{ *memory.Storage }

func (e eager) Send(ctx context.Context, dst endpoints.Storage, opts endpoints.SendOptions, next func() (endpoints.Send, bool), done func(endpoints.Sent), progress func(endpoints.SendProgress)) error {
	queue, room := make(chan endpoints.Send, 1), make(chan bool, 1)
	go func() {
		defer close(queue)
		for <-room {
			time.Sleep(time.Millisecond) // the one before is being written down
			f, ok := next()
			if !ok {
				return
			}
			queue <- f
		}
	}()
	room <- true
	for f := range queue {
		more := true
		one := func() (endpoints.Send, bool) {
			defer func() { more = false }()
			return f, more
		}
		err := e.Storage.Send(ctx, dst, opts, one, func(s endpoints.Sent) {
			room <- s.Err == nil
			done(s)
		}, progress)
		if err != nil {
			return err
		}
	}
	return nil
}

// slowBlobs take their time, so that there is much between a part and its
// place in the ledger.
type slowBlobs struct{ blob.Store }

func (b slowBlobs) Put(ctx context.Context, key string, data []byte) error {
	time.Sleep(3 * time.Millisecond)
	return b.Store.Put(ctx, key, data)
}

// TestSharedFileIsProvenOnce: whoever has the last part in hand decides about
// the file, and nobody before.
func TestSharedFileIsProvenOnce(t *testing.T) { synctest.Test(t, testSharedFileIsProvenOnce) }

func testSharedFileIsProvenOnce(t *testing.T) {
	w, in, wk, req := sharing(t, transfer.RouteThirdParty)
	var mu sync.Mutex
	var sums, after int
	w.dst.Faults().Hook(func(_ ctxType, op memory.Op, _ string, _ int64) error {
		mu.Lock()
		defer mu.Unlock()
		switch {
		case op == memory.Checksum:
			sums++
		case op == memory.Write && sums > 0:
			after++
		}
		return nil
	})
	d := w.worker("copier")
	d.Blobs = slowBlobs{w.blobs}
	ends, err := d.openEnds(t.Context(), in.Ends)
	if err != nil {
		t.Fatal(err)
	}
	ends.src.Storage = eager{w.src.Open()}
	res, err := d.copy(t.Context(), in, ends)
	if err != nil || !res.Complete || res.Files != 1 || sums != 1 || after != 0 {
		t.Errorf("%d checksums, %d parts after the first: %+v, %v", sums, after, res, err)
	}
	w.finish(wk, req, false)
	sameTree(t, tree(t, w.dst, "/to"), tree(t, w.src, "/from"))
	w.noStrays()
}

// TestADigestIsOfOneSender: a relay that computes the checksum of what it
// reads does not read the source a second time for it.
func TestADigestIsOfOneSender(t *testing.T) { synctest.Test(t, testADigestIsOfOneSender) }

func testADigestIsOfOneSender(t *testing.T) {
	w, in, _, _ := sharing(t, transfer.RouteRelay)
	in.Options.Verify = transfer.VerifyChecksum
	most := w.atOnce()
	var mu sync.Mutex
	sums := 0
	w.src.Faults().Hook(func(_ ctxType, op memory.Op, _ string, _ int64) error {
		mu.Lock()
		defer mu.Unlock()
		if op == memory.Checksum {
			sums++
		}
		return nil
	})
	res, err := w.worker("copier").copy(t.Context(), in, nil)
	if err != nil || !res.Complete || res.Checksummed != 2<<20+77 {
		t.Fatalf("copy: %+v, %v", res, err)
	}
	if n := most(); n != 1 || sums != 0 {
		t.Errorf("%d parts were under way at once, and the source computed %d checksums", n, sums)
	}
}

// TestSharedFileAfterFaults lets parts fail, of the session and of the file.
func TestSharedFileAfterFaults(t *testing.T) {
	for _, kind := range []fault.Kind{fault.Transient, fault.Permission, fault.Integrity} {
		for _, n := range []int{1, 3} {
			t.Run(fmt.Sprintf("%s %d", kind, n), func(t *testing.T) {
				routes(t, func(t *testing.T, route transfer.RouteRule) {
					w, in, wk, req := sharing(t, route)
					var mu sync.Mutex
					left := n
					w.dst.Faults().Hook(func(_ ctxType, op memory.Op, name string, off int64) error {
						mu.Lock()
						defer mu.Unlock()
						if op != memory.Write || left == 0 || off < 1<<20 {
							return nil
						}
						left--
						return fault.New(kind, "write", name, "as the test wants it")
					})
					for try := 1; ; try++ {
						in.Schedule = try
						res, err := w.worker("copier").copy(t.Context(), in, nil)
						if err != nil {
							t.Fatal(err)
						}
						if res.Complete && res.NFailed == 0 {
							break
						}
						if try == 6 {
							t.Fatalf("copy: %+v", res)
						}
					}
					w.finish(wk, req, false)
					sameTree(t, tree(t, w.dst, "/to"), tree(t, w.src, "/from"))
					w.noStrays()
				})
			})
		}
	}
}

// TestSharedFileKilledAnywhere kills a worker whose senders share a file.
func TestSharedFileKilledAnywhere(t *testing.T) {
	stride := int64(29)
	if soaking() {
		stride = 1
	}
	routes(t, func(t *testing.T, route transfer.RouteRule) {
		for killAt := int64(1); ; killAt += stride {
			w, in, wk, req := sharing(t, route)
			p := w.process(killAt)
			d := w.gated("victim")
			ended := make(chan struct{})
			go func() {
				defer close(ended)
				_, _ = d.copy(p.context(t.Context()), in, nil)
			}()
			reached := true
			select {
			case <-p.dead:
			case <-ended:
				reached = false
			}
			if res := w.copyOne(wk, wk.Chunks[0], req); !res.Complete || res.Files != 1 {
				t.Errorf("the successor: %+v", res)
			}
			w.finish(wk, req, false)
			sameTree(t, tree(t, w.dst, "/to"), tree(t, w.src, "/from"))
			w.noStrays()
			if t.Failed() {
				t.Fatalf("killed at step %d", killAt)
			}
			if !reached {
				t.Logf("%d steps", killAt)
				return
			}
		}
	})
}
