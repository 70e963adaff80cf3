package activities

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/gridferry/gridferry/blob"
	"github.com/gridferry/gridferry/fault"
	"github.com/gridferry/gridferry/transfer"
)

// searchTime bounds how long one page of results is looked for among lines
// that a query does not select: whoever asks gets a marker to go on from.
const searchTime = 5 * time.Second

// resultGroup is the pages of one chunk, or of a step of the walk.
type resultGroup struct {
	name  string
	pages []resultPage // in their order
}

// resultPage is a stored page, and its index when it has one.
type resultPage struct {
	key   string
	index *pageIndex
}

// resultReader reads the results of a task. It holds one group's index, and
// one page of lines, in memory at a time; of all groups it knows the names.
type resultReader struct {
	blobs   blob.Store
	task    transfer.TaskID
	indexes map[string]string
}

func newResultReader(ctx context.Context, blobs blob.Store, task transfer.TaskID) (*resultReader, error) {
	keys, err := indexes(ctx, blobs, task)
	return &resultReader{blobs: blobs, task: task, indexes: keys}, err
}

// each calls fn with every group from one on, in the order of their names,
// which is about that of their beginnings.
func (r *resultReader) each(ctx context.Context, from string, fn func(name string, keys []string) error) error {
	prefix := resultsPrefix(r.task)
	var name string
	var keys []string
	flush := func() error {
		if len(keys) == 0 || name+"/" < from+"/" { // as keys are sorted
			return nil
		}
		return fn(name, keys)
	}
	err := r.blobs.List(ctx, prefix, func(key string) error {
		group, _, ok := strings.Cut(strings.TrimPrefix(key, prefix), "/")
		if !ok {
			return nil
		}
		if group != name {
			if err := flush(); err != nil {
				return err
			}
			name, keys = group, nil
		}
		if n := len(keys); n > 0 && withoutEpoch(keys[n-1]) == withoutEpoch(key) {
			keys[n-1] = key // of several epochs of a page, the last counts
			return nil
		}
		keys = append(keys, key)
		return nil
	})
	if err != nil {
		return err
	}
	return flush()
}

// group finds out which of a group's pages count.
func (r *resultReader) group(ctx context.Context, name string, keys []string) (resultGroup, error) {
	g := resultGroup{name: name}
	if key, ok := r.indexes[name]; ok {
		var index []pageIndex
		data, err := r.blobs.Get(ctx, key)
		if err == nil {
			index, err = unpackIndex(data)
		}
		for i := range index {
			g.pages = append(g.pages, resultPage{resultsKey(r.task, name, index[i].Page, index[i].Epoch), &index[i]})
		}
		if !gone(err) {
			return g, err
		}
	}
	for _, key := range keys {
		g.pages = append(g.pages, resultPage{key: key})
	}
	return g, nil
}

// lines returns a page; none of one that was swept away meanwhile.
func (r *resultReader) lines(ctx context.Context, p resultPage) ([]transfer.Result, error) {
	lines, err := getLines[transfer.Result](ctx, r.blobs, p.key)
	if gone(err) {
		return nil, nil
	}
	return lines, err
}

// results returns a page of what a query selects, and the marker to go on
// from: the page and the line that come next. Markers stay good as long as the
// results are kept; what a running task adds may lie before one.
func (c *Control) results(ctx context.Context, task transfer.TaskID, q transfer.ResultQuery) (found []transfer.Result, next string, err error) {
	if q.Path != "" && q.Page.Token == "" {
		found, err = c.resultsOf(ctx, task, q)
		return found, "", err
	}
	limit := q.Page.Limit
	if limit <= 0 {
		limit = 100
	}
	limit = min(limit, 1000)
	group, page, skip, err := parseMarker(q.Page.Token)
	if err != nil {
		return nil, "", err
	}
	r, err := newResultReader(ctx, c.Blobs, task)
	if err != nil {
		return nil, "", err
	}
	var begun time.Time
	err = r.each(ctx, group, func(name string, keys []string) error {
		if begun.IsZero() {
			begun = time.Now() // however long it took to find the place: a marker must lead further than the one before
		}
		if time.Since(begun) > searchTime {
			next = marker(name, 0, 0)
			return errEnough
		}
		g, err := r.group(ctx, name, keys)
		if err != nil {
			return err
		}
		for _, p := range g.pages {
			number, _, _ := splitResultsKey(p.key)
			first := 0
			if name == group {
				if number < page {
					continue
				}
				if number == page {
					first = skip
				}
			}
			if p.index != nil && !p.index.may(&q) {
				continue
			}
			if time.Since(begun) > searchTime {
				next = marker(name, number, first)
				return errEnough
			}
			lines, err := r.lines(ctx, p)
			if err != nil {
				return err
			}
			for i := first; i < len(lines); i++ {
				if !q.Selects(lines[i]) {
					continue
				}
				if len(found) == limit {
					next = marker(name, number, i)
					return errEnough
				}
				found = append(found, lines[i])
			}
		}
		return nil
	})
	if errors.Is(err, errEnough) {
		err = nil
	}
	return found, next, err
}

// marker names a line of results: the next one to be read.
func marker(group string, page, line int) string { return fmt.Sprintf("%s/%06d@%d", group, page, line) }

func parseMarker(token string) (group string, page, line int, err error) {
	if token == "" {
		return "", 0, 0, nil
	}
	name, digits, ok := strings.Cut(token, "@")
	group, number, ok2 := strings.Cut(name, "/")
	line, err = strconv.Atoi(digits)
	page, err2 := strconv.Atoi(number)
	if !ok || !ok2 || err != nil || err2 != nil || line < 0 || page < 0 {
		return "", 0, 0, fault.New(fault.Invalid, "read", "page.token", "is not one that we gave")
	}
	return group, page, line, nil
}

// mostOfOne bounds how many results one path may have: it has one, or a few
// where it was left out by several items of a request.
const mostOfOne = 1000

// lookers is how many groups are looked into at once for a path.
const lookers = 8

// resultsOf returns the results of one file, by its path at either end.
func (c *Control) resultsOf(ctx context.Context, task transfer.TaskID, q transfer.ResultQuery) ([]transfer.Result, error) {
	r, err := newResultReader(ctx, c.Blobs, task)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	type listed struct {
		name string
		keys []string
	}
	groups := make(chan listed, lookers)
	var mu sync.Mutex
	var found []transfer.Result
	var wg sync.WaitGroup
	for range lookers {
		wg.Go(func() {
			for l := range groups {
				some, err := r.look(ctx, l.name, l.keys, q)
				if err != nil {
					cancel(err) // the first counts
					continue
				}
				mu.Lock()
				if len(found) < mostOfOne {
					found = append(found, some...)
				}
				mu.Unlock()
			}
		})
	}
	err = r.each(ctx, "", func(name string, keys []string) error {
		select {
		case groups <- listed{name, keys}:
			return nil
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	})
	close(groups)
	wg.Wait()
	if cause := context.Cause(ctx); cause != nil {
		err = cause
	}
	return found, err
}

// look returns what a query selects of one group.
func (r *resultReader) look(ctx context.Context, name string, keys []string, q transfer.ResultQuery) (found []transfer.Result, err error) {
	g, err := r.group(ctx, name, keys)
	if err != nil {
		return nil, err
	}
	for _, p := range g.pages {
		if p.index != nil && !p.index.may(&q) {
			continue
		}
		lines, err := r.lines(ctx, p)
		if err != nil {
			return nil, err
		}
		for _, l := range lines {
			if q.Selects(l) {
				found = append(found, l)
			}
		}
	}
	return found, nil
}
