package mover

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/gridferry/gridferry/activities"
	"github.com/gridferry/gridferry/fault"
	"github.com/gridferry/gridferry/gateway/api"
	"github.com/gridferry/gridferry/gateway/mover"
	"github.com/gridferry/gridferry/integration/globus"
	"github.com/gridferry/gridferry/integration/harness"
	"github.com/gridferry/gridferry/integration/tree"
	"github.com/gridferry/gridferry/transfer"
)

// The command carries a tree from this host to a server and back, under its
// user's own proxy; the daemon has neither a worker for data nor a root.
func TestThisHostsFiles(t *testing.T) {
	t.Parallel()
	s := newSite(t, "roles: [control]")
	dtn := globus.NewServer(t, globus.Options{CA: s.ca})
	src, back := t.TempDir(), t.TempDir()
	made, err := tree.Make(src, tree.Spec{Seed: 1, Files: 300, Bytes: 24 << 20, Large: []int64{8 << 20}, Odd: true, Deep: 4, Empties: 2}, nil)
	must(t, err)

	begun := time.Now()
	put := s.gridferry("transfer", "-r", "file://"+src+"/", dtn.URL("in/"), "--preserve-time")
	succeeds(t, put, 2*time.Minute)
	t.Logf("put %d files, %d bytes in %v", made.Files, made.Bytes, time.Since(begun))
	sameTrees(t, src, dtn.Path("in"))
	if !strings.Contains(put.Log(), "SUCCEEDED") {
		t.Errorf("it reports\n%s", put.Log())
	}

	// What is there already is not sent again. The server keeps times in
	// seconds, and this host's file system in nanoseconds.
	sent := dtn.Moved("STOR", "")
	again := s.gridferry("transfer", "-r", "file://"+src+"/", dtn.URL("in/"), "--sync", "mtime", "--modify-window", "1s")
	succeeds(t, again, 2*time.Minute)
	if now := dtn.Moved("STOR", ""); now != sent {
		t.Errorf("a sync of the same tree sent %d bytes", now-sent)
	}

	succeeds(t, s.gridferry("transfer", "-r", dtn.URL("in/"), "file://"+back+"/"), 2*time.Minute)
	sameTrees(t, src, back)

	// A small file on the express path, and a batch.
	one := filepath.Join(t.TempDir(), "one")
	must(t, os.WriteFile(one, []byte("one"), 0o600))
	succeeds(t, s.gridferry("transfer", "file://"+one, dtn.URL("one")), time.Minute)
	if got, err := os.ReadFile(dtn.Path("one")); err != nil || string(got) != "one" {
		t.Errorf("the file is %q, %v", got, err)
	}
}

// throttled is a server behind a slow line, so that there is a middle to be
// killed in.
func throttled(t *testing.T, s *site) *globus.Server {
	host := harness.NewNetwork(t).Host("dtn")
	host.Limit(8 << 20)
	return globus.NewServer(t, globus.Options{CA: s.ca, Address: host.Address, Namespace: host.Namespace})
}

// A command that is killed leaves its task waiting; another goes on from there.
func TestKilledCommand(t *testing.T) {
	t.Parallel()
	s := newSite(t, "roles: [control]")
	dtn := throttled(t, s)
	src := t.TempDir()
	made, err := tree.Make(src, tree.Spec{Seed: 2, Files: 200, Bytes: 64 << 20, Large: []int64{16 << 20, 32 << 20}}, nil)
	must(t, err)
	const id = transfer.TaskID("0f0f0f0f-1111-4222-8333-444444444444")
	args := []string{"transfer", "--task-id", string(id), "-r", "file://" + src + "/", dtn.URL("in/")}

	first := s.gridferry(args...)
	s.task(id, time.Minute, func(t transfer.Task) bool { return t.Progress.BytesDone+t.Progress.BytesInFlight > 8<<20 })
	first.Kill()
	if now, err := s.service.Task(t.Context(), id); err != nil || now.Status != transfer.Active {
		t.Fatalf("after the kill, it is %s, %v", now.Status, err)
	}

	// Interrupted, it says how to go on; the same command does.
	second := s.gridferry("attach", string(id))
	second.Ready(time.Minute, func() error {
		if !strings.Contains(second.Log(), " files ") {
			return errors.New("it shows no progress")
		}
		return nil
	})
	s.task(id, time.Minute, func(t transfer.Task) bool { return t.Progress.BytesDone+t.Progress.BytesInFlight > 24<<20 })
	if err := second.Terminate(time.Minute); err == nil || second.ExitCode() != 130 {
		t.Errorf("interrupted, it ends with %v", err)
	}
	if want := "\"gridferry attach " + string(id) + "\" goes on with it"; !strings.Contains(second.Log(), want) {
		t.Errorf("it does not say %s but\n%s", want, second.Log())
	}
	succeeds(t, s.gridferry(args...), 3*time.Minute)
	sameTrees(t, src, dtn.Path("in"))
	if stray, err := filepath.Glob(dtn.Path("in/.*gridferry*")); err != nil || len(stray) > 0 {
		t.Errorf("it left %v, %v", stray, err)
	}
	moved := dtn.Moved("STOR", "")
	t.Logf("%d bytes were sent for %d", moved, made.Bytes)
}

