package http

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gridferry/gridferry/endpoints"
	"github.com/gridferry/gridferry/fault"
	"github.com/gridferry/gridferry/internal/pipes"
)

// serve opens a server that is bad in some way. Its record stands for an http
// URL when name is empty.
func serve(t *testing.T, name string, id Identity, handler http.HandlerFunc) *Storage {
	t.Helper()
	server := httptest.NewServer(handler)
	t.Cleanup(server.Close)
	d := New(Config{})
	t.Cleanup(d.Close)
	s, err := d.Open(t.Context(), plain(name, server), id)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

func plain(name string, server *httptest.Server) endpoints.Record {
	return endpoints.Record{Name: name, Kind: Kind, Scheme: "http", Servers: []string{strings.TrimPrefix(server.URL, "http://")}, User: "ada", Options: map[string]string{"insecure": "on"}}
}

// servePiped is serve without sockets, for a bubble of synctest, where time
// passes only while nobody has anything to do.
func servePiped(t *testing.T, handler http.HandlerFunc) *Storage {
	t.Helper()
	l := pipes.Listen(80)
	server := &httptest.Server{Listener: l, Config: &http.Server{Handler: handler}}
	server.Start()
	d := New(Config{})
	rec := plain("lab#web", server)
	o, err := parse(rec)
	if err != nil {
		t.Fatal(err)
	}
	c, err := d.client(o, Identity{})
	if err != nil {
		t.Fatal(err)
	}
	c.transport.DialContext = l.Dial
	s, err := d.Open(t.Context(), rec, Identity{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		s.Close()
		d.Close()
		server.CloseClientConnections()
		server.Close()
	})
	return s
}

// file answers like a good server with one file. mend is called before, and
// says whether that was all.
func file(data func() []byte, etag func() string, mend func(w http.ResponseWriter, r *http.Request) bool) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodOptions {
			return
		}
		if e := etag(); e != "" {
			w.Header().Set("ETag", e)
		}
		if mend != nil && mend(w, r) {
			return
		}
		http.ServeContent(w, r, "f", time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC), bytes.NewReader(data()))
	}
}

func noise(n int) []byte {
	rnd := rand.New(rand.NewPCG(1, uint64(n)))
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(rnd.Uint32())
	}
	return b
}

func always[T any](v T) func() T { return func() T { return v } }

func read(s *Storage, off, length int64) ([]byte, error) {
	r, err := s.Open(context.Background(), "/f", off, length)
	if err != nil {
		return nil, err
	}
	b, err := io.ReadAll(r)
	return b, errors.Join(err, r.Close())
}

func wantFault(t *testing.T, what string, err error, kind fault.Kind, words ...string) {
	t.Helper()
	if !fault.Is(err, kind) {
		t.Errorf("%s: %v, which is %s and not %s", what, err, fault.KindOf(err), kind)
		return
	}
	for _, w := range words {
		if !strings.Contains(err.Error(), w) {
			t.Errorf("%s: %v", what, err)
		}
	}
}

// tear ends a connection in the middle of an answer.
func tear(w http.ResponseWriter) { panic(http.ErrAbortHandler) }

func TestConnectionsThatBreakAreTakenUp(t *testing.T) {
	data := noise(3 << 20)
	var asked atomic.Int64
	s := serve(t, "lab#web", Identity{}, file(always(data), always(`"1"`), func(w http.ResponseWriter, r *http.Request) bool {
		if asked.Add(1) > 2 {
			return false
		}
		var off int
		_, _ = fmt.Sscanf(r.Header.Get("Range"), "bytes=%d-", &off)
		if off > 0 && r.Header.Get("If-Match") != `"1"` {
			t.Error("the rest is asked for without saying of which version")
		}
		w.Header().Set("Content-Range", fmt.Sprintf("bytes %d-%d/%d", off, len(data)-1, len(data)))
		w.Header().Set("Content-Length", strconv.Itoa(len(data)-off))
		w.WriteHeader(http.StatusPartialContent)
		_, _ = w.Write(data[off : off+500_000])
		tear(w)
		return true
	}))
	got, err := read(s, 0, int64(len(data)))
	if err != nil || !bytes.Equal(got, data) || asked.Load() != 3 {
		t.Errorf("%d of %d bytes in %d requests, %v", len(got), len(data), asked.Load(), err)
	}
}

