package endpoints

import (
	"path"
	"strings"

	"github.com/gridferry/gridferry/fault"
)

// MaxPath is the longest path that any driver takes, in bytes (PATH_MAX).
const MaxPath = 4096

// CheckPath returns an Invalid error unless p is a path as this package
// defines it. Every driver calls it first, so that what a protocol or a file
// system would make of an odd path is never found out.
func CheckPath(op, p string) error {
	switch {
	case p == "" || p[0] != '/':
		return fault.New(fault.Invalid, op, p, "the path is not absolute")
	case len(p) > MaxPath:
		return fault.New(fault.Invalid, op, p[:64]+"...", "the path is longer than 4096 bytes")
	case strings.ContainsAny(p, "\x00\r\n"):
		return fault.New(fault.Invalid, op, strings.ToValidUTF8(strings.NewReplacer("\x00", "?", "\r", "?", "\n", "?").Replace(p), "?"),
			"the path holds a NUL, CR or LF, which no transfer protocol carries")
	case path.Clean(p) != p:
		return fault.New(fault.Invalid, op, p, "the path is not clean: it holds an empty, \".\" or \"..\" element, or ends with a slash")
	}
	return nil
}

// EscapePath encodes every byte of a path that is not an unreserved character
// (RFC 3986, 2.3), but for slashes: what comes of it can stand in a URL and in a
// header. url.PathUnescape is its inverse.
func EscapePath(p string) string {
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
