package activities

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/gridferry/gridferry/blob"
	"github.com/gridferry/gridferry/fault"
	"github.com/gridferry/gridferry/transfer"
)

// Retention says how long what a task leaves behind is kept after its end.
// Zero times are the defaults. Nothing of a task that has not ended ever goes.
type Retention struct {
	Manifests time.Duration // what the walk found: lists of files, directories and extras
	Ledgers   time.Duration // what each chunk did; without them nothing cleans up after a task any more
	Results   time.Duration // how each file ended, with checksums
	Events    time.Duration // what happened
	Records   time.Duration // that there was such a task, and how it ended

	// Budget is how many bytes the blob store may hold; 0 is no limit. Beyond
	// it, a tenth is freed: of the oldest tasks first, their manifests and
	// ledgers before any events, and results last.
	Budget int64
}

// withDefaults fills in what is not said.
func (r Retention) withDefaults() Retention {
	for _, d := range []struct {
		of    *time.Duration
		usual time.Duration
	}{
		{&r.Manifests, transfer.KeepManifests}, {&r.Ledgers, transfer.KeepLedgers}, {&r.Results, transfer.KeepResults},
		{&r.Events, transfer.KeepEvents}, {&r.Records, transfer.KeepRecords},
	} {
		if *d.of <= 0 {
			*d.of = d.usual
		}
	}
	return r
}

// Part is a kind of thing that is kept of a task.
type Part string

// The parts, in the order in which a budget takes them.
const (
	PartManifests Part = "manifests"
	PartLedgers   Part = "ledgers"
	PartEvents    Part = "events"
	PartResults   Part = "results"
	PartFacts     Part = "facts" // a few hundred bytes, which go with the last of the others
)

// partOf returns what a task's key belongs to. What a later release keeps is
// taken for a ledger.
func partOf(key string) Part {
	_, below, _ := strings.Cut(strings.TrimPrefix(key, tasksPrefix), "/")
	name, _, _ := strings.Cut(below, "/")
	switch name {
	case "walk", "sheets", "extras", "dirs":
		return PartManifests
	case "results", "index":
		return PartResults
	case "events":
		return PartEvents
	case factsName, "settled":
		return PartFacts
	}
	return PartLedgers
}

// life is how long a part is kept.
func (r Retention) life(p Part) time.Duration {
	switch p {
	case PartManifests:
		return r.Manifests
	case PartLedgers:
		return r.Ledgers
	case PartEvents:
		return r.Events
	case PartResults:
		return r.Results
	}
	return max(r.Manifests, r.Ledgers, r.Events, r.Results)
}

// Why a thing is not kept.
const (
	WhyAge    = "age"    // its task ended long enough ago
	WhyBudget = "budget" // there is more than the budget allows
	WhyOrphan = "orphan" // nobody knows its task any more
)

// Discard is a part of a task that is not kept.
type Discard struct {
	Task  transfer.TaskID `json:"task"` // the key of its blobs
	Part  Part            `json:"part"`
	Why   string          `json:"why"`
	Ended time.Time       `json:"ended,omitzero"` // of an orphan: last written
	Blobs int64           `json:"blobs"`
	Bytes int64           `json:"bytes"`
}

// Collected is what a collection did, or would do.
type Collected struct {
	Blobs   int64 `json:"blobs"`
	Bytes   int64 `json:"bytes"`
	Records int64 `json:"records"`
	Held    int64 `json:"held_bytes"` // by the blob store before
}

// RecordForgetter is the ability of Records to forget.
type RecordForgetter interface {
	// ForgetTasks forgets the records of tasks that ended before a time, and
	// says how many those are; with look it only says so.
	ForgetTasks(ctx context.Context, before time.Time, look bool) (int64, error)
}

// collector removes what is not kept any more.
type collector struct {
	c      *Control
	keep   Retention
	look   bool // and touch nothing
	report func(Discard) error
	sum    Collected
	going  map[string]bool // with look: the parts of tasks that would be gone by their age
}

// Collect removes what is kept no longer by c.Retention, or with look only
// says what that is: in the order of the tasks' keys, and then what a budget
// takes. report may be nil. It is what a sweep does, all at once.
func (c *Control) Collect(ctx context.Context, look bool, report func(Discard) error) (Collected, error) {
	k := newCollector(c, c.Retention)
	k.look, k.report = look, report
	if _, err := k.aged(ctx, "", time.Time{}); err != nil {
		return k.sum, err
	}
	if _, err := k.beyond(ctx, time.Time{}); err != nil {
		return k.sum, err
	}
	return k.sum, k.records(ctx)
}

