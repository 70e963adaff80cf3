package starter

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/gridferry/gridferry/bench"
	"github.com/gridferry/gridferry/transfer"
)

// benchFlags are the command line of a benchmark.
type benchFlags struct {
	classes, peers          []string
	rounds, warmup          int
	verify                  string
	encrypt, noDCAU         bool
	sourceDir, destDir      string
	sourceAs, destAs        []string
	serverPIDs, servicePIDs []int
	enginePIDs              []int
	limit, svg, route       string
	patience                float64
	remarks                 []string
	dryRun                  bool
	sourceCred, destCred    string
}

const (
	maxRounds       = 1000
	defaultRunLimit = "1h"
)

func (s *session) benchCommand() *cobra.Command {
	var f benchFlags
	cmd := &cobra.Command{
		Use:   "bench [flags] SOURCE DESTINATION",
		Short: "Compare gridferry with globus-url-copy, scp, sftp, rsync, rclone and aws",
		Long: `Copy the same files with gridferry and with its peers, between the same
directories, and compare their times. A class such as 1000x16KiB is that many
files of that size; 100x1B/each are copied by 100 commands, one after another.
In each round everybody copies once, in an order that
changes; the first rounds warm up and count for nothing. Shown are medians, the
middle half of the times (IQR), and the ratio of gridferry's rate to each peer's
with its bounds at 95 % confidence.

The files are made in the directory --source-dir, which is SOURCE as this
machine sees it: a benchmark runs where it can write the source, unless SOURCE
is a file:/// URL. Everything is made below a new directory
gridferry-bench-... at either end, and removed again; nothing else is touched.
Each copy is checked for its names and sizes, and, where --destination-dir says
how this machine sees DESTINATION, byte for byte while warming up.

Peers take the environment's credentials (X509_USER_PROXY and so on), and the
worker its own. Both ends' data channels are as their defaults have it:
authenticated where GSI is used, and in the clear unless --encrypt. Peers that
are not on the PATH, or cannot copy between such places, are named and left out:
--source-as and --destination-as give the directories further names. Which store
the bucket of an s3://BUCKET/path is in, rclone learns from RCLONE_S3_PROVIDER,
RCLONE_S3_ENDPOINT and so on, and aws from its own configuration, whose profiles
gridferry-bench-32 and gridferry-bench-64x64M are to have 32 and 64 for
s3.max_concurrent_requests, and the latter 64MB for s3.multipart_chunksize.`,
		Example: `  gridferry bench gsiftp://a/dir/ gsiftp://b/dir/ --source-dir /srv/a/dir --class 1000x16KiB --class 4x256MiB

  # who takes part, and what it would do
  gridferry bench gsiftp://a/dir/ gsiftp://b/dir/ --source-dir /srv/a/dir --dry-run

  # scp beside GridFTP, on the same directories; servers' CPU; a plot
  gridferry bench gsiftp://a/dir/ gsiftp://b/dir/ --source-dir /srv/a/dir --class 1x1B --rounds 100 \
    --source-as file:///srv/a/dir --destination-as sshftp://b/dir --peers guc,scp \
    --server-pid 4711 --server-pid 4712 --svg rates.svg`,
		Args: cobra.ExactArgs(2),
		RunE: func(cmd *cobra.Command, args []string) error {
			b, err := f.benchmark(s, args[0], args[1])
			if err != nil {
				return err
			}
			if err := b.announce(); err != nil || f.dryRun {
				return err
			}
			return b.run(cmd.Context())
		},
	}
	flags := cmd.Flags()
	flags.SortFlags = false
	flags.StringArrayVar(&f.classes, "class", []string{"1000x1KiB", "20x10MiB", "1x256MiB"}, "`FILESxSIZE`; repeat it")
	flags.IntVar(&f.rounds, "rounds", 5, "how often everybody copies each class; bounds of fewer than 5 are too narrow")
	flags.IntVar(&f.warmup, "warmup", 1, "rounds before those, which count for nothing")
	flags.StringSliceVar(&f.peers, "peers", []string{bench.AllPeers}, "`NAMES` or patterns, such as guc,scp or guc-fast*; all is every peer, gridferry-classic must be named")
	flags.StringVar(&f.verify, "verify", "off", "on, off or both: whether everybody compares checksums after copying; both measures each class twice")
	flags.StringVar(&f.route, "route", "", "gridferry's `ROUTE`: auto, third-party or relay")
	flags.Float64Var(&f.patience, "patience", 0, "spend no time on peers that are clearly slower than another: one is stopped when warming up takes it this `FACTOR` of the fastest peer's time, and dropped after round 1 when its best run had under 0.7 of the rate of the fastest peer's worst, after 2 under 0.8, after 3 under 0.9; 0 waits for everybody")
	flags.BoolVar(&f.encrypt, "encrypt", false, "everybody encrypts the data on its way")
	flags.BoolVar(&f.noDCAU, "no-dcau", false, "peers leave data channels unauthenticated; gridferry does where the endpoint's options say dcau: none")
	flags.StringVar(&f.sourceDir, "source-dir", "", "SOURCE as a `DIRECTORY` of this machine, where files can be made")
	flags.StringVar(&f.destDir, "destination-dir", "", "DESTINATION as a `DIRECTORY` of this machine: copies are compared byte for byte, and removed faster")
	flags.StringArrayVar(&f.sourceAs, "source-as", nil, "`LOCATION` that is SOURCE, too, for peers that do not understand the other; repeat it")
	flags.StringArrayVar(&f.destAs, "destination-as", nil, "`LOCATION` that is DESTINATION, too; repeat it")
	flags.StringVar(&f.sourceCred, "source-credential", "", "`ID` of gridferry's credential for the source")
	flags.StringVar(&f.destCred, "destination-credential", "", "`ID` of gridferry's credential for the destination")
	flags.IntSliceVar(&f.serverPIDs, "server-pid", nil, "`PID` of a server here: its CPU time, with its children's, is shown by file")
	flags.IntSliceVar(&f.servicePIDs, "service-pid", nil, "`PID` of a process that gridferry needs here, such as gridferryd: its CPU time counts as gridferry's")
	flags.IntSliceVar(&f.enginePIDs, "temporal-pid", nil, "`PID` of the Temporal server that gridferry uses, if it is here: its CPU time is shown apart")
	flags.StringVar(&f.limit, "limit", defaultRunLimit, "a copy that takes longer than this `DURATION` has failed")
	flags.StringVar(&f.svg, "svg", "", "draw rate against file size into this `FILE`; of --verify both there is one more, FILE-verified")
	flags.StringArrayVar(&f.remarks, "remark", nil, "`TEXT` that a reader of the report should know; repeat it")
	flags.BoolVar(&f.dryRun, "dry-run", false, "say what it would do, and change nothing")
	return cmd
}