func TestServersThatLie(t *testing.T) {
	data := noise(300_000)
	for name, c := range map[string]struct {
		mend      func(w http.ResponseWriter, r *http.Request) bool
		off, size int64
		kind      fault.Kind // empty: all goes well nevertheless
		words     []string
	}{
		"no answer": {func(w http.ResponseWriter, r *http.Request) bool {
			w.Header().Set("Content-Length", "300000")
			tear(w)
			return true
		}, 0, 300_000, fault.Transient, []string{"open /f", "EOF"}},
		"more is promised than there is": {func(w http.ResponseWriter, r *http.Request) bool {
			var off int
			_, _ = fmt.Sscanf(r.Header.Get("Range"), "bytes=%d-", &off)
			w.Header().Set("Content-Range", fmt.Sprintf("bytes %d-399999/400000", off))
			w.Header().Set("Content-Length", strconv.Itoa(400_000-off))
			w.WriteHeader(http.StatusPartialContent)
			_, _ = w.Write(data[min(off, len(data)):])
			tear(w)
			return true
		}, 0, 400_000, fault.Transient, []string{"read /f", "EOF"}},
		"200 instead of 206": {func(w http.ResponseWriter, r *http.Request) bool {
			_, _ = w.Write(data)
			return true
		}, 100_000, 50_000, "", nil},
		"another range": {func(w http.ResponseWriter, r *http.Request) bool {
			w.Header().Set("Content-Range", "bytes 0-49999/300000")
			w.WriteHeader(http.StatusPartialContent)
			_, _ = w.Write(data[:50_000])
			return true
		}, 100_000, 50_000, fault.Integrity, []string{"other bytes"}},
		"a range of no file": {func(w http.ResponseWriter, r *http.Request) bool {
			w.Header().Set("Content-Range", "bytes 9-1/x")
			w.WriteHeader(http.StatusPartialContent)
			return true
		}, 100_000, 50_000, fault.Integrity, []string{"other bytes"}},
		"silence before the answer": {func(w http.ResponseWriter, r *http.Request) bool {
			<-r.Context().Done()
			return true
		}, 0, 10, fault.Transient, []string{"open /f", "silent for too long"}},
		"silence in the middle": {func(w http.ResponseWriter, r *http.Request) bool {
			w.Header().Set("Content-Length", "300000")
			_, _ = w.Write(data[:1000])
			_ = http.NewResponseController(w).Flush()
			<-r.Context().Done()
			return true
		}, 0, 300_000, fault.Transient, []string{"read /f", "silent for too long"}},
		"a header without end": {func(w http.ResponseWriter, r *http.Request) bool {
			w.Header().Set("X", strings.Repeat("x", 2*maxHeader))
			return true
		}, 0, 10, fault.Transient, []string{"open /f"}},
		"busy": {func(w http.ResponseWriter, r *http.Request) bool {
			w.Header().Set("Retry-After", "30")
			w.WriteHeader(http.StatusServiceUnavailable)
			return true
		}, 0, 10, fault.Busy, []string{"503 Service Unavailable; it asks to be left alone for 30s"}},
		"a proxy that wants a password": {func(w http.ResponseWriter, r *http.Request) bool {
			w.WriteHeader(http.StatusProxyAuthRequired)
			return true
		}, 0, 10, fault.Credential, []string{"407"}},
		"circles": {func(w http.ResponseWriter, r *http.Request) bool {
			http.Redirect(w, r, "/f?", http.StatusFound)
			return true
		}, 0, 10, fault.Transient, []string{"in circles"}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := servePiped(t, file(always(data), always(`"1"`), c.mend))
				got, err := read(s, c.off, c.size)
				if c.kind != "" {
					wantFault(t, name, err, c.kind, c.words...)
				} else if err != nil || !bytes.Equal(got, data[c.off:c.off+c.size]) {
					t.Errorf("%d bytes, %v", len(got), err)
				}
			})
		})
	}
}

