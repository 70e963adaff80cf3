package service_test

import (
	"bytes"
	"context"
	"flag"
	"fmt"
	"log/slog"
	"os"
	"path"
	"path/filepath"
	"testing"
	"time"

	enumspb "go.temporal.io/api/enums/v1"
	historypb "go.temporal.io/api/history/v1"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/log"
	"go.temporal.io/sdk/worker"
	"google.golang.org/protobuf/encoding/protojson"

	"github.com/gridferry/gridferry/blob"
	"github.com/gridferry/gridferry/endpoints"
	"github.com/gridferry/gridferry/endpoints/memory"
	"github.com/gridferry/gridferry/integration/harness"
	"github.com/gridferry/gridferry/service"
	"github.com/gridferry/gridferry/service/store"
	"github.com/gridferry/gridferry/transfer"
	"github.com/gridferry/gridferry/workers"
	"github.com/gridferry/gridferry/workflows"
)

var update = flag.Bool("update", false, "record the histories in workflows/testdata")

// site is a Temporal server, our workers, and two disks "src" and "dst".
type site struct {
	t        *testing.T
	client   client.Client
	service  *service.Service
	src, dst *memory.Disk
	kept     *store.Store
	config   workers.Config
	stop     func() // the workers
}

func newSite(t *testing.T, flags ...string) *site {
	t.Helper()
	temporal := harness.NewTemporal(t, harness.TemporalOptions{Flags: flags})
	// Neither this machine's name nor a process number belongs into a history.
	c, err := client.Dial(client.Options{
		HostPort: temporal.Address, Namespace: temporal.Namespace, Identity: "recorder",
		Logger: log.NewStructuredLogger(slog.New(slog.NewTextHandler(testLog{t}, &slog.HandlerOptions{Level: slog.LevelWarn}))),
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	kept, err := store.Open(t.Context(), filepath.Join(t.TempDir(), "state.db"), store.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { kept.Close() })
	s := &site{t: t, client: c, service: service.New(c, service.Options{}), src: memory.NewDisk(memory.Options{}), dst: memory.NewDisk(memory.Options{}), kept: kept}
	s.config = workers.Config{
		Client: c, Blobs: blob.NewMemory(), Leases: kept, Records: kept, Waiters: kept, Identity: "recorder", Sweep: -1, Copies: 4,
		Endpoints: memory.NewOpener(map[string]*memory.Disk{"src": s.src, "dst": s.dst}),
		Log:       slog.New(slog.NewTextHandler(testLog{t}, nil)),
	}
	s.start(workers.Control, workers.Data)
	return s
}

// start starts workers, which stop says when to stop.
func (s *site) start(roles ...workers.Role) {
	s.t.Helper()
	p, err := workers.Start(s.t.Context(), s.config, roles...)
	if err != nil {
		s.t.Fatal(err)
	}
	s.stop = p.Stop
	s.t.Cleanup(p.Stop)
}

// testLog is where the workers log to.
type testLog struct{ t *testing.T }

func (l testLog) Write(p []byte) (int, error) {
	l.t.Log(string(bytes.TrimSpace(p)))
	return len(p), nil
}

// put writes files of a few bytes at the source.
func (s *site) put(paths ...string) {
	s.t.Helper()
	for _, p := range paths {
		write(s.t, s.src, p, []byte("what is in "+p))
	}
}

func write(t *testing.T, d *memory.Disk, p string, data []byte) {
	t.Helper()
	at := d.Open()
	defer at.Close()
	for i := 1; i < len(p); i++ {
		if p[i] == '/' {
			_ = at.Mkdir(t.Context(), p[:i])
		}
	}
	w, err := at.Create(t.Context(), p, endpoints.CreateOptions{Size: int64(len(data))})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.Write(data); err != nil {
		t.Fatal(err)
	}
	if err := w.Commit(); err != nil {
		t.Fatal(err)
	}
}

// same compares the trees of both disks, names and bytes.
func (s *site) same(dir string) {
	s.t.Helper()
	want, got := read(s.t, s.src, dir), read(s.t, s.dst, dir)
	if len(want) == 0 {
		s.t.Fatalf("nothing in %s at the source", dir)
	}
	for p, data := range want {
		if !bytes.Equal(got[p], data) {
			s.t.Errorf("%s arrived as %q", p, got[p])
		}
		delete(got, p)
	}
	for p := range got {
		s.t.Errorf("%s is left at the destination", p)
	}
}

func read(t *testing.T, d *memory.Disk, dir string) map[string][]byte {
	t.Helper()
	at := d.Open()
	defer at.Close()
	files := make(map[string][]byte)
	var list func(dir string)
	list = func(dir string) {
		var entries []endpoints.Entry
		if err := at.List(context.Background(), dir, func(page []endpoints.Entry) error {
			entries = append(entries, page...)
			return nil
		}); err != nil {
			t.Fatal(err)
		}
		for _, e := range entries {
			p := path.Join(dir, e.Name)
			if e.Type == endpoints.Dir {
				list(p)
				continue
			}
			r, err := at.Open(context.Background(), p, 0, -1)
			if err != nil {
				t.Fatal(err)
			}
			var b bytes.Buffer
			if _, err := b.ReadFrom(r); err != nil {
				t.Fatal(err)
			}
			r.Close()
			files[p] = b.Bytes()
		}
	}
	list(dir)
	return files
}

// submit starts a transfer of a tree, or of a file.
func (s *site) submit(req transfer.Request) transfer.TaskID {
	s.t.Helper()
	id, err := s.service.Submit(s.t.Context(), "", req)
	if err != nil {
		s.t.Fatal(err)
	}
	return id
}

// wait waits for a task to end as it should.
func (s *site) wait(id transfer.TaskID, want transfer.Status) transfer.Task {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(s.t.Context(), 2*time.Minute)
	defer cancel()
	task, err := s.service.Wait(ctx, id)
	if err != nil {
		s.t.Fatal(err)
	}
	if task.Status != want {
		s.t.Errorf("task %s: %s, %s: %+v", id, task.Status, task.Verdict, task)
	}
	return task
}

// until waits until the task is as it should be.
func (s *site) until(id transfer.TaskID, what string, ok func(transfer.Task) bool) {
	s.t.Helper()
	harness.Eventually(s.t, time.Minute, func() error {
		task, err := s.service.Task(s.t.Context(), id)
		if err != nil {
			return err
		}
		if !ok(task) {
			return fmt.Errorf("the task is not %s: %s", what, task.Verdict)
		}
		return nil
	})
}

// history returns the events of a run; an empty run is the last one.
func (s *site) history(id transfer.TaskID, run string) *historypb.History {
	s.t.Helper()
	h := new(historypb.History)
	iter := s.client.GetWorkflowHistory(s.t.Context(), string(id), run, false, enumspb.HISTORY_EVENT_FILTER_TYPE_ALL_EVENT)
	for iter.HasNext() {
		e, err := iter.Next()
		if err != nil {
			s.t.Fatal(err)
		}
		h.Events = append(h.Events, e)
	}
	return h
}

// keep replays a history at once, and records it when that is asked for.
func (s *site) keep(name string, h *historypb.History) {
	s.t.Helper()
	replayer := worker.NewWorkflowReplayer()
	workflows.Register(replayer, workflows.Site{})
	if err := replayer.ReplayWorkflowHistory(nil, h); err != nil {
		s.t.Errorf("%s does not replay: %v", name, err)
	}
	if !*update {
		return
	}
	for _, e := range h.Events {
		// A sticky queue is named after the machine.
		if q := e.GetWorkflowTaskScheduledEventAttributes().GetTaskQueue(); q.GetKind() == enumspb.TASK_QUEUE_KIND_STICKY {
			q.Name = "sticky"
		}
	}
	text, err := protojson.MarshalOptions{Multiline: true, Indent: " "}.Marshal(h)
	if err != nil {
		s.t.Fatal(err)
	}
	file := filepath.Join("..", "..", "workflows", "testdata", name+".json")
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		s.t.Fatal(err)
	}
	if err := os.WriteFile(file, append(text, '\n'), 0o644); err != nil {
		s.t.Fatal(err)
	}
}

// scheduled counts the activities of a type in a history; all when it is
// empty.
func scheduled(h *historypb.History, activity string) int {
	n := 0
	for _, e := range h.Events {
		a := e.GetActivityTaskScheduledEventAttributes()
		if a != nil && (activity == "" || a.GetActivityType().GetName() == activity) {
			n++
		}
	}
	return n
}