// A benchmark is a comparison that is under way.
type benchmark struct {
	*session
	benchFlags
	runLimit time.Duration
	report   bench.Report
	classes  []bench.Class
	verifies []bool
	programs map[string]string // paths, by name
	src, dst *benchEnd
	name     string // of the directory at either end
}

// benchmark checks the command line without touching anything.
func (f *benchFlags) benchmark(s *session, source, destination string) (*benchmark, error) {
	b := &benchmark{session: s, benchFlags: *f, programs: make(map[string]string)}
	for _, text := range f.classes {
		c, err := bench.ParseClass(text)
		if err != nil {
			return nil, invalid("class", err.Error(), "")
		}
		if slices.Contains(b.classes, c) {
			return nil, invalid("class", c.String()+" is given twice", "")
		}
		b.classes = append(b.classes, c)
	}
	switch {
	case f.rounds < 1 || f.rounds > maxRounds:
		return nil, invalid("rounds", fmt.Sprintf("%d is not 1 to %d", f.rounds, maxRounds), "")
	case f.warmup < 0 || f.warmup > maxRounds:
		return nil, invalid("warmup", fmt.Sprintf("%d is not 0 to %d", f.warmup, maxRounds), "")
	case f.verify != "on" && f.verify != "off" && f.verify != "both":
		return nil, invalid("verify", fmt.Sprintf("%q is neither on, off nor both", f.verify), "here it is for peers, too")
	case f.patience < 0 || f.patience > 0 && f.patience < 1:
		return nil, invalid("patience", fmt.Sprintf("%g is neither 0 nor a factor of at least 1", f.patience), "")
	case f.patience > 0 && f.warmup == 0:
		return nil, invalid("patience", "needs a round of warming up, in which the slowest are found", "leave out --warmup 0")
	}
	for _, verify := range []bool{false, true} {
		if f.verify == "both" || (f.verify == "on") == verify {
			b.verifies = append(b.verifies, verify)
		}
	}
	var err error
	if b.runLimit, err = transfer.ParseDuration(f.limit); err != nil || b.runLimit <= 0 {
		return nil, invalid("limit", fmt.Sprintf("%q is no time to wait", f.limit), "write 90s, 2h")
	}
	if b.src, err = newBenchEnd(s, "source", source, f.sourceDir, f.sourceCred, f.sourceAs); err != nil {
		return nil, err
	}
	if b.dst, err = newBenchEnd(s, "destination", destination, f.destDir, f.destCred, f.destAs); err != nil {
		return nil, err
	}
	if b.src.dir == "" {
		return nil, invalid("source-dir", "is not given, and the files are made there", "give SOURCE as a directory of this machine")
	}
	if !b.src.here() && !b.dst.here() {
		req := transfer.Request{Source: b.src.place().Location, Destination: b.dst.place().Location, Recursive: true, Route: transfer.RouteRule(f.route)}
		if err := req.Validate(s.Now()); err != nil {
			return nil, err
		}
	}
	for _, pids := range [][]int{f.serverPIDs, f.servicePIDs, f.enginePIDs} {
		if _, err := cpuTime(pids); err != nil {
			return nil, invalid("server-pid", err.Error(), "CPU times are those of processes of this machine, and read from /proc")
		}
	}
	b.name = "gridferry-bench-" + string(s.NewID())
	b.report = bench.Report{
		Started: s.Now(), Version: s.Version, Source: source, Destination: destination, Encrypt: f.encrypt, Remarks: slices.Clone(f.remarks),
		Rounds: f.rounds, Warmup: f.warmup, Machine: bench.Machine{System: runtime.GOOS + "/" + runtime.GOARCH, CPUs: runtime.NumCPU(), Load: loadAverage()},
	}
	if load := b.report.Machine.Load; load != nil && *load > busyLoad*float64(runtime.NumCPU()) {
		b.report.Remarks = append(b.report.Remarks, fmt.Sprintf("The machine had other work before the start (load average %.1f): times are too long, and bounds wider than they would be.", *load))
	}
	return b, b.choose()
}

