package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/gridferry/gridferry/endpoints"
	"github.com/gridferry/gridferry/fault"
	"github.com/gridferry/gridferry/starter"
	"github.com/gridferry/gridferry/transfer"
)

// noon is the time in the scripts.
var noon = time.Date(2026, 5, 4, 12, 0, 0, 0, time.UTC)

// fake is a service in a directory, so that several commands of a script share
// it. Endpoints are the directories below "endpoints". How a task ends depends
// on its first source: one that holds "broken" fails, one that holds "slow"
// never ends, and any other succeeds after a few looks.
type fake struct {
	dir   string
	looks int
	poked chan struct{} // one for each look
}

type fakeTask struct {
	Task    transfer.Task           `json:"task"`
	Request *transfer.Request       `json:"request,omitempty"`
	Delete  *transfer.DeleteRequest `json:"delete,omitempty"`
}

// connectFake leaves a file named "contacted" behind: scripts assert that a wrong
// command line contacts nothing.
func connectFake(_ context.Context, c starter.Connection) (transfer.Service, func(), error) {
	if err := os.WriteFile("contacted", nil, 0o644); err != nil {
		return nil, nil, err
	}
	if c.Address == "away.example.org:7233" {
		return nil, nil, &fault.Error{Kind: fault.Transient, Op: "connect to Temporal at", Path: c.Address, Err: errors.New("connection refused"), Hint: "check --address"}
	}
	return &fake{dir: ".", poked: make(chan struct{}, 100)}, func() {}, nil
}

// serveFake leaves files named "served" and "stopped" behind.
func serveFake(_ context.Context, _ starter.Connection, task transfer.TaskID, site string) (starter.Local, error) {
	if os.Getenv("GRIDFERRY_TEST_ALONE") != "" {
		return nil, &fault.Error{Kind: fault.Transient, Op: "reach the service at", Path: "unix:/away", Err: errors.New("connection refused"), Hint: "is gridferryd running there?"}
	}
	return localFake{}, os.WriteFile("served", []byte(fmt.Sprintln(task, site)), 0o644)
}

type localFake struct{}

func (localFake) Failed() <-chan error { return nil }

func (localFake) Stop() {
	if err := os.WriteFile("stopped", nil, 0o644); err != nil {
		panic(err)
	}
}

func (f *fake) taskFile(id transfer.TaskID) string {
	return filepath.Join(f.dir, "task-"+string(id)+".json")
}

func (f *fake) load(id transfer.TaskID) (fakeTask, error) {
	var t fakeTask
	text, err := os.ReadFile(f.taskFile(id))
	if err != nil {
		return t, &fault.Error{Kind: fault.NotFound, Op: "find task", Path: string(id), Hint: "\"gridferry tasks\" lists those that there are"}
	}
	return t, json.Unmarshal(text, &t)
}

func (f *fake) store(t fakeTask) error {
	text, err := json.MarshalIndent(t, "", "  ")
	if err != nil {
		return err
	}
	return os.WriteFile(f.taskFile(t.Task.ID), append(text, '\n'), 0o644)
}

