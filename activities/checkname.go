package activities

import (
	"fmt"
	"regexp"
	"time"
)

const (
	// CheckName is how the names of directories of checks begin.
	CheckName = "gridferry-check-"

	// checkBegun is how the time at which a check was asked for stands behind it.
	checkBegun = "20060102T150405Z"

	// checkOver is the age at which a check is certainly over. One takes minutes,
	// and the clocks of a site agree better than that.
	checkOver = time.Hour
)

// checkNames are the names of NewCheckName's, of whichever attempt, and nothing
// else: what has one is removed.
var checkNames = regexp.MustCompile(`^` + CheckName + `(\d{8}T\d{6}Z)-[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}(-[1-9]\d?)?$`)

// NewCheckName names the directory of a check that is asked for now. The id is a
// UUID in its usual form, and nobody else's.
func NewCheckName(now time.Time, id string) string {
	return CheckName + now.UTC().Format(checkBegun) + "-" + id
}

// isOver says that a name is that of a directory of a check that cannot be under
// way any more.
func isOver(name string, now time.Time) bool {
	parts := checkNames.FindStringSubmatch(name)
	if parts == nil {
		return false
	}
	begun, err := time.Parse(checkBegun, parts[1])
	return err == nil && now.Sub(begun) > checkOver
}

// ofAttempt is what the nth attempt calls its directory: the worker of the one
// before may not be dead, and must not find its own again.
func ofAttempt(name string, n int32) string {
	if n <= 1 {
		return name
	}
	return fmt.Sprintf("%s-%d", name, n)
}
