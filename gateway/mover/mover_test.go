package mover_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/klauspost/compress/zstd"

	"github.com/gridferry/gridferry/activities"
	"github.com/gridferry/gridferry/blob"
	"github.com/gridferry/gridferry/blob/blobtest"
	"github.com/gridferry/gridferry/endpoints"
	"github.com/gridferry/gridferry/fault"
	"github.com/gridferry/gridferry/gateway/api"
	"github.com/gridferry/gridferry/gateway/mover"
	"github.com/gridferry/gridferry/service/store/storetest"
	"github.com/gridferry/gridferry/transfer"
	"github.com/gridferry/gridferry/wire/gsi"
)

// site is a service with one task of ann's, which fetches from dtn.
type site struct {
	blobs  *blob.Memory
	leases *storetest.Memory
	tasks  *tasks
	vault  *vault
	pairs  *pairs
	fail   atomic.Int32 // so many requests are not answered

	server *httptest.Server
	peer   api.Peer // of all requests
}

const (
	taskID   = transfer.TaskID("3f2a9c1e-77b4-4d0a-9e55-0123456789ab")
	moverDN  = "/O=Test/CN=host/mover.example.org"
	dtn      = "gsiftp://dtn.example.org:2811"
	fullName = "lab#dtn"
)

func newSite(t *testing.T, peer api.Peer, now func() time.Time) *site {
	t.Helper()
	s := &site{
		blobs: blob.NewMemory(), leases: storetest.NewMemory(now), vault: &vault{}, pairs: &pairs{}, peer: peer,
		tasks: &tasks{known: map[transfer.TaskID]mover.Task{
			taskID: {Key: taskID, Owner: "ann", Endpoints: []string{"file://laptop.x", fullName}},
		}},
	}
	h := mover.NewHandler(mover.Config{
		Blobs: s.blobs, Leases: s.leases, Tasks: s.tasks, Pairs: s.pairs, Vault: s.vault, Endpoints: records{},
		Mover: func(dn string) bool { return dn == moverDN },
	})
	s.server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if s.fail.Add(-1) >= 0 {
			panic(http.ErrAbortHandler) // the connection breaks
		}
		h.ServeHTTP(w, r.WithContext(api.WithPeer(r.Context(), s.peer)))
	}))
	t.Cleanup(s.server.Close)
	return s
}

func (s *site) client(task transfer.TaskID) *mover.Client {
	return mover.NewClient(sender{s.server}, task)
}

// sender is an api.Client without a socket.
type sender struct{ *httptest.Server }

func (s sender) Send(ctx context.Context, method, path string, body io.Reader, contentType string) (*http.Response, error) {
	r, err := http.NewRequestWithContext(ctx, method, s.URL+path, body)
	if err != nil {
		return nil, err
	}
	r.Header.Set("Content-Type", contentType)
	resp, err := s.Client().Do(r)
	if err != nil {
		return nil, fault.Wrap(fault.Transient, "reach", s.URL, err)
	}
	if resp.StatusCode >= 300 {
		defer resp.Body.Close()
		return nil, api.ReadError(resp)
	}
	return resp, nil
}

type tasks struct {
	mu    sync.Mutex
	known map[transfer.TaskID]mover.Task
}

func (ts *tasks) Task(_ context.Context, id transfer.TaskID) (mover.Task, error) {
	ts.mu.Lock()
	defer ts.mu.Unlock()
	t, ok := ts.known[id]
	if !ok {
		return t, fault.New(fault.NotFound, "find", "task "+string(id), "there is no such task")
	}
	return t, nil
}

type records struct{}

func (records) Resolve(_ context.Context, endpoint string) (endpoints.Record, error) {
	switch endpoint {
	case fullName:
		return endpoints.Record{Name: fullName, Kind: "gridftp", Scheme: "gsiftp", Servers: []string{"dtn.example.org:2811"}, Domain: "lab", Limits: endpoints.Limits{Sessions: 4, Tasks: 1}}, nil
	case "file://laptop.x":
		return endpoints.Record{Kind: "posix", Site: "laptop.x"}, nil
	}
	return endpoints.Record{}, fault.New(fault.NotFound, "find endpoint", endpoint, "there is none")
}

// vault has one credential of ann's, for the domain lab.
type vault struct {
	mu   sync.Mutex
	have *gsi.Credential
	asks int
}

