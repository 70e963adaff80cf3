package starter

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"time"

	"github.com/gridferry/gridferry/bench"
	"github.com/gridferry/gridferry/fault"
	"github.com/gridferry/gridferry/transfer"
)

// cleanLimit bounds what is done after an interruption.
const cleanLimit = 5 * time.Minute

// errOwnFailed says that there is nothing to compare.
var errOwnFailed = errors.New("gridferry's own copies failed")

// measure runs all classes. What it made is gone afterwards, however it ends.
func (b *benchmark) measure(ctx context.Context) (err error) {
	clean, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	for _, end := range []*benchEnd{b.src, b.dst} {
		if err := end.make(ctx, b.name); err != nil {
			return err
		}
		defer func() {
			limited, cancel := context.WithTimeout(clean, cleanLimit)
			defer cancel()
			if failed := end.remove(limited, b.name); failed != nil {
				err = errors.Join(err, fmt.Errorf("remove %s in %s, which this benchmark made: %w", b.name, end, failed))
			}
		}()
	}
	failed := false
	for _, class := range b.classes {
		ok, err := b.measureClass(ctx, class)
		if err != nil {
			return err
		}
		failed = failed || !ok
	}
	if failed {
		return errOwnFailed
	}
	return nil
}

// measureClass is false when gridferry itself failed.
func (b *benchmark) measureClass(ctx context.Context, class bench.Class) (ok bool, err error) {
	dir := b.src.local(b.name, class.Dir())
	if err := makeClass(dir, class); err != nil {
		return false, err
	}
	// Classes are there one at a time, which is what was said of the space.
	defer func() { err = errors.Join(err, removeLocal(dir)) }()

	ok = true
	for _, verify := range b.verifies {
		m := &contest{benchmark: b, class: class, verify: verify, out: make(map[string]bool)}
		err := m.run(ctx)
		if len(m.result.Samples) > 0 {
			b.report.Results = append(b.report.Results, m.result)
		}
		if err != nil {
			return false, err
		}
		ok = ok && !m.out[bench.Own]
	}
	return ok, nil
}

// A contest is one class, verified or not.
type contest struct {
	*benchmark
	class  bench.Class
	verify bool
	result bench.Result
	out    map[string]bool // who failed, or was too slow
}

func (m *contest) run(ctx context.Context) error {
	m.result = bench.Result{Class: m.class, Verify: m.verify}
	for round := -m.warmup; round < m.rounds; round++ {
		r := bench.Round{Round: round, Before: loadAverage()}
		start, busy := m.Now(), busyTime()
		before := len(m.result.Samples)
		err := m.round(ctx, round)
		r.Seconds, r.After = m.Now().Sub(start).Seconds(), loadAverage()
		r.Others = m.others(busy, r.Seconds, m.result.Samples[before:])
		m.result.Rounds = append(m.result.Rounds, r)
		if err != nil {
			return err
		}
		if round == -1 {
			fmt.Fprintf(m.Stderr, "%s, verification %s: warming up took %s, so %d rounds take at most about %s.\n", m.class, onOff(m.verify),
				transfer.FormatDuration(duration(r.Seconds)), m.rounds, transfer.FormatDuration(duration(r.Seconds*float64(m.rounds))))
		}
		if m.patience > 0 && round < m.rounds-1 {
			m.drop(bench.Shortlist(m.report.Contenders, m.result.Samples, round)...)
		}
	}
	return nil
}

// drop lets contenders run no more.
func (m *contest) drop(dropped ...bench.Dropped) {
	for _, d := range dropped {
		m.out[d.Contender] = true
		m.result.Dropped = append(m.result.Dropped, d)
		fmt.Fprintf(m.Stderr, "%s: dropped %s\n", m.class, d)
	}
}

