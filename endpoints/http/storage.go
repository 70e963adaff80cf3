package http

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptrace"
	"path"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gridferry/gridferry/endpoints"
	"github.com/gridferry/gridferry/fault"
)

// The methods of WebDAV (RFC 4918, 9).
const (
	methodPropfind = "PROPFIND"
	methodMkcol    = "MKCOL"
	methodMove     = "MOVE"
)

// Storage is a server, or a part of one, as one identity sees it.
type Storage struct {
	driver *Driver
	client *client
	opts   options
	name   string
	domain string
	server server
	life   context.Context // ends with Close
	end    context.CancelFunc

	rangesProven atomic.Bool // the server has put a range where it belongs

	mu   sync.Mutex
	seen map[string]version // of files that were opened
}

var (
	_ endpoints.Credentialed = (*Storage)(nil)
	_ endpoints.Checksummer  = (*Storage)(nil)
	_ endpoints.TimeSetter   = (*Storage)(nil)

	_ endpoints.SelfDescriber = (*Storage)(nil)
)

// Caps tells what the server can do.
func (s *Storage) Caps() endpoints.Caps {
	return endpoints.Caps{Kind: Kind, Server: s.server.name, RTT: s.server.rtt, Ranges: s.ranges(), StreamOnly: !s.ranges(), Checksums: s.digests(), Times: s.keepsTimes()}
}

// Says implements endpoints.SelfDescriber: of the answer to OPTIONS what is about
// abilities.
func (s *Storage) Says() []string { return s.server.says }

// ranges says that a range of a file can be written. A server that does not
// know Content-Range in a PUT may take the range for the whole file (RFC 9110,
// 14.5), so only Apache's is trusted to, whose mod_dav_fs does it.
func (s *Storage) ranges() bool {
	return s.opts.ranges == on || s.opts.ranges == auto && s.server.dav && strings.HasPrefix(s.server.name, "Apache")
}

// Fingerprint implements endpoints.Credentialed.
func (s *Storage) Fingerprint() string { return s.client.id.Fingerprint }

// Close implements endpoints.Storage.
func (s *Storage) Close() error {
	s.end()
	return nil
}

// login asks what the server can do.
func (s *Storage) login(ctx context.Context) error {
	const op = "log in to"
	key := s.url("/", true).String() + " " + string(s.opts.webdav)
	s.client.mu.Lock()
	known, ok := s.client.known[key]
	s.client.mu.Unlock()
	if ok && time.Since(known.proven) < provenFor {
		s.server = known
		return nil
	}
	var trip trip
	resp, err := s.do(httptrace.WithClientTrace(ctx, trip.trace()), request{method: http.MethodOptions, url: s.url("/", true), again: true})
	if err != nil {
		return s.failed(ctx, op, s.name, err)
	}
	srv := server{name: resp.Header.Get("Server"), times: speaksCloud(resp.Header), dav: s.opts.webdav == on, rtt: trip.time(), proven: time.Now()}
	if len(srv.name) > maxWords {
		srv.name = srv.name[:maxWords]
	}
	for _, key := range []string{"Allow", "DAV", "Accept-Ranges", "Ms-Author-Via"} {
		for _, value := range resp.Header.Values(key) {
			srv.says = append(srv.says, key+": "+value)
		}
	}
	if s.opts.webdav == auto {
		srv.dav = speaksDAV(resp.Header)
	}
	err = refused(resp)
	// Other refusals are of OPTIONS, which a server need not know where the record does.
	if kind, _ := kindOfStatus(resp.StatusCode); kind == fault.Credential || kind == fault.Busy || kind == fault.Transient && s.opts.webdav == auto {
		return s.failed(ctx, op, s.name, err)
	}
	if ok && known.rtt > 0 && known.rtt < srv.rtt {
		srv.rtt = known.rtt
	}
	s.server = srv
	s.client.mu.Lock()
	defer s.client.mu.Unlock()
	s.client.known[key] = srv
	return nil
}

// trip measures the time from a request to its answer, without the making of the
// connection. Its parts are told of by different goroutines.
type trip struct{ sent, answered atomic.Int64 }

func (t *trip) trace() *httptrace.ClientTrace {
	return &httptrace.ClientTrace{
		WroteRequest:         func(httptrace.WroteRequestInfo) { t.sent.Store(time.Now().UnixNano()) },
		GotFirstResponseByte: func() { t.answered.Store(time.Now().UnixNano()) },
	}
}

// time is 0 when it was not measured.
func (t *trip) time() time.Duration { return time.Duration(max(0, t.answered.Load()-t.sent.Load())) }

// speaksDAV reads the classes of compliance (RFC 4918, 10.1).
func speaksDAV(h http.Header) bool {
	for _, line := range h.Values("DAV") {
		for class := range strings.SplitSeq(line, ",") {
			if c := strings.TrimSpace(class); c == "1" || c == "2" || c == "3" {
				return true
			}
		}
	}
	return false
}

// enter is the beginning of every call. The context that it returns ends with
// the storage, too; leave is called when the call is over.
func (s *Storage) enter(ctx context.Context, op, p string) (_ context.Context, leave func(), err error) {
	if err := endpoints.CheckPath(op, p); err != nil {
		return ctx, nil, err
	}
	if err := ctx.Err(); err != nil {
		return ctx, nil, fault.Wrap(fault.KindOf(err), op, s.shown(p), err)
	}
	if s.life.Err() != nil {
		return ctx, nil, fault.Wrap(fault.Transient, op, s.shown(p), errClosed)
	}
	if err := s.addressable(op, p); err != nil {
		return ctx, nil, err
	}
	ctx, cancel := context.WithCancel(ctx)
	stop := context.AfterFunc(s.life, cancel)
	return ctx, func() { stop(); cancel() }, nil
}

