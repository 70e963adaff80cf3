package s3

import (
	"slices"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"

	"github.com/gridferry/gridferry/endpoints"
)

// Keys as a store lists them below "d/", page by page, and the names that they
// are shown under.
func TestNamesOfKeys(t *testing.T) {
	for name, c := range map[string]struct {
		pages []string // keys separated by spaces; those that end with a slash are prefixes, a "0" at the end stands for an empty object
		want  string   // in any order; what ends with a slash is a directory, with two what cannot be named
	}{
		"plain":                     {[]string{"d/0 d/a d/b/ d/c"}, "a b/ c"},
		"an object and a prefix":    {[]string{"d/a d/a! d/a-b d/a/ d/b"}, "a! a-b a/ a// b"},
		"the same on two pages":     {[]string{"d/a d/a!", "d/a- d/a/"}, "a! a- a/ a//"},
		"an empty object beside it": {[]string{"d/a0 d/a/"}, "a/"},
		"an empty element":          {[]string{"d// d/a"}, "// a"},
		"dots":                      {[]string{"d/../ d/./ d/.a"}, "..// .// .a"},
		"a directory with bytes":    {[]string{"d/x d/a"}, "x a"},
	} {
		l := &listing{o: object{"bucket", "d"}}
		var got []string
		for i, page := range c.pages {
			var out s3.ListObjectsV2Output
			for _, key := range strings.Fields(page) {
				if strings.HasSuffix(key, "/") {
					out.CommonPrefixes = append(out.CommonPrefixes, types.CommonPrefix{Prefix: &key})
					continue
				}
				empty := strings.HasSuffix(key, "0")
				key = strings.TrimSuffix(key, "0")
				size := int64(1)
				if empty {
					size = 0
				}
				out.Contents = append(out.Contents, types.Object{Key: aws.String(key), Size: &size})
			}
			for _, e := range l.page(&out, i == len(c.pages)-1, false) {
				if e.Type != endpoints.File {
					e.Name += "/"
				}
				got = append(got, e.Name)
			}
			if len(l.held) > 3 {
				t.Errorf("%s: %d names are held back", name, len(l.held))
			}
		}
		slices.Sort(got)
		if want := strings.Fields(c.want); !slices.Equal(got, sorted(want)) {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
}

func sorted(s []string) []string { slices.Sort(s); return s }

func TestTimesInMetadata(t *testing.T) {
	for _, text := range []string{"0", "1700000000", "1700000000.5", "-5", "1700000000.000000001"} {
		at, ok := parseTime(text)
		if !ok || formatTime(at) != text {
			t.Errorf("%s is %v, %v, and formatted %s", text, at, ok, formatTime(at))
		}
	}
	for _, bad := range []string{"", "x", "1.", "99999999999999", "1.0000000001", "1.-5", "1e9", "2020-01-01"} {
		if at, ok := parseTime(bad); ok && bad != "1." {
			t.Errorf("%q was taken for %v", bad, at)
		}
	}
}
