package http

import (
	"context"
	"errors"
	"net/http"
	"path"
	"strings"

	"github.com/gridferry/gridferry/endpoints"
	"github.com/gridferry/gridferry/fault"
)

// pageSize is how many entries a page of a listing has.
const pageSize = 1000

// List implements endpoints.Storage.
func (s *Storage) List(ctx context.Context, p string, page func([]endpoints.Entry) error) error {
	const op = "list"
	ctx, leave, err := s.enter(ctx, op, p)
	if err != nil {
		return err
	}
	defer leave()
	var stopped error
	entries := make([]endpoints.Entry, 0, pageSize)
	flush := func() error {
		if len(entries) == 0 {
			return nil
		}
		stopped = page(entries)
		entries = entries[:0]
		return stopped
	}
	err = s.members(ctx, p, func(e endpoints.Entry) error {
		if entries = append(entries, e); len(entries) < pageSize {
			return nil
		}
		return flush()
	})
	if err == nil {
		err = flush()
	}
	if stopped != nil {
		return stopped
	}
	return s.failed(ctx, op, p, err)
}

// members calls each with what is in a directory.
func (s *Storage) members(ctx context.Context, p string, each func(endpoints.Entry) error) error {
	if s.opts.webdav == off {
		return errNoListing
	}
	if s.shown(p) != p {
		return refusal{"a URL with a query is that of one file", ""}
	}
	dir := s.url(p, true).Path
	err := s.propfind(ctx, p, true, "1", func(m member) error {
		m.path = s.literal(ctx, dir, m)
		name, inside := strings.CutPrefix(m.path, dir)
		name = strings.TrimSuffix(name, "/")
		switch {
		case m.path+"/" == dir || inside && name == "":
			if m.entry.Type != endpoints.Dir {
				return fault.New(fault.NotFound, "list", p, "it is no directory")
			}
			return nil
		case !inside || name == "." || name == ".." || strings.Contains(name, "/"):
			return errors.New("the listing speaks of " + short(m.path) + ", which is not in the directory")
		case s.opts.queries && strings.Contains(name, "?"):
			return refusal{"there is a name with a question mark, " + short(name) + ", which in a URL begins a query", "write davs:// instead of https://, or name the place in the configuration"}
		}
		m.entry.Name = name
		return each(m.entry)
	})
	switch status := statusOf(err); {
	case status == 0:
		return err
	case status == http.StatusMethodNotAllowed, status == http.StatusNotImplemented, !s.server.dav && status == http.StatusBadRequest:
		return errNoListing
	case status == http.StatusNotFound || !s.knows(status):
		return err
	}
	// Behind a file's name, a slash makes servers say all sorts of things.
	if e, err := s.stat(ctx, p); err == nil && e.Type != endpoints.Dir {
		return fault.New(fault.NotFound, "list", p, "it is no directory")
	}
	return err
}

var errNoListing = refusal{"the server speaks no WebDAV here, so its directories cannot be listed", "name each file, as items of one transfer or in a batch file"}

// knows says that a status may be about names, and neither about who asks nor
// about how the server is.
func (s *Storage) knows(status int) bool {
	kind, _ := kindOfStatus(status)
	return status >= 300 && kind != fault.Credential && kind != fault.Busy && kind != fault.NoSpace
}

// Mkdir implements endpoints.Storage.
func (s *Storage) Mkdir(ctx context.Context, p string) error {
	const op = "make directory"
	ctx, leave, err := s.enter(ctx, op, p)
	if err != nil {
		return err
	}
	defer leave()
	if p == "/" {
		return fault.New(fault.Exists, op, p, "the directory exists")
	}
	if s.xrootd() { // which would say that it has made it
		if e, err := s.stat(ctx, p); err == nil {
			return fault.New(fault.Exists, op, p, "there is a "+string(e.Type)+" of this name")
		}
	}
	err = s.change(ctx, request{method: methodMkcol, url: s.url(p, true)})
	return s.failed(ctx, op, p, s.explain(ctx, op, p, err))
}

// change sends what changes the tree.
func (s *Storage) change(ctx context.Context, r request) error {
	resp, err := s.do(ctx, r)
	if err != nil {
		return err
	}
	switch resp.StatusCode {
	case http.StatusOK, http.StatusCreated, http.StatusNoContent, http.StatusAccepted:
		discard(resp)
		return nil
	case http.StatusMultiStatus: // something below could not be moved or removed (RFC 4918, 9.6.1)
		discard(resp)
		return refusal{"the server has done it in part", "look what is left"}
	}
	return refused(resp)
}

// maxName is the longest name that most file systems can hold, in bytes.
const maxName = 255

