package bench

import (
	"encoding/json"
	"encoding/xml"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/gridferry/gridferry/bench"
	"github.com/gridferry/gridferry/integration/harness"
	"github.com/gridferry/gridferry/integration/wan"
	"github.com/gridferry/gridferry/starter"
)

// The flags of `make bench` and `make bench-wan`.
var (
	set      = flag.String("set", "", "run a set of comparisons, and print their figures")
	classes  = flag.String("classes", "", "run a comparison of these classes, in place of the set's own")
	peers    = flag.String("peers", "", "who takes part, in place of the set's own")
	rounds   = flag.String("rounds", "5", "how often")
	verify   = flag.String("verify", "", "whether checksums are compared, in place of the set's own: on, off or both")
	patience = flag.Float64("patience", -1, "the factor of the fastest peer's time beyond which others are not waited for, in place of the set's own; 0 waits for everybody")
	dir      = flag.String("dir", "", "where the servers' trees are; the temporary directory when empty")
	results  = flag.String("results", "", "write tables, JSON and plots into this directory, too")

	distance = flag.Duration("rtt", 0, "between source, destination and client, which are then in namespaces of their own")
	rate     = flag.Float64("rate", 1000, "of a network with a distance, in Mb/s towards each host; 0 is no limit")
	loss     = flag.Float64("loss", 0, "chance that such a network loses a packet")
)

// TestPeers is `make bench`, and with a distance `make bench-wan`.
func TestPeers(t *testing.T) {
	if *set == "" && *classes == "" {
		t.Skip("needs -set or -classes, as make bench gives them")
	}
	list, err := chosen(*set, *classes)
	if err != nil {
		t.Fatal(err)
	}
	var network *wan.Network
	var remarks []string
	if *distance > 0 {
		network = wan.New(t, wan.Options{RTT: *distance, Rate: int64(*rate * 1e6 / 8), Loss: *loss})
		remarks = []string{"--remark", fmt.Sprintf("Source, destination and client each have a network namespace: %s.", network.Options), "--remark", wan.Kernel()}
	}
	s := newSite(t, *dir, network, slices.ContainsFunc(list, func(c comparison) bool { return c.route.stores() }))
	for _, c := range list {
		if *peers != "" {
			c.peers = *peers
		}
		if *verify != "" {
			c.verify = *verify
		}
		if *patience >= 0 {
			c.patience = *patience
		}
		fmt.Printf("== %s\n", c.name)
		text := s.compare(t, c.route, slices.Concat(c.flags(), remarks, []string{"--rounds", *rounds, "--json"})...)
		if err := bench.WriteTable(os.Stdout, decode(t, text)); err != nil {
			t.Error(err)
		}
		if *results != "" {
			keep(t, c.name, text)
		}
	}
	if network != nil {
		chance, full := network.Dropped()
		fmt.Printf("The network lost %d packets by chance and %d to full queues.\n", chance, full)
	}
}

// keep writes a report into the directory for results.
func keep(t *testing.T, name, text string) {
	t.Helper()
	report := decode(t, text)
	write := func(suffix string, content func(io.Writer) error) {
		file, err := os.Create(filepath.Join(*results, name+suffix))
		if err == nil {
			err = errors.Join(content(file), file.Close())
		}
		if err != nil {
			t.Error(err)
		}
	}
	write(".json", func(w io.Writer) error { _, err := io.WriteString(w, text); return err })
	write(".txt", func(w io.Writer) error { return bench.WriteTable(w, report) })
	for suffix, verified := range map[string]bool{".svg": false, "-verified.svg": true} {
		if slices.ContainsFunc(report.Results, func(r bench.Result) bool { return r.Verify == verified }) {
			write(suffix, func(w io.Writer) error { return bench.WriteSVG(w, report, verified) })
		}
	}
}

