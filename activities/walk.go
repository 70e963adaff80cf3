package activities

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/gridferry/gridferry/blob"
	"github.com/gridferry/gridferry/endpoints"
	"github.com/gridferry/gridferry/fault"
	"github.com/gridferry/gridferry/transfer"
)

// WalkInput is one step of a walk, 30 s at most, unless a single directory
// takes longer to list.
type WalkInput struct {
	Task    transfer.TaskID  `json:"task"`
	Ends    Ends             `json:"ends"`
	Request transfer.Request `json:"request"` // normalised
	Policy  transfer.Policy  `json:"policy"`
	Probe   ProbeResult      `json:"probe"`            // empty for a step that is to Open
	Open    bool             `json:"open,omitempty"`   // the first step also does what Probe does
	Cursor  string           `json:"cursor,omitempty"` // blob key of the frontier; empty is the beginning
	Plan    bool             `json:"plan,omitempty"`   // look only: no directory is made at the destination
	Ranges  bool             `json:"ranges,omitempty"` // whoever asks can deal with files in ranges
	Stage   bool             `json:"stage,omitempty"`  // and with files that have to be staged
}

// WalkResult is what a step found. Chunks are set when a segment is complete:
// sorted by size, cut and tuned.
type WalkResult struct {
	Cursor     string            `json:"cursor,omitempty"` // of the next step; empty when the walk is over
	Chunks     []transfer.Chunk  `json:"chunks,omitempty"`
	Found      transfer.Progress `json:"found"`            // of this step alone, to be added
	Extras     []string          `json:"extras,omitempty"` // blob keys of lists of names to delete
	NExtras    int64             `json:"n_extras,omitempty"`
	Dirs       []string          `json:"dirs,omitempty"`   // blob keys: directory times and modes to set last
	Errors     int64             `json:"errors,omitempty"` // names that could not be looked at, or collide
	Faults     []transfer.Fault  `json:"faults,omitempty"`
	Segments   int               `json:"segments,omitempty"`   // complete ones so far
	Failed     []FailedFile      `json:"failed,omitempty"`     // the first 25 of Errors; all are in the results
	Collisions []string          `json:"collisions,omitempty"` // the first 25, as sentences
	Blocked    *transfer.Fault   `json:"blocked,omitempty"`    // why the walk stopped at Cursor: credential, endpoint down
	Probe      *ProbeResult      `json:"probe,omitempty"`      // of a step that was to Open; when Elsewhere, nothing was walked
	Offline    *OfflineList      `json:"offline,omitempty"`    // files of Found that no chunk has: they are to be staged
}

// walkSizes are the numbers of a walk.
type walkSizes struct {
	step    time.Duration // nothing new is begun after this long
	segment int           // files that are sorted as a whole
	names   int           // bytes that those files may take in memory
	cuts    int           // segments after which nothing new is begun either; 0 is any number
	pending pendingSizes  // directories in memory
	batch   int           // entries of a spooled directory between two looks at the clock
	page    int           // lines of one list
	workers int           // directories at once
	spool   spoolSizes
	delay   time.Duration // before what was refused is tried again; 0 is as transfer.AnswerTo says
}

var defaultWalkSizes = walkSizes{
	step: 25 * time.Second, segment: transfer.SegmentLimit, names: 48 << 20, cuts: 1, pending: maxPending,
	batch: 20_000, page: 20_000, workers: 8, spool: defaultSpoolSizes,
}

// WalkStep lists part of the source, compares it with the destination, makes
// the directories there, and hands over chunks when a segment is complete.
func (d *Data) WalkStep(ctx context.Context, in WalkInput) (WalkResult, error) {
	res, err := d.walkStep(ctx, in, defaultWalkSizes)
	if in.Plan {
		return res, atOnce(err)
	}
	return res, toTemporal(err)
}

