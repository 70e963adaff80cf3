package config

import (
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
