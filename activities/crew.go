package activities

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/gridferry/gridferry/transfer"
)

// crews are the chunks that this worker moves, by what shares a governor.
type crews struct {
	mu      sync.Mutex
	of      map[crewKey]*crew
	refused map[endpointPair]refusedMore
}

// endpointPair is what sessions are between, whosever they are.
type endpointPair struct{ source, destination string }

func pairOf(e Ends) endpointPair { return endpointPair{e.Source, e.Destination} }

// refusedMore is with how many pairs of sessions of ours two endpoints were
// busy.
type refusedMore struct {
	than  int
	until time.Time // is believed
}

// crewKey is what chunks have in common whose rates can be compared.
type crewKey struct {
	task  transfer.TaskID
	grain transfer.Grain
}

const (
	// crewTick is how often a crew looks at how far its chunks are.
	crewTick = 250 * time.Millisecond

	// crewLinger is how long a crew keeps what it has learned for the next
	// chunk of its task.
	crewLinger = time.Minute

	// measuredFor is how long a task must have been measured before others start
	// from what it has found.
	measuredFor = 5 * time.Second
)

// crew shares the pairs of sessions of one task between its chunks in this
// worker, and lets a governor find out how many there should be.
type crew struct {
	pair  endpointPair
	began time.Time

	mu      sync.Mutex
	gov     *transfer.Governor
	members []*member // in the order in which they came
	stop    func()    // ends the watch; nil while there are no members
	linger  *time.Timer

	busy     time.Duration // with members, until the last one left
	since    time.Time     // when there were members again
	files    int64         // done by members that have left
	bytes    int64
	reshared time.Time
}

// member is a chunk of a crew.
type member struct {
	c     *copier
	share int // of the sessions; below 0 before the first

	// What an attempt before this one did is not this crew's work.
	files, bytes int64
}

// join puts a chunk under the governor of its task, unless its tuning is not
// to be changed. The returned function ends that.
func (d *Data) join(c *copier) (leave func(context.Context)) {
	if c.in.Chunk.Tuning.MaxConcurrency <= 0 || c.in.Chunk.Ranged.Joins() {
		return func(context.Context) {}
	}
	at := c.in.Probe.Setting()
	mean := c.in.Chunk.Bytes / max(1, c.in.Chunk.Files) // a range counts no file
	key := crewKey{c.in.Task, at.Grain(mean)}

	d.crews.mu.Lock()
	w := d.crews.of[key]
	if w == nil {
		n, known := at.Start(mean)
		w = &crew{pair: pairOf(c.in.Ends), began: time.Now(), gov: transfer.NewGovernor(n, at.Most(), known)}
		if r := d.crews.refused[w.pair]; time.Now().Before(r.until) {
			w.gov.Limit(r.than)
		}
		w.linger = time.AfterFunc(crewLinger, func() { d.disband(key, w) })
		if d.crews.of == nil {
			d.crews.of = map[crewKey]*crew{}
		}
		d.crews.of[key] = w
	}
	m := w.add(c)
	d.crews.mu.Unlock()
	return func(ctx context.Context) {
		if k, ok := w.remove(m, key.grain); ok {
			d.learnPair(ctx, c.in.Ends, k)
		}
	}
}

// crowded lowers what all crews of a pair want to what they have, because a
// server refused one more: that is no matter of one chunk.
func (cs *crews) crowded(pair endpointPair) {
	cs.mu.Lock()
	defer cs.mu.Unlock()
	total := 0
	for _, w := range cs.of {
		if w.pair == pair {
			total += w.contract()
		}
	}
	now := time.Now()
	maps.DeleteFunc(cs.refused, func(_ endpointPair, r refusedMore) bool { return now.After(r.until) })
	if cs.refused == nil {
		cs.refused = map[endpointPair]refusedMore{}
	}
	cs.refused[pair] = refusedMore{than: max(1, total), until: now.Add(transfer.LimitTime)}
}

// contract makes a crew want no more sessions than it has, and returns how many
// these are.
func (w *crew) contract() (working int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, m := range w.members {
		working += m.c.standing().working
	}
	w.gov.Limit(working)
	w.share("", false)
	return working
}

