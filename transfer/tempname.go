package transfer

import (
	"crypto/sha256"
	"encoding/hex"
	"path"
	"strconv"
	"strings"
	"unicode/utf8"
)

// tempMark separates a temporary name's parts. Whoever lists a directory sees
// what the file is and who left it.
const tempMark = ".gridferry-"

// DefaultMaxName is the longest name, in bytes, where a storage does not say:
// NAME_MAX of Linux and most others.
const DefaultMaxName = 255

// shortLength is 48 bits in hexadecimal: enough that two tasks that write into
// one directory do not share names.
const shortLength = 12

// Short is the part of a task's id that stands in temporary names: the first
// digits of a UUID, or of a digest for ids of any other form.
func (id TaskID) Short() string {
	digits := strings.ReplaceAll(string(id), "-", "")
	if len(digits) == 32 && isHex(digits) {
		return digits[:shortLength]
	}
	sum := sha256.Sum256([]byte(id))
	return hex.EncodeToString(sum[:])[:shortLength]
}

// TempName is the name under which an attempt of a task writes the file that
// will be called name: ".<name>.gridferry-<task>-<attempt>". A name that would
// get longer than maxName bytes (0 is DefaultMaxName) is shortened, and a
// digest of the whole keeps it apart from others that begin alike. No storage
// that allows less than 64 bytes is catered for.
func TempName(name string, task TaskID, attempt int64, maxName int) string {
	return tempName(name, task, strconv.FormatInt(attempt, 10), maxName)
}

// sharedMark makes the number at the end of a temporary name a generation.
const sharedMark = "g"

// SharedTempPath is the temporary name that all ranges of one generation of a
// file are written to: ".<name>.gridferry-<task>-g<generation>".
func SharedTempPath(p string, task TaskID, generation, maxName int) string {
	dir, name := path.Split(p)
	return dir + tempName(name, task, sharedMark+strconv.Itoa(generation), maxName)
}

func tempName(name string, task TaskID, last string, maxName int) string {
	if maxName <= 0 {
		maxName = DefaultMaxName
	}
	suffix := tempMark + task.Short() + "-" + last
	if over := 1 + len(name) + len(suffix) - maxName; over > 0 {
		sum := sha256.Sum256([]byte(name))
		digest := "~" + hex.EncodeToString(sum[:])[:16]
		keep := max(len(name)-over-len(digest), 0)
		for keep > 0 && !utf8.RuneStart(name[keep]) {
			keep--
		}
		name = name[:keep] + digest
	}
	return "." + name + suffix
}

// TempPath is TempName for the last element of a path.
func TempPath(p string, task TaskID, attempt int64, maxName int) string {
	dir, name := path.Split(p)
	return dir + TempName(name, task, attempt, maxName)
}

// Temp is a temporary name taken apart.
type Temp struct {
	Name    string // of the file, perhaps shortened
	Task    string // TaskID.Short of who wrote it
	Attempt int64  // or generation
	Shared  bool   // by the ranges of a file: Attempt is a generation
}

// ParseTempName takes the last path element of a temporary file apart. ok is
// false for any other name. Walks leave temporary names out, sweeps remove them.
func ParseTempName(name string) (t Temp, ok bool) {
	rest, ok := strings.CutPrefix(name, ".")
	i := strings.LastIndex(rest, tempMark)
	if !ok || i < 1 {
		return Temp{}, false
	}
	task, attempt, ok := strings.Cut(rest[i+len(tempMark):], "-")
	if !ok || len(task) != shortLength || !isHex(task) {
		return Temp{}, false
	}
	attempt, shared := strings.CutPrefix(attempt, sharedMark)
	n, err := strconv.ParseInt(attempt, 10, 64)
	if err != nil || n < 0 || strconv.FormatInt(n, 10) != attempt {
		return Temp{}, false
	}
	return Temp{Name: rest[:i], Task: task, Attempt: n, Shared: shared}, true
}

// IsTempName reports whether the last path element is a temporary name.
func IsTempName(name string) bool {
	_, ok := ParseTempName(name)
	return ok
}

func isHex(s string) bool { return strings.Trim(s, "0123456789abcdef") == "" }