// walk is one step under way.
type walk struct {
	d      *Data
	in     WalkInput
	sizes  walkSizes
	run    string
	prefix string // of this step's own blobs
	ends   *pair
	clock  clock
	vitals vitals

	mu       sync.Mutex
	changed  *sync.Cond
	f        *frontier
	step     int
	active   int  // workers at something
	stop     bool // begin nothing new
	blocked  error
	fatal    error // the walk cannot be right, or has no place to keep things
	res      WalkResult
	faults   faultList
	files    []transfer.File // of the unfinished segment, found by this step
	weight   int             // of files
	cuts     int             // segments that this step has completed
	extras   *lister[extraName]
	dirs     *lister[dirTimes]
	offline  *offlineLister // nil: nothing is staged
	results  *lister[transfer.Result]
	indexes  []pageIndex // of the pages of results
	putIndex func(context.Context) error
	spools   int
	collided map[int]transfer.Collision // items of the request whose destinations are one to this storage
}

func (d *Data) walkStep(ctx context.Context, in WalkInput, sizes walkSizes) (_ WalkResult, err error) {
	f, err := loadFrontier(ctx, d.Blobs, in.Cursor)
	if err != nil {
		return WalkResult{}, err
	}
	w := &walk{d: d, in: in, sizes: sizes, run: newRun(), f: f, step: f.Step, clock: newClock(ctx)}
	w.changed = sync.NewCond(&w.mu)
	w.prefix = walkPrefix(in.Task, f.Step, w.run)
	w.extras = newLister[extraName](d.Blobs, sizes.page, func(page int) string { return listKey(in.Task, "extras", w.step, w.run, page) })
	w.dirs = newLister[dirTimes](d.Blobs, sizes.page, func(page int) string { return listKey(in.Task, "dirs", w.step, w.run, page) })
	group, epoch := fmt.Sprintf("walk-%06d", w.step), w.clock.now().UnixNano()
	w.results = newLister[transfer.Result](d.Blobs, resultsPage, func(page int) string { return resultsKey(in.Task, group, page, epoch) })
	w.results.wrote = func(page int, lines []transfer.Result) {
		w.indexes = append(w.indexes, newPageIndex(page, epoch, lines))
	}
	w.putIndex = func(ctx context.Context) error { return putIndex(ctx, d.Blobs, in.Task, group, epoch, w.indexes) }
	w.vitals, w.faults = d.vitals(ctx, "walked the source")
	defer func() { w.vitals.ends(ctx, err) }()
	defer beatWith(ctx, func() any { return w.progress() })()
	ctx = hearing(ctx, func(err error) {
		w.mu.Lock()
		defer w.mu.Unlock()
		w.faults.add(toFault(err, "", time.Now().UTC()))
	})

	defer func() {
		if w.ends != nil {
			w.ends.Close()
		}
	}()
	if in.Open {
		if err := w.open(ctx); err != nil || w.res.Probe.Elsewhere {
			return w.res, err
		}
		in = w.in
	}
	if in.Cursor == "" && !in.Plan {
		err := keepFacts(ctx, d.Blobs, Facts{Task: in.Task, Ends: in.Ends, Probe: in.Probe, Options: NewCopyOptions(in.Request, in.Probe.Route.Path), Notify: in.Request.Notify})
		if err != nil {
			return WalkResult{}, err
		}
	}
	if w.ends == nil {
		err = insist(ctx, patience, func() (err error) {
			w.ends, err = d.openEnds(ctx, in.Ends)
			return err
		})
	}
	switch {
	case err != nil && (ctx.Err() != nil || isDrained(err)):
		return WalkResult{}, err
	case err != nil:
		w.blocked = err
	default:
		if in.Request.Sync == transfer.SyncModified {
			for _, e := range []*place{w.ends.src, w.ends.dst} {
				if l, ok := e.Storage.(endpoints.TimeLister); ok {
					l.ListTimes()
				}
			}
		}
		if _, ok := w.ends.src.Storage.(endpoints.Stager); ok && in.Stage {
			w.offline = newOfflineLister(d.Blobs, in.Task, fmt.Sprintf("walk-%06d", w.step), w.run)
		}
		w.collided = collidedItems(in.Request.Items, w.ends.dst.Caps().FoldsCase)
		if w.fatal = keepsHardLinks(in.Request, w.ends); w.fatal == nil {
			w.survey(ctx)
		}
	}
	return w.finish(ctx)
}

// open logs in to both ends and chooses the route. The ends are left open,
// unless they are elsewhere.
func (w *walk) open(ctx context.Context) error {
	err := insist(ctx, patience, func() error {
		res, p, err := w.d.probe(ctx, ProbeInput{Ends: w.in.Ends, Rule: w.in.Request.Route})
		w.in.Probe, w.ends = res, p
		return err
	})
	if err == nil {
		w.res.Probe = &w.in.Probe
	}
	return err
}

