package temporalcli

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/log"

	"github.com/gridferry/gridferry/blob"
	"github.com/gridferry/gridferry/endpoints"
	"github.com/gridferry/gridferry/endpoints/memory"
	"github.com/gridferry/gridferry/integration/harness"
	"github.com/gridferry/gridferry/service/store"
	"github.com/gridferry/gridferry/transfer"
	"github.com/gridferry/gridferry/workers"
	"github.com/gridferry/gridferry/workflows"
)

// commandLimit is for one command on a busy machine.
const commandLimit = time.Minute

// site is a Temporal server with workers of ours, and the two servers that the
// README talks about, in memory.
type site struct {
	t                   *testing.T
	env                 []string
	source, destination *memory.Disk
	touched             atomic.Int64 // calls that reached either of them

	mu   sync.Mutex
	held chan struct{} // closed to let the destination take files; nil: it does
}

func newSite(t *testing.T, flags ...string) *site {
	t.Helper()
	command := harness.TemporalCLI(t)
	temporal := harness.NewTemporal(t, harness.TemporalOptions{Flags: flags})
	s := &site{
		t:           t,
		env:         append(os.Environ(), append(temporal.Env(), "PATH="+filepath.Dir(command)+":"+os.Getenv("PATH"))...),
		source:      memory.NewDisk(memory.Options{}),
		destination: memory.NewDisk(memory.Options{}),
	}
	s.fill()
	count := func(context.Context, memory.Op, string, int64) error { s.touched.Add(1); return nil }
	s.source.Faults().Hook(count)
	s.destination.Faults().Hook(func(ctx context.Context, op memory.Op, path string, offset int64) error {
		s.touched.Add(1)
		s.mu.Lock()
		held := s.held
		s.mu.Unlock()
		if op != memory.Sent || held == nil {
			return nil
		}
		select {
		case <-held:
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	})

	c, err := client.Dial(client.Options{
		HostPort: temporal.Address, Namespace: temporal.Namespace,
		Logger: log.NewStructuredLogger(slog.New(slog.DiscardHandler)),
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
	p, err := workers.Start(t.Context(), workers.Config{
		Client: c, Blobs: blob.NewMemory(), Leases: kept, Records: kept, Identity: "test", Sweep: -1,
		Endpoints: memory.NewOpener(map[string]*memory.Disk{
			"gsiftp://a.example:2811": s.source, "gsiftp://b.example:2811": s.destination,
		}),
		Log: slog.New(slog.DiscardHandler),
	}, workers.Control, workers.Data)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Stop)
	return s
}

const content = "what was measured"

// fill makes the tree that the README's transfer asks for.
func (s *site) fill() {
	s.t.Helper()
	at := s.source.Open()
	defer at.Close()
	if err := at.Mkdir(s.t.Context(), "/data"); err != nil {
		s.t.Fatal(err)
	}
	for i := range 20 {
		w, err := at.Create(s.t.Context(), fmt.Sprintf("/data/%02d", i), endpoints.CreateOptions{Size: int64(len(content))})
		if err != nil {
			s.t.Fatal(err)
		}
		if _, err := io.WriteString(w, content); err != nil {
			s.t.Fatal(err)
		}
		if err := w.Commit(); err != nil {
			s.t.Fatal(err)
		}
	}
}

// hold makes the destination wait before each file, until release is called.
func (s *site) hold() (release func()) {
	held := make(chan struct{})
	s.mu.Lock()
	s.held = held
	s.mu.Unlock()
	return sync.OnceFunc(func() { close(held) })
}

// run runs a command line and returns what it printed.
func (s *site) run(line string) (string, error) {
	ctx, cancel := context.WithTimeout(s.t.Context(), commandLimit)
	defer cancel()
	cmd := exec.CommandContext(ctx, "sh", "-c", line)
	cmd.Env = s.env
	out, err := cmd.CombinedOutput()
	if err != nil {
		err = fmt.Errorf("%s: %w: %s", line, err, out)
	}
	return string(out), err
}

// must runs a command line that has to succeed.
func (s *site) must(line string) string {
	s.t.Helper()
	out, err := s.run(line)
	if err != nil {
		s.t.Fatal(err)
	}
	return out
}

// readme returns the command lines of README.md's section on the stock command
// by the word after "temporal workflow".
func readme(t *testing.T) map[string]string {
	t.Helper()
	text, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	_, section, ok := strings.Cut(string(text), "### From the stock `temporal` command")
	if !ok {
		t.Fatal("README.md has no section on the stock command")
	}
	section, _, _ = strings.Cut(section, "\n#")
	commands := make(map[string]string)
	for line := range strings.Lines(strings.ReplaceAll(section, "\\\n", "")) {
		if command, ok := strings.CutPrefix(line, "    temporal workflow "); ok {
			word, _, _ := strings.Cut(command, " ")
			commands[word] = strings.TrimSpace(line)
		}
	}
	return commands
}

// attributes gives the namespace our search attributes.
func attributes() (flags []string) {
	for _, name := range workflows.Attributes() {
		flags = append(flags, "-search-attribute", name+"=Keyword")
	}
	return flags
}

func TestCommandsOfTheReadme(t *testing.T) {
	for name, flags := range map[string][]string{
		"namespace with our search attributes":         attributes(),
		"namespace without them or rights to add them": {"-no-operator"},
	} {
		t.Run(name, func(t *testing.T) {
			s := newSite(t, flags...)
			commands := readme(t)
			for _, word := range []string{"start", "query", "update", "signal", "list"} {
				if commands[word] == "" {
					t.Fatalf("README.md shows no `temporal workflow %s`", word)
				}
			}
			release := s.hold()
			defer release()
			s.must(commands["start"])
			s.awaitStatus(commands["query"], "under way", func(task transfer.Task) bool {
				return task.Status == transfer.Active && task.Progress.Files == 20
			})
			s.must(commands["update"])
			s.awaitStatus(commands["query"], "paused", func(task transfer.Task) bool { return task.Paused })
			s.must(commands["signal"])
			s.awaitStatus(commands["query"], "resumed", func(task transfer.Task) bool { return !task.Paused })
			s.awaitListed(commands["list"], "Running")
			release()

			var task transfer.Task
			s.decode(s.must("temporal workflow result --workflow-id run7"), &task)
			if task.Status != transfer.Succeeded || task.Progress.FilesDone != 20 {
				t.Errorf("it ended as %+v", task)
			}
			s.arrived()
			s.awaitListed(commands["list"], "Completed")
		})
	}
}

// awaitStatus asks until the task is as it should be.
func (s *site) awaitStatus(query, what string, ok func(transfer.Task) bool) {
	s.t.Helper()
	harness.Eventually(s.t, time.Minute, func() error {
		out, err := s.run(query)
		if err != nil {
			return err
		}
		var task transfer.Task
		s.decode(out, &task)
		if !ok(task) {
			return fmt.Errorf("it is not %s: %s", what, out)
		}
		return nil
	})
}

// awaitListed lists until a line of the list has the words run7 and want: what
// can be listed lags behind what is true.
func (s *site) awaitListed(list, want string) {
	s.t.Helper()
	harness.Eventually(s.t, time.Minute, func() error {
		out, err := s.run(list)
		if err != nil {
			return err
		}
		for line := range strings.Lines(out) {
			if strings.Contains(line, "run7") && strings.Contains(line, want) {
				return nil
			}
		}
		return fmt.Errorf("no %s of run7 in:\n%s", want, out)
	})
}

// decode reads the JSON value that a command printed behind a label ("Query
// result:").
func (s *site) decode(out string, to any) {
	s.t.Helper()
	i := strings.IndexByte(out, '{')
	if i < 0 {
		s.t.Fatalf("no JSON in %q", out)
	}
	if err := json.NewDecoder(strings.NewReader(out[i:])).Decode(to); err != nil {
		s.t.Fatalf("%v in %q", err, out)
	}
}

// arrived compares what is at the destination.
func (s *site) arrived() {
	s.t.Helper()
	at := s.destination.Open()
	defer at.Close()
	for i := range 20 {
		name := fmt.Sprintf("/data/%02d", i)
		r, err := at.Open(s.t.Context(), name, 0, -1)
		if err != nil {
			s.t.Errorf("%s: %v", name, err)
			continue
		}
		var b bytes.Buffer
		_, err = b.ReadFrom(r)
		r.Close()
		if err != nil || b.String() != content {
			s.t.Errorf("%s arrived as %q, %v", name, b.String(), err)
		}
	}
}

func TestWhatIsWrongEndsBeforeAnythingIsContacted(t *testing.T) {
	s := newSite(t)
	for name, c := range map[string]struct {
		input string
		want  []string
	}{
		"unknown field": {
			`{"source":"gsiftp://a.example/data/","destination":"gsiftp://b.example/data/","recursve":true}`,
			[]string{"recursve", `did you mean "recursive"?`},
		},
		"unknown field of an item": {
			`{"items":[{"source":"gsiftp://a.example/data/","destination":"gsiftp://b.example/data/","recurse":true}]}`,
			[]string{"items[0].recurse"},
		},
		"unknown scheme": {
			`{"source":"gopher://a.example/data/","destination":"gsiftp://b.example/data/"}`,
			[]string{"source", "gsiftp://"},
		},
		"past deadline": {
			`{"source":"gsiftp://a.example/data","destination":"gsiftp://b.example/data","deadline":"2020-01-01T00:00:00Z"}`,
			[]string{"deadline"},
		},
		"no object": {`"gsiftp://a.example/data/"`, []string{"JSON object"}},
	} {
		t.Run(name, func(t *testing.T) {
			out, err := s.run(`temporal workflow execute --type Transfer --task-queue gridferry --output json --input '` + c.input + `'`)
			if err == nil {
				t.Fatalf("it was taken: %s", out)
			}
			var end struct {
				CloseEvent struct {
					Attributes struct {
						Failure struct {
							Message     string
							Application struct {
								Type         string
								NonRetryable bool
							} `json:"applicationFailureInfo"`
						}
					} `json:"workflowExecutionFailedEventAttributes"`
				}
			}
			s.decode(out, &end)
			failure := end.CloseEvent.Attributes.Failure
			if failure.Application.Type != workflows.ErrorInvalid || !failure.Application.NonRetryable {
				t.Errorf("it ended with %+v", failure)
			}
			for _, want := range c.want {
				if !strings.Contains(failure.Message, want) {
					t.Errorf("%q does not say %q", failure.Message, want)
				}
			}
		})
	}
	if n := s.touched.Load(); n != 0 {
		t.Errorf("%d calls reached the servers", n)
	}
}
