package activities

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"math/rand/v2"
	"path"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gridferry/gridferry/blob"
	"github.com/gridferry/gridferry/endpoints"
	"github.com/gridferry/gridferry/endpoints/memory"
	"github.com/gridferry/gridferry/fault"
	"github.com/gridferry/gridferry/transfer"
)

// world is two disks, a store and a lease office.
type world struct {
	t        *testing.T
	src, dst *memory.Disk
	blobs    *blob.Memory
	leases   *leaseOffice
	opener   *memory.Opener
	parts    partSizes
	limit    time.Duration
	over     chan struct{} // closed when the test ends: what was killed comes to rest
}

const testTask transfer.TaskID = "5e0c1d36-7d4b-4b38-9f4e-0f6a3f3c9a01"

// smallParts let files of some KiB go in parts.
var smallParts = partSizes{from: 64 << 10, share: 1, min: 16 << 10, max: 16 << 10}

func newWorld(t *testing.T, opts ...func(src, dst *memory.Options)) *world {
	t.Helper()
	var so, do memory.Options
	for _, o := range opts {
		o(&so, &do)
	}
	w := &world{t: t, src: memory.NewDisk(so), dst: memory.NewDisk(do), blobs: blob.NewMemory(), leases: newLeaseOffice(), over: make(chan struct{}), parts: smallParts}
	w.opener = memory.NewOpener(map[string]*memory.Disk{"src": w.src, "dst": w.dst})
	t.Cleanup(func() { close(w.over) })
	return w
}

// worker is a process that runs activities.
func (w *world) worker(name string) *Data {
	return &Data{Endpoints: w.opener, Blobs: w.blobs, Leases: w.leases, Identity: name, parts: w.parts, limit: w.limit, quiet: 5 * time.Millisecond, Log: slog.New(slog.DiscardHandler)}
}

func (w *world) ctx() context.Context { return w.t.Context() }

// content is bytes that tell files apart.
func content(seed uint64, n int) []byte {
	var key [32]byte
	for i := range 8 {
		key[i] = byte(seed >> (8 * i))
	}
	b := make([]byte, n)
	rand.NewChaCha8(key).Read(b)
	return b
}

func put(t *testing.T, d *memory.Disk, p string, data []byte) {
	t.Helper()
	s := d.Open()
	defer s.Close()
	if err := makeAll(t.Context(), s, path.Dir(p)); err != nil {
		t.Fatal(err)
	}
	out, err := s.Create(t.Context(), p, endpoints.CreateOptions{Size: int64(len(data))})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := out.Write(data); err != nil {
		t.Fatal(err)
	}
	if err := out.Commit(); err != nil {
		t.Fatal(err)
	}
}

func get(t *testing.T, d *memory.Disk, p string) ([]byte, bool) {
	t.Helper()
	s := d.Open()
	defer s.Close()
	in, err := s.Open(context.Background(), p, 0, -1)
	if fault.Is(err, fault.NotFound) {
		return nil, false
	}
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	b, err := io.ReadAll(in)
	if err != nil {
		t.Fatal(err)
	}
	return b, true
}

