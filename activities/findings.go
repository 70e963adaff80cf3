package activities

import (
	"context"
	"errors"
	"fmt"
	"path"
	"strings"
	"time"

	"github.com/gridferry/gridferry/endpoints"
	"github.com/gridferry/gridferry/fault"
	"github.com/gridferry/gridferry/transfer"
)

// findings are what looking at one directory or item came to.
type findings struct {
	files      []transfer.File
	offline    []transfer.File // those that have to be staged
	dirs       []pendingDir
	found      transfer.Progress
	extras     []extraName
	times      []dirTimes
	results    []transfer.Result
	failed     []FailedFile
	errors     int64
	collisions []string
	faults     []transfer.Fault
}

// fail lists a name that cannot be moved.
func (o *findings) fail(name string, err error, atSource bool) {
	f := toFault(err, name, time.Now().UTC())
	o.errors++
	o.faults = append(o.faults, f)
	o.failed = append(o.failed, FailedFile{Path: f.Path, Kind: f.Kind, Message: f.Message, AtSource: atSource})
	o.results = append(o.results, transfer.Result{Source: f.Path, Status: "failed", Fault: &f})
}

// ignore lists a name that is left out.
func (o *findings) ignore(name, why string) {
	o.found.EntriesIgnored++
	o.results = append(o.results, transfer.Result{
		Source: strings.ToValidUTF8(name, "?"), Status: "ignored", Fault: &transfer.Fault{Kind: fault.Unsupported, Message: why},
	})
}

// item looks at one item of the request.
func (w *walk) item(ctx context.Context, i int, out *findings) error {
	it := w.in.Request.Items[i]
	if c, taken := w.collided[i]; taken {
		out.collisions = append(out.collisions, c.String())
		out.fail(it.Source, fault.New(fault.Exists, "copy to", c.Dest, c.Reason), false)
		return nil
	}
	source, dest, e, err := locate(ctx, w.ends, w.in.Ends, it)
	if err != nil {
		return err
	}
	if e.Type == endpoints.File {
		f, d, err := w.oneFile(ctx, source, dest, e)
		if err != nil {
			return err
		}
		w.decided(f, e, d, out)
		return nil
	}
	root := pendingDir{Source: source, Dest: dest, ModTime: e.ModTime, Mode: e.Mode}
	there, err := w.ends.dst.Stat(ctx, dest)
	switch {
	case fault.Is(err, fault.NotFound):
		root.Make = true
		if !w.in.Plan {
			if err := makeAll(ctx, w.ends.dst, path.Dir(dest)); err != nil {
				return err
			}
		}
	case err != nil:
		return err
	case there.Type == endpoints.File || there.Type == endpoints.Other:
		return fault.New(fault.Exists, "copy a directory to", dest, "the name is taken by a "+string(there.Type))
	}
	out.dirs = append(out.dirs, root)
	return nil
}

// locate finds out what an item's locations mean, and what its source is.
func locate(ctx context.Context, p *pair, ends Ends, it transfer.Item) (source, dest string, e endpoints.Entry, err error) {
	at := func(end *place, text string) (string, error) {
		loc, err := transfer.ParseLocation(text)
		if err != nil {
			return "", err
		}
		return end.at(ctx, loc)
	}
	if source, err = at(p.src, it.Source); err != nil {
		return "", "", e, err
	}
	if dest, err = at(p.dst, it.Destination); err != nil {
		return "", "", e, err
	}
	if e, err = p.src.Stat(ctx, source); err != nil {
		return "", "", e, err
	}
	if e.Type == endpoints.Link {
		if source, e, err = follow(ctx, p.src, source, e); err != nil {
			return "", "", e, err
		}
	}
	if err := transfer.CheckItem(it, e); err != nil {
		return "", "", e, err
	}
	// Submission refused this for locations as written; "~" and links show
	// only now.
	if ends.Source == ends.Destination && transfer.Inside(dest, source) {
		return "", "", e, fault.New(fault.Invalid, "copy to", dest, "the destination is the source, or inside it")
	}
	return source, dest, e, nil
}

