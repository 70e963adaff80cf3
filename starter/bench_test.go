package starter

import (
	"bytes"
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/gridferry/gridferry/bench"
	"github.com/gridferry/gridferry/fault"
	"github.com/gridferry/gridferry/transfer"
)

func TestParseStat(t *testing.T) {
	const line = "4711 (a) R (b c) S 12 4711 4711 0 -1 4194304 100 200 0 0 7 5 30 20 20 0 1 0 100 200 300\n"
	pid, parent, ticks, err := parseStat(line)
	if err != nil || pid != 4711 || parent != 12 || ticks != 62 {
		t.Errorf("process %d of %d has used %d ticks, %v", pid, parent, ticks, err)
	}
	for _, wrong := range []string{"", "1 (x", "1 (x) S 2 3", "x (x) S 12 4711 4711 0 -1 4194304 100 200 0 0 7 5 30 20 20", "1 (x) S 12 4711 4711 0 -1 4194304 100 200 0 0 7 5 30 x 20"} {
		if _, _, _, err := parseStat(wrong); err == nil {
			t.Errorf("%q is taken for the state of a process", wrong)
		}
	}
}

func FuzzParseStat(f *testing.F) {
	f.Add("4711 (a) R (b c) S 12 4711 4711 0 -1 4194304 100 200 0 0 7 5 30 20 20 0 1 0 100 200 300\n")
	f.Add(") (")
	f.Fuzz(func(t *testing.T, text string) {
		if _, _, _, err := parseStat(text); err == nil && !strings.Contains(text, ")") {
			t.Errorf("%q is taken for the state of a process", text)
		}
	})
}

// What children have used counts while they run, and once they have been
// waited for.
func TestCPUTimeCountsDescendants(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("needs Linux: CPU times are read from /proc")
	}
	shell, err := exec.LookPath("sh")
	if err != nil {
		t.Skip("needs a shell")
	}
	cmd := exec.Command(shell, "-c", `(i=0; while [ $i -lt 100000 ]; do i=$((i+1)); done); read line`)
	input, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	pids := []int{cmd.Process.Pid}
	const wanted = 2 * clockTick // a loop of that length takes ten times as long
	var used time.Duration
	for deadline := time.Now().Add(time.Minute); used < wanted && err == nil && time.Now().Before(deadline); {
		used, err = cpuTime(pids)
	}
	if err != nil || used < wanted {
		t.Errorf("%v of CPU time, %v", used, err)
	}
	input.Close()
	_ = cmd.Wait() // read fails at the end of its input
	if _, err := cpuTime(pids); err == nil || !strings.Contains(err.Error(), strconv.Itoa(pids[0])) {
		t.Errorf("a process that has ended: %v", err)
	}
}

func TestRunProcess(t *testing.T) {
	shell, err := exec.LookPath("sh")
	if err != nil {
		t.Skip("needs a shell")
	}
	if used, err := runProcess(t.Context(), shell, []string{"-c", "exit 0"}); err != nil || used.elapsed <= 0 {
		t.Errorf("%+v, %v", used, err)
	}
	_, err = runProcess(t.Context(), shell, []string{"-c", "i=0; while [ $i -lt 2000 ]; do echo noise; i=$((i+1)); done; echo the reason >&2; exit 3"})
	if err == nil || !strings.Contains(err.Error(), "exit status 3") || !strings.HasSuffix(err.Error(), "the reason") || len(err.Error()) > keptOutput+100 {
		t.Errorf("%v", err)
	}
	// The child keeps the output open: all of the group are to end.
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	if used, err := runProcess(ctx, shell, []string{"-c", "sleep 100; echo"}); err == nil || used.elapsed >= stopLimit {
		t.Errorf("%+v, %v", used, err)
	}
}

// testEnd is a directory that has two names.
func testEnd(t *testing.T, field string) *benchEnd {
	t.Helper()
	dir := t.TempDir()
	e, err := newBenchEnd(&session{Program: Program{Owner: "ada"}}, field, "file://"+dir, "", "", nil)
	if err != nil {
		t.Fatal(err)
	}
	return e
}

