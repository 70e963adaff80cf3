package endpoints

import (
	"strings"
	"testing"

	"github.com/gridferry/gridferry/fault"
)

func TestCheckPath(t *testing.T) {
	for _, good := range []string{"/", "/a", "/a b/c", "/..a/b..", "/\xff\x01", "/*?[]"} {
		if err := CheckPath("stat", good); err != nil {
			t.Errorf("%q: %v", good, err)
		}
	}
	for _, bad := range []string{"", "a", "./a", "/a/", "//a", "/a//b", "/a/../b", "/..", "/.", "/a\nb", "/a\rb", "/a\x00b", "/" + strings.Repeat("a/", 3000) + "a"} {
		if err := CheckPath("stat", bad); !fault.Is(err, fault.Invalid) {
			t.Errorf("%.20q: %v, want Invalid", bad, err)
		}
	}
}
