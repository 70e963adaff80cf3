package mover

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gridferry/gridferry/activities"
	"github.com/gridferry/gridferry/blob"
	"github.com/gridferry/gridferry/endpoints"
	"github.com/gridferry/gridferry/fault"
	"github.com/gridferry/gridferry/gateway/api"
	"github.com/gridferry/gridferry/transfer"
)

// Config is what the handler stands before.
type Config struct {
	Blobs     blob.Store // with an ID
	Leases    activities.Leases
	Tasks     Tasks
	Endpoints Resolver
	Pairs     activities.Pairs // nil: nothing is remembered
	Vault     Vault            // nil: nobody can activate anything here

	Conditions endpoints.Conditions // nil: nothing is ever drained
	Rations    endpoints.Rations    // nil: nothing is rationed

	// Mover says whether a DN is that of a host that moves data. Nil: none is.
	Mover func(dn string) bool

	// Lifetime of the proxies that are signed; 0 is 12 hours. None outlives
	// the credential it is signed with.
	Lifetime time.Duration

	Logger *slog.Logger // nil is none
}

// Handler serves Prefix. It wants the requests of an api.Server, which know
// their peer.
type Handler struct {
	Config
	mux  *http.ServeMux
	puts atomic.Int64 // bytes of blobs that are arriving

	mu    sync.Mutex
	tasks map[transfer.TaskID]seen
}

// seen is a task as it was at a time.
type seen struct {
	task Task
	at   time.Time
}

// NewHandler returns the handler for Prefix.
func NewHandler(c Config) *Handler {
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	h := &Handler{Config: c, mux: http.NewServeMux(), tasks: map[transfer.TaskID]seen{}}
	for pattern, do := range map[string]func(w http.ResponseWriter, r *http.Request, who reach) (any, error){
		"GET " + pathStore:       h.store,
		"GET " + pathBlob:        h.getBlob,
		"PUT " + pathBlob:        h.putBlob,
		"GET " + pathBlobs:       h.listBlobs,
		"POST " + pathDelete:     h.deleteBlobs,
		"POST " + pathAcquire:    h.acquire,
		"POST " + pathRenew:      h.renew,
		"POST " + pathRelease:    h.release,
		"GET " + pathEndpoint:    h.endpoint,
		"GET " + pathPairs:       h.known,
		"POST " + pathPairs:      h.putKnown,
		"GET " + pathCondition:   h.condition,
		"POST " + pathDown:       h.down,
		"POST " + pathTake:       h.take,
		"POST " + pathCredential: h.credential,
	} {
		h.mux.HandleFunc(pattern, func(w http.ResponseWriter, r *http.Request) {
			answer, err := h.answer(w, r, do)
			switch {
			case err != nil:
				if fault.Is(err, fault.Internal) {
					h.Logger.Error("a worker's request failed", "method", r.Method, "path", r.URL.Path, "error", err)
				}
				api.WriteError(w, err)
			case answer != written:
				api.WriteJSON(w, answer)
			}
		})
	}
	return h
}

// written is the answer of those who have written their reply themselves.
var written = new(struct{ _ byte })

// ServeHTTP implements http.Handler.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) { h.mux.ServeHTTP(w, r) }

func (h *Handler) answer(w http.ResponseWriter, r *http.Request, do func(http.ResponseWriter, *http.Request, reach) (any, error)) (any, error) {
	who, err := h.admit(r)
	if err != nil {
		return nil, err
	}
	answer, err := do(w, r, who)
	if fault.Is(err, fault.Canceled) && r.Context().Err() != nil {
		// To the worker, Canceled would mean that its lease is another's.
		err = fault.New(fault.Transient, r.Method, r.URL.Path, "the service ended the request")
	}
	return answer, err
}

// reach is what a peer may touch.
type reach struct {
	all  bool            // a mover: the leases and blobs of every task
	user string          // who he is, else
	id   transfer.TaskID // of the workflow that the request is for; empty with all alone
	task Task            // the same
}