func newCollector(c *Control, keep Retention) *collector {
	return &collector{c: c, keep: keep.withDefaults(), going: map[string]bool{}}
}

// tell reports a part that is gone.
func (k *collector) tell(d Discard) error {
	k.sum.Bytes += d.Bytes
	if k.report == nil {
		return nil
	}
	return k.report(d)
}

// fate is what is known of a task whose blobs there are.
type fate struct {
	running bool
	orphan  bool      // nobody knows it: its blobs' own times count
	ended   time.Time // of one that is known
}

// errStep ends a listing when a step's time is over.
var errStep = errors.New("the step is over")

// aged removes what has outlived its time. It returns the key to go on from
// when until has come; a zero until never does.
func (k *collector) aged(ctx context.Context, from string, until time.Time) (next string, err error) {
	var task string // the element of its keys
	var what fate
	doomed := map[Part]*Discard{}
	var keys []string
	flush := func() error {
		if err := k.remove(ctx, keys); err != nil {
			return err
		}
		keys = nil
		return nil
	}
	told := func() error {
		for _, p := range []Part{PartManifests, PartLedgers, PartEvents, PartResults, PartFacts} {
			if d := doomed[p]; d != nil {
				if err := k.tell(*d); err != nil {
					return err
				}
				if k.look {
					k.going[task+"/"+string(p)] = true
				}
			}
		}
		clear(doomed)
		return nil
	}
	err = blob.Survey(ctx, k.c.Blobs, tasksPrefix, func(i blob.Info) error {
		k.sum.Held += i.Size
		element, ok := elementOfKey(i.Key)
		if !ok || i.Key < from {
			return nil
		}
		if element != task {
			if err := errors.Join(flush(), told()); err != nil {
				return err
			}
			if !until.IsZero() && time.Now().After(until) {
				next = i.Key
				return errStep
			}
			task = element
			var err error
			if what, err = k.c.fate(ctx, element); err != nil {
				return err
			}
		}
		part := partOf(i.Key)
		why, since := WhyAge, what.ended
		if what.orphan {
			why, since = WhyOrphan, i.Modified
		}
		if what.running || since.IsZero() || time.Since(since) <= k.keep.life(part) {
			return nil
		}
		d := doomed[part]
		if d == nil {
			d = &Discard{Task: idOfElement(element), Part: part, Why: why}
			doomed[part] = d
		}
		d.Ended = later(d.Ended, since)
		d.Blobs++
		d.Bytes += i.Size
		if keys = append(keys, i.Key); len(keys) >= 500 {
			return flush()
		}
		return nil
	})
	if err == nil {
		err = errors.Join(flush(), told())
	}
	if errors.Is(err, errStep) {
		err = nil
	}
	return next, err
}

func later(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}

// remove removes blobs, or only counts them.
func (k *collector) remove(ctx context.Context, keys []string) error {
	if len(keys) == 0 {
		return nil
	}
	if !k.look {
		if err := k.c.Blobs.Delete(ctx, keys...); err != nil {
			return err
		}
	}
	k.sum.Blobs += int64(len(keys))
	return nil
}

// fate finds out what became of the task that an element of keys stands for.
func (c *Control) fate(ctx context.Context, element string) (fate, error) {
	key := idOfElement(element)
	ids := []transfer.TaskID{key}
	// The key of an id that may be used again ends in something of its own.
	if i := strings.LastIndexByte(string(key), '.'); i > 0 {
		ids = append(ids, key[:i])
	}
	begun := time.Time{}
	if f, err := getOne[Facts](ctx, c.Blobs, tasksPrefix+element+"/"+factsName); err == nil {
		ids, begun = []transfer.TaskID{f.Workflow}, f.Begun
	} else if !fault.Is(err, fault.NotFound) {
		return fate{}, err
	}
	for _, id := range ids {
		t, err := c.Records.Task(ctx, id)
		switch {
		case fault.Is(err, fault.NotFound):
			continue
		case err != nil:
			return fate{}, err
		case t.Status == transfer.Succeeded || t.Status == transfer.Failed:
			return fate{ended: t.Completed}, nil
		case !begun.IsZero() && t.Requested.After(begun):
			// The id is in use again: what an earlier task of it left is old.
			return fate{ended: t.Requested}, nil
		}
		return fate{running: true}, nil
	}
	if c.Executions == nil {
		return fate{running: true}, nil // for all that is known
	}
	for _, id := range ids {
		running, err := c.Executions.Running(ctx, id)
		if err != nil || running {
			return fate{running: running}, err
		}
	}
	return fate{orphan: true}, nil
}

