package matrix_test

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/gridferry/gridferry/fault"
	"github.com/gridferry/gridferry/integration/harness"
	"github.com/gridferry/gridferry/integration/tree"
	"github.com/gridferry/gridferry/transfer"
)

const mib = 1 << 20

// printable is ASCII that is, with the tab.
const printable = "\t !\"#$%&'()*+,-./0123456789:;<=>?@ABCDEFGHIJKLMNOPQRSTUVWXYZ[\\]^_`abcdefghijklmnopqrstuvwxyz{|}~"

// TestMatrix copies the tree from the first kind to all, and from there to all.
func TestMatrix(t *testing.T) {
	s := newSite(t)
	first := s.kinds[0]
	made := filepath.Join(first.disk, "made")
	makeTree(t, made)
	t.Run("from "+first.name, func(t *testing.T) {
		for _, k := range s.kinds {
			t.Run("to "+k.name, func(t *testing.T) {
				t.Parallel()
				s.copyTree(t, made, first, "made", k, "src")
			})
		}
	})
	if t.Failed() {
		return // nothing to copy on
	}
	t.Run("from all", func(t *testing.T) {
		for _, from := range s.kinds[1:] {
			for _, to := range s.kinds {
				t.Run(from.name+" to "+to.name, func(t *testing.T) {
					t.Parallel()
					s.copyTree(t, made, from, "src", to, "from-"+from.name)
				})
			}
		}
		t.Run("large", func(t *testing.T) {
			t.Parallel()
			s.copyLarge(t)
		})
		for _, to := range s.kinds {
			if len(to.refuses) > 0 {
				t.Run("refused by "+to.name, func(t *testing.T) {
					t.Parallel()
					s.copyRefused(t, made, to)
				})
			}
		}
	})
}

// makeTree makes files of all sorts and sizes, in a folder for each class of
// names.
func makeTree(t *testing.T, dir string) {
	t.Helper()
	odd := filepath.Join(dir, string(plain), "odd names")
	must(t, os.MkdirAll(filepath.Dir(odd), 0o755))
	_, err := tree.Make(filepath.Dir(odd), tree.Spec{Seed: 1, Files: 110, Bytes: 8 * mib, Large: []int64{0, 1, 3*mib + 7, mib}, Odd: true, Deep: 5, Empties: 2}, nil)
	must(t, err)
	for _, c := range []class{foreign, starred} {
		must(t, os.Mkdir(filepath.Join(dir, string(c)), 0o755))
	}
	for _, name := range tree.OddNames() {
		if strings.Trim(name, printable) != "" {
			must(t, os.Rename(filepath.Join(odd, name), filepath.Join(dir, string(foreign), name)))
			must(t, os.Rename(filepath.Join(odd, "in "+name), filepath.Join(dir, string(foreign), "in "+name)))
		}
	}
	must(t, os.Rename(filepath.Join(odd, "in star*"), filepath.Join(dir, string(starred), "in star*")))
	for class, names := range map[class][]string{
		foreign: {strings.Repeat("日", 85)},
		starred: {"a*/*"},
		long:    {strings.Repeat("n", 255), strings.Repeat("d", 250) + "/" + strings.Repeat("f", 250)},
		control: {"bell\x07", "esc\x1b[31m", "del\x7f", "\x01/\x02"},
		raw:     {"latin1-\xfc", "\xff\xfe", "d\xff/f\xf0"},
	} {
		for _, name := range names {
			path := filepath.Join(dir, string(class), name)
			must(t, os.MkdirAll(filepath.Dir(path), 0o755))
			must(t, os.WriteFile(path, []byte("this is "+name), 0o644))
		}
	}
	// Whole seconds are what every protocol can carry.
	harness.Age(t, dir, time.Date(2001, 2, 3, 4, 5, 6, 0, time.UTC))
}

// copyTree copies what both kinds can hold, and compares it with what was made.
func (s *site) copyTree(t *testing.T, made string, from *kind, source string, to *kind, dest string) {
	t.Helper()
	req := transfer.Request{PreserveTime: true}
	for _, c := range classes() {
		if from.holds(c) && to.holds(c) {
			req.Items = append(req.Items, transfer.Item{Source: from.at(source + "/" + string(c)), Destination: to.at(dest + "/" + string(c)), Recursive: true})
		}
	}
	s.Succeeds(t, req)
	for _, c := range classes() {
		if from.holds(c) && to.holds(c) {
			same(t, filepath.Join(made, string(c)), filepath.Join(to.disk, dest, string(c)), from.times && to.times && !to.hidesTimes)
		}
	}
}

