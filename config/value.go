package config

import (
	"strconv"
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
// "20 GiB".
type Size int64

// UnmarshalText implements encoding.TextUnmarshaler.
func (s *Size) UnmarshalText(text []byte) error {
	n, err := transfer.ParseSize(string(text))
	*s = Size(n)
	return err
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
