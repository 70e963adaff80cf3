package starter

import (
	"context"
	"errors"
	"fmt"
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
	dir := b.src.local(b.name, class.String())
	if err := makeClass(dir, class); err != nil {
		return false, err
	}
	// Classes are there one at a time, which is what was said of the space.
	defer func() { err = errors.Join(err, removeLocal(dir)) }()

	b.report.Results = append(b.report.Results, bench.Result{Class: class})
	samples := &b.report.Results[len(b.report.Results)-1].Samples
	line := liveLine{s: b.session}
	defer line.clear()
	out := make(map[string]bool) // who cannot do this, or failed
	for round := -b.warmup; round < b.rounds; round++ {
		for _, i := range bench.Order(len(b.report.Contenders), round+b.warmup) {
			c := b.report.Contenders[i]
			args, err := c.Command(b.job(class))
			if err != nil || out[c.Name] {
				continue
			}
			line.show(fmt.Sprintf("%s, %s: %s", class, roundName(round, b.rounds), c.Name), b.Now())
			sample := bench.Sample{Contender: c.Name, Round: max(0, round), Warmup: round < 0}
			if err := b.once(ctx, class, c, args, &sample); err != nil {
				return false, err
			}
			*samples = append(*samples, sample)
			if sample.Error != "" {
				out[c.Name] = true
				line.clear()
				fmt.Fprintf(b.Stderr, "%s: %s failed: %s\n", class, c.Name, sample.Error)
			}
		}
	}
	return !out[bench.Own], nil
}

func roundName(round, rounds int) string {
	if round < 0 {
		return "warming up"
	}
	return fmt.Sprintf("round %d of %d", round+1, rounds)
}

// once lets a contender copy a class once, and looks at what has arrived. Its
// failure is in the sample; an error ends the benchmark.
func (b *benchmark) once(ctx context.Context, class bench.Class, c bench.Contender, args []string, sample *bench.Sample) error {
	dirs := []string{outName}
	if class.Files == 1 {
		dirs = append(dirs, outName+"/"+class.String())
	}
	for _, dir := range dirs {
		if err := b.dst.mkdir(ctx, b.name, dir); err != nil {
			return err
		}
	}
	failed := b.timed(ctx, c, args, sample)
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if failed == nil {
		failed = b.dst.check(ctx, class, sample.Warmup, b.name, outName, class.String())
		if ctx.Err() != nil {
			return ctx.Err()
		}
	}
	if failed != nil {
		sample.Error = sentence(failed.Error())
	}
	if err := b.dst.remove(ctx, b.name, outName); err != nil {
		return fmt.Errorf("remove what %s has copied: %w", c.Name, err)
	}
	return nil
}

// timed runs a contender, and fills in the sample's numbers.
func (b *benchmark) timed(ctx context.Context, c bench.Contender, args []string, sample *bench.Sample) error {
	var task transfer.TaskID
	if c.Own() {
		task = b.NewID()
		args = append(args, b.ownArgs(task)...)
	}
	limited, cancel := context.WithTimeout(ctx, b.runLimit)
	defer cancel()
	servers, err := cpuTime(b.serverPIDs)
	if err != nil {
		return err
	}
	service, err := cpuTime(b.servicePIDs)
	if err != nil {
		return err
	}
	usage, failed := runProcess(limited, b.programs[c.Program], args)
	sample.Seconds = usage.elapsed.Seconds()
	client := usage.cpu.Seconds()
	if c.Own() && len(b.servicePIDs) > 0 {
		after, err := cpuTime(b.servicePIDs)
		if err != nil {
			return err
		}
		client += (after - service).Seconds()
	}
	sample.Client = &client
	if len(b.serverPIDs) > 0 {
		after, err := cpuTime(b.serverPIDs)
		if err != nil {
			return err
		}
		used := (after - servers).Seconds()
		sample.Server = &used
	}
	if failed != nil && c.Own() {
		b.abandon(ctx, task)
	}
	if failed != nil && limited.Err() != nil && ctx.Err() == nil {
		return fmt.Errorf("it had not ended after %s", transfer.FormatDuration(b.runLimit))
	}
	return failed
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
