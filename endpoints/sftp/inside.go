package sftp

import (
	"context"
	"errors"
	"io/fs"
	"path"
	"sync"
	"time"

	"github.com/gridferry/gridferry/fault"
)

// inside remembers which directories are below the root, however they are
// reached.
type inside struct {
	mu    sync.Mutex
	until map[string]time.Time
}

const (
	// insideFor is how long a directory counts as inside without another look.
	insideFor = 5 * time.Second
	// insideMost is how many directories are remembered.
	insideMost = 4096
)

func newInside() *inside { return &inside{until: map[string]time.Time{}} }

func (i *inside) has(dir string) bool {
	i.mu.Lock()
	defer i.mu.Unlock()
	return time.Now().Before(i.until[dir])
}

func (i *inside) add(dir string) {
	i.mu.Lock()
	defer i.mu.Unlock()
	if len(i.until) >= insideMost {
		clear(i.until)
	}
	i.until[dir] = time.Now().Add(insideFor)
}

// within refuses what a symbolic link leads out of the root. Who follows a link
// at the end of p has that looked at, too. A server that changes under our eyes
// may be quicker than the look: who can do that has an account there.
func (s *Storage) within(ctx context.Context, c *conn, op, p string, follows bool) error {
	if s.opts.root == "" || p == "/" {
		return nil
	}
	look, at := p, s.real(p)
	if !follows {
		if look = path.Dir(p); look == "/" || s.inside.has(look) {
			return nil
		}
		at = s.real(look)
	}
	real, err := call(ctx, s, c, func() (string, error) { return c.sftp.RealPath(at) }, nil)
	if errors.Is(err, fs.ErrNotExist) {
		return nil // whatever is asked for will not be found either
	}
	if err != nil {
		return s.classify(ctx, c, op, p, err, reads)
	}
	if _, ok := below(real, s.top); !ok {
		return fault.New(fault.Permission, op, p, "a symbolic link leads out of the directory that is served")
	}
	if !follows {
		s.inside.add(look)
	}
	return nil
}
