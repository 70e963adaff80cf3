package blob

import (
	"errors"
	"strings"

	"github.com/gridferry/gridferry/fault"
)

// MaxKey is the longest key, and MaxElement the longest part of one between
// slashes, in bytes.
const (
	MaxKey     = 1024
	MaxElement = 240
)

var errKey = errors.New("not a key: elements of 1 to 240 printable ASCII bytes, not beginning with a dot, between slashes; at most 1024 bytes in all")

// checkKey refuses what one kind of store could keep and another could not.
// Keys are made by gridferry, so a bad one is a bug and not bad input.
func checkKey(op, key string) error {
	bad := len(key) > MaxKey
	for element := range strings.SplitSeq(key, "/") {
		bad = bad || element == "" || len(element) > MaxElement || element[0] == '.'
	}
	if bad || !printable(key) {
		return fault.Wrap(fault.Internal, op, key, errKey)
	}
	return nil
}

func printable(s string) bool {
	for i := range len(s) {
		if s[i] <= ' ' || s[i] > '~' || s[i] == '\\' {
			return false
		}
	}
	return true
}
