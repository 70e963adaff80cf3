package check

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gridferry/gridferry/endpoints"
	"github.com/gridferry/gridferry/fault"
	"github.com/gridferry/gridferry/transfer"
)

// begin makes the new directory.
func (v *visit) begin() {
	dir := join(v.o.Write, v.o.Name)
	v.look("new directory", "nothing can be written here", func(ctx context.Context) answer {
		for _, name := range v.o.Stale {
			if _, err := v.removeTree(ctx, join(v.o.Write, name)); err != nil && !fault.Is(err, fault.NotFound) {
				return failed(err)
			}
		}
		err := v.Mkdir(ctx, dir)
		switch kind := fault.KindOf(err); {
		case err == nil:
			v.dir = dir
			return works(dir, "")
		case kind == fault.Transient || kind == fault.Canceled || kind == fault.Internal:
			v.dir = dir // it may be there all the same
		}
		if v.ctx.Err() == nil {
			v.out.Fault = &transfer.Fault{Kind: fault.KindOf(err), Message: clip(err.Error()), Path: clip(dir)}
		}
		return failed(err)
	})
}

// tidy removes the new directory, whatever has become of the check.
func (v *visit) tidy() {
	if v.dir == "" {
		return
	}
	v.o.Tell("tidying up")
	ctx, cancel := context.WithTimeout(context.WithoutCancel(v.ctx), tidyTime)
	defer cancel()
	f := transfer.Finding{Name: "tidying up", Outcome: transfer.Works}
	begun := time.Now()
	n, err := v.removeTree(ctx, v.dir)
	for wait := 250 * time.Millisecond; err != nil && !fault.Is(err, fault.NotFound) && !fault.Is(err, fault.Permission); wait *= 2 {
		select {
		case <-ctx.Done():
			err = errors.Join(err, ctx.Err())
		case <-time.After(wait):
			var more int
			more, err = v.removeTree(ctx, v.dir)
			n += more
			continue
		}
		break
	}
	f.Took = transfer.Duration(time.Since(begun).Round(time.Microsecond))
	f.Seen = fmt.Sprintf("%s is gone, and %d names in it", v.dir, n)
	if err != nil && !fault.Is(err, fault.NotFound) {
		v.out.Left = v.dir
		f.Outcome, f.Seen, f.Means = transfer.Broken, clip(err.Error()), clip(v.dir)+" is left: remove it by hand"
	}
	v.out.Findings = append(v.out.Findings, f)
}

// removeTree removes a directory with what is in it, and counts the names.
func (v *visit) removeTree(ctx context.Context, dir string) (n int, err error) {
	var inside []endpoints.Entry
	err = v.List(ctx, dir, func(page []endpoints.Entry) error {
		inside = append(inside, page...)
		return nil
	})
	if err != nil {
		return 0, err
	}
	var below atomic.Int64
	err = v.several(len(inside), func(i int) error {
		path := join(dir, inside[i].Name)
		if inside[i].Type == endpoints.Dir {
			n, err := v.removeTree(ctx, path)
			below.Add(int64(n))
			return err
		}
		err := v.Remove(ctx, path)
		if fault.Is(err, fault.NotFound) {
			return nil
		}
		return err
	})
	if err == nil {
		if err = v.Remove(ctx, dir); v.caps.NoEmptyDirs && fault.Is(err, fault.NotFound) {
			err = nil // it went with what was in it
		}
	}
	return len(inside) + int(below.Load()), err
}

