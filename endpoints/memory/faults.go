package memory

import (
	"context"
	"sync"
)

// Op names a call for Faults.
type Op string

// The calls that can be made to fail. Read and Write are asked before each
// block, with the offset of its first byte in the file; Sent before each file
// of a third-party run, at the source and at the destination.
const (
	Stat     Op = "stat"
	List     Op = "list"
	Open     Op = "open"
	Read     Op = "read"
	Create   Op = "create"
	Write    Op = "write"
	Commit   Op = "commit"
	Mkdir    Op = "mkdir"
	Rename   Op = "rename"
	Remove   Op = "remove"
	Checksum Op = "checksum"
	SetTime  Op = "settime"
	SetMode  Op = "setmode"
	Symlink  Op = "symlink"
	Sent     Op = "sent"
	Stage    Op = "stage"
	Release  Op = "release"
)

// Faults makes calls on a Disk fail. It may be changed while the disk is used.
type Faults struct {
	mu    sync.Mutex
	rules []*rule
	hook  func(ctx context.Context, op Op, path string, offset int64) error
}

type rule struct {
	op   Op
	path string
	n    int
	err  error
}

// Fail makes the next n calls of op on path end with err; path "" is any, and
// n under 0 is for ever.
func (f *Faults) Fail(op Op, path string, n int, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.rules = append(f.rules, &rule{op: op, path: path, n: n, err: err})
}

// Hook sets a function that is called before everything else; its error ends
// the call. It may block, to hold a call until the test has done something;
// ctx is the call's own. Nil removes it.
func (f *Faults) Hook(fn func(ctx context.Context, op Op, path string, offset int64) error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.hook = fn
}

// Clear forgets all rules and the hook.
func (f *Faults) Clear() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.rules, f.hook = nil, nil
}

func (f *Faults) check(ctx context.Context, op Op, path string, offset int64) error {
	f.mu.Lock()
	hook := f.hook
	f.mu.Unlock()
	if hook != nil {
		if err := hook(ctx, op, path, offset); err != nil {
			return err
		}
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, r := range f.rules {
		if r.op != op || r.n == 0 || (r.path != "" && r.path != path) {
			continue
		}
		if r.n > 0 {
			r.n--
		}
		return r.err
	}
	return nil
}