// WalkProgress is the heartbeat of a walk: what this step has found.
type WalkProgress struct {
	Files int64 `json:"f"`
	Bytes int64 `json:"b"`
	Dirs  int64 `json:"d"`
	vitals
}

func (w *walk) progress() WalkProgress {
	w.mu.Lock()
	defer w.mu.Unlock()
	return WalkProgress{w.res.Found.Files, w.res.Found.Bytes, w.res.Found.Directories, w.vitals}
}

// survey lets workers look at one directory or item after the other, until there
// is none, the step is over, or something is wrong.
func (w *walk) survey(ctx context.Context) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	halt := func() {
		w.mu.Lock()
		w.stop = true
		w.changed.Broadcast()
		w.mu.Unlock()
	}
	over := time.AfterFunc(w.sizes.step, halt)
	defer over.Stop()
	defer context.AfterFunc(ctx, halt)()
	drained := make(chan struct{})
	defer close(drained)
	go func() {
		select {
		case <-w.d.Stopping:
			halt()
			if sleep(ctx, drainGrace) == nil {
				cancel()
			}
		case <-drained:
		}
	}()
	var wg sync.WaitGroup
	for range w.sizes.workers {
		wg.Go(func() { w.work(ctx) })
	}
	wg.Wait()
}

// job is one thing for a worker to look at: a directory, or an item.
type job struct {
	dir   pendingDir
	item  int // -1: look at dir
	tries int // that were refused
}

// take returns the next job. It waits while others may still find some.
func (w *walk) take(ctx context.Context) (job, bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for {
		if w.stop || w.blocked != nil || w.fatal != nil {
			return job{}, false
		}
		p, ok, err := w.f.pop(ctx, w.d.Blobs)
		switch {
		case err != nil:
			w.fatal = err
		case ok:
			w.active++
			return job{dir: p, item: -1}, true
		case len(w.f.Again) > 0:
			last := len(w.f.Again) - 1
			i := w.f.Again[last]
			w.f.Again = w.f.Again[:last]
			w.active++
			return job{item: i}, true
		case w.f.Item < len(w.in.Request.Items):
			w.f.Item++
			w.active++
			return job{item: w.f.Item - 1}, true
		case w.active == 0 && len(w.f.Refused) > 0:
			if j, ok := w.takeRefused(ctx); ok {
				return j, true
			}
		case w.active == 0:
			w.changed.Broadcast()
			return job{}, false
		default:
			w.changed.Wait()
		}
	}
}

func (w *walk) work(ctx context.Context) {
	for {
		j, ok := w.take(ctx)
		if !ok {
			return
		}
		var out findings
		var err error
		if j.item >= 0 {
			err = insist(ctx, patience, func() error { out = findings{}; return w.item(ctx, j.item, &out) })
		} else {
			err = insist(ctx, patience, func() error { out = findings{}; return w.dir(ctx, j.dir, &out) })
		}
		w.settle(ctx, j, &out, err)
	}
}

// settle takes over what a job has found, or gives the job back.
func (w *walk) settle(ctx context.Context, j job, out *findings, err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	defer w.changed.Broadcast()
	w.active--
	back := false
	switch kind := fault.KindOf(err); {
	case err == nil:
	case ctx.Err() != nil:
		w.stop, back = true, true
	case kind == fault.NotFound && j.dir.Extra:
		*out = findings{} // somebody else removed it first
	case w.postpone(j, err):
		return
	case ofOneName(kind):
		*out = findings{}
		out.fail(j.path(w.in.Request), err, !j.dir.Extra)
	case kind == fault.Invalid:
		w.fatal = err
		return
	default:
		w.blocked, back = err, true
	}
	if back {
		if j.tries > 0 {
			w.f.Refused = append(w.f.Refused, refusedJob{Dir: j.dir, Item: j.item, Tries: j.tries})
			return
		}
		if j.item >= 0 {
			w.f.Again = append(w.f.Again, j.item)
			return
		}
		w.f.add(j.dir)
		return
	}
	if err := w.keep(ctx, out); err != nil && w.fatal == nil {
		w.fatal = err
	}
}