// several calls do for each of n, some at once, and returns the first error.
func (v *visit) several(n int, do func(i int) error) error {
	errs := make([]error, n)
	var wg sync.WaitGroup
	var next atomic.Int64
	for range min(n, v.o.Sessions) {
		wg.Go(func() {
			for i := next.Add(1) - 1; i < int64(n); i = next.Add(1) - 1 {
				errs[i] = do(int(i))
			}
		})
	}
	wg.Wait()
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

// writing looks at what a copy does at its destination.
func (v *visit) writing() {
	v.look("writing", "nothing can be copied to here", func(ctx context.Context) answer {
		data := noise(mib + 7)
		if err := v.put(ctx, "file", data); err != nil {
			return failed(err)
		}
		e, err := v.Stat(ctx, v.in("file"))
		if err != nil {
			return failed(err)
		}
		if e.Type != endpoints.File || e.Size != int64(len(data)) {
			return wrong("%d bytes were written, and it is a %s of %d", len(data), e.Type, e.Size)
		}
		return v.sameAs(ctx, "file", data, "and read again, byte for byte", "")
	})
	v.look("parts of files", "a file that is interrupted begins again, and verification by reading parts fails", func(ctx context.Context) answer {
		data := noise(mib + 7)
		for _, r := range []endpoints.Range{{End: 1}, {Off: 65_535, End: 65_537}, {Off: 500_000, End: 700_000}, {Off: mib, End: mib + 7}} {
			got, err := v.readAll(ctx, v.in("file"), r.Off, r.Len())
			if err != nil {
				return failed(err)
			}
			if !bytes.Equal(got, data[r.Off:r.End]) {
				return wrong("bytes %d to %d are not those that were written there", r.Off, r.End)
			}
		}
		return works("read from any place", "")
	})
	v.look("empty files", "trees with empty files cannot be copied here", func(ctx context.Context) answer {
		if err := v.put(ctx, "empty", nil); err != nil {
			return failed(err)
		}
		e, err := v.Stat(ctx, v.in("empty"))
		if err != nil {
			return failed(err)
		}
		if e.Type != endpoints.File || e.Size != 0 {
			return wrong("it is a %s of %d bytes", e.Type, e.Size)
		}
		return v.sameAs(ctx, "empty", nil, "are files of 0 bytes", "")
	})
	v.look("empty folders", "trees with folders cannot be copied here", v.emptyFolders)
	v.look("replacing", "what is there already is not brought up to date", func(ctx context.Context) answer {
		for _, data := range [][]byte{noise(5000), []byte("short")} {
			if err := v.put(ctx, "replaced", data); err != nil {
				return failed(err)
			}
		}
		return v.sameAs(ctx, "replaced", []byte("short"), "a shorter file takes the place of a longer one", "")
	})
	v.look("renaming", "files of 1 MiB and more, and those that replace others, are written under another name and cannot be finished here", v.renaming)
	v.look("taken names", "somebody else's file could be overwritten unseen", v.taken)
	v.look("removing", "--delete-extra and cancelled tasks leave files", v.removing)
	v.look("odd names", "files arrive under other names than they have", v.oddNames)
	v.look("upper and lower case", "files whose names differ in case alone overwrite each other unseen", v.cases)
}

// noEmptyFolders is what Caps.NoEmptyDirs comes to.
func noEmptyFolders() answer {
	return cannot("a folder is there only while something is in it", "folders of a tree with nothing in them to copy are listed as ignored")
}

func (v *visit) emptyFolders(ctx context.Context) answer {
	if err := v.Mkdir(ctx, v.in("hollow")); err != nil {
		return failed(err)
	}
	e, err := v.Stat(ctx, v.in("hollow"))
	switch {
	case v.caps.NoEmptyDirs && fault.Is(err, fault.NotFound):
		return noEmptyFolders()
	case err != nil:
		return failed(err)
	case e.Type != endpoints.Dir:
		return wrong("a folder was made, and it is a %s", e.Type)
	}
	return works("are kept", "")
}

func (v *visit) renaming(ctx context.Context) answer {
	for name, data := range map[string]string{"a": "first", "b": "second"} {
		if err := v.put(ctx, name, []byte(data)); err != nil {
			return failed(err)
		}
	}
	if err := v.Rename(ctx, v.in("a"), v.in("c")); err != nil {
		return failed(err)
	}
	if _, err := v.Stat(ctx, v.in("a")); !fault.Is(err, fault.NotFound) {
		return wrong("the old name is there still: %v", err)
	}
	if a, ok := v.holds(ctx, "c", []byte("first")); !ok {
		return a
	}
	if err := v.Rename(ctx, v.in("b"), v.in("c")); err != nil {
		return wrong("a name that is taken is not replaced: %v", err)
	}
	return v.sameAs(ctx, "c", []byte("second"), "and a name that is taken is replaced", "")
}

func (v *visit) taken(ctx context.Context) answer {
	opts := endpoints.CreateOptions{Size: 3, Exclusive: true}
	if err := v.write(ctx, v.in("taken"), []byte("one"), opts); err != nil {
		return failed(err)
	}
	if err := v.write(ctx, v.in("taken"), []byte("two"), opts); !fault.Is(err, fault.Exists) {
		return wrong("a file that must not be there is written over one that is: %v", err)
	}
	if err := v.Mkdir(ctx, v.in("taken")); !fault.Is(err, fault.Exists) {
		return wrong("a directory is made where a file is: %v", err)
	}
	return v.sameAs(ctx, "taken", []byte("one"), "are told as such", "")
}

func (v *visit) removing(ctx context.Context) answer {
	if err := v.Mkdir(ctx, v.in("folder")); err != nil {
		return failed(err)
	}
	if err := v.put(ctx, "folder/x", []byte("x")); err != nil {
		return failed(err)
	}
	if err := v.Remove(ctx, v.in("folder")); !fault.Is(err, fault.Exists) {
		return wrong("a directory that is not empty is removed: %v", err)
	}
	for _, name := range []string{"folder/x", "folder"} {
		err := v.Remove(ctx, v.in(name))
		if err != nil && !(name == "folder" && v.caps.NoEmptyDirs && fault.Is(err, fault.NotFound)) {
			return failed(err)
		}
		if _, err := v.Stat(ctx, v.in(name)); !fault.Is(err, fault.NotFound) {
			return wrong("%s is there still: %v", v.in(name), err)
		}
	}
	return works("files, and directories that are empty", "")
}

// oddNames writes files of all sorts of names and looks for them.
func (v *visit) oddNames(ctx context.Context) answer {
	if err := v.Mkdir(ctx, v.in("names")); err != nil {
		return failed(err)
	}
	var names []string
	sort := map[string]string{}
	for _, g := range OddNames() {
		for _, name := range g.Names {
			names, sort[name] = append(names, name), g.What
		}
	}
	refused := make([]error, len(names))
	err := v.several(len(names), func(i int) error {
		err := v.put(ctx, "names/"+names[i], []byte(names[i]))
		switch fault.KindOf(err) {
		case fault.Unsupported, fault.Invalid, fault.Permission, fault.NotFound, fault.Exists:
			refused[i] = err
			return nil
		}
		return err
	})
	if err != nil {
		return failed(err)
	}
	listed := map[string]int64{}
	err = v.list(ctx, v.in("names"), func(at thing) { listed[at.entry.Name] = at.entry.Size })
	if err != nil {
		return failed(err)
	}
	var sorts []string // that have names that are refused
	written := 0
	for i, name := range names {
		size, ok := listed[name]
		switch {
		case refused[i] != nil:
			if len(sorts) == 0 || sorts[len(sorts)-1] != sort[name] {
				sorts = append(sorts, sort[name])
			}
			continue
		case !ok:
			return wrong("%q was written, and is not listed", name)
		case size != int64(len(name)):
			return wrong("%q was written with %d bytes, and is listed with %d", name, len(name), size)
		}
		written++
	}
	if len(listed) != written {
		return wrong("%d names were written, and %d are listed", written, len(listed))
	}
	err = v.several(len(names), func(i int) error {
		if refused[i] != nil {
			return nil
		}
		got, err := v.readAll(ctx, v.in("names/"+names[i]), 0, -1)
		if err == nil && string(got) != names[i] {
			return fault.New(fault.Integrity, "read", v.in("names/"+names[i]), "it is another file")
		}
		return err
	})
	if err != nil {
		return failed(err)
	}
	if len(sorts) > 0 {
		return cannot(fmt.Sprintf("%d of %d are written; refused are some with %s", written, len(names), strings.Join(sorts, "; ")), "files with such names are listed as errors, and all others are copied")
	}
	return works(fmt.Sprintf("all of %d", len(names)), "")
}

func (v *visit) cases(ctx context.Context) answer {
	for _, name := range []string{"case", "CASE"} {
		if err := v.put(ctx, name, []byte(name)); err != nil {
			return failed(err)
		}
	}
	got, err := v.readAll(ctx, v.in("case"), 0, -1)
	switch {
	case err != nil:
		return failed(err)
	case string(got) == "case" && v.caps.FoldsCase:
		return wrong("names that differ in case are declared to be one, and are two")
	case string(got) == "case":
		return works("make two names", "")
	case v.caps.FoldsCase:
		return cannot("make one name", "of files whose names differ in case alone one is listed as an error")
	}
	return wrong("make one name, and it is not declared")
}