func (f *fake) Submit(_ context.Context, id transfer.TaskID, req transfer.Request) (transfer.TaskID, error) {
	if _, err := f.load(id); err == nil {
		return id, nil
	}
	full := req.Normalised(noon)
	src := full.Items[0].Source
	t := transfer.Task{
		ID: id, Type: "TRANSFER", Status: transfer.Active, Phase: transfer.PhaseCopying, Verdict: "progressing", Owner: req.Owner, Label: req.Label,
		Source: src, Destination: full.Items[0].Destination, Requested: noon, Deadline: full.Deadline,
		Route:    transfer.Route{Path: transfer.RouteThirdParty, Queue: transfer.QueueData, Reason: "straight from server to server"},
		Progress: transfer.Progress{Files: 2000, Bytes: 1e9, Directories: 7, FilesDone: 500, BytesDone: 240e6, BytesInFlight: 10e6, Rate: 50e6, ETA: transfer.Duration(15 * time.Second)},
		Chunks:   f.chunks(req),
	}
	switch {
	case strings.Contains(src, "broken"):
		t.Status, t.Phase, t.Verdict, t.Completed = transfer.Failed, transfer.PhaseDone, "failed: one file could not be read", noon.Add(20*time.Second)
		t.Progress = transfer.Progress{Files: 2000, Bytes: 1e9, FilesDone: 1999, BytesDone: 999e6, FilesFailed: 1, Faults: 5, Rate: 50e6}
		t.Fatal = &transfer.Fault{Kind: fault.Permission, Message: "500-Command failed.\r\n500 open: Permission denied", Path: "/data/broken/x", Time: noon.Add(19 * time.Second), Count: 5}
	case !strings.Contains(src, "slow"):
		t.Status, t.Phase, t.Verdict, t.Completed = transfer.Succeeded, transfer.PhaseDone, "done", noon.Add(20*time.Second)
		t.Progress = transfer.Progress{Files: 2000, Bytes: 1e9, Directories: 7, FilesDone: 2000, BytesDone: 1e9, Rate: 50e6, FilesUnverified: 3}
	}
	return id, f.store(fakeTask{Task: t, Request: &req})
}

func (f *fake) chunks(req transfer.Request) []transfer.Chunk {
	var files []transfer.File
	for i := range 1998 {
		files = append(files, transfer.File{Source: fmt.Sprint(i), Size: 10_000})
	}
	files = append(files, transfer.File{Source: "x", Size: 480e6}, transfer.File{Source: "y", Size: 500e6})
	var chunks []transfer.Chunk
	for i, p := range transfer.Cut(files, transfer.CutOptions{}) {
		chunks = append(chunks, transfer.Chunk{
			ID: fmt.Sprintf("1.%d", i+1), Files: p.Stats.Files, Bytes: p.Stats.Bytes, Class: p.Class,
			Tuning: transfer.Tune(req.Tuning, p.Stats, transfer.Setting{}),
		})
	}
	return chunks
}

func (f *fake) SubmitDelete(_ context.Context, id transfer.TaskID, req transfer.DeleteRequest) (transfer.TaskID, error) {
	t := transfer.Task{
		ID: id, Type: "DELETE", Status: transfer.Succeeded, Phase: transfer.PhaseDone, Verdict: "done", Owner: req.Owner, Label: req.Label,
		Destination: req.Paths[0], Requested: noon, Completed: noon.Add(time.Second), Deadline: noon.Add(time.Hour), Progress: transfer.Progress{Deleted: int64(len(req.Paths))},
	}
	return id, f.store(fakeTask{Task: t, Delete: &req})
}

func (f *fake) Task(_ context.Context, id transfer.TaskID) (transfer.Task, error) {
	t, err := f.load(id)
	f.looks++
	if f.looks <= 2 && t.Task.Status == transfer.Succeeded && os.Getenv("GRIDFERRY_TEST_LIVE") != "" {
		t.Task.Status, t.Task.Completed = transfer.Active, time.Time{}
		t.Task.Progress.FilesDone, t.Task.Progress.BytesDone, t.Task.Progress.Walking = 500, 250e6, f.looks == 1
	}
	select {
	case f.poked <- struct{}{}:
	default:
	}
	return t.Task, err
}

func (f *fake) Tasks(_ context.Context, q transfer.TaskQuery) (transfer.Tasks, error) {
	names, err := filepath.Glob(filepath.Join(f.dir, "task-*.json"))
	if err != nil {
		return transfer.Tasks{}, err
	}
	slices.Sort(names)
	slices.Reverse(names)
	var all []transfer.Task
	for _, name := range names {
		t, err := f.load(transfer.TaskID(strings.TrimSuffix(strings.TrimPrefix(filepath.Base(name), "task-"), ".json")))
		if err != nil {
			return transfer.Tasks{}, err
		}
		if (q.Owner == "" || t.Task.Owner == q.Owner) && (len(q.Status) == 0 || slices.Contains(q.Status, t.Task.Status)) {
			t.Task.Chunks = nil
			all = append(all, t.Task)
		}
	}
	from, _ := strconv.Atoi(q.Page.Token)
	to := min(len(all), from+min(q.Page.Limit, 2)) // small pages: the command must ask for more
	page := transfer.Tasks{Tasks: all[from:to]}
	if to < len(all) {
		page.Next = strconv.Itoa(to)
	}
	return page, nil
}