func (v *vault) Open(_ context.Context, owner, domain string) (transfer.Activation, []byte, error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.asks++
	if v.have == nil || owner != "ann" || domain != "lab" {
		return transfer.Activation{}, nil, fault.New(fault.NotFound, "open", domain, "there is none")
	}
	pem, err := v.have.EncodePEM()
	return transfer.Activation{Owner: owner, Domain: domain, Fingerprint: v.have.Fingerprint(), Expires: v.have.NotAfter()}, pem, err
}

func (v *vault) put(c *gsi.Credential) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.have = c
}

func wantKind(t *testing.T, what string, err error, k fault.Kind) {
	t.Helper()
	if fault.KindOf(err) != k {
		t.Errorf("%s: %v, want %q", what, err, k)
	}
}

func TestBlobs(t *testing.T) {
	blobtest.Run(t, func(t *testing.T) blob.Store {
		return newSite(t, api.Peer{DN: moverDN}, nil).client("")
	})
}

func TestBlobTooLarge(t *testing.T) {
	c := newSite(t, api.Peer{DN: moverDN}, nil).client("")
	err := c.Put(t.Context(), "tasks/large", make([]byte, mover.MaxBlob+1))
	wantKind(t, "more than a blob may be", err, fault.Internal)
	if errors.Is(err, blob.ErrFull) {
		t.Errorf("a task would wait for room: %v", err)
	}
}

func TestLeases(t *testing.T) {
	storetest.Run(t, func(t *testing.T, now func() time.Time) storetest.Store {
		s := newSite(t, api.Peer{DN: moverDN}, now)
		return struct {
			activities.Records
			activities.Leases
		}{s.leases, s.client("")}
	})
}

func TestManyKeys(t *testing.T) {
	s := newSite(t, api.Peer{DN: moverDN}, nil)
	c := s.client("")
	var keys []string
	for i := range 4500 {
		key := "many/" + string(rune('a'+i%26)) + "/" + strconv.Itoa(i)
		keys = append(keys, key)
		if err := s.blobs.Put(t.Context(), key, nil); err != nil {
			t.Fatal(err)
		}
	}
	count, last := 0, ""
	if err := c.List(t.Context(), "many/", func(key string) error {
		if key <= last {
			t.Errorf("%s came after %s", key, last)
		}
		count, last = count+1, key
		return nil
	}); err != nil || count != len(keys) {
		t.Errorf("listed %d of %d, %v", count, len(keys), err)
	}
	if err := c.Delete(t.Context(), keys...); err != nil {
		t.Error(err)
	}
	if err := c.List(t.Context(), "", func(key string) error {
		t.Errorf("%s is left", key)
		return nil
	}); err != nil {
		t.Error(err)
	}
}

