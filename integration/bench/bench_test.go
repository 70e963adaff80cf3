package bench

import (
	"encoding/json"
	"encoding/xml"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/gridferry/gridferry/bench"
	"github.com/gridferry/gridferry/integration/harness"
	"github.com/gridferry/gridferry/starter"
)

// The flags of `make bench`.
var (
	classes = flag.String("classes", "", "run the comparison with these classes, and print its figures")
	peers   = flag.String("peers", bench.AllPeers, "who takes part")
	rounds  = flag.String("rounds", "5", "how often")
	verify  = flag.String("verify", "off", "whether checksums are compared")
	dir     = flag.String("dir", "", "where the servers' trees are; the temporary directory when empty")
	results = flag.String("results", "", "write bench.json and bench.svg into this directory, not only the table")
)

// TestPeers is `make bench`.
func TestPeers(t *testing.T) {
	if *classes == "" {
		t.Skip("needs -classes, as make bench gives it")
	}
	flags := []string{"--peers", *peers, "--rounds", *rounds, "--verify", *verify, "--json"}
	for _, class := range strings.Fields(*classes) {
		flags = append(flags, "--class", class)
	}
	text := newSite(t, *dir).compare(t, flags...)
	if err := bench.WriteTable(os.Stdout, decode(t, text)); err != nil {
		t.Error(err)
	}
	if *results == "" {
		return
	}
	if err := os.WriteFile(filepath.Join(*results, "bench.json"), []byte(text), 0o644); err != nil {
		t.Error(err)
	}
	svg, err := os.Create(filepath.Join(*results, "bench.svg"))
	if err == nil {
		err = errors.Join(bench.WriteSVG(svg, decode(t, text)), svg.Close())
	}
	if err != nil {
		t.Error(err)
	}
}

// TestComparison sees everything work on tiny classes: who takes part, that all
// that was made is gone, and that the report holds what was measured. What it
// measures is of no interest.
func TestComparison(t *testing.T) {
	s := newSite(t, "")
	mark(t, s.src.Path("mine"))
	mark(t, s.dst.Path("mine"))
	svg := filepath.Join(t.TempDir(), "rates.svg")
	text := s.compare(t, "--class", "30x1KiB", "--class", "1x1MiB", "--rounds", "2", "--peers", "guc,guc-fast-pp-cc2,scp,gridferry-classic", "--verify", "on", "--svg", svg, "--json")
	r := decode(t, text)

	want := map[bench.Class][]string{
		{Files: 30, Size: 1 << 10}: {"gridferry", "gridferry-classic", "guc", "guc-fast-pp-cc2", "scp"},
		{Files: 1, Size: 1 << 20}:  {"gridferry", "gridferry-classic", "guc", "scp"},
	}
	if len(r.Results) != len(want) {
		t.Fatalf("%d classes in %s", len(r.Results), text)
	}
	for _, res := range r.Results {
		var ran []string
		for _, row := range res.Summary.Rows {
			ran = append(ran, row.Contender)
			if row.Error != "" || row.Rounds != 2 || row.Seconds <= 0 || row.ServerCPU == nil || row.ClientCPU == nil || *row.ClientCPU <= 0 {
				t.Errorf("%s: %+v", res.Class, row)
			}
		}
		slices.Sort(ran)
		if !slices.Equal(ran, want[res.Class]) {
			t.Errorf("%s: %v took part", res.Class, ran)
		}
		if best := res.Summary.Best; best == nil || strings.HasPrefix(best.Contender, bench.Own) || best.Bounds == nil {
			t.Errorf("%s: best is %+v", res.Class, best)
		}
	}
	wellFormed(t, svg)
	onlyMarked(t, s.src.Root)
	onlyMarked(t, s.dst.Root)
}