// Stat implements endpoints.Storage.
func (s *Storage) Stat(ctx context.Context, p string) (endpoints.Entry, error) {
	const op = "stat"
	ctx, leave, err := s.enter(ctx, op, p)
	if err != nil {
		return endpoints.Entry{}, err
	}
	defer leave()
	e, err := s.stat(ctx, p)
	return e, s.failed(ctx, op, p, err)
}

func (s *Storage) stat(ctx context.Context, p string) (endpoints.Entry, error) {
	if !s.server.dav {
		return s.look(ctx, p)
	}
	var e endpoints.Entry
	found := false
	err := s.propfind(ctx, p, false, "0", func(m member) error {
		if found {
			return errors.New("the server tells of more than it was asked for")
		}
		found, e = true, m.entry
		s.renew(p, m.entry, m.etag)
		return nil
	})
	switch {
	case err == nil && !found:
		err = errors.New("the server tells nothing of it")
	case (statusOf(err) == http.StatusBadRequest || statusOf(err) == http.StatusInternalServerError && s.xrootd()) && p != "/": // what Apache and XRootD say of names behind that of a file
		if parent, above := s.stat(ctx, path.Dir(p)); missing(above) || above == nil && parent.Type != endpoints.Dir {
			err = &answer{status: http.StatusNotFound}
		}
	}
	e.Name = p
	return e, err
}

// renew takes note that a file that was opened before is another now, and that
// this is known to who asked.
func (s *Storage) renew(p string, e endpoints.Entry, etag string) {
	tag, _ := entityTag(etag)
	s.mu.Lock()
	defer s.mu.Unlock()
	was, ok := s.seen[p]
	if !ok {
		return
	}
	now := version{etag: tag, modified: was.modified, size: e.Size}
	if e.Type != endpoints.File || !now.same(was) || !e.ModTime.Equal(modTime(was.modified)) {
		delete(s.seen, p)
	}
}

// forget is for what this storage itself changes.
func (s *Storage) forget(p string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.seen, p)
}

// propfind asks a WebDAV server for a resource (Depth "0"), or for a collection
// and what is in it ("1").
func (s *Storage) propfind(ctx context.Context, p string, dir bool, depth string, each func(member) error) error {
	resp, err := s.do(ctx, request{
		method: methodPropfind, url: s.url(p, dir), again: true,
		header: http.Header{"Depth": {depth}, "Content-Type": {"application/xml; charset=utf-8"}},
		body:   text(propfindBody), length: int64(len(propfindBody)),
	})
	if err != nil {
		return err
	}
	if resp.StatusCode != http.StatusMultiStatus {
		return refused(resp)
	}
	err = multistatus(resp.Body, each)
	if err == nil {
		discard(resp)
		return nil
	}
	_ = resp.Body.Close() // of an answer that nobody reads on
	return err
}

// look asks a plain server. What cannot be asked by HEAD, as where a URL was
// signed for GET, is asked by GET for its first byte.
func (s *Storage) look(ctx context.Context, p string) (endpoints.Entry, error) {
	e := endpoints.Entry{Name: p, Type: endpoints.Dir}
	if p == "/" {
		return e, nil
	}
	e.Type = endpoints.File
	resp, err := s.do(ctx, request{method: http.MethodHead, url: s.url(p, false), again: true})
	if err != nil {
		return e, err
	}
	discard(resp)
	switch status := resp.StatusCode; {
	case isSlash(resp):
		e.Type = endpoints.Dir
		return e, nil
	case status == http.StatusOK && resp.ContentLength >= 0:
		e.Size, e.ModTime = resp.ContentLength, modTime(resp.Header.Get("Last-Modified"))
		s.renew(p, e, resp.Header.Get("ETag"))
		return e, nil
	case status == http.StatusOK, status == http.StatusForbidden, status == http.StatusMethodNotAllowed, status == http.StatusNotImplemented, status == http.StatusBadRequest:
		return s.lookInside(ctx, e)
	}
	return e, &answer{status: resp.StatusCode}
}

// isSlash says that the server redirects to the name with a slash, which is the
// one redirect that do does not follow for who reads.
func isSlash(resp *http.Response) bool {
	return slices.Contains([]int{http.StatusMovedPermanently, http.StatusFound, http.StatusSeeOther, http.StatusTemporaryRedirect, http.StatusPermanentRedirect}, resp.StatusCode)
}

func (s *Storage) lookInside(ctx context.Context, e endpoints.Entry) (endpoints.Entry, error) {
	r, err := s.get(ctx, e.Name, 0, 1, version{size: -1})
	if err != nil {
		return e, err
	}
	if r.body != nil {
		_ = r.body.Close() // of what was only looked at
	}
	if r.version.size < 0 {
		return e, refusal{"the server does not say how long the file is", "its files can be fetched by other means only"}
	}
	e.Size, e.ModTime = r.version.size, modTime(r.version.modified)
	s.renew(e.Name, e, r.version.etag)
	return e, nil
}
