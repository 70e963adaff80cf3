package endpoints

import (
	"net/url"
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

func TestEscapePath(t *testing.T) {
	for p, want := range map[string]string{
		"/a/b-c_d.e~f": "/a/b-c_d.e~f", "/a b": "/a%20b", "/ü": "/%C3%BC", "/\xff?#%+": "/%FF%3F%23%25%2B", "": "",
	} {
		got := EscapePath(p)
		if back, err := url.PathUnescape(got); got != want || err != nil || back != p {
			t.Errorf("%q is %q, and back %q, %v", p, got, back, err)
		}
	}
}
