package http

import (
	"net/url"
	"strings"
)

// escape encodes every byte of a path that is not an unreserved character (RFC
// 3986, 2.3), but for slashes.
func escape(p string) string {
	const hex = "0123456789ABCDEF"
	var b strings.Builder
	for i := range len(p) {
		c := p[i]
		if 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || strings.IndexByte("/-._~", c) >= 0 {
			b.WriteByte(c)
		} else {
			b.WriteByte('%')
			b.WriteByte(hex[c>>4])
			b.WriteByte(hex[c&15])
		}
	}
	return b.String()
}

// url is where a path that was checked is. A directory's ends in a slash.
func (s *Storage) url(p string, dir bool) *url.URL {
	u := s.opts.base
	query := ""
	if s.opts.queries {
		p, query, u.ForceQuery = cutQuery(p)
	}
	p = s.opts.root + p
	if dir && !strings.HasSuffix(p, "/") {
		p += "/"
	}
	u.Path, u.RawPath, u.RawQuery = p, escape(p), query
	return &u
}

// cutQuery takes the query off a path of an http URL.
func cutQuery(p string) (path, query string, empty bool) {
	path, query, said := strings.Cut(p, "?")
	return path, query, said && query == ""
}

// shown is a path as errors name it: what a URL is signed with is as good as a
// password as long as it lasts.
func (s *Storage) shown(p string) string {
	if path, query, _ := cutQuery(p); s.opts.queries && query != "" {
		return path + "?..."
	}
	return p
}

// pathOf is the decoded path of what a server refers to, an absolute URL or
// path; false for what is neither.
func pathOf(href string) (string, bool) {
	if !strings.HasPrefix(href, "/") {
		_, rest, ok := strings.Cut(href, "://")
		i := strings.IndexByte(rest, '/')
		if !ok || i < 0 {
			return "", false
		}
		href = rest[i:]
	}
	p, err := url.PathUnescape(href)
	return p, err == nil
}