// A user touches leases and blobs of a running task of his own, and of no
// other.
func TestUser(t *testing.T) {
	s := newSite(t, api.Peer{User: "ann", Local: true}, nil)
	mine, own := s.client(taskID), activities.TaskPrefix(taskID)
	wantKind(t, "put", mine.Put(t.Context(), own+"sheets/1", []byte("x")), "")
	got, err := mine.Get(t.Context(), own+"sheets/1")
	if err != nil || string(got) != "x" {
		t.Errorf("got %q, %v", got, err)
	}
	other := activities.TaskPrefix(taskID + "0")
	for _, key := range []string{other + "sheets/1", "x", "tasks/", own + "../x", own + "a/../../x"} {
		_, err := mine.Get(t.Context(), key)
		for call, err := range map[string]error{
			"get": err, "put": mine.Put(t.Context(), key, nil), "delete": mine.Delete(t.Context(), own+"sheets/1", key),
			"list": mine.List(t.Context(), key, func(string) error { return nil }),
		} {
			wantKind(t, call+" "+key, err, fault.Permission)
		}
	}
	_, err = mine.Get(t.Context(), own+"sheets/1")
	wantKind(t, "what a refused delete named", err, "")
	wantKind(t, "all keys", mine.List(t.Context(), "", func(string) error { return nil }), fault.Permission)

	lease := activities.LeaseRequest{Task: taskID, Chunk: "1", TTL: time.Minute, Sessions: []activities.SessionClaim{{Endpoint: fullName, Sessions: 4, Limit: 4}}}
	l, err := mine.Acquire(t.Context(), lease)
	wantKind(t, "acquire", err, "")
	wantKind(t, "renew", mine.Renew(t.Context(), l), "")
	more := lease
	more.Chunk, more.Sessions = "2", []activities.SessionClaim{{Endpoint: fullName, Sessions: 1, Limit: 100}}
	_, err = mine.Acquire(t.Context(), more)
	wantKind(t, "more sessions than the record allows", err, fault.Busy)
	more.Sessions[0].Endpoint = "elsewhere"
	_, err = mine.Acquire(t.Context(), more)
	wantKind(t, "sessions elsewhere", err, fault.Permission)
	more.Sessions = []activities.SessionClaim{{Endpoint: activities.TasksAt + fullName, Sessions: 2, Limit: 100}}
	_, err = mine.Acquire(t.Context(), more)
	wantKind(t, "more tasks than the record allows", err, fault.Invalid)
	more.Sessions[0].Endpoint = activities.TasksAt + "elsewhere"
	_, err = mine.Acquire(t.Context(), more)
	wantKind(t, "a place elsewhere", err, fault.Permission)
	more.Sessions, more.TTL = nil, time.Hour
	_, err = mine.Acquire(t.Context(), more)
	wantKind(t, "a lease for an hour", err, fault.Invalid)
	lease.Task = "another"
	_, err = mine.Acquire(t.Context(), lease)
	wantKind(t, "another task's lease", err, fault.Permission)
	l.Task = "another"
	wantKind(t, "renew another task's lease", mine.Renew(t.Context(), l), fault.Permission)
	wantKind(t, "release another task's lease", mine.Release(t.Context(), l), fault.Permission)

	_, err = s.client("").Get(t.Context(), own+"sheets/1")
	wantKind(t, "without a task", err, fault.Invalid)
	_, err = s.client("nosuchtask").Get(t.Context(), own+"sheets/1")
	wantKind(t, "a task that is not there", err, fault.NotFound)

	s.peer = api.Peer{User: "bob", Local: true}
	_, err = mine.Get(t.Context(), own+"sheets/1")
	wantKind(t, "another user", err, fault.NotFound)
	_, err = mine.Acquire(t.Context(), lease)
	wantKind(t, "another user's lease", err, fault.NotFound)
	s.peer = api.Peer{DN: "/O=Test/CN=Eve"}
	_, err = mine.Get(t.Context(), own+"sheets/1")
	wantKind(t, "nobody", err, fault.Permission)
}

func TestEndedTask(t *testing.T) {
	s := newSite(t, api.Peer{User: "ann", Local: true}, nil)
	s.tasks.known[taskID] = mover.Task{Key: taskID, Owner: "ann", Ended: true}
	wantKind(t, "put", s.client(taskID).Put(t.Context(), activities.TaskPrefix(taskID)+"x", nil), fault.Canceled)
	_, _, err := s.client(taskID).Open(t.Context(), "ann", "lab")
	wantKind(t, "credential", err, fault.Canceled)
}

// The facts that a user's worker keeps are what a sweep of the site acts on.
func TestFacts(t *testing.T) {
	s := newSite(t, api.Peer{User: "ann", Local: true}, nil)
	c, key := s.client(taskID), activities.FactsKey(taskID)
	z, err := zstd.NewWriter(nil)
	if err != nil {
		t.Fatal(err)
	}
	put := func(change func(*activities.Facts)) error {
		f := activities.Facts{Task: taskID, Workflow: taskID, Ends: activities.Ends{Owner: "ann"}}
		change(&f)
		text, err := json.Marshal(f)
		if err != nil {
			t.Fatal(err)
		}
		return c.Put(t.Context(), key, z.EncodeAll(append(text, '\n'), nil))
	}
	wantKind(t, "one's own", put(func(*activities.Facts) {}), "")
	wantKind(t, "as another", put(func(f *activities.Facts) { f.Ends.Owner = "bob" }), fault.Permission)
	wantKind(t, "of another workflow", put(func(f *activities.Facts) { f.Workflow = "other" }), fault.Permission)
	wantKind(t, "of another task", put(func(f *activities.Facts) { f.Task = "other" }), fault.Permission)
	wantKind(t, "no facts", c.Put(t.Context(), key, []byte("{}")), fault.Invalid)
}

