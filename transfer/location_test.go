package transfer

import (
	"path"
	"strings"
	"testing"

	"github.com/gridferry/gridferry/fault"
)

func TestParseLocation(t *testing.T) {
	for _, tc := range []struct {
		name, text     string
		endpoint, path string
		dir            bool
		again          string // String(), where it differs from text
	}{
		{name: "default port", text: "gsiftp://dtn.example.org/data/a", endpoint: "gsiftp://dtn.example.org:2811", path: "/data/a"},
		{name: "own port", text: "gsiftp://dtn.example.org:5000/a", endpoint: "gsiftp://dtn.example.org:5000", path: "/a"},
		{name: "default port written out", text: "ftp://h:21/a", endpoint: "ftp://h:21", path: "/a", again: "ftp://h/a"},
		{name: "port with zeros", text: "ftp://h:0021/a", endpoint: "ftp://h:21", path: "/a", again: "ftp://h/a"},
		{name: "sftp", text: "SFTP://ada@h.example/a", endpoint: "sftp://ada@h.example:22", path: "/a", again: "sftp://ada@h.example/a"},
		{name: "sftp below the login directory", text: "sftp://h:2022/~/a", endpoint: "sftp://h:2022", path: "/~/a"},
		{name: "ssh with a login name", text: "sshftp://ada@h/a", endpoint: "sshftp://ada@h:22", path: "/a"},
		{name: "case and trailing dot of hosts", text: "GSIFTP://DTN.Example.org./A", endpoint: "gsiftp://dtn.example.org:2811", path: "/A", again: "gsiftp://dtn.example.org/A"},
		{name: "IPv6", text: "gsiftp://[2001:db8::1]:5000/a", endpoint: "gsiftp://[2001:db8::1]:5000", path: "/a"},
		{name: "IPv6 without port", text: "gsiftp://[::1]/a", endpoint: "gsiftp://[::1]:2811", path: "/a"},
		{name: "no path is the root", text: "gsiftp://h", endpoint: "gsiftp://h:2811", path: "/", dir: true, again: "gsiftp://h/"},
		{name: "directory", text: "gsiftp://h/a/", endpoint: "gsiftp://h:2811", path: "/a", dir: true},
		{name: "root", text: "gsiftp://h/", endpoint: "gsiftp://h:2811", path: "/", dir: true},
		{name: "absolute in the manner of RFC 1738", text: "gsiftp://h//abs/a", endpoint: "gsiftp://h:2811", path: "/abs/a", again: "gsiftp://h/abs/a"},
		{name: "repeated slashes and dots", text: "gsiftp://h/a//b/./c", endpoint: "gsiftp://h:2811", path: "/a/b/c", again: "gsiftp://h/a/b/c"},
		{name: "home", text: "gsiftp://h/~/a", endpoint: "gsiftp://h:2811", path: "/~/a"},
		{name: "home itself", text: "gsiftp://h/~/", endpoint: "gsiftp://h:2811", path: "/~", dir: true},
		{name: "percent-encoded", text: "gsiftp://h/a%20b%25c/%C3%A9", endpoint: "gsiftp://h:2811", path: "/a b%c/é"},
		{name: "plain space and Unicode", text: "gsiftp://h/a b/é", endpoint: "gsiftp://h:2811", path: "/a b/é", again: "gsiftp://h/a%20b/%C3%A9"},
		{name: "bytes that are not UTF-8", text: "gsiftp://h/%FF", endpoint: "gsiftp://h:2811", path: "/\xff"},
		{name: "no queries and fragments", text: "gsiftp://h/a?b#c", endpoint: "gsiftp://h:2811", path: "/a?b#c", again: "gsiftp://h/a%3Fb%23c"},
		{name: "dots in names", text: "gsiftp://h/..a/b..", endpoint: "gsiftp://h:2811", path: "/..a/b.."},
		{name: "at sign in a path", text: "gsiftp://h/a@b:c", endpoint: "gsiftp://h:2811", path: "/a@b:c"},
		{name: "file on a host", text: "file://node7/data", endpoint: "file://node7", path: "/data"},
		{name: "file here", text: "file:///data", endpoint: "file://", path: "/data"},
		{name: "file on localhost", text: "file://localhost/data", endpoint: "file://", path: "/data", again: "file:///data"},
		{name: "file with one slash", text: "file:/data", endpoint: "file://", path: "/data", again: "file:///data"},
		{name: "bucket", text: "s3://lab-data/run 1/a", endpoint: "s3://lab-data", path: "/run 1/a", again: "s3://lab-data/run%201/a"},
		{name: "bucket alone", text: "s3://lab.data_2/", endpoint: "s3://lab.data_2", path: "/", dir: true},
		{name: "record", text: "dtn:/data/a", endpoint: "dtn", path: "/data/a"},
		{name: "record of a user", text: "ada#dtn-1:/data/", endpoint: "ada#dtn-1", path: "/data", dir: true},
		{name: "record, home", text: "ada#dtn:/~/a", endpoint: "ada#dtn", path: "/~/a"},
		{name: "record, nothing is decoded", text: "dtn:/a%20b", endpoint: "dtn", path: "/a%20b"},
		{name: "record, colon in the path", text: "dtn:/a:b", endpoint: "dtn", path: "/a:b"},
		{name: "record, URL in the path", text: "dtn:/a/x://y", endpoint: "dtn", path: "/a/x:/y", again: "dtn:/a/x:/y"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			loc, err := ParseLocation(tc.text)
			if err != nil {
				t.Fatal(err)
			}
			if want := (Location{tc.endpoint, tc.path, tc.dir}); loc != want {
				t.Errorf("ParseLocation(%q) = %+v, want %+v", tc.text, loc, want)
			}
			if tc.again == "" {
				tc.again = tc.text
			}
			if got := loc.String(); got != tc.again {
				t.Errorf("String() = %q, want %q", got, tc.again)
			}
		})
	}
}