// TestComparison sees everything work on tiny classes: who takes part, that all
// that was made is gone, and that the report holds what was measured. What it
// measures is of no interest.
func TestComparison(t *testing.T) {
	s := newSite(t, "", nil, false)
	mark(t, s.src.Path("mine"))
	mark(t, s.dst.Path("mine"))
	svg := filepath.Join(t.TempDir(), "rates.svg")
	text := s.compare(t, thirdParty, "--class", "30x1KiB", "--class", "1x1MiB", "--class", "3x1B/each", "--rounds", "2", "--warmup", "0",
		"--peers", "guc-fast,guc-fast-pp-cc2,null,null-2,gridferry-classic", "--verify", "both", "--svg", svg, "--json")
	r := decode(t, text)

	single := []string{"gridferry", "gridferry-classic", "guc-fast", "null"}
	want := map[bench.Class][]string{
		{Files: 30, Size: 1 << 10}:      {"gridferry", "gridferry-classic", "guc-fast", "guc-fast-pp-cc2", "null", "null-2"},
		{Files: 1, Size: 1 << 20}:       single,
		{Files: 3, Size: 1, Each: true}: single,
	}
	if len(r.Results) != 2*len(want) || r.Seconds <= 0 {
		t.Fatalf("%d results in %s", len(r.Results), text)
	}
	for i, res := range r.Results {
		if res.Verify != (i%2 == 1) {
			t.Errorf("%s: verification %v", res.Class, res.Verify)
		}
		sane(t, res, want[res.Class])
		if null := res.Summary.Null; null == nil || null.Bounds == nil {
			t.Errorf("%s: beside the null client %+v", res.Class, null)
		}
	}
	wellFormed(t, strings.TrimSuffix(svg, ".svg")+"-verified.svg")
	wellFormed(t, svg)
	onlyMarked(t, s.src.Root)
	onlyMarked(t, s.dst.Root)
}

// sane wants a result to have figures of everybody, and of the machine.
func sane(t *testing.T, res bench.Result, want []string) {
	t.Helper()
	var ran []string
	for _, row := range res.Summary.Rows {
		ran = append(ran, row.Contender)
		if row.Error != "" || row.Rounds != 2 || row.Seconds <= 0 || row.ServerCPU == nil || row.ClientCPU == nil || *row.ClientCPU <= 0 || row.Own != (row.EngineCPU != nil) {
			t.Errorf("%s: %+v", res.Class, row)
		}
	}
	slices.Sort(ran)
	slices.Sort(want)
	if !slices.Equal(ran, want) {
		t.Errorf("%s: %v took part", res.Class, ran)
	}
	if best := res.Summary.Best; best == nil || strings.HasPrefix(best.Contender, bench.Own) || strings.HasPrefix(best.Contender, "null") || best.Bounds == nil {
		t.Errorf("%s: best is %+v", res.Class, best)
	}
	for _, round := range res.Rounds {
		if round.Before == nil || round.After == nil || round.Others == nil || round.Seconds <= 0 {
			t.Errorf("%s: the machine in a round: %+v", res.Class, round)
		}
	}
}

// Bytes go through the worker in three ways, each beside the program that
// people use for it.
func TestRelays(t *testing.T) {
	s := newSite(t, "", nil, false)
	for _, c := range sets()["relay"] {
		t.Run(c.name, func(t *testing.T) {
			c.classes, c.patience, c.peers = "1x1MiB", 0, strings.Replace(c.peers, "*", "", 1)
			r := decode(t, s.compare(t, c.route, append(c.flags(), "--rounds", "2", "--json")...))
			sane(t, r.Results[0], []string{"gridferry", strings.TrimSpace(c.peers)})
		})
	}
	onlyMarked(t, s.src.Root)
	onlyMarked(t, s.dst.Root)
}

// An object store and an SSH server, each beside the clients that people use.
func TestStores(t *testing.T) {
	s := newSite(t, "", nil, true)
	for _, c := range sets()["stores"] {
		t.Run(c.name, func(t *testing.T) {
			c.classes, c.patience = "3x1KiB", 0
			want := []string{"gridferry", "scp", "sftp"}
			if c.peers = "scp,sftp"; c.route != toSSH {
				c.peers, want = "rclone", []string{"gridferry", "rclone"}
				if _, err := exec.LookPath("rclone"); err != nil {
					t.Skip("needs rclone")
				}
			}
			r := decode(t, s.compare(t, c.route, append(c.flags(), "--rounds", "2", "--warmup", "1", "--json")...))
			sane(t, r.Results[0], want)
		})
	}
	onlyMarked(t, s.src.Root)
	onlyMarked(t, s.dst.Root)
	// The server keeps something of its own there.
	if left, err := filepath.Glob(filepath.Join(s.store.bucket, "gridferry-*")); err != nil || len(left) > 0 {
		t.Errorf("%s is left, %v", left, err)
	}
}