// What is read in ranges is of one version, whatever the server makes of
// conditions.
func TestFilesThatChange(t *testing.T) {
	for name, c := range map[string]struct {
		etags [2]string
		sizes [2]int
		deaf  bool // the server ignores If-Match
	}{
		"another tag":            {[2]string{`"1"`, `"2"`}, [2]int{100_000, 100_000}, false},
		"and a deaf server":      {[2]string{`"1"`, `"2"`}, [2]int{100_000, 100_000}, true},
		"weak tags":              {[2]string{`W/"1"`, `W/"2"`}, [2]int{100_000, 100_000}, true},
		"another size, no tags":  {[2]string{"", ""}, [2]int{100_000, 100_001}, true},
		"shorter than the range": {[2]string{"", ""}, [2]int{100_000, 40_000}, true},
	} {
		t.Run(name, func(t *testing.T) {
			var mu sync.Mutex
			now := 0
			version := func() int {
				mu.Lock()
				defer mu.Unlock()
				return now
			}
			s := serve(t, "lab#web", Identity{}, file(
				func() []byte { return noise(c.sizes[version()]) },
				func() string { return c.etags[version()] },
				func(_ http.ResponseWriter, r *http.Request) bool {
					if c.deaf {
						r.Header.Del("If-Match")
						r.Header.Del("If-Unmodified-Since")
					}
					return false
				}))
			if _, err := read(s, 0, 50_000); err != nil {
				t.Fatal(err)
			}
			mu.Lock()
			now = 1
			mu.Unlock()
			_, err := read(s, 50_000, 50_000)
			wantFault(t, "the second range", err, fault.Integrity, "was replaced or removed while it was being read")
			// Who begins again gets the new one.
			if got, err := read(s, 0, -1); err != nil || len(got) != c.sizes[1] {
				t.Errorf("%d bytes, %v", len(got), err)
			}
		})
	}
}

// A URL that is signed for GET is asked by nothing else, keeps its query, and
// shows it to nobody.
func TestSignedURLs(t *testing.T) {
	data := noise(1000)
	s := serve(t, "", Identity{}, func(w http.ResponseWriter, r *http.Request) {
		switch {
		case r.URL.RawQuery != "sig=a%2Fb&x=1" || r.Method != http.MethodGet:
			w.WriteHeader(http.StatusForbidden)
		case r.URL.Path == "/empty":
			http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(nil))
		case r.URL.Path == "/b k":
			http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(data))
		default:
			w.WriteHeader(http.StatusNotFound)
		}
	})
	const query = "?sig=a%2Fb&x=1"
	for path, size := range map[string]int64{"/b k": 1000, "/empty": 0} {
		if e, err := s.Stat(t.Context(), path+query); err != nil || e.Size != size || e.Type != endpoints.File {
			t.Errorf("%s: %+v, %v", path, e, err)
		}
		r, err := s.Open(t.Context(), path+query, 0, size)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := io.ReadAll(r); err != nil || !bytes.Equal(got, data[:size]) {
			t.Errorf("%s: %d bytes, %v", path, len(got), err)
		}
		_ = r.Close()
	}
	for what, call := range map[string]func() error{
		"stat": func() error { _, err := s.Stat(t.Context(), "/gone"+query); return err },
		"open": func() error { _, err := s.Open(t.Context(), "/gone"+query, 0, -1); return err },
		"list": func() error { return s.List(t.Context(), "/gone"+query, nil) },
	} {
		if err := call(); err == nil || strings.Contains(err.Error(), "sig") || !strings.Contains(err.Error(), "/gone?...") {
			t.Errorf("%s: %v", what, err)
		}
	}
}