func TestCredential(t *testing.T) {
	ca, err := gsi.NewAuthority("Test")
	if err != nil {
		t.Fatal(err)
	}
	ann, err := ca.User("Ann")
	if err != nil {
		t.Fatal(err)
	}
	for name, peer := range map[string]api.Peer{"mover": {DN: moverDN}, "user": {User: "ann", Local: true}} {
		t.Run(name, func(t *testing.T) {
			s := newSite(t, peer, nil)
			c := s.client(taskID)
			_, _, err := c.Open(t.Context(), "ann", "lab")
			wantKind(t, "before the activation", err, fault.NotFound)
			s.vault.put(ann)
			a, pem, err := c.Open(t.Context(), "ann", "lab")
			if err != nil {
				t.Fatal(err)
			}
			if a.Fingerprint != ann.Fingerprint() {
				t.Errorf("the activation is %+v", a)
			}
			got, err := gsi.ParseCredential(pem)
			if err != nil {
				t.Fatal(err)
			}
			p, err := ca.Trust().Verify(got.Chain, time.Now())
			if err != nil || p.Identity != ann.Identity() {
				t.Errorf("the proxy is of %v, %v", p, err)
			}
			if life := time.Until(got.NotAfter()); life > 12*time.Hour+time.Minute || life < 11*time.Hour {
				t.Errorf("it lives for %v", life)
			}
			key, err := ann.EncodePEM()
			if err != nil || bytes.Contains(pem, key) {
				t.Errorf("the owner's own key is in it (%v)", err)
			}
			_, again, err := c.Open(t.Context(), "ann", "lab")
			if err != nil || !bytes.Equal(again, pem) {
				t.Errorf("another proxy for the same end, %v", err)
			}
			_, _, err = c.Open(t.Context(), "bob", "lab")
			wantKind(t, "as another", err, fault.Permission)
			_, _, err = c.Open(t.Context(), "ann", "elsewhere")
			wantKind(t, "for a domain that is no end", err, fault.Permission)
			_, _, err = s.client("").Open(t.Context(), "ann", "lab")
			wantKind(t, "outside a task", err, fault.Internal)
			_, _, err = s.client("nosuchtask").Open(t.Context(), "ann", "lab")
			wantKind(t, "for a task that is not there", err, fault.Permission)
		})
	}
}

// A credential that ends soon is renewed while it is in use.
func TestRenewedBeforeItsEnd(t *testing.T) {
	ca, err := gsi.NewAuthority("Test")
	if err != nil {
		t.Fatal(err)
	}
	ann, err := ca.User("Ann")
	if err != nil {
		t.Fatal(err)
	}
	soon, err := ann.NewProxy(gsi.ProxyOptions{Lifetime: time.Minute})
	if err != nil {
		t.Fatal(err)
	}
	s := newSite(t, api.Peer{DN: moverDN}, nil)
	c := s.client(taskID)
	for _, activated := range []*gsi.Credential{soon, ann} {
		s.vault.put(activated)
		if a, _, err := c.Open(t.Context(), "ann", "lab"); err != nil || a.Fingerprint != activated.Fingerprint() {
			t.Errorf("the credential is %s, not the one that was activated: %v", a.Fingerprint, err)
		}
	}
}

// A service that is away for a moment is no fault.
func TestAwayForAMoment(t *testing.T) {
	s := newSite(t, api.Peer{DN: moverDN}, nil)
	c := s.client("")
	s.fail.Store(3)
	wantKind(t, "put", c.Put(t.Context(), "a", []byte("x")), "")
	s.fail.Store(2)
	if got, err := c.Get(t.Context(), "a"); err != nil || string(got) != "x" {
		t.Errorf("got %q, %v", got, err)
	}
	s.fail.Store(1 << 30)
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	wantKind(t, "put while it is away", c.Put(ctx, "a", nil), fault.Transient)
}

func TestResolve(t *testing.T) {
	s := newSite(t, api.Peer{User: "ann", Local: true}, nil)
	rec, err := s.client(taskID).Resolve(t.Context(), fullName)
	if err != nil || rec.SecurityDomain() != "lab" || rec.Limits.Sessions != 4 || rec.Kind != "gridftp" {
		t.Errorf("%+v, %v", rec, err)
	}
	_, err = s.client(taskID).Resolve(t.Context(), "nowhere")
	wantKind(t, "an endpoint that is not there", err, fault.NotFound)
}
