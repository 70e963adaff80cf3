package starter

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"os"
	"path"
	"path/filepath"
	"strings"

	"github.com/gridferry/gridferry/bench"
	"github.com/gridferry/gridferry/endpoints"
	"github.com/gridferry/gridferry/fault"
	"github.com/gridferry/gridferry/transfer"
)

const (
	// blockSize is what a file of any size takes on most file systems.
	blockSize = 4 << 10
	// spareRoom is what stays free beside the files.
	spareRoom = 256 << 20
)

// A benchEnd is the source or the destination.
type benchEnd struct {
	s          *session
	field      string
	at         transfer.Location // as gridferry names it
	also       []transfer.Location
	dir        string // as this machine sees it; empty is not at all
	credential string
	made       bool
	folderless bool // folders come with what is in them
}

func newBenchEnd(s *session, field, location, dir, credential string, also []string) (*benchEnd, error) {
	e := &benchEnd{s: s, field: field, dir: dir, credential: credential}
	var err error
	if e.at, err = transfer.ParseLocation(location); err != nil {
		return nil, fmt.Errorf("%s: %w", field, err)
	}
	for _, text := range also {
		loc, err := transfer.ParseLocation(text)
		if err != nil {
			return nil, fmt.Errorf("%s-as: %w", field, err)
		}
		e.also = append(e.also, loc)
	}
	if e.here() {
		if dir != "" && filepath.Clean(dir) != e.at.Path {
			return nil, invalid(field+"-dir", fmt.Sprintf("%s is not %s", dir, e.at), "leave it out: the URL says where it is")
		}
		e.dir = e.at.Path
	}
	if e.dir == "" {
		return e, nil
	}
	if e.dir, err = filepath.Abs(e.dir); err != nil {
		return nil, invalid(field+"-dir", err.Error(), "")
	}
	if info, err := os.Stat(e.dir); err != nil {
		return nil, invalid(field+"-dir", err.Error(), "")
	} else if !info.IsDir() {
		return nil, invalid(field+"-dir", e.dir+" is no directory", "")
	}
	if _, bound := transfer.Site(e.at.Endpoint); bound {
		e.also = append(e.also, transfer.Location{Endpoint: transfer.Here, Path: filepath.ToSlash(e.dir)})
	}
	return e, nil
}

// here says that the URL itself names a directory of this machine, which the
// service knows nothing of.
func (e *benchEnd) here() bool { return e.at.Endpoint == transfer.Here }

func (e *benchEnd) String() string { return e.at.String() }

// names are all names of a directory below.
func (e *benchEnd) names(elements ...string) []transfer.Location {
	below := path.Join(elements...)
	all := []transfer.Location{e.at.At(path.Join(e.at.Path, below))}
	for _, loc := range e.also {
		all = append(all, loc.At(path.Join(loc.Path, below)))
	}
	return all
}

func (e *benchEnd) place(elements ...string) transfer.Place {
	return transfer.Place{Location: e.names(elements...)[0].String(), Owner: e.s.Owner, Credential: e.credential}
}

func (e *benchEnd) local(elements ...string) string {
	return filepath.Join(e.dir, filepath.FromSlash(path.Join(elements...)))
}

