package s3

import (
	"bytes"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gridferry/gridferry/endpoints"
)

// storeOf is a storage whose one object, "/file", has these bytes, and counts
// the requests for it.
func storeOf(t *testing.T, data []byte) (s *Storage, d *Driver, requests func() int) {
	t.Helper()
	var mu sync.Mutex
	n := 0
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Query().Has("list-type") {
			_, _ = io.WriteString(w, `<ListBucketResult><Name>bucket</Name></ListBucketResult>`)
			return
		}
		mu.Lock()
		n++
		mu.Unlock()
		w.Header().Set("ETag", `"one"`)
		http.ServeContent(w, r, "", time.Unix(1e9, 0), bytes.NewReader(data))
	}))
	t.Cleanup(server.Close)
	d = New()
	t.Cleanup(d.Close)
	s, err := d.Open(t.Context(), endpoints.Record{Kind: Kind, Scheme: "http", Servers: []string{strings.TrimPrefix(server.URL, "http://")}, Root: "/bucket"}, Identity{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s, d, func() int {
		mu.Lock()
		defer mu.Unlock()
		return n
	}
}

func pattern(n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(i>>16) ^ byte(i)
	}
	return b
}

// Many readers at once read what is there, and together keep no more in memory
// than a driver may.
func TestReadersShareMemory(t *testing.T) {
	data := pattern(5*partSize + 12345)
	s, d, _ := storeOf(t, data)
	var wg sync.WaitGroup
	for n := range 6 {
		wg.Go(func() {
			length := int64(len(data) - n)
			if n == 0 {
				length = -1
			}
			in, err := s.Open(t.Context(), "/file", int64(n), length)
			if err != nil {
				t.Error(err)
				return
			}
			defer in.Close()
			got, err := io.ReadAll(in)
			if err != nil || !bytes.Equal(got, data[n:]) {
				t.Errorf("reader %d: %d bytes that are not the file's, %v", n, len(got), err)
			}
			if held := d.ahead.Load(); held > memoryAhead+6 { // claims that are being taken back count for a moment
				t.Errorf("%d stretches are held", held)
			}
		})
	}
	wg.Wait()
	if held := d.ahead.Load(); held != 0 {
		t.Errorf("%d stretches are held when all is read", held)
	}
}

// Who gives a file up gives its memory back.
func TestReaderGivesMemoryBack(t *testing.T) {
	data := pattern(6 * partSize)
	s, d, _ := storeOf(t, data)
	in, err := s.Open(t.Context(), "/file", 0, int64(len(data)))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadFull(in, make([]byte, partSize+1)); err != nil {
		t.Fatal(err)
	}
	if err := in.Close(); err != nil {
		t.Fatal(err)
	}
	for deadline := time.Now().Add(time.Minute); d.ahead.Load() != 0; {
		if time.Now().After(deadline) {
			t.Fatalf("%d stretches are held", d.ahead.Load())
		}
		time.Sleep(time.Millisecond)
	}
}

// A piece that is not long is one request.
func TestShortPieceIsOneRequest(t *testing.T) {
	data := pattern(pieceInOne + 7)
	s, _, requests := storeOf(t, data)
	in, err := s.Open(t.Context(), "/file", 7, s.Caps().OneAnswer)
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	got, err := io.ReadAll(in)
	if err != nil || !bytes.Equal(got, data[7:]) {
		t.Errorf("%d bytes that are not the file's, %v", len(got), err)
	}
	if n := requests(); n != 1 {
		t.Errorf("%d requests", n)
	}
}