// ofOneName says that a fault is of the name it happened to, and others may
// fare better.
func ofOneName(k fault.Kind) bool {
	switch k {
	case fault.NotFound, fault.Permission, fault.Exists, fault.Unsupported:
		return true
	}
	return false
}

func (j job) path(r transfer.Request) string {
	switch {
	case j.item >= 0:
		return r.Items[j.item].Source
	case j.dir.Extra:
		return j.dir.Dest
	}
	return j.dir.Source
}

// keep adds what was found to the step's result. The caller holds mu.
func (w *walk) keep(ctx context.Context, out *findings) error {
	w.res.Found = w.res.Found.Add(out.found)
	w.res.Errors += out.errors
	w.res.Failed = append(w.res.Failed, out.failed[:min(len(out.failed), max(0, maxListed-len(w.res.Failed)))]...)
	w.res.Collisions = append(w.res.Collisions, out.collisions[:min(len(out.collisions), max(0, maxListed-len(w.res.Collisions)))]...)
	for _, f := range out.faults {
		w.faults.add(f)
	}
	w.res.NExtras += int64(len(out.extras))
	if err := w.extras.add(ctx, out.extras...); err != nil {
		return err
	}
	if err := w.dirs.add(ctx, out.times...); err != nil {
		return err
	}
	if err := w.results.add(ctx, out.results...); err != nil {
		return err
	}
	if err := w.offline.add(ctx, out.offline...); err != nil {
		return err
	}
	if err := w.f.push(ctx, w.d.Blobs, w.prefix, w.sizes.pending, out.dirs...); err != nil {
		return err
	}
	w.files = append(w.files, out.files...)
	w.weight += weigh(out.files)
	for w.f.Files+len(w.files) >= w.sizes.segment || w.sizes.names > 0 && w.f.Weight+w.weight >= w.sizes.names {
		if err := w.cut(ctx); err != nil {
			return err
		}
	}
	if w.sizes.cuts > 0 && w.cuts >= w.sizes.cuts {
		// What was found is worth more in the hands of those who copy, and a
		// step's result has to fit a history.
		w.stop = true
	}
	return nil
}

// weigh is how much memory files take, in bytes.
func weigh(files []transfer.File) int {
	const each = 128 // transfer.File itself
	n := each * len(files)
	for i := range files {
		n += len(files[i].Source) + len(files[i].Dest) + len(files[i].Link) + len(files[i].Inode)
	}
	return n
}

// finish ends the step: the last segment when all was looked at, the frontier
// otherwise.
func (w *walk) finish(ctx context.Context) (WalkResult, error) {
	// A cancelled step still says where the next one goes on.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), lastWords)
	defer cancel()
	if w.fatal != nil {
		return WalkResult{}, w.fatal
	}
	if err := w.store(ctx); err != nil {
		return WalkResult{}, err
	}
	if w.blocked != nil {
		f := toFault(w.blocked, "", time.Now().UTC())
		w.res.Blocked = &f
	}
	w.res.Extras, w.res.Dirs = w.extras.keys, w.dirs.keys
	w.res.Segments, w.res.Faults = w.f.Segment, w.faults
	list, err := w.offline.list(ctx)
	w.res.Offline = list
	return w.res, err
}

func (w *walk) store(ctx context.Context) error {
	over := w.blocked == nil && w.f.empty() && len(w.f.Again) == 0 && len(w.f.Refused) == 0 && w.f.Item == len(w.in.Request.Items)
	if over && w.f.Files+len(w.files) > 0 {
		if err := w.cut(ctx); err != nil {
			return err
		}
	}
	for _, flush := range []func(context.Context) error{w.extras.flush, w.dirs.flush, w.results.flush, w.putIndex} {
		if err := flush(ctx); err != nil {
			return err
		}
	}
	if over {
		return nil
	}
	if len(w.files) > 0 {
		key := w.prefix + "files"
		if err := putFiles(ctx, w.d.Blobs, key, w.files); err != nil {
			return err
		}
		w.f.Pages = append(w.f.Pages, key)
		w.f.Files += len(w.files)
		w.f.Weight += w.weight
	}
	w.f.Step++
	w.res.Cursor = w.prefix + "frontier"
	return w.f.store(ctx, w.d.Blobs, w.res.Cursor)
}

