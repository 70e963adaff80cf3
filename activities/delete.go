package activities

import (
	"context"
	"errors"
	"fmt"
	"path"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/gridferry/gridferry/endpoints"
	"github.com/gridferry/gridferry/fault"
	"github.com/gridferry/gridferry/transfer"
)

// DeleteInput is one step, 30 s at most, of deleting either the extras that a
// walk listed (Lists, at Ends.Destination) or what a delete task names
// (Request; Ends.Destination is its endpoint).
type DeleteInput struct {
	Task    transfer.TaskID         `json:"task"`
	Ends    Ends                    `json:"ends"`
	Lists   []string                `json:"lists,omitempty"` // WalkResult.Extras of all steps
	Request *transfer.DeleteRequest `json:"request,omitempty"`
	Cursor  string                  `json:"cursor,omitempty"` // empty is the beginning
}

// DeleteResult is what a step did.
type DeleteResult struct {
	Cursor  string           `json:"cursor,omitempty"` // of the next step; empty when all is done
	Deleted int64            `json:"deleted"`          // names removed by this step
	Failed  []FailedFile     `json:"failed,omitempty"` // the first 25; all are in the results
	NFailed int64            `json:"n_failed,omitempty"`
	Faults  []transfer.Fault `json:"faults,omitempty"`
	Blocked *transfer.Fault  `json:"blocked,omitempty"` // why the rest waits; go on from Cursor
}

// Delete removes names at the destination, a directory after what is in it.
func (d *Data) Delete(ctx context.Context, in DeleteInput) (DeleteResult, error) {
	own, lost := d.vitals(ctx, "deleted names")
	stop := beatWith(ctx, func() any { return own })
	x := &deleter{d: d, in: in, until: time.Now().Add(stepTime), faults: lost}
	err := x.run(hearing(ctx, func(err error) {
		x.mu.Lock()
		defer x.mu.Unlock()
		x.faults.add(toFault(err, "", time.Now().UTC()))
	}))
	stop()
	own.ends(ctx, err)
	return x.res, toTemporal(err)
}

type deleter struct {
	d     *Data
	in    DeleteInput
	until time.Time
	at    *place

	mu      sync.Mutex
	res     DeleteResult
	faults  faultList
	results []transfer.Result
	begun   int // lines from which on this step worked
}

// errStepOver ends a step whose time is over.
var errStepOver = errors.New("the step is over")

func (x *deleter) run(ctx context.Context) error {
	e := x.in.Ends
	err := insist(ctx, patience, func() (err error) {
		x.at, err = x.d.open(ctx, e.Destination, e.Owner, e.DestinationCredential)
		return err
	})
	if err != nil {
		return err
	}
	defer x.at.Close()
	if req := x.in.Request; req != nil && x.in.Cursor == "" {
		if err := keepFacts(ctx, x.d.Blobs, Facts{Task: x.in.Task, Ends: e, Notify: req.Notify}); err != nil {
			return err
		}
	}
	// The cursor counts what is done: lines of the lists from the end, or paths.
	x.begun, _ = strconv.Atoi(x.in.Cursor)
	line, err := x.begun, error(nil)
	if x.in.Request != nil {
		line, err = x.paths(ctx, line)
	} else {
		line, err = x.lists(ctx, line)
	}
	x.res.Faults = x.faults
	switch {
	case err == nil:
	case errors.Is(err, errStepOver) || ctx.Err() != nil:
		x.res.Cursor = strconv.Itoa(line)
	case fault.Is(err, fault.Internal) || fault.Is(err, fault.Invalid):
		return err
	default:
		f := toFault(err, "", time.Now().UTC())
		x.res.Blocked, x.res.Cursor = &f, strconv.Itoa(line)
	}
	if len(x.results) == 0 {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), lastWords)
	defer cancel()
	group := fmt.Sprintf("delete-%010d", x.begun)
	return putLines(ctx, x.d.Blobs, resultsKey(x.in.Task, group, 0, newClock(ctx).now().UnixNano()), x.results)
}

// over says that nothing new should be begun.
func (x *deleter) over(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	select {
	case <-x.d.Stopping:
		return errStepOver
	default:
	}
	if time.Now().After(x.until) {
		return errStepOver
	}
	return nil
}

// lists removes extras, from the last to the first: each directory stands
// before what is in it.
func (x *deleter) lists(ctx context.Context, skip int) (line int, err error) {
	for k := len(x.in.Lists) - 1; k >= 0; k-- {
		names, err := getLines[extraName](ctx, x.d.Blobs, x.in.Lists[k])
		if err != nil {
			return skip, err
		}
		slices.Reverse(names)
		if line+len(names) <= skip {
			line += len(names)
			continue
		}
		names = names[max(0, skip-line):]
		line = max(line, skip)
		for len(names) > 0 {
			if err := x.over(ctx); err != nil {
				return line, err
			}
			// Files may go at once; a directory goes alone, after what is in it.
			n := 1
			for !names[0].Dir && n < len(names) && n < 200 && !names[n].Dir {
				n++
			}
			if err := x.batch(ctx, names[:n]); err != nil {
				return line, err
			}
			names = names[n:]
			line += n
		}
	}
	return line, nil
}

