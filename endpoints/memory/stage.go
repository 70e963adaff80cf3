package memory

import (
	"context"
	"slices"
	"sync"

	"github.com/gridferry/gridferry/endpoints"
	"github.com/gridferry/gridferry/fault"
)

// Archive is the part of a Disk that keeps files on tape. Files are put there
// by Take, and come back when they were asked for and Bring says so.
type Archive struct {
	mu       sync.Mutex
	files    map[string]*tape
	limit    int
	requests int
	released []string
}

// tape is a file of the archive.
type tape struct {
	state endpoints.StageState
	err   error
}

// Archive returns the disk's archive.
func (d *Disk) Archive() *Archive { return &d.archive }

// Take puts files into the archive: they are listed, and cannot be read.
func (a *Archive) Take(paths ...string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.files == nil {
		a.files = map[string]*tape{}
	}
	for _, p := range paths {
		a.files[p] = &tape{state: endpoints.StageOffline}
	}
}

// Bring brings those of the files online that were asked for; without paths,
// all of them.
func (a *Archive) Bring(paths ...string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for p, f := range a.files {
		if f.state == endpoints.StageComing && (len(paths) == 0 || slices.Contains(paths, p)) {
			f.state = endpoints.StageOnline
		}
	}
}

// Refuse has the archive refuse a file; nil is the end of that.
func (a *Archive) Refuse(path string, err error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.files[path].err = err
}

// Limit sets what StageLimit says.
func (a *Archive) Limit(n int) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.limit = n
}

// Coming names the files that were asked for and are not online, sorted.
func (a *Archive) Coming() []string {
	a.mu.Lock()
	defer a.mu.Unlock()
	var names []string
	for p, f := range a.files {
		if f.state == endpoints.StageComing {
			names = append(names, p)
		}
	}
	slices.Sort(names)
	return names
}

// Asked is how many files were asked for, each as often as that was said.
func (a *Archive) Asked() int {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.requests
}

// Released names the files that were released, in their order.
func (a *Archive) Released() []string {
	a.mu.Lock()
	defer a.mu.Unlock()
	return slices.Clone(a.released)
}

// offline says that a file cannot be read.
func (a *Archive) offline(path string) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	f := a.files[path]
	return f != nil && f.state != endpoints.StageOnline
}

var _ endpoints.Stager = (*Storage)(nil)

// StageRequest implements endpoints.Stager.
func (s *Storage) StageRequest(ctx context.Context, paths []string) ([]endpoints.Staged, error) {
	return s.stage(ctx, Stage, paths, func(a *Archive, f *tape) {
		a.requests++
		if f.state == endpoints.StageOffline {
			f.state = endpoints.StageComing
		}
	})
}

// StagePoll implements endpoints.Stager.
func (s *Storage) StagePoll(ctx context.Context, paths []string) ([]endpoints.Staged, error) {
	return s.stage(ctx, Stage, paths, func(*Archive, *tape) {})
}

// StageRelease implements endpoints.Stager. The file is offline again.
func (s *Storage) StageRelease(ctx context.Context, paths []string) error {
	_, err := s.stage(ctx, Release, paths, func(_ *Archive, f *tape) { f.state = endpoints.StageOffline })
	if err == nil {
		a := &s.disk.archive
		a.mu.Lock()
		defer a.mu.Unlock()
		a.released = append(a.released, paths...)
	}
	return err
}

// StageLimit implements endpoints.Stager.
func (s *Storage) StageLimit() int {
	s.disk.archive.mu.Lock()
	defer s.disk.archive.mu.Unlock()
	return s.disk.archive.limit
}

func (s *Storage) stage(ctx context.Context, op Op, paths []string, fn func(*Archive, *tape)) ([]endpoints.Staged, error) {
	out := make([]endpoints.Staged, len(paths))
	for i, p := range paths {
		if err := s.enter(ctx, op, p); err != nil {
			return nil, err
		}
		if _, err := s.Stat(ctx, p); fault.Is(err, fault.NotFound) {
			out[i] = endpoints.Staged{State: endpoints.StageRefused, Err: err}
			continue
		}
		out[i] = s.disk.archive.one(p, fn)
	}
	return out, nil
}

func (a *Archive) one(p string, fn func(*Archive, *tape)) endpoints.Staged {
	a.mu.Lock()
	defer a.mu.Unlock()
	f := a.files[p]
	switch {
	case f == nil:
		return endpoints.Staged{State: endpoints.StageOnline}
	case f.err != nil:
		return endpoints.Staged{State: endpoints.StageRefused, Err: f.err}
	}
	fn(a, f)
	return endpoints.Staged{State: f.state}
}