// A peer that fails is named with its words, and the rest goes on.
func TestPeerThatFails(t *testing.T) {
	s := newSite(t, "")
	bin := t.TempDir()
	script := "#!/bin/sh\necho the disk is on fire >&2\nexit 7\n"
	if err := os.WriteFile(filepath.Join(bin, "scp"), []byte(script), 0o700); err != nil {
		t.Fatal(err)
	}
	lazy := "#!/bin/sh\nexit 0\n" // and copies nothing
	if err := os.WriteFile(filepath.Join(bin, "rsync"), []byte(lazy), 0o700); err != nil {
		t.Fatal(err)
	}
	s.env = append(s.env, fmt.Sprintf("PATH=%s:%s", bin, os.Getenv("PATH")))
	r := decode(t, s.compare(t, "--class", "2x1KiB", "--rounds", "1", "--warmup", "0", "--peers", "scp,rsync,guc", "--json"))
	rows := make(map[string]bench.Row)
	for _, row := range r.Results[0].Summary.Rows {
		rows[row.Contender] = row
	}
	if got := rows["scp"].Error; !strings.Contains(got, "exit status 7") || !strings.Contains(got, "the disk is on fire") {
		t.Errorf("scp failed with %q", got)
	}
	if got := rows["rsync"].Error; !strings.Contains(got, "look at what has arrived") {
		t.Errorf("rsync, which copied nothing, failed with %q", got)
	}
	if rows["gridferry"].Error != "" || r.Results[0].Summary.Best == nil || r.Results[0].Summary.Best.Contender != "guc" {
		t.Errorf("%+v", r.Results[0].Summary)
	}
	onlyMarked(t, s.src.Root)
	onlyMarked(t, s.dst.Root)
}

// An interrupted comparison removes what it made, and shows what it has.
func TestInterrupted(t *testing.T) {
	s := newSite(t, "")
	mark(t, s.src.Path("mine"))
	command := harness.Start(t, harness.Command{
		Path: harness.Binary(t, "gridferry"), Env: s.env,
		Args: s.args("--class", "200x1KiB", "--rounds", "1000", "--warmup", "0", "--peers", "guc-fast"),
	})
	command.Ready(time.Minute, func() error {
		if !strings.Contains(command.Log(), "round 1 of") {
			return errors.New("it measures nothing yet")
		}
		return nil
	})
	// Both ends are there now; somewhere in a copy, or between two.
	if len(entries(t, s.src.Root)) != 2 || len(entries(t, s.dst.Root)) != 1 {
		t.Errorf("%v and %v", entries(t, s.src.Root), entries(t, s.dst.Root))
	}
	if err := syscall.Kill(command.PID(), syscall.SIGINT); err != nil {
		t.Fatal(err)
	}
	if err := command.Wait(time.Minute); err == nil || command.ExitCode() != starter.ExitInterrupted {
		t.Errorf("exit code %d, %v", command.ExitCode(), err)
	}
	if !strings.Contains(command.Log(), "Interrupted: some rounds are missing.") {
		t.Errorf("it shows nothing: %s", command.Log())
	}
	onlyMarked(t, s.src.Root)
	onlyMarked(t, s.dst.Root)
}

func decode(t *testing.T, text string) bench.Report {
	t.Helper()
	var r bench.Report
	if err := json.Unmarshal([]byte(text), &r); err != nil {
		t.Fatalf("%v in %q", err, text)
	}
	return r
}

// mark leaves something that is not the benchmark's.
func mark(t *testing.T, name string) {
	t.Helper()
	if err := os.WriteFile(name, []byte("mine"), 0o600); err != nil {
		t.Fatal(err)
	}
}

// onlyMarked wants a directory to hold what was marked, and nothing else.
func onlyMarked(t *testing.T, root string) {
	t.Helper()
	for _, e := range entries(t, root) {
		if text, err := os.ReadFile(filepath.Join(root, e.Name())); err != nil || string(text) != "mine" {
			t.Errorf("%s is left in %s", e.Name(), root)
		}
	}
}

func entries(t *testing.T, dir string) []os.DirEntry {
	t.Helper()
	found, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	return found
}

func wellFormed(t *testing.T, name string) {
	t.Helper()
	file, err := os.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	for d := xml.NewDecoder(file); ; {
		if _, err := d.Token(); errors.Is(err, io.EOF) {
			return
		} else if err != nil {
			t.Fatal(err)
		}
	}
}
