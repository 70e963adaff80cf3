package activities

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/gridferry/gridferry/fault"
	"github.com/gridferry/gridferry/transfer"
)

// ReadWhat names a kind of thing to read.
type ReadWhat string

// What can be read.
const (
	ReadTask    ReadWhat = "task"
	ReadTasks   ReadWhat = "tasks"
	ReadEvents  ReadWhat = "events"
	ReadResults ReadWhat = "results"
	ReadSheet   ReadWhat = "sheet"
	ReadExtras  ReadWhat = "extras"
)

// ReadInput asks for a page of what is kept of a task.
type ReadInput struct {
	What  ReadWhat           `json:"what"`
	Task  transfer.TaskID    `json:"task,omitempty"` // for a task, its id; otherwise the key of its blobs
	Key   string             `json:"key,omitempty"`  // of a sheet or a list of extras: Chunk.Sheet, WalkResult.Extras
	Query transfer.TaskQuery `json:"query,omitzero"` // for tasks
	Page  transfer.Page      `json:"page,omitzero"`  // for events, results and sheets

	Results *transfer.ResultQuery `json:"results,omitempty"` // for results; nil selects all, from Page
}

// ReadResult is what was asked for.
type ReadResult struct {
	Task    *transfer.Task    `json:"task,omitempty"`
	Tasks   *transfer.Tasks   `json:"tasks,omitempty"`
	Events  []transfer.Event  `json:"events,omitempty"`
	Results []transfer.Result `json:"results,omitempty"`
	Files   []transfer.File   `json:"files,omitempty"`
	Extras  []string          `json:"extras,omitempty"` // paths, packed (transfer.PackName)
	Next    string            `json:"next,omitempty"`   // empty on the last page
}

// Read returns a page of events, results, a chunk's files, extras, or tasks.
func (c *Control) Read(ctx context.Context, in ReadInput) (ReadResult, error) {
	res, err := c.read(ctx, in)
	return res, toTemporal(err)
}

func (c *Control) read(ctx context.Context, in ReadInput) (out ReadResult, err error) {
	switch in.What {
	case ReadTask:
		t, err := c.Records.Task(ctx, in.Task)
		return ReadResult{Task: &t}, err
	case ReadTasks:
		t, err := c.Records.Tasks(ctx, in.Query)
		return ReadResult{Tasks: &t}, err
	case ReadEvents:
		p := &pager{c: c, prefix: eventsPrefix(in.Task), same: func(key string) string { return key }}
		out.Events, out.Next, err = page[transfer.Event](ctx, p, in.Page)
	case ReadResults:
		q := transfer.ResultQuery{Page: in.Page}
		if in.Results != nil {
			q = *in.Results
		}
		out.Results, out.Next, err = c.results(ctx, in.Task, q)
	case ReadSheet:
		if !strings.HasPrefix(in.Key, sheetsPrefix(in.Task)) {
			return out, fault.New(fault.Invalid, "read", in.Key, "is no sheet of the task")
		}
		p := &pager{c: c, prefix: in.Key, same: func(key string) string { return key }}
		out.Files, out.Next, err = page[transfer.File](ctx, p, in.Page)
	case ReadExtras:
		if !strings.HasPrefix(in.Key, extrasPrefix(in.Task)) {
			return out, fault.New(fault.Invalid, "read", in.Key, "is no list of extras of the task")
		}
		p := &pager{c: c, prefix: in.Key, same: func(key string) string { return key }}
		var names []extraName
		names, out.Next, err = page[extraName](ctx, p, in.Page)
		for _, n := range names {
			out.Extras = append(out.Extras, n.Path)
		}
	default:
		err = fault.New(fault.Invalid, "read", string(in.What), "is not kept")
	}
	return out, err
}

// withoutEpoch is what the versions of one page of results have in common.
func withoutEpoch(key string) string {
	if i := strings.LastIndexByte(key, '-'); i >= 0 {
		return key[:i]
	}
	return key
}

// pager reads a list that is kept as pages below a prefix. Of several keys
// with the same name, the last counts.
type pager struct {
	c      *Control
	prefix string
	same   func(key string) string
}

// errEnough ends a listing.
var errEnough = errors.New("enough")

// page returns the lines after a token, which is the name of a stored page
// and a line in it.
func page[T any](ctx context.Context, p *pager, want transfer.Page) (lines []T, next string, err error) {
	limit := want.Limit
	if limit <= 0 {
		limit = 100
	}
	limit = min(limit, 1000)
	from, skip := "", 0
	if want.Token != "" {
		name, line, ok := strings.Cut(want.Token, "@")
		if skip, err = strconv.Atoi(line); !ok || err != nil || skip < 0 {
			return nil, "", fault.New(fault.Invalid, "read", "page.token", "is not one that we gave")
		}
		from = p.prefix + name
	}
	var last string // the key that counts of those with the same name
	take := func(key string) error {
		if key == "" || p.same(key) < from {
			return nil
		}
		all, err := getLines[T](ctx, p.c.Blobs, key)
		if err != nil {
			return err
		}
		if p.same(key) != from {
			skip = 0
		}
		for i := skip; i < len(all); i++ {
			if len(lines) == limit {
				next = fmt.Sprintf("%s@%d", strings.TrimPrefix(p.same(key), p.prefix), i)
				return errEnough
			}
			lines = append(lines, all[i])
		}
		return nil
	}
	err = p.c.Blobs.List(ctx, p.prefix, func(key string) error {
		if last != "" && p.same(last) != p.same(key) {
			if err := take(last); err != nil {
				return err
			}
		}
		last = key
		return nil
	})
	if err == nil {
		err = take(last)
	}
	if errors.Is(err, errEnough) {
		err = nil
	}
	return lines, next, err
}
