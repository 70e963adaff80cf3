// Package check looks at an endpoint in production and says what it can do,
// what it cannot, what is broken, how fast it is, and what each of that means
// for transfers. It knows storage as package endpoints has it, and no driver.
//
// The drivers' suite, endpointtest, holds a driver to every letter of the
// contract, on an empty storage that is a test's own. A check is what is left of
// it where others work: it changes nothing outside of one new directory, ends in
// minutes on a slow line, and goes on after what fails. The suite runs it too.
package check

import (
	"context"
	"errors"
	"fmt"
	"path"
	"strings"
	"time"
	"unicode"

	"github.com/gridferry/gridferry/endpoints"
	"github.com/gridferry/gridferry/fault"
	"github.com/gridferry/gridferry/transfer"
)

// DefaultSessions is how many files are on their way at once where several are.
const DefaultSessions = 4

const (
	// lookTime bounds one look: somebody waits, and a server that is silent for
	// so long is broken to him.
	lookTime = time.Minute
	// allTime bounds all looks but for what measures: what is left is not tried.
	allTime = 3 * time.Minute
	// tidyTime bounds the removal, which is not given up when the check is.
	tidyTime = 45 * time.Second
	// maxSeen bounds what is said of one look, in bytes: servers are verbose.
	maxSeen = 400
	// mostSaid bounds how many lines there are of what a server lists.
	mostSaid = 100
)

// Options say what is looked at, and how far a check goes.
type Options struct {
	// Path is a directory that is read, or a file.
	Path string
	// Write is a directory in which one called Name is made, and everything
	// that writes is done in there. Empty writes nothing.
	Write, Name string
	// Stale are names of directories in Write that an earlier attempt at the
	// same check may have left. They are removed first.
	Stale []string
	// Over says of a name in Write that it is that of a directory of another
	// check, which cannot be under way any more. Those are removed, too; nil
	// looks for none.
	Over func(name string) bool

	Login    time.Duration // how long it took to open the storage; 0 is not known
	Sessions int           // most files at once; 0 is DefaultSessions
	Time     time.Duration // for measuring speeds; 0 is transfer.DefaultCheckTime
	Bytes    int64         // moved for that in each direction; 0 is transfer.DefaultCheckBytes

	// Pay waits until so many bytes may move; nil is at once.
	Pay func(ctx context.Context, n int64) error
	// Tell hears of each look as it begins; nil is nobody.
	Tell func(what string)
}

// Run looks at a storage. When ctx ends, what was begun is given up, what was
// made is removed all the same, and the rest of the findings say that nothing
// was tried.
func Run(ctx context.Context, s endpoints.Storage, o Options) transfer.Checkup {
	if o.Sessions <= 0 {
		o.Sessions = DefaultSessions
	}
	if o.Time <= 0 {
		o.Time = transfer.DefaultCheckTime
	}
	if o.Bytes <= 0 {
		o.Bytes = transfer.DefaultCheckBytes
	}
	if o.Tell == nil {
		o.Tell = func(string) {}
	}
	if o.Pay == nil {
		o.Pay = func(context.Context, int64) error { return nil }
	}
	ctx, cancel := context.WithTimeout(ctx, allTime+o.Time)
	defer cancel()
	v := &visit{Storage: s, caps: s.Caps(), o: o, ctx: ctx}
	v.out = transfer.Checkup{Location: o.Path, Kind: v.caps.Kind, Server: clip(v.caps.Server), RTT: transfer.Duration(v.caps.RTT)}
	if d, ok := s.(endpoints.SelfDescriber); ok {
		v.out.Says = legible(d.Says())
	}
	v.all()
	v.tidy()
	return v.out
}

// all looks at everything, in an order in which what fails early is what the
// rest would fail by.
func (v *visit) all() {
	v.login()
	// Before anything is chosen to be read, for it could be in there.
	v.sweep()
	if v.reach(); v.out.Fault != nil {
		return
	}
	if v.o.Write != "" {
		if v.begin(); v.out.Fault != nil {
			return
		}
	}
	v.reading()
	if v.dir == "" {
		v.abilities()
		v.measureReading()
		return
	}
	v.writing()
	v.abilities()
	v.measureWriting()
}

// visit is one check under way.
type visit struct {
	endpoints.Storage
	caps endpoints.Caps
	o    Options
	ctx  context.Context
	out  transfer.Checkup

	folder       bool    // Path is a directory that can be listed
	sample       *thing  // something that is there
	small, large *thing  // files that are there
	dir          string  // the new directory; empty is none
	measured     []piece // files that were written to measure
}