// tree lists everything below dir: files with their bytes, directories with a
// trailing slash, links with their targets.
func tree(t *testing.T, d *memory.Disk, dir string) map[string]string {
	t.Helper()
	s := d.Open()
	defer s.Close()
	out := map[string]string{}
	var walk func(dir string)
	walk = func(at string) {
		var all []endpoints.Entry
		err := s.List(context.Background(), at, func(page []endpoints.Entry) error {
			all = append(all, page...)
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range all {
			p := path.Join(at, e.Name)
			rel := strings.TrimPrefix(p, dir)
			switch e.Type {
			case endpoints.Dir:
				out[rel+"/"] = ""
				walk(p)
			case endpoints.Link:
				out[rel] = "-> " + e.Target
			default:
				b, _ := get(t, d, p)
				out[rel] = string(b)
			}
		}
	}
	walk(dir)
	return out
}

// sameTree fails unless both trees are equal, names and bytes.
func sameTree(t *testing.T, got, want map[string]string) {
	t.Helper()
	for _, name := range slices.Sorted(maps.Keys(want)) {
		g, ok := got[name]
		switch {
		case !ok:
			t.Errorf("%s is missing", name)
		case g != want[name]:
			t.Errorf("%s has other bytes (%d, want %d)%s", name, len(g), len(want[name]), whose(g, want))
		}
	}
	for _, name := range slices.Sorted(maps.Keys(got)) {
		if _, ok := want[name]; !ok {
			t.Errorf("%s should not be there", name)
		}
	}
}

// whose says which file bytes are really of.
func whose(g string, want map[string]string) string {
	for name, b := range want {
		if b == g && len(g) > 0 {
			return ": those of " + name
		}
	}
	return ""
}

func (w *world) ends() Ends { return Ends{Source: "src", Destination: "dst", Owner: "alice"} }

func (w *world) request(change ...func(*transfer.Request)) transfer.Request {
	r := transfer.Request{Items: []transfer.Item{{Source: "src:/from", Destination: "dst:/to", Recursive: true}}}
	for _, c := range change {
		c(&r)
	}
	return r.Normalised(time.Now())
}

func (w *world) probe(d *Data, req transfer.Request) ProbeResult {
	w.t.Helper()
	p, err := d.Probe(w.ctx(), ProbeInput{Ends: w.ends(), Rule: req.Route})
	if err != nil {
		w.t.Fatal(err)
	}
	return p
}

// walked is all that the steps of a walk came to.
type walked struct {
	WalkResult
	probe ProbeResult
	steps int
}

// walk runs a walk to its end.
func (w *world) walk(req transfer.Request, sizes walkSizes) walked {
	w.t.Helper()
	d := w.worker("walker")
	out := walked{probe: w.probe(d, req)}
	in := WalkInput{Task: testTask, Ends: w.ends(), Request: req, Policy: req.Tuning, Probe: out.probe, Ranges: true}
	for {
		res, err := d.walkStep(w.ctx(), in, sizes)
		if err != nil {
			w.t.Fatal(err)
		}
		out.steps++
		out.add(res)
		if res.Cursor == "" || res.Blocked != nil {
			return out
		}
		in.Cursor = res.Cursor
	}
}

func (o *walked) add(r WalkResult) {
	o.Chunks = append(o.Chunks, r.Chunks...)
	o.Found = o.Found.Add(r.Found)
	o.Extras = append(o.Extras, r.Extras...)
	o.NExtras += r.NExtras
	o.Dirs = append(o.Dirs, r.Dirs...)
	o.Errors += r.Errors
	o.Faults = append(o.Faults, r.Faults...)
	o.Failed = append(o.Failed, r.Failed...)
	o.Collisions = append(o.Collisions, r.Collisions...)
	o.Cursor, o.Segments, o.Blocked = r.Cursor, r.Segments, r.Blocked
}

func (w *world) copyInput(wk walked, c transfer.Chunk, req transfer.Request) CopyInput {
	return CopyInput{
		Task: testTask, Ends: w.ends(), Probe: wk.probe, Chunk: c, Options: NewCopyOptions(req, wk.probe.Route.Path), Schedule: 1,
	}
}

// copyAll copies all chunks as a workflow without patience would: each until
// it is complete or tells that it will not be.
func (w *world) copyAll(wk walked, req transfer.Request) []CopyResult {
	w.t.Helper()
	var out []CopyResult
	for _, c := range wk.Chunks {
		out = append(out, w.copyOne(wk, c, req))
	}
	return out
}

func (w *world) copyOne(wk walked, c transfer.Chunk, req transfer.Request) CopyResult {
	w.t.Helper()
	in := w.copyInput(wk, c, req)
	for n := 1; ; n++ {
		in.Schedule = n
		res, err := w.worker("copier").copy(w.ctx(), in, nil)
		if err != nil {
			w.t.Fatal(err)
		}
		if res.Complete || res.Blocked != nil || n == 10 {
			return res
		}
	}
}

// finish runs Finish to its end, copying again what it finds wrong.
func (w *world) finish(wk walked, req transfer.Request, abandon bool) FinishResult {
	w.t.Helper()
	in := FinishInput{
		Task: testTask, Ends: w.ends(), Probe: wk.probe, Options: NewCopyOptions(req, wk.probe.Route.Path),
		Dirs: wk.Dirs, Horizon: time.Nanosecond, Abandon: abandon,
	}
	var sum FinishResult
	for range 20 {
		res, err := w.worker("finisher").Finish(w.ctx(), in)
		if err != nil {
			w.t.Fatal(err)
		}
		if res.Blocked != nil {
			w.t.Fatalf("finish is blocked: %v", res.Blocked)
		}
		sum.Verified += res.Verified
		sum.Strays += res.Strays
		sum.Redo = append(sum.Redo, res.Redo...)
		sum.Unproven = append(sum.Unproven, res.Unproven...)
		sum.Faults = append(sum.Faults, res.Faults...)
		in.Cursor = res.Cursor
		if len(res.Redo) > 0 {
			for _, c := range res.Redo {
				if got := w.copyOne(wk, c, req); !got.Complete {
					w.t.Fatalf("copy of a redone chunk: %+v", got)
				}
			}
			in.Cursor = ""
			continue
		}
		if res.Cursor == "" && res.Wait == 0 {
			return sum
		}
		time.Sleep(res.Wait)
	}
	w.t.Fatal("finish does not come to an end")
	return sum
}

// results returns all lines of the results, by destination.
func (w *world) results() map[string]transfer.Result {
	w.t.Helper()
	out := map[string]transfer.Result{}
	c := &Control{Blobs: w.blobs}
	var token string
	for {
		res, err := c.Read(w.ctx(), ReadInput{What: ReadResults, Task: testTask, Page: transfer.Page{Token: token, Limit: 7}})
		if err != nil {
			w.t.Fatal(err)
		}
		for _, r := range res.Results {
			name := r.Dest
			if name == "" {
				name = r.Source
			}
			if old, twice := out[name]; twice {
				w.t.Errorf("%s stands twice in the results: %s and %s", name, old.Status, r.Status)
			}
			out[name] = r
		}
		if token = res.Next; token == "" {
			return out
		}
	}
}

// noStrays fails when a temporary name is left.
func (w *world) noStrays() {
	w.t.Helper()
	for name := range tree(w.t, w.dst, "/") {
		if transfer.IsTempName(path.Base(name)) {
			w.t.Errorf("%s is left behind", name)
		}
	}
}

// leaseOffice is Leases in memory.
type leaseOffice struct {
	mu     sync.Mutex
	epochs map[string]int64
	in     map[string]int // sessions by endpoint
	claims map[string][]SessionClaim
	down   bool
}

func newLeaseOffice() *leaseOffice {
	return &leaseOffice{epochs: map[string]int64{}, in: map[string]int{}, claims: map[string][]SessionClaim{}}
}

func (o *leaseOffice) Acquire(ctx context.Context, want LeaseRequest) (Lease, error) {
	if err := passes(ctx, "acquire"); err != nil {
		return Lease{}, err
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	key := string(want.Task) + "/" + want.Chunk
	for _, c := range o.claims[key] {
		o.in[c.Endpoint] -= c.Sessions // the same holder, or its successor
	}
	for _, c := range want.Sessions {
		if c.Limit > 0 && o.in[c.Endpoint]+c.Sessions > c.Limit {
			for _, c := range o.claims[key] {
				o.in[c.Endpoint] += c.Sessions
			}
			return Lease{}, fault.New(fault.Busy, "acquire", c.Endpoint, "too many sessions")
		}
	}
	for _, c := range want.Sessions {
		o.in[c.Endpoint] += c.Sessions
	}
	o.claims[key] = want.Sessions
	o.epochs[key]++
	return Lease{Task: want.Task, Chunk: want.Chunk, Epoch: o.epochs[key], TTL: want.TTL, Expires: time.Now().Add(want.TTL)}, nil
}

func (o *leaseOffice) Renew(ctx context.Context, l Lease) error {
	if err := passes(ctx, "renew"); err != nil {
		return err
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.down {
		return fault.New(fault.Transient, "renew", l.Chunk, "the store is down")
	}
	if o.epochs[string(l.Task)+"/"+l.Chunk] != l.Epoch {
		return fault.New(fault.Canceled, "renew", l.Chunk, "somebody else holds it")
	}
	return nil
}

func (o *leaseOffice) Release(ctx context.Context, l Lease) error {
	if err := passes(ctx, "release"); err != nil {
		return err
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	key := string(l.Task) + "/" + l.Chunk
	if o.epochs[key] == l.Epoch {
		for _, c := range o.claims[key] {
			o.in[c.Endpoint] -= c.Sessions
		}
		delete(o.claims, key)
	}
	return nil
}

// process is a worker process that can be killed. Everything that it does
// outside itself passes a gate; after the kill nothing passes any more, and
// whoever comes to the gate stands still, as a killed process does.
type process struct {
	steps  atomic.Int64
	killAt int64 // the step that is not done any more; 0 is never
	dead   chan struct{}
	once   sync.Once
	over   chan struct{} // the end of the test

	mu      sync.Mutex
	stopped chan struct{} // closed when it goes on; nil while it runs
}

// stop is SIGSTOP, and resume SIGCONT.
func (p *process) stop() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.stopped = make(chan struct{})
}

func (p *process) resume() {
	p.mu.Lock()
	defer p.mu.Unlock()
	close(p.stopped)
	p.stopped = nil
}

type processKey struct{}

func (w *world) process(killAt int64) *process {
	return &process{killAt: killAt, dead: make(chan struct{}), over: w.over}
}

func (p *process) context(ctx context.Context) context.Context {
	return context.WithValue(ctx, processKey{}, p)
}

func (p *process) kill() { p.once.Do(func() { close(p.dead) }) }

func (p *process) pass() error {
	p.mu.Lock()
	stopped := p.stopped
	p.mu.Unlock()
	if stopped != nil {
		<-stopped
	}
	if n := p.steps.Add(1); p.killAt > 0 && n >= p.killAt {
		p.kill()
	}
	select {
	case <-p.dead:
		<-p.over
		return fault.New(fault.Internal, "do", "anything", "this process was killed")
	default:
		return nil
	}
}

func passes(ctx context.Context, _ string) error {
	if p, ok := ctx.Value(processKey{}).(*process); ok {
		return p.pass()
	}
	return nil
}

// gate puts the disks and the store of a worker behind its process's gate.
func (w *world) gated(name string) *Data {
	d := w.worker(name)
	d.Blobs = gatedBlobs{w.blobs}
	hook := func(ctx context.Context, op memory.Op, p string, off int64) error { return passes(ctx, string(op)) }
	w.src.Faults().Hook(hook)
	w.dst.Faults().Hook(hook)
	return d
}

type gatedBlobs struct{ blob.Store }

func (b gatedBlobs) Put(ctx context.Context, key string, data []byte) error {
	if err := passes(ctx, "put"); err != nil {
		return err
	}
	return b.Store.Put(ctx, key, data)
}

func (b gatedBlobs) Delete(ctx context.Context, keys ...string) error {
	if err := passes(ctx, "delete"); err != nil {
		return err
	}
	return b.Store.Delete(ctx, keys...)
}

// mixedTree is small files, replaced ones, large ones that go in parts, empty
// ones and odd names.
func (w *world) mixedTree() map[string]string {
	w.t.Helper()
	sizes := map[string]int{
		"/empty": 0, "/a": 1, "/b": 100, "/sub/c": 1000, "/sub/deep/d e f": 2000, "/sub/\xff\xfe raw": 77,
		"/replaced": 3000, "/sub/large": 100 << 10, "/huge": 200<<10 + 1,
	}
	for i := range 12 {
		sizes[fmt.Sprintf("/many/%02d", i)] = 10 + i
	}
	seed := uint64(1)
	for _, name := range slices.Sorted(maps.Keys(sizes)) {
		put(w.t, w.src, "/from"+name, content(seed, sizes[name]))
		seed++
	}
	s := w.src.Open()
	defer s.Close()
	if err := s.Mkdir(w.ctx(), "/from/hollow"); err != nil {
		w.t.Fatal(err)
	}
	put(w.t, w.dst, "/to/replaced", []byte("an older version"))
	return tree(w.t, w.src, "/from")
}

var errNotThere = errors.New("no such file")

func refuse(k fault.Kind, p string) error { return fault.Wrap(k, "open", p, errNotThere) }

func equal(a, b []byte) bool { return bytes.Equal(a, b) }