// oneFile compares a single file with its destination, and makes the
// directory it goes into.
func (w *walk) oneFile(ctx context.Context, source, dest string, e endpoints.Entry) (transfer.File, transfer.Decision, error) {
	return compareFile(ctx, w.ends, w.in.Request, source, dest, e, !w.in.Plan)
}

func compareFile(ctx context.Context, p *pair, req transfer.Request, source, dest string, e endpoints.Entry, prepare bool) (transfer.File, transfer.Decision, error) {
	f := transfer.File{Source: source, Dest: dest, Size: e.Size, ModTime: e.ModTime, Mode: e.Mode}
	there, err := p.dst.Stat(ctx, dest)
	switch {
	case fault.Is(err, fault.NotFound):
		if prepare {
			if _, err := p.dst.Stat(ctx, path.Dir(dest)); fault.Is(err, fault.NotFound) {
				if err := makeAll(ctx, p.dst, path.Dir(dest)); err != nil {
					return f, transfer.Decision{}, err
				}
			}
		}
	case err != nil:
		return f, transfer.Decision{}, err
	default:
		f.Exists = true
	}
	return f, transfer.Decide(req.Sync, e, there, f.Exists, time.Duration(req.ModifyWindow)), nil
}

// decided takes over the decision about a file, which was listed as e.
func (w *walk) decided(f transfer.File, e endpoints.Entry, d transfer.Decision, out *findings) {
	switch d.Verdict {
	case transfer.Skip:
		out.found.FilesSkipped++
		out.results = append(out.results, transfer.Result{
			Source: strings.ToValidUTF8(f.Source, "?"), Dest: strings.ToValidUTF8(f.Dest, "?"), Size: f.Size, Status: "skipped",
		})
		return
	case transfer.Conflict:
		out.collisions = append(out.collisions, clip(f.Dest+": "+d.Reason))
		out.fail(f.Source, fault.New(fault.Exists, "copy to", f.Dest, d.Reason), false)
		return
	}
	f.Check = d.Verdict == transfer.NeedChecksum
	if f.Link != "" {
		out.found.Links++
	}
	out.found.Files++
	out.found.Bytes += f.Size
	if e.Offline && w.offline != nil {
		out.offline = append(out.offline, f)
		return
	}
	out.files = append(out.files, f)
}

// dir looks at one directory, or at a batch of a very large one.
func (w *walk) dir(ctx context.Context, p pendingDir, out *findings) error {
	if p.Extra {
		return w.extraDir(ctx, p, out)
	}
	if p.Listed == nil {
		if err := w.list(ctx, &p); err != nil {
			return err
		}
		out.found.Directories++
		comes := w.ends.dst.Caps().NoEmptyDirs // with what is in it, and has nothing of its own
		p.Bare = comes && p.Make && p.Destinies.count() == 0
		if req := w.in.Request; (req.PreserveTime || req.PreserveMode) && !w.in.Plan && !comes {
			t := dirTimes{Path: transfer.PackName(p.Dest)}
			if req.PreserveTime {
				t.ModTime = p.ModTime
			}
			if req.PreserveMode {
				t.Mode = p.Mode
			}
			out.times = append(out.times, t)
		}
	}
	folds := w.ends.dst.Caps().FoldsCase
	asListed := p.asListed() && !folds
	src, err := p.source(ctx, w.d.Blobs, asListed)
	if err != nil {
		return err
	}
	dst, err := p.Destinies.read(ctx, w.d.Blobs, p.After)
	if err != nil {
		return err
	}
	batch := w.sizes.spool.of(p).fit(w.sizes.batch)
	if !p.Listed.spooled() && !p.Destinies.spooled() || folds {
		batch = p.Listed.Total + p.Destinies.count() // all of it
	}
	look := &lookAt{w: w, p: p, out: out}
	if folds {
		look.names = &transfer.Names{FoldsCase: true}
		if look.taken, err = look.foldSources(ctx); err != nil {
			return err
		}
	}
	over := true
	err = joined(src, dst, func(b both) (bool, error) {
		if batch == 0 {
			over = false
			rest := p
			if asListed {
				rest.At = src.mark()
			}
			out.dirs = append([]pendingDir{rest}, out.dirs...)
			return false, nil
		}
		batch--
		if !asListed {
			p.After = b.name
		}
		ignored := out.found.EntriesIgnored
		err := look.at(ctx, b)
		p.Bare = p.Bare && out.found.EntriesIgnored > ignored
		return true, err
	})
	if err == nil && over && p.Bare {
		out.ignore(p.Source, "a folder with nothing in it to copy, and the destination has no empty ones")
	}
	return err
}

