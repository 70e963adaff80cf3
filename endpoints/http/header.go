package http

import (
	"net/http"
	"strconv"
	"strings"
	"time"
)

// version is what tells one state of a file from another.
type version struct {
	etag     string // with its quotes and without "W/"; empty: none
	weak     bool   // RFC 9110, 8.8.1: no good for If-Match
	modified string // Last-Modified, as it was written; empty: none
	size     int64  // -1: not told
}

func versionOf(h http.Header, size int64, etags bool) version {
	v := version{modified: h.Get("Last-Modified"), size: size}
	if etags {
		v.etag, v.weak = entityTag(h.Get("ETag"))
	}
	return v
}

// entityTag takes an entity tag apart (RFC 9110, 8.8.3). What is none counts as
// none.
func entityTag(text string) (tag string, weak bool) {
	tag, weak = strings.CutPrefix(strings.TrimSpace(text), "W/")
	if len(tag) < 2 || len(tag) > maxTag || tag[0] != '"' || tag[len(tag)-1] != '"' || strings.ContainsRune(tag[1:len(tag)-1], '"') {
		return "", false
	}
	return tag, weak
}

// maxTag bounds what is remembered of a file, in bytes.
const maxTag = 512

// known says that there is something to tell versions apart by.
func (v version) known() bool { return v.etag != "" || v.modified != "" }

// same says that w may be of the same state of the file. Apache calls the tag of
// a file weak as long as another change could still fall into the same second,
// so tags are compared without their weakness.
func (v version) same(w version) bool {
	return (v.etag == "" || w.etag == "" || v.etag == w.etag) &&
		(v.modified == "" || w.modified == "" || v.modified == w.modified) &&
		(v.size < 0 || w.size < 0 || v.size == w.size)
}

// demand has the server answer 412 when the file is another by now (RFC 9110,
// 13.1.1 and 13.1.4).
func (v version) demand(h http.Header) {
	switch {
	case v.etag != "" && !v.weak:
		h.Set("If-Match", v.etag)
	case v.modified != "":
		h.Set("If-Unmodified-Since", v.modified)
	}
}

// contentRange is "bytes 0-9/443", "bytes 0-9/*" or, of a range that cannot be
// had, "bytes */443" (RFC 9110, 14.4).
type contentRange struct {
	off, end int64 // both 0 where there are no bytes
	total    int64 // -1: not told
}

func parseContentRange(text string) (contentRange, bool) {
	r := contentRange{total: -1}
	unit, rest, _ := strings.Cut(strings.TrimSpace(text), " ")
	span, total, ok := strings.Cut(strings.TrimSpace(rest), "/")
	if !strings.EqualFold(unit, "bytes") || !ok {
		return r, false
	}
	if total != "*" {
		if r.total, ok = digits(total); !ok {
			return r, false
		}
	}
	if span == "*" {
		return r, r.total >= 0
	}
	first, last, _ := strings.Cut(span, "-")
	off, ok1 := digits(first)
	end, ok2 := digits(last)
	if !ok1 || !ok2 || end < off || r.total >= 0 && end >= r.total {
		return r, false
	}
	r.off, r.end = off, end+1
	return r, true
}

// digits takes 1*DIGIT, up to 2^63-2, so that one more is a number too.
func digits(text string) (int64, bool) {
	n, err := strconv.ParseUint(text, 10, 63)
	if err != nil || text[0] == '+' || n == 1<<63-1 {
		return 0, false
	}
	return int64(n), true
}

// maxRetryAfter is the longest that a server is taken at its word for.
const maxRetryAfter = 24 * time.Hour

// parseRetryAfter reads seconds or a date (RFC 9110, 10.2.3).
func parseRetryAfter(text string, now time.Time) (time.Duration, bool) {
	text = strings.TrimSpace(text)
	if n, ok := digits(text); ok {
		return time.Duration(min(n, int64(maxRetryAfter/time.Second))) * time.Second, true
	}
	at, err := http.ParseTime(text)
	if err != nil {
		return 0, false
	}
	return min(max(at.Sub(now), 0), maxRetryAfter), true
}

// modTime reads an HTTP date; zero when it is none.
func modTime(text string) time.Time {
	t, err := http.ParseTime(strings.TrimSpace(text))
	if err != nil {
		return time.Time{}
	}
	return t.UTC()
}