// A task whose command was killed can be cancelled without it.
func TestCancelWithoutTheCommand(t *testing.T) {
	t.Parallel()
	s := newSite(t, "roles: [control]")
	dtn := throttled(t, s)
	src := t.TempDir()
	_, err := tree.Make(src, tree.Spec{Seed: 3, Files: 20, Bytes: 64 << 20, Large: []int64{32 << 20}}, nil)
	must(t, err)
	const id = transfer.TaskID("gone")
	command := s.gridferry("transfer", "--task-id", string(id), "-r", "file://"+src+"/", dtn.URL("in/"))
	s.task(id, time.Minute, func(t transfer.Task) bool { return t.Progress.BytesDone+t.Progress.BytesInFlight > 1<<20 })
	command.Signal(syscall.SIGKILL)
	succeeds(t, s.gridferry("cancel", string(id)), time.Minute)
	// Its cleanup has nobody to run it, and is given up after some minutes; a
	// command that attaches runs it at once.
	attached := s.gridferry("attach", string(id))
	if err := attached.Wait(2 * time.Minute); err == nil || attached.ExitCode() != 3 {
		t.Errorf("it ends with %v:\n%s", err, attached.Log())
	}
}

// Another user of the same host reaches neither the task's blobs nor its
// leases or credentials, and cannot attach to it.
func TestAnotherUser(t *testing.T) {
	t.Parallel()
	harness.NeedRoot(t, "it runs a command as another user")
	setpriv := harness.Need(t, "setpriv")
	s := newSite(t, "roles: [control]")
	dtn := throttled(t, s)
	src := t.TempDir()
	_, err := tree.Make(src, tree.Spec{Seed: 4, Files: 4, Bytes: 48 << 20, Large: []int64{32 << 20}}, nil)
	must(t, err)
	const id = transfer.TaskID("mine")
	mine := s.gridferry("transfer", "--task-id", string(id), "-r", "file://"+src+"/", dtn.URL("in/"))
	s.task(id, time.Minute, func(t transfer.Task) bool { return t.Status == transfer.Active })
	succeeds(t, s.gridferry("pause", string(id)), time.Minute) // so that it does not end meanwhile

	bin := filepath.Join(open(t), "gridferry")
	program, err := os.ReadFile(s.command)
	must(t, err)
	must(t, os.WriteFile(bin, program, 0o755))
	as := func(path string, env []string, args ...string) *harness.Process {
		return harness.Start(t, harness.Command{
			Name: "as nobody", Path: setpriv, Env: env, Dir: "/",
			Args: append([]string{"--reuid=65534", "--regid=65534", "--clear-groups", path}, args...),
		})
	}
	attach := as(bin, s.env(), "attach", string(id))
	if err := attach.Wait(time.Minute); err == nil || attach.ExitCode() != 6 || !strings.Contains(attach.Log(), "it is root's, and you are nobody") {
		t.Errorf("attach ends with %v:\n%s", err, attach.Log())
	}

	// The daemon's own refusal, past what the command looks at.
	self, err := os.Executable()
	must(t, err)
	test, err := os.ReadFile(self)
	must(t, err)
	bin = filepath.Join(open(t), "asks")
	must(t, os.WriteFile(bin, test, 0o755))
	asks := as(bin, append(s.env(), askEnv+"="+string(id)))
	if err := asks.Wait(time.Minute); err != nil {
		t.Errorf("another user was not refused: %v:\n%s", err, asks.Log())
	}
	succeeds(t, s.gridferry("resume", string(id)), time.Minute)
	succeeds(t, mine, 2*time.Minute)
	sameTrees(t, src, dtn.Path("in"))
}

// askEnv makes this test binary ask for what is of a task, as whoever runs it.
const askEnv = "MOVER_ASK"

func TestMain(m *testing.M) {
	if id := os.Getenv(askEnv); id != "" {
		if err := ask(transfer.TaskID(id)); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// ask returns an error unless all that it asks is refused.
func ask(id transfer.TaskID) error {
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	service, err := api.NewClient(os.Getenv("GRIDFERRY_SERVICE"), api.ClientConfig{})
	if err != nil {
		return err
	}
	c := mover.NewClient(service, id)
	_, getErr := c.Get(ctx, activities.FactsKey(id))
	_, leaseErr := c.Acquire(ctx, activities.LeaseRequest{Task: id, Chunk: "1", TTL: time.Minute})
	_, _, openErr := c.Open(ctx, "root", "gsiftp://127.0.0.1:2811")
	for what, err := range map[string]error{
		"get": getErr, "lease": leaseErr, "credential": openErr,
		"put":  c.Put(ctx, activities.FactsKey(id), nil),
		"list": c.List(ctx, activities.TaskPrefix(id), func(string) error { return nil }),
	} {
		if k := fault.KindOf(err); k != fault.NotFound && k != fault.Permission || !strings.Contains(err.Error(), "nobody has no such task") {
			return fmt.Errorf("%s: %w", what, err)
		}
	}
	return nil
}
