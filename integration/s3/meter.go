package s3

import (
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// Meter is a proxy in front of a store that counts what goes through it, and may
// be a slow line.
type Meter struct {
	Addr string // HOST:PORT

	PartBytes atomic.Int64 // received in parts of uploads, those that broke off included
	ReadBytes atomic.Int64 // sent of objects
	Rate      atomic.Int64 // bytes a second, of each request; 0 is no limit

	Parts *Tally // what of uploads was received
	Reads *Tally // what of objects was sent

	mu        sync.Mutex
	requests  map[string]int
	broken    []Broken
	afterList func()
	archive   Archive
	damages   damages
}

// Broken answers some requests in the store's place.
type Broken struct {
	Method, Query string // that the request has, its query as a part of it
	Times         int    // how often; it counts down
	Status        int
	Code, Message string
}

// NewMeter starts a meter in front of the server at addr.
func NewMeter(t testing.TB, addr string) *Meter {
	t.Helper()
	m := &Meter{requests: map[string]int{}, Parts: newTally(), Reads: newTally()}
	// The Host header stays what it was: it is signed.
	proxy := &httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) {
			r.Out.URL.Scheme, r.Out.URL.Host, r.Out.Host = "http", addr, r.In.Host
		},
		Transport:      &http.Transport{MaxIdleConnsPerHost: 64},
		ErrorLog:       log.New(io.Discard, "", 0), // it tells of what is broken off
		ErrorHandler:   func(w http.ResponseWriter, _ *http.Request, _ error) { w.WriteHeader(http.StatusBadGateway) },
		ModifyResponse: m.response,
	}
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if b, ok := m.refuses(r); ok {
			w.Header().Set("Content-Type", "application/xml")
			w.WriteHeader(b.Status)
			_, _ = io.WriteString(w, "<Error><Code>"+b.Code+"</Code><Message>"+b.Message+"</Message></Error>") // the client may have gone
			return
		}
		if m.archives(w, r) {
			return
		}
		if q := r.URL.Query(); r.Method == http.MethodPut && q.Has("partNumber") {
			c := m.count(r.Body, &m.PartBytes, m.Parts, q.Get("uploadId")+" "+q.Get("partNumber"), 0)
			defer c.span.end()
			r.Body = c
		}
		if r.Method == http.MethodPut {
			r.Body = m.damages.of(r, r.Body, r.ContentLength)
		}
		proxy.ServeHTTP(w, r)
	}))
	server.Config.ConnContext = withConn
	server.Config.ErrorLog = proxy.ErrorLog
	server.Start()
	t.Cleanup(server.Close)
	u, err := url.Parse(server.URL)
	if err != nil {
		t.Fatal(err)
	}
	m.Addr = u.Host
	return m
}

func (m *Meter) refuses(r *http.Request) (Broken, bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.requests[kindOf(r)]++
	for i, b := range m.broken {
		if b.Times > 0 && r.Method == b.Method && strings.Contains(r.URL.RawQuery, b.Query) {
			m.broken[i].Times--
			return b, true
		}
	}
	return Broken{}, false
}

// kindOf names a request: the method, and the part of the query that tells what
// it is.
func kindOf(r *http.Request) string {
	for _, q := range []string{"partNumber", "uploads", "uploadId", "list-type", "delete"} {
		if r.URL.Query().Has(q) {
			return r.Method + " " + q
		}
	}
	return r.Method
}

// Break has the next requests that are like b answered with an error.
func (m *Meter) Break(b Broken) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.broken = append(m.broken, b)
}

// Mend lets everything through again.
func (m *Meter) Mend() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.broken = nil
}

// Requests returns how many there were, by kind.
func (m *Meter) Requests() map[string]int {
	m.mu.Lock()
	defer m.mu.Unlock()
	out := map[string]int{}
	for k, n := range m.requests {
		out[k] = n
	}
	return out
}

func (m *Meter) response(r *http.Response) error {
	if r.Request.URL.Query().Has("list-type") && r.StatusCode < 300 {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			return err
		}
		if r.Request.URL.Query().Has("continuation-token") {
			m.mu.Lock()
			fn := m.afterList
			m.afterList = nil
			m.mu.Unlock()
			if fn != nil {
				fn()
			}
		}
		text := m.archive.classes(strings.TrimSuffix(r.Request.URL.Path, "/"), string(body))
		r.Body, r.ContentLength = io.NopCloser(strings.NewReader(text)), int64(len(text))
		r.Header.Set("Content-Length", strconv.Itoa(len(text)))
		return nil
	}
	if r.Request.Method == http.MethodGet && r.Request.URL.Query().Get("list-type") == "" && r.StatusCode < 300 {
		var from int64
		if span := r.Header.Get("Content-Range"); span != "" {
			if _, err := fmt.Sscanf(span, "bytes %d-", &from); err != nil {
				return err
			}
		}
		r.Body = m.count(m.damages.of(r.Request, r.Body, r.ContentLength), &m.ReadBytes, m.Reads, r.Request.URL.Path, from)
	}
	return nil
}

// AfterList has fn called once, when the store has listed a further page of a long
// listing, which nobody has seen yet.
func (m *Meter) AfterList(fn func()) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.afterList = fn
}

// counted counts what is read, and holds it back to the meter's rate.
type counted struct {
	io.ReadCloser
	n    *atomic.Int64
	m    *Meter
	span *span
}

func (m *Meter) count(body io.ReadCloser, n *atomic.Int64, t *Tally, of string, from int64) *counted {
	return &counted{body, n, m, t.begin(of, from)}
}

func (c *counted) Close() error {
	c.span.end()
	return c.ReadCloser.Close()
}

func (c *counted) Read(p []byte) (int, error) {
	n, err := c.ReadCloser.Read(p)
	c.n.Add(int64(n))
	c.span.add(n)
	if rate := c.m.Rate.Load(); rate > 0 {
		time.Sleep(time.Duration(int64(n) * int64(time.Second) / rate))
	}
	return n, err
}
