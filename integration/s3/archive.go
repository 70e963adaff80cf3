package s3

import (
	"encoding/xml"
	"io"
	"net/http"
	"strconv"
	"strings"
	"sync"
)

// Archive is the part of a Meter that answers for objects as Amazon does when
// they are in the class GLACIER: none can be read before it was restored.
type Archive struct {
	mu       sync.Mutex
	keys     map[string]*archivedKey // by /bucket/key
	Restores int                     // requests that were taken
	Days     []int
}

type archivedKey struct{ asked, online bool }

// Take puts objects into the archive.
func (m *Meter) Take(paths ...string) {
	m.archive.mu.Lock()
	defer m.archive.mu.Unlock()
	if m.archive.keys == nil {
		m.archive.keys = map[string]*archivedKey{}
	}
	for _, p := range paths {
		m.archive.keys[p] = &archivedKey{}
	}
}

// Bring ends the restoring of all objects that were asked for, and returns how
// many requests there were.
func (m *Meter) Bring() int {
	m.archive.mu.Lock()
	defer m.archive.mu.Unlock()
	for _, k := range m.archive.keys {
		k.online = k.online || k.asked
	}
	return m.archive.Restores
}

// archives answers in the store's place, if the request is about an object in
// the archive, and is not one that the store can answer.
func (m *Meter) archives(w http.ResponseWriter, r *http.Request) bool {
	a := &m.archive
	a.mu.Lock()
	defer a.mu.Unlock()
	k := a.keys[r.URL.Path]
	refuse := func(status int, code string) bool {
		w.Header().Set("Content-Type", "application/xml")
		w.WriteHeader(status)
		_, _ = io.WriteString(w, "<Error><Code>"+code+"</Code><Message>said the archive</Message></Error>") // the client may have gone
		return true
	}
	switch {
	case k == nil:
		return false
	case r.Method == http.MethodPost && r.URL.Query().Has("restore"):
		var in struct {
			Days int
		}
		if err := xml.NewDecoder(io.LimitReader(r.Body, 1<<16)).Decode(&in); err != nil || in.Days == 0 {
			return refuse(http.StatusBadRequest, "MalformedXML")
		}
		if k.asked && !k.online {
			return refuse(http.StatusConflict, "RestoreAlreadyInProgress")
		}
		k.asked = true
		a.Restores++
		a.Days = append(a.Days, in.Days)
		w.WriteHeader(http.StatusAccepted)
		return true
	case r.Method == http.MethodGet && len(r.URL.Query()["x-id"]) > 0 && !k.online:
		return refuse(http.StatusForbidden, "InvalidObjectState")
	case r.Method == http.MethodHead:
		w.Header().Set("x-amz-storage-class", "GLACIER")
		if k.asked {
			w.Header().Set("x-amz-restore", `ongoing-request="`+strconv.FormatBool(!k.online)+`"`)
		}
	}
	return false
}

// classes writes the class of archived objects into a listing of the store's.
func (a *Archive) classes(bucket, body string) string {
	a.mu.Lock()
	defer a.mu.Unlock()
	for path := range a.keys {
		key, ok := strings.CutPrefix(path, bucket+"/")
		if i := strings.Index(body, "<Key>"+key+"</Key>"); ok && i >= 0 {
			end := i + strings.Index(body[i:], "</Contents>")
			entry := body[i:end]
			if from := strings.Index(entry, "<StorageClass>"); from >= 0 {
				to := strings.Index(entry, "</StorageClass>") + len("</StorageClass>")
				entry = entry[:from] + entry[to:]
			}
			body = body[:i] + entry + "<StorageClass>GLACIER</StorageClass>" + body[end:]
		}
	}
	return body
}
