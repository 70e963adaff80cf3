package chaos

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/url"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	_ "modernc.org/sqlite"

	"github.com/gridferry/gridferry/integration/harness"
	"github.com/gridferry/gridferry/integration/tree"
	"github.com/gridferry/gridferry/transfer"
)

// missed is how long a phase is waited for.
const missed = 30 * time.Second

// A drive has a transfer go through what the plan says. One goroutine does all
// of it: events, what puts them right, and looking after processes.
type drive struct {
	*watch
	began  time.Time
	lifts  []lift
	struck []strike
	wrong  []string // results
	notes  []string
	old    string // of the files that were changed: what they were
	lasted bool   // every event was reached before the end of the task

	paced   time.Time // when the pace was last looked at
	rate    int64     // of the source's line
	stalled int       // lines are, by events
}

// A lift puts right what an event did.
type lift struct {
	due  time.Time
	what string
	do   func()
}

// A strike is an event that has happened.
type strike struct {
	event
	at       time.Duration // after the drive began
	evidence string        // of the phase; empty when it was not caught
}

func (d *drive) note(format string, args ...any) {
	d.notes = append(d.notes, fmt.Sprintf("%6.1fs ", time.Since(d.began).Seconds())+fmt.Sprintf(format, args...))
}

// run strikes with every event, and returns when everything is put right.
func (d *drive) run() {
	d.began, d.lasted = time.Now(), true
	var after time.Time // of the last strike's gap
	for i, e := range d.plan.events {
		for time.Now().Before(after) && !d.ended() {
			d.turn()
		}
		s, ok := d.await(e)
		if !ok {
			d.note("the task has ended before %d of %d events", len(d.plan.events)-i, len(d.plan.events))
			d.lasted = false
			break
		}
		d.struck = append(d.struck, s)
		d.note("%v, for %s: %s", e, e.phase, s.evidence)
		for _, end := range d.ends { // what was open may be so no more, without a word
			clear(end.log.open)
		}
		after = time.Now().Add(e.gap)
	}
	for len(d.lifts) > 0 {
		d.turn()
	}
	d.limit(1 << 30)
}

func (d *drive) limit(rate int64) {
	if d.rate != rate && d.stalled == 0 {
		d.rate = rate
		d.ends[0].host.Limit(rate)
	}
}

// crawl is the rate, in bytes a second, at which the walk takes long enough to
// be met.
const crawl = 64 << 10

// pace keeps the transfer from being over before its events are: where more of
// the bytes or files than of the events have come, the line is slow.
func (d *drive) pace() {
	if time.Since(d.paced) < 300*time.Millisecond {
		return
	}
	d.paced = time.Now()
	n, all := len(d.struck), len(d.plan.events)
	bytes, files := d.there()
	due := float64(n+1) / float64(all)
	switch {
	case n == all || d.plan.events[n].phase == recording:
		d.limit(1 << 30)
	case d.plan.events[n].phase == walking:
		d.limit(crawl)
	case float64(bytes) > due*float64(d.made.Bytes), float64(files) > due*float64(d.made.Files):
		d.limit(d.plan.rate / 10)
	default:
		d.limit(d.plan.rate)
	}
}

// turn is a moment in which nothing strikes.
func (d *drive) turn() {
	now := time.Now()
	var later []lift
	due := d.lifts
	d.lifts = nil
	for _, l := range due {
		if now.Before(l.due) {
			later = append(later, l)
			continue
		}
		d.note("%s", l.what)
		l.do()
	}
	d.lifts = append(d.lifts, later...)
	d.supervise()
	d.pace()
	d.look()
	time.Sleep(2 * time.Millisecond) // the pace of looking
}

// supervise starts workers again that ended by themselves, as an init system
// does.
func (d *drive) supervise() {
	for i, w := range d.workers {
		if w.down {
			continue
		}
		select {
		case <-w.Done():
			if w.again.IsZero() {
				d.note("worker %d ended by itself: %s", i, lastLine(w.Log()))
				w.again = time.Now().Add(time.Second)
			} else if time.Now().After(w.again) {
				d.start(w)
			}
		default:
		}
	}
}

func (d *drive) start(w *worker) {
	w.down, w.again = false, time.Time{}
	w.Process.Restart()
	w.takeClock(d.t)
}

// await waits for the phase of an event and lets it strike. It is false when
// the task has ended.
func (d *drive) await(e event) (strike, bool) {
	limit := time.Now().Add(missed)
	if d.hasty = e.phase == recording; d.hasty { // it comes last, whenever that is
		limit = time.Now().Add(endLimit)
	}
	w := time.Now()
	for {
		d.turn()
		if d.ended() {
			return strike{}, false
		}
		if e.phase == continuing && time.Since(w) > 3*time.Second {
			w = time.Now()
			d.talk()
		}
		s := strike{event: e, at: time.Since(d.began), evidence: d.in(e.phase)}
		if s.evidence == "" && time.Now().Before(limit) {
			continue
		}
		if e.phase == recording && s.evidence != "" {
			release := d.holdRecord()
			evidence, ok := d.strike(e, s.evidence)
			release()
			if s.evidence = evidence; ok || time.Now().After(limit) {
				return s, true
			}
			continue
		}
		evidence, ok := d.strike(e, s.evidence)
		if !ok && time.Now().Before(limit) {
			continue
		}
		s.evidence = evidence
		return s, true
	}
}

