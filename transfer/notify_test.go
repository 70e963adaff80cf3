package transfer

import (
	"reflect"
	"strings"
	"testing"

	"github.com/gridferry/gridferry/fault"
)

func TestParseNotifyRule(t *testing.T) {
	for text, want := range map[string]NotifyRule{
		"":                       {},
		"on":                     {},
		"off":                    {Off: true},
		"ada@example.org":        {To: []string{"ada@example.org"}},
		"failed, inactive":       {Kinds: []NoticeKind{NoticeFailed, NoticeInactive}},
		"ada@a.org,failed,b@c.d": {To: []string{"ada@a.org", "b@c.d"}, Kinds: []NoticeKind{NoticeFailed}},
	} {
		if got, err := ParseNotifyRule(text); err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%q: %+v, %v, want %+v", text, got, err, want)
		}
	}
	for text, words := range map[string]string{
		"off,failed":            "stands alone",
		"on,off":                "stands alone",
		"ada":                   `"ada" is neither`,
		"ada@":                  "not a mail address",
		"Ada <ada@example.org>": "not a mail address",
		"ada@a.org,":            `"" is neither`,
		"a@b.c\r\nBcc: d@e.f":   "not a mail address",
	} {
		if _, err := ParseNotifyRule(text); !fault.Is(err, fault.Invalid) || !strings.Contains(err.Error(), words) {
			t.Errorf("%q: %v, want Invalid with %q", text, err, words)
		}
	}
}

func TestNotifyRuleOver(t *testing.T) {
	rule := func(s string) NotifyRule {
		r, err := ParseNotifyRule(s)
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
	for _, c := range []struct {
		task, owner string
		to          string
		failed, ok  bool
	}{
		{"", "", "", true, true},
		{"", "ada@a.org,failed", "ada@a.org", true, false},
		{"succeeded", "ada@a.org,failed", "ada@a.org", false, true},
		{"b@b.org", "ada@a.org,failed", "b@b.org", true, false},
		{"off", "ada@a.org", "", false, false},
		{"", "off", "", false, false},
		{"b@b.org", "off", "b@b.org", true, true},
		{"failed", "off", "", true, false},
	} {
		got := rule(c.task).Over(rule(c.owner))
		if to := strings.Join(got.To, " "); got.Wants(NoticeFailed) != c.failed || got.Wants(NoticeSucceeded) != c.ok || (c.failed || c.ok) && to != c.to {
			t.Errorf("%q over %q: %+v", c.task, c.owner, got)
		}
	}
}