func (sp *spool) count() int {
	if sp == nil {
		return 0
	}
	return sp.Total
}

// list reads the directory at both ends, after making it at the destination.
func (w *walk) list(ctx context.Context, p *pendingDir) error {
	type listing struct {
		sp  *spool
		err error
	}
	w.mu.Lock()
	w.spools++
	prefix := fmt.Sprintf("%sspool-%06d", w.prefix, w.spools)
	w.mu.Unlock()
	sizes := w.sizes.spool.of(*p)
	source := make(chan listing, 1)
	go func() {
		sp, err := spoolDir(ctx, w.ends.src, p.Source, w.d.Blobs, prefix+"-s", sizes)
		source <- listing{sp, err}
	}()
	var there *spool
	fresh, err := w.make(ctx, *p)
	if err == nil && !fresh {
		there, err = spoolDir(ctx, w.ends.dst, p.Dest, w.d.Blobs, prefix+"-d", sizes)
		if fault.Is(err, fault.NotFound) {
			err = fault.New(fault.Exists, "copy a directory to", p.Dest, "the name is taken by something else")
		}
	}
	got := <-source
	if err := errors.Join(got.err, err); err != nil {
		if got.err != nil {
			return got.err
		}
		return err
	}
	p.Listed, p.Destinies = got.sp, there
	if there.count() == 0 {
		p.Destinies = nil
	}
	if p.asListed() && !w.ends.dst.Caps().FoldsCase {
		return nil
	}
	for _, sp := range []*spool{p.Listed, p.Destinies} {
		if err := sp.merge(ctx, w.d.Blobs, sizes); err != nil {
			return err
		}
	}
	return nil
}

// make makes the directory at the destination where it is missing. fresh says
// that nothing can be in it.
func (w *walk) make(ctx context.Context, p pendingDir) (fresh bool, err error) {
	if !p.Make {
		return false, nil
	}
	if w.in.Plan {
		return true, nil
	}
	err = w.ends.dst.Mkdir(ctx, p.Dest)
	if fault.Is(err, fault.Exists) { // by an earlier run of this step, or somebody else
		return false, nil
	}
	return err == nil, err
}

// extraDir lists a directory that only the destination has.
func (w *walk) extraDir(ctx context.Context, p pendingDir, out *findings) error {
	return w.ends.dst.List(ctx, p.Dest, func(page []endpoints.Entry) error {
		for _, e := range page {
			if wellNamed(e.Name) {
				w.extra(p.Dest, e, out)
			}
		}
		return nil
	})
}

// extra lists a name for deletion. What filters exclude is none of the task's
// business, and other tasks' temporary names are theirs.
func (w *walk) extra(dir string, e endpoints.Entry, out *findings) {
	if _, excluded := transfer.Excluded(w.in.Request.Filters, e.Name, e.Type); excluded || transfer.IsTempName(e.Name) {
		return
	}
	p := path.Join(dir, e.Name)
	out.extras = append(out.extras, extraName{Path: transfer.PackName(p), Dir: e.Type == endpoints.Dir, Size: e.Size})
	if e.Type == endpoints.Dir {
		out.dirs = append(out.dirs, pendingDir{Dest: p, Extra: true})
	}
}

