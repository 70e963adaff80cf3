package http

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/gridferry/gridferry/endpoints"
	"github.com/gridferry/gridferry/fault"
)

func TestContentRange(t *testing.T) {
	for text, want := range map[string]contentRange{
		"bytes 0-9/443":     {0, 10, 443},
		"Bytes  5-5/*":      {5, 6, -1},
		"bytes */443":       {0, 0, 443},
		"bytes 442-442/443": {442, 443, 443},
	} {
		if got, ok := parseContentRange(text); !ok || got != want {
			t.Errorf("%q: %+v, %v", text, got, ok)
		}
	}
	for _, text := range []string{"", "bytes", "bytes */*", "bytes 9-0/443", "bytes 0-443/443", "bytes -5/443", "bytes +0-9/443", "items 0-9/443",
		"bytes 0-9", "bytes 0-9223372036854775807/*", "bytes 0-99999999999999999999/*", "bytes 0x1-2/3"} {
		if got, ok := parseContentRange(text); ok {
			t.Errorf("%q: %+v", text, got)
		}
	}
}

func TestRetryAfter(t *testing.T) {
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	for text, want := range map[string]time.Duration{
		"120": 2 * time.Minute, "0": 0, "99999999999": maxRetryAfter, "Fri, 02 Jan 2026 03:05:05 GMT": time.Minute, "Fri, 02 Jan 2015 03:05:05 GMT": 0,
	} {
		if got, ok := parseRetryAfter(text, now); !ok || got != want {
			t.Errorf("%q: %v, %v", text, got, ok)
		}
	}
	for _, text := range []string{"", "soon", "-1", "+1", "1.5"} {
		if got, ok := parseRetryAfter(text, now); ok {
			t.Errorf("%q: %v", text, got)
		}
	}
}

func TestVersions(t *testing.T) {
	v := func(tag, modified string, size int64) version {
		e, weak := entityTag(tag)
		return version{e, weak, modified, size}
	}
	for name, c := range map[string]struct {
		a, b version
		same bool
	}{
		"the same":           {v(`"1"`, "m", 5), v(`"1"`, "m", 5), true},
		"weak, then strong":  {v(`W/"1"`, "m", 5), v(`"1"`, "m", 5), true},
		"nothing is known":   {v("", "", -1), v(`"1"`, "m", 5), true},
		"another tag":        {v(`"1"`, "m", 5), v(`"2"`, "m", 5), false},
		"another time":       {v("", "m", 5), v("", "n", 5), false},
		"another size":       {v(`"1"`, "m", 5), v(`"1"`, "m", 6), false},
		"what is no tag":     {v("1", "m", 5), v("2", "m", 5), true},
		"a tag with a quote": {v(`"a"b"`, "m", 5), v(`"c"`, "m", 5), true},
	} {
		if c.a.same(c.b) != c.same {
			t.Errorf("%s: %+v and %+v", name, c.a, c.b)
		}
	}
}

const listing = `<?xml version="1.0" encoding="utf-8"?>
<D:multistatus xmlns:D="DAV:" xmlns:x="urn:x">
<D:response><D:href>/dav/d/</D:href><D:propstat><D:prop><D:resourcetype><D:collection/></D:resourcetype></D:prop><D:status>HTTP/1.1 200 OK</D:status></D:propstat>
<D:propstat><D:prop><D:getcontentlength/></D:prop><D:status>HTTP/1.1 404 Not Found</D:status></D:propstat></D:response>
<x:other><x:deep/></x:other>
<D:response><D:href>https://h.example/dav/d/a%20%ff</D:href><D:propstat><D:prop><D:resourcetype/><D:getcontentlength>7</D:getcontentlength>
<D:getlastmodified>Fri, 02 Jan 2026 03:05:05 GMT</D:getlastmodified><D:getetag>"7"</D:getetag><x:odd>1</x:odd></D:prop><D:status>HTTP/1.1 200 OK</D:status></D:propstat></D:response>
<D:response><D:href>/dav/d/secret</D:href><D:status>HTTP/1.1 403 Forbidden</D:status></D:response>
</D:multistatus>`

func TestMultistatus(t *testing.T) {
	var got []string
	err := multistatus(strings.NewReader(listing), func(m member) error {
		got = append(got, fmt.Sprintf("%s %s %d %s %s", m.path, m.entry.Type, m.entry.Size, m.entry.ModTime.Format(time.DateOnly), m.etag))
		return nil
	})
	want := []string{"/dav/d/ dir 0 0001-01-01 ", "/dav/d/a \xff file 7 2026-01-02 \"7\"", "/dav/d/secret other 0 0001-01-01 "}
	if err != nil || strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Errorf("%q, %v", got, err)
	}
}

// A listing that was cut off anywhere must not pass for a shorter one.
func TestMultistatusCutOff(t *testing.T) {
	for n := range len(listing) - 1 {
		if err := multistatus(strings.NewReader(listing[:n]), func(member) error { return nil }); !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Fatalf("after %d bytes: %v", n, err)
		}
	}
}