// make makes the directory that everything is in, which must not be there, and
// finds out whether both names of the end mean the same place.
func (e *benchEnd) make(ctx context.Context, name string) error {
	if e.field == "source" {
		if err := os.Mkdir(e.local(name), 0o755); err != nil {
			return err
		}
		e.made = true
		if e.here() {
			return nil
		}
		// A file, because object stores have no empty directories.
		err := os.WriteFile(e.local(name, probe), nil, 0o644)
		var svc transfer.Service
		if err == nil {
			svc, err = e.s.service(ctx)
		}
		if err == nil {
			_, err = svc.Stat(ctx, e.place(name, probe))
		}
		if fault.Is(err, fault.NotFound) {
			err = invalid("source-dir", fmt.Sprintf("%s is not what %s names: what is made here is not there", e.dir, e), "")
		}
		if err != nil {
			err = errors.Join(err, removeLocal(e.local(name)))
			e.made = false
		}
		return err
	}
	switch err := e.mkdir(ctx, name); {
	case fault.Is(err, fault.Unsupported) && e.dir != "":
		return invalid("destination-dir", fmt.Sprintf("%s cannot be told from any other directory: %v", e.dir, err), "leave it out")
	case fault.Is(err, fault.Unsupported):
		e.folderless = true
		fmt.Fprintf(e.s.Stderr, "Folders are to come with what is copied into them: %v.\n", err)
	case err != nil:
		return err
	}
	e.made = true
	if e.dir == "" {
		return nil
	}
	if _, err := os.Stat(e.local(name)); err != nil {
		dir := e.dir
		e.dir = "" // so that it is removed where it was made
		return errors.Join(invalid("destination-dir", fmt.Sprintf("%s is not what %s names: what is made there is not here", dir, e), ""), e.remove(ctx, name))
	}
	return nil
}

// probe is a file that is looked for under the source's other name.
const probe = "probe"

// mkdir makes a directory as whoever serves the end, so that copies can be
// written there; none where they come with what is copied.
func (e *benchEnd) mkdir(ctx context.Context, elements ...string) error {
	if e.folderless {
		return nil
	}
	if e.here() {
		return os.Mkdir(e.local(elements...), 0o755)
	}
	svc, err := e.s.service(ctx)
	if err != nil {
		return err
	}
	return svc.Mkdir(ctx, e.place(elements...))
}

// remove removes a directory that this benchmark has made, with all that is in
// it; that it has gone already is fine.
func (e *benchEnd) remove(ctx context.Context, elements ...string) error {
	if !e.made {
		return nil
	}
	if e.dir != "" {
		return removeLocal(e.local(elements...))
	}
	svc, err := e.s.service(ctx)
	if err != nil {
		return err
	}
	id, err := svc.SubmitDelete(ctx, e.s.NewID(), transfer.DeleteRequest{
		Paths: []string{e.place(elements...).Location}, Recursive: true, IgnoreMissing: true, Owner: e.s.Owner, Credential: e.credential, Label: "clean up a benchmark",
	})
	if err != nil {
		return err
	}
	task, err := svc.Wait(ctx, id)
	if err == nil && task.Status != transfer.Succeeded {
		err = fmt.Errorf("task %s: %s", id, task.Verdict)
	}
	return err
}

func removeLocal(dir string) error { return os.RemoveAll(dir) }

// content is what is in the i-th file of every class: it does not compress.
func content(i int) io.Reader {
	seed := [32]byte{'g', 'r', 'i', 'd', 'f', 'e', 'r', 'r', 'y', byte(i), byte(i >> 8), byte(i >> 16), byte(i >> 24)}
	return rand.NewChaCha8(seed)
}

// makeClass writes the files of a class into a new directory.
func makeClass(dir string, class bench.Class) error {
	if err := os.Mkdir(dir, 0o755); err != nil {
		return err
	}
	for _, sub := range class.Dirs() {
		if err := os.Mkdir(filepath.Join(dir, sub), 0o755); err != nil {
			return err
		}
	}
	for i := range class.Files {
		file, err := os.OpenFile(filepath.Join(dir, filepath.FromSlash(class.Name(i))), os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o644)
		if err != nil {
			return err
		}
		_, err = io.CopyN(file, content(i), class.Size)
		if err = errors.Join(err, file.Close()); err != nil {
			return fmt.Errorf("write %s: %w", file.Name(), err)
		}
	}
	return nil
}

