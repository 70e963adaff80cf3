package server

import (
	"sync"
	"time"

	"github.com/gridferry/gridferry/wire/gridftp"
	"github.com/gridferry/gridferry/wire/gridftp/data"
)

// A progress counts what a transfer stores and sends markers of it. It exists
// in extended block mode only, and not for the side that sends: there the
// Globus server has no markers either, and plain FTP clients would not know
// what to make of them.
type progress struct {
	session *session
	started time.Time
	perf    time.Duration // between performance markers; 0 is none

	mu     sync.Mutex
	bytes  int64
	fresh  gridftp.RangeSet // stored since the last restart marker
	timers []*time.Timer
	ended  bool
}

func (s *session) newProgress() *progress {
	p := &progress{session: s, started: time.Now(), perf: s.data.perf}
	p.every(p.perf, p.sendPerf)
	p.every(s.data.restart, p.sendRanges)
	return p
}

// every sends a marker at intervals until the end.
func (p *progress) every(interval time.Duration, send func()) {
	if interval <= 0 {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	var timer *time.Timer
	timer = time.AfterFunc(interval, func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		if !p.ended {
			send()
			timer.Reset(interval)
		}
	})
	p.timers = append(p.timers, timer)
}

// moved is told of every block, from several goroutines.
func (p *progress) moved(r data.Range) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.bytes += r.End - r.Off
	// Blocks mostly continue the one before: that needs no new set.
	if n := len(p.fresh); n > 0 && p.fresh[n-1].End == r.Off {
		p.fresh[n-1].End = r.End
		return
	}
	p.fresh = p.fresh.Add(gridftp.Range(r))
}

func (p *progress) sendPerf() {
	marker := gridftp.PerfMarker{Time: time.Now(), Bytes: p.bytes, Stripes: 1}
	p.session.control.replySoon(marker.Reply())
}

// sendRanges tells what was stored since the last time. A file without bytes
// has no marker.
func (p *progress) sendRanges() {
	if len(p.fresh) > 0 {
		p.session.control.replySoon(gridftp.RangeMarker(p.fresh))
		p.fresh = nil
	}
}

// end sends the last markers, after which the reply may follow. A transfer
// shorter than the interval has no performance worth a marker: thousands of
// small files would be slower by theirs.
func (p *progress) end() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.ended = true
	for _, t := range p.timers {
		t.Stop()
	}
	if p.perf > 0 && time.Since(p.started) >= p.perf {
		p.sendPerf()
	}
	p.sendRanges()
}