// explain says why something could not be made at p. Servers agree on little
// there, so where the answer may be about names, the names are looked at.
func (s *Storage) explain(ctx context.Context, op, p string, err error) error {
	status := statusOf(err)
	if status == 0 || !s.knows(status) {
		return err
	}
	if len(path.Base(p)) > maxName {
		return &fault.Error{Kind: fault.Unsupported, Op: op, Path: p, Err: err, Hint: "the name is longer than the 255 bytes that most servers can hold: shorten it"}
	}
	if e, statErr := s.stat(ctx, p); statErr == nil && (e.Type == endpoints.Dir || op == "make directory") {
		return fault.New(fault.Exists, op, p, "there is a "+string(e.Type)+" of this name")
	}
	if !s.server.dav {
		return err
	}
	for parent := path.Dir(p); parent != "/"; parent = path.Dir(parent) {
		e, statErr := s.stat(ctx, parent)
		switch {
		case statErr == nil && e.Type == endpoints.Dir:
			if parent != path.Dir(p) {
				return fault.New(fault.NotFound, op, p, "the directory that it is to be in is missing")
			}
			return err
		case statErr == nil:
			return fault.New(fault.Exists, op, p, parent+" is a file")
		case !missing(statErr):
			return err
		}
	}
	if path.Dir(p) != "/" {
		return fault.New(fault.NotFound, op, p, "the directory that it is to be in is missing")
	}
	return err
}

func missing(err error) bool {
	status := statusOf(err)
	return status == http.StatusNotFound || status == http.StatusGone
}

// Remove implements endpoints.Storage.
func (s *Storage) Remove(ctx context.Context, p string) error {
	const op = "remove"
	ctx, leave, err := s.enter(ctx, op, p)
	if err != nil {
		return err
	}
	defer leave()
	return s.failed(ctx, op, p, s.remove(ctx, op, p))
}

func (s *Storage) remove(ctx context.Context, op, p string) error {
	if p == "/" {
		return fault.New(fault.Permission, op, p, "the root of an endpoint is not removed")
	}
	e, err := s.stat(ctx, p)
	if err != nil {
		return err
	}
	header := http.Header{}
	if e.Type == endpoints.Dir {
		if err := s.members(ctx, p, func(endpoints.Entry) error {
			return fault.New(fault.Exists, op, p, "the directory is not empty")
		}); err != nil {
			return err
		}
		header.Set("Depth", "infinity") // the only one there is for a collection (RFC 4918, 9.6.1)
	}
	s.forget(p)
	return s.change(ctx, request{method: http.MethodDelete, url: s.url(p, e.Type == endpoints.Dir), header: header})
}

// Rename implements endpoints.Storage.
func (s *Storage) Rename(ctx context.Context, from, to string) error {
	const op = "rename"
	ctx, leave, err := s.enter(ctx, op, from)
	if err != nil {
		return err
	}
	defer leave()
	if err := endpoints.CheckPath(op, to); err != nil {
		return err
	}
	return s.failed(ctx, op, from, s.rename(ctx, op, from, to))
}

func (s *Storage) rename(ctx context.Context, op, from, to string) error {
	e, err := s.stat(ctx, from)
	switch {
	case err != nil:
		return err
	case from == to:
		return nil
	case from == "/" || to == "/":
		return fault.New(fault.Permission, op, from, "the root of an endpoint is not moved")
	case e.Type == endpoints.Dir && strings.HasPrefix(to, from+"/"):
		return fault.New(fault.Exists, op, from, "a directory cannot be moved into itself")
	}
	// What MOVE overwrites it removes first, and be it a whole tree.
	switch there, err := s.stat(ctx, to); {
	case err == nil && (there.Type == endpoints.Dir || e.Type == endpoints.Dir):
		return fault.New(fault.Exists, op, to, "there is a "+string(there.Type)+" of this name")
	case err != nil && !s.knows(statusOf(err)):
		return err
	case err != nil && path.Dir(from) != path.Dir(to): // which nginx would make
		if parent, err := s.stat(ctx, path.Dir(to)); missing(err) {
			return fault.New(fault.NotFound, op, to, "the directory that it is to be in is missing")
		} else if err == nil && parent.Type != endpoints.Dir {
			return fault.New(fault.Exists, op, to, path.Dir(to)+" is a file")
		}
	}
	if err := s.movable(to); err != nil {
		return err
	}
	s.forget(from)
	s.forget(to)
	dir := e.Type == endpoints.Dir
	err = s.change(ctx, request{method: methodMove, url: s.url(from, dir), header: http.Header{
		"Destination": {s.url(to, dir).String()}, "Overwrite": {"T"},
	}})
	return s.explain(ctx, op, to, err)
}