// admit finds out what the peer of a request may touch.
func (h *Handler) admit(r *http.Request) (reach, error) {
	const op = "let in"
	peer, ok := api.PeerOf(r.Context())
	if !ok {
		return reach{}, fault.New(fault.Internal, op, "", "the request has no peer")
	}
	who := reach{
		all:  peer.DN != "" && h.Mover != nil && h.Mover(peer.DN),
		user: peer.User,
		id:   transfer.TaskID(r.URL.Query().Get("task")),
	}
	switch {
	case !who.all && who.user == "":
		return reach{}, &fault.Error{Kind: fault.Permission, Op: op, Path: peer.Name(),
			Err: errors.New("it is neither a user nor a host that moves data"), Hint: "an operator lists such hosts under api.movers"}
	case who.id == "" && !who.all:
		return reach{}, fault.New(fault.Invalid, op, "task", "the request names no task")
	case who.id == "" || r.URL.Path == pathStore || r.URL.Path == pathEndpoint || r.URL.Path == pathCondition:
		return who, nil // what these say is the same for everybody
	}
	var err error
	who.task, err = h.task(r.Context(), who.id)
	if err == nil && !who.all && who.task.Owner != who.user {
		err = fault.New(fault.NotFound, "find", "task "+string(who.id), who.user+" has no such task")
	}
	if fault.Is(err, fault.NotFound) && r.URL.Path == pathCredential {
		// There, NotFound says that the owner has activated none.
		err = fault.Wrap(fault.Permission, op, peer.Name(), err)
	}
	switch {
	case err != nil:
		return reach{}, err
	case who.task.Ended:
		return reach{}, fault.New(fault.Canceled, "work for", "task "+string(who.id), "it has ended")
	}
	return who, nil
}

const (
	// knownFor is how long it is believed that a task has not ended.
	knownFor  = 5 * time.Second
	mostKnown = 10_000
)