// Who we are, the server of the record is told, and nobody that it sends us to.
func TestRedirects(t *testing.T) {
	data := noise(1000)
	var shown atomic.Int64
	elsewhere := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != "" {
			shown.Add(1)
		}
		got, _ := io.ReadAll(r.Body)
		switch {
		case r.Method == http.MethodPut && !bytes.Equal(got, data[:len(got)]):
			w.WriteHeader(http.StatusBadRequest)
		case r.Method == http.MethodPut:
			w.WriteHeader(http.StatusCreated)
		default:
			http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(data))
		}
	}))
	defer elsewhere.Close()
	s := serve(t, "lab#web", Identity{Password: "geheim", Fingerprint: "1"}, func(w http.ResponseWriter, r *http.Request) {
		if user, password, _ := r.BasicAuth(); user != "ada" || password != "geheim" {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		if r.Method != http.MethodOptions {
			http.Redirect(w, r, elsewhere.URL+r.URL.Path, http.StatusTemporaryRedirect)
		}
	})
	if got, err := read(s, 100, 200); err != nil || !bytes.Equal(got, data[100:300]) {
		t.Errorf("%d bytes, %v", len(got), err)
	}
	w, err := s.Create(t.Context(), "/f", endpoints.CreateOptions{Size: 1000})
	if err == nil {
		_, err = w.Write(data)
	}
	if err == nil {
		err = w.Commit()
	}
	if err != nil || shown.Load() != 0 {
		t.Errorf("%v; credentials were shown %d times", err, shown.Load())
	}
}

func TestRedirectOutOfTLS(t *testing.T) {
	plain := httptest.NewServer(http.NotFoundHandler())
	defer plain.Close()
	server := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodOptions {
			http.Redirect(w, r, plain.URL+"/f", http.StatusFound)
		}
	}))
	defer server.Close()
	d := New(Config{})
	defer d.Close()
	rec := endpoints.Record{Name: "lab#web", Kind: Kind, Servers: []string{strings.TrimPrefix(server.URL, "https://")}}
	_, err := d.Open(t.Context(), rec, Identity{})
	wantFault(t, "an authority that nobody knows", err, fault.Credential, "not who it should be", "options.ca_file")
	rec.Options = map[string]string{"ca_file": caFile(t, server.Certificate())}
	s, err := d.Open(t.Context(), rec, Identity{})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	_, err = read(s, 0, -1)
	wantFault(t, "a redirect to http", err, fault.Unsupported, "from https to plain http", "options.insecure: on")
}

func caFile(t *testing.T, c *x509.Certificate) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.Raw}), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// Refusals of what is written, told early and late, of small files and large.
func TestRefusedWrites(t *testing.T) {
	data := noise(5 << 20)
	for status, kind := range map[int]fault.Kind{
		http.StatusInsufficientStorage: fault.NoSpace, http.StatusRequestEntityTooLarge: fault.Unsupported, http.StatusTooManyRequests: fault.Busy,
		http.StatusUnauthorized: fault.Credential, http.StatusBadGateway: fault.Transient, http.StatusLocked: fault.Busy,
	} {
		for _, early := range []bool{true, false} {
			for _, size := range []int{10, len(data)} {
				s := serve(t, "lab#web", Identity{}, func(w http.ResponseWriter, r *http.Request) {
					if r.Method != http.MethodPut {
						return
					}
					if !early {
						_, _ = io.Copy(io.Discard, r.Body)
					}
					w.WriteHeader(status)
				})
				w, err := s.Create(t.Context(), "/f", endpoints.CreateOptions{Size: int64(size)})
				if err == nil {
					_, err = w.Write(data[:size])
				}
				if err == nil {
					err = w.Commit()
				}
				wantFault(t, fmt.Sprint(status, early, size), err, kind, "write /f", strconv.Itoa(status))
				if err := w.Abort(); err != nil {
					t.Error(err)
				}
			}
		}
	}
}

