package http

import (
	"net/url"
	"strings"

	"github.com/gridferry/gridferry/endpoints"
)

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
	u.Path, u.RawPath, u.RawQuery = p, endpoints.EscapePath(p), query
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

// pathOf is the path of what a server refers to, an absolute URL or path, as it is
// written and decoded; false for what is neither. What cannot be decoded was not
// encoded.
func pathOf(href string) (written, decoded string, ok bool) {
	if !strings.HasPrefix(href, "/") {
		_, rest, ok := strings.Cut(href, "://")
		i := strings.IndexByte(rest, '/')
		if !ok || i < 0 {
			return "", "", false
		}
		href = rest[i:]
	}
	p, err := url.PathUnescape(href)
	if err != nil {
		p = href
	}
	return href, p, true
}