func (h *Handler) task(ctx context.Context, id transfer.TaskID) (Task, error) {
	now := time.Now()
	h.mu.Lock()
	s, ok := h.tasks[id]
	h.mu.Unlock()
	if ok && now.Sub(s.at) < knownFor {
		return s.task, nil
	}
	t, err := h.Tasks.Task(ctx, id)
	if err != nil {
		return Task{}, err
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if len(h.tasks) >= mostKnown {
		clear(h.tasks)
	}
	h.tasks[id] = seen{t, now}
	return t, nil
}

// touches refuses keys that are not of the peer's task.
func (who reach) touches(op string, keys ...string) error {
	if who.all {
		return nil
	}
	prefix := activities.TaskPrefix(who.task.Key)
	for _, key := range keys {
		// No element of a key begins with a dot; one that does would lead out.
		if !strings.HasPrefix(key, prefix) || strings.Contains(key, "/.") {
			return fault.New(fault.Permission, op, key, "it is not of task "+string(who.id))
		}
	}
	return nil
}

func (h *Handler) store(_ http.ResponseWriter, r *http.Request, _ reach) (any, error) {
	s, ok := h.Blobs.(interface {
		ID(ctx context.Context) (string, error)
	})
	if !ok {
		return nil, fault.New(fault.Unsupported, "identify", "the blob store", "it has no id")
	}
	id, err := s.ID(r.Context())
	return storeReply{id}, err
}

func (h *Handler) getBlob(w http.ResponseWriter, r *http.Request, who reach) (any, error) {
	key := r.URL.Query().Get("key")
	if err := who.touches("load blob", key); err != nil {
		return nil, err
	}
	data, err := h.Blobs.Get(r.Context(), key)
	if err != nil {
		return nil, err
	}
	_ = http.NewResponseController(w).SetWriteDeadline(time.Now().Add(timeFor(int64(len(data))))) // the listener's own remains
	w.Header().Set("Content-Type", "application/octet-stream")
	w.Header().Set("Content-Length", strconv.Itoa(len(data)))
	_, _ = w.Write(data) // a client that is gone needs no reply
	return written, nil
}

// timeFor is how long so many bytes may take: a slow line's megabyte a second.
func timeFor(n int64) time.Duration { return time.Minute + time.Duration(n>>20)*time.Second }

func (h *Handler) putBlob(w http.ResponseWriter, r *http.Request, who reach) (any, error) {
	const op = "store blob"
	key, size := r.URL.Query().Get("key"), r.ContentLength
	if err := who.touches(op, key); err != nil {
		return nil, err
	}
	if size < 0 || size > MaxBlob {
		return nil, fault.New(fault.Invalid, op, key, "a blob says its size, and has at most "+strconv.Itoa(MaxBlob)+" bytes")
	}
	defer h.puts.Add(-size)
	if h.puts.Add(size) > maxPuts {
		return nil, fault.New(fault.Transient, op, key, "too much is being stored at this moment")
	}
	rc := http.NewResponseController(w)
	until := time.Now().Add(timeFor(size))
	_ = errors.Join(rc.SetReadDeadline(until), rc.SetWriteDeadline(until.Add(time.Minute))) // the listener's own remain
	data := make([]byte, size)
	if _, err := io.ReadFull(r.Body, data); err != nil {
		return nil, fault.Wrap(fault.Transient, op, key, err)
	}
	if !who.all && key == activities.FactsKey(who.task.Key) {
		if err := who.vouches(data); err != nil {
			return nil, err
		}
	}
	return nil, h.Blobs.Put(r.Context(), key, data)
}

// vouches refuses facts that are not those of the peer's own task: after its
// end, a sweep of the site acts on them as their owner.
func (who reach) vouches(data []byte) error {
	f, err := activities.ReadFacts(data)
	if err != nil {
		return fault.Wrap(fault.Invalid, "store", "facts", err)
	}
	if f.Task != who.task.Key || f.Workflow != who.id || f.Ends.Owner != who.task.Owner {
		return fault.New(fault.Permission, "store", "facts", "they are of another task, or of another owner")
	}
	return nil
}

// errFull ends a listing when a page is.
var errFull = errors.New("the page is full")

func (h *Handler) listBlobs(_ http.ResponseWriter, r *http.Request, who reach) (any, error) {
	q := r.URL.Query()
	prefix, after := q.Get("prefix"), q.Get("after")
	if err := who.touches("list blobs", prefix); err != nil {
		return nil, err
	}
	if strings.Contains("/"+prefix, "/.") {
		return nil, fault.New(fault.Invalid, "list blobs", prefix, "no key begins like this")
	}
	page := keysMessage{Keys: []string{}}
	err := h.Blobs.List(r.Context(), prefix, func(key string) error {
		switch {
		case key <= after:
			return nil
		case len(page.Keys) == keysAtOnce:
			page.Next = true
			return errFull
		}
		page.Keys = append(page.Keys, key)
		return nil
	})
	if errors.Is(err, errFull) {
		err = nil
	}
	return page, err
}

func (h *Handler) deleteBlobs(_ http.ResponseWriter, r *http.Request, who reach) (any, error) {
	var m keysMessage
	if err := api.ReadJSON(r, &m); err != nil {
		return nil, err
	}
	if err := who.touches("delete blob", m.Keys...); err != nil {
		return nil, err
	}
	return nil, h.Blobs.Delete(r.Context(), m.Keys...)
}

func (h *Handler) acquire(_ http.ResponseWriter, r *http.Request, who reach) (any, error) {
	var want activities.LeaseRequest
	if err := api.ReadJSON(r, &want); err != nil {
		return nil, err
	}
	if want.Task == "" { // the sessions of a worker for this task alone
		want.Task = who.task.Key
	}
	if err := who.holds(want.Task); err != nil {
		return nil, err
	}
	if want.TTL > maxTTL {
		return nil, fault.New(fault.Invalid, "lease", string(want.Task)+" "+want.Chunk, "it is longer than "+maxTTL.String())
	}
	if !who.all {
		// A mover was told the limits by whoever probed; a user might have
		// them higher, which would leave others less.
		for i, c := range want.Sessions {
			name, ofTasks := strings.CutPrefix(c.Endpoint, activities.TasksAt)
			name = strings.TrimPrefix(name, activities.OpenAt)
			if !slices.Contains(who.task.Endpoints, name) {
				return nil, fault.New(fault.Permission, "open sessions at", name, "it is no end of task "+string(who.id))
			}
			rec, err := h.Endpoints.Resolve(r.Context(), name)
			if err != nil {
				return nil, err
			}
			want.Sessions[i].Limit = rec.Limits.Sessions
			if ofTasks {
				want.Sessions[i].Limit = rec.Limits.Tasks
			}
		}
	}
	return h.Leases.Acquire(r.Context(), want)
}

// holds refuses leases that are not of the peer's task.
func (who reach) holds(task transfer.TaskID) error {
	if who.all || task == who.task.Key {
		return nil
	}
	return fault.New(fault.Permission, "lease", string(task), "it is not of task "+string(who.id))
}

func (h *Handler) renew(_ http.ResponseWriter, r *http.Request, who reach) (any, error) {
	return h.lease(r, who, h.Leases.Renew)
}

func (h *Handler) release(_ http.ResponseWriter, r *http.Request, who reach) (any, error) {
	return h.lease(r, who, h.Leases.Release)
}

func (h *Handler) lease(r *http.Request, who reach, do func(context.Context, activities.Lease) error) (any, error) {
	var l activities.Lease
	if err := api.ReadJSON(r, &l); err != nil {
		return nil, err
	}
	if err := who.holds(l.Task); err != nil {
		return nil, err
	}
	if l.TTL > maxTTL {
		return nil, fault.New(fault.Invalid, "lease", string(l.Task)+" "+l.Chunk, "it is longer than "+maxTTL.String())
	}
	return nil, do(r.Context(), l)
}

func (h *Handler) endpoint(_ http.ResponseWriter, r *http.Request, _ reach) (any, error) {
	return h.Endpoints.Resolve(r.Context(), r.URL.Query().Get("name"))
}
