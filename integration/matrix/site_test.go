package matrix_test

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
	"github.com/gridferry/gridferry/wire/gsi/gsitest"
)

// A site is Temporal, a daemon that knows an endpoint of each kind, and the
// servers behind these.
type site struct {
	*testing.T
	service *service.Service
	ca      *gsitest.CA
	dir     string // of configurations and secrets
	conf    string // the daemon's
	kinds   []*kind
}

func newSite(t *testing.T) *site {
	t.Helper()
	s := &site{T: t, ca: gsitest.NewCA(t), dir: t.TempDir()}
	temporal := harness.NewTemporal(t, harness.TemporalOptions{})
	c, err := client.Dial(client.Options{
		HostPort: temporal.Address, Namespace: temporal.Namespace, Logger: log.NewStructuredLogger(slog.New(slog.DiscardHandler)),
	})
	must(t, err)
	t.Cleanup(c.Close)
	s.service = service.New(c, service.Options{})
	s.kinds = s.start()

	var roots, credentials, records strings.Builder
	for _, k := range s.kinds {
		fmt.Fprintf(&records, "  %s: {%s}\n", k.endpoint(), k.record)
		if k.credential != "" {
			fmt.Fprintf(&credentials, "  %s: {owners: [\"*\"], %s}\n", k.name, k.credential)
		}
		if k.local {
			fmt.Fprintf(&roots, "%q", k.disk)
		}
	}
	s.conf = s.file("gridferryd.yaml", fmt.Sprintf("roles: [control, data, site]\nsite: here\ndata_dir: %q\ntrust_dir: %q\nroots: {\"*\": [%s]}\ncredentials:\n%sendpoints:\n%s",
		filepath.Join(s.dir, "data"), s.ca.Dir, &roots, &credentials, &records))
	proxy := s.ca.ProxyFile(s.ca.Proxy(s.ca.User("Ada")))
	t.Setenv("X509_USER_PROXY", proxy) // for tests that open endpoints themselves
	p := harness.Start(t, harness.Command{
		Path: harness.Binary(t, "gridferryd"), Args: []string{"run", "--config", s.conf},
		Env: harness.Environment(append(temporal.Env(), "X509_USER_PROXY="+proxy)...),
	})
	p.Ready(time.Minute, func() error {
		if n := strings.Count(p.Log(), "worker started"); n < 3 {
			return fmt.Errorf("%d of its 3 roles are served", n)
		}
		return nil
	})
	return s
}

// file writes one that nobody else may read.
func (s *site) file(name, content string) string {
	s.Helper()
	path := filepath.Join(s.dir, name)
	must(s, os.WriteFile(path, []byte(content), 0o600))
	return path
}

// transfer runs a task to its end.
func (s *site) transfer(t *testing.T, req transfer.Request) transfer.Task {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	id, err := s.service.Submit(ctx, "", req)
	must(t, err)
	task, err := s.service.Wait(ctx, id)
	if err != nil {
		now, _ := s.service.Task(t.Context(), id)
		t.Fatalf("wait for the task: %v; it is %s, %s: %s", err, now.Status, now.Phase, now.Verdict)
	}
	return task
}

// succeeds runs a task of which every file arrives and is verified.
func (s *site) succeeds(t *testing.T, req transfer.Request) {
	t.Helper()
	begun := time.Now()
	task := s.transfer(t, req)
	p := task.Progress
	if task.Status != transfer.Succeeded || p.FilesUnverified != 0 || p.FilesFailed != 0 {
		t.Errorf("the task is %s, with %d files unverified and %d failed: %s", task.Status, p.FilesUnverified, p.FilesFailed, task.Verdict)
		results, err := s.service.Results(t.Context(), task.ID, transfer.ResultQuery{Status: []string{"failed"}})
		t.Fatalf("of files that failed: %+v, %v", results.Results, err)
	}
	t.Logf("%s; %d files, %d bytes in %v", task.Route.Path, p.FilesDone, p.BytesDone, time.Since(begun).Round(time.Millisecond))
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