func TestParseLocationRefuses(t *testing.T) {
	for _, tc := range []struct{ name, text, wrong, right string }{
		{"no bucket", "s3:///key", "no name of a bucket", "s3://BUCKET/path"},
		{"keys in a bucket's place", "s3://AKIA:secret@bucket/key", "no name of a bucket", "s3://BUCKET/path"},
		{"bucket in capitals", "s3://Lab/key", "no name of a bucket", "s3://BUCKET/path"},
		{"empty", "", "is empty", "gsiftp://HOST/path"},
		{"unknown scheme", "gopher://h/a", `scheme "gopher://" is not known`, "gsiftp://HOST/path"},
		{"no scheme", "://h/a", "is not known", "gsiftp://"},
		{"scheme without slashes", "gsiftp:/a", "not followed by //", "gsiftp://HOST/path"},
		{"bare path", "/data/a", "does not say at which endpoint", "NAME:/path"},
		{"bare relative path", "data/a", "does not say at which endpoint", "NAME:/path"},
		{"relative path of a record", "dtn:a/b", `"a/b" is a relative path`, "dtn:/a/b, or dtn:/~/a/b"},
		{"relative path of a file", "file:a", "not followed by //", "file://HOST/path"},
		{"record without path", "dtn:", "relative path", "dtn:/"},
		{"bad record name", "a b:/x", "not the name of an endpoint", "user#dtn"},
		{"two marks in a record name", "a#b#c:/x", "not the name of an endpoint", "user#dtn"},
		{"empty record name", ":/x", "not the name of an endpoint", "user#dtn"},
		{"up", "gsiftp://h/a/../b", `goes up with ".."`, `without ".."`},
		{"up, encoded", "gsiftp://h/a/%2e%2E/b", `goes up with ".."`, `without ".."`},
		{"up at the end", "dtn:/a/..", `goes up with ".."`, `without ".."`},
		{"newline", "gsiftp://h/a\nb", "control character U+000A", "not allowed"},
		{"newline, encoded", "gsiftp://h/a%0Ab", "control character U+000A", "not allowed"},
		{"NUL, encoded", "gsiftp://h/a%00", "control character U+0000", "not allowed"},
		{"escape in a record path", "dtn:/a\x1b[2J", "control character U+001B", "not allowed"},
		{"C1 control", "dtn:/a\u0085", "control character U+0085", "not allowed"},
		{"half an encoding", "gsiftp://h/a%2", "ends inside", "%25"},
		{"no encoding", "gsiftp://h/100%zz", `"%zz"`, "%25"},
		{"no host", "gsiftp:///a", "names no host", "gsiftp://HOST/path"},
		{"host with a space", "gsiftp://a b/c", "not a host name", "gsiftp://HOST/path"},
		{"option as host", "sshftp://-oProxyCommand=x/c", "not a host name", "sshftp://HOST/path"},
		{"option as login name", "sshftp://-ox@h/c", "not a login name", "USER@HOST"},
		{"port 0", "gsiftp://h:0/a", "port that is no number", "1 to 65535"},
		{"port too high", "gsiftp://h:65536/a", "port that is no number", "1 to 65535"},
		{"port that is a word", "gsiftp://h:ftp/a", "port that is no number", "1 to 65535"},
		{"IPv6 without brackets", "gsiftp://2001:db8::1/a", "not a host", "brackets"},
		{"password", "ftp://ada:secret@h/a", "has a password", "credential"},
		{"file with a port", "file://h:80/a", "neither login name nor port", "file://HOST/path"},
		{"file with a login name", "file://ada@h/a", "neither login name nor port", "file://HOST/path"},
		{"too long", "dtn:/" + strings.Repeat("a", maxLocation), "longer than", ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			loc, err := ParseLocation(tc.text)
			if !fault.Is(err, fault.Invalid) {
				t.Fatalf("ParseLocation(%q) = %+v, %v; want an Invalid error", tc.text, loc, err)
			}
			if msg := err.Error(); !strings.Contains(msg, tc.wrong) || !strings.Contains(msg, tc.right) {
				t.Errorf("error %q should say %q and %q", msg, tc.wrong, tc.right)
			}
		})
	}
}

