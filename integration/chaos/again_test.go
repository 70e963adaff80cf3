package chaos

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sort"
	"strings"
	"time"

	"github.com/gridferry/gridferry/transfer"
)

// again is what was sent more than once, in bytes, by the account of whichever
// server has more: one that was killed has not told of what it was at.
type again struct {
	bytes  int64 // but for the two below
	stream int64 // of files that went in stream mode, which cannot be resumed
	fresh  int64 // of files that were changed on the way, once the size of each
	modeS  int   // files that went in stream mode
}

// leaseLimit is how long a worker may stand still and keep what it is at: half
// of the heartbeat's timeout, as in activities.
const leaseLimit = 10 * time.Second

// interrupts says that an event ends work that was under way, so that it may
// have to be done again.
func (s strike) interrupts() bool {
	switch s.kind {
	case killWorker, killServer, killTemporal, cut, blackHole:
		return true
	case stopWorker:
		return s.lasts > leaseLimit
	}
	return false
}

// kills counts the events that interrupted work.
func (r *row) kills() (n int) {
	for _, s := range r.struck {
		if s.interrupts() {
			n++
		}
	}
	return n
}

// work is how many seconds of the line's time some bytes are.
func (p plan) work(bytes int64) float64 { return float64(bytes) / float64(p.rate) }

// budget lets each kill cost two seconds of work.
func (d *drive) budget(r *row) {
	if limit := int64(r.kills()) * 2 * d.plan.rate; r.again.bytes > limit {
		d.t.Errorf("%.1f MiB were sent again, %.1f s of work; for %d kills the limit is %.1f MiB", float64(r.again.bytes)/mib, d.plan.work(r.again.bytes),
			r.kills(), float64(limit)/mib)
	}
}

// sentTwice reads the servers' logs.
func (d *drive) sentTwice() (most again) {
	d.t.Helper()
	sizes := d.sizes()
	for i, e := range d.ends {
		if e.globus == nil {
			continue
		}
		moved := make(map[string]int64)
		for _, tr := range e.globus.Transfers() {
			switch tr.Type {
			case "RETR", "ERET", "STOR", "ESTO":
				moved[e.file(tr.File)] += tr.Bytes
			}
		}
		modeS := make(map[string]bool)
		for path := range e.log.sent {
			modeS[e.file(path)] = true
		}
		a := again{modeS: len(modeS)}
		for name, n := range moved {
			extra := max(0, n-sizes[name])
			if d.changed(name) {
				once := min(extra, sizes[name])
				a.fresh += once
				extra -= once
			}
			if modeS[name] {
				a.stream += extra
			} else {
				a.bytes += extra
			}
		}
		d.most(i, moved, sizes, modeS)
		if a.bytes >= most.bytes {
			most = a
		}
	}
	return most
}

// file is what a path at an end is in its tree, under whichever name it went.
func (e *end) file(path string) string {
	name := strings.TrimPrefix(path, e.root)
	if t, ok := transfer.ParseTempName(filepath.Base(name)); ok {
		name = filepath.Join(filepath.Dir(name), t.Name)
	}
	return name
}

// sizes are those of the source's files.
func (d *drive) sizes() map[string]int64 {
	sizes := make(map[string]int64)
	_ = filepath.WalkDir(d.ends[0].root, func(path string, entry fs.DirEntry, err error) error {
		if err == nil && entry.Type().IsRegular() {
			if info, err := entry.Info(); err == nil {
				sizes[d.ends[0].file(path)] = info.Size()
			}
		}
		return nil
	})
	return sizes
}

// changed says that an event gave a file of the source another content.
func (d *drive) changed(name string) bool {
	if d.old == "" {
		return false
	}
	_, err := os.Stat(filepath.Join(d.old, name))
	return err == nil
}

// most notes which files an end has moved again most.
func (d *drive) most(end int, moved, sizes map[string]int64, modeS map[string]bool) {
	var files []string
	var sum int64
	for name, n := range moved {
		if n > sizes[name] {
			files = append(files, name)
			sum += n - sizes[name]
		}
	}
	extra := func(name string) int64 { return moved[name] - sizes[name] }
	sort.Slice(files, func(i, j int) bool { return extra(files[i]) > extra(files[j]) })
	d.note("the %s moved %.1f MiB of %d files again", endName(end), float64(sum)/mib, len(files))
	for _, name := range files[:min(len(files), 8)] {
		how := ""
		if modeS[name] {
			how += ", in stream mode"
		}
		if d.changed(name) {
			how += ", which was changed"
		}
		d.note("  %.2f MiB of %q (%.2f MiB%s)", float64(extra(name))/mib, name, float64(sizes[name])/mib, how)
	}
}

func (a again) String() string {
	s := fmt.Sprintf("%.1f MiB", float64(a.bytes)/mib)
	if a.fresh > 0 {
		s += fmt.Sprintf(", and %.1f MiB of files that were changed", float64(a.fresh)/mib)
	}
	if a.modeS > 0 {
		s += fmt.Sprintf(", and %.1f MiB of %d files in stream mode", float64(a.stream)/mib, a.modeS)
	}
	return s
}