func (x *deleter) batch(ctx context.Context, names []extraName) error {
	var first error
	parallel(len(names), helpers, func(n int) {
		if err := x.remove(ctx, transfer.UnpackName(names[n].Path), names[n].Dir, true); err != nil {
			x.mu.Lock()
			if first == nil {
				first = err
			}
			x.mu.Unlock()
		}
	})
	return first
}

// remove removes one name. A fault of the name alone is listed; any other is
// returned.
func (x *deleter) remove(ctx context.Context, p string, dir, ignoreMissing bool) error {
	err := insist(ctx, patience, func() error { return x.at.Remove(ctx, p) })
	kind := fault.KindOf(err)
	x.mu.Lock()
	defer x.mu.Unlock()
	switch {
	case err == nil:
		x.res.Deleted++
		x.results = append(x.results, transfer.Result{Dest: strings.ToValidUTF8(p, "?"), Status: "deleted"})
		return nil
	case kind == fault.NotFound && ignoreMissing:
		return nil
	case kind == fault.Exists && dir && x.in.Request == nil:
		return nil // it holds names that are not ours to delete
	case ofOneName(kind) || kind == fault.Invalid:
		x.fail(p, err)
		return nil
	}
	return err
}

// fail lists a name. The caller holds mu.
func (x *deleter) fail(p string, err error) {
	f := toFault(err, p, time.Now().UTC())
	x.faults.add(f)
	x.res.NFailed++
	if len(x.res.Failed) < maxListed {
		x.res.Failed = append(x.res.Failed, FailedFile{Path: f.Path, Kind: f.Kind, Message: f.Message})
	}
	x.results = append(x.results, transfer.Result{Dest: f.Path, Status: statusFailed, Fault: &f})
}

// paths removes what a delete task names.
func (x *deleter) paths(ctx context.Context, skip int) (done int, err error) {
	req := x.in.Request
	for done = skip; done < len(req.Paths); done++ {
		if err := x.over(ctx); err != nil {
			return done, err
		}
		loc, err := transfer.ParseLocation(req.Paths[done])
		if err != nil {
			return done, err
		}
		p, err := x.at.at(ctx, loc)
		if err != nil {
			return done, err
		}
		if p == "/" {
			return done, fault.New(fault.Invalid, "delete", req.Paths[done], "is the root of the endpoint")
		}
		e, err := stat(ctx, x.at, p)
		switch kind := fault.KindOf(err); {
		case kind == fault.NotFound && req.IgnoreMissing:
			continue
		case err != nil && ofOneName(kind):
			x.mu.Lock()
			x.fail(p, err)
			x.mu.Unlock()
			continue
		case err != nil:
			return done, err
		}
		if e.Type == endpoints.Dir && req.Recursive {
			_, err = x.tree(ctx, p)
		} else {
			err = x.remove(ctx, p, e.Type == endpoints.Dir, req.IgnoreMissing)
		}
		if err != nil {
			return done, err
		}
	}
	return done, nil
}

// handful is how many names of a directory are in memory while it is emptied.
const handful = 10_000

// errHandful ends a listing early.
var errHandful = errors.New("enough names for now")

// tree removes a directory and what is in it. gone is false when something in
// it could not be removed. What is left when a step is over, the next one
// lists again.
func (x *deleter) tree(ctx context.Context, dir string) (gone bool, err error) {
	for {
		var files, dirs []string
		err := x.at.List(ctx, dir, func(page []endpoints.Entry) error {
			for _, e := range page {
				if !wellNamed(e.Name) {
					continue
				}
				p := path.Join(dir, e.Name)
				if e.Type == endpoints.Dir {
					dirs = append(dirs, p)
				} else {
					files = append(files, p)
				}
			}
			if len(files)+len(dirs) >= handful {
				return errHandful
			}
			return nil
		})
		cut := errors.Is(err, errHandful)
		switch kind := fault.KindOf(err); {
		case err == nil || cut:
		case kind == fault.NotFound:
			return true, nil
		case ofOneName(kind):
			x.mu.Lock()
			x.fail(dir, err)
			x.mu.Unlock()
			return false, nil
		default:
			return false, err
		}
		failed := x.res.NFailed
		for batch := range slices.Chunk(files, 200) {
			if err := x.over(ctx); err != nil {
				return false, err
			}
			names := make([]extraName, len(batch))
			for i, p := range batch {
				names[i] = extraName{Path: transfer.PackName(p)}
			}
			if err := x.batch(ctx, names); err != nil {
				return false, err
			}
		}
		left := false
		for _, d := range dirs {
			gone, err := x.tree(ctx, d)
			if err != nil {
				return false, err
			}
			left = left || !gone
		}
		if left || x.res.NFailed > failed {
			return false, nil // another look would find the same
		}
		if !cut {
			failed := x.res.NFailed
			err := x.remove(ctx, dir, true, true)
			return err == nil && x.res.NFailed == failed, err
		}
	}
}