// talk makes a history longer, as people who change a task do.
func (d *drive) talk() {
	ctx, cancel := context.WithTimeout(d.t.Context(), 2*time.Second)
	defer cancel()
	for i := range 3 {
		label := fmt.Sprintf("%d.%d", len(d.notes), i)
		if err := d.service.Modify(ctx, d.id, transfer.Change{Label: &label}); err != nil {
			d.note("nobody listens: %v", err)
			return
		}
	}
}

// holdRecord keeps the end of a task from being written down: it takes the one
// writer's lock of the workers' store, and waits until nothing else is left to
// do, for a while.
func (d *drive) holdRecord() (release func()) {
	query := url.Values{"_pragma": {"busy_timeout(20000)"}, "_txlock": {"immediate"}}
	db, err := sql.Open("sqlite", (&url.URL{Scheme: "file", Path: filepath.Join(d.dir, "data", "store.db"), RawQuery: query.Encode()}).String())
	must(d.t, err)
	// Not the test's context, whose end would give the lock back early.
	tx, err := db.BeginTx(context.Background(), nil)
	must(d.t, err)
	for limit := time.Now().Add(5 * time.Second); time.Now().Before(limit); d.turn() {
		if d.described != nil && len(d.described.GetPendingActivities()) == 0 {
			break
		}
	}
	return func() {
		_ = tx.Rollback() // nothing was written
		must(d.t, db.Close())
	}
}

// victims are the workers that an event is for.
func (d *drive) victims(e event) []*worker {
	var alive, busy []*worker
	at := d.atWork()
	for _, w := range d.workers {
		if w.down || w.frozen {
			continue
		}
		alive = append(alive, w)
		if at[w.identity()] {
			busy = append(busy, w)
		}
	}
	if e.all || e.phase == recording || len(alive) == 0 {
		return alive
	}
	if len(busy) > 0 {
		return busy[:1]
	}
	return alive[:1]
}

// later puts an event right after it has lasted.
func (d *drive) later(e event, what string, do func()) {
	d.lifts = append(d.lifts, lift{time.Now().Add(e.lasts), what, do})
}

// strike does what an event says. The evidence it returns is for a moment at
// which the victim stood still, where that can be had; it is false when that
// moment was missed and nothing has happened.
func (d *drive) strike(e event, evidence string) (string, bool) {
	end := d.ends[e.end]
	switch e.kind {
	case killWorker, stopWorker:
		return d.strikeWorkers(e, evidence)
	case killServer:
		end.Kill()
		d.later(e, "the "+endName(e.end)+"'s server starts", end.Process.Restart)
	case stopServer:
		end.Freeze()
		d.later(e, "the "+endName(e.end)+"'s server goes on", end.Thaw)
	case cut:
		d.cut(end, e.all)
	case stall:
		end.host.Limit(1 << 10)
		d.stalled++
		d.later(e, "the line is as it was", func() {
			if d.stalled--; d.stalled == 0 {
				d.ends[0].host.Limit(d.rate)
				d.ends[1].host.Limit(1 << 30)
			}
		})
	case blackHole:
		table := fmt.Sprintf("chaos%d", len(d.struck))
		in, out := "meta l4proto tcp", "meta l4proto tcp"
		if !e.all {
			in, out = fmt.Sprintf("tcp dport != %d", end.port), fmt.Sprintf("tcp sport != %d", end.port)
		}
		d.nft(end.host, fmt.Sprintf(`table inet %s {
			chain in { type filter hook input priority 0; %s drop; }
			chain out { type filter hook output priority 0; %s drop; }
		}`, table, in, out))
		d.later(e, "packets arrive again", func() { d.nft(end.host, "delete table inet "+table) })
	case killTemporal:
		d.temporal.Kill()
		d.later(e, "Temporal starts", d.temporal.Restart)
	case fullDisk:
		d.fill()
		d.later(e, "there is room on the disk", func() { must(d.t, os.Remove(d.ballast())) })
	case forbid:
		d.forbid(e)
	case stepClock:
		for _, w := range d.victims(event{phase: e.phase, all: false}) {
			if err := w.clock.set(e.by); err != nil {
				d.note("the process is gone: %v", err)
				continue
			}
			clock := w.clock
			d.later(e, "the clock is right", func() {
				if err := clock.set(0); err != nil && w.clock == clock && !w.down {
					d.note("the process is gone: %v", err)
				}
			})
		}
	case change:
		n, err := d.change()
		must(d.t, err)
		d.note("%d files of the source are changed", n)
	}
	return evidence, true
}

