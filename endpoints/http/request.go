package http

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync/atomic"
	"time"
)

// maxRedirects is how often in a row a server may send one elsewhere.
const maxRedirects = 5

// errStalled is the cause of what ends because a server was silent.
var errStalled = errors.New("the server was silent for too long")

// watch ends a request whose server is waited for and silent. It runs only while
// it is the server's turn: who reads slowly, or has nothing to write, is no hung
// server.
type watch struct {
	ctx     context.Context
	cancel  context.CancelCauseFunc
	limit   time.Duration
	timer   *time.Timer
	expired atomic.Bool
}

func newWatch(ctx context.Context, limit time.Duration) *watch {
	w := &watch{limit: limit}
	w.ctx, w.cancel = context.WithCancelCause(ctx)
	w.timer = time.AfterFunc(limit, func() {
		w.expired.Store(true)
		w.cancel(errStalled)
	})
	return w
}

func (w *watch) wait() { w.timer.Reset(w.limit) }
func (w *watch) rest() { w.timer.Stop() }

// waitLonger is wait, for a server that has more to do than to answer.
func (w *watch) waitLonger(by time.Duration) { w.timer.Reset(w.limit + by) }

// end is the end of the request, whose answer was read or is not wanted.
func (w *watch) end() {
	w.timer.Stop()
	w.cancel(context.Canceled)
}

// cause is why the request failed: that it was too slow, if that is why.
func (w *watch) cause(err error) error {
	if err != nil && !errors.Is(err, io.EOF) && w.expired.Load() {
		return fmt.Errorf("%w (%v)", errStalled, w.limit)
	}
	return err
}

// watchedBody is an answer's body, of which every Read is watched.
type watchedBody struct {
	io.ReadCloser
	w *watch
}

func (b *watchedBody) Read(p []byte) (int, error) {
	b.w.wait()
	n, err := b.ReadCloser.Read(p)
	b.w.rest()
	return n, b.w.cause(err)
}

func (b *watchedBody) Close() error {
	b.w.end()
	return b.ReadCloser.Close()
}

// request is what is asked of a server. The body is sent once: a request that
// has one is redirected only as long as nothing of it was read.
type request struct {
	method string
	url    *url.URL
	header http.Header
	body   body  // nil: none
	length int64 // of the body; -1 unknown
	again  bool  // nothing is lost when it is sent twice
}

// body is a request's. open is called for each attempt, and sent says whether a
// former one has had any of it.
type body interface {
	open(w *watch) io.ReadCloser
	sent() bool
}

// text is a small body, which can be sent as often as need be.
type text string

func (t text) open(*watch) io.ReadCloser { return io.NopCloser(strings.NewReader(string(t))) }
func (text) sent() bool                  { return false }

// do sends a request and follows redirects. The answer may have any status; who
// gets it closes its body.
func (s *Storage) do(ctx context.Context, r request) (*http.Response, error) {
	to := r.url
	for range maxRedirects + 1 {
		resp, err := s.send(ctx, r, to)
		if err != nil {
			return nil, err
		}
		if !follows(r, resp.StatusCode) {
			return resp, nil
		}
		next, err := s.redirected(r, to, resp)
		if err != nil {
			discard(resp)
			return nil, err
		}
		if next == nil || r.body != nil && r.body.sent() {
			return resp, nil
		}
		discard(resp)
		to = next
	}
	return nil, errors.New("the server redirects in circles")
}

// follows says that a status sends this request elsewhere as it is (RFC 9110,
// 15.4). 301 and 302 let clients change the method, which only those that read
// would survive.
func follows(r request, status int) bool {
	reads := slices.Contains([]string{http.MethodGet, http.MethodHead, http.MethodOptions, methodPropfind}, r.method)
	switch status {
	case http.StatusMovedPermanently, http.StatusFound, http.StatusSeeOther:
		return reads
	case http.StatusTemporaryRedirect, http.StatusPermanentRedirect:
		return reads || r.method == http.MethodPut
	}
	return false
}

// redirected is where an answer sends. nil: to the same name with a slash, which
// says that it is a directory.
func (s *Storage) redirected(r request, from *url.URL, resp *http.Response) (*url.URL, error) {
	to, err := from.Parse(resp.Header.Get("Location"))
	switch {
	case err != nil || to.Host == "" || resp.Header.Get("Location") == "":
		return nil, errors.New("the server redirects to what is no URL")
	case to.Path == from.Path+"/" && r.method != methodPropfind && r.method != http.MethodOptions:
		return nil, nil
	case to.Scheme == schemeHTTPS || to.Scheme == schemeHTTP && (from.Scheme == schemeHTTP || s.opts.insecure):
		to.User, to.Fragment = nil, ""
		return to, nil
	case to.Scheme == schemeHTTP:
		return nil, refusal{"the server redirects from https to plain http", "options." + optionInsecure + ": on would let it"}
	}
	return nil, errors.New("the server redirects to what is no web server")
}

// refusal is of what this driver does not do, and of how one can make it.
type refusal struct{ what, hint string }

func (r refusal) Error() string { return r.what }

// send sends a request to one place. Who we are only the server of the record
// is told, and not over plain http unless the record says so.
func (s *Storage) send(ctx context.Context, r request, to *url.URL) (*http.Response, error) {
	w := newWatch(ctx, s.driver.stall)
	req, err := http.NewRequestWithContext(w.ctx, r.method, to.String(), nil)
	if err != nil {
		w.end()
		return nil, err
	}
	req.URL = to // with RawPath as we wrote it
	for k, v := range r.header {
		req.Header[k] = v
	}
	req.Header.Set("User-Agent", "gridferry")
	req.Header.Set("Accept-Encoding", "identity")
	if r.again {
		// net/http then repeats it when a kept connection turns out to be closed; a
		// key without a value is not sent.
		req.Header["Idempotency-Key"] = []string{}
	}
	if to.Host == s.opts.base.Host && to.Scheme == s.opts.base.Scheme {
		switch id := s.client.id; {
		case id.Token != "":
			req.Header.Set("Authorization", "Bearer "+id.Token)
		case id.Password != "":
			req.SetBasicAuth(s.opts.user, id.Password)
		}
	}
	if r.body != nil {
		req.ContentLength = r.length
		if r.length == 0 {
			req.Body = http.NoBody
		} else {
			req.Body = r.body.open(w)
			if r.again {
				req.GetBody = func() (io.ReadCloser, error) { return r.body.open(w), nil }
			}
		}
	}
	resp, err := s.client.transport.RoundTrip(req)
	if err != nil {
		err = w.cause(err)
		w.end()
		return nil, err
	}
	w.rest()
	resp.Body = &watchedBody{resp.Body, w}
	return resp, nil
}

// maxDiscard is how much of an answer that nobody wants is read to keep its
// connection, in bytes.
const maxDiscard = 64 << 10

// discard ends an answer.
func discard(resp *http.Response) {
	// A new connection costs more than some bytes; that they fail to come costs nothing.
	_, _ = io.CopyN(io.Discard, resp.Body, maxDiscard)
	_ = resp.Body.Close()
}
