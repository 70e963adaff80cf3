package activities

import (
	"context"
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/gridferry/gridferry/blob"
	"github.com/gridferry/gridferry/fault"
	"github.com/gridferry/gridferry/transfer"
)

// FinishInput is one step, 30 s at most, of ending a task: late verification,
// stray temporary names, directory times and modes.
type FinishInput struct {
	Task    transfer.TaskID `json:"task"`
	Ends    Ends            `json:"ends"`
	Probe   ProbeResult     `json:"probe"`
	Options CopyOptions     `json:"options"`
	Dirs    []string        `json:"dirs,omitempty"` // WalkResult.Dirs of all steps

	// Horizon is how long after an attempt was declared dead its servers may
	// still have been writing; 0 is 60 s.
	Horizon time.Duration `json:"horizon,omitempty"`

	// Abandon: the task has failed or was cancelled. Temporary names and files
	// that are not proven go; nothing is verified or set.
	Abandon bool `json:"abandon,omitempty"`

	Cursor string `json:"cursor,omitempty"`
}

// FinishResult is what a step did.
type FinishResult struct {
	Cursor   string           `json:"cursor,omitempty"`   // of the next step; empty when all is done
	Wait     time.Duration    `json:"wait,omitempty"`     // the horizon is not reached: run the next step after this
	Verified int64            `json:"verified"`           // files verified again
	Redo     []transfer.Chunk `json:"redo,omitempty"`     // files found wrong: copy these, then begin Finish again
	Strays   int64            `json:"strays"`             // names removed
	Unproven []string         `json:"unproven,omitempty"` // names that may be left behind or hold wrong bytes; the first 25
	Faults   []transfer.Fault `json:"faults,omitempty"`
	Blocked  *transfer.Fault  `json:"blocked,omitempty"` // go on from Cursor
}

const (
	// defaultHorizon is what GridFTP servers take to notice that a client is
	// gone and to work off what it had queued.
	defaultHorizon = time.Minute

	// stepTime is how long a step begins new things.
	stepTime = 25 * time.Second
)

// Finish ends what copying began.
func (d *Data) Finish(ctx context.Context, in FinishInput) (FinishResult, error) {
	own, lost := d.vitals(ctx, "saw to the end of the task")
	stop := beatWith(ctx, func() any { return own })
	f := &finisher{d: d, in: in, until: time.Now().Add(stepTime), clock: newClock(ctx), faults: lost}
	err := f.run(hearing(ctx, func(err error) {
		f.mu.Lock()
		defer f.mu.Unlock()
		f.faults.add(toFault(err, "", time.Now().UTC()))
	}))
	stop()
	own.ends(ctx, err)
	return f.res, toTemporal(err)
}

type finisher struct {
	d     *Data
	in    FinishInput
	until time.Time
	clock clock
	ends  *pair
	res   FinishResult

	shared string // the last name of ranges that was removed

	mu     sync.Mutex
	faults faultList
}

// finishCursor is how far a task is finished: what stands before After has
// been seen to.
type finishCursor struct {
	Dirs  bool   // the chunks are done, and the directories begun
	Chunk string // the last one seen to
	Line  int    // directories set so far, from the last one of all
}

func (c finishCursor) String() string {
	if c.Dirs {
		return fmt.Sprintf("dirs/%d", c.Line)
	}
	return "chunk/" + c.Chunk
}

func parseFinishCursor(s string) finishCursor {
	phase, rest, _ := strings.Cut(s, "/")
	if phase == "dirs" {
		n, _ := strconv.Atoi(rest)
		return finishCursor{Dirs: true, Line: n}
	}
	return finishCursor{Chunk: rest}
}

func (f *finisher) run(ctx context.Context) error {
	at := parseFinishCursor(f.in.Cursor)
	err := insist(ctx, patience, func() (err error) {
		f.ends, err = f.d.openEnds(ctx, f.in.Ends)
		return err
	})
	if err != nil {
		return err
	}
	defer f.ends.Close()
	defer func() { f.res.Faults = f.faults }()

	if !at.Dirs {
		chunks, err := f.chunks(ctx)
		if err != nil {
			return err
		}
		for _, chunk := range chunks {
			if chunk <= at.Chunk {
				continue
			}
			if f.over(ctx) {
				f.res.Cursor = at.String()
				return nil
			}
			if err := f.chunk(ctx, chunk); err != nil {
				return f.stopAt(at, err)
			}
			if f.res.Wait > 0 {
				f.res.Cursor = at.String()
				return nil
			}
			at.Chunk = chunk
		}
		if len(f.res.Redo) > 0 {
			return nil // and then all of this again
		}
		at = finishCursor{Dirs: true}
	}
	if f.in.Abandon {
		return putLines(blob.UseReserve(ctx), f.d.Blobs, settledKey(f.in.Task), []settled{{At: time.Now().UTC()}})
	}
	return f.setDirs(ctx, at)
}

// over says that nothing new should be begun.
func (f *finisher) over(ctx context.Context) bool {
	select {
	case <-f.d.Stopping:
		return true
	default:
		return time.Now().After(f.until) || ctx.Err() != nil
	}
}