func TestMultistatusLimits(t *testing.T) {
	head, tail := `<multistatus xmlns="DAV:">`, `</multistatus>`
	entry := `<response><href>/` + strings.Repeat("a", 1000) + `</href></response>`
	n := 0
	if err := multistatus(strings.NewReader(head+strings.Repeat(entry, 2000)+tail), func(member) error { n++; return nil }); err != nil || n != 2000 {
		t.Errorf("a long listing of short entries: %d, %v", n, err)
	}
	for name, body := range map[string]string{
		"a long name": `<response><href>/` + strings.Repeat("a", 2*maxResponse),
		"a deep tree": strings.Repeat("<response>", maxResponse),
		"a comment":   "<!--" + strings.Repeat("a", 2*maxResponse),
	} {
		if err := multistatus(strings.NewReader(head+body), func(member) error { return nil }); !errors.Is(err, errEntryTooLong) {
			t.Errorf("%s: %v", name, err)
		}
	}
	for body, want := range map[string]string{
		`<html xmlns="DAV:"/>`:                              `a "html" and no multistatus`,
		head + `<response><href>a%zz</href></response>`:     "no path",
		head + `<response><href>relative</href></response>`: "no path",
		head + `<response><href>/a</href><propstat><prop><getcontentlength>-1</getcontentlength></prop></propstat></response>`: `"-1" bytes long`,
	} {
		if err := multistatus(strings.NewReader(body), func(member) error { return nil }); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", body, err)
		}
	}
}

func FuzzMultistatus(f *testing.F) {
	f.Add(listing)
	f.Add(`<multistatus xmlns="DAV:"/>`)
	f.Fuzz(func(t *testing.T, text string) {
		_ = multistatus(strings.NewReader(text), func(m member) error {
			if m.entry.Size < 0 || m.entry.Type != endpoints.File && m.entry.Size != 0 || !strings.HasPrefix(m.path, "/") {
				t.Errorf("%+v", m)
			}
			return nil
		})
	})
}

func FuzzHeaders(f *testing.F) {
	for _, text := range []string{"md5=:1B2M2Y8AsgTpgAmY7PhCfg==:", "adler32=3da0195", "bytes 0-9/443", "bytes */443", "120", "Fri, 02 Jan 2026 03:05:05 GMT", `W/"a"`} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		if r, ok := parseContentRange(text); ok && (r.off < 0 || r.end < r.off || r.total >= 0 && r.end > r.total) {
			t.Errorf("%q: %+v", text, r)
		}
		if d, ok := parseRetryAfter(text, time.Unix(0, 0)); ok && (d < 0 || d > maxRetryAfter) {
			t.Errorf("%q: %v", text, d)
		}
		for _, alg := range []string{"md5", "adler32"} {
			if sum, ok := parseDigest(http.Header{"Digest": {text}}, alg); ok && len(sum) != 2*endpoints.NewHash(alg).Size() {
				t.Errorf("%q: %q", text, sum)
			}
		}
		if tag, _ := entityTag(text); strings.ContainsAny(tag[min(1, len(tag)):max(0, len(tag)-1)], `"`) {
			t.Errorf("%q: %q", text, tag)
		}
	})
}

func TestRecords(t *testing.T) {
	good := endpoints.Record{Name: "lab#web", Kind: Kind, Scheme: "davs", Servers: []string{"web.example.org:443"}, Root: "/dav", User: "ada", Options: map[string]string{
		"ranges": "on", "etags": "off", "insecure": "on", "ca_file": "/etc/ca.pem",
	}}
	o, err := parse(good)
	if err != nil || o.base.String() != "https://web.example.org" || o.webdav != on || o.ranges != on || o.etags || !o.insecure || o.queries {
		t.Errorf("%+v, %v", o, err)
	}
	if o, err := parse(endpoints.Record{Kind: Kind, Scheme: "http", Servers: []string{"h:8080"}}); err != nil || o.base.String() != "http://h:8080" || !o.queries || o.webdav != auto {
		t.Errorf("of a URL: %+v, %v", o, err)
	}
	for what, change := range map[string]func(*endpoints.Record){
		"scheme":          func(r *endpoints.Record) { r.Scheme = "gsiftp" },
		"servers":         func(r *endpoints.Record) { r.Servers = []string{"http://x/y"} },
		"at one HOST":     func(r *endpoints.Record) { r.Servers = nil },
		"options.webdav":  func(r *endpoints.Record) { r.Options = map[string]string{"webdav": "yes"} },
		"options.etags":   func(r *endpoints.Record) { r.Options = map[string]string{"etags": "auto"} },
		"options.ca_file": func(r *endpoints.Record) { r.Options = map[string]string{"ca_file": "ca.pem"} },
		"options.colour":  func(r *endpoints.Record) { r.Options = map[string]string{"colour": "red"} },
		"not clean":       func(r *endpoints.Record) { r.Root = "/dav//x" },
	} {
		r := good
		change(&r)
		if err := Check(r); !fault.Is(err, fault.Invalid) || !strings.Contains(err.Error(), what) {
			t.Errorf("%s: %v", what, err)
		}
	}
}