// busyLoad is the load average for each CPU above which a machine is taken to
// have other work.
const busyLoad = 0.25

// choose settles who takes part.
func (b *benchmark) choose() error {
	peers, err := bench.Select(b.peers)
	if err != nil {
		return invalid("peers", err.Error(), "")
	}
	for _, c := range bench.NotAsked(peers) {
		if slices.ContainsFunc(b.classes, func(class bench.Class) bool { return b.cannot(c, class) == nil }) {
			b.report.NotAsked = append(b.report.NotAsked, c.Name)
		}
	}
	out := func(name, reason string, class *bench.Class) {
		b.report.LeftOut = append(b.report.LeftOut, bench.LeftOut{Name: name, Reason: reason, Class: class})
	}
	missing := make(map[string]error)
	for _, c := range append([]bench.Contender{bench.Ours()}, peers...) {
		if !c.Own() && b.programs[c.Program] == "" && missing[c.Program] == nil {
			if path, err := exec.LookPath(c.Program); err != nil {
				missing[c.Program] = err
			} else {
				b.programs[c.Program] = path
				b.report.Programs = append(b.report.Programs, bench.Program{Name: c.Program, Path: path, Version: programVersion(c.Program)})
			}
		}
		if missing[c.Program] != nil {
			out(c.Name, c.Program+" is not on the PATH", nil)
			continue
		}
		var able []bench.Class
		var why error
		for _, class := range b.classes {
			if failed := b.cannot(c, class); failed != nil {
				why = failed
			} else {
				able = append(able, class)
			}
		}
		if len(able) == 0 {
			out(c.Name, why.Error(), nil)
			continue
		}
		b.report.Contenders = append(b.report.Contenders, c)
		for _, class := range b.classes {
			if !slices.Contains(able, class) {
				out(c.Name, why.Error(), &class)
			}
		}
	}
	return nil
}

