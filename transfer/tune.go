package transfer

import (
	"fmt"
	"strings"
)

// The thresholds of the published heuristics: B. Allen et al., "Software as a
// Service for Data Scientists", CACM 55(2), 2012. Megabytes are decimal.
const (
	ManyFiles = 100         // more than this many ...
	SmallMean = 50_000_000  // ... with a mean under this are small, in bytes
	LargeMin  = 250_000_000 // all over this are large, in bytes
)

// Stats sums up a set of files. Sizes are in bytes.
type Stats struct {
	Files    int64
	Bytes    int64
	Min, Max int64
}

// StatsOf sums up files.
func StatsOf(files []File) Stats {
	var s Stats
	for _, f := range files {
		s = s.Add(f.Size)
	}
	return s
}

// Add returns the statistics with one more file of that size.
func (s Stats) Add(size int64) Stats {
	if s.Files == 0 {
		return Stats{Files: 1, Bytes: size, Min: size, Max: size}
	}
	return Stats{Files: s.Files + 1, Bytes: s.Bytes + size, Min: min(s.Min, size), Max: max(s.Max, size)}
}

// Mean is the mean size, rounded down; 0 without files.
func (s Stats) Mean() int64 {
	if s.Files == 0 {
		return 0
	}
	return s.Bytes / s.Files
}

// smallMean compares exactly where Mean would round.
func (s Stats) smallMean() bool { return s.Bytes < SmallMean*s.Files }

// Class is how the published heuristics see the files.
func (s Stats) Class() Class {
	switch {
	case s.Files > ManyFiles && s.smallMean():
		return Small
	case s.Files > 0 && s.Min > LargeMin:
		return Large
	}
	return Medium
}

// Tune chooses how a chunk of files is moved, and says why. "classic" is the
// published numbers and nothing else; "auto" is a start, from which a Governor
// goes on. Values that the policy fixes replace either's, and are not adapted.
func Tune(p Policy, s Stats, at Setting) Tuning {
	var t Tuning
	if canonical(p.Name, policyNames) == PolicyClassic {
		t = tuneClassic(s, at)
	} else {
		t = tuneAuto(s, at)
	}
	if p.Concurrency > 0 {
		t.MaxConcurrency = 0
	}
	var fixed []string
	for _, v := range []struct {
		name string
		want int
		set  *int
	}{{"cc", p.Concurrency, &t.Concurrency}, {"p", p.Parallelism, &t.Parallelism}, {"pp", p.Pipelining, &t.Pipelining}} {
		if v.want > 0 {
			*v.set = v.want
			fixed = append(fixed, fmt.Sprintf("%s=%d", v.name, v.want))
		}
	}
	switch len(fixed) {
	case 0:
	case 3:
		t.Reason = strings.Join(fixed, ", ") + " as asked"
	default:
		t.Reason += "; " + strings.Join(fixed, ", ") + " as asked"
	}
	return t
}

func tuneClassic(s Stats, at Setting) Tuning {
	class := s.Class()
	if at.StreamDest {
		if class == Small {
			return Tuning{Concurrency: 8, Parallelism: 1, Pipelining: 1, Reason: "classic: " + describe(s) + "; the destination is stream mode, so only concurrency helps"}
		}
		return Tuning{Concurrency: 2, Parallelism: 1, Pipelining: 1, Reason: "classic: " + describe(s) + "; the destination is stream mode"}
	}
	switch class {
	case Small:
		return Tuning{Concurrency: 2, Parallelism: 2, Pipelining: 20, Reason: "classic: " + describe(s)}
	case Large:
		return Tuning{Concurrency: 2, Parallelism: 8, Pipelining: 5, Reason: "classic: " + describe(s)}
	}
	return Tuning{Concurrency: 2, Parallelism: 4, Pipelining: 10, Reason: "classic: " + describe(s)}
}

// describe says which of the published rules holds, with its numbers.
func describe(s Stats) string {
	switch s.Class() {
	case Small:
		return fmt.Sprintf("%d files, more than %d, with a mean of %s, under 50 MB", s.Files, ManyFiles, FormatBytes(s.Mean()))
	case Large:
		return fmt.Sprintf("all files over 250 MB, the smallest %s", FormatBytes(s.Min))
	}
	if s.smallMean() {
		return fmt.Sprintf("%s with a mean of %s, not more than %d", FormatFiles(s.Files), FormatBytes(s.Mean()), ManyFiles)
	}
	return fmt.Sprintf("%s, neither small on average nor all over 250 MB (mean %s, smallest %s)", FormatFiles(s.Files), FormatBytes(s.Mean()), FormatBytes(s.Min))
}

// FormatFiles counts files in words: "1 file", "304 files".
func FormatFiles(n int64) string {
	if n == 1 {
		return "1 file"
	}
	return fmt.Sprintf("%d files", n)
}
