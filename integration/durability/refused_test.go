package durability

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/gridferry/gridferry/fault"
	"github.com/gridferry/gridferry/integration/tree"
	"github.com/gridferry/gridferry/transfer"
)

// A refusal is a tree of which the source shows some files and does not give
// them away.
type refusal struct {
	*site
	files []string // that are refused, relative to the root
	dir   string   // that cannot be listed
}

// newRefusal maps the user to an account that may not read everything. The
// modes bind root's tests only because the account is another.
func newRefusal(t *testing.T) *refusal {
	t.Helper()
	var o siteOptions
	if os.Getuid() == 0 {
		o.src.Account = "nobody"
		// The directory of a test lets nobody else in.
		must(t, os.Chmod(filepath.Dir(t.TempDir()), 0o755))
	}
	o.src.Root = t.TempDir()
	r := &refusal{site: newSite(t, o)}
	_, err := tree.Make(r.src.Root, tree.Spec{Seed: 7, Files: 150, Bytes: 40 * mib, Large: []int64{8 * mib}, Odd: true, Deep: 6, Empties: 2}, nil)
	must(t, err)
	for _, name := range []string{"run-000/secret.dat", "large/secret.h5", "with space"} {
		must(t, writeContent(r.src.Path(name), 1, 2*mib))
		must(t, os.Chmod(r.src.Path(name), 0))
		r.files = append(r.files, name)
	}
	return r
}

// arrived compares both trees: what was refused is missing, and nothing else.
func (r *refusal) arrived() {
	r.t.Helper()
	_, diffs, err := tree.Compare(r.src.Root, r.dst.Root)
	must(r.t, err)
	var missing []string
	for _, d := range diffs {
		if d.What != "missing" {
			r.t.Errorf("%v", d)
		}
		missing = append(missing, d.Path)
	}
	want := slices.Clone(r.files)
	if r.dir != "" {
		want = append(want, filepath.Join(r.dir, "inside"))
		missing = slices.DeleteFunc(missing, func(p string) bool { return p == r.dir }) // made or not
	}
	slices.Sort(want)
	slices.Sort(missing)
	if !slices.Equal(missing, want) {
		r.t.Errorf("missing %q, want %q", missing, want)
	}
}

// listed makes sure that the results name every file that was refused, with
// the server's words.
func (r *refusal) listed(id transfer.TaskID) {
	r.t.Helper()
	var failed []string
	for _, res := range r.results(id) {
		if res.Status != "failed" {
			continue
		}
		rel, err := filepath.Rel(r.src.Root, res.Source)
		must(r.t, err)
		failed = append(failed, rel)
		if res.Fault == nil || res.Fault.Kind != fault.Permission || !strings.Contains(res.Fault.Message, "Permission denied") {
			r.t.Errorf("%s failed with %+v", rel, res.Fault)
		} else {
			r.t.Logf("%s: %s", rel, res.Fault.Message)
		}
	}
	slices.Sort(failed)
	want := slices.Clone(r.files)
	slices.Sort(want)
	if !slices.Equal(failed, want) {
		r.t.Errorf("the results list %q as failed, want %q", failed, want)
	}
}

// TestRefusedAndSkipped leaves out what the source refuses.
func TestRefusedAndSkipped(t *testing.T) {
	t.Parallel()
	r := newRefusal(t)
	r.worker("only")
	id := r.submit(transfer.Request{OnError: transfer.OnErrorSkip})
	task := r.wait(id, 2*time.Minute, transfer.Succeeded)
	if n := task.Progress.FilesFailed; n != int64(len(r.files)) {
		t.Errorf("%d files failed, want %d", n, len(r.files))
	}
	r.arrived()
	r.listed(id)
}

// TestRefusedDirectory leaves out a directory that cannot be listed.
func TestRefusedDirectory(t *testing.T) {
	t.Parallel()
	r := newRefusal(t)
	r.dir = "closed"
	must(t, writeContent(r.src.Path("closed/inside"), 1, mib))
	must(t, os.Chmod(r.src.Path(r.dir), 0o700))
	if os.Getuid() != 0 {
		must(t, os.Chmod(r.src.Path(r.dir), 0))
		t.Cleanup(func() { must(t, os.Chmod(r.src.Path(r.dir), 0o700)) }) // or it could not be removed
	}
	r.worker("only")
	id := r.submit(transfer.Request{OnError: transfer.OnErrorSkip})
	r.wait(id, 2*time.Minute, transfer.Succeeded)
	r.arrived()
	if !slices.ContainsFunc(r.events(id), func(e transfer.Event) bool {
		return e.Fault != nil && e.Fault.Kind == fault.Permission && e.Fault.Path == r.src.Path(r.dir)
	}) {
		t.Errorf("no event names the directory")
	}
}

// TestRefused fails a task of which the source refuses files: after everything
// else, and after five tries.
func TestRefused(t *testing.T) {
	t.Parallel()
	r := newRefusal(t)
	r.worker("only")
	id := r.submit(transfer.Request{})
	task := r.wait(id, 5*time.Minute, transfer.Failed)
	f := task.Fatal
	if f == nil || f.Kind != fault.Permission || !strings.Contains(f.Message, "Permission denied") ||
		!slices.ContainsFunc(r.files, func(name string) bool { return f.Path == r.src.Path(name) }) {
		t.Errorf("it failed with %+v", f)
	} else {
		t.Logf("it failed: %s: %s", f.Path, f.Message)
	}
	r.arrived()
	r.listed(id)
	for _, name := range r.files {
		if n := r.refusals(name); n < transfer.TriesRefused {
			t.Errorf("%s was tried %d times, want %d at least", name, n, transfer.TriesRefused)
		}
	}
}

// refusals counts how often the source has refused a file.
func (r *refusal) refusals(name string) int {
	n := 0
	for line := range strings.Lines(r.src.SessionLog()) {
		_, command, said := strings.Cut(line, "[CLIENT]: ")
		if said && (strings.HasPrefix(command, "RETR ") || strings.HasPrefix(command, "ERET ")) && strings.HasSuffix(strings.TrimSpace(command), r.src.Path(name)) {
			n++
		}
	}
	return n
}