// wellNamed refuses what no listing should hold: with such a name, a server
// would choose where else at the destination we write.
func wellNamed(name string) bool {
	return name != "" && name != "." && name != ".." && !strings.Contains(name, "/")
}

// lookAt looks at the names of one directory.
type lookAt struct {
	w     *walk
	p     pendingDir
	out   *findings
	names *transfer.Names // of sources, where the destination folds case
	taken map[string]transfer.Collision
}

// foldSources finds the names that the destination takes for one.
func (l *lookAt) foldSources(ctx context.Context) (map[string]transfer.Collision, error) {
	taken := map[string]transfer.Collision{}
	r, err := l.p.Listed.read(ctx, l.w.d.Blobs, "")
	for ; err == nil && r.ok; err = r.advance() {
		e := r.head
		if _, excluded := transfer.Excluded(l.w.in.Request.Filters, e.Name, e.Type); excluded {
			continue
		}
		if c, ok := l.names.Add(path.Join(l.p.Source, e.Name), path.Join(l.p.Dest, e.Name), e.Type); !ok {
			taken[e.Name] = c
		}
	}
	return taken, err
}

func (l *lookAt) at(ctx context.Context, b both) error {
	if b.src == nil {
		if l.w.in.Request.DeleteExtra && wellNamed(b.name) && !l.isSource(*b.dst) {
			l.w.extra(l.p.Dest, *b.dst, l.out)
		}
		return nil
	}
	e := *b.src
	source, dest := path.Join(l.p.Source, e.Name), path.Join(l.p.Dest, e.Name)
	if err := l.nameable(e.Name, source, dest); err != nil {
		l.out.fail(path.Join(l.p.Source, "/", strings.ReplaceAll(e.Name, "/", "?")), err, true)
		return nil
	}
	if transfer.IsTempName(e.Name) {
		l.out.ignore(source, "a temporary file of a transfer")
		return nil
	}
	if e.Type == endpoints.Link && l.w.in.Request.Symlinks == transfer.SymlinksCopy {
		return l.link(ctx, b, source, dest)
	}
	if l.leavesOut(e.Name, e.Type, source, dest) {
		return nil
	}
	switch e.Type {
	case endpoints.File:
		f := transfer.File{Source: source, Dest: dest, Size: e.Size, ModTime: e.ModTime, Mode: e.Mode}
		if l.w.in.Request.HardLinks == transfer.HardLinksKeep {
			f.Inode = e.Inode
		}
		l.file(e, b.dst, f)
	case endpoints.Dir:
		l.dir(e, b.dst, pendingDir{Source: source, Dest: dest, ModTime: e.ModTime, Mode: e.Mode, Via: l.p.Via})
	case endpoints.Link:
		switch {
		case l.w.in.Request.Symlinks != transfer.SymlinksKeep:
			l.out.ignore(source, "a symbolic link")
		case !l.w.ends.dst.Caps().Links:
			l.out.fail(source, fault.New(fault.Unsupported, "make a symbolic link at", dest, "the destination has none"), false)
		default:
			l.file(e, b.dst, transfer.File{Source: source, Dest: dest, ModTime: e.ModTime, Link: e.Target})
		}
	default:
		l.out.ignore(source, "a device, a socket or a pipe")
	}
	return nil
}

// leavesOut notes what is not to be copied under its name: a filter excludes it,
// or another has the name.
func (l *lookAt) leavesOut(name string, typ endpoints.Type, source, dest string) bool {
	if _, excluded := transfer.Excluded(l.w.in.Request.Filters, name, typ); excluded {
		l.out.found.EntriesIgnored++
		return true
	}
	c, taken := l.taken[name]
	if taken {
		l.out.collisions = append(l.out.collisions, clip(c.String()))
		l.out.fail(source, fault.New(fault.Exists, "copy to", dest, c.Reason), false)
	}
	return taken
}

// isSource says that a name of the destination's is one of the source's to a
// storage that folds case.
func (l *lookAt) isSource(e endpoints.Entry) bool {
	if l.names == nil {
		return false
	}
	// As a file it collides with whatever has the name.
	_, free := l.names.Add("", path.Join(l.p.Dest, e.Name), endpoints.File)
	return !free
}