// disband forgets a crew without members.
func (d *Data) disband(key crewKey, w *crew) {
	d.crews.mu.Lock()
	defer d.crews.mu.Unlock()
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.members) == 0 && d.crews.of[key] == w {
		delete(d.crews.of, key)
	}
}

func (w *crew) add(c *copier) *member {
	now := c.standing()
	w.mu.Lock()
	defer w.mu.Unlock()
	w.linger.Stop()
	m := &member{c: c, share: -1, files: now.files, bytes: now.bytes}
	w.members = append(w.members, m)
	if w.stop == nil {
		w.since = time.Now()
		over := make(chan struct{})
		w.stop = sync.OnceFunc(func() { close(over) })
		go w.watch(over)
	}
	w.share("", false)
	return m
}

// remove ends a membership. It returns what the crew knows by now, if that is
// worth being kept.
func (w *crew) remove(m *member, grain transfer.Grain) (transfer.Known, bool) {
	now := m.c.standing()
	w.mu.Lock()
	defer w.mu.Unlock()
	w.files += now.files - m.files
	w.bytes += now.bytes - m.bytes
	w.members = slices.DeleteFunc(w.members, func(o *member) bool { return o == m })
	spent := w.busy + time.Since(w.since)
	if len(w.members) == 0 {
		w.stop()
		w.stop, w.busy = nil, spent
		w.linger.Reset(crewLinger)
	} else {
		w.share("", false)
	}
	n, rate := w.gov.Best()
	if rate <= 0 || spent < measuredFor {
		return transfer.Known{}, false
	}
	return transfer.Known{
		Grain: grain, Concurrency: n, Measured: time.Now().UTC(),
		Rate: float64(w.bytes) / spent.Seconds(), Files: float64(w.files) / spent.Seconds(),
	}, w.files > 0
}

// watch tells the governor how things go, until over is closed.
func (w *crew) watch(over <-chan struct{}) {
	tick := time.NewTicker(crewTick)
	defer tick.Stop()
	for {
		select {
		case <-over:
			return
		case <-tick.C:
			w.look()
		}
	}
}

func (w *crew) look() {
	w.mu.Lock()
	defer w.mu.Unlock()
	files, bytes, working := w.files, w.bytes, 0
	for _, m := range w.members {
		s := m.c.standing()
		files += s.files - m.files
		bytes += s.bytes - m.bytes
		working += s.working
	}
	a, ok := w.gov.Observe(transfer.Sample{At: time.Since(w.began), Work: transfer.Work(files, bytes), Streams: working})
	switch {
	case ok:
		w.share(a.Reason, true)
	case time.Since(w.reshared) > time.Second:
		w.share("", true)
	}
}

// share gives each member its part of the sessions. why is the governor's
// reason, if it was his decision; tell is false where sessions only change
// hands because a chunk begins or ends. The caller holds mu.
func (w *crew) share(why string, tell bool) {
	w.reshared = time.Now()
	loads := make([]transfer.Load, len(w.members))
	now := make([]int, len(w.members))
	for i, m := range w.members {
		s := m.c.standing()
		loads[i] = transfer.Load{Left: s.left, Max: s.room}
		now[i] = max(0, m.share)
	}
	total := w.gov.Streams()
	next := transfer.Reshare(now, total, loads)
	// Fewer first: nowhere are there more than the governor wants for long.
	for _, fewer := range []bool{true, false} {
		for i, m := range w.members {
			if next[i] == m.share || fewer != (next[i] < m.share || m.share < 0) {
				continue
			}
			reason := ""
			if tell {
				reason = w.reason(why, next[i], m.share, total)
			}
			m.c.want(next[i], reason)
			m.share = next[i]
		}
	}
}

// reason says why a chunk's sessions change; empty where nobody needs to know.
func (w *crew) reason(why string, to, from, total int) string {
	switch {
	case why != "" && len(w.members) > 1:
		return fmt.Sprintf("%s (%d of the %d sessions of the task)", why, to, total)
	case why != "":
		return why
	case from <= 0 || to == 0 || len(w.members) == 1:
		return "" // it has waited, or has nothing left for them to do
	}
	return fmt.Sprintf("%d of the %d sessions of the task, so that its chunks end together", to, total)
}