// A server that knows no Content-Range, and does not say so, is found out.
func TestRangesThatAreIgnored(t *testing.T) {
	var size atomic.Int64
	s := serve(t, "lab#web", Identity{}, func(w http.ResponseWriter, r *http.Request) {
		switch r.Method {
		case http.MethodOptions:
			w.Header().Set("DAV", "1, 2")
			w.Header().Set("Server", "Apache/2.4")
		case http.MethodPut:
			n, _ := io.Copy(io.Discard, r.Body)
			size.Store(n)
			w.WriteHeader(http.StatusNoContent)
		case methodPropfind:
			w.WriteHeader(http.StatusMultiStatus)
			fmt.Fprintf(w, `<multistatus xmlns="DAV:"><response><href>/f</href><propstat><prop><getcontentlength>%d</getcontentlength></prop></propstat></response></multistatus>`, size.Load())
		}
	})
	w, err := s.Create(t.Context(), "/f", endpoints.CreateOptions{Size: 10, Offset: 100, Update: true})
	if err == nil {
		_, err = w.Write(noise(10))
	}
	if err == nil {
		err = w.Commit()
	}
	wantFault(t, "a range", err, fault.Unsupported, "taken a range for the whole file", "options.ranges: off")
}

// A server that stops taking bytes is hung; one that waits for ours is not.
func TestSlowWrites(t *testing.T) { synctest.Test(t, testSlowWrites) }

func testSlowWrites(t *testing.T) {
	release := make(chan struct{})
	s := servePiped(t, func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodPut {
			return
		}
		if r.URL.Path == "/hung" {
			<-release
			return
		}
		_, _ = io.Copy(io.Discard, r.Body)
	})
	t.Cleanup(func() { close(release) })
	data := make([]byte, 64<<20)
	w, err := s.Create(t.Context(), "/hung", endpoints.CreateOptions{Size: int64(len(data))})
	if err != nil {
		t.Fatal(err)
	}
	_, err = w.Write(data)
	wantFault(t, "a hung server", err, fault.Transient, "silent for too long")
	if err := w.Abort(); err != nil {
		t.Error(err)
	}

	w, err = s.Create(t.Context(), "/slow", endpoints.CreateOptions{Size: 4 << 20})
	if err != nil {
		t.Fatal(err)
	}
	for _, piece := range [][]byte{data[:2<<20], data[2<<20 : 4<<20]} {
		if _, err := w.Write(piece); err != nil {
			t.Fatal(err)
		}
		time.Sleep(2 * s.driver.stall) // by the bubble's clock
	}
	if err := w.Commit(); err != nil {
		t.Error(err)
	}
}

// The ways to say who one is, besides a password.
func TestIdentities(t *testing.T) {
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != "Bearer word" && len(r.TLS.PeerCertificates) == 0 {
			w.WriteHeader(http.StatusUnauthorized)
		}
	}))
	server.TLS = &tls.Config{ClientAuth: tls.RequestClientCert}
	server.StartTLS()
	defer server.Close()
	d := New(Config{})
	defer d.Close()
	rec := endpoints.Record{Name: "lab#web", Kind: Kind, Servers: []string{strings.TrimPrefix(server.URL, "https://")}, Options: map[string]string{"ca_file": caFile(t, server.Certificate())}}
	for _, id := range []Identity{
		{Owner: "ada", Token: "word", Fingerprint: "1"},
		{Owner: "ada", Certificate: &server.TLS.Certificates[0], Fingerprint: "2"},
	} {
		s, err := d.Open(t.Context(), rec, id)
		if err != nil {
			t.Fatal(err)
		}
		if s.Fingerprint() != id.Fingerprint {
			t.Errorf("the fingerprint is %q", s.Fingerprint())
		}
		_ = s.Close()
	}
	_, err := d.Open(t.Context(), rec, Identity{Owner: "ada", Token: "old", Fingerprint: "3"})
	wantFault(t, "another token", err, fault.Credential, "log in to lab#web", "renew it in the file")
	if e, ok := errors.AsType[*endpoints.CredentialError](err); !ok || e.Fingerprint != "3" || e.Domain != "lab#web" {
		t.Errorf("the error is about %+v", e)
	}
	d.CloseCredential("1")
	if len(d.clients) != 2 {
		t.Errorf("%d clients are left of 3", len(d.clients))
	}
}
