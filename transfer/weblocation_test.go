package transfer_test

import (
	"strings"
	"testing"
	"time"

	"github.com/gridferry/gridferry/fault"
	"github.com/gridferry/gridferry/transfer"
)

func TestWebLocations(t *testing.T) {
	for _, c := range []struct{ text, endpoint, path, base, back string }{
		{"https://data.example.org/run7/a%20b.dat", "https://data.example.org:443", "/run7/a b.dat", "a b.dat", ""},
		{"http://data.example.org:8080/", "http://data.example.org:8080", "/", "/", ""},
		{"https://s3.example.org/b/k.dat?X-Amz-Signature=0f%2F1&X-Amz-Date=x/y", "https://s3.example.org:443", "/b/k.dat?X-Amz-Signature=0f%2F1&X-Amz-Date=x%2Fy", "k.dat",
			"https://s3.example.org/b/k.dat?X-Amz-Signature=0f%2F1&X-Amz-Date=x%2Fy"},
		{"https://data.example.org/get/?id=../7&n= b", "https://data.example.org:443", "/get/?id=..%2F7&n=%20b", "get", "https://data.example.org/get/?id=..%2F7&n=%20b"},
		{"https://data.example.org/?id=7", "https://data.example.org:443", "/?id=7", "/", ""},
		{"https://data.example.org/a?", "https://data.example.org:443", "/a", "a", "https://data.example.org/a"},
		{"davs://ada@dcache.example.org/pnfs/what?#1", "davs://ada@dcache.example.org:443", "/pnfs/what?#1", "what?#1", "davs://ada@dcache.example.org/pnfs/what%3F%231"},
		{"dav://dcache.example.org/x", "dav://dcache.example.org:80", "/x", "x", ""},
	} {
		loc, err := transfer.ParseLocation(c.text)
		if err != nil || loc.Endpoint != c.endpoint || loc.Path != c.path || loc.Base() != c.base {
			t.Errorf("%s: %+v of the name %q, %v", c.text, loc, loc.Base(), err)
			continue
		}
		if c.back == "" {
			c.back = c.text
		}
		again, err := transfer.ParseLocation(loc.String())
		if loc.String() != c.back || err != nil || again != loc {
			t.Errorf("%s comes back as %s, which is %+v, %v", c.text, loc, again, err)
		}
	}
	for text, want := range map[string]string{
		"https://data.example.org/a#top":       "fragments are for browsers",
		"https://data.example.org/what%3F":     "write davs://",
		"https://data.example.org/a/../b?x=1":  "..",
		"https://ada:secret@data.example.org/": "has a password in it",
		"https://data.example.org/%0a?x=1":     "control character",
		"https:/data.example.org/a":            "is not followed by //",
	} {
		_, err := transfer.ParseLocation(text)
		if !fault.Is(err, fault.Invalid) || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "secret") {
			t.Errorf("%s: %v", text, err)
		}
	}
}

// What a URL is signed with is no part of the copy's name.
func TestNameOfSignedSource(t *testing.T) {
	req, err := transfer.Request{Source: "https://s3.example.org/b/k.dat?sig=1", Destination: "file://dtn/in/"}.Checked(time.Unix(0, 0))
	if err != nil || req.Items[0].Destination != "file://dtn/in/k.dat" {
		t.Errorf("%+v, %v", req.Items, err)
	}
}
