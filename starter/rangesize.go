package starter

import (
	"math"
	"strconv"
	"strings"
)

// parseRangeSize takes "none", or a size in bytes with or without a unit:
// "1073741824", "1GiB", "256MB".
func parseRangeSize(text string) (int64, error) {
	const right = "write a size such as 1GiB, or none"
	if text == "none" {
		return -1, nil
	}
	digits := strings.TrimRight(text, "BKMGTPkib")
	unit := map[string]int64{
		"": 1, "B": 1, "kB": 1e3, "MB": 1e6, "GB": 1e9, "TB": 1e12, "KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30, "TiB": 1 << 40,
	}[text[len(digits):]]
	n, err := strconv.ParseInt(digits, 10, 64)
	if err != nil || unit == 0 || n < 1 || n > math.MaxInt64/unit {
		return 0, invalid("tuning.range", strconv.Quote(text)+" is not a size", right)
	}
	return n * unit, nil
}