// stopAt leaves a fault that is not of one name to the workflow.
func (f *finisher) stopAt(at finishCursor, err error) error {
	if fault.Is(err, fault.Internal) {
		return err
	}
	blocked := toFault(err, "", time.Now().UTC())
	f.res.Blocked, f.res.Cursor = &blocked, at.String()
	return nil
}

// chunks returns, in order, the chunks that need a look: those that left word,
// or, when the task is given up, all of them.
func (f *finisher) chunks(ctx context.Context) ([]string, error) {
	seen := map[string]bool{}
	err := f.d.Blobs.List(ctx, latePrefix(f.in.Task), func(key string) error {
		seen[strings.TrimPrefix(key, latePrefix(f.in.Task))] = true
		return nil
	})
	if err == nil && f.in.Abandon {
		err = f.d.Blobs.List(ctx, ledgersPrefix(f.in.Task), func(key string) error {
			if chunk, _, ok := splitLedgerKey(f.in.Task, key); ok {
				seen[chunk] = true
			}
			return nil
		})
	}
	return slices.Sorted(maps.Keys(seen)), err
}

// chunk sees to one chunk.
func (f *finisher) chunk(ctx context.Context, chunk string) error {
	led, err := lastLedger(ctx, f.d.Blobs, f.in.Task, chunk, math.MaxInt64)
	if err != nil || led == nil {
		return err
	}
	if (led.Complete || led.Ranged.IsRange()) && len(led.Late) == 0 && !(f.in.Abandon && led.Ranged.IsRange()) {
		return nil
	}
	if f.res.Wait = f.tooEarly(led); f.res.Wait > 0 {
		return nil
	}
	files, err := getFiles(ctx, f.d.Blobs, led.Sheet, int64(led.Files))
	if err != nil {
		return err
	}
	for i, v := range led.Changed {
		files[i].Size, files[i].ModTime = v.Size, v.ModTime
	}
	if led.Ranged.IsRange() {
		// Nothing is copied any more: what has the name that the ranges shared
		// was not joined, or has turned up again. The file itself is the
		// concern of the chunk that joins it.
		return f.removeShared(ctx, sharedPath(files[0], f.in.Task, led.Ranged.Generation, f.ends.dst.Caps()))
	}
	if err := f.results(ctx, chunk, led, files); err != nil {
		return err
	}
	if f.in.Abandon {
		return f.abandon(ctx, led, files)
	}
	return f.lateFiles(ctx, chunk, led, files)
}

// tooEarly is how long servers that nobody stopped may still be writing.
func (f *finisher) tooEarly(led *ledger) time.Duration {
	horizon := f.in.Horizon
	if horizon <= 0 {
		horizon = defaultHorizon
	}
	var since time.Time
	for _, l := range led.Late {
		if l.Since.After(since) {
			since = l.Since
		}
	}
	if !led.Closed && led.Updated.After(since) {
		since = led.Updated
	}
	if since.IsZero() {
		return 0
	}
	return f.clock.left(since, horizon)
}

// results writes the lines that an incomplete chunk still owes.
func (f *finisher) results(ctx context.Context, chunk string, led *ledger, files []transfer.File) error {
	if led.Complete {
		return nil
	}
	lines := slices.Clone(led.Results)
	for _, i := range slices.Sorted(maps.Keys(led.Refused)) {
		if r := led.Refused[i]; !led.Done.has(i) && !r.Final {
			lines = append(lines, failedResult(files[i], r))
		}
	}
	if len(lines) == 0 {
		return nil
	}
	return putLines(ctx, f.d.Blobs, resultsKey(f.in.Task, chunk, led.Pages, led.Epoch), lines)
}

// remove removes names. What cannot be removed is told.
func (f *finisher) remove(ctx context.Context, names ...string) error {
	for _, name := range names {
		err := insist(ctx, patience, func() error { return f.ends.dst.Remove(ctx, name) })
		f.mu.Lock()
		switch kind := fault.KindOf(err); {
		case err == nil:
			f.res.Strays++
		case kind == fault.NotFound:
			err = nil
		case ofOneName(kind) || kind == fault.Invalid:
			f.faults.add(toFault(err, name, time.Now().UTC()))
			f.unproven(name)
			err = nil
		}
		f.mu.Unlock()
		if err != nil {
			return err
		}
	}
	return nil
}

// unproven lists a name. The caller holds mu.
func (f *finisher) unproven(name string) {
	if len(f.res.Unproven) < maxListed {
		f.res.Unproven = append(f.res.Unproven, strings.ToValidUTF8(name, "?"))
	}
}

// each runs fn for the given files, some at once, and returns the first error.
func (f *finisher) each(files []int, fn func(i int) error) error {
	var first error
	parallel(len(files), helpers, func(n int) {
		if err := fn(files[n]); err != nil {
			f.mu.Lock()
			if first == nil {
				first = err
			}
			f.mu.Unlock()
		}
	})
	return first
}
