package endpoints

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Limits bound what all workers together do at an endpoint. Zero is no limit.
type Limits struct {
	Sessions int       `json:"sessions,omitempty" yaml:"sessions"` // open at once, at all its servers
	Tasks    int       `json:"tasks,omitempty" yaml:"tasks"`       // that copy at once
	Logins   LoginRate `json:"logins,omitzero" yaml:"logins"`      // "30/min"
	Rate     ByteRate  `json:"rate,omitempty" yaml:"rate"`         // "100MB/s": of copied bytes, in and out taken together
	Windows  []Window  `json:"windows,omitempty" yaml:"windows"`   // when another Rate holds
}

// LimitError is in the chain of Busy errors that come of such limits: nothing is
// wrong with the servers, and others are at it.
type LimitError struct{ Text string }

func (e *LimitError) Error() string { return e.Text }

// A Window is a time of the week with a rate of its own.
type Window struct {
	Days  Days     `json:"days,omitempty" yaml:"days"`  // "mon-fri", "sat,sun"; empty is all
	Hours Hours    `json:"hours,omitzero" yaml:"hours"` // "08:00-18:00"; "22:00-06:00" ends on the day after; empty is the whole day
	Zone  string   `json:"zone,omitempty" yaml:"zone"`  // of days and hours, as "Europe/Berlin"; empty is UTC
	Rate  ByteRate `json:"rate" yaml:"rate"`            // "20MB/s", or "unlimited"
}

// RateAt returns the bytes per second that are allowed at a time: those of the
// first window that holds, else the general ones. 0 is no limit.
func (l Limits) RateAt(t time.Time) int64 {
	rate := l.Rate
	if i := slices.IndexFunc(l.Windows, func(w Window) bool { return w.Holds(t) }); i >= 0 {
		rate = l.Windows[i].Rate
	}
	return max(0, int64(rate))
}

// Limited says whether there is ever a limit on bytes.
func (l Limits) Limited() bool {
	return l.Rate > 0 || slices.ContainsFunc(l.Windows, func(w Window) bool { return w.Rate > 0 })
}

// leastRate is the slowest rate that a limit may have, in bytes per second:
// what waits for its turn for minutes looks like a server that hangs.
const leastRate = 100_000

// Check says what is wrong with rates and windows.
func (l Limits) Check() error {
	if l.Rate > 0 && l.Rate < leastRate {
		return fmt.Errorf("a rate is at least %d B/s", leastRate)
	}
	for i, w := range l.Windows {
		if err := w.check(); err != nil {
			return fmt.Errorf("window %d: %w", i+1, err)
		}
	}
	return nil
}

func (w Window) check() error {
	switch _, err := time.LoadLocation(w.Zone); {
	case err != nil || w.Zone == "Local":
		return fmt.Errorf("%q is no time zone that is known here: write UTC, or one as Europe/Berlin", w.Zone)
	case w.Rate == 0:
		return errors.New(`it does not say its rate: write "20MB/s", or "unlimited"`)
	case 0 < w.Rate && w.Rate < leastRate:
		return fmt.Errorf("a rate is at least %d B/s", leastRate)
	}
	return nil
}

// Holds says whether t is in the window, by the clocks of its zone: where they
// are set forward or back within it, it is an hour shorter or longer.
func (w Window) Holds(t time.Time) bool {
	zone, err := time.LoadLocation(w.Zone)
	if err != nil {
		return false // Check has refused it
	}
	t = t.In(zone)
	today, minute := t.Weekday(), t.Hour()*60+t.Minute()
	switch from, to := w.Hours.From, w.Hours.To; {
	case from == to: // the whole day
		return w.Days.has(today)
	case from < to:
		return w.Days.has(today) && from <= minute && minute < to
	default: // the days are those on which it begins
		return w.Days.has(today) && minute >= from || w.Days.has((today+6)%7) && minute < to
	}
}

// Days are days of the week, a bit for each from Sunday on. None is all.
type Days uint8

func (d Days) has(day time.Weekday) bool { return d == 0 || d&(1<<day) != 0 }

func dayNames() []string { return []string{"sun", "mon", "tue", "wed", "thu", "fri", "sat"} }

// UnmarshalText takes "mon-fri", "sat,sun", and what is made of both.
func (d *Days) UnmarshalText(text []byte) error {
	*d = 0
	if len(text) == 0 {
		return nil
	}
	for _, part := range strings.Split(strings.ToLower(string(text)), ",") {
		first, last, ranged := strings.Cut(strings.TrimSpace(part), "-")
		from := slices.Index(dayNames(), first)
		to := from
		if ranged {
			to = slices.Index(dayNames(), last)
		}
		if from < 0 || to < 0 {
			return fmt.Errorf(`%q is no days: write "mon-fri", or "sat,sun"`, part)
		}
		for day := from; ; day = (day + 1) % 7 {
			*d |= 1 << day
			if day == to {
				break
			}
		}
	}
	return nil
}