// round lets everybody copy once. While warming up they come in the order of
// the grid, which has the promising ones first.
func (m *contest) round(ctx context.Context, round int) error {
	line := liveLine{s: m.session}
	defer line.clear()
	order := bench.Order(len(m.report.Contenders), round+m.warmup)
	if round < 0 {
		slices.SortFunc(order, func(a, b int) int { return a - b })
	}
	for _, i := range order {
		c := m.report.Contenders[i]
		if _, err := c.Command(m.job(m.class, 0, m.verify)); err != nil || m.out[c.Name] {
			continue
		}
		line.show(fmt.Sprintf("%s, verification %s, %s: %s", m.class, onOff(m.verify), roundName(round, m.rounds), c.Name), m.Now())
		sample := bench.Sample{Contender: c.Name, Round: max(0, round), Warmup: round < 0}
		fastest, limit := m.limit(c, sample.Warmup)
		// A little more, so that who is stopped has surely been too slow.
		err := m.once(ctx, c, &sample, limit+limit/20)
		late := errors.Is(err, errLate)
		if err != nil && !late {
			return err
		}
		if fastest != "" && (late || sample.Seconds >= limit.Seconds()) {
			line.clear()
			m.drop(bench.Dropped{Contender: c.Name, Round: round, Fastest: fastest, Share: 1 / m.patience, Stopped: true})
			continue
		}
		m.result.Samples = append(m.result.Samples, sample)
		if sample.Error != "" {
			m.out[c.Name] = true
			line.clear()
			fmt.Fprintf(m.Stderr, "%s: %s failed: %s\n", m.class, c.Name, sample.Error)
		}
	}
	return nil
}

func onOff(on bool) string {
	if on {
		return "on"
	}
	return "off"
}

// duration takes seconds.
func duration(n float64) time.Duration { return time.Duration(n * float64(time.Second)) }

// leastPatience is the least time that patience is a factor of: what is over in
// no time is cheap to wait for.
const leastPatience = 2 * time.Second

// limit is how long a contender may take, and, where that is by patience, whose
// time says so: that of the fastest of its kind. Gridferry's does not, or a
// gridferry that is fast would be without anybody to compare it with.
func (m *contest) limit(c bench.Contender, warmup bool) (fastest string, limit time.Duration) {
	if m.patience == 0 || !warmup || c.Own() {
		return "", m.runLimit
	}
	name, least := bench.FastestSoFar(m.report.Contenders, m.result.Samples, c)
	limit = duration(m.patience * max(least, leastPatience.Seconds()))
	if name == "" || limit >= m.runLimit {
		return "", m.runLimit
	}
	return name, limit
}

// others is how many CPUs were busy with what nobody here has to do with; nil
// where that is not known. busy is busyTime before.
func (m *contest) others(busy *time.Duration, seconds float64, samples []bench.Sample) *float64 {
	after := busyTime()
	if busy == nil || after == nil || seconds <= 0 {
		return nil
	}
	used := (*after - *busy).Seconds()
	for _, s := range samples {
		for _, cpu := range []*float64{s.Client, s.Server, s.Engine} {
			if cpu != nil {
				used -= *cpu
			}
		}
	}
	others := max(0, used/seconds)
	return &others
}

func roundName(round, rounds int) string {
	if round < 0 {
		return "warming up"
	}
	return fmt.Sprintf("round %d of %d", round+1, rounds)
}

// once lets a contender copy a class once, and looks at what has arrived. Its
// failure is in the sample; an error ends the benchmark, but for errLate.
func (m *contest) once(ctx context.Context, c bench.Contender, sample *bench.Sample, limit time.Duration) error {
	dirs := []string{outName}
	if m.class.Single() || c.Prepared(m.job(m.class, 0, m.verify)) {
		dirs = append(dirs, outName+"/"+m.class.Dir())
		for _, dir := range m.class.Dirs() {
			dirs = append(dirs, outName+"/"+m.class.Dir()+"/"+dir)
		}
	}
	for _, dir := range dirs {
		if err := m.dst.mkdir(ctx, m.name, dir); err != nil {
			return err
		}
	}
	failed := m.timed(ctx, c, sample, limit)
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if failed == nil {
		failed = m.dst.check(ctx, m.class, sample.Warmup, m.name, outName, m.class.Dir())
		if ctx.Err() != nil {
			return ctx.Err()
		}
	}
	if failed != nil {
		sample.Error = sentence(failed.Error())
	}
	if err := m.clear(ctx, failed != nil); err != nil {
		return fmt.Errorf("remove what %s has copied: %w", c.Name, err)
	}
	if errors.Is(failed, errLate) {
		return errLate
	}
	return nil
}

// errLate is of a contender that was stopped for taking too long. Its sample
// says so, too.
var errLate = errors.New("it had not ended")

const (
	// lateLimit is how long servers may go on with what a program asked for
	// that has been stopped.
	lateLimit = 10 * time.Second
	lateEvery = 200 * time.Millisecond
)