// cannot says why a contender has no way to do a class, whether verified or
// not.
func (b *benchmark) cannot(c bench.Contender, class bench.Class) error {
	var err error
	for _, verify := range b.verifies {
		if _, err = c.Command(b.job(class, 0, verify)); err == nil {
			return nil
		}
	}
	return err
}

// outName is the directory that copies are made in, and removed with.
const outName = "out"

// job is what everybody does with a class, or with its i-th file.
func (b *benchmark) job(class bench.Class, i int, verify bool) bench.Job {
	j := bench.Job{
		Source:      b.src.names(b.name, class.Dir()),
		Destination: b.dst.names(b.name, outName, class.Dir()),
		Verify:      verify, Encrypt: b.encrypt, NoDCAU: b.noDCAU, Route: b.route,
	}
	if class.Single() {
		j.File = class.Name(i)
	}
	return j
}

// announce says what is going to happen, and refuses what cannot: files that
// there is no room for.
func (b *benchmark) announce() error {
	var largest, moved int64
	copies := 0
	for _, class := range b.classes {
		largest = max(largest, class.Bytes()+int64(class.Files)*blockSize)
		for _, c := range b.report.Contenders {
			for _, verify := range b.verifies {
				if _, err := c.Command(b.job(class, 0, verify)); err == nil {
					copies += b.rounds + b.warmup
					moved += class.Bytes() * int64(b.rounds+b.warmup)
				}
			}
		}
	}
	var names []string
	for _, c := range b.report.Contenders {
		names = append(names, c.Name)
	}
	say := func(format string, args ...any) { fmt.Fprintf(b.Stderr, format+"\n", args...) }
	for _, l := range b.report.LeftOut {
		say("Left out: %s", l)
	}
	say("Taking part: %s.", strings.Join(names, ", "))
	say("At most %d copies, %s in all, in %d rounds after %d of warming up.", copies, transfer.FormatBytes(moved), b.rounds, b.warmup)
	room, err := needRoom(largest, b.src, b.dst)
	if err != nil {
		return err
	}
	say("Files are made in %s, up to %s at a time; there, and in %s, everything is in a new directory %s that is removed at the end. %s",
		filepath.Join(b.src.dir, b.name), transfer.FormatBytes(largest), b.dst, b.name, room)
	return nil
}

// run makes the measurement, cleans up, and shows what came of it - of what
// was measured, when it is interrupted.
func (b *benchmark) run(ctx context.Context) error {
	if b.Executable == "" {
		return errors.New("it is not known where this program is, and so it cannot be run as others are")
	}
	b.programs[bench.Own] = b.Executable
	if _, err := b.service(ctx); err != nil {
		return err
	}
	start := b.Now()
	err := b.measure(ctx)
	b.report.Seconds = b.Now().Sub(start).Seconds()
	if ctx.Err() != nil {
		b.report.Remarks = append(b.report.Remarks, "Interrupted: some rounds are missing.")
	}
	for i, res := range b.report.Results {
		b.report.Results[i].Summary = bench.Summarise(res.Class, b.report.Contenders, res.Samples, res.Dropped)
	}
	if len(b.report.Results) > 0 {
		err = errors.Join(err, b.show())
	}
	return err
}

func (b *benchmark) show() error {
	var err error
	if b.json {
		err = b.printJSON(b.report)
	} else {
		err = bench.WriteTable(b.Stdout, b.report)
	}
	if b.svg == "" {
		return err
	}
	for _, verify := range b.verifies {
		name := b.svg
		if verify && len(b.verifies) > 1 {
			ext := filepath.Ext(name)
			name = strings.TrimSuffix(name, ext) + "-verified" + ext
		}
		file, failed := os.Create(name)
		if failed == nil {
			failed = errors.Join(bench.WriteSVG(file, b.report, verify), file.Close())
		}
		err = errors.Join(err, failed)
	}
	return err
}