// MarshalText implements encoding.TextMarshaler.
func (d Days) MarshalText() ([]byte, error) {
	var names []string
	for i, name := range dayNames() {
		if d&(1<<i) != 0 {
			names = append(names, name)
		}
	}
	return []byte(strings.Join(names, ",")), nil
}

// Hours are a time of the day in minutes from midnight; From == To is all of it.
type Hours struct{ From, To int }

// UnmarshalText takes "08:00-18:00".
func (h *Hours) UnmarshalText(text []byte) error {
	*h = Hours{}
	if len(text) == 0 {
		return nil
	}
	from, to, ok := strings.Cut(string(text), "-")
	var errs [2]error
	h.From, errs[0] = minuteOf(strings.TrimSpace(from))
	h.To, errs[1] = minuteOf(strings.TrimSpace(to))
	if !ok || errors.Join(errs[:]...) != nil || h.From == 24*60 {
		return fmt.Errorf(`%q is no hours: write "08:00-18:00"`, text)
	}
	h.To %= 24 * 60
	return nil
}

// minuteOf reads "HH:MM", up to 24:00.
func minuteOf(s string) (int, error) {
	if s == "24:00" {
		return 24 * 60, nil
	}
	t, err := time.Parse("15:04", s)
	return t.Hour()*60 + t.Minute(), err
}

// MarshalText implements encoding.TextMarshaler.
func (h Hours) MarshalText() ([]byte, error) {
	return fmt.Appendf(nil, "%02d:%02d-%02d:%02d", h.From/60, h.From%60, h.To/60, h.To%60), nil
}

// ByteRate is bytes per second: 0 is not said, and negative is unlimited.
type ByteRate int64

// Unlimited lifts in a window the limit that holds otherwise.
const Unlimited ByteRate = -1

// rateUnits are in bytes per second; decimal as rates are, binary where that
// is written.
func rateUnits() map[string]float64 {
	return map[string]float64{
		"B/s": 1, "kB/s": 1e3, "MB/s": 1e6, "GB/s": 1e9, "KiB/s": 1 << 10, "MiB/s": 1 << 20, "GiB/s": 1 << 30,
		"kbit/s": 1e3 / 8, "Mbit/s": 1e6 / 8, "Gbit/s": 1e9 / 8,
	}
}

// UnmarshalText takes "100MB/s", "1.5 GiB/s", "800Mbit/s" or "unlimited".
func (r *ByteRate) UnmarshalText(text []byte) error {
	s := strings.TrimSpace(string(text))
	if s == "unlimited" {
		*r = Unlimited
		return nil
	}
	digits := len(s) - len(strings.TrimLeft(s, "0123456789."))
	n, err := strconv.ParseFloat(s[:digits], 64)
	unit, ok := rateUnits()[strings.TrimSpace(s[digits:])]
	if err != nil || !ok || n*unit < 1 || n*unit > math.MaxInt64/2 {
		return fmt.Errorf(`%q is no rate: write "100MB/s", "50MiB/s", "1Gbit/s" or "unlimited"`, text)
	}
	*r = ByteRate(n * unit)
	return nil
}

// MarshalText implements encoding.TextMarshaler.
func (r ByteRate) MarshalText() ([]byte, error) {
	if r < 0 {
		return []byte("unlimited"), nil
	}
	return fmt.Appendf(nil, "%dB/s", int64(r)), nil
}

// LoginRate is how many logins there may be in any time that is Per long.
type LoginRate struct {
	N   int
	Per time.Duration
}

// UnmarshalText takes "30/min", "5/s" or "1000/h".
func (l *LoginRate) UnmarshalText(text []byte) error {
	count, unit, _ := strings.Cut(string(text), "/")
	n, err := strconv.Atoi(strings.TrimSpace(count))
	per, ok := map[string]time.Duration{"s": time.Second, "min": time.Minute, "h": time.Hour}[strings.TrimSpace(unit)]
	if err != nil || !ok || n <= 0 {
		return fmt.Errorf(`%q is no rate of logins: write "5/s", "30/min" or "1000/h"`, text)
	}
	*l = LoginRate{n, per}
	return nil
}

// MarshalText implements encoding.TextMarshaler.
func (l LoginRate) MarshalText() ([]byte, error) {
	unit := map[time.Duration]string{time.Second: "s", time.Minute: "min", time.Hour: "h"}[l.Per]
	return fmt.Appendf(nil, "%d/%s", l.N, unit), nil
}

// burst is how many logins may come at once, where there are that many; the
// others are spread evenly, so that no stretch of Per ever has more than N.
func (l LoginRate) burst() int { return l.N / 4 }