// check says whether the class has arrived: every name with its size, nothing
// else, and, where this machine sees it and bytes are asked for, every byte.
func (e *benchEnd) check(ctx context.Context, class bench.Class, contents bool, elements ...string) error {
	sizes, err := e.sizes(ctx, elements...)
	if err != nil {
		return fmt.Errorf("look at what has arrived: %w", err)
	}
	for i := range class.Files {
		name := class.Name(i)
		if size, there := sizes[name]; !there || size != class.Size {
			return fmt.Errorf("%s did not arrive as it is: %d of %d files are there, this one with %d of %d bytes", name, len(sizes), class.Files, size, class.Size)
		}
		if contents && e.dir != "" {
			if err := sameContent(e.local(append(elements, name)...), i, class.Size); err != nil {
				return err
			}
		}
	}
	if len(sizes) != class.Files {
		return fmt.Errorf("%d files arrived in place of %d", len(sizes), class.Files)
	}
	return nil
}

// sizes are those of all files below a directory, by name.
func (e *benchEnd) sizes(ctx context.Context, elements ...string) (map[string]int64, error) {
	sizes := make(map[string]int64)
	if e.dir != "" {
		root := e.local(elements...)
		return sizes, filepath.WalkDir(root, func(name string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() {
				return err
			}
			info, err := d.Info()
			if err != nil {
				return err
			}
			rel, err := filepath.Rel(root, name)
			sizes[filepath.ToSlash(rel)] = info.Size()
			return err
		})
	}
	svc, err := e.s.service(ctx)
	if err != nil {
		return nil, err
	}
	dirs := []string{""}
	for len(dirs) > 0 {
		dir := dirs[0]
		dirs = dirs[1:]
		entries, err := pages(0, func(p transfer.Page) ([]endpoints.Entry, string, error) {
			l, err := svc.List(ctx, e.place(append(elements, dir)...), p)
			return l.Entries, l.Next, err
		})
		if err != nil {
			return nil, err
		}
		for _, entry := range entries.items {
			if name := path.Join(dir, entry.Name); entry.Type == endpoints.Dir {
				dirs = append(dirs, name)
			} else {
				sizes[name] = entry.Size
			}
		}
	}
	return sizes, nil
}

// sameContent compares a file with what the i-th file of a class holds.
func sameContent(name string, i int, size int64) error {
	file, err := os.Open(name)
	if err != nil {
		return err
	}
	defer file.Close()
	const step = 64 << 10
	got, want := bufio.NewReaderSize(file, step), io.LimitReader(content(i), size)
	a, b := make([]byte, step), make([]byte, step)
	for {
		n, end := io.ReadFull(want, b)
		if _, err := io.ReadFull(got, a[:n]); err != nil {
			return fmt.Errorf("read %s: %w", name, err)
		}
		if !bytes.Equal(a[:n], b[:n]) {
			return fmt.Errorf("%s arrived with other bytes than were sent", name)
		}
		if end != nil {
			return nil // its size has been looked at before
		}
	}
}

// needRoom refuses when the files of the largest class, in bytes, do not fit at
// both ends, as far as that can be seen. It returns what there is to say of it.
func needRoom(bytes int64, src, dst *benchEnd) (string, error) {
	need := map[*benchEnd]int64{src: bytes + spareRoom}
	said := ""
	srcFree, srcDisk, known := freeSpace(src.dir)
	switch dstFree, dstDisk, seen := freeSpace(dst.dir); {
	case dst.dir == "" || !seen:
		said = "How much is free at the destination cannot be seen from here."
	case known && srcDisk == dstDisk:
		need[src] += bytes // both are on one file system
	case dstFree < bytes+spareRoom:
		return "", noRoom(dst, dstFree, bytes+spareRoom)
	}
	if known && srcFree < need[src] {
		return "", noRoom(src, srcFree, need[src])
	}
	if known {
		said = fmt.Sprintf("%s is free. %s", transfer.FormatBytes(srcFree), said)
	}
	return strings.TrimSpace(said), nil
}

func noRoom(e *benchEnd, free, need int64) error {
	return &fault.Error{
		Kind: fault.NoSpace, Op: "make files in", Path: e.dir,
		Err: fmt.Errorf("%s is free and %s is needed", transfer.FormatBytes(free), transfer.FormatBytes(need)), Hint: "choose smaller classes",
	}
}
