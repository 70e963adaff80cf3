package http

import (
	"bytes"
	"fmt"
	"hash/adler32"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/gridferry/gridferry/endpoints"
	"github.com/gridferry/gridferry/fault"
)

func TestParseDigest(t *testing.T) {
	const md5 = "d41d8cd98f00b204e9800998ecf8427e"
	for _, c := range []struct{ key, value, alg, want string }{
		{"Digest", "adler32=03da0195", "adler32", "03da0195"},
		{"Digest", "ADLER32=3DA0195", "adler32", "03da0195"},
		{"Digest", "md5=1B2M2Y8AsgTpgAmY7PhCfg==, adler32=00000001", "md5", md5},
		{"Digest", "md5=1B2M2Y8AsgTpgAmY7PhCfg==, adler32=00000001", "adler32", "00000001"},
		{"Repr-Digest", "md5=:1B2M2Y8AsgTpgAmY7PhCfg==:", "md5", md5},
		{"Repr-Digest", "adler32=:AAAAAQ==:", "adler32", "00000001"},
		{"Digest", "sha-256=47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=", "sha256", "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"},
		{"Digest", "SHA=2jmj7l5rSw0yVb/vlWAYkK/YBwk=", "sha1", "da39a3ee5e6b4b0d3255bfef95601890afd80709"},
		{"Digest", "md5=00000001", "md5", ""},
		{"Digest", "md5=" + md5, "md5", ""}, // hexadecimal is not how it is written
		{"Digest", "adler32=", "adler32", ""},
		{"Digest", "adler32=0123456789", "adler32", ""},
		{"Digest", "adler32=nonsense", "adler32", ""},
		{"Repr-Digest", "md5=:1B2M2Y8AsgTpgAmY7PhCfg==", "md5", ""},
		{"Digest", "adler32", "adler32", ""},
		{"Digest", "", "adler32", ""},
		{"Digest", "crc32c=AAAAAA==", "crc32c", ""},
	} {
		if got, ok := parseDigest(http.Header{c.key: {c.value}}, c.alg); got != c.want || ok != (c.want != "") {
			t.Errorf("%s: %s is %q of %s, want %q", c.key, c.value, got, c.alg, c.want)
		}
	}
}

// What the server tells of a file is not read, and what it does not tell is.
func TestDigestsOfTheServer(t *testing.T) {
	data := noise(100_000)
	sum := fmt.Sprintf("%08x", adler32.Checksum(data))
	for what, c := range map[string]struct {
		answer func(w http.ResponseWriter)
		gets   int64
	}{
		"told":         {func(w http.ResponseWriter) { w.Header().Set("Digest", "adler32="+sum) }, 0},
		"not told":     {func(http.ResponseWriter) {}, 1},
		"another one":  {func(w http.ResponseWriter) { w.Header().Set("Digest", "md5=1B2M2Y8AsgTpgAmY7PhCfg==") }, 1},
		"nonsense":     {func(w http.ResponseWriter) { w.Header().Set("Digest", "adler32=none") }, 1},
		"not set up":   {func(w http.ResponseWriter) { w.WriteHeader(http.StatusInternalServerError) }, 1},
		"a broken end": {tear, 1},
	} {
		var gets atomic.Int64
		s := serve(t, "lab#web", Identity{}, func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Server", "dCache/9.2.1")
			switch r.Method {
			case http.MethodHead:
				if want := r.Header.Get("Want-Digest") + " " + r.Header.Get("Want-Repr-Digest"); want != "adler32 adler32=10" {
					t.Errorf("%s: it is asked for %q", what, want)
				}
				c.answer(w)
			case http.MethodGet:
				gets.Add(1)
				http.ServeContent(w, r, "f", modTime("Fri, 02 Jan 2026 03:04:05 GMT"), bytes.NewReader(data))
			}
		})
		if algs := s.Caps().Checksums; !slices.Equal(algs, []string{"adler32"}) {
			t.Errorf("%s: %v", what, algs)
		}
		got, err := s.Checksum(t.Context(), "/f", "adler32", 0, -1, nil)
		if err != nil || got != sum || gets.Load() != c.gets {
			t.Errorf("%s: %q, %v, after reading %d times; want %q after %d", what, got, err, gets.Load(), sum, c.gets)
		}
		part, err := s.Checksum(t.Context(), "/f", "adler32", 10, 90, nil)
		if want := fmt.Sprintf("%08x", adler32.Checksum(data[10:100])); err != nil || part != want {
			t.Errorf("%s, a range: %q, %v", what, part, err)
		}
		_, err = s.Checksum(t.Context(), "/f", "sha256", 0, -1, nil)
		wantFault(t, what, err, fault.Unsupported, "sha256")
		_, err = s.Checksum(t.Context(), "/f", "adler32", -1, -1, nil)
		wantFault(t, what, err, fault.Invalid)
	}
}

func TestWhoIsAskedForDigests(t *testing.T) {
	for _, c := range []struct {
		server, option string
		want           string
	}{
		{"dCache/9.2.1", "", "adler32"},
		{"XRootD", "auto", "adler32"},
		{"XrootD/v5.5.3", "", "adler32"},
		{"Xroot", "", ""},
		{"Apache/2.4", "", ""},
		{"dCache/9.2.1", "off", ""},
		{"Jetty", "adler32, sha256", "sha256 adler32"},
	} {
		rec := endpoints.Record{Scheme: "https", Servers: []string{"web.example.org"}, Options: map[string]string{}}
		if c.option != "" {
			rec.Options[optionDigests] = c.option
		}
		o, err := parse(rec)
		if err != nil {
			t.Errorf("%+v: %v", c, err)
			continue
		}
		s := &Storage{opts: o, server: server{name: c.server}}
		if got := strings.Join(s.Caps().Checksums, " "); got != c.want {
			t.Errorf("%+v: %q", c, got)
		}
	}
	rec := endpoints.Record{Scheme: "https", Servers: []string{"web.example.org"}, Options: map[string]string{optionDigests: "adler32,crc64"}}
	wantFault(t, "an unknown algorithm", Check(rec), fault.Invalid, "options.digests", "adler32,crc64", "sha256")
}
