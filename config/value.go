package config

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/gridferry/gridferry/transfer"
)

// Duration is a time.Duration that is written with its units: "90s", "36h",
// "7d".
type Duration time.Duration

// UnmarshalText implements encoding.TextUnmarshaler.
func (d *Duration) UnmarshalText(text []byte) error {
	v, err := transfer.ParseDuration(string(text))
	*d = Duration(v)
	return err
}

// String renders d as time.Duration does.
func (d Duration) String() string { return time.Duration(d).String() }

// Size is a number of bytes, which may be written with a unit: "500MB",
// "20 GiB". Units of two letters are decimal, those with an i binary.
type Size int64

// UnmarshalText implements encoding.TextUnmarshaler.
func (s *Size) UnmarshalText(text []byte) error {
	number, unit := string(text), int64(1)
	for i, letter := range "KMGTP" {
		for suffix, base := range map[string]float64{"iB": 1024, "B": 1000} {
			if rest, ok := strings.CutSuffix(number, string(letter)+suffix); ok {
				number, unit = rest, int64(math.Pow(base, float64(i+1)))
			}
		}
	}
	n, err := strconv.ParseFloat(strings.TrimSpace(number), 64)
	if err != nil || !(n >= 0) || n*float64(unit) >= math.MaxInt64 {
		return fmt.Errorf("%q is not a size; write bytes, or a number with a unit like 500MB or 20GiB", text)
	}
	*s = Size(n * float64(unit))
	return nil
}

// String renders s in the largest binary unit that it is a whole number of.
func (s Size) String() string {
	n, unit := int64(s), "B"
	for _, next := range []string{"KiB", "MiB", "GiB", "TiB", "PiB"} {
		if n == 0 || n%1024 != 0 {
			break
		}
		n, unit = n/1024, next
	}
	if unit == "B" {
		return strconv.FormatInt(n, 10)
	}
	return strconv.FormatInt(n, 10) + unit
}
