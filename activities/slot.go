package activities

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/gridferry/gridferry/fault"
)

// TasksAt before the name of an endpoint makes it, in session claims, one of
// the places that the endpoint has for tasks.
const TasksAt = "tasks at "

// OpenAt before the name of an endpoint makes it, in session claims, the
// sessions that a process has open there, whatever they are for.
const OpenAt = "open at "

const (
	// slotChunk stands for the task in its lease, beside those of its chunks.
	slotChunk = "task"

	// slotLife is how long a task keeps its places between two chunks. Each of
	// its copies renews them.
	slotLife = time.Minute
)

// slotRequest asks for a place for the task at each end that has few of them;
// false when none has. All copies of a task hold the same lease: whoever asks
// again renews it for all.
func (d *Data) slotRequest(in CopyInput) (LeaseRequest, bool) {
	want := LeaseRequest{Task: in.Task, Chunk: slotChunk, Holder: d.Identity, TTL: slotLife}
	limits := map[string]int{in.Ends.Source: in.Probe.Source.Tasks, in.Ends.Destination: in.Probe.Destination.Tasks}
	for name, limit := range limits {
		if limit > 0 {
			want.Sessions = append(want.Sessions, SessionClaim{Endpoint: TasksAt + name, Sessions: 1, Limit: limit})
		}
	}
	return want, len(want.Sessions) > 0
}

// noSlot is a Busy error: it may last for as long as other tasks do.
type noSlot struct {
	endpoint string
	limit    int
}

func (e *noSlot) Error() string {
	if e.limit == 1 {
		return fmt.Sprintf("%s takes one task at a time, and another one is at it", e.endpoint)
	}
	return fmt.Sprintf("%s takes %d tasks at a time, and as many others are at it", e.endpoint, e.limit)
}

// enter takes the task's places and keeps them until the returned function is
// called, and for slotLife more.
func (d *Data) enter(ctx context.Context, in CopyInput) (leave func(), err error) {
	want, limited := d.slotRequest(in)
	if !limited {
		return func() {}, nil
	}
	err = insist(ctx, patience, func() error {
		_, err := d.Leases.Acquire(ctx, want)
		if fault.Is(err, fault.Busy) {
			return &notNow{fault.Wrap(fault.Busy, "wait for", "a place", noSlotOf(want, err))}
		}
		return err
	})
	if busy := (*notNow)(nil); errors.As(err, &busy) {
		return nil, busy.err
	}
	if err != nil {
		return nil, err
	}
	keeping, stop := context.WithCancel(context.WithoutCancel(ctx))
	go func() {
		for sleep(keeping, slotLife/4) == nil {
			if _, err := d.Leases.Acquire(keeping, want); err != nil && keeping.Err() == nil {
				d.logger().Warn("the task may have lost its place", "task", in.Task, "error", err)
			}
		}
	}()
	return stop, nil
}

// noSlotOf says which of the places could not be had.
func noSlotOf(want LeaseRequest, err error) *noSlot {
	s := &noSlot{endpoint: strings.TrimPrefix(want.Sessions[0].Endpoint, TasksAt), limit: want.Sessions[0].Limit}
	f, ok := errors.AsType[*fault.Error](err)
	for _, c := range want.Sessions {
		if ok && f.Path == c.Endpoint {
			s.endpoint, s.limit = strings.TrimPrefix(c.Endpoint, TasksAt), c.Limit
		}
	}
	return s
}

// Leave gives a task's places back before they expire: it copies nothing more.
func (d *Data) Leave(ctx context.Context, in CopyInput) error {
	want, limited := d.slotRequest(in)
	if !limited {
		return nil
	}
	l, err := d.Leases.Acquire(ctx, want)
	switch {
	case fault.Is(err, fault.Busy):
		return nil // they are others' already
	case err == nil:
		err = d.Leases.Release(ctx, l)
	}
	return toTemporal(err)
}
