// Package storetest holds what tests want of a store: one in memory, and the
// suite that it and the real one run.
package storetest

import (
	"cmp"
	"context"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/gridferry/gridferry/activities"
	"github.com/gridferry/gridferry/fault"
	"github.com/gridferry/gridferry/transfer"
)

// Store is what the suite tests.
type Store interface {
	activities.Records
	activities.Leases
}

// Memory is a Store without a file, for tests of what needs one.
type Memory struct {
	now func() time.Time

	mu     sync.Mutex
	epoch  int64
	leases map[leaseKey]*lease
	tasks  map[transfer.TaskID]record
}

type leaseKey struct {
	task  transfer.TaskID
	chunk string
}

type lease struct {
	epoch    int64
	begun    time.Time
	expires  time.Time
	released bool
	sessions []activities.SessionClaim
}

type record struct {
	task transfer.Task
	asOf time.Time
}

var _ Store = (*Memory)(nil)

// NewMemory returns an empty store with that clock; nil is time.Now.
func NewMemory(now func() time.Time) *Memory {
	if now == nil {
		now = time.Now
	}
	return &Memory{now: now, leases: map[leaseKey]*lease{}, tasks: map[transfer.TaskID]record{}}
}

// Acquire implements activities.Leases.
func (m *Memory) Acquire(ctx context.Context, want activities.LeaseRequest) (activities.Lease, error) {
	name := string(want.Task) + " " + want.Chunk
	if err := ctx.Err(); err != nil {
		return activities.Lease{}, fault.Wrap(fault.KindOf(err), "lease", name, err)
	}
	if want.TTL <= 0 {
		return activities.Lease{}, fault.New(fault.Invalid, "lease", name, "the time to live is not positive")
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	key := leaseKey{want.Task, want.Chunk}
	if last := m.leases[key]; last != nil && want.Begun.Before(last.begun) {
		return activities.Lease{}, fault.New(fault.Canceled, "lease", name, "an attempt that began later has taken it")
	}
	for _, c := range want.Sessions {
		if c.Limit > 0 && c.Sessions > c.Limit {
			return activities.Lease{}, fault.New(fault.Invalid, "lease", name, "more sessions than "+c.Endpoint+" allows")
		}
		if !m.fits(key, c) {
			return activities.Lease{}, fault.New(fault.Busy, "open sessions at", c.Endpoint, "too many are taken")
		}
	}
	m.epoch++
	l := &lease{epoch: m.epoch, begun: want.Begun, expires: m.now().Add(want.TTL).UTC(), sessions: slices.Clone(want.Sessions)}
	m.leases[key] = l
	return activities.Lease{Task: want.Task, Chunk: want.Chunk, Epoch: l.epoch, TTL: want.TTL, Expires: l.expires}, nil
}

func (m *Memory) fits(key leaseKey, c activities.SessionClaim) bool {
	taken := 0
	for k, l := range m.leases {
		if k == key || l.released || !l.expires.After(m.now()) {
			continue
		}
		for _, s := range l.sessions {
			if s.Endpoint == c.Endpoint {
				taken += s.Sessions
			}
		}
	}
	return c.Limit <= 0 || taken+c.Sessions <= c.Limit
}

// Renew implements activities.Leases.
func (m *Memory) Renew(ctx context.Context, l activities.Lease) error {
	name := string(l.Task) + " " + l.Chunk
	if err := ctx.Err(); err != nil {
		return fault.Wrap(fault.KindOf(err), "renew lease", name, err)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	key := leaseKey{l.Task, l.Chunk}
	held := m.leases[key]
	lost := held == nil || held.epoch != l.Epoch || held.released
	if !lost && !held.expires.After(m.now()) {
		for _, c := range held.sessions {
			lost = lost || !m.fits(key, c)
		}
	}
	if lost {
		return fault.New(fault.Canceled, "renew lease", name, "another attempt holds it now, or it was given back")
	}
	held.expires = m.now().Add(l.TTL).UTC()
	return nil
}

// Release implements activities.Leases.
func (m *Memory) Release(ctx context.Context, l activities.Lease) error {
	if err := ctx.Err(); err != nil {
		return fault.Wrap(fault.KindOf(err), "release lease", string(l.Task)+" "+l.Chunk, err)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if held := m.leases[leaseKey{l.Task, l.Chunk}]; held != nil && held.epoch == l.Epoch {
		held.released = true
	}
	return nil
}

// PutTask implements activities.Records.
func (m *Memory) PutTask(ctx context.Context, t transfer.Task) error {
	if err := ctx.Err(); err != nil {
		return fault.Wrap(fault.KindOf(err), "record task", string(t.ID), err)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	r := record{t, t.AsOf}
	if r.asOf.IsZero() {
		r.asOf = m.now()
	}
	if old, ok := m.tasks[t.ID]; ok && cmp.Or(
		r.task.Requested.Compare(old.task.Requested),
		cmp.Compare(final(r.task), final(old.task)),
		r.asOf.Compare(old.asOf)) < 0 {
		return nil
	}
	m.tasks[t.ID] = r
	return nil
}

func final(t transfer.Task) int {
	if t.Status == transfer.Succeeded || t.Status == transfer.Failed {
		return 1
	}
	return 0
}

// Task implements activities.Records.
func (m *Memory) Task(ctx context.Context, id transfer.TaskID) (transfer.Task, error) {
	if err := ctx.Err(); err != nil {
		return transfer.Task{}, fault.Wrap(fault.KindOf(err), "look up task", string(id), err)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	r, ok := m.tasks[id]
	if !ok {
		return transfer.Task{}, fault.New(fault.NotFound, "look up task", string(id), "there is no such task")
	}
	return r.task, nil
}

// Tasks implements activities.Records. A token is the number of tasks before.
func (m *Memory) Tasks(ctx context.Context, q transfer.TaskQuery) (transfer.Tasks, error) {
	if err := ctx.Err(); err != nil {
		return transfer.Tasks{}, fault.Wrap(fault.KindOf(err), "list tasks", "", err)
	}
	limit := cmp.Or(q.Page.Limit, 100)
	if limit < 0 || limit > 1000 {
		return transfer.Tasks{}, fault.New(fault.Invalid, "list tasks", "limit", "not between 1 and 1000")
	}
	first := 0
	if q.Page.Token != "" {
		var err error
		if first, err = strconv.Atoi(q.Page.Token); err != nil {
			return transfer.Tasks{}, fault.Wrap(fault.Invalid, "list tasks", "token", err)
		}
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	var all []transfer.Task
	for _, r := range m.tasks {
		if (q.Owner == "" || q.Owner == r.task.Owner) && (len(q.Status) == 0 || slices.Contains(q.Status, r.task.Status)) {
			all = append(all, r.task)
		}
	}
	slices.SortFunc(all, func(a, b transfer.Task) int {
		return cmp.Or(b.Requested.Compare(a.Requested), cmp.Compare(a.ID, b.ID))
	})
	all = all[min(first, len(all)):]
	if len(all) > limit {
		return transfer.Tasks{Tasks: all[:limit], Next: strconv.Itoa(first + limit)}, nil
	}
	return transfer.Tasks{Tasks: all}, nil
}
