package s3

import (
	"bytes"
	"errors"
	"hash/crc32"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gridferry/gridferry/endpoints"
	"github.com/gridferry/gridferry/fault"
)

// A piece is guarded when what is before it was read, and of the same version.
func TestPrefixes(t *testing.T) {
	ps := newPrefixes()
	p := ps.before("/f", "v1", 0)
	p.add([]byte("some "))
	ps.put("/f", *p)
	for _, c := range []struct {
		tag  string
		off  int64
		want bool
	}{{"v1", 5, true}, {"v2", 5, false}, {"v1", 6, false}, {"v2", 0, true}} {
		if got := ps.before("/f", c.tag, c.off); (got != nil) != c.want {
			t.Errorf("a piece of %s at %d: %v", c.tag, c.off, got)
		}
	}
	if ps.before("/g", "v1", 5) != nil {
		t.Error("a file has the prefix of another")
	}
	next := ps.before("/f", "v1", 5)
	next.add([]byte("text"))
	if want := crc32.Checksum([]byte("some text"), crcTable()); next.crc != want || next.end != 9 {
		t.Errorf("%08x of %d bytes, want %08x", next.crc, next.end, want)
	}
	if again := ps.before("/f", "v1", 5); again == nil || again.crc == next.crc {
		t.Error("a piece that fails takes the prefix with it")
	}
}

// Of an object that is read in pieces, the store is asked once what it keeps to
// compare it with; where it keeps nothing, nothing is computed.
func TestPiecesAreCompared(t *testing.T) {
	data := pattern(100_000)
	for _, c := range []struct {
		name string
		kept *string
		ok   bool
	}{
		{"right", encodeSum(crc32.Checksum(data, crcTable())), true},
		{"wrong", encodeSum(crc32.Checksum(data[1:], crcTable())), false},
		{"none", nil, true},
	} {
		var heads atomic.Int32
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Query().Has("list-type") {
				_, _ = io.WriteString(w, `<ListBucketResult><Name>bucket</Name></ListBucketResult>`)
				return
			}
			w.Header().Set("ETag", `"one"`)
			if r.Method == http.MethodHead {
				heads.Add(1)
				if c.kept != nil {
					w.Header().Set("X-Amz-Checksum-Crc32c", *c.kept)
				}
			}
			http.ServeContent(w, r, "", time.Unix(1e9, 0), bytes.NewReader(data))
		}))
		defer server.Close()
		d := New()
		defer d.Close()
		s, err := d.Open(t.Context(), endpoints.Record{Kind: Kind, Scheme: "http", Servers: []string{strings.TrimPrefix(server.URL, "http://")}, Root: "/bucket"}, Identity{})
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close()
		var got []byte
		for off := int64(0); off < int64(len(data)) && err == nil; off = int64(len(got)) {
			var in io.ReadCloser
			if in, err = s.Open(t.Context(), "/file", off, min(40_000, int64(len(data))-off)); err != nil {
				t.Fatal(err)
			}
			b := make([]byte, 40_000)
			var n int
			n, err = in.Read(b[:1])
			for deadline := time.Now().Add(time.Minute); off == 0 && len(in.(*reader).sum) == 0; time.Sleep(time.Millisecond) {
				if time.Now().After(deadline) {
					t.Fatalf("%s: the store was not asked", c.name)
				}
			}
			more, last := io.ReadFull(in, b[n:min(len(b), len(data)-int(off))])
			if _, end := in.Read(b[:1]); err == nil && last == nil && !errors.Is(end, io.EOF) {
				err = end
			}
			got = append(got, b[:n+more]...)
			if err := in.Close(); err != nil {
				t.Error(err)
			}
		}
		if !bytes.Equal(got, data) {
			t.Errorf("%s: %d bytes that are not the object's", c.name, len(got))
		}
		if (err == nil) != c.ok || err != nil && !fault.Is(err, fault.Integrity) {
			t.Errorf("%s: %v", c.name, err)
		}
		if n := heads.Load(); n != 1 {
			t.Errorf("%s: the store was asked %d times", c.name, n)
		}
		if seen := len(s.prefixes.seen); (seen == 0) != (c.kept == nil) {
			t.Errorf("%s: %d digests were computed", c.name, seen)
		}
	}
}