// holding is what one part of an ended task takes.
type holding struct {
	Discard
	prefixes []string
}

// beyond frees what is beyond the budget, until a time. more says that it is
// not done with that.
func (k *collector) beyond(ctx context.Context, until time.Time) (more bool, err error) {
	if k.keep.Budget <= 0 {
		return false, nil
	}
	var held int64
	tasks := map[string]map[Part]*holding{}
	err = blob.Survey(ctx, k.c.Blobs, "", func(i blob.Info) error {
		held += i.Size
		element, ok := elementOfKey(i.Key)
		if !ok {
			return nil
		}
		part := partOf(i.Key)
		if k.going[element+"/"+string(part)] {
			held -= i.Size
			return nil
		}
		if tasks[element] == nil {
			tasks[element] = map[Part]*holding{}
		}
		h := tasks[element][part]
		if h == nil {
			h = &holding{Discard: Discard{Task: idOfElement(element), Part: part, Why: WhyBudget}}
			tasks[element][part] = h
		}
		h.Blobs++
		h.Bytes += i.Size
		if prefix := prefixOf(i.Key); !slices.Contains(h.prefixes, prefix) {
			h.prefixes = append(h.prefixes, prefix)
		}
		return nil
	})
	if err != nil || held <= k.keep.Budget {
		return false, err
	}
	var queue []*holding
	for element, parts := range tasks {
		what, err := k.c.fate(ctx, element)
		if err != nil {
			return false, err
		}
		if what.running || what.orphan {
			continue
		}
		// Whoever cleans up after it goes by its ledgers.
		if _, err := k.c.Blobs.Get(ctx, orphansPrefix+element); !fault.Is(err, fault.NotFound) {
			if err != nil {
				return false, err
			}
			continue
		}
		for part, h := range parts {
			if h.Ended = what.ended; part != PartFacts {
				queue = append(queue, h)
			}
		}
	}
	order := map[Part]int{PartManifests: 0, PartLedgers: 0, PartEvents: 1, PartResults: 2}
	slices.SortFunc(queue, func(a, b *holding) int {
		return cmp.Or(cmp.Compare(order[a.Part], order[b.Part]), a.Ended.Compare(b.Ended), cmp.Compare(a.Task, b.Task), cmp.Compare(a.Part, b.Part))
	})
	for _, h := range queue {
		if held <= k.keep.Budget/10*9 {
			break
		}
		if !until.IsZero() && time.Now().After(until) {
			return true, nil
		}
		for _, prefix := range h.prefixes {
			if err := k.removeAll(ctx, prefix); err != nil {
				return false, err
			}
		}
		held -= h.Bytes
		if err := k.tell(h.Discard); err != nil {
			return false, err
		}
	}
	return false, nil
}

// prefixOf is what all keys of the same kind in a task begin with.
func prefixOf(key string) string {
	rest := strings.TrimPrefix(key, tasksPrefix)
	element, below, _ := strings.Cut(rest, "/")
	name, _, _ := strings.Cut(below, "/")
	return tasksPrefix + element + "/" + name + "/"
}

func (k *collector) removeAll(ctx context.Context, prefix string) error {
	var keys []string
	flush := func() error {
		err := k.remove(ctx, keys)
		keys = nil
		return err
	}
	err := k.c.Blobs.List(ctx, prefix, func(key string) error {
		if keys = append(keys, key); len(keys) >= 500 {
			return flush()
		}
		return nil
	})
	if err != nil {
		return err
	}
	return flush()
}

// records forgets the records of tasks that ended long ago.
func (k *collector) records(ctx context.Context) error {
	f, ok := k.c.Records.(RecordForgetter)
	if !ok {
		return nil
	}
	n, err := f.ForgetTasks(ctx, time.Now().Add(-k.keep.Records), k.look)
	k.sum.Records += n
	return err
}
