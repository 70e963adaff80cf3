package transfer

import (
	"errors"
	"fmt"
	"net/mail"
	"slices"
	"strings"

	"github.com/gridferry/gridferry/fault"
)

// NotifyRule says whom to tell of what.
type NotifyRule struct {
	To    []string     // mail addresses; none leaves it to the site's map of owners
	Kinds []NoticeKind // of these only; none is the rule's usual ones
	Off   bool         // of nothing
}

// NoticeKinds lists the kinds of notices.
func NoticeKinds() []NoticeKind {
	return []NoticeKind{NoticeSucceeded, NoticeFailed, NoticeInactive, NoticeExpiring, NoticeWaiting}
}

// ParseNotifyRule reads what stands behind --notify and in a site's map of
// owners: addresses and kinds of notices in any order, with commas between
// them ("ada@example.org,failed,inactive"), or "off", or "on".
func ParseNotifyRule(s string) (NotifyRule, error) {
	var r NotifyRule
	on := false
	for word := range strings.SplitSeq(s, ",") {
		switch word = strings.TrimSpace(word); {
		case word == "" && s == "":
		case word == "on":
			on = true
		case word == "off":
			r.Off = true
		case strings.Contains(word, "@"):
			a, err := mail.ParseAddress(word)
			if err != nil || a.Name != "" || a.Address != word {
				return NotifyRule{}, badNotify(fmt.Sprintf("%q is not a mail address", word))
			}
			r.To = append(r.To, word)
		case slices.Contains(NoticeKinds(), NoticeKind(word)):
			r.Kinds = append(r.Kinds, NoticeKind(word))
		default:
			return NotifyRule{}, badNotify(fmt.Sprintf("%q is neither a mail address nor one of on, off, succeeded, failed, inactive, expiring and waiting", word))
		}
	}
	if r.Off && (on || len(r.To) > 0 || len(r.Kinds) > 0) {
		return NotifyRule{}, badNotify(`"off" stands alone`)
	}
	return r, nil
}

func badNotify(message string) error {
	return &fault.Error{Kind: fault.Invalid, Op: "read", Path: "notify", Err: errors.New(message),
		Hint: `write an address, kinds of notices, or both: "ada@example.org,failed,inactive"`}
}

// Wants reports whether the rule asks for notices of a kind.
func (r NotifyRule) Wants(k NoticeKind) bool {
	return !r.Off && (len(r.Kinds) == 0 || slices.Contains(r.Kinds, k))
}

// Over is the rule of a task where that says something, and elsewhere the
// rule of its owner.
func (r NotifyRule) Over(owner NotifyRule) NotifyRule {
	if r.Off {
		return r
	}
	if len(r.To) == 0 {
		r.To = owner.To
		r.Off = owner.Off && len(r.Kinds) == 0
	}
	if len(r.Kinds) == 0 {
		r.Kinds = owner.Kinds
	}
	return r
}
