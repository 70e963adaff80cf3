package transfer

import (
	"fmt"
	"math"
	"time"
)

// Add returns the sum of two progresses. What is not a count is p's.
func (p Progress) Add(q Progress) Progress {
	p.Files += q.Files
	p.Bytes += q.Bytes
	p.Directories += q.Directories
	p.Links += q.Links
	p.FilesDone += q.FilesDone
	p.BytesDone += q.BytesDone
	p.FilesUnverified += q.FilesUnverified
	p.FilesSkipped += q.FilesSkipped
	p.FilesFailed += q.FilesFailed
	p.FilesOffline += q.FilesOffline
	p.EntriesIgnored += q.EntriesIgnored
	p.Deleted += q.Deleted
	p.BytesChecksummed += q.BytesChecksummed
	p.Faults += q.Faults
	p.FilesInFlight += q.FilesInFlight
	p.BytesInFlight += q.BytesInFlight
	return p
}

// WithRate returns the progress with its rate since start and what that makes
// of the rest. The ETA stays unknown while the walk goes on.
func (p Progress) WithRate(start, now time.Time) Progress {
	moved := p.BytesDone + p.BytesInFlight
	p.Rate, p.ETA = Rate(moved, now.Sub(start)), 0
	if !p.Walking && p.Rate > 0 {
		p.ETA = Duration(ETA(p.Bytes-moved, p.Rate))
	}
	return p
}

// Outlasts says whether what is left takes longer than until end, at the rate
// since start. The first percent and the first minute are too little to tell
// from; a zero end never comes.
func (p Progress) Outlasts(start, now, end time.Time) bool {
	moved := p.BytesDone + p.BytesInFlight
	if end.IsZero() || moved <= 0 || moved < p.Bytes/100 && now.Sub(start) < time.Minute {
		return false
	}
	return now.Add(ETA(p.Bytes-moved, Rate(moved, now.Sub(start)))).After(end)
}

// Percent is how much is done, 0 to 100, in bytes or, where there are none, in
// files. It reaches 100 only when every file is done.
func (p Progress) Percent() int {
	done, total := p.BytesDone+p.BytesInFlight, p.Bytes
	if total == 0 {
		done, total = p.FilesDone, p.Files
	}
	switch {
	case total == 0:
		return 0
	case p.FilesDone < p.Files:
		return int(min(99, 100*float64(done)/float64(total)))
	}
	return int(min(100, 100*float64(done)/float64(total)))
}

// Rate is bytes a second; 0 when no time has passed.
func Rate(bytes int64, elapsed time.Duration) float64 {
	if elapsed <= 0 {
		return 0
	}
	return float64(bytes) / elapsed.Seconds()
}

// ETA is how long the rest, in bytes, takes at a rate in bytes a second; 0
// when that is unknown or nothing is left. It is rounded to seconds, up.
func ETA(rest int64, rate float64) time.Duration {
	if rest <= 0 || rate <= 0 {
		return 0
	}
	seconds := float64(rest) / rate
	const year = 365 * 24 * 3600
	if seconds > 100*year {
		return 0
	}
	return time.Duration(math.Ceil(seconds)) * time.Second
}

// FormatBytes renders a size for people, in decimal units: "0 B", "999 B",
// "1.0 kB", "256.0 MB".
func FormatBytes(n int64) string {
	if n > -1000 && n < 1000 {
		return fmt.Sprintf("%d B", n)
	}
	f, unit := float64(n), 0
	const units = "kMGTPE"
	for f /= 1000; (f >= 999.95 || f <= -999.95) && unit < len(units)-1; unit++ {
		f /= 1000
	}
	return fmt.Sprintf("%.1f %cB", f, units[unit])
}

// FormatRate renders bytes a second for people: "117.3 MB/s".
func FormatRate(rate float64) string { return FormatBytes(int64(rate)) + "/s" }

// FormatDuration renders a time span for people, to the second, with days:
// "45s", "3m05s", "2h07m", "3d04h".
func FormatDuration(d time.Duration) string {
	s := int64(d.Round(time.Second) / time.Second)
	switch {
	case s < 60:
		return fmt.Sprintf("%ds", s)
	case s < 3600:
		return fmt.Sprintf("%dm%02ds", s/60, s%60)
	case s < 24*3600:
		return fmt.Sprintf("%dh%02dm", s/3600, s/60%60)
	}
	return fmt.Sprintf("%dd%02dh", s/(24*3600), s/3600%24)
}