// answer is what a look has to say.
type answer struct {
	outcome transfer.Outcome
	seen    string
	means   string
	rate    float64
	took    time.Duration // 0 is what it took to answer
	err     error         // the outcome follows from it, and the rest counts for nothing
}

func works(seen, means string) answer {
	return answer{outcome: transfer.Works, seen: seen, means: means}
}
func cannot(seen, means string) answer {
	return answer{outcome: transfer.Cannot, seen: seen, means: means}
}
func untried(seen, means string) answer {
	return answer{outcome: transfer.NotTried, seen: seen, means: means}
}
func failed(err error) answer { return answer{err: err} }
func wrong(text string, a ...any) answer {
	return answer{outcome: transfer.Broken, seen: fmt.Sprintf(text, a...)}
}

// look tries one thing and notes what was found. broken is what it means if it
// fails.
func (v *visit) look(name, broken string, try func(ctx context.Context) answer) (ok bool) {
	f := transfer.Finding{Name: name}
	if v.ctx.Err() != nil {
		f.Outcome, f.Seen = transfer.NotTried, stopped(v.ctx)
	} else {
		v.o.Tell(name)
		ctx, cancel := context.WithTimeout(v.ctx, max(lookTime, v.o.Time))
		begun := time.Now()
		a := v.judge(try(ctx))
		cancel()
		if a.took == 0 {
			a.took = time.Since(begun)
		}
		f.Took = transfer.Duration(a.took.Round(time.Microsecond))
		f.Outcome, f.Seen, f.Means, f.Rate = a.outcome, clip(a.seen), a.means, a.rate
		if f.Outcome == transfer.Broken {
			f.Means = broken
		}
	}
	v.out.Findings = append(v.out.Findings, f)
	return f.Outcome == transfer.Works
}

// judge says what an error comes to. Of a check that was stopped nothing is broken.
func (v *visit) judge(a answer) answer {
	switch {
	case v.ctx.Err() != nil && (a.err != nil || a.outcome == transfer.Broken):
		return untried(stopped(v.ctx), "")
	case a.err == nil:
		return a
	case fault.Is(a.err, fault.Busy):
		return untried(a.err.Error(), "others are at it: ask again later")
	}
	return answer{outcome: transfer.Broken, seen: a.err.Error()}
}

// stopped says why nothing more is tried.
func stopped(ctx context.Context) string {
	if errors.Is(ctx.Err(), context.DeadlineExceeded) {
		return "what came before took all the time there was"
	}
	return "the check was stopped"
}

// clip makes a text of a server one that is fit for a report.
func clip(text string) string {
	text = strings.ToValidUTF8(strings.Join(strings.FieldsFunc(text, func(r rune) bool { return r == '\r' || r == '\n' }), " "), "?")
	if len(text) > maxSeen {
		text = strings.ToValidUTF8(text[:maxSeen], "") + "..."
	}
	return text
}

// legible makes lines of a server such that are fit for a report, and leaves out
// empty ones.
func legible(lines []string) []string {
	var fit []string
	for _, line := range lines {
		line = strings.TrimSpace(strings.Map(func(r rune) rune {
			switch {
			case unicode.IsSpace(r):
				return ' '
			case !unicode.IsPrint(r):
				return '?'
			}
			return r
		}, clip(line)))
		switch {
		case line == "":
		case len(fit) == mostSaid-1:
			return append(fit, "...")
		default:
			fit = append(fit, line)
		}
	}
	return fit
}

// in is a path in the new directory.
func (v *visit) in(name string) string { return v.dir + "/" + name }

// span renders a time as people read it: "30 µs", "1.3 ms", "12 ms", "1.2 s".
func span(d time.Duration) string {
	switch ms := d.Seconds() * 1000; {
	case ms < 1:
		return fmt.Sprintf("%d µs", d.Microseconds())
	case ms < 10:
		return fmt.Sprintf("%.1f ms", ms)
	case ms < 1000:
		return fmt.Sprintf("%.0f ms", ms)
	case ms < 60_000:
		return fmt.Sprintf("%.1f s", ms/1000)
	}
	return transfer.FormatDuration(d)
}

// join is path.Join for names as they are.
func join(dir, name string) string {
	if dir == "/" {
		return "/" + name
	}
	return path.Clean(dir) + "/" + name
}