func (l *lookAt) nameable(name, source, dest string) error {
	if !wellNamed(name) {
		return fault.New(fault.Unsupported, "copy", source, "the server lists a name that cannot be one")
	}
	for _, p := range []string{source, dest} {
		if err := endpoints.CheckPath("copy", p); err != nil {
			return fault.Wrap(fault.Unsupported, "copy", source, err)
		}
	}
	if longest := l.w.ends.dst.Caps().MaxName; longest > 0 && len(name) > longest {
		return fault.New(fault.Unsupported, "copy to", dest, fmt.Sprintf("the name has %d bytes and the destination takes %d", len(name), longest))
	}
	return nil
}

func (l *lookAt) file(e endpoints.Entry, there *endpoints.Entry, f transfer.File) {
	var d endpoints.Entry
	if there != nil {
		d = *there
	}
	decision := transfer.Decide(l.w.in.Request.Sync, e, d, there != nil, time.Duration(l.w.in.Request.ModifyWindow))
	f.Exists = there != nil || l.names != nil // under another spelling, perhaps
	l.w.decided(f, e, decision, l.out)
}

func (l *lookAt) dir(e endpoints.Entry, there *endpoints.Entry, p pendingDir) {
	switch {
	case there == nil:
		p.Make = true
	case there.Type != endpoints.Dir:
		reason := fmt.Sprintf("the source is a directory and the destination a %s", there.Type)
		l.out.collisions = append(l.out.collisions, clip(p.Dest+": "+reason))
		l.out.fail(p.Source, fault.New(fault.Exists, "copy a directory to", p.Dest, reason), false)
		return
	}
	l.out.dirs = append(l.out.dirs, p)
}

// link copies what a symbolic link points at.
func (l *lookAt) link(ctx context.Context, b both, source, dest string) error {
	target, e, err := follow(ctx, l.w.ends.src, source, *b.src)
	switch {
	case err != nil && ofOneName(fault.KindOf(err)):
		l.out.fail(source, err, true)
		return nil
	case err != nil:
		return err
	}
	if l.leavesOut(b.name, e.Type, source, dest) {
		return nil
	}
	switch e.Type {
	case endpoints.File:
		l.file(e, b.dst, transfer.File{Source: target, Dest: dest, Size: e.Size, ModTime: e.ModTime, Mode: e.Mode})
	case endpoints.Dir:
		via := append(append([]string(nil), l.p.Via...), l.p.Source)
		for _, dir := range via {
			if transfer.Inside(dir, target) {
				l.out.fail(source, fault.New(fault.Unsupported, "follow", source, "the symbolic link leads back to "+target+", which holds it"), true)
				return nil
			}
		}
		l.dir(e, b.dst, pendingDir{Source: target, Dest: dest, ModTime: e.ModTime, Mode: e.Mode, Via: via})
	default:
		l.out.ignore(source, "points at a device, a socket or a pipe")
	}
	return nil
}

// maxFollowed is how many symbolic links may lead to one another, as on Linux
// (path_resolution(7)).
const maxFollowed = 40

// follow finds what a symbolic link stands for.
func follow(ctx context.Context, s endpoints.Storage, p string, e endpoints.Entry) (string, endpoints.Entry, error) {
	first := p
	for range maxFollowed {
		if e.Target == "" {
			return "", e, fault.New(fault.Unsupported, "follow", p, "the server does not tell where the symbolic link points")
		}
		if path.IsAbs(e.Target) {
			p = path.Clean(e.Target)
		} else {
			p = path.Join(path.Dir(p), e.Target)
		}
		var err error
		if e, err = s.Stat(ctx, p); err != nil || e.Type != endpoints.Link {
			return p, e, err
		}
	}
	return "", e, fault.New(fault.Unsupported, "follow", first, fmt.Sprintf("more than %d symbolic links lead on from it", maxFollowed))
}