func TestParseLocationHidesPasswords(t *testing.T) {
	for _, text := range []string{
		"ftp://ada:geheim@h/a", "ftp://ada:geh/geheim@h/a", "ftp://ada:geheim@@h:99999/a",
		"http://ada:geheim@h/a", "ftp://ada:geheim@h/%zz", "ftp://:geheim@/",
	} {
		if _, err := ParseLocation(text); err == nil || strings.Contains(err.Error(), "geheim") {
			t.Errorf("ParseLocation(%q): %v", text, err)
		}
	}
}

func TestLocationHome(t *testing.T) {
	for _, tc := range []struct {
		path, rest, in string
		home           bool
	}{
		{"/~", "", "/home/ada", true},
		{"/~/a/b", "a/b", "/home/ada/a/b", true},
		{"/~ada/a", "/~ada/a", "/~ada/a", false},
		{"/a/~/b", "/a/~/b", "/a/~/b", false},
	} {
		l := Location{Path: tc.path}
		if rest, ok := l.HomeRelative(); rest != tc.rest || ok != tc.home {
			t.Errorf("%s: HomeRelative() = %q, %v", tc.path, rest, ok)
		}
		if got := l.In("/home/ada"); got != tc.in {
			t.Errorf("%s: In() = %q, want %q", tc.path, got, tc.in)
		}
	}
}

func TestSite(t *testing.T) {
	for endpoint, want := range map[string]string{"file://node7": "node7", "file://": "", "gsiftp://h:2811": "", "dtn": ""} {
		if host, bound := Site(endpoint); bound != (want != "") || bound && host != want {
			t.Errorf("Site(%q) = %q, %v", endpoint, host, bound)
		}
	}
}

func TestInside(t *testing.T) {
	for _, tc := range []struct {
		p, dir string
		want   bool
	}{{"/a", "/a", true}, {"/a/b", "/a", true}, {"/ab", "/a", false}, {"/a", "/a/b", false}, {"/a", "/", true}, {"/", "/", true}} {
		if got := Inside(tc.p, tc.dir); got != tc.want {
			t.Errorf("Inside(%q, %q) = %v", tc.p, tc.dir, got)
		}
	}
}

func FuzzParseLocation(f *testing.F) {
	for _, s := range []string{
		"gsiftp://h/a", "gsiftp://h//a/", "ftp://u@h:21/%41", "sshftp://[::1]:22/~/x", "file://h/a", "file:///", "file:/a",
		"ada#dtn:/a", "dtn:/a:b", "gsiftp://h/%2e%2e", "http://h/", "https://h/a?b/c#", "https://h/d/?x=%2f/..", ":", "", "://", "gsiftp://h/%ff?#", "x:/\x00", "ftp://u:p@h/",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		loc, err := ParseLocation(text)
		if err != nil {
			if !fault.Is(err, fault.Invalid) {
				t.Fatalf("%q: error of kind %s", text, fault.KindOf(err))
			}
			return
		}
		if !path.IsAbs(loc.Path) || path.Clean(loc.Path) != loc.Path || strings.ContainsAny(loc.Path, "\x00\r\n") {
			t.Fatalf("%q: path %q", text, loc.Path)
		}
		again, err := ParseLocation(loc.String())
		if err != nil {
			t.Fatalf("%q: String() = %q: %v", text, loc.String(), err)
		}
		if again.Endpoint != loc.Endpoint || again.Path != loc.Path {
			t.Fatalf("%q: %+v became %+v", text, loc, again)
		}
	})
}
