// Package host runs gridferry on this host: Temporal, daemons with one
// configuration, and the service of whoever asks them for something. What a
// test needs beyond that, such as servers to move files to, is its own.
package host

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/log"

	"github.com/gridferry/gridferry/integration/harness"
	"github.com/gridferry/gridferry/service"
	"github.com/gridferry/gridferry/transfer"
)

// Host has a Temporal server and a configuration; daemons are started by
// Daemon. Everything ends with the test.
type Host struct {
	Temporal *harness.Temporal
	Service  *service.Service
	Files    string // a directory that every owner's tasks may reach as file://here
	Conf     string // of the daemons
}

// Config is what the daemons' configuration says beside the directories of the
// host. The sections are lines of YAML, each with its own indentation; empty
// ones are left out.
type Config struct {
	Roots       []string // more directories that tasks may reach
	TrustDir    string   // empty: none
	Credentials string   // the section of that name
	Endpoints   string   // the same
	More        string   // other sections, with their names
}

// New starts Temporal and writes the configuration.
func New(t testing.TB, c Config) *Host {
	t.Helper()
	h := &Host{Temporal: harness.NewTemporal(t, harness.TemporalOptions{}), Files: t.TempDir()}
	conn, err := client.Dial(client.Options{
		HostPort: h.Temporal.Address, Namespace: h.Temporal.Namespace, Logger: log.NewStructuredLogger(slog.New(slog.DiscardHandler)),
	})
	must(t, err)
	t.Cleanup(conn.Close)
	h.Service = service.New(conn, service.Options{})
	dir := t.TempDir()
	h.Conf = filepath.Join(dir, "gridferryd.yaml")
	must(t, os.WriteFile(h.Conf, []byte(c.text(dir, h.Files)), 0o600))
	return h
}

func (c Config) text(dir, files string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "roles: [control, data, site]\nsite: here\ndata_dir: %q\nroots: {\"*\": [%q", filepath.Join(dir, "data"), files)
	for _, root := range c.Roots {
		fmt.Fprintf(&b, ", %q", root)
	}
	b.WriteString("]}\n")
	if c.TrustDir != "" {
		fmt.Fprintf(&b, "trust_dir: %q\n", c.TrustDir)
	}
	for name, section := range map[string]string{"credentials": c.Credentials, "endpoints": c.Endpoints} {
		if section != "" {
			fmt.Fprintf(&b, "%s:\n%s\n", name, strings.Trim(section, "\n"))
		}
	}
	b.WriteString(c.More)
	return b.String()
}

// Daemon starts a daemon with the roles control, data and site, and waits until
// it serves them. env is added to its environment.
func (h *Host) Daemon(t testing.TB, name string, env ...string) *harness.Process {
	t.Helper()
	p := harness.Start(t, harness.Command{
		Name: name, Path: harness.Binary(t, "gridferryd"), Args: []string{"run", "--config", h.Conf},
		Env: harness.Environment(append(h.Temporal.Env(), env...)...),
	})
	p.Ready(time.Minute, func() error {
		if n := strings.Count(p.Log(), "worker started"); n < 3 {
			return fmt.Errorf("%d of its 3 roles are served", n)
		}
		return nil
	})
	return p
}

// Here is the location of a path of this host.
func Here(path string) string { return "file://here" + path }

// Submit begins a task.
func (h *Host) Submit(t testing.TB, req transfer.Request) transfer.TaskID {
	t.Helper()
	id, err := h.Service.Submit(t.Context(), "", req)
	must(t, err)
	return id
}

// Wait waits for the end of a task, and fails the test when that takes longer
// than limit.
func (h *Host) Wait(t testing.TB, id transfer.TaskID, limit time.Duration) transfer.Task {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	defer cancel()
	task, err := h.Service.Wait(ctx, id)
	if err != nil {
		now, _ := h.Service.Task(t.Context(), id)
		t.Fatalf("wait for the task: %v; it is %s, %s: %s", err, now.Status, now.Phase, now.Verdict)
	}
	return task
}

// taskLimit is how long a task may take on a machine that is busy with others.
const taskLimit = 5 * time.Minute

// Transfer runs a task to its end, whatever that is.
func (h *Host) Transfer(t testing.TB, req transfer.Request) transfer.Task {
	t.Helper()
	return h.Wait(t, h.Submit(t, req), taskLimit)
}

// Succeeds runs a task of which every file arrives and is verified.
func (h *Host) Succeeds(t testing.TB, req transfer.Request) transfer.Task {
	t.Helper()
	begun := time.Now()
	task := h.Transfer(t, req)
	p := task.Progress
	if task.Status != transfer.Succeeded || p.FilesUnverified != 0 || p.FilesFailed != 0 {
		for _, r := range h.GivenUp(t, task.ID) {
			t.Logf("failed: %q: %+v", r.Source, r.Fault)
		}
		t.Fatalf("%s to %s is %s, with %d files unverified and %d failed: %s", task.Source, task.Destination, task.Status, p.FilesUnverified, p.FilesFailed, task.Verdict)
	}
	t.Logf("%s to %s: %s; %d files, %d bytes in %v, %d faults", task.Source, task.Destination, task.Route.Path, p.FilesDone, p.BytesDone,
		time.Since(begun).Round(time.Millisecond), p.Faults)
	return task
}

// GivenUp are the results of files that a task has given up.
func (h *Host) GivenUp(t testing.TB, id transfer.TaskID) []transfer.Result {
	t.Helper()
	list, err := h.Service.Results(t.Context(), id, transfer.ResultQuery{Status: []string{"failed"}})
	must(t, err)
	return list.Results
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