func (f *fake) Events(_ context.Context, id transfer.TaskID, p transfer.Page) (transfer.Events, error) {
	t, err := f.load(id)
	if err != nil {
		return transfer.Events{}, err
	}
	if p.Token == "" {
		return transfer.Events{Next: "1", Events: []transfer.Event{
			{Time: noon, Code: transfer.EventStarted, Description: "started"},
			{Time: noon, Code: transfer.EventRoute, Description: t.Task.Route.Reason},
		}}, nil
	}
	return transfer.Events{Events: []transfer.Event{
		{Time: noon.Add(time.Second), Code: transfer.EventFault, Description: "copy 1.1",
			Fault: &transfer.Fault{Kind: fault.Transient, Message: "421 Service busy\x1b[2J\r\n421 go away", Path: "/data/x"}},
	}}, nil
}

func (f *fake) Results(_ context.Context, id transfer.TaskID, q transfer.ResultQuery) (transfer.Results, error) {
	if _, err := f.load(id); err != nil {
		return transfer.Results{}, err
	}
	all := []transfer.Result{
		{Source: "/data/a", Dest: "/in/a", Size: 10, Algorithm: "sha256", Checksum: "6b86b273", Status: "copied"},
		{Source: "/data/b\nc", Dest: "/in/b\nc", Size: 0, Status: "skipped"},
		{Source: "/data/x", Dest: "/in/x", Size: 7, Status: "failed", Fault: &transfer.Fault{Kind: fault.Permission, Message: "550 open /data/x: Permission denied", Path: "/data/x"}},
	}
	return transfer.Results{Results: slices.DeleteFunc(all, func(r transfer.Result) bool { return !q.Selects(r) })}, nil
}

// Wait returns a task that has ended once it has been looked at three times,
// so that progress is shown before.
func (f *fake) Wait(ctx context.Context, id transfer.TaskID) (transfer.Task, error) {
	t, err := f.load(id)
	if err != nil {
		return transfer.Task{}, err
	}
	if t.Task.Status == transfer.Active {
		<-ctx.Done()
		return transfer.Task{}, ctx.Err()
	}
	if os.Getenv("GRIDFERRY_TEST_LIVE") != "" {
		for range 3 {
			<-f.poked
		}
	}
	return t.Task, nil
}

// change stores what do does to a task that runs.
func (f *fake) change(id transfer.TaskID, do func(*transfer.Task)) error {
	t, err := f.load(id)
	if err != nil {
		return err
	}
	if t.Task.Status != transfer.Active {
		return fault.New(fault.Invalid, "change task", string(id), "has ended already")
	}
	do(&t.Task)
	return f.store(t)
}

func (f *fake) Pause(_ context.Context, id transfer.TaskID) error {
	return f.change(id, func(t *transfer.Task) { t.Paused, t.Verdict = true, "paused by ada" })
}

func (f *fake) Resume(_ context.Context, id transfer.TaskID) error {
	return f.change(id, func(t *transfer.Task) { t.Paused, t.Verdict = false, "progressing" })
}

func (f *fake) Cancel(_ context.Context, id transfer.TaskID) error {
	return f.change(id, func(t *transfer.Task) {
		t.Status, t.Completed, t.Verdict = transfer.Failed, noon.Add(time.Minute), "canceled by ada"
	})
}