func (d *drive) strikeWorkers(e event, evidence string) (string, bool) {
	victims := d.victims(e)
	if len(victims) == 0 {
		return "", false
	}
	for _, w := range victims {
		w.Freeze()
	}
	// What they were at is what counts, now that they stand still; some phases
	// are moments that cannot be seen twice.
	if evidence != "" && (e.phase == walking || e.phase == verifying || e.phase == recording) {
		d.asked = time.Time{}
		if evidence = d.in(e.phase); evidence == "" {
			for _, w := range victims {
				w.Thaw()
			}
			return "", false
		}
	}
	if e.kind == stopWorker {
		for _, w := range victims {
			w.frozen = true
		}
		d.later(e, "the stopped worker goes on", func() {
			for _, w := range victims {
				w.frozen = false
				w.Thaw()
			}
		})
		return evidence, true
	}
	for _, w := range victims {
		w.down = true
		w.Kill()
	}
	d.later(e, "a worker starts", func() {
		for _, w := range victims {
			d.start(w)
		}
	})
	return evidence, true
}

// cut resets connections of a server: all, or only the data channels.
func (d *drive) cut(e *end, all bool) {
	args := []string{"netns", "exec", e.host.Namespace, "ss", "-K", "-t", "state", "established"}
	if !all {
		args = append(args, fmt.Sprintf("( sport != :%d )", e.port))
	}
	d.site.run("ip", args...)
}

func (d *drive) nft(h *harness.Host, rules string) {
	cmd := exec.Command("ip", "netns", "exec", h.Namespace, "nft", "-f", "-")
	cmd.Stdin = strings.NewReader(rules)
	if out, err := cmd.CombinedOutput(); err != nil {
		d.t.Fatalf("nft: %v\n%s", err, out)
	}
}

func (d *drive) ballast() string { return filepath.Join(d.disk, "ballast") }

// fill takes away all that is left on the destination's disk.
func (d *drive) fill() {
	f, err := os.Create(d.ballast())
	must(d.t, err)
	defer f.Close()
	for chunk := make([]byte, mib); len(chunk) > 0; {
		if _, err := f.Write(chunk); errors.Is(err, syscall.ENOSPC) {
			chunk = chunk[:len(chunk)/2]
		} else {
			must(d.t, err)
		}
	}
}

// forbid takes a directory away from the user that a server works for: at the
// source nothing in it can be read, at the destination nothing can be made.
func (d *drive) forbid(e event) {
	end := d.ends[e.end]
	dir := end.root
	if e.end == 0 {
		for _, name := range []string{"run-000", "large"} { // with the most in it
			if _, err := os.Stat(filepath.Join(end.root, name)); err == nil {
				dir = filepath.Join(end.root, name)
				break
			}
		}
		must(d.t, os.Chmod(dir, 0o700)) // root's
		d.later(e, "the directory may be read", func() { must(d.t, os.Chmod(dir, 0o755)) })
		return
	}
	u, err := user.Lookup(account)
	must(d.t, err)
	must(d.t, os.Chown(dir, 0, 0))
	d.later(e, "the directory may be written to", func() { must(d.t, os.Chown(dir, number(d.t, u.Uid), number(d.t, u.Gid))) })
}

// change makes new versions of every fifth file of the source, of the same
// size: large ones are written over where they are, while servers may be
// reading them, and small ones are replaced. What they were is kept.
func (d *drive) change() (changed int, err error) {
	d.old = filepath.Join(d.dir, "old")
	root, n := d.ends[0].root, 0
	err = filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || !entry.Type().IsRegular() {
			return err
		}
		info, err := entry.Info()
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(root, path)
		if n++; err != nil || info.Size() == 0 || n%5 != 0 {
			return err
		}
		kept := filepath.Join(d.old, rel)
		if err := os.MkdirAll(filepath.Dir(kept), 0o755); err != nil {
			return err
		}
		changed++
		if info.Size() < 16*mib {
			fresh := kept + ".new"
			if err := errors.Join(os.Link(path, kept), write(fresh, info.Size(), os.O_CREATE|os.O_EXCL)); err != nil {
				return err
			}
			return os.Rename(fresh, path)
		}
		was, err := os.ReadFile(path)
		if err == nil {
			err = os.WriteFile(kept, was, 0o644)
		}
		if err != nil {
			return err
		}
		return write(path, info.Size(), 0)
	})
	return changed, err
}

// write writes bytes that no other file has.
func write(path string, size int64, how int) error {
	f, err := os.OpenFile(path, os.O_WRONLY|how, 0o644)
	if err != nil {
		return err
	}
	_, err = io.Copy(f, io.LimitReader(tree.Content(1<<40, uint64(time.Now().UnixNano())), size))
	return errors.Join(err, f.Close())
}

func lastLine(s string) string {
	s = strings.TrimSpace(s)
	return s[strings.LastIndexByte(s, '\n')+1:]
}
