package s3

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/gridferry/gridferry/endpoints"
)

// Where others have all the memory, a writer holds one part, and no more is
// taken from its caller before that is sent.
func TestWriterHoldsOnePart(t *testing.T) {
	var handed, sent atomic.Int64 // bytes
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch q := r.URL.Query(); {
		case q.Has("list-type"):
			_, _ = io.WriteString(w, `<ListBucketResult><Name>bucket</Name></ListBucketResult>`)
		case q.Has("uploads"):
			_, _ = io.WriteString(w, `<InitiateMultipartUploadResult><UploadId>one</UploadId></InitiateMultipartUploadResult>`)
		case q.Has("partNumber"):
			n, err := io.Copy(io.Discard, r.Body)
			if ahead := handed.Load() - sent.Load(); err != nil || ahead > partSize+mib {
				t.Errorf("%v; %d bytes were taken while the first %d of them were sent", err, ahead, n)
			}
			sent.Add(n)
			w.Header().Set("ETag", `"part"`)
		default:
			_, _ = io.WriteString(w, `<CompleteMultipartUploadResult><ETag>"whole"</ETag></CompleteMultipartUploadResult>`)
		}
	}))
	t.Cleanup(server.Close)
	d := New()
	t.Cleanup(d.Close)
	s, err := d.Open(t.Context(), endpoints.Record{Kind: Kind, Scheme: "http", Servers: []string{strings.TrimPrefix(server.URL, "http://")}, Root: "/bucket"}, Identity{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	d.ahead.Store(memoryAhead)
	const size = 5*partSize + 12345
	w, err := s.Create(t.Context(), "/file", endpoints.CreateOptions{Size: size})
	if err != nil {
		t.Fatal(err)
	}
	for rest := pattern(size); len(rest) > 0; rest = rest[min(len(rest), mib):] {
		piece := rest[:min(len(rest), mib)]
		handed.Add(int64(len(piece)))
		if _, err := w.Write(piece); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Commit(); err != nil {
		t.Fatal(err)
	}
	if sent.Load() != size {
		t.Errorf("%d bytes were sent of %d", sent.Load(), size)
	}
	if held := d.ahead.Load(); held != memoryAhead {
		t.Errorf("%d parts are held, and %d were by others", held, memoryAhead)
	}
}
