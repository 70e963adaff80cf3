package check_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/gridferry/gridferry/endpoints"
	"github.com/gridferry/gridferry/endpoints/check"
	"github.com/gridferry/gridferry/endpoints/memory"
	"github.com/gridferry/gridferry/endpoints/posix"
	"github.com/gridferry/gridferry/fault"
	"github.com/gridferry/gridferry/transfer"
)

// brief measures little: the tests are about what is found, not how fast it is.
// The bytes are what ends a measurement, for a busy machine may stand still.
func brief(o check.Options) check.Options {
	if o.Path == "" {
		o.Path = "/"
	}
	o.Name, o.Time, o.Bytes = "gridferry-check-test", 20*time.Second, 8<<20
	return o
}

// somebodys are files that a check must leave as they are.
func somebodys(t *testing.T, s endpoints.Storage) map[string]string {
	t.Helper()
	if err := s.Mkdir(t.Context(), "/data"); err != nil {
		t.Fatal(err)
	}
	files := map[string]string{"/data/small": strings.Repeat("small", 100), "/data/large": strings.Repeat("large file ", 200_000), "/top": "top"}
	for path, content := range files {
		put(t, s, path, content)
	}
	return files
}

func put(t *testing.T, s endpoints.Storage, path, content string) {
	t.Helper()
	w, err := s.Create(t.Context(), path, endpoints.CreateOptions{Size: int64(len(content))})
	if err == nil {
		_, err = w.Write([]byte(content))
	}
	if err == nil {
		err = w.Commit()
	}
	if err != nil {
		t.Fatal(err)
	}
}

