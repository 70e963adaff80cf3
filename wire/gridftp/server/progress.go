package server

import (
	"sync"
	"time"

	"github.com/gridferry/gridferry/wire/gridftp"
	"github.com/gridferry/gridferry/wire/gridftp/data"
)

// A progress counts what a transfer moves and sends markers of it. For what is
// stored it exists in extended block mode only, and for what is sent the markers
// are those that OPTS RETR has asked for: plain FTP clients would not know what
// to make of them. So it is at the Globus server.
type progress struct {
	session *session
	started time.Time
	perf    time.Duration // between performance markers; 0 is none
	sends   bool

	mu     sync.Mutex
	bytes  int64
	fresh  gridftp.RangeSet // stored since the last restart marker
	timers []*time.Timer
	ended  bool
}

// newSentProgress is for what is sent.
func (s *session) newSentProgress() *progress {
	p := &progress{session: s, started: time.Now(), perf: s.data.sent, sends: true}
	p.every(p.perf, p.sendPerf)
	return p
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
	if p.sends {
		return
	}
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
