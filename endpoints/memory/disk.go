// Package memory is storage in this process's memory: a driver for tests and
// examples that behaves like a server, third-party transfers and faults
// included. It is not a cache and keeps nothing across restarts.
//
// A Disk is what survives; each Open of it is a Storage of its own, as each
// login to a server is. Faults on the Disk make chosen calls fail.
package memory

import (
	"path"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/gridferry/gridferry/endpoints"
	"github.com/gridferry/gridferry/fault"
)

// Options say how a Disk behaves. The zero Options are a disk without limits
// that can do everything.
type Options struct {
	Capacity     int64            // bytes that all files together may hold; 0 is no limit
	StreamOnly   bool             // as Caps.StreamOnly; also means no ranges
	Checksums    []string         // algorithms offered; nil is all of endpoints.Algorithms
	NoThirdParty bool             // Reaches refuses
	Parts        endpoints.Parts  // as Caps.Parts. Not zero is an object store: files longer than a part are on their way until renamed
	NoEmptyDirs  bool             // as Caps.NoEmptyDirs
	OneAnswer    int64            // as Caps.OneAnswer
	Server       string           // as Caps.Server
	Now          func() time.Time // modification times of what is written; nil is time.Now
}

// Disk holds files, directories and symbolic links.
type Disk struct {
	opts    Options
	faults  *Faults
	archive Archive

	mu   sync.RWMutex
	root *node
	used int64
}

type node struct {
	typ      endpoints.Type
	data     []byte
	children map[string]*node
	target   string
	mode     uint32
	modTime  time.Time
	becomes  *endpoints.Becoming // of a file that is on its way to an object store
}

// NewDisk returns an empty disk.
func NewDisk(opts Options) *Disk {
	if opts.Now == nil {
		opts.Now = time.Now
	}
	if opts.Checksums == nil {
		opts.Checksums = endpoints.Algorithms()
	}
	d := &Disk{opts: opts, faults: &Faults{}}
	d.root = d.newNode(endpoints.Dir)
	return d
}

// Faults returns what decides which calls on the disk fail.
func (d *Disk) Faults() *Faults { return d.faults }

// Open logs in.
func (d *Disk) Open() *Storage { return &Storage{disk: d} }

func (d *Disk) newNode(t endpoints.Type) *node {
	n := &node{typ: t, mode: 0o644, modTime: d.opts.Now().UTC()}
	switch t {
	case endpoints.Dir:
		n.children = map[string]*node{}
		n.mode = 0o755
	case endpoints.Link:
		n.mode = 0o777
	}
	return n
}

// maxLinks is how many symbolic links one path may lead through, as on Linux
// (path_resolution(7)).
const maxLinks = 40

// find returns the node at p, following a final symbolic link when follow is
// set. The caller holds mu.
func (d *Disk) find(p string, follow bool) (*node, error) {
	n, _, _, err := d.resolve(p, follow)
	if err != nil {
		return nil, err
	}
	if n == nil {
		return nil, syscall.ENOENT
	}
	return n, nil
}

// resolve walks p to its last element. It returns the node there (nil when
// the name is free), its parent directory and its name in it. The caller
// holds mu.
func (d *Disk) resolve(p string, follow bool) (n, parent *node, name string, err error) {
	links := 0
	stack := []*node{d.root}
	todo := strings.Split(strings.Trim(p, "/"), "/")
	for len(todo) > 0 {
		name, todo = todo[0], todo[1:]
		parent = stack[len(stack)-1]
		switch name {
		case "", ".":
			continue
		case "..":
			if len(stack) > 1 { // above the root there is only the root
				stack = stack[:len(stack)-1]
			}
			continue
		}
		if parent.typ != endpoints.Dir {
			return nil, nil, "", syscall.ENOTDIR
		}
		n = parent.children[name]
		last := len(todo) == 0
		switch {
		case n == nil && last:
			return nil, parent, name, nil
		case n == nil:
			return nil, nil, "", syscall.ENOENT
		case n.typ == endpoints.Link && (!last || follow):
			if links++; links > maxLinks {
				return nil, nil, "", syscall.ELOOP
			}
			if path.IsAbs(n.target) {
				stack = stack[:1]
			}
			todo = append(strings.Split(n.target, "/"), todo...)
		case last:
			return n, parent, name, nil
		default:
			stack = append(stack, n)
		}
	}
	return stack[len(stack)-1], nil, "", nil
}

// lead makes the directories above p, where they come with what is in them. The
// caller holds mu.
func (d *Disk) lead(p string) {
	if up := path.Dir(p); d.opts.NoEmptyDirs && up != p {
		d.lead(up)
		if n, parent, name, err := d.resolve(up, true); err == nil && n == nil {
			parent.children[name] = d.newNode(endpoints.Dir)
		}
	}
}

// leave removes the directories above p that have become empty, where they go
// with what was in them. The caller holds mu.
func (d *Disk) leave(p string) {
	for up := path.Dir(p); d.opts.NoEmptyDirs && up != "/"; up = path.Dir(up) {
		n, parent, name, err := d.resolve(up, false)
		if err != nil || n == nil || len(n.children) > 0 {
			return
		}
		delete(parent.children, name)
	}
}

// kind classifies an errno for a call that reads or writes.
func kind(err error, writes bool) fault.Kind {
	switch err {
	case syscall.ENOENT:
		return fault.NotFound
	case syscall.ENOTDIR, syscall.EISDIR:
		if writes {
			return fault.Exists
		}
		return fault.NotFound
	case syscall.EEXIST, syscall.ENOTEMPTY:
		return fault.Exists
	case syscall.ENOSPC:
		return fault.NoSpace
	case syscall.ELOOP, syscall.EINVAL:
		return fault.Invalid
	}
	return fault.Internal
}