// Globus-url-copy can verify a tree that has directories in it.
func TestVerifiedTree(t *testing.T) {
	s := newSite(t, "", nil, false)
	r := decode(t, s.compare(t, thirdParty, "--class", "1001x1B", "--rounds", "2", "--warmup", "0", "--verify", "on", "--peers", "guc-fast-pp,scp", "--json"))
	sane(t, r.Results[0], []string{"gridferry", "guc-fast-pp"})
	if len(r.LeftOut) != 1 || r.LeftOut[0].Name != "scp" || !strings.Contains(r.LeftOut[0].Reason, "checksums") {
		t.Errorf("left out: %+v", r.LeftOut)
	}
}

// The same over a distance; what it measures is of no interest here, either.
func TestFarAway(t *testing.T) {
	network := wan.New(t, wan.Options{RTT: 20 * time.Millisecond, Rate: 100 << 20})
	s := newSite(t, "", network, false)
	c := comparison{classes: "20x1KiB", peers: "guc-fast-pp-cc4,null,gridferry-classic"}
	r := decode(t, s.compare(t, c.route, append(c.flags(), "--rounds", "2", "--json", "--remark", wan.Kernel())...))
	sane(t, r.Results[0], []string{"gridferry", "gridferry-classic", "guc-fast-pp-cc4", "null"})
	if !strings.Contains(r.Remarks[0], "congestion control") {
		t.Errorf("remarks %q", r.Remarks)
	}
}

// A peer that is slow beyond patience is named, and no time is spent on it.
func TestPatience(t *testing.T) {
	s := newSite(t, "", nil, false)
	real, err := exec.LookPath("globus-url-copy")
	if err != nil {
		t.Fatal(err)
	}
	bin := t.TempDir()
	slow := "#!/bin/sh\ncase \" $* \" in *' -p 4 '*) exec sleep 1000;; esac\nexec " + real + " \"$@\"\n"
	if err := os.WriteFile(filepath.Join(bin, "globus-url-copy"), []byte(slow), 0o700); err != nil {
		t.Fatal(err)
	}
	s.env = append(s.env, fmt.Sprintf("PATH=%s:%s", bin, os.Getenv("PATH")))
	r := decode(t, s.compare(t, thirdParty, "--class", "2x1KiB", "--rounds", "2", "--patience", "2", "--peers", "guc,guc-p4", "--json"))
	if d := r.Results[0].Dropped; len(d) != 1 || d[0].Contender != "guc-p4" || d[0].Fastest != "guc" || !d[0].Stopped {
		t.Errorf("dropped: %+v", d)
	}
	sane(t, r.Results[0], []string{"gridferry", "guc"})
}

// A peer that fails is named with its words, and the rest goes on.
func TestPeerThatFails(t *testing.T) {
	s := newSite(t, "", nil, false)
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
	r := decode(t, s.compare(t, thirdParty, "--class", "2x1KiB", "--rounds", "1", "--warmup", "0", "--peers", "scp,rsync,guc", "--json"))
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
	laterRound := regexp.MustCompile(`round ([2-9]|\d{2,}) of`)
	s := newSite(t, "", nil, false)
	mark(t, s.src.Path("mine"))
	command := harness.Start(t, harness.Command{
		Path: harness.Binary(t, "gridferry"), Env: s.env,
		Args: s.args(thirdParty, "--class", "200x1KiB", "--rounds", "1000", "--warmup", "0", "--peers", "guc-fast"),
	})
	command.Ready(time.Minute, func() error {
		if !laterRound.MatchString(command.Log()) {
			return errors.New("no round is over yet")
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
