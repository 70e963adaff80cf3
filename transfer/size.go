package transfer

import (
	"fmt"
	"math"
	"strconv"
	"strings"
)

// ParseSize reads a number of bytes: "1073741824", "1GiB", "1.5 TB", "0".
// Units with an i are binary, the others decimal. The size is never negative.
func ParseSize(s string) (int64, error) {
	digits := len(s) - len(strings.TrimLeft(s, "0123456789."))
	unit := sizeUnit(strings.TrimPrefix(s[digits:], " "))
	if unit > 0 {
		if n, err := strconv.ParseInt(s[:digits], 10, 64); err == nil && n <= math.MaxInt64/unit {
			return n * unit, nil // exact, also where a float is not
		}
		if n, err := strconv.ParseFloat(s[:digits], 64); err == nil && n*float64(unit) < math.MaxInt64 {
			return int64(n * float64(unit)), nil
		}
	}
	return 0, fmt.Errorf("%s is not a size (write bytes, or a number with a unit: \"500MB\", \"20GiB\")", quoteShort(s))
}

// sizeUnit is in bytes; 0 is none that we know.
func sizeUnit(name string) int64 {
	switch name {
	case "", "B":
		return 1
	case "kB", "KB":
		return 1e3
	case "MB":
		return 1e6
	case "GB":
		return 1e9
	case "TB":
		return 1e12
	case "PB":
		return 1e15
	case "KiB":
		return 1 << 10
	case "MiB":
		return 1 << 20
	case "GiB":
		return 1 << 30
	case "TiB":
		return 1 << 40
	case "PiB":
		return 1 << 50
	}
	return 0
}
