package postgres_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/log"

	"github.com/gridferry/gridferry/integration/globus"
	"github.com/gridferry/gridferry/integration/harness"
	"github.com/gridferry/gridferry/integration/postgres"
	"github.com/gridferry/gridferry/integration/tree"
	"github.com/gridferry/gridferry/service"
	"github.com/gridferry/gridferry/transfer"
	"github.com/gridferry/gridferry/wire/gsi/gsitest"
)

// Two daemons, each with a name and a directory of its own as on two hosts,
// share a store in PostgreSQL and a directory of blobs. The database restarts
// and one of them is killed while they move trees; every tree arrives, and both
// know of every task.
func TestTwoDaemons(t *testing.T) {
	server := postgres.Start(t)
	database := server.Database(t)
	temporal := harness.NewTemporal(t, harness.TemporalOptions{})
	ca := gsitest.NewCA(t)
	src, dst := globus.NewServer(t, globus.Options{CA: ca}), globus.NewServer(t, globus.Options{CA: ca})
	blobs := t.TempDir()

	daemon := func(name string) *harness.Process {
		t.Helper()
		conf := filepath.Join(t.TempDir(), "gridferryd.yaml")
		err := os.WriteFile(conf, fmt.Appendf(nil, `roles: [control, data]
site: %q
data_dir: %q
blobs: {dir: %q}
store: {url: %q, password_file: %q}
trust_dir: %q
`, name, t.TempDir(), blobs, database, server.PasswordFile, ca.Dir), 0o600)
		if err != nil {
			t.Fatal(err)
		}
		p := harness.Start(t, harness.Command{
			Name: name, Path: harness.Binary(t, "gridferryd"), Args: []string{"run", "--config", conf},
			Env: harness.Environment(append(temporal.Env(), "X509_USER_PROXY="+ca.ProxyFile(ca.Proxy(ca.User("Ada"))))...),
		})
		return p
	}
	ready := func(p *harness.Process) {
		t.Helper()
		p.Ready(time.Minute, func() error {
			if n := strings.Count(p.Log(), "worker started"); n < 2 {
				return fmt.Errorf("%d of its 2 roles are served", n)
			}
			return nil
		})
	}
	one, two := daemon("one"), daemon("two") // both make the tables at once
	ready(one)
	ready(two)

	tc, err := client.Dial(client.Options{HostPort: temporal.Address, Namespace: temporal.Namespace, Logger: log.NewStructuredLogger(slog.New(slog.DiscardHandler))})
	if err != nil {
		t.Fatal(err)
	}
	defer tc.Close()
	tasks := service.New(tc, service.Options{})
	const n = 4
	var ids []transfer.TaskID
	for i := range n {
		name := fmt.Sprintf("run%d/", i)
		if err := os.Mkdir(src.Path(name), 0o755); err != nil {
			t.Fatal(err)
		}
		if _, err := tree.Make(src.Path(name), tree.Spec{Seed: uint64(i), Files: 300, Bytes: 64 << 20}, nil); err != nil {
			t.Fatal(err)
		}
		id, err := tasks.Submit(t.Context(), "", transfer.Request{Source: src.URL(name), Destination: dst.URL(name), Recursive: true})
		if err != nil {
			t.Fatal(err)
		}
		ids = append(ids, id)
	}
	harness.Eventually(t, time.Minute, func() error {
		if _, err := os.Stat(dst.Path("run0")); err != nil {
			return errors.New("nothing moves yet")
		}
		return nil
	})
	server.Stop()
	server.Restart()
	one.Kill()
	active := 0
	for _, id := range ids {
		if task, err := tasks.Task(t.Context(), id); err == nil && task.Status == transfer.Active {
			active++
		}
	}
	if active == 0 {
		t.Error("all was moved before anything was disturbed: the trees are too small")
	}

	ctx, cancel := context.WithTimeout(t.Context(), 4*time.Minute)
	defer cancel()
	for _, id := range ids {
		task, err := tasks.Wait(ctx, id)
		if err != nil || task.Status != transfer.Succeeded {
			t.Fatalf("%s is %s: %s (%v)", id, task.Status, task.Verdict, err)
		}
	}
	if _, diffs, err := tree.Compare(src.Root, dst.Root); err != nil || len(diffs) > 0 {
		t.Errorf("the trees differ: %v, %v", diffs, err)
	}
	one.Restart()
	ready(one)
}
