package gridftp

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// Codes of the markers a server sends during a transfer (GFD.20, 5).
const (
	CodeRangeMarker = 111
	CodePerfMarker  = 112
	// CodeStatusMarker is of a server that computes a checksum.
	CodeStatusMarker = 113
)

// A PerfMarker reports how much one stripe of a transfer has moved so far.
type PerfMarker struct {
	Time    time.Time // by the server's clock, to a tenth of a second; zero when not given
	Stripe  int       // from 0
	Bytes   int64     // since the transfer began
	Stripes int       // how many there are, at least 1
}

// maxStripes bounds what a marker may claim.
const maxStripes = 10_000

// Reply returns the marker as a 112 reply, without a timestamp when Time is
// zero.
func (m PerfMarker) Reply() Reply {
	lines := []string{"Perf Marker"}
	if !m.Time.IsZero() {
		lines = append(lines, fmt.Sprintf(" Timestamp: %d.%d", m.Time.Unix(), m.Time.Nanosecond()/1e8))
	}
	return Reply{Code: CodePerfMarker, Lines: append(lines,
		fmt.Sprintf(" Stripe Index: %d", m.Stripe),
		fmt.Sprintf(" Stripe Bytes Transferred: %d", m.Bytes),
		fmt.Sprintf(" Total Stripe Count: %d", m.Stripes),
		"End.",
	)}
}

// ParsePerfMarker reads a 112 reply. Only the byte count is indispensable.
func ParsePerfMarker(r Reply) (PerfMarker, error) {
	m := PerfMarker{Stripes: 1}
	counted := false
	for _, line := range r.Middle() {
		name, value, _ := strings.Cut(strings.TrimSpace(line), ":")
		value = strings.TrimSpace(value)
		var err error
		switch strings.ToLower(name) {
		case "timestamp":
			m.Time, err = parseTimestamp(value)
		case "stripe index":
			m.Stripe, err = strconv.Atoi(value)
		case "stripe bytes transferred":
			counted = true
			m.Bytes, err = parseCount(value)
		case "total stripe count":
			m.Stripes, err = strconv.Atoi(value)
		}
		if err != nil {
			return PerfMarker{}, syntaxError("performance marker", line)
		}
	}
	if r.Code != CodePerfMarker || !counted || m.Stripe < 0 || m.Stripes < 1 || m.Stripes > maxStripes || m.Stripe >= maxStripes {
		return PerfMarker{}, syntaxError("performance marker", r.String())
	}
	return m, nil
}

// parseTimestamp reads seconds since 1970 with an optional fraction.
func parseTimestamp(s string) (time.Time, error) {
	whole, fraction, _ := strings.Cut(s, ".")
	seconds, err := parseCount(whole)
	if err != nil || seconds > 1<<40 {
		return time.Time{}, syntaxError("timestamp", s)
	}
	var nanos int64
	if fraction != "" {
		if nanos, err = parseFraction(fraction); err != nil {
			return time.Time{}, syntaxError("timestamp", s)
		}
	}
	return time.Unix(seconds, nanos), nil
}

// RangeMarker returns the 111 reply that reports ranges as stored.
func RangeMarker(ranges RangeSet) Reply {
	return Reply{Code: CodeRangeMarker, Lines: []string{"Range Marker " + ranges.String()}}
}

// ParseRangeMarker reads a 111 reply: what was stored since the last one, so
// that the markers of a transfer have to be united.
func ParseRangeMarker(r Reply) (RangeSet, error) {
	if r.Code != CodeRangeMarker || len(r.Lines) != 1 {
		return nil, syntaxError("range marker", r.String())
	}
	rest, ok := cutPrefixFold(strings.TrimSpace(r.Lines[0]), "Range Marker")
	if !ok {
		return nil, syntaxError("range marker", r.String())
	}
	return ParseRangeSet(rest)
}

func cutPrefixFold(s, prefix string) (rest string, ok bool) {
	if len(s) < len(prefix) || !strings.EqualFold(s[:len(prefix)], prefix) {
		return s, false
	}
	return s[len(prefix):], true
}
