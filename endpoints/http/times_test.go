package http

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gridferry/gridferry/endpoints"
	"github.com/gridferry/gridferry/fault"
)

// keeper is a server with one file, which may have its time set.
func keeper(dav, status string) (http.HandlerFunc, *atomic.Int64) {
	at := new(atomic.Int64)
	return func(w http.ResponseWriter, r *http.Request) {
		switch r.Method {
		case http.MethodOptions:
			w.Header().Set("DAV", dav)
		case methodPropfind:
			if r.URL.Path != "/f" {
				w.WriteHeader(http.StatusNotFound)
				return
			}
			w.WriteHeader(http.StatusMultiStatus)
			fmt.Fprintf(w, `<multistatus xmlns="DAV:"><response><href>/f</href><propstat><prop><getcontentlength>1</getcontentlength><getlastmodified>%s</getlastmodified></prop><status>HTTP/1.1 200 OK</status></propstat></response></multistatus>`,
				time.Unix(at.Load(), 0).UTC().Format(http.TimeFormat))
		case methodProppatch:
			body, err := io.ReadAll(r.Body)
			var seconds int64
			_, rest, _ := strings.Cut(string(body), "<lastmodified>")
			if n, _ := fmt.Sscan(strings.TrimSuffix(rest, "</lastmodified></prop></set></propertyupdate>"), &seconds); err != nil || n != 1 {
				w.WriteHeader(http.StatusBadRequest)
				return
			}
			if status == "" {
				w.WriteHeader(http.StatusMethodNotAllowed)
				return
			}
			if strings.Contains(status, "200") {
				at.Store(seconds)
			}
			w.WriteHeader(http.StatusMultiStatus)
			if status == "nothing" {
				return
			}
			fmt.Fprintf(w, `<d:multistatus xmlns:d="DAV:"><d:response><d:href>/f</d:href><d:propstat><d:prop><d:lastmodified/></d:prop><d:status>%s</d:status></d:propstat></d:response></d:multistatus>`, status)
		}
	}, at
}

func TestTimesAreSet(t *testing.T) {
	handler, at := keeper("1, 3, extended-mkcol, nextcloud-checksum-update", "HTTP/1.1 200 OK")
	s := serve(t, "lab#web", Identity{}, handler)
	var set endpoints.TimeSetter = s
	want := time.Date(2001, 2, 3, 4, 5, 6, 700, time.UTC)
	if !s.Caps().Times {
		t.Error("it does not say that times are kept")
	}
	if err := set.SetModTime(t.Context(), "/f", want); err != nil {
		t.Fatal(err)
	}
	if got := at.Load(); got != want.Unix() {
		t.Errorf("it was set to %d, want %d", got, want.Unix())
	}
	if e, err := s.Stat(t.Context(), "/f"); err != nil || !e.ModTime.Equal(want.Truncate(time.Second)) {
		t.Errorf("it is told as %v, %v", e.ModTime, err)
	}
	wantFault(t, "a missing file", set.SetModTime(t.Context(), "/gone", want), fault.NotFound, "set the time of /gone")
}

func TestTimesThatAreNotSet(t *testing.T) {
	for what, c := range map[string]struct {
		dav, status string
		say         []string
	}{
		"a server that keeps its own":  {"1, 2", "", []string{"keeps its own times", "options.times: on"}},
		"a server without the method":  {"1, oc-resource-sharing", "", []string{"405"}},
		"a property that is protected": {"1, oc-resource-sharing", "HTTP/1.1 403 Forbidden", []string{"does not set the time", "403", "options.times: off"}},
		"no word of it":                {"1, oc-resource-sharing", "nothing", []string{"does not say"}},
	} {
		handler, at := keeper(c.dav, c.status)
		s := serve(t, "lab#web", Identity{}, handler)
		wantFault(t, what, s.SetModTime(t.Context(), "/f", time.Unix(1e9, 0)), fault.Unsupported, append(c.say, "set the time of /f")...)
		if at.Load() != 0 {
			t.Errorf("%s: it was set all the same", what)
		}
	}
}

func FuzzPatched(f *testing.F) {
	f.Add(`<multistatus xmlns="DAV:"><response><propstat><status>HTTP/1.1 200 OK</status></propstat></response></multistatus>`)
	f.Fuzz(func(t *testing.T, text string) {
		if patched(strings.NewReader(text)) == nil && !strings.Contains(text, "propstat") {
			t.Errorf("%q says that all was set", text)
		}
	})
}
