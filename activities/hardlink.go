package activities

import (
	"context"

	"github.com/gridferry/gridferry/endpoints"
	"github.com/gridferry/gridferry/fault"
	"github.com/gridferry/gridferry/transfer"
)

// Several names of one file are kept where they come to be in one chunk, in
// which sorting has made them neighbours: the first is copied, and the others
// are made when it has arrived. So nobody has to remember the files of a whole
// tree that have more than one name. Names that are far apart in a tree of more
// than transfer.SegmentLimit files are copied, and so are those of files in
// ranges.

// keepsHardLinks says whether hard links can be kept, where they are to be.
func keepsHardLinks(req transfer.Request, p *pair) error {
	if req.HardLinks != transfer.HardLinksKeep {
		return nil
	}
	for _, e := range p.ends() {
		if _, ok := e.Storage.(endpoints.HardLinker); !ok {
			return fault.New(fault.Invalid, "keep hard links at", e.name, `its kind of storage has none: leave hard_links out, or set it to "copy"`)
		}
	}
	return nil
}

// nameSame makes one file of the neighbours that are one.
func nameSame(files []transfer.File) {
	first := 0
	for i := range files {
		if i == 0 || files[i].Inode == "" || files[i].Inode != files[first].Inode {
			first = i
			continue
		}
		files[i].Same = files[first].Dest
	}
}

// nextName gives helpers all names to make whose file has arrived. A name whose
// file has not is returned, to be copied. Nothing is under way. The caller
// holds mu.
func (c *copier) nextName() (i int, ok bool) {
	for len(c.names) > 0 {
		i := c.names[0]
		c.names = c.names[1:]
		first := i
		for first >= 0 && c.files[first].Dest != c.files[i].Same {
			first--
		}
		if first < 0 || c.state[first] != done {
			c.files[i].Same = ""
			return i, true
		}
		c.start(i)
		c.chore(func(ctx context.Context) { c.makeName(ctx, i) })
	}
	return 0, false
}

// makeName makes another name of a file that has arrived.
func (c *copier) makeName(ctx context.Context, i int) {
	c.mu.Lock()
	if !c.reserve(i) {
		c.back(i)
		c.mu.Unlock()
		return
	}
	f := c.files[i]
	// Whatever has the name is replaced at once, as by a copy.
	c.temp.set(i)
	p := c.path(i)
	c.mu.Unlock()
	err := c.nameAgain(ctx, f, p)
	var gone error
	if err != nil {
		// The file that is copied instead must not be written into the first one.
		gone = c.remove(ctx, p)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case err == nil:
		c.arrived(i, arrival{path: p}, statusCopied)
	case gone != nil:
		c.afterHelp(ctx, i, gone, false)
	default:
		c.note(named(err, p, f.Dest), f.Dest)
		c.files[i].Same = ""
		c.back(i)
	}
}

func (c *copier) nameAgain(ctx context.Context, f transfer.File, temp string) error {
	l, ok := c.ends.dst.Storage.(endpoints.HardLinker)
	if !ok {
		return fault.New(fault.Unsupported, "make a hard link at", f.Dest, "the destination has none")
	}
	err := insist(ctx, patience, func() error { return l.Link(ctx, f.Same, temp) })
	if fault.Is(err, fault.Exists) { // of an earlier try
		if err = c.remove(ctx, temp); err == nil {
			err = l.Link(ctx, f.Same, temp)
		}
	}
	if err != nil {
		return err
	}
	if err := c.rename(ctx, temp, f.Dest); err != nil {
		return err
	}
	// rename(2) does nothing, and keeps both names, where they are of one file.
	return c.remove(ctx, temp)
}
