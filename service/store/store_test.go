package store_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gridferry/gridferry/activities"
	"github.com/gridferry/gridferry/fault"
	"github.com/gridferry/gridferry/integration/postgres"
	"github.com/gridferry/gridferry/service/store"
	"github.com/gridferry/gridferry/service/store/storetest"
	"github.com/gridferry/gridferry/transfer"
)

// asProcess makes this binary a second user of the store named in it.
const asProcess = "GRIDFERRY_TEST_STORE"

func TestMain(m *testing.M) {
	if address := os.Getenv(asProcess); address != "" {
		if err := contend(place{address, os.Getenv("GRIDFERRY_TEST_PASSWORD_FILE")}, os.Getenv("GRIDFERRY_TEST_HOLDER")); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	os.Exit(m.Run())
}

// place is where a store is kept, which does not exist yet.
type place struct {
	address      string // a file, or PostgreSQL's URL
	passwordFile string
}

func (p place) open(ctx context.Context, opts store.Options) (*store.Store, error) {
	if strings.HasPrefix(p.address, "postgres:") {
		opts.PasswordFile = p.passwordFile
		return store.OpenPostgres(ctx, p.address, opts)
	}
	return store.Open(ctx, p.address, opts)
}

func open(t *testing.T, p place, opts store.Options) *store.Store {
	t.Helper()
	s, err := p.open(t.Context(), opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

func file(t *testing.T) place {
	return place{address: filepath.Join(t.TempDir(), "a dir?#%41", "store.db")}
}

func TestSQLite(t *testing.T) { everywhere(t, file) }

func TestPostgreSQL(t *testing.T) {
	server := postgres.Start(t)
	everywhere(t, func(t *testing.T) place {
		return place{address: server.Database(t), passwordFile: server.PasswordFile}
	})
}

// everywhere runs what holds for every kind of store.
func everywhere(t *testing.T, fresh func(*testing.T) place) {
	t.Run("Suite", func(t *testing.T) {
		storetest.Run(t, func(t *testing.T, now func() time.Time) storetest.Store {
			return open(t, fresh(t), store.Options{Now: now})
		})
	})
	for name, test := range map[string]func(*testing.T, place){
		"Reopened":           testReopened,
		"BlobsAreBound":      testBlobsAreBound,
		"NewerIsRefused":     testNewerIsRefused,
		"Capabilities":       testCapabilities,
		"Pairs":              testPairs,
		"Conditions":         testConditions,
		"Rations":            testRations,
		"LeasesLeaveNothing": testLeasesLeaveNothing,
		"Processes":          testProcesses,
		"Clock":              testClock,
		"Credentials":        testCredentials,
		"Delegations":        testDelegations,
		"Vault":              testVault,
		"Waiters":            testWaiters,
		"NoLostWakeUp":       testNoLostWakeUp,
		"Identities":         testIdentities,
		"Notices":            testNotices,
		"Sweep":              testSweep,
		"Forget":             testForget,
	} {
		t.Run(name, func(t *testing.T) { test(t, fresh(t)) })
	}
}

// Records of tasks that ended long ago go; those of others stay, however old.
func testForget(t *testing.T, p place) {
	s := open(t, p, store.Options{})
	old := time.Now().Add(-48 * time.Hour)
	for id, status := range map[transfer.TaskID]transfer.Status{"done": transfer.Succeeded, "failed": transfer.Failed, "waits": transfer.Inactive} {
		if err := s.PutTask(t.Context(), transfer.Task{ID: id, Status: status, Requested: old, AsOf: old}); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.PutTask(t.Context(), transfer.Task{ID: "new", Status: transfer.Succeeded, Requested: old}); err != nil {
		t.Fatal(err)
	}
	before := time.Now().Add(-24 * time.Hour)
	for _, look := range []bool{true, false} {
		if n, err := s.ForgetTasks(t.Context(), before, look); n != 2 || err != nil {
			t.Errorf("look %v: %d, %v", look, n, err)
		}
	}
	if n, err := s.ForgetTasks(t.Context(), before, false); n != 0 || err != nil {
		t.Errorf("again: %d, %v", n, err)
	}
	left, err := s.Tasks(t.Context(), transfer.TaskQuery{})
	if err != nil || len(left.Tasks) != 2 {
		t.Errorf("left: %+v, %v", left, err)
	}
}

func testReopened(t *testing.T, p place) {
	s := open(t, p, store.Options{})
	first, err := s.Acquire(t.Context(), activities.LeaseRequest{Task: "t", Chunk: "c", TTL: time.Minute})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.PutTask(t.Context(), transfer.Task{ID: "t", Status: transfer.Active}); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Task(t.Context(), "t"); fault.KindOf(err) != fault.Internal {
		t.Errorf("a closed store: %v", err)
	}
	again := open(t, p, store.Options{})
	if _, err := again.Task(t.Context(), "t"); err != nil {
		t.Error(err)
	}
	if err := again.Renew(t.Context(), first); err != nil {
		t.Errorf("renew after a restart: %v", err)
	}
}

func TestSecondHostIsRefused(t *testing.T) {
	p := file(t)
	a := store.Host{Name: "a", Machine: "m1", Boot: "b1"}
	b := store.Host{Name: "b", Machine: "m2", Boot: "b2"}
	open(t, p, store.Options{Host: a})
	_, err := p.open(t.Context(), store.Options{Host: b})
	if !fault.Is(err, fault.Unsupported) || !strings.Contains(err.Error(), `"a"`) || !strings.Contains(err.Error(), "--adopt-store") {
		t.Errorf("a second host: %v", err)
	}
	for what, h := range map[string]store.Host{
		"the same":         a,
		"booted":           {Name: "a", Machine: "m1", Boot: "b9"},
		"renamed":          {Name: "z", Machine: "m1", Boot: "b1"},
		"in a container":   {Name: "f00ba", Boot: "b1"},
		"renamed back":     {Name: "a", Boot: "b1"},
		"without anything": {Name: "a"},
	} {
		s, err := p.open(t.Context(), store.Options{Host: h})
		if err != nil {
			t.Errorf("%s: %v", what, err)
			continue
		}
		s.Close()
		open(t, p, store.Options{Host: a, Adopt: true})
	}
	open(t, p, store.Options{Host: b, Adopt: true})
	if _, err := p.open(t.Context(), store.Options{Host: a}); !fault.Is(err, fault.Unsupported) {
		t.Errorf("the old host after the store was taken over: %v", err)
	}
	if h, err := store.ThisHost(); err != nil || h.Name == "" {
		t.Errorf("this host: %+v, %v", h, err)
	}
}

func testBlobsAreBound(t *testing.T, p place) {
	s := open(t, p, store.Options{})
	for range 2 {
		if err := s.BindBlobs(t.Context(), "one"); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.BindBlobs(t.Context(), "two"); !fault.Is(err, fault.Unsupported) {
		t.Errorf("another blob store: %v", err)
	}
}

func testNewerIsRefused(t *testing.T, p place) {
	s := open(t, p, store.Options{})
	if err := store.Pretend(s, 999); err != nil {
		t.Fatal(err)
	}
	if _, err := p.open(t.Context(), store.Options{}); !fault.Is(err, fault.Unsupported) {
		t.Errorf("a store of the future: %v", err)
	}
}

func TestNotAStore(t *testing.T) {
	path := filepath.Join(t.TempDir(), "x")
	if err := os.WriteFile(path, []byte(strings.Repeat("this is no database ", 100)), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := store.Open(t.Context(), path, store.Options{}); fault.KindOf(err) != fault.Internal {
		t.Errorf("a file of another kind: %v", err)
	}
}

func testCapabilities(t *testing.T, p place) {
	clock := storetest.NewClock()
	s := open(t, p, store.Options{Now: clock.Now})
	apart := func(source, destination, want string) {
		t.Helper()
		if got, err := s.Apart(t.Context(), source, destination); got != want || err != nil {
			t.Errorf("from %s to %s: %q, %v, want %q", source, destination, got, err, want)
		}
	}
	apart("a", "b", "")
	for _, why := range []string{"a wall", "a high wall"} {
		if err := s.PutApart(t.Context(), "a", "b", why, time.Hour); err != nil {
			t.Fatal(err)
		}
		apart("a", "b", why)
	}
	apart("b", "a", "") // walls have doors that open one way
	clock.Add(2 * time.Hour)
	apart("a", "b", "")
	if n, err := s.Sweep(t.Context()); n != 1 || err != nil {
		t.Errorf("swept %d, %v", n, err)
	}
}

// Sessions go when their lease is given back, and rows of leases long after
// everybody forgot them; epochs grow all the same.
func testLeasesLeaveNothing(t *testing.T, p place) {
	clock := storetest.NewClock()
	s := open(t, p, store.Options{Now: clock.Now})
	var last int64
	acquire := func(chunk string) activities.Lease {
		t.Helper()
		l, err := s.Acquire(t.Context(), activities.LeaseRequest{Task: "t", Chunk: chunk, TTL: time.Second,
			Sessions: []activities.SessionClaim{{Endpoint: "a", Sessions: 1, Limit: 100}}})
		if err != nil || l.Epoch <= last {
			t.Fatalf("epoch %d after %d, %v", l.Epoch, last, err)
		}
		last = l.Epoch
		return l
	}
	rows := func(wantLeases, wantSessions int) {
		t.Helper()
		if leases, sessions, err := store.Rows(s); leases != wantLeases || sessions != wantSessions || err != nil {
			t.Errorf("%d leases with %d sessions, want %d with %d (%v)", leases, sessions, wantLeases, wantSessions, err)
		}
	}
	for range 3 {
		if err := s.Release(t.Context(), acquire("given back")); err != nil {
			t.Fatal(err)
		}
	}
	rows(1, 0)
	for i := range 5 {
		acquire(fmt.Sprint(i))
	}
	rows(6, 5)
	clock.Add(25 * time.Hour)
	acquire("another day")
	rows(1, 1)
}

// contend takes and gives back leases until each of its rounds succeeded, and
// prints the epochs.
func contend(p place, holder string) error {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute)
	defer cancel()
	s, err := p.open(ctx, store.Options{})
	if err != nil {
		return err
	}
	var wg sync.WaitGroup
	errs := make([]error, 3)
	var mu sync.Mutex
	for i := range errs {
		wg.Go(func() {
			for round := 0; round < rounds; {
				l, err := s.Acquire(ctx, activities.LeaseRequest{
					Task: "t", Chunk: fmt.Sprint(holder, i), Holder: holder, TTL: time.Minute,
					Sessions: []activities.SessionClaim{{Endpoint: "a", Sessions: 1, Limit: 2}},
				})
				if fault.Is(err, fault.Busy) {
					continue
				}
				if err == nil {
					err = errors.Join(s.Renew(ctx, l), s.Release(ctx, l))
				}
				if err != nil {
					errs[i] = err
					return
				}
				mu.Lock()
				fmt.Println(l.Epoch)
				mu.Unlock()
				round++
			}
		})
	}
	wg.Wait()
	return errors.Join(append(errs, s.Close())...)
}

const rounds = 12

// Three processes open a store that does not exist yet, all at once, and then
// fight over it.
func testProcesses(t *testing.T, p place) {
	const processes = 3
	epochs := map[string]bool{}
	var mu sync.Mutex
	var wg sync.WaitGroup
	for n := range processes {
		wg.Go(func() {
			cmd := exec.CommandContext(t.Context(), os.Args[0])
			cmd.Env = append(os.Environ(), asProcess+"="+p.address, "GRIDFERRY_TEST_PASSWORD_FILE="+p.passwordFile,
				fmt.Sprintf("GRIDFERRY_TEST_HOLDER=p%d-", n))
			var stderr strings.Builder
			cmd.Stderr = &stderr
			out, err := cmd.StdoutPipe()
			if err != nil {
				t.Error(err)
				return
			}
			if err := cmd.Start(); err != nil {
				t.Error(err)
				return
			}
			lines := bufio.NewScanner(out)
			for lines.Scan() {
				mu.Lock()
				if epochs[lines.Text()] {
					t.Errorf("epoch %s was given twice", lines.Text())
				}
				epochs[lines.Text()] = true
				mu.Unlock()
			}
			if err := cmd.Wait(); err != nil {
				t.Errorf("%v\n%s", err, stderr.String())
			}
		})
	}
	wg.Wait()
	if want := processes * 3 * rounds; len(epochs) != want {
		t.Errorf("%d leases were had, want %d", len(epochs), want)
	}
}
