package transfer

import (
	"encoding/json"
	"fmt"
	"strings"

	"github.com/gridferry/gridferry/fault"
	"github.com/gridferry/gridferry/internal/spelling"
)

// enumNames maps every text that people may write to the constant it means,
// in the order in which to tell them.
type enumNames[T ~string] []struct {
	text  string
	value T
}

var (
	syncNames = enumNames[Sync]{
		{"always", SyncAlways}, {"exists", SyncExists}, {"size", SyncSize}, {"mtime", SyncModified}, {"checksum", SyncChecksum},
		{"0", SyncExists}, {"1", SyncSize}, {"2", SyncModified}, {"3", SyncChecksum},
	}
	verifyNames    = enumNames[Verify]{{"checksum", VerifyChecksum}, {"size", VerifySize}, {"none", VerifyNone}}
	symlinksNames  = enumNames[Symlinks]{{"ignore", SymlinksIgnore}, {"keep", SymlinksKeep}, {"copy", SymlinksCopy}}
	hardLinksNames = enumNames[HardLinks]{{"copy", HardLinksCopy}, {"keep", HardLinksKeep}}
	onErrorNames   = enumNames[OnError]{{"retry", OnErrorRetry}, {"skip", OnErrorSkip}, {"fail", OnErrorFail}}
	routeNames     = enumNames[RouteRule]{{"auto", RouteAuto}, {"third-party", RouteThirdParty}, {"relay", RouteRelay}}
	policyNames    = enumNames[string]{{"auto", PolicyAuto}, {"classic", PolicyClassic}}
)

// The names of tuning policies.
const (
	PolicyAuto    = "" // "auto" is taken as well
	PolicyClassic = "classic"
)

// canonical returns the constant that v's text means, or v when it means none.
func canonical[T ~string](v T, names enumNames[T]) T {
	for _, n := range names {
		if n.text == string(v) {
			return n.value
		}
	}
	return v
}

// oneOf checks that v is a constant, or a text that means one.
func oneOf[T ~string](field string, v T, names enumNames[T]) *fault.Error {
	texts := make([]string, 0, len(names))
	for _, n := range names {
		if v == n.value || string(v) == n.text {
			return nil
		}
		texts = append(texts, n.text)
	}
	right := "write one of " + strings.Join(texts, ", ")
	if near, ok := spelling.Nearest(string(v), texts); ok {
		right = fmt.Sprintf("did you mean %q? %s", near, right)
	}
	return invalid(field, quoteShort(string(v))+" is not known", right)
}

// UnmarshalJSON takes the published sync levels 0 to 3 as numbers as well. A
// text that it does not know is kept for Validate to refuse, so that a history
// written by another version can still be read.
func (s *Sync) UnmarshalJSON(text []byte) error {
	var level json.Number
	if len(text) > 0 && text[0] != '"' && json.Unmarshal(text, &level) == nil {
		*s = canonical(Sync(level), syncNames)
		return nil
	}
	var name string
	if err := json.Unmarshal(text, &name); err != nil {
		return err
	}
	*s = canonical(Sync(name), syncNames)
	return nil
}