// names lists everything that there is.
func names(t *testing.T, s endpoints.Storage, dir string) []string {
	t.Helper()
	var found, dirs []string
	err := s.List(t.Context(), dir, func(page []endpoints.Entry) error {
		for _, e := range page {
			path := strings.TrimSuffix(dir, "/") + "/" + e.Name
			if found = append(found, path); e.Type == endpoints.Dir {
				dirs = append(dirs, path)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range dirs {
		found = append(found, names(t, s, d)...)
	}
	slices.Sort(found)
	return found
}

func finding(t *testing.T, c transfer.Checkup, name string) transfer.Finding {
	t.Helper()
	i := slices.IndexFunc(c.Findings, func(f transfer.Finding) bool { return f.Name == name })
	if i < 0 {
		t.Fatalf("nothing is said of %s: %+v", name, c)
	}
	return c.Findings[i]
}

func wants(t *testing.T, c transfer.Checkup, want map[string]transfer.Outcome) {
	t.Helper()
	for name, outcome := range want {
		if f := finding(t, c, name); f.Outcome != outcome {
			t.Errorf("%s: %s (%s), want %s", name, f.Outcome, f.Seen, outcome)
		}
	}
}

// sound fails where something is broken, or was not tried.
func sound(t *testing.T, c transfer.Checkup) {
	t.Helper()
	for _, f := range c.Findings {
		t.Logf("%-28s %-9s %8s  %s: %s", f.Name, f.Outcome, time.Duration(f.Took), f.Seen, f.Means)
		if f.Outcome == transfer.Broken || f.Outcome == transfer.NotTried || f.Seen == "" {
			t.Errorf("%s: %s: %s", f.Name, f.Outcome, f.Seen)
		}
	}
	if c.Fault != nil || c.Left != "" {
		t.Errorf("fault %+v, left %q", c.Fault, c.Left)
	}
}

func TestFull(t *testing.T) {
	root := t.TempDir()
	disk, err := posix.Open(posix.Options{Mounts: map[string]string{"/": root}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { disk.Close() })
	for name, s := range map[string]endpoints.Storage{
		"memory":  memory.NewDisk(memory.Options{}).Open(),
		"streams": memory.NewDisk(memory.Options{StreamOnly: true, NoThirdParty: true, Checksums: []string{}}).Open(),
		"objects": memory.NewDisk(memory.Options{Parts: endpoints.Parts{Least: 1 << 20, Most: 100}, Checksums: []string{"crc32c"}}).Open(),
		"posix":   disk,
	} {
		t.Run(name, func(t *testing.T) {
			somebodys(t, s)
			before := names(t, s, "/")
			var told []string
			c := check.Run(t.Context(), s, brief(check.Options{Write: "/data", Tell: func(what string) { told = append(told, what) }}))
			sound(t, c)
			if after := names(t, s, "/"); !slices.Equal(before, after) {
				t.Errorf("before: %q, after: %q", before, after)
			}
			if len(told) != len(c.Findings) {
				t.Errorf("told of %d of %d looks", len(told), len(c.Findings))
			}
			want := map[string]transfer.Outcome{"written in ranges": transfer.Works, "straight to another server": transfer.Works, "checksums at the server": transfer.Works}
			if name == "streams" {
				for look := range want {
					want[look] = transfer.Cannot
				}
				if m := finding(t, c, "written in ranges").Means; !strings.Contains(m, "begins again") {
					t.Errorf("no ranges mean %q", m)
				}
			}
			if name == "posix" {
				want["straight to another server"] = transfer.Cannot
			}
			wants(t, c, want)
			if f := finding(t, c, "write speed, 1 session"); f.Rate <= 0 {
				t.Errorf("%+v", f)
			}
		})
	}
}

func TestReadOnly(t *testing.T) {
	disk := memory.NewDisk(memory.Options{})
	s := disk.Open()
	files := somebodys(t, s)
	disk.Faults().Hook(func(_ context.Context, op memory.Op, path string, _ int64) error {
		if !slices.Contains([]memory.Op{memory.Stat, memory.List, memory.Open, memory.Read, memory.Checksum}, op) {
			t.Errorf("%s %s", op, path)
		}
		return nil
	})
	c := check.Run(t.Context(), s, brief(check.Options{Path: "/data", Login: 3 * time.Millisecond}))
	wants(t, c, map[string]transfer.Outcome{
		"login": transfer.Works, "folder": transfer.Works, "reading": transfer.Works, "reading ranges": transfer.Works, "missing names": transfer.Works,
		"checksums at the server": transfer.Works, "written in ranges": transfer.NotTried, "times": transfer.NotTried,
		"read speed, 1 session": transfer.Works, "read speed, 4 sessions": transfer.Works,
	})
	if n := c.Count(transfer.Broken); n != 0 {
		t.Errorf("%d are broken: %+v", n, c)
	}
	if f := finding(t, c, "reading"); !strings.Contains(f.Seen, "/data/small") {
		t.Errorf("read %s", f.Seen)
	}
	if f := finding(t, c, "read speed, 1 session"); f.Rate <= 0 || !strings.Contains(f.Seen, transfer.FormatBytes(int64(len(files["/data/large"])))) {
		t.Errorf("%+v", f)
	}
	// A file in place of a folder.
	disk.Faults().Clear()
	c = check.Run(t.Context(), s, brief(check.Options{Path: "/data/large"}))
	wants(t, c, map[string]transfer.Outcome{"folder": transfer.Works, "missing names": transfer.NotTried, "stat": transfer.Works, "read speed, 4 sessions": transfer.Works})
}

// That folders go with what is in them is told once, by reading alone too.
func TestNoEmptyFolders(t *testing.T) {
	for _, write := range []string{"", "/data"} {
		disk := memory.NewDisk(memory.Options{NoEmptyDirs: true})
		put(t, disk.Open(), "/data/file", "here")
		c := check.Run(t.Context(), disk.Open(), brief(check.Options{Path: "/data", Write: write}))
		wants(t, c, map[string]transfer.Outcome{"empty folders": transfer.Cannot})
		told := 0
		for _, f := range c.Findings {
			if f.Name == "empty folders" {
				told++
			}
		}
		if told != 1 {
			t.Errorf("with --write %q it is told %d times", write, told)
		}
	}
	c := check.Run(t.Context(), memory.NewDisk(memory.Options{}).Open(), brief(check.Options{}))
	if slices.ContainsFunc(c.Findings, func(f transfer.Finding) bool { return f.Name == "empty folders" }) {
		t.Errorf("told of a disk that was not asked: %+v", c.Findings)
	}
}

// liar declares abilities and has none of them.
type liar struct{ *memory.Storage }

func (l liar) Checksum(context.Context, string, string, int64, int64, func()) (string, error) {
	return "00", nil
}
func (l liar) SetModTime(context.Context, string, time.Time) error { return nil }
func (l liar) SetMode(_ context.Context, path string, _ uint32) error {
	return fault.New(fault.Unsupported, "set the mode of", path, "500 SITE CHMOD: what?")
}
func (l liar) Symlink(ctx context.Context, _, path string) error { return l.Mkdir(ctx, path) }

// Create ignores where it is told to write.
func (l liar) Create(ctx context.Context, path string, o endpoints.CreateOptions) (endpoints.Writer, error) {
	o.Offset, o.Update = 0, false
	return l.Storage.Create(ctx, path, o)
}

// Rename does not replace.
func (l liar) Rename(ctx context.Context, from, to string) error {
	if _, err := l.Stat(ctx, to); err == nil {
		return fault.New(fault.Permission, "rename", to, "553 it is there")
	}
	return l.Storage.Rename(ctx, from, to)
}

func TestLies(t *testing.T) {
	s := liar{memory.NewDisk(memory.Options{}).Open()}
	somebodys(t, s)
	before := names(t, s, "/")
	c := check.Run(t.Context(), s, brief(check.Options{Write: "/data"}))
	want := map[string]transfer.Outcome{"writing": transfer.Works, "tidying up": transfer.Works}
	for _, name := range []string{"checksums at the server", "written in ranges", "times", "modes", "links", "renaming"} {
		want[name] = transfer.Broken
		if f := finding(t, c, name); f.Means == "" {
			t.Errorf("%s: it is not said what it means", name)
		}
	}
	wants(t, c, want)
	if n := c.Count(transfer.Broken); n != len(want)-2 {
		t.Errorf("%d are broken: %+v", n, c.Findings)
	}
	if after := names(t, s, "/"); !slices.Equal(before, after) {
		t.Errorf("before: %q, after: %q", before, after)
	}
}

// foldsCase keeps one file under names that differ in case alone, and does not
// say so.
type foldsCase struct{ *memory.Storage }

func (f foldsCase) Create(ctx context.Context, path string, o endpoints.CreateOptions) (endpoints.Writer, error) {
	if filepath.Base(path) == "CASE" {
		path = filepath.Dir(path) + "/case"
	}
	return f.Storage.Create(ctx, path, o)
}

func TestFoldedNames(t *testing.T) {
	c := check.Run(t.Context(), foldsCase{memory.NewDisk(memory.Options{}).Open()}, brief(check.Options{Write: "/"}))
	wants(t, c, map[string]transfer.Outcome{"upper and lower case": transfer.Broken})
}

func TestRefusedNames(t *testing.T) {
	disk := memory.NewDisk(memory.Options{})
	disk.Faults().Hook(func(_ context.Context, op memory.Op, path string, _ int64) error {
		if op == memory.Create && strings.ContainsAny(path, "\x01\x07\x1b\x7f") {
			return fault.New(fault.Unsupported, "create", path, "a control character")
		}
		return nil
	})
	c := check.Run(t.Context(), disk.Open(), brief(check.Options{Write: "/"}))
	if f := finding(t, c, "odd names"); f.Outcome != transfer.Cannot || !strings.HasSuffix(f.Seen, "with control characters") {
		t.Errorf("%+v", f)
	}
}

func TestRemovalFails(t *testing.T) {
	disk := memory.NewDisk(memory.Options{})
	disk.Faults().Hook(func(_ context.Context, op memory.Op, path string, _ int64) error {
		if op == memory.Remove && filepath.Base(path) == "file" {
			return fault.New(fault.Permission, "remove", path, "550 not yours")
		}
		return nil
	})
	c := check.Run(t.Context(), disk.Open(), brief(check.Options{Write: "/"}))
	f := finding(t, c, "tidying up")
	if f.Outcome != transfer.Broken || c.Left != "/gridferry-check-test" || !strings.Contains(f.Means, c.Left) {
		t.Errorf("left %q: %+v", c.Left, f)
	}
	// The next attempt removes what this one has left.
	disk.Faults().Clear()
	o := brief(check.Options{Write: "/", Stale: []string{"gridferry-check-test", "gridferry-check-never"}})
	o.Name = "gridferry-check-again"
	sound(t, check.Run(t.Context(), disk.Open(), withFile(t, disk, o)))
	if left := names(t, disk.Open(), "/"); !slices.Equal(left, []string{"/there"}) {
		t.Errorf("left: %q", left)
	}
}

// What checks left that died is removed, and nothing else; and nothing of it is
// taken for what was there.
func TestLeftByOthers(t *testing.T) {
	disk := memory.NewDisk(memory.Options{})
	s := disk.Open()
	over := func(name string) bool { return strings.HasPrefix(name, "over-") }
	kept := []string{"/there", "/younger", "/younger/file"}
	for _, dir := range []string{"/over-1", "/over-1/names", "/over-2", "/younger"} {
		if err := s.Mkdir(t.Context(), dir); err != nil {
			t.Fatal(err)
		}
	}
	put(t, s, "/over-1/speed-1-0-0", strings.Repeat("x", 3<<20))
	put(t, s, "/over-1/names/-rf", "x")
	put(t, s, "/younger/file", "x")
	c := check.Run(t.Context(), s, withFile(t, disk, brief(check.Options{Write: "/", Over: over})))
	sound(t, c)
	if f := finding(t, c, "left by other checks"); f.Seen != "2 removed: /over-1, /over-2" {
		t.Errorf("%+v", f)
	}
	if left := names(t, s, "/"); !slices.Equal(left, kept) {
		t.Errorf("left: %q", left)
	}

	put(t, s, "/over-file", "somebody's")
	c = check.Run(t.Context(), s, brief(check.Options{Write: "/", Over: over}))
	sound(t, c)
	if f := finding(t, c, "left by other checks"); f.Seen != "nothing" {
		t.Errorf("%+v", f)
	}
	if left := names(t, s, "/"); !slices.Equal(left, append([]string{"/over-file"}, kept...)) {
		t.Errorf("left: %q", left)
	}

	// What cannot be removed is named, and the check goes on.
	if err := s.Mkdir(t.Context(), "/over-3"); err != nil {
		t.Fatal(err)
	}
	disk.Faults().Fail(memory.Remove, "/over-3", 1, fault.New(fault.Permission, "remove", "/over-3", "550 not yours"))
	c = check.Run(t.Context(), s, brief(check.Options{Write: "/", Over: over}))
	if f := finding(t, c, "left by other checks"); f.Outcome != transfer.NotTried || f.Means != "/over-3 is left: remove it by hand" {
		t.Errorf("%+v", f)
	}
	if c.Fault != nil || c.Count(transfer.Broken) != 0 || c.Count(transfer.Works) < 20 {
		t.Errorf("%+v", c)
	}
	// Without writing nothing is looked for.
	c = check.Run(t.Context(), s, brief(check.Options{Over: over}))
	if left := names(t, s, "/"); !slices.Contains(left, "/over-3") || slices.ContainsFunc(c.Findings, func(f transfer.Finding) bool { return f.Name == "left by other checks" }) {
		t.Errorf("left: %q", left)
	}
}

// talker is a storage whose server says a lot.
type talker struct {
	endpoints.Storage
	says []string
}

func (t talker) Says() []string { return t.says }

func TestSays(t *testing.T) {
	s := talker{memory.NewDisk(memory.Options{}).Open(), []string{
		" MFMT", "", " \t ", "\x1b[2Jcleared\r\n250 forged", "latin1-\xfc \u202ertl", strings.Repeat("long ", 1000),
	}}
	c := check.Run(t.Context(), s, brief(check.Options{}))
	if want := []string{"MFMT", "?[2Jcleared 250 forged", "latin1-? ?rtl"}; len(c.Says) != 4 || !slices.Equal(c.Says[:3], want) || len(c.Says[3]) > 450 || !strings.HasSuffix(c.Says[3], "...") {
		t.Errorf("%q", c.Says)
	}
	s.says = slices.Repeat([]string{"MFMT"}, 1000)
	c = check.Run(t.Context(), s, brief(check.Options{}))
	if len(c.Says) != 100 || c.Says[99] != "..." {
		t.Errorf("%d lines: %q", len(c.Says), c.Says[len(c.Says)-1])
	}
}

// withFile has something there that can be read.
func withFile(t *testing.T, disk *memory.Disk, o check.Options) check.Options {
	put(t, disk.Open(), "/there", strings.Repeat("x", 1<<20))
	return o
}

func TestRemovalIsTriedAgain(t *testing.T) {
	disk := memory.NewDisk(memory.Options{})
	disk.Faults().Fail(memory.Remove, "/gridferry-check-test", 1, fault.New(fault.Transient, "remove", "/", "421 connection lost"))
	c := check.Run(t.Context(), disk.Open(), brief(check.Options{Write: "/"}))
	if left := names(t, disk.Open(), "/"); len(left) != 0 || c.Left != "" {
		t.Errorf("left: %q, %q", left, c.Left)
	}
}

func TestCancelledMidway(t *testing.T) {
	disk := memory.NewDisk(memory.Options{})
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	disk.Faults().Hook(func(_ context.Context, op memory.Op, path string, _ int64) error {
		if op == memory.Rename {
			cancel()
		}
		return nil
	})
	c := check.Run(ctx, disk.Open(), brief(check.Options{Write: "/"}))
	wants(t, c, map[string]transfer.Outcome{
		"writing": transfer.Works, "renaming": transfer.NotTried, "odd names": transfer.NotTried, "small files, 4 sessions": transfer.NotTried, "tidying up": transfer.Works,
	})
	if left := names(t, disk.Open(), "/"); len(left) != 0 || c.Left != "" {
		t.Errorf("left: %q, %q", left, c.Left)
	}
}

func TestEndsEarly(t *testing.T) {
	disk := memory.NewDisk(memory.Options{})
	s := disk.Open()
	c := check.Run(t.Context(), s, brief(check.Options{Path: "/gone"}))
	if c.Fault == nil || c.Fault.Kind != fault.NotFound || len(c.Findings) != 2 {
		t.Errorf("of a folder that is not there: %+v", c)
	}
	c = check.Run(t.Context(), s, brief(check.Options{Write: "/gone"}))
	if c.Fault == nil || c.Fault.Kind != fault.NotFound || c.Left != "" {
		t.Errorf("of a directory to write in that is not there: %+v", c)
	}
	// Somebody's directory of the same name is nobody's to remove.
	if err := s.Mkdir(t.Context(), "/gridferry-check-test"); err != nil {
		t.Fatal(err)
	}
	c = check.Run(t.Context(), s, brief(check.Options{Write: "/"}))
	if c.Fault == nil || c.Fault.Kind != fault.Exists || c.Left != "" {
		t.Errorf("of a name that is taken: %+v", c)
	}
	if _, err := s.Stat(t.Context(), "/gridferry-check-test"); err != nil {
		t.Error(err)
	}
}

func TestBusyIsNotBroken(t *testing.T) {
	disk := memory.NewDisk(memory.Options{})
	disk.Faults().Fail(memory.Rename, "", -1, &fault.Error{Kind: fault.Busy, Op: "log in", Err: errors.New("too many sessions")})
	c := check.Run(t.Context(), disk.Open(), brief(check.Options{Write: "/"}))
	wants(t, c, map[string]transfer.Outcome{"renaming": transfer.NotTried, "writing": transfer.Works})
}

// Bytes that are not those that were written are found by what measures, too.
func TestMixedBytes(t *testing.T) {
	root := t.TempDir()
	s, err := posix.Open(posix.Options{Mounts: map[string]string{"/": root}, NoSync: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	spoilt := false
	c := check.Run(t.Context(), s, brief(check.Options{Write: "/", Tell: func(what string) {
		if what != "read speed, 1 session" {
			return
		}
		files, err := filepath.Glob(filepath.Join(root, "gridferry-check-test", "speed-*"))
		if err != nil || len(files) == 0 {
			t.Fatalf("files that were measured: %q, %v", files, err)
		}
		for _, file := range files {
			f, err := os.OpenFile(file, os.O_WRONLY, 0)
			if err == nil {
				_, err = f.WriteAt([]byte("spoilt"), 500_000)
				err = errors.Join(err, f.Close())
			}
			if err != nil {
				t.Fatal(err)
			}
		}
		spoilt = true
	}}))
	wants(t, c, map[string]transfer.Outcome{"read speed, 1 session": transfer.Broken, "read speed, 4 sessions": transfer.Works})
	if !spoilt {
		t.Error("nothing was spoilt")
	}
}

func TestOddNamesAreDistinct(t *testing.T) {
	seen := map[string]bool{}
	for _, g := range check.OddNames() {
		for _, name := range g.Names {
			if folded := strings.ToLower(name); seen[folded] || strings.ContainsAny(name, "/\x00\r\n") {
				t.Errorf("%q", name)
			} else {
				seen[folded] = true
			}
		}
	}
}