// clear removes what a contender has copied. Of one that was stopped, the
// servers may be making files yet.
func (m *contest) clear(ctx context.Context, stopped bool) error {
	for until := time.Now().Add(lateLimit); ; {
		err := m.dst.remove(ctx, m.name, outName)
		if err == nil || !stopped || time.Now().After(until) {
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(lateEvery):
		}
	}
}

// timed runs a contender, and fills in the sample's numbers.
func (m *contest) timed(ctx context.Context, c bench.Contender, sample *bench.Sample, limit time.Duration) error {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	before, err := m.costs()
	if err != nil {
		return err
	}
	runs := 1
	if m.class.Each {
		runs = m.class.Files
	}
	var client time.Duration
	var failed error
	for i := 0; i < runs && failed == nil; i++ {
		var used usage
		used, failed = m.command(ctx, c, i)
		sample.Seconds += used.elapsed.Seconds()
		client += used.cpu
	}
	after, err := m.costs()
	if err != nil {
		return err
	}
	seconds := func(d time.Duration) *float64 { s := d.Seconds(); return &s }
	if c.Own() {
		client += after.service - before.service
		if len(m.enginePIDs) > 0 {
			sample.Engine = seconds(after.engine - before.engine)
		}
	}
	sample.Client = seconds(client)
	if len(m.serverPIDs) > 0 {
		sample.Server = seconds(after.servers - before.servers)
	}
	if failed != nil && errors.Is(ctx.Err(), context.DeadlineExceeded) {
		return fmt.Errorf("%w after %s", errLate, transfer.FormatDuration(limit))
	}
	return failed
}

// command runs a contender's program once.
func (m *contest) command(ctx context.Context, c bench.Contender, i int) (usage, error) {
	job := m.job(m.class, i, m.verify)
	if c.Lists(job) {
		list, err := writeList(c, job, m.class)
		if err != nil {
			return usage{}, err
		}
		// It is a temporary file: one that stays does no harm.
		defer os.Remove(list)
		job.List = list
	}
	args, err := c.Command(job)
	if err != nil {
		return usage{}, err
	}
	if !c.Own() {
		return runProcess(ctx, m.programs[c.Program], args)
	}
	task := m.NewID()
	used, err := runProcess(ctx, m.programs[c.Program], append(args, m.ownArgs(task)...))
	if err != nil {
		m.abandon(ctx, task)
	}
	return used, err
}

// writeList writes a file for a contender that takes one, before its time
// begins.
func writeList(c bench.Contender, job bench.Job, class bench.Class) (name string, err error) {
	file, err := os.CreateTemp("", "gridferry-bench-list-")
	if err != nil {
		return "", err
	}
	return file.Name(), errors.Join(c.WriteList(file, job, class.Names()), file.Close())
}

// costs are the CPU times of the processes whose ids were given.
type costs struct{ servers, service, engine time.Duration }

func (b *benchmark) costs() (c costs, err error) {
	for _, of := range []struct {
		pids []int
		used *time.Duration
	}{{b.serverPIDs, &c.servers}, {b.servicePIDs, &c.service}, {b.enginePIDs, &c.engine}} {
		if *of.used, err = cpuTime(of.pids); err != nil {
			return c, err
		}
	}
	return c, nil
}

// ownArgs are what only gridferry is told.
func (b *benchmark) ownArgs(task transfer.TaskID) []string {
	args := []string{"--task-id", string(task)}
	for _, f := range []struct{ flag, value string }{
		{"--address", b.conn.Address}, {"--namespace", b.conn.Namespace}, {"--profile", b.conn.Profile},
		{"--source-credential", b.sourceCred}, {"--destination-credential", b.destCred},
	} {
		if f.value != "" {
			args = append(args, f.flag, f.value)
		}
	}
	return args
}

// abandon stops a task that nobody waits for any more, so that it makes
// nothing where things are being removed.
func (b *benchmark) abandon(ctx context.Context, task transfer.TaskID) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), cleanLimit)
	defer cancel()
	svc, err := b.service(ctx)
	if err != nil {
		return
	}
	// A task that has ended cannot be cancelled, and one that was never
	// started is not found: both are fine.
	if err := svc.Cancel(ctx, task); err == nil {
		_, err = svc.Wait(ctx, task)
		if err != nil && fault.KindOf(err) != fault.NotFound {
			fmt.Fprintf(b.Stderr, "gridferry: task %s may go on: %s\n", task, sentence(err.Error()))
		}
	}
}
