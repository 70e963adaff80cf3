package blob

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gridferry/gridferry/fault"
)

// ErrFull is in the chain of every error that says that a store takes nothing
// more. It tells a site's own want of space, which somebody will see to, from
// that of a destination.
var ErrFull = errors.New("gridferry's own store of manifests, ledgers and results is full")

// Full returns the error of a store that has no room for key.
func Full(op, key string, err error) error {
	return &fault.Error{Kind: fault.NoSpace, Op: op, Path: key, Err: fmt.Errorf("%w: %w", ErrFull, err),
		Hint: "the site's operator makes room, or has \"gridferryd gc\" do so; tasks go on by themselves"}
}

// Limits bound what a store takes. Zero values are no limits.
type Limits struct {
	// Budget is how many bytes all blobs may have together.
	Budget int64
	// Reserve is how many bytes of what is free on a store's file system are
	// held back for those who write down where they stopped (UseReserve).
	Reserve int64
}

// reserveKey marks a context.
type reserveKey struct{}

// UseReserve lets Put take what limits hold back: for ledgers and records of
// work that is stopping because the store is full.
func UseReserve(ctx context.Context) context.Context {
	return context.WithValue(ctx, reserveKey{}, true)
}

// Roomer is the ability of a Store to say how much room is left.
type Roomer interface {
	// Room returns how many bytes can still be stored.
	Room() (int64, error)
}

// Bounded is a Store that refuses, with ErrFull, what goes beyond its limits.
// What several processes store counts for each of them when it next measures,
// so that together they may exceed a budget by what they write in a minute.
type Bounded struct {
	Store
	limits Limits
	used   atomic.Int64 // bytes, as measured, and everything put since

	mu       sync.Mutex // held while measuring: last words need not wait for that
	measured time.Time
	err      error // of the last measurement
}

// measureEvery is how old a measurement may be that is acted on: a budget is
// of gigabytes, and what is removed to make room is seen this much later.
const measureEvery = 30 * time.Second

// Bound returns s within limits.
func Bound(s Store, l Limits) *Bounded { return &Bounded{Store: s, limits: l} }

// ID returns that of the store within.
func (b *Bounded) ID(ctx context.Context) (string, error) {
	s, ok := b.Store.(interface {
		ID(context.Context) (string, error)
	})
	if !ok {
		return "", fault.New(fault.Unsupported, "identify", "the blob store", "it has no id")
	}
	return s.ID(ctx)
}

// Survey implements Surveyor.
func (b *Bounded) Survey(ctx context.Context, prefix string, fn func(Info) error) error {
	return Survey(ctx, b.Store, prefix, fn)
}

// Put implements Store.
func (b *Bounded) Put(ctx context.Context, key string, data []byte) error {
	if ctx.Value(reserveKey{}) == nil {
		if err := b.admit(ctx, key, int64(len(data))); err != nil {
			return err
		}
	}
	err := b.Store.Put(ctx, key, data)
	if err == nil {
		b.used.Add(int64(len(data))) // what it replaced comes off with the next measurement
	}
	return err
}

// admit says whether there is room for n bytes more.
func (b *Bounded) admit(ctx context.Context, key string, n int64) error {
	const op = "store blob"
	if r, ok := b.Store.(Roomer); ok && b.limits.Reserve > 0 {
		if room, err := r.Room(); err == nil && room < b.limits.Reserve+n {
			return Full(op, key, fmt.Errorf("%d bytes are free, of which %d are held back", room, b.limits.Reserve))
		}
	}
	if b.limits.Budget <= 0 {
		return nil
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.used.Load()+n <= b.limits.Budget && !b.measured.IsZero() {
		return nil
	}
	if time.Since(b.measured) > measureEvery {
		before, found := b.used.Load(), int64(0)
		b.err = b.Survey(ctx, "", func(i Info) error { found += i.Size; return nil })
		if b.err == nil {
			b.used.Add(found - before) // what was put meanwhile counts, perhaps twice
			b.measured = time.Now()
		}
	}
	if b.err != nil {
		return b.err
	}
	if used := b.used.Load(); used+n > b.limits.Budget {
		return Full(op, key, fmt.Errorf("it holds %d bytes of the %d that blobs.budget allows", used, b.limits.Budget))
	}
	return nil
}
