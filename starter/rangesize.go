package starter

import (
	"strconv"

	"github.com/gridferry/gridferry/transfer"
)

// rangeSize takes "none", or the size of ranges as transfer.ParseSize does.
func rangeSize(text string) (int64, error) {
	if text == "none" {
		return -1, nil
	}
	n, err := transfer.ParseSize(text)
	if err != nil || n < 1 {
		return 0, invalid("tuning.range", strconv.Quote(text)+" is not a size", "write a size such as 1GiB, or none")
	}
	return n, nil
}