func TestBenchEndMakesAndRemovesItsOwn(t *testing.T) {
	for _, field := range []string{"source", "destination"} {
		e := testEnd(t, field)
		other := filepath.Join(e.dir, "other")
		if err := os.WriteFile(other, nil, 0o600); err != nil {
			t.Fatal(err)
		}
		if err := e.remove(t.Context(), "other"); err != nil {
			t.Error(err)
		}
		if err := e.make(t.Context(), "mine"); err != nil {
			t.Fatal(err)
		}
		if err := e.mkdir(t.Context(), "mine", "out"); err != nil {
			t.Error(err)
		}
		if err := e.remove(t.Context(), "mine"); err != nil {
			t.Error(err)
		}
		entries, err := os.ReadDir(e.dir)
		if err != nil || len(entries) != 1 || entries[0].Name() != "other" {
			t.Errorf("%s: %v, %v", field, entries, err)
		}
		// What is there already belongs to somebody else.
		again := testEnd(t, field)
		if err := os.Mkdir(again.local("theirs"), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := again.make(t.Context(), "theirs"); err == nil {
			t.Errorf("%s: takes a directory that it has not made", field)
		}
		if err := again.remove(t.Context(), "theirs"); err != nil {
			t.Error(err)
		}
		if _, err := os.Stat(again.local("theirs")); err != nil {
			t.Errorf("%s: has removed what it has not made: %v", field, err)
		}
	}
}

// folderless is a service of a store in which no folder is empty.
type folderless struct {
	transfer.Service
	asked   int
	deleted []string
}

func (f *folderless) Mkdir(_ context.Context, at transfer.Place) error {
	f.asked++
	return fault.New(fault.Unsupported, "make directory", at.Location, "there are none that are empty")
}

func (f *folderless) SubmitDelete(_ context.Context, id transfer.TaskID, req transfer.DeleteRequest) (transfer.TaskID, error) {
	f.deleted = append(f.deleted, req.Paths...)
	return id, nil
}

func (f *folderless) Wait(context.Context, transfer.TaskID) (transfer.Task, error) {
	return transfer.Task{Status: transfer.Succeeded}, nil
}

// Where folders come with their files none is made, and all are removed.
func TestBenchWhereNoFolderIsEmpty(t *testing.T) {
	var said bytes.Buffer
	svc := &folderless{}
	s := &session{Program: Program{Owner: "ada", Stderr: &said, NewID: func() transfer.TaskID { return "id" }}, svc: svc}
	e, err := newBenchEnd(s, "destination", "lab#store:/run", "", "", nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(e.make(t.Context(), "mine"), e.mkdir(t.Context(), "mine", "out"), e.remove(t.Context(), "mine")); err != nil {
		t.Fatal(err)
	}
	if svc.asked != 1 || !slices.Equal(svc.deleted, []string{"lab#store:/run/mine"}) || !strings.Contains(said.String(), "none that are empty") {
		t.Errorf("asked %d times for a folder, removed %v, and said %q", svc.asked, svc.deleted, &said)
	}
	// The bytes of another directory would be compared, and removed.
	seen, err := newBenchEnd(s, "destination", "lab#store:/run", t.TempDir(), "", nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := seen.make(t.Context(), "mine"); err == nil || !strings.Contains(err.Error(), "destination-dir") || seen.made {
		t.Errorf("with --destination-dir: %v", err)
	}
}

func TestCheckFindsWhatDidNotArrive(t *testing.T) {
	class := bench.Class{Files: 1100, Size: 100}
	name := class.Name(1042)
	for what, damage := range map[string]func(root string) error{
		"":                  func(string) error { return nil },
		"did not arrive":    func(root string) error { return os.Remove(filepath.Join(root, name)) },
		"with 99 of 100":    func(root string) error { return os.Truncate(filepath.Join(root, name), 99) },
		"1101 files":        func(root string) error { return os.WriteFile(filepath.Join(root, "stray"), nil, 0o600) },
		"with other bytes":  func(root string) error { return os.WriteFile(filepath.Join(root, name), make([]byte, 100), 0o600) },
		"look at what has ": os.RemoveAll,
	} {
		e := testEnd(t, "destination")
		if err := makeClass(e.local("x"), class); err != nil {
			t.Fatal(err)
		}
		if err := damage(e.local("x")); err != nil {
			t.Fatal(err)
		}
		err := e.check(t.Context(), class, true, "x")
		if what == "" && err != nil || what != "" && (err == nil || !strings.Contains(err.Error(), what)) {
			t.Errorf("%q: %v", what, err)
		}
	}
}

func TestFilesOfAClassDiffer(t *testing.T) {
	class := bench.Class{Files: 3, Size: 10}
	dir := filepath.Join(t.TempDir(), "c")
	if err := makeClass(dir, class); err != nil {
		t.Fatal(err)
	}
	seen := make(map[string]bool)
	for i := range class.Files {
		text, err := os.ReadFile(filepath.Join(dir, class.Name(i)))
		if err != nil || len(text) != 10 || seen[string(text)] {
			t.Errorf("file %d holds %q, %v", i, text, err)
		}
		seen[string(text)] = true
	}
}

func TestNeedRoom(t *testing.T) {
	src, dst := testEnd(t, "source"), testEnd(t, "destination")
	free, _, ok := freeSpace(src.dir)
	if !ok {
		t.Skip("needs a system that tells how much space is free")
	}
	if said, err := needRoom(1<<20, src, dst); err != nil || !strings.Contains(said, "is free") {
		t.Errorf("%q, %v", said, err)
	}
	// Both are on one file system, and so need twice the space.
	for _, bytes := range []int64{free, free * 3 / 4} {
		if _, err := needRoom(bytes, src, dst); err == nil || ExitCode(err) != ExitFailure {
			t.Errorf("%d of %d bytes: %v", bytes, free, err)
		}
	}
	dst.dir = ""
	if said, err := needRoom(1<<20, src, dst); err != nil || !strings.Contains(said, "cannot be seen") {
		t.Errorf("%q, %v", said, err)
	}
}

func TestNamesOfABenchmarksEnd(t *testing.T) {
	dir := t.TempDir()
	s := &session{Program: Program{Owner: "ada"}}
	e, err := newBenchEnd(s, "source", "file://host/data", dir, "id", []string{"sshftp://h/x/"})
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, n := range e.names("a", "b") {
		names = append(names, n.String())
	}
	if got, want := strings.Join(names, " "), "file://host/data/a/b sshftp://h/x/a/b file://"+dir+"/a/b"; got != want {
		t.Errorf("names %s, want %s", got, want)
	}
	if got := e.place("a"); got != (transfer.Place{Location: "file://host/data/a", Owner: "ada", Credential: "id"}) {
		t.Errorf("place %+v", got)
	}
	for _, wrong := range [][2]string{{"file:///data", dir}, {"gsiftp://a/", filepath.Join(dir, "none")}, {"a", ""}, {"gsiftp://a/../b", ""}} {
		if _, err := newBenchEnd(s, "source", wrong[0], wrong[1], "", nil); err == nil || ExitCode(err) != ExitUsage {
			t.Errorf("%v: %v", wrong, err)
		}
	}
	if _, err := newBenchEnd(s, "source", "gsiftp://a/", "", "", []string{"nonsense"}); err == nil || !strings.Contains(err.Error(), "source-as") {
		t.Errorf("%v", err)
	}
}
