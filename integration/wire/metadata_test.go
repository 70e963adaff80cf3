package wire_test

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"testing"
	"time"

	"github.com/gridferry/gridferry/wire/gridftp"
)

// TestMetadata does every operation that moves no file, and its commonest
// refusals.
func TestMetadata(t *testing.T) {
	w := newWorld(t)
	s := w.server()
	c := w.dial(s)
	ctx := bounded(t)
	write(t, s, "file", content(1, 1000))
	when := time.Date(2001, 9, 9, 1, 46, 40, 0, time.UTC)

	must(t, c.Mkdir(ctx, s.Path("dir")))
	must(t, c.Chmod(ctx, s.Path("file"), 0o4751))
	must(t, c.SetModTime(ctx, s.Path("file"), when))
	must(t, c.Symlink(ctx, "file", s.Path("link")))
	must(t, c.Symlink(ctx, s.Path("dir"), s.Path("to dir")))

	e, err := c.Stat(ctx, s.Path("file"))
	if err != nil || e.Type != gridftp.TypeFile || e.Size != 1000 || e.Mode != 0o4751 || !e.ModTime.Equal(when) || e.IsLink() || e.Name != s.Path("file") {
		t.Errorf("file: %+v, %v", e, err)
	}
	if e, err = c.Stat(ctx, s.Path("dir")); err != nil || !e.IsDir() || e.Unique == "" {
		t.Errorf("dir: %+v, %v", e, err)
	}
	if e, err = c.Stat(ctx, s.Path("link")); err != nil || e.LinkTarget != s.Path("file") || e.Size != 1000 {
		t.Errorf("link: %+v, %v", e, err)
	}
	if target, err := os.Readlink(s.Path("link")); err != nil || target != s.Path("file") {
		t.Errorf("link to %q, %v", target, err)
	}
	if n, err := c.Size(ctx, s.Path("file")); err != nil || n != 1000 {
		t.Errorf("size %d, %v", n, err)
	}
	if at, err := c.ModTime(ctx, s.Path("file")); err != nil || !at.Equal(when) {
		t.Errorf("time %v, %v", at, err)
	}
	sum := sha256.Sum256(content(1, 1000)[100:300])
	if got, err := c.Checksum(ctx, "sha256", s.Path("file"), 100, 200, nil); err != nil || got != hex.EncodeToString(sum[:]) {
		t.Errorf("checksum %s, %v", got, err)
	}
	if user, err := c.WhoAmI(ctx); err != nil || user == "" {
		t.Errorf("account %q, %v", user, err)
	}

	must(t, c.Rename(ctx, s.Path("file"), s.Path("dir/new name")))
	want(t, s.Path("dir/new name"), content(1, 1000))
	write(t, s, "other", content(2, 10))
	must(t, c.Rename(ctx, s.Path("other"), s.Path("dir/new name"))) // replaces
	want(t, s.Path("dir/new name"), content(2, 10))

	for name, test := range map[string]struct {
		err error
		is  func(*gridftp.ReplyError) bool
	}{
		"make what is there":  {c.Mkdir(ctx, s.Path("dir")), (*gridftp.ReplyError).Exists},
		"make without parent": {c.Mkdir(ctx, s.Path("no/dir")), (*gridftp.ReplyError).NotFound},
		"remove a full dir":   {c.RemoveDir(ctx, s.Path("dir")), (*gridftp.ReplyError).Exists},
		"remove nothing":      {c.RemoveFile(ctx, s.Path("none")), (*gridftp.ReplyError).NotFound},
		"remove no dir":       {c.RemoveDir(ctx, s.Path("dir/new name")), (*gridftp.ReplyError).NotDirectory},
		"rename nothing":      {c.Rename(ctx, s.Path("none"), s.Path("x")), (*gridftp.ReplyError).NotFound},
		"list nothing":        {c.List(ctx, s.Path("none"), nil), (*gridftp.ReplyError).NotFound},
		"outside the tree":    {c.Mkdir(ctx, "/etc/gridferry-test"), (*gridftp.ReplyError).Permission},
	} {
		var refusal *gridftp.ReplyError
		if !errors.As(test.err, &refusal) || !test.is(refusal) {
			t.Errorf("%s: %v", name, test.err)
		}
	}
	if err := c.List(ctx, s.Path("dir/new name"), func([]gridftp.Entry) error { return nil }); !errors.Is(err, gridftp.ErrNotDirectory) {
		t.Errorf("list a file: %v", err)
	}

	must(t, c.RemoveFile(ctx, s.Path("dir/new name")))
	must(t, c.RemoveDir(ctx, s.Path("dir")))
	must(t, c.RemoveFile(ctx, s.Path("to dir")))
	if _, err := os.Lstat(s.Path("dir")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the folder is still there: %v", err)
	}
	must(t, c.Noop(ctx))
}

// TestList lists names that look like something else, even like the listing's
// own end, and a folder of many pages.
func TestList(t *testing.T) {
	w := newWorld(t)
	s := w.server()
	c := w.dial(s)
	list := func(dir string) []string {
		var names []string
		pages := 0
		must(t, c.List(bounded(t), s.Path(dir), func(page []gridftp.Entry) error {
			pages++
			for _, e := range page {
				names = append(names, e.Name)
			}
			return nil
		}))
		if len(names) > 2000 && pages < 2 {
			t.Errorf("%d entries in %d pages", len(names), pages)
		}
		slices.Sort(names)
		return names
	}
	odd := []string{"plain", "two  spaces", " lead", "trail ", "semi;colon", "new\nline", "cr\rx", "tab\t", "latin\xe4", "pct%41", "-dash", ".hidden", "x\r\n250 End.", "x\r\n 250 End.", `back\slash`, `quote"`}
	for _, name := range odd {
		must(t, os.MkdirAll(s.Path("odd"), 0o755))
		must(t, os.WriteFile(s.Path("odd")+"/"+name, nil, 0o644))
	}
	must(t, os.Symlink("nowhere", s.Path("odd")+"/dangling"))
	// One name cannot be told from an entry of the listing, and is an error
	// instead of a wrong list.
	must(t, os.Remove(s.Path("odd")+"/x\r\n 250 End."))
	odd = slices.DeleteFunc(odd, func(name string) bool { return name == "x\r\n 250 End." })
	slices.Sort(odd)
	if got := list("odd"); !slices.Equal(got, odd) {
		t.Errorf("got %q, want %q", got, odd)
	}

	var many []string
	must(t, os.MkdirAll(s.Path("many"), 0o755))
	for i := range 3500 {
		name := fmt.Sprintf("file %04d", i)
		many = append(many, name)
		must(t, os.WriteFile(s.Path("many")+"/"+name, nil, 0o644))
	}
	if got := list("many"); !slices.Equal(got, many) {
		t.Errorf("got %d names, want %d", len(got), len(many))
	}
	must(t, os.MkdirAll(s.Path("empty"), 0o755))
	if got := list("empty"); len(got) != 0 {
		t.Errorf("an empty folder holds %q", got)
	}
}
