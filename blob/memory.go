package blob

import (
	"context"
	"crypto/rand"
	"maps"
	"path"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/gridferry/gridferry/fault"
)

// Memory is a Store for tests and for programs that live as long as one task.
type Memory struct {
	id   string
	mu   sync.RWMutex
	data map[string][]byte
	when map[string]time.Time
	dirs map[string]int // how many blobs are below each directory
}

var _ Store = (*Memory)(nil)

// NewMemory returns an empty store.
func NewMemory() *Memory {
	return &Memory{id: rand.Text(), data: map[string][]byte{}, when: map[string]time.Time{}, dirs: map[string]int{}}
}

// ID returns what tells this store from any other.
func (m *Memory) ID(context.Context) (string, error) { return m.id, nil }

// Put implements Store.
func (m *Memory) Put(ctx context.Context, key string, data []byte) error {
	const op = "store blob"
	if err := Check(ctx, op, key); err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.dirs[key] > 0 {
		return fault.New(fault.Internal, op, key, "other keys are below this one")
	}
	for dir := range parents(key) {
		if _, ok := m.data[dir]; ok {
			return fault.New(fault.Internal, op, key, dir+" is a key itself")
		}
	}
	if _, ok := m.data[key]; !ok {
		for dir := range parents(key) {
			m.dirs[dir]++
		}
	}
	m.data[key], m.when[key] = slices.Clone(data), time.Now()
	return nil
}

// parents are the directories above a key.
func parents(key string) func(func(string) bool) {
	return func(yield func(string) bool) {
		for dir := path.Dir(key); dir != "." && yield(dir); dir = path.Dir(dir) {
		}
	}
}

// Get implements Store.
func (m *Memory) Get(ctx context.Context, key string) ([]byte, error) {
	const op = "load blob"
	if err := Check(ctx, op, key); err != nil {
		return nil, err
	}
	m.mu.RLock()
	defer m.mu.RUnlock()
	data, ok := m.data[key]
	if !ok {
		return nil, fault.New(fault.NotFound, op, key, "there is no such blob")
	}
	return slices.Clone(data), nil
}

// List implements Store.
func (m *Memory) List(ctx context.Context, prefix string, fn func(key string) error) error {
	m.mu.RLock()
	keys := slices.Sorted(maps.Keys(m.data))
	m.mu.RUnlock()
	for _, key := range keys {
		if err := ctx.Err(); err != nil {
			return fault.Wrap(fault.KindOf(err), "list blobs", prefix, err)
		}
		if !strings.HasPrefix(key, prefix) {
			continue
		}
		if err := fn(key); err != nil {
			return err
		}
	}
	return nil
}

// Survey implements Surveyor.
func (m *Memory) Survey(ctx context.Context, prefix string, fn func(Info) error) error {
	return m.List(ctx, prefix, func(key string) error {
		m.mu.RLock()
		data, ok := m.data[key]
		i := Info{Key: key, Size: int64(len(data)), Modified: m.when[key]}
		m.mu.RUnlock()
		if !ok {
			return nil // deleted meanwhile
		}
		return fn(i)
	})
}

// Delete implements Store.
func (m *Memory) Delete(ctx context.Context, keys ...string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, key := range keys {
		if err := Check(ctx, "delete blob", key); err != nil {
			return err
		}
		if _, ok := m.data[key]; !ok {
			continue
		}
		delete(m.data, key)
		delete(m.when, key)
		for dir := range parents(key) {
			if m.dirs[dir]--; m.dirs[dir] == 0 {
				delete(m.dirs, dir)
			}
		}
	}
	return nil
}