// copyLarge sends a large file on from kind to kind, so that it is read from
// and written to each of them; of a soak each pair does so.
func (s *site) copyLarge(t *testing.T) {
	made := filepath.Join(s.kinds[0].disk, "large")
	must(t, os.Mkdir(made, 0o755))
	_, err := tree.Make(made, tree.Spec{Seed: 2, Large: []int64{300 * mib}}, nil)
	must(t, err)
	at, dir, soak := s.kinds[0], "large", os.Getenv("GRIDFERRY_SOAK") != ""
	step := func(to *kind, dest string) {
		task := s.Succeeds(t, transfer.Request{Source: at.at(dir), Destination: to.at(dest), Recursive: true})
		same(t, made, filepath.Join(to.disk, dest), false)
		if soak && task.Progress.Faults != 0 { // which cost a minute each
			t.Errorf("from %s to %s there were %d faults, the last of them %+v", at.name, to.name, task.Progress.Faults, task.LastFault)
		}
	}
	if !soak {
		for _, to := range append(slices.Clone(s.kinds[1:]), s.kinds[0]) {
			step(to, "large-on")
			if dir != "large" {
				must(t, os.RemoveAll(filepath.Join(at.disk, dir)))
			}
			at, dir = to, "large-on"
		}
		return
	}
	for _, from := range s.kinds {
		if from != s.kinds[0] {
			at, dir = s.kinds[0], "large"
			step(from, "large")
		}
		at, dir = from, "large"
		for _, to := range s.kinds {
			step(to, "large-from")
			must(t, os.RemoveAll(filepath.Join(to.disk, "large-from")))
		}
	}
}

// copyRefused copies names that the destination cannot hold, too: each is told
// of, in a sentence, and everything else arrives.
func (s *site) copyRefused(t *testing.T, made string, to *kind) {
	t.Helper()
	var req transfer.Request
	if !to.holds(starred) { // the server says that they are forbidden, which somebody may change: that is waited for
		req.OnError = transfer.OnErrorSkip
	}
	for _, c := range append([]class{plain}, to.refuses...) {
		req.Items = append(req.Items, transfer.Item{Source: s.kinds[0].at("made/" + string(c)), Destination: to.at("refused/" + string(c)), Recursive: true})
	}
	task := s.Transfer(t, req)
	want := transfer.Failed
	if req.OnError == transfer.OnErrorSkip {
		want = transfer.Succeeded
	}
	if task.Status != want || task.Progress.FilesFailed == 0 {
		t.Errorf("the task is %s and not %s, with %d failed: %s", task.Status, want, task.Progress.FilesFailed, task.Verdict)
	}
	told := map[class]bool{}
	for _, r := range s.GivenUp(t, task.ID) {
		c := class(strings.Split(r.Source, "/")[2]) // of /made/CLASS/name
		told[c] = true
		if r.Fault == nil || r.Fault.Kind != fault.Unsupported && r.Fault.Kind != fault.Permission || !strings.Contains(r.Fault.Message, "/refused/"+string(c)+"/") {
			t.Errorf("of %q it is said: %+v", r.Source, r.Fault)
		} else if r.Fault.Count != 1 || strings.Contains(r.Fault.Message, ".gridferry-") {
			t.Errorf("of %q it is said, after %d tries: %s", r.Source, r.Fault.Count, r.Fault.Message)
		}
	}
	for _, c := range to.refuses {
		if !told[c] {
			t.Errorf("nothing is said of names with %s characters", c)
		}
		_, diffs, err := tree.Compare(filepath.Join(made, string(c)), filepath.Join(to.disk, "refused", string(c)))
		must(t, err)
		for _, d := range diffs {
			if d.What != "missing" {
				t.Errorf("%v", d) // something arrived under another name
			}
		}
	}
	same(t, filepath.Join(made, string(plain)), filepath.Join(to.disk, "refused", string(plain)), false)
}

// same compares two trees, and the times of their files where that is wanted.
func same(t *testing.T, want, got string, times bool) {
	t.Helper()
	harness.SameTree(t, want, got)
	if times && !t.Failed() {
		harness.SameTimes(t, want, got, 1)
	}
}
