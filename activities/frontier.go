package activities

import (
	"context"
	"fmt"
	"time"

	"github.com/gridferry/gridferry/blob"
	"github.com/gridferry/gridferry/transfer"
)

// frontier is where a walk stands between two steps.
type frontier struct {
	Step    int          `json:"step"`            // of the step that reads it
	Item    int          `json:"item"`            // next item of the request to be looked at
	Again   []int        `json:"again,omitempty"` // earlier items that were not finished
	Dirs    []pendingDir `json:"dirs,omitempty"`  // to be looked at, last first
	Spilled []string     `json:"spilled,omitempty"`
	Pages   []string     `json:"pages,omitempty"`   // keys of the files of the unfinished segment
	Files   int          `json:"files,omitempty"`   // in those pages
	Weight  int          `json:"weight,omitempty"`  // of those, see weigh
	Segment int          `json:"segment"`           // complete ones
	Refused []refusedJob `json:"refused,omitempty"` // to be tried again, when nothing else is left

	weight int // of Dirs, in bytes
}

// pendingDir is a directory to be looked at.
type pendingDir struct {
	Source  string    `json:"s,omitempty"`
	Dest    string    `json:"d"`
	ModTime time.Time `json:"m,omitzero"`
	Mode    uint32    `json:"p,omitempty"`
	Make    bool      `json:"k,omitempty"` // the destination does not have it yet
	Extra   bool      `json:"x,omitempty"` // only the destination has it: list what is in it, to be deleted
	Via     []string  `json:"v,omitempty"` // directories left behind by following links, against circles

	// A directory too large for memory, between two batches.
	Listed    *spool `json:"l,omitempty"`
	Destinies *spool `json:"t,omitempty"` // the destination's listing
	After     string `json:"a,omitempty"` // last name handled
	At        *mark  `json:"i,omitempty"` // where Listed goes on, when it is read as it was listed: instead of After
	Bare      bool   `json:"b,omitempty"` // the destination will not have it, by what was listed so far: no directory is empty there
}

// weigh is how much memory a directory takes, in bytes.
func (p pendingDir) weigh() int { return 200 + len(p.Source) + len(p.Dest) }

// packed returns the directory with names that JSON can carry.
func (p pendingDir) packed() pendingDir { return p.mapNames(transfer.PackName) }

// unpacked undoes packed.
func (p pendingDir) unpacked() pendingDir { return p.mapNames(transfer.UnpackName) }

func (p pendingDir) mapNames(f func(string) string) pendingDir {
	p.Source, p.Dest, p.After = f(p.Source), f(p.Dest), f(p.After)
	via := make([]string, 0, len(p.Via))
	for _, v := range p.Via {
		via = append(via, f(v))
	}
	p.Via = via
	return p
}

// pendingSizes say how many directories a walk keeps in memory, and how many
// bytes those may take. One directory may hold a million others.
type pendingSizes struct{ dirs, bytes int }

var maxPending = pendingSizes{dirs: 20_000, bytes: 16 << 20}

// push adds directories; the older half goes to the blob store when there are
// too many.
func (f *frontier) push(ctx context.Context, blobs blob.Store, prefix string, limit pendingSizes, dirs ...pendingDir) error {
	f.add(dirs...)
	for len(f.Dirs) > limit.dirs || f.weight > limit.bytes && len(f.Dirs) > 1 {
		n := len(f.Dirs) / 2
		key := fmt.Sprintf("%spending-%06d", prefix, len(f.Spilled))
		packed := make([]pendingDir, n)
		for i, p := range f.Dirs[:n] {
			packed[i] = p.packed()
		}
		if err := putLines(ctx, blobs, key, packed); err != nil {
			return err
		}
		f.Spilled = append(f.Spilled, key)
		rest := f.Dirs[n:]
		f.Dirs, f.weight = nil, 0
		f.add(rest...)
	}
	return nil
}

func (f *frontier) add(dirs ...pendingDir) {
	f.Dirs = append(f.Dirs, dirs...)
	for i := range dirs {
		f.weight += dirs[i].weigh()
	}
}

// pop takes the directory that was pushed last.
func (f *frontier) pop(ctx context.Context, blobs blob.Store) (p pendingDir, ok bool, err error) {
	if len(f.Dirs) == 0 && len(f.Spilled) > 0 {
		last := len(f.Spilled) - 1
		dirs, err := getLines[pendingDir](ctx, blobs, f.Spilled[last])
		if err != nil {
			return pendingDir{}, false, err
		}
		for _, p := range dirs {
			f.add(p.unpacked())
		}
		f.Spilled = f.Spilled[:last]
	}
	last := len(f.Dirs) - 1
	if last < 0 {
		return pendingDir{}, false, nil
	}
	p, f.Dirs = f.Dirs[last], f.Dirs[:last]
	f.weight -= p.weigh()
	return p, true, nil
}

// empty says that no directory is left.
func (f *frontier) empty() bool { return len(f.Dirs) == 0 && len(f.Spilled) == 0 }

// store keeps the frontier under key.
func (f *frontier) store(ctx context.Context, blobs blob.Store, key string) error {
	out := *f
	out.Dirs = make([]pendingDir, len(f.Dirs))
	for i, p := range f.Dirs {
		out.Dirs[i] = p.packed()
	}
	out.Refused = make([]refusedJob, len(f.Refused))
	for i, r := range f.Refused {
		out.Refused[i] = r
		out.Refused[i].Dir = r.Dir.packed()
	}
	return putLines(ctx, blobs, key, []frontier{out})
}

// loadFrontier reads the frontier under key; an empty key is the beginning.
func loadFrontier(ctx context.Context, blobs blob.Store, key string) (*frontier, error) {
	if key == "" {
		return &frontier{}, nil
	}
	f, err := getOne[frontier](ctx, blobs, key)
	if err != nil {
		return nil, err
	}
	for i, p := range f.Dirs {
		f.Dirs[i] = p.unpacked()
		f.weight += f.Dirs[i].weigh()
	}
	for i, r := range f.Refused {
		f.Refused[i].Dir = r.Dir.unpacked()
	}
	return &f, nil
}
