package transfer

import (
	"fmt"
	"time"

	"github.com/gridferry/gridferry/endpoints"
)

// Verdict is what is to be done with one source entry.
type Verdict string

// The verdicts.
const (
	Copy         Verdict = "copy"
	Skip         Verdict = "skip"
	NeedChecksum Verdict = "checksum" // copy if the checksums differ
	Conflict     Verdict = "conflict" // the name is taken by another sort of thing
)

// Decision says what is to be done with one source entry, and why.
type Decision struct {
	Verdict Verdict
	Reason  string
}

// Decide compares a source file or link with what the destination has under
// its name. exists says whether there is anything, and dst is then what.
// Times no further apart than window are the same, as are those that differ
// within a second where the destination tells whole ones, and a time that a storage
// does not tell counts as newer: copying too much is the safe mistake.
func Decide(rule Sync, src, dst endpoints.Entry, exists bool, window time.Duration) Decision {
	rule = canonical(rule, syncNames)
	switch {
	case !exists:
		return Decision{Copy, "not there yet"}
	case src.Type != dst.Type && (src.Type == endpoints.Dir || dst.Type == endpoints.Dir || dst.Type == endpoints.Other):
		return Decision{Conflict, fmt.Sprintf("the source is a %s and the destination a %s", src.Type, dst.Type)}
	case src.Type == endpoints.Dir:
		return Decision{Skip, "directory is there"}
	case rule == SyncAlways:
		return Decision{Copy, "always copied"}
	case rule == SyncExists:
		return Decision{Skip, "exists"}
	case src.Type != dst.Type:
		return Decision{Copy, fmt.Sprintf("the destination is a %s", dst.Type)}
	case src.Type == endpoints.Link:
		if src.Target == dst.Target {
			return Decision{Skip, "same link"}
		}
		return Decision{Copy, "link points elsewhere"}
	case src.Size != dst.Size:
		return Decision{Copy, fmt.Sprintf("size differs: %d and %d bytes", src.Size, dst.Size)}
	case rule == SyncSize:
		return Decision{Skip, "same size"}
	case rule == SyncChecksum:
		return Decision{NeedChecksum, "same size"}
	case src.ModTime.IsZero() || dst.ModTime.IsZero():
		return Decision{Copy, "modification time unknown"}
	case newer(src.ModTime, dst.ModTime) > window:
		return Decision{Copy, "source is newer"}
	}
	return Decision{Skip, "same size, source not newer"}
}

// newer is by how much a is later than b. GridFTP tells and sets times in whole
// seconds (MFMT, MLSD): against such a time only the seconds of the other count,
// or a file whose time was preserved would be copied each time.
func newer(a, b time.Time) time.Duration {
	if b.Nanosecond() == 0 {
		a = a.Truncate(time.Second)
	}
	return a.Sub(b)
}