// fitting is how many of the files make a segment: one at least.
func (w *walk) fitting(files []transfer.File) int {
	n := min(len(files), w.sizes.segment)
	if w.sizes.names == 0 {
		return n
	}
	weight := 0
	for i := range n {
		if weight += weigh(files[i : i+1]); weight > w.sizes.names {
			return max(i, 1)
		}
	}
	return n
}

// cut makes chunks of a segment.
func (w *walk) cut(ctx context.Context) error {
	var files []transfer.File
	for _, key := range w.f.Pages {
		page, err := getFiles(ctx, w.d.Blobs, key, int64(w.f.Files))
		if err != nil {
			return err
		}
		files = append(files, page...)
	}
	files = append(files, w.files...)
	n := w.fitting(files)
	w.files = append([]transfer.File(nil), files[n:]...)
	w.weight = weigh(w.files)
	w.f.Pages, w.f.Files, w.f.Weight = nil, 0, 0
	w.cuts++
	w.f.Segment++
	c := &cutter{blobs: w.d.Blobs, task: w.in.Task, run: w.run, policy: w.in.Policy, probe: w.in.Probe, ends: w.ends, ranges: w.in.Ranges, unordered: w.in.Request.Verify != transfer.VerifyChecksum}
	chunks, err := c.cut(ctx, fmt.Sprintf("%04d", w.f.Segment), files[:n])
	w.res.Chunks = append(w.res.Chunks, chunks...)
	return err
}

// cutter makes chunks of files.
type cutter struct {
	blobs  blob.Store
	task   transfer.TaskID
	run    string
	policy transfer.Policy
	probe  ProbeResult
	ends   *pair
	ranges bool // whoever asks can deal with files in ranges

	unordered bool // no digest is computed of what passes
}

// cut sorts files by size, cuts them, and stores each chunk's sheet. The
// chunks' ids begin with the segment's.
func (c *cutter) cut(ctx context.Context, segment string, files []transfer.File) ([]transfer.Chunk, error) {
	transfer.Sort(files)
	at := c.probe.Setting()
	at.Unordered = c.unordered && !c.probe.atHome()
	var chunks []transfer.Chunk
	for i, piece := range transfer.Cut(files, transfer.CutOptions{Ranges: c.inRanges(), RangeSize: c.policy.RangeSize, Sessions: at.Sessions, Pace: at.Pace()}) {
		id := fmt.Sprintf("%s-%04d", segment, i+1)
		key := sheetKey(c.task, id, c.run)
		nameSame(piece.Files)
		if err := putFiles(ctx, c.blobs, key, piece.Files); err != nil {
			return nil, err
		}
		tuning := transfer.Tune(c.policy, piece.Stats, at)
		if piece.Ranged != nil {
			tuning = transfer.TuneRange(c.policy, *piece.Ranged, at)
		}
		chunks = append(chunks, transfer.Chunk{
			ID: id, Sheet: key, Files: piece.Stats.Files, Bytes: piece.Stats.Bytes,
			Class: piece.Class, Tuning: tuning, Ranged: piece.Ranged,
		})
	}
	return chunks, nil
}

// sessionBudget is how many pairs of sessions a chunk may plan with: an
// endpoint that allows fewer than the usual budget would never grant more.
func sessionBudget(p ProbeResult) int {
	n := transfer.DefaultSessions
	for _, limit := range []int{p.Source.Sessions, p.Destination.Sessions} {
		if limit > 0 {
			n = min(n, limit)
		}
	}
	return n
}

// collidedItems finds items whose destinations the storage takes for one.
// Those that are equal byte for byte were refused at submission.
func collidedItems(items []transfer.Item, folds bool) map[int]transfer.Collision {
	if !folds {
		return nil
	}
	names := transfer.Names{FoldsCase: true}
	collided := map[int]transfer.Collision{}
	for i, it := range items {
		t := endpoints.File
		if it.Recursive {
			t = endpoints.Dir
		}
		if loc, err := transfer.ParseLocation(it.Destination); err == nil {
			if c, ok := names.Add(it.Source, loc.Path, t); !ok {
				collided[i] = c
			}
		}
	}
	return collided
}
