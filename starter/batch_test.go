package starter

import (
	"slices"
	"strings"
	"testing"

	"github.com/gridferry/gridferry/fault"
	"github.com/gridferry/gridferry/transfer"
)

func TestSplitWords(t *testing.T) {
	for _, tc := range []struct {
		line string
		want []string
	}{
		{"", nil},
		{"   \t ", nil},
		{"# all of it", nil},
		{"a b", []string{"a", "b"}},
		{"  a\tb  \r", []string{"a", "b"}},
		{`"a b" 'c d'`, []string{"a b", "c d"}},
		{`a\ b c`, []string{"a b", "c"}},
		{`a" "b`, []string{"a b"}},
		{`"" ''`, []string{"", ""}},
		{`"it's" 'say "x"'`, []string{"it's", `say "x"`}},
		{`"a\"b" 'a\b'`, []string{`a"b`, `a\b`}},
		{"a #b", []string{"a"}},
		{"lab#dtn:/a", []string{"lab#dtn:/a"}},
		{`\# x`, []string{"#", "x"}},
	} {
		got, err := splitWords(tc.line)
		if err != nil || !slices.Equal(got, tc.want) {
			t.Errorf("%q: %q, %v; want %q", tc.line, got, err, tc.want)
		}
	}
	for _, line := range []string{`"a`, `'a`, `a\`, `"a\"`} {
		if got, err := splitWords(line); err == nil {
			t.Errorf("%q: %q", line, got)
		}
	}
}

func TestParseBatch(t *testing.T) {
	got, err := parseBatch(strings.NewReader("# x\na:/1 b:/1\n\n--recursive a:/2 b:/2\na:/3 -r b:/3"), "x")
	want := []batchItem{
		{transfer.Item{Source: "a:/1", Destination: "b:/1"}, 2},
		{transfer.Item{Source: "a:/2", Destination: "b:/2", Recursive: true}, 4},
		{transfer.Item{Source: "a:/3", Destination: "b:/3", Recursive: true}, 5},
	}
	if err != nil || !slices.Equal(got, want) {
		t.Errorf("%+v, %v", got, err)
	}
	for name, tc := range map[string]struct{ text, words string }{
		"one word":       {"a:/1 b:/1\na:/2", "line 2 of x: has 1 locations"},
		"long line":      {"a:/1 b:/1\n" + strings.Repeat("a", maxLine), "line 2 of x: is longer than"},
		"too many items": {strings.Repeat("a:/1 b:/1\n", transfer.MaxItems+1), "line 10001 of x: is item 10001"},
		"nothing":        {"\n", "names no items"},
	} {
		if _, err := parseBatch(strings.NewReader(tc.text), "x"); !fault.Is(err, fault.Invalid) || !strings.Contains(err.Error(), tc.words) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func FuzzParseBatch(f *testing.F) {
	f.Add("a:/1 b:/1 -r\n# x\n\"a:/ 2\" b:/2")
	f.Add(`\`)
	f.Add("'\n'")
	f.Fuzz(func(t *testing.T, text string) {
		items, err := parseBatch(strings.NewReader(text), "x")
		if err != nil {
			if !fault.Is(err, fault.Invalid) {
				t.Fatalf("%q: %v", text, err)
			}
			return
		}
		if len(items) == 0 || len(items) > strings.Count(text, "\n")+1 {
			t.Fatalf("%q: %d items", text, len(items))
		}
	})
}