func (f *fake) Modify(_ context.Context, id transfer.TaskID, c transfer.Change) error {
	return f.change(id, func(t *transfer.Task) {
		if c.Label != nil {
			t.Label = *c.Label
		}
		if c.Deadline != nil {
			t.Deadline = *c.Deadline
		}
		if c.Tuning != nil {
			for i := range t.Chunks {
				t.Chunks[i].Tuning = transfer.Tune(*c.Tuning, transfer.Stats{}, transfer.Setting{})
			}
		}
	})
}

func (f *fake) Plan(_ context.Context, req transfer.Request) (transfer.Plan, error) {
	p := transfer.Plan{
		Route:    transfer.Route{Path: transfer.RouteThirdParty, Queue: transfer.QueueData, Reason: "straight from server to server"},
		Chunks:   f.chunks(req),
		Progress: transfer.Progress{Files: 2000, Bytes: 999_980_000, Directories: 7, FilesSkipped: 12},
	}
	if req.DeleteExtra {
		p.Deletes = []string{"/archive/gone", "/archive/odd\x1bname"}
	}
	return p, nil
}

// path maps a place to a path below "endpoints".
func (f *fake) path(at transfer.Place) (string, error) {
	loc, err := transfer.ParseLocation(at.Location)
	if err != nil {
		return "", err
	}
	name := strings.NewReplacer("://", "-", ":", "-").Replace(loc.Endpoint)
	dir := filepath.Join(f.dir, "endpoints", name)
	if _, err := os.Stat(dir); err != nil {
		return "", &fault.Error{Kind: fault.NotFound, Op: "find endpoint", Path: loc.Endpoint, Hint: "ask your site which names it knows"}
	}
	return filepath.Join(dir, loc.In("/home/ada")), nil
}

func fakeError(op, path string, err error) error {
	switch {
	case errors.Is(err, os.ErrNotExist):
		return fault.New(fault.NotFound, op, path, "550 No such file or directory")
	case errors.Is(err, os.ErrExist):
		return fault.New(fault.Exists, op, path, "550 File exists")
	}
	return fault.Wrap(fault.Internal, op, path, err)
}

func fakeEntry(name string, info os.FileInfo) endpoints.Entry {
	e := endpoints.Entry{Name: name, Type: endpoints.File, Size: info.Size(), ModTime: noon.Add(-time.Hour), Mode: 0o644}
	if info.IsDir() {
		e.Type, e.Size, e.Mode = endpoints.Dir, 0, 0o755
	}
	return e
}

func (f *fake) List(_ context.Context, at transfer.Place, _ transfer.Page) (transfer.Listing, error) {
	dir, err := f.path(at)
	if err != nil {
		return transfer.Listing{}, err
	}
	names, err := os.ReadDir(dir)
	if err != nil {
		return transfer.Listing{}, fakeError("list", at.Location, err)
	}
	var l transfer.Listing
	for _, n := range names {
		info, err := n.Info()
		if err != nil {
			return l, err
		}
		l.Entries = append(l.Entries, fakeEntry(n.Name(), info))
	}
	return l, nil
}

func (f *fake) Stat(_ context.Context, at transfer.Place) (endpoints.Entry, error) {
	p, err := f.path(at)
	if err != nil {
		return endpoints.Entry{}, err
	}
	info, err := os.Stat(p)
	if err != nil {
		return endpoints.Entry{}, fakeError("stat", at.Location, err)
	}
	return fakeEntry("/"+filepath.Base(p), info), nil
}

func (f *fake) Mkdir(_ context.Context, at transfer.Place) error {
	p, err := f.path(at)
	if err != nil {
		return err
	}
	if err := os.Mkdir(p, 0o755); err != nil {
		return fakeError("make directory", at.Location, err)
	}
	return nil
}

func (f *fake) Rename(_ context.Context, at transfer.Place, to string) error {
	p, err := f.path(at)
	if err != nil {
		return err
	}
	loc, err := transfer.ParseLocation(at.Location)
	if err != nil {
		return err
	}
	q, err := f.path(transfer.Place{Location: loc.At(to).String()})
	if err != nil {
		return err
	}
	if err := os.Rename(p, q); err != nil {
		return fakeError("rename", at.Location, err)
	}
	return nil
}
