package http

import (
	"context"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/gridferry/gridferry/endpoints"
	"github.com/gridferry/gridferry/fault"
)

// XRootD's web server (XrdHttp, as of 5.5.3) takes what follows a "?" in a path for
// a query also where it is percent-encoded, does not decode MOVE's Destination, does
// not encode the names that it lists, not even what XML cannot hold, and makes
// directories that are there already.

// xrootd says that the server is XRootD, which writes its name this way and that.
func (s *Storage) xrootd() bool { return named(s.server.name, "XRootD") }

// named says that a server calls itself by the name, in whichever case.
func named(server, name string) bool {
	return len(server) >= len(name) && strings.EqualFold(server[:len(name)], name)
}

// addressable refuses the paths by which XRootD would find another file, or spoil a
// directory.
func (s *Storage) addressable(op, p string) error {
	switch {
	case !s.xrootd():
		return nil
	case strings.Contains(p, "?"):
		return fault.New(fault.Unsupported, op, s.shown(p), "the server takes what follows the question mark for a query")
	case strings.ContainsFunc(p, unicode.IsControl) || !utf8.ValidString(p):
		return fault.New(fault.Unsupported, op, s.shown(p), "the server could list nothing beside such a name any more")
	}
	return nil
}

// movable refuses the names that XRootD would store as they are encoded.
func (s *Storage) movable(to string) error {
	if s.xrootd() && endpoints.EscapePath(to) != to {
		return refusal{"the server gives no file such a name, of which something has to be encoded", "rename it, or leave it out"}
	}
	return nil
}

// literal is the path of a resource in the listing of dir: of XRootD's the one that
// is written there, if there is such a file, and else the one that it encodes.
func (s *Storage) literal(ctx context.Context, dir string, m member) string {
	if m.path == m.written || !s.xrootd() {
		return m.path
	}
	name, inside := strings.CutPrefix(m.written, dir)
	if !inside {
		if m.written+"/" == dir {
			return m.written
		}
		return m.path
	}
	if name == "" {
		return m.written
	}
	if _, err := s.stat(ctx, strings.TrimPrefix(dir, s.opts.root)+strings.TrimSuffix(name, "/")); err != nil {
		return m.path
	}
	return m.written
}
